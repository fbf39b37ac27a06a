//! `counter`: what is found wrong with counters, and what is not; in a file and along with a run alike.

#[path = "support/mod.rs"]
mod support;

use proptest::prelude::*;
use squall_checker::online::Online;
use squall_checker::{History, check};
use squall_protocol::history::{Event, Phase};
use squall_protocol::plan::{ClientKind, Workload};
use squall_protocol::transaction::{Key, Reads, Transaction, Value};
use squall_protocol::verdict::{Judgement, Property, Verdict};
use support::{Story, of, rows, violated};

use Property::{
    Durability, MonotonicReads, NoDuplicateTransaction, NoThinAirRead, ReadYourWrites,
    StrongConvergence,
};

/// The verdict, which must be the same along with the run.
#[track_caller]
fn judged(story: &Story) -> Verdict {
    let mut history = story.history();
    history.header.workload = Workload::Counter;
    judged_history(&history)
}

#[track_caller]
fn judged_history(history: &History) -> Verdict {
    let verdict = check(history);
    let mut online = Online::new(&history.header);
    let mut told = Vec::new();
    for record in &history.records {
        told.extend(online.push(record).into_iter().map(|found| found.property));
    }
    assert_eq!(online.verdict(), verdict);
    for property in told {
        assert!(violated(&verdict).contains(&property), "{property:?}");
    }
    verdict
}

#[track_caller]
fn assert_violates(story: &Story, expected: &[Property]) -> Verdict {
    let verdict = judged(story);
    assert_eq!(violated(&verdict), expected, "{verdict:#?}");
    verdict
}

/// Adds `value` + 1 to those counters, having read these values.
fn add(story: &mut Story, client: &str, reads: &[Value], value: Value, keys: &[Key]) {
    let operation = story.invoke(client, value, keys);
    let writes = keys.iter().map(|key| (*key, value)).collect();
    story.ok(client, operation, rows(reads), writes);
}

/// Two clients and PostgreSQL, each client with a probe in a counter of its own: k1 and k2; k0 is added to in
/// the storm, by 11 and by 21.
fn story() -> Story {
    let mut story =
        Story::with_clients(3, [("a", ClientKind::Native), ("p", ClientKind::Postgres)]);
    add(&mut story, "a", &[0, 0, 0], 10, &[0]);
    add(&mut story, "p", &[0, 0, 0], 20, &[0]);
    story
}

/// Heals, probes, and ends: everyone holds `end` in k0.
fn end(story: &mut Story, a: Value, p: Value, postgres: Value) {
    story.phase(Phase::Heal);
    story.phase(Phase::Probe);
    add(story, "a", &[a, 0, 0], 100, &[1]);
    add(story, "p", &[p, 0, 0], 200, &[2]);
    for (client, value) in [("a", a), ("p", p)] {
        story.read(client, &[value, 101, 201]);
        story.status(client, 0, true);
    }
    story.phase(Phase::FinalRead);
    for (client, value) in [("a", a), ("p", p)] {
        story.final_read(client, &[value, 101, 201]);
        story.integrity(client, &["ok"]);
    }
    story.postgres(&[postgres, 101, 201]);
    story.wait_ms(200);
    story.phase(Phase::Complete);
}

#[test]
fn sums_that_are_right_are_ok() {
    let mut story = story();
    end(&mut story, 32, 32, 32);
    let verdict = judged(&story);
    assert_eq!(verdict.judgement, Judgement::Ok, "{verdict:#?}");
}

#[test]
fn a_lost_increment_is_named() {
    let mut story = story();
    end(&mut story, 11, 21, 11);
    let verdict = assert_violates(&story, &[Durability]);
    let example = &of(&verdict, Durability).examples[0];
    let says = "21 less, just what p added in operation 2: it was lost";
    assert!(example.summary.contains(says), "{}", example.summary);
}

#[test]
fn a_doubled_increment_is_named() {
    let mut story = story();
    end(&mut story, 32, 32, 43);
    let verdict = assert_violates(&story, &[StrongConvergence, NoDuplicateTransaction]);
    let example = &of(&verdict, NoDuplicateTransaction).examples[0];
    let says = "11 more, just what a added in operation 1: it was applied twice";
    assert!(example.summary.contains(says), "{}", example.summary);
}

#[test]
fn replicas_that_differ_within_what_is_possible_have_not_converged() {
    let mut story = story();
    let unknown = story.invoke("a", 4, &[0]);
    story.info("a", unknown);
    end(&mut story, 37, 32, 37);
    assert_violates(&story, &[StrongConvergence]);
}

#[test]
fn an_unknown_increment_may_be_there_or_not() {
    for sum in [32, 37] {
        let mut story = story();
        let unknown = story.invoke("a", 4, &[0]);
        story.info("a", unknown);
        end(&mut story, sum, sum, sum);
        let verdict = judged(&story);
        assert_eq!(verdict.judgement, Judgement::Ok, "{verdict:#?}");
    }
    let mut story = story();
    let unknown = story.invoke("a", 4, &[0]);
    story.info("a", unknown);
    end(&mut story, 42, 42, 42);
    let verdict = assert_violates(&story, &[NoThinAirRead, NoDuplicateTransaction]);
    // By the probes, the reads after them, and the final reads.
    assert_eq!(of(&verdict, NoThinAirRead).violations, 6);
}

#[test]
fn a_failed_increment_must_not_be_there() {
    let mut story = story();
    let failed = story.invoke("a", 4, &[0]);
    // Read while it was under way: whether that is right shows when it ends.
    story.read("p", &[37, 0, 0]);
    assert_eq!(violated(&judged(&story)), []);
    let mut online_tells_late = story.clone();
    story.fail("a", failed);
    assert!(violated(&judged(&story)).contains(&NoThinAirRead));
    online_tells_late.ok("a", failed, rows(&[32, 0, 0]), vec![(0, 4)]);
    assert_eq!(violated(&judged(&online_tells_late)), []);
}

#[test]
fn nobody_reads_what_is_added_later() {
    let mut story = story();
    story.read("p", &[37, 0, 0]);
    add(&mut story, "a", &[11, 0, 0], 4, &[0]);
    assert_violates(&story, &[NoThinAirRead]);
    // Nor what the transaction itself adds after it has read.
    let mut own = self::story();
    add(&mut own, "a", &[32 + 5, 0, 0], 4, &[0]);
    assert_violates(&own, &[NoThinAirRead]);
}

#[test]
fn a_session_sees_what_it_added_itself() {
    let mut story = story();
    story.read("a", &[10, 0, 0]);
    assert_violates(&story, &[ReadYourWrites]);
}

#[test]
fn a_session_does_not_go_back() {
    let mut story = story();
    story.read("a", &[32, 0, 0]);
    story.read("a", &[31, 0, 0]);
    assert_violates(&story, &[MonotonicReads]);
    // Another session may be behind.
    let mut other = self::story();
    other.read("a", &[32, 0, 0]);
    other.read("p", &[21, 0, 0]);
    assert_eq!(violated(&judged(&other)), []);
}

#[test]
fn counters_that_are_missing_or_there_twice_are_told() {
    let with = |rows: Vec<(Key, Value)>| {
        let mut story = story();
        let read = story.invoke("p", -1, &[]);
        story.ok("p", read, rows, Vec::new());
        judged(&story)
    };
    for (rows, says) in [
        (vec![(0, 21), (2, 0)], "k1"),
        (vec![(0, 21), (1, 0), (1, 0), (2, 0)], "twice"),
        (vec![(0, 21), (1, 0), (2, 0), (7, 0)], "no such row"),
        (vec![(0, 21), (1, -3), (2, 0)], "nothing could make that"),
    ] {
        let verdict = with(rows);
        let found = of(&verdict, NoThinAirRead);
        assert_eq!(found.judgement, Judgement::Violation, "{verdict:#?}");
        let summary = &found.examples[0].summary;
        assert!(summary.contains(says), "{summary}");
    }
}

#[test]
fn a_row_that_an_increment_did_not_find_does_not_count() {
    let mut story = story();
    let operation = story.invoke("a", 4, &[0, 1]);
    story.ok("a", operation, rows(&[32, 0, 0]), vec![(0, 4)]);
    story.read("a", &[37, 0, 0]);
    assert_eq!(violated(&judged(&story)), []);
    story.read("p", &[37, 5, 0]);
    assert_violates(&story, &[NoThinAirRead]);
}

#[test]
fn a_probe_that_never_came_is_late() {
    let mut story = story();
    story.phase(Phase::Heal);
    story.phase(Phase::Probe);
    add(&mut story, "a", &[32, 0, 0], 100, &[1]);
    add(&mut story, "p", &[32, 0, 0], 200, &[2]);
    for client in ["a", "p"] {
        story.status(client, 0, true);
    }
    story.read("p", &[32, 101, 201]);
    story.wait_ms(200);
    story.read("a", &[32, 101, 0]);
    story.phase(Phase::FinalRead);
    story.final_read("a", &[32, 101, 0]);
    story.integrity("a", &["ok"]);
    story.final_read("p", &[32, 101, 201]);
    story.postgres(&[32, 101, 201]);
    story.wait_ms(200);
    story.phase(Phase::Complete);
    let verdict = assert_violates(&story, &[Property::RecoveredInTime]);
    let example = &of(&verdict, Property::RecoveredInTime).examples[0];
    assert!(example.summary.contains("k2"), "{}", example.summary);
}

/// A history out of bytes: replicas that hold the transactions that have come to them, and take all of
/// another's at once. Transactions may fail, and answers be lost.
fn history(bytes: &[u8]) -> (History, Vec<i64>) {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    const KEYS: u32 = 3 + 2;
    let mut bytes = bytes.iter();
    let mut below = |bound: usize| bytes.next().map_or(0, |byte| usize::from(*byte) % bound);
    let mut story = Story::with_clients(KEYS, NAMES.map(|name| (name, ClientKind::Native)));
    let mut replicas: Vec<Vec<(Key, Value)>> = vec![Vec::new(); 3];
    let value_of = |held: &[(Key, Value)]| -> Vec<Value> {
        let sum = |key| {
            held.iter()
                .filter(move |(of, _)| *of == key)
                .map(|(_, a)| *a)
        };
        (0..KEYS).map(|key| sum(key).sum()).collect()
    };
    for value in 0..12 {
        let client = below(3);
        match below(4) {
            0 => {
                let from = below(3);
                let news: Vec<_> = replicas[from].clone();
                for added in news {
                    if !replicas[client].contains(&added) {
                        replicas[client].push(added);
                    }
                }
            }
            1 => {
                let read = story.operation();
                story.record(Event::Invoke {
                    client: NAMES[client].to_owned(),
                    operation: read,
                    transaction: Transaction {
                        reads: Reads::All,
                        ..Transaction::read_all()
                    },
                });
                story.ok(
                    NAMES[client],
                    read,
                    rows(&value_of(&replicas[client])),
                    Vec::new(),
                );
            }
            _ => {
                let mut keys: Vec<Key> = (0..2).filter(|_| below(2) == 0).collect();
                if keys.is_empty() {
                    keys.push(2);
                }
                let reads = rows(&value_of(&replicas[client]));
                let operation = story.invoke(NAMES[client], value, &keys);
                let added = keys.iter().map(|key| (*key, value + 1));
                match below(6) {
                    0 => story.fail(NAMES[client], operation),
                    1 => {
                        replicas[client].extend(added);
                        story.info(NAMES[client], operation);
                    }
                    2 => story.info(NAMES[client], operation),
                    _ => {
                        replicas[client].extend(added);
                        let writes = keys.iter().map(|key| (*key, value)).collect();
                        story.ok(NAMES[client], operation, reads, writes);
                    }
                }
            }
        }
    }
    let mut all: Vec<(Key, Value)> = replicas.concat();
    all.sort_unstable();
    all.dedup();
    let sums = value_of(&all);
    story.phase(Phase::Heal);
    story.phase(Phase::FinalRead);
    for name in NAMES {
        story.final_read(name, &sums);
        story.integrity(name, &["ok"]);
    }
    story.postgres(&sums);
    story.phase(Phase::Complete);
    let mut history = story.history();
    history.header.workload = Workload::Counter;
    (history, sums)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    /// What converges by addition is never found wrong, and a read that is taken further than what was ever
    /// added to its counter always is.
    #[test]
    fn replicas_that_add_are_right(bytes in prop::collection::vec(any::<u8>(), 0..120), at in any::<usize>()) {
        let (mut history, _) = history(&bytes);
        let verdict = judged_history(&history);
        prop_assert_eq!(violated(&verdict), [], "{:#?}", verdict);

        let reads: Vec<usize> = (0..history.records.len())
            .filter(|place| matches!(&history.records[*place].event, Event::Ok { effects, .. } if !effects.reads.is_empty()))
            .collect();
        if let Some(place) = reads.get(at % reads.len().max(1)) {
            if let Event::Ok { effects, .. } = &mut history.records[*place].event {
                effects.reads[0].1 += 1_000;
            }
            let verdict = judged_history(&history);
            prop_assert!(violated(&verdict).contains(&NoThinAirRead));
        }
    }
}
