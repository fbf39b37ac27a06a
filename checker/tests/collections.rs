//! One healthy history of `gset` and `list-append`, and ways to break each of their properties.

mod support;

use squall_checker::{History, check};
use squall_protocol::history::{Event, Phase};
use squall_protocol::plan::{ClientKind, Workload};
use squall_protocol::transaction::{Collections, Effects};
use squall_protocol::verdict::{Judgement, Property};

use support::{Story, effects, final_reads, of, of_collections, violated};

fn texts(texts: &[&str]) -> Collections {
    (0..)
        .zip(texts.iter().map(|text| (*text).to_owned()))
        .collect()
}

/// A step: client, value (-1 to read only), keys, and the two collections that it reads.
type Step<'s> = (&'s str, i64, &'s [u32], [&'s str; 2]);

/// `a` and `b` do the steps, then write 100 and 101 to the keys 0 and 1 and end with these texts.
fn history(workload: Workload, steps: &[Step], before: [&str; 2], end: [&str; 2]) -> History {
    let mut story = Story::with_clients(2, ["a", "b"].map(|name| (name, ClientKind::Native)));
    for step in steps {
        done(&mut story, step);
    }
    story.phase(Phase::Heal);
    story.phase(Phase::Probe);
    done(&mut story, &("a", 100, &[0], before));
    done(&mut story, &("b", 101, &[1], [end[0], before[1]]));
    for client in ["a", "b"] {
        done(&mut story, &(client, -1, &[], end));
        story.status(client, 0, true);
    }
    story.phase(Phase::FinalRead);
    let found = || of_collections(Some(texts(&end)), Vec::new());
    for client in ["a", "b"] {
        story.final_read_of(client, found());
        story.integrity(client, &["ok"]);
    }
    story.postgres_read(found());
    story.wait_ms(200);
    story.phase(Phase::Complete);
    let mut history = story.history();
    history.header.workload = workload;
    history
}

fn done(story: &mut Story, (client, value, keys, reads): &Step) {
    let operation = story.invoke(client, *value, keys);
    let writes = keys.iter().map(|key| (*key, *value)).collect();
    story.committed(
        client,
        operation,
        of_collections(Some(texts(reads)), writes),
    );
}

#[track_caller]
fn assert_violates(history: &History, properties: &[Property]) {
    let verdict = check(history);
    assert_eq!(violated(&verdict), properties, "{verdict:#?}");
}

const END: [&str; 2] = ["1 100", "1 2 101"];

fn with_read(workload: Workload, read: [&str; 2]) -> History {
    let steps = [
        ("a", 1, &[0, 1][..], ["", ""]),
        ("b", 2, &[1], ["1", "1"]),
        ("a", -1, &[], read),
    ];
    history(workload, &steps, ["1", "1 2"], END)
}

const BOTH: [Workload; 2] = [Workload::Gset, Workload::ListAppend];

#[test]
fn healthy() {
    for workload in BOTH {
        let verdict = check(&with_read(workload, ["1", "1 2"]));
        assert_eq!(violated(&verdict), [], "{verdict:#?}");
        for property in &verdict.properties {
            assert!(
                property.judgement == Judgement::Ok || property.exercised == 0,
                "{property:#?}"
            );
        }
    }
}

#[test]
fn own_writes_that_are_not_read() {
    for workload in BOTH {
        let verdict = check(&with_read(workload, ["", "1"]));
        assert!(
            violated(&verdict).contains(&Property::ReadYourWrites),
            "{verdict:#?}"
        );
    }
}

#[test]
fn elements_out_of_thin_air_twice_and_garbled() {
    for workload in BOTH {
        for read in [["1 7", "1"], ["1 1", "1"], ["1 x", "1"]] {
            let verdict = check(&with_read(workload, read));
            assert!(
                violated(&verdict).contains(&Property::NoThinAirRead),
                "{read:?} {verdict:#?}"
            );
        }
    }
    let garbled = with_read(Workload::ListAppend, ["1", "2 1"]);
    assert!(violated(&check(&garbled)).contains(&Property::NoThinAirRead));
}

/// A list that is there twice hides neither itself nor another that is missing, and nor does one that there is not.
#[test]
fn a_list_that_is_there_twice() {
    let violations = |last: fn(&mut Collections)| {
        let mut history = with_read(Workload::ListAppend, ["1", "1 2"]);
        let (_, read) = final_reads(&mut history).last().unwrap();
        last(read.collections.as_mut().unwrap());
        of(&check(&history), Property::NoThinAirRead).violations
    };
    let twice = violations(|lists| lists.insert(1, lists[0].clone()));
    assert_eq!(twice, 1);
    let twice_for_another = violations(|lists| lists[1] = lists[0].clone());
    assert_eq!(twice_for_another, 2);
    let of_no_key = violations(|lists| lists[1] = (9, String::new()));
    assert_eq!(of_no_key, 1);
}

#[test]
fn fractured_reads_and_what_was_seen_before() {
    for workload in BOTH {
        let steps = [("a", 1, &[0, 1][..], ["", ""]), ("b", -1, &[], ["1", ""])];
        let end = ["1 100", "1 101"];
        let torn = history(workload, &steps, ["1", "1"], end);
        let verdict = check(&torn);
        assert!(
            violated(&verdict).contains(&Property::AtomicVisibility),
            "{verdict:#?}"
        );
        let steps = [
            ("a", 1, &[0][..], ["", ""]),
            ("a", 2, &[1], ["1", ""]),
            ("b", -1, &[], ["", "2"]),
        ];
        let verdict = check(&history(workload, &steps, ["1", "2"], ["1 100", "2 101"]));
        assert!(
            violated(&verdict).contains(&Property::MonotonicWrites),
            "{verdict:#?}"
        );
        let steps = [
            ("a", 1, &[0][..], ["", ""]),
            ("b", -1, &[], ["1", ""]),
            ("b", -1, &[], ["", ""]),
        ];
        let verdict = check(&history(workload, &steps, ["1", ""], ["1 100", "101"]));
        assert!(
            violated(&verdict).contains(&Property::MonotonicReads),
            "{verdict:#?}"
        );
    }
}

/// What a model finds is told in the words of the other properties.
#[test]
fn transactions_are_called_by_their_operations_and_clients() {
    let steps = [
        ("a", 1, &[0][..], ["", ""]),
        ("b", -1, &[], ["1", ""]),
        ("b", -1, &[], ["", ""]),
    ];
    let mut history = history(Workload::ListAppend, &steps, ["1", ""], ["1 100", "101"]);
    for (_, effects) in final_reads(&mut history).filter(|(reader, _)| *reader != "PostgreSQL") {
        effects.collections = Some(texts(&["1 100", ""]));
    }
    let verdict = check(&history);
    let causal = of(&verdict, Property::CausalConsistency);
    let told: Vec<String> = causal.examples.into_iter().map(|one| one.summary).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    Operation 3 of b read key 0 with its initial value, but its session had read a later version before: it misses the write of operation 1 of a. Operation 2 of b read key 0 from operation 1 of a. Operation 2 of b precedes operation 3 of b.
    The final read of a read key 1 with its initial value, but its session had read a later version before: it misses the write of operation 5 of b. Operation 6 of a read key 1 from operation 5 of b. Operation 6 of a precedes the final read of a.
    The final read of b read key 1 with its initial value, but its own session had overwritten that: it misses the write of operation 5 of b. Operation 5 of b precedes the final read of b.
    ");
}

#[test]
fn causality_through_sets_that_were_not_read() {
    // What a read leaves out is still in its past.
    let steps = [
        ("a", 1, &[0][..], ["", ""]),
        ("b", 2, &[1], ["1", ""]),
        ("a", -1, &[], ["1", "2"]),
    ];
    assert_violates(
        &history(Workload::Gset, &steps, ["1", "2"], ["1 100", "2 101"]),
        &[],
    );
}

#[test]
fn what_is_lost_at_the_end() {
    for workload in BOTH {
        let steps = [("a", 1, &[0][..], ["", ""])];
        // Everyone has lost the acknowledged 1, and nothing has overwritten it.
        let mut lost = history(workload, &steps, ["1", ""], ["1 100", "101"]);
        for (_, effects) in final_reads(&mut lost) {
            effects.collections = Some(texts(&["", "101"]));
        }
        let verdict = check(&lost);
        assert!(
            violated(&verdict).contains(&Property::Durability),
            "{verdict:#?}"
        );
        // One replica alone has.
        let mut diverged = history(workload, &steps, ["1", ""], ["1 100", "101"]);
        let mut reads = final_reads(&mut diverged);
        let (_, of_b) = reads.find(|(reader, _)| *reader == "b").unwrap();
        of_b.collections = Some(texts(&["1", "101"]));
        drop(reads);
        let verdict = check(&diverged);
        assert!(
            violated(&verdict).contains(&Property::StrongConvergence),
            "{verdict:#?}"
        );
    }
}

#[test]
fn concurrent_appends_may_be_overwritten_but_not_on_one_copy() {
    let steps = [("a", 1, &[0][..], ["", ""]), ("b", 2, &[0], ["", ""])];
    let mut history = history(Workload::ListAppend, &steps, ["2", ""], ["2 100", "101"]);
    let verdict = check(&history);
    let durability = verdict
        .properties
        .iter()
        .find(|p| p.property == Property::Durability)
        .unwrap();
    assert_eq!(durability.violations, 0);
    assert!(
        durability
            .note
            .as_ref()
            .unwrap()
            .contains("1 acknowledged appends were overwritten")
    );
    for client in &mut history.header.clients {
        client.kind = ClientKind::Sqlite;
    }
    let verdict = check(&history);
    assert!(
        violated(&verdict).contains(&Property::StrictSerializability),
        "{verdict:#?}"
    );
    assert!(
        violated(&verdict).contains(&Property::Durability),
        "{verdict:#?}"
    );
}

#[test]
fn an_emission_before_the_end_of_a_transaction_came_before_it() {
    // In the workload mww: the emission does not see what the open transaction writes.
    let mut story = Story::new(1);
    let open = story.invoke("a", 1, &[0]);
    story.read("a", &[-1]);
    story.ok("a", open, vec![(0, -1)], vec![(0, 1)]);
    story.read("a", &[1]);
    assert_eq!(violated(&story.verdict()), []);
    // After its end it has to.
    story.read("a", &[-1]);
    assert_eq!(violated(&story.verdict()), [Property::ReadYourWrites]);
}

#[test]
fn rows_that_were_not_to_be_read_are_not_missing() {
    use squall_protocol::transaction::{Reads, Transaction};
    for (reads, fine) in [
        (Reads::Nothing, true),
        (Reads::Keys(vec![1]), true),
        (Reads::Keys(vec![0, 1]), false),
        (Reads::All, false),
    ] {
        let mut story = Story::new(2);
        story.write("a", &[-1, -1], 1, &[0, 1]);
        let found = match reads {
            Reads::Nothing => vec![],
            _ => vec![(1, 1)],
        };
        story.record(Event::Invoke {
            client: "a".to_owned(),
            operation: 77,
            transaction: Transaction {
                reads,
                ..Transaction::read_all()
            },
        });
        story.ok("a", 77, found, vec![]);
        assert_eq!(violated(&story.verdict()).is_empty(), fine);
    }
}

#[test]
fn payload_rows() {
    use squall_protocol::ledger::{ClientLedger, LedgerEffects};
    use squall_workloads::payload::rows_after;
    let judge = |change: &dyn Fn(&mut Vec<squall_protocol::payload::PayloadRow>)| {
        let mut story = Story::new(1);
        let operation = story.invoke("a", -1, &[]);
        let mut rows = rows_after("b", 18);
        change(&mut rows);
        let effects = Effects {
            ledger: Some(LedgerEffects {
                reads: vec![ClientLedger {
                    client: "b".to_owned(),
                    count: 18,
                    above: 0,
                    highest: 18,
                    rows: vec![],
                }],
                seq: None,
            }),
            payload: Some(rows),
            ..effects(vec![(0, -1)], vec![])
        };
        story.committed("a", operation, effects);
        let mut history = story.history();
        history.header.workload = Workload::Ledger;
        history.header.payload = true;
        let verdict = check(&history);
        support::of(&verdict, Property::PayloadIntact)
    };
    assert_eq!(judge(&|_| {}).judgement, Judgement::Ok);
    let said = |change: &dyn Fn(&mut Vec<squall_protocol::payload::PayloadRow>)| {
        judge(change).examples[0].summary.clone()
    };
    assert!(
        said(&|rows| {
            rows.pop();
        })
        .contains("lacks the payload row")
    );
    assert!(said(&|rows| rows[0].version -= 1).contains("a stale row"));
    assert!(said(&|rows| rows[0].id = "b/0".to_owned()).contains("must not be there"));
    let body = squall_protocol::payload::PayloadBody {
        bytes: 3,
        digest: 4,
    };
    assert!(said(&|rows| rows[0].body = Some(body)).contains("3 bytes"));
    assert!(said(&|rows| rows[0].version += 1).contains("does not show yet"));
    assert!(
        said(&|rows| {
            rows.remove(0);
        })
        .contains("lacks the payload row")
    );
    // Of what is there too much the first row is named.
    let more = |rows: &mut Vec<squall_protocol::payload::PayloadRow>| {
        let mut row = rows[0].clone();
        row.id = "c/0".to_owned();
        rows.push(row);
    };
    assert!(said(&more).contains("has the payload row c/0"));
    assert_eq!(judge(&more).exercised, 1 + rows_after("b", 18).len() as u64);
    assert_eq!(judge(&more).examples[0].operations, [1]);
}

#[test]
fn payload_of_several_clients_and_of_none() {
    use squall_protocol::ledger::{ClientLedger, LedgerEffects};
    use squall_protocol::transaction::{Reads, Transaction};
    use squall_workloads::payload::rows_after;
    let judge = |reads: Reads, payload: Option<Vec<_>>| {
        let mut story = Story::new(1);
        let operation = story.operation();
        story.record(Event::Invoke {
            client: "a".to_owned(),
            operation,
            transaction: Transaction {
                reads,
                ..Transaction::new(-1, vec![])
            },
        });
        // Their order in the ledger is not that of their ids.
        let clients = ["b2", "b"].map(|client| ClientLedger {
            client: client.to_owned(),
            count: 5,
            above: 0,
            highest: 5,
            rows: vec![],
        });
        let effects = Effects {
            ledger: Some(LedgerEffects {
                reads: clients.into(),
                seq: None,
            }),
            payload,
            ..effects(vec![(0, -1)], vec![])
        };
        story.committed("a", operation, effects);
        let mut history = story.history();
        history.header.workload = Workload::Ledger;
        history.header.payload = true;
        support::of(&check(&history), Property::PayloadIntact)
    };
    let mut rows = rows_after("b2", 5);
    rows.extend(rows_after("b", 5));
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(
        judge(Reads::All, Some(rows.clone())).judgement,
        Judgement::Ok
    );
    let nothing_asked = judge(Reads::Nothing, Some(vec![]));
    assert_eq!((nothing_asked.exercised, nothing_asked.violations), (0, 0));
    let without = judge(Reads::All, None);
    assert_eq!(without.judgement, Judgement::Unknown);
    assert_eq!(without.note.unwrap(), "1 reads have no payload table");
}
