//! Several tabs on one database: a session whose operations overlap. What one tab did is before what another began
//! when it had ended, and every guarantee of sessions holds between the two; of two that overlap neither is before the
//! other. Each history is judged as a whole and along with a run.

mod support;

use squall_checker::online::Online;
use squall_checker::{History, check};
use squall_protocol::history::{Event, Phase};
use squall_protocol::ledger::{ClientLedger, LedgerEffects, LedgerRow};
use squall_protocol::plan::{ClientKind, Workload};
use squall_protocol::transaction::{
    Collections, Effects, Key, Reads, Transaction, TransactionMode, Value,
};
use squall_protocol::verdict::{Judgement, Property, Verdict};

use Property::{
    CausalConsistency, GaplessPrefix, MonotonicReads, MonotonicWrites, NoThinAirRead, QueueDrained,
    ReadYourWrites, RecoveredInTime, StorageIntact, StrictSerializability, WritesFollowReads,
};
use support::{Story, effects, of_collections, rows, violated};

/// The tabs `t1` and `t2` of one browser, and the clients `b` and `c`.
fn story(keys: u32) -> Story {
    let web = ClientKind::PowersyncWeb;
    let native = ClientKind::Native;
    let clients = [("t1", web), ("t2", web), ("b", native), ("c", native)];
    let mut story = Story::with_clients(keys, clients);
    story.tabs("t", &["t1", "t2"]);
    story
}

/// The verdict, which must be the same along with the run; and nothing is told there that is not in it.
#[track_caller]
fn judged(story: &Story, workload: Workload) -> Verdict {
    let mut history = story.history();
    history.header.workload = workload;
    judged_history(&history)
}

#[track_caller]
fn judged_history(history: &History) -> Verdict {
    let verdict = check(history);
    let mut online = Online::new(&history.header);
    let mut told = 0_u64;
    for record in &history.records {
        for found in online.push(record) {
            assert!(violated(&verdict).contains(&found.property), "{found:?}");
            let of_lists = history.header.workload == Workload::ListAppend;
            told += u64::from(!(of_lists && found.property == CausalConsistency));
        }
    }
    let along = online.verdict();
    assert_eq!(violated(&along), violated(&verdict));
    for (along, whole) in along.properties.iter().zip(&verdict.properties) {
        assert_eq!(along.violations, whole.violations, "{:?}", whole.property);
        assert_eq!(along.exercised, whole.exercised, "{:?}", whole.property);
    }
    // Of lists it takes an order of everything, which is looked for now and then; the others are of the end.
    let later = [QueueDrained, RecoveredInTime, StrictSerializability];
    let is_later = |property: Property| {
        let of_lists = history.header.workload == Workload::ListAppend;
        later.contains(&property) || (of_lists && property == CausalConsistency)
    };
    let of_reads = verdict.properties.iter();
    let of_reads = of_reads.filter(|property| !is_later(property.property));
    let violations: u64 = of_reads.map(|property| property.violations).sum();
    match history.header.workload {
        // Some of them only show at the end.
        Workload::ListAppend => assert!(told <= violations),
        _ => assert_eq!(told, violations),
    }
    verdict
}

#[track_caller]
fn assert_violates(story: &Story, workload: Workload, expected: &[Property]) -> Verdict {
    let verdict = judged(story, workload);
    assert_eq!(violated(&verdict), expected, "{verdict:#?}");
    verdict
}

/// Begins a transaction that is to read everything.
type Open = (&'static str, u64);

fn begin(story: &mut Story, client: &'static str, value: Value, keys: &[Key]) -> Open {
    (client, story.invoke(client, value, keys))
}

fn end(story: &mut Story, (client, operation): Open, reads: &[Value], value: Value, keys: &[Key]) {
    let writes = keys.iter().map(|key| (*key, value)).collect();
    story.ok(client, operation, rows(reads), writes);
}

/// Whether what tab 2 does overlaps what tab 1 does before it.
const BOTH: [bool; 2] = [false, true];

/// What tab 1 does, and then what tab 2 does, which begins before the former ends if they overlap. What that reads and
/// writes is the same.
fn one_and_then_other(
    story: &mut Story,
    overlap: bool,
    (first_reads, first, first_keys): (&[Value], Value, &[Key]),
    (second_reads, second, second_keys): (&[Value], Value, &[Key]),
) {
    let one = begin(story, "t1", first, first_keys);
    if overlap {
        let other = begin(story, "t2", second, second_keys);
        end(story, one, first_reads, first, first_keys);
        end(story, other, second_reads, second, second_keys);
    } else {
        end(story, one, first_reads, first, first_keys);
        let other = begin(story, "t2", second, second_keys);
        end(story, other, second_reads, second, second_keys);
    }
}

#[track_caller]
fn assert_only_without_overlap(overlap: bool, story: &Story, workload: Workload, one: Property) {
    let expected: Vec<Property> = match workload {
        _ if overlap => vec![],
        // Of lists whatever breaks a guarantee breaks this too.
        Workload::ListAppend => vec![one, CausalConsistency],
        _ => vec![one],
    };
    assert_violates(story, workload, &expected);
}

#[test]
fn a_tab_sees_what_another_tab_had_written_when_it_began() {
    for overlap in BOTH {
        let mut story = story(1);
        one_and_then_other(&mut story, overlap, (&[-1], 1, &[0]), (&[-1], -1, &[]));
        assert_only_without_overlap(overlap, &story, Workload::Mww, ReadYourWrites);
    }
}

#[test]
fn a_violation_names_the_tabs() {
    let mut story = story(1);
    one_and_then_other(&mut story, false, (&[-1], 1, &[0]), (&[-1], -1, &[]));
    let verdict = judged(&story, Workload::Mww);
    let found = support::of(&verdict, ReadYourWrites);
    assert_eq!(
        found.examples[0].summary,
        "t1 wrote k0 = 1 in operation 1. Later, in operation 2, t2, a tab on the same database, read the older \
         k0 = -1 (its initial value): it does not see its own write."
    );
}

#[test]
fn a_missing_row_is_below_what_another_tab_had_written() {
    for overlap in BOTH {
        let mut story = story(1);
        one_and_then_other(&mut story, overlap, (&[-1], 1, &[0]), (&[], -1, &[]));
        let expected: &[Property] = match overlap {
            true => &[NoThinAirRead],
            false => &[ReadYourWrites, NoThinAirRead],
        };
        let verdict = judged(&story, Workload::Mww);
        let mut found = violated(&verdict);
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(found, expected, "{verdict:#?}");
    }
}

#[test]
fn a_tab_sees_what_another_tab_had_read_when_it_began() {
    for overlap in BOTH {
        let mut story = story(1);
        story.write("b", &[-1], 5, &[0]);
        one_and_then_other(&mut story, overlap, (&[5], -1, &[]), (&[-1], -1, &[]));
        assert_only_without_overlap(overlap, &story, Workload::Mww, MonotonicReads);
    }
}

#[test]
fn who_sees_a_tabs_write_sees_what_another_tab_had_written_before() {
    for overlap in BOTH {
        let mut story = story(2);
        one_and_then_other(
            &mut story,
            overlap,
            (&[-1, -1], 1, &[0]),
            (&[1, -1], 2, &[1]),
        );
        story.read("b", &[-1, 2]);
        // That tab 2 has read the other's write orders the two all the same, as anybody's.
        let expected: &[Property] = match overlap {
            true => &[WritesFollowReads],
            false => &[MonotonicWrites, WritesFollowReads],
        };
        assert_violates(&story, Workload::Mww, expected);
    }
    for overlap in BOTH {
        let mut story = story(2);
        let blind = |value, keys: &[Key]| Transaction {
            reads: Reads::Nothing,
            ..Transaction::new(value, keys.to_vec())
        };
        let invoke = |story: &mut Story, client: &str, value, key| {
            let operation = story.operation();
            story.record(Event::Invoke {
                client: client.to_owned(),
                operation,
                transaction: blind(value, &[key]),
            });
            operation
        };
        let one = invoke(&mut story, "t1", 1, 0);
        if !overlap {
            story.ok("t1", one, vec![], vec![(0, 1)]);
        }
        let other = invoke(&mut story, "t2", 2, 1);
        if overlap {
            story.ok("t1", one, vec![], vec![(0, 1)]);
        }
        story.ok("t2", other, vec![], vec![(1, 2)]);
        story.read("b", &[-1, 2]);
        assert_only_without_overlap(overlap, &story, Workload::Mww, MonotonicWrites);
    }
}

#[test]
fn who_sees_a_tabs_write_sees_what_another_tab_had_read_before() {
    for overlap in BOTH {
        let mut story = story(2);
        story.write("b", &[-1, -1], 5, &[0]);
        let one = begin(&mut story, "t1", -1, &[]);
        if !overlap {
            end(&mut story, one, &[5, -1], -1, &[]);
        }
        // Its answer was lost: what it has read is not known.
        let other = begin(&mut story, "t2", 6, &[1]);
        if overlap {
            end(&mut story, one, &[5, -1], -1, &[]);
        }
        story.info("t2", other.1);
        story.read("c", &[-1, 6]);
        assert_only_without_overlap(overlap, &story, Workload::Mww, WritesFollowReads);
    }
}

#[test]
fn a_read_waits_for_what_another_tabs_read_before_it_waits_for() {
    // Tab 1 has read what is still under way, and only its end tells that this was so.
    for fails in BOTH {
        let mut story = story(1);
        let slow = begin(&mut story, "b", 7, &[0]);
        story.read("t1", &[7]);
        story.read("t2", &[-1]);
        match fails {
            true => story.fail("b", slow.1),
            false => end(&mut story, slow, &[-1], 7, &[0]),
        }
        let expected = if fails { NoThinAirRead } else { MonotonicReads };
        assert_violates(&story, Workload::Mww, &[expected]);
    }
}

/// An emission of a live query, which is recorded when it comes.
fn emission(story: &mut Story, client: &str, reads: &[Value]) {
    let operation = story.operation();
    story.record(Event::Invoke {
        client: client.to_owned(),
        operation,
        transaction: Transaction {
            through: TransactionMode::Watch,
            ..Transaction::read_all()
        },
    });
    story.ok(client, operation, rows(reads), vec![]);
}

#[test]
fn an_emission_may_have_been_on_its_way_while_another_tab_wrote() {
    let mut story = story(2);
    story.write("t1", &[-1, -1], 1, &[0]);
    emission(&mut story, "t2", &[-1, -1]);
    assert_violates(&story, Workload::Mww, &[]);
    // But not when its own tab has begun and ended something in between.
    story.write("t2", &[1, -1], 2, &[1]);
    emission(&mut story, "t2", &[-1, 2]);
    let verdict = judged(&story, Workload::Mww);
    assert!(violated(&verdict).contains(&ReadYourWrites), "{verdict:#?}");
    // And nobody goes back behind one that has come.
    let mut story = self::story(1);
    story.write("b", &[-1], 5, &[0]);
    emission(&mut story, "t2", &[5]);
    story.read("t1", &[-1]);
    assert_violates(&story, Workload::Mww, &[MonotonicReads]);
}

#[test]
fn a_database_that_is_lost_is_lost_once_and_begins_another_session() {
    let mut story = story(1);
    story.start("t1", 1, "x");
    story.start("t2", 1, "x");
    story.write("t1", &[-1], 1, &[0]);
    story.start("t1", 2, "y");
    // It works on the old one until it says otherwise.
    story.start("t2", 2, "y");
    story.read("t2", &[-1]);
    let verdict = assert_violates(&story, Workload::Mww, &[StorageIntact]);
    assert_eq!(support::of(&verdict, StorageIntact).violations, 1);
    story.write("t1", &[-1], 2, &[0]);
    story.read("t2", &[-1]);
    assert_violates(&story, Workload::Mww, &[ReadYourWrites, StorageIntact]);
}

#[test]
fn a_tab_with_another_database_than_the_others_has_lost_it() {
    let mut story = story(1);
    story.start("t1", 1, "x");
    story.start("t2", 1, "y");
    assert_violates(&story, Workload::Mww, &[StorageIntact]);
}

/// What a read shows of the ledger: of each client so many transactions, with the values of all of them.
fn ledger(clients: &[(&str, &[(Value, &str)])], seq: Option<i64>) -> LedgerEffects {
    let reads = clients.iter().map(|(client, rows)| ClientLedger {
        above: 0,
        client: (*client).to_owned(),
        count: rows.len() as i64,
        highest: rows.len() as i64,
        rows: (1..)
            .zip(*rows)
            .map(|(seq, (value, writes))| LedgerRow {
                seq,
                id: value.to_string(),
                writes: (*writes).to_owned(),
                copies: 1,
            })
            .collect(),
    });
    LedgerEffects {
        reads: reads.collect(),
        seq,
    }
}

#[test]
fn a_tab_sees_the_transactions_that_another_tab_had_done_or_seen_when_it_began() {
    for own in BOTH {
        for overlap in BOTH {
            // Overwritten, so that only the ledger shows it.
            let mut story = story(1);
            let with = |effects: Effects, ledger| Effects {
                ledger: Some(ledger),
                ..effects
            };
            let client = if own { "t1" } else { "b" };
            let first = story.invoke(client, 1, &[0]);
            let shown: &[(&str, &[(Value, &str)])] = &[(client, &[(1, "[0]")])];
            let wrote = with(effects(rows(&[-1]), vec![(0, 1)]), ledger(&[], Some(1)));
            let other;
            if own && overlap {
                other = story.invoke("t2", -1, &[]);
                story.committed(client, first, wrote);
            } else {
                story.committed(client, first, wrote);
                let mut seen = None;
                if !own {
                    seen = Some(story.invoke("t1", -1, &[]));
                }
                let sees = with(effects(rows(&[]), vec![]), ledger(shown, None));
                if let Some(seen) = seen.filter(|_| !overlap) {
                    story.committed("t1", seen, sees.clone());
                }
                other = story.invoke("t2", -1, &[]);
                if let Some(seen) = seen.filter(|_| overlap) {
                    story.committed("t1", seen, sees);
                }
            }
            story.committed(
                "t2",
                other,
                with(effects(rows(&[]), vec![]), ledger(&[], None)),
            );
            let found = violated(&judged(&story, Workload::Ledger));
            assert_eq!(
                found.contains(&GaplessPrefix),
                !overlap,
                "{own} {overlap}: {found:?}"
            );
        }
    }
}

fn texts(texts: &[(Key, &str)]) -> Option<Collections> {
    Some(
        texts
            .iter()
            .map(|(key, text)| (*key, (*text).to_owned()))
            .collect(),
    )
}

/// Begins a transaction of collections that reads those keys.
fn begin_of(
    story: &mut Story,
    client: &'static str,
    value: Value,
    keys: &[Key],
    reads: &[Key],
) -> Open {
    let operation = story.operation();
    story.record(Event::Invoke {
        client: client.to_owned(),
        operation,
        transaction: Transaction {
            reads: match reads {
                [] => Reads::Nothing,
                keys => Reads::Keys(keys.to_vec()),
            },
            ..Transaction::new(value, keys.to_vec())
        },
    });
    (client, operation)
}

fn end_of(
    story: &mut Story,
    (client, operation): Open,
    (value, keys): (Value, &[Key]),
    found: &[(Key, &str)],
) {
    let writes = keys.iter().map(|key| (*key, value)).collect();
    let found = texts(found).filter(|found| !found.is_empty());
    story.committed(client, operation, of_collections(found, writes));
}

/// As a whole, what it is to do and what it finds.
fn whole(
    story: &mut Story,
    client: &'static str,
    (value, keys): (Value, &[Key]),
    found: &[(Key, &str)],
) {
    let reads: Vec<Key> = found.iter().map(|(key, _)| *key).collect();
    let open = begin_of(story, client, value, keys, &reads);
    end_of(story, open, (value, keys), found);
}

const COLLECTIONS: [Workload; 2] = [Workload::ListAppend, Workload::Gset];
const READS: (Value, &[Key]) = (-1, &[]);

/// What a transaction wrote to which keys, and what it found.
type Done<'a> = ((Value, &'a [Key]), &'a [(Key, &'a str)]);

/// Additions to two keys in which nothing was.
const ADDS: Done<'static> = ((1, &[0]), &[(0, "")]);
const ADDS_ELSEWHERE: Done<'static> = ((2, &[1]), &[(1, "")]);

/// Tab 1 and then tab 2, as above.
fn collections_one_and_then_other(
    story: &mut Story,
    overlap: bool,
    (first, found): Done<'_>,
    (second, found_by_other): Done<'_>,
) {
    let keys = |found: &[(Key, &str)]| found.iter().map(|(key, _)| *key).collect::<Vec<_>>();
    let one = begin_of(story, "t1", first.0, first.1, &keys(found));
    if !overlap {
        end_of(story, one, first, found);
    }
    let other = begin_of(story, "t2", second.0, second.1, &keys(found_by_other));
    if overlap {
        end_of(story, one, first, found);
    }
    end_of(story, other, second, found_by_other);
}

#[test]
fn collections_hold_what_another_tab_had_added_or_read() {
    for workload in COLLECTIONS {
        for overlap in BOTH {
            let mut story = story(3);
            collections_one_and_then_other(&mut story, overlap, ADDS, (READS, &[(0, "")]));
            // Whoever reads it shows which version that is.
            whole(&mut story, "c", READS, &[(0, "1")]);
            assert_only_without_overlap(overlap, &story, workload, ReadYourWrites);

            let mut story = self::story(3);
            whole(&mut story, "b", (5, &[0]), &[(0, "")]);
            collections_one_and_then_other(
                &mut story,
                overlap,
                (READS, &[(0, "5")]),
                (READS, &[(0, "")]),
            );
            assert_only_without_overlap(overlap, &story, workload, MonotonicReads);
        }
    }
}

#[test]
fn collections_with_a_tabs_element_hold_what_is_before_it_in_another_tab() {
    for workload in COLLECTIONS {
        for overlap in BOTH {
            let mut story = story(3);
            collections_one_and_then_other(&mut story, overlap, ADDS, ADDS_ELSEWHERE);
            whole(&mut story, "b", READS, &[(0, ""), (1, "2")]);
            whole(&mut story, "c", READS, &[(0, "1")]);
            assert_only_without_overlap(overlap, &story, workload, MonotonicWrites);

            let mut story = self::story(3);
            whole(&mut story, "b", (5, &[0]), &[(0, "")]);
            collections_one_and_then_other(
                &mut story,
                overlap,
                (READS, &[(0, "5")]),
                ADDS_ELSEWHERE,
            );
            whole(&mut story, "c", READS, &[(0, ""), (1, "2")]);
            assert_only_without_overlap(overlap, &story, workload, WritesFollowReads);
        }
    }
}

#[test]
fn the_causal_past_goes_on_from_one_tab_to_another() {
    for workload in COLLECTIONS {
        for overlap in BOTH {
            let mut story = story(3);
            collections_one_and_then_other(&mut story, overlap, ADDS, ADDS_ELSEWHERE);
            whole(&mut story, "b", (3, &[2]), &[(1, "2"), (2, "")]);
            whole(&mut story, "c", READS, &[(0, ""), (2, "3")]);
            story.phase(Phase::Heal);
            let verdict = check(&{
                let mut history = story.history();
                history.header.workload = workload;
                history
            });
            let expected: &[Property] = if overlap { &[] } else { &[CausalConsistency] };
            assert_eq!(violated(&verdict), expected, "{verdict:#?}");
            if workload == Workload::ListAppend && !overlap {
                let causal = support::of(&verdict, CausalConsistency);
                let summary = &causal.examples[0].summary;
                let says = "Operation 2 of t2 began, on the same database, after the end of operation 1 of t1.";
                assert!(summary.contains(says), "{summary}");
            }
        }
    }
}

#[test]
fn a_tab_that_is_before_what_it_comes_after_is_in_a_cycle() {
    // Tab 1 has read what b adds after having read what tab 2 adds after tab 1 had ended.
    let mut story = story(3);
    let of_b = begin_of(&mut story, "b", 3, &[2], &[1, 2]);
    whole(&mut story, "t1", READS, &[(2, "3")]);
    whole(&mut story, "t2", (2, &[1]), &[(1, ""), (2, "3")]);
    end_of(&mut story, of_b, (3, &[2]), &[(1, "2"), (2, "")]);
    for workload in COLLECTIONS {
        let verdict = judged_lenient(&story, workload);
        assert!(
            violated(&verdict).contains(&CausalConsistency),
            "{verdict:#?}"
        );
    }
}

/// As [`judged`], where along with a run a property that takes an order of everything is told later.
#[track_caller]
fn judged_lenient(story: &Story, workload: Workload) -> Verdict {
    let mut history = story.history();
    history.header.workload = workload;
    let verdict = check(&history);
    let mut online = Online::new(&history.header);
    for record in &history.records {
        online.push(record);
    }
    assert_eq!(violated(&online.verdict()), violated(&verdict));
    verdict
}

#[test]
fn counters_hold_what_other_tabs_had_added() {
    // A transaction adds its value and 1.
    for overlap in BOTH {
        let mut story = story(1);
        one_and_then_other(&mut story, overlap, (&[0], 10, &[0]), (&[0], -1, &[]));
        assert_only_without_overlap(overlap, &story, Workload::Counter, ReadYourWrites);

        let mut story = self::story(1);
        story.write("b", &[0], 4, &[0]);
        one_and_then_other(&mut story, overlap, (&[5], -1, &[]), (&[0], -1, &[]));
        assert_only_without_overlap(overlap, &story, Workload::Counter, MonotonicReads);
    }
}

#[test]
fn what_tabs_add_at_the_same_time_adds_up() {
    // 11 and 21, each on 0 as it was before: afterwards it is 32, and 31 is not enough.
    for (read, expected) in [(32, &[][..]), (31, &[ReadYourWrites])] {
        for reader in ["t1", "t2"] {
            let mut story = story(1);
            let one = begin(&mut story, "t1", 10, &[0]);
            let other = begin(&mut story, "t2", 20, &[0]);
            end(&mut story, one, &[0], 10, &[0]);
            end(&mut story, other, &[0], 20, &[0]);
            story.read(reader, &[read]);
            assert_violates(&story, Workload::Counter, expected);
        }
    }
    // What one of them may have seen of the other does not count twice.
    let mut story = story(1);
    let one = begin(&mut story, "t1", 10, &[0]);
    let other = begin(&mut story, "t2", 20, &[0]);
    end(&mut story, one, &[21], 10, &[0]);
    end(&mut story, other, &[0], 20, &[0]);
    story.read("t1", &[32]);
    assert_violates(&story, Workload::Counter, &[]);
    story.read("t2", &[31]);
    assert_violates(&story, Workload::Counter, &[ReadYourWrites]);
}

#[test]
fn two_tabs_alone_have_one_copy_of_the_data() {
    let web = ClientKind::PowersyncWeb;
    let tabs = |overlap: bool| {
        let mut story = Story::with_clients(1, [("t1", web), ("t2", web)]);
        story.tabs("t", &["t1", "t2"]);
        one_and_then_other(&mut story, overlap, (&[-1], 1, &[0]), (&[-1], -1, &[]));
        story
    };
    let verdict = judged_lenient(&tabs(false), Workload::Mww);
    assert_eq!(violated(&verdict), [ReadYourWrites, StrictSerializability]);
    let verdict = judged_lenient(&tabs(true), Workload::Mww);
    assert!(violated(&verdict).is_empty(), "{verdict:#?}");
    let one_copy = support::of(&verdict, StrictSerializability);
    assert!(one_copy.exercised > 0, "{verdict:#?}");
}

#[test]
fn a_write_of_one_tab_is_in_the_queue_of_all() {
    let mut story = story(1);
    story.phase(Phase::Heal);
    for client in ["t1", "t2", "b", "c"] {
        story.status(client, 0, true);
    }
    story.phase(Phase::Probe);
    story.write("t1", &[-1], 1, &[0]);
    story.status("t1", 0, true);
    // The other tab never says that the write has left the queue, which is its own too.
    story.status("t2", 1, false);
    story.wait_ms(500);
    story.phase(Phase::FinalRead);
    story.phase(Phase::Complete);
    let verdict = judged(&story, Workload::Mww);
    let drained = support::of(&verdict, QueueDrained);
    assert_eq!(drained.judgement, Judgement::Violation, "{verdict:#?}");
    assert!(
        drained.examples[0].summary.starts_with("t2's upload queue"),
        "{drained:#?}"
    );
}
