//! One healthy history of the workload `ledger`, and one way to break each of its properties at a time.

use squall_checker::{History, check};
use squall_protocol::history::{Event, Phase};
use squall_protocol::ledger::{ClientLedger, LedgerEffects, LedgerRead, LedgerRow};
use squall_protocol::plan::{ClientKind, Isolation, Workload};
use squall_protocol::transaction::{Effects, Reads, Rows, Transaction};
use squall_protocol::verdict::{Judgement, Property, Verdict};

mod support;

use support::{Story, effects, final_reads, of, violated};

fn row(seq: i64, value: i64, keys: &str) -> LedgerRow {
    LedgerRow {
        seq,
        id: value.to_string(),
        writes: keys.to_owned(),
        copies: 1,
    }
}

/// A run in which `a` and then `b` write twice each, everyone reads, and everything is found at the end.
/// `mww` comes from the [`Story`]; the ledger parts are what such a run would have recorded.
fn healthy() -> History {
    let mut story = Story::new(3);
    story.write("a", &[-1, -1, -1], 1, &[0, 1]);
    story.write("a", &[1, 1, -1], 2, &[2]);
    story.write("b", &[1, 1, 2], 3, &[1]);
    story.read("c", &[1, 3, 2]);
    story.write("b", &[1, 3, 2], 4, &[0]);
    let lost = story.invoke("c", 5, &[2]);
    story.info("c", lost);
    story.good_end(&[4, 3, 5]);
    let mut history = story.history();
    history.header.workload = Workload::Ledger;
    annotate(&mut history);
    history
}

/// Writes the ledger into a history in which every read is of everything that was done before.
fn annotate(history: &mut History) {
    let mut done: Vec<(String, LedgerRow)> = Vec::new();
    let mut seen: std::collections::HashMap<(String, String), i64> = Default::default();
    let mut told: std::collections::HashMap<u64, i64> = Default::default();
    let append = |done: &mut Vec<(String, LedgerRow)>, client: &str, value: i64, writes: &Rows| {
        let seq = 1 + done.iter().filter(|(of, _)| of == client).count() as i64;
        let keys: Vec<u32> = writes.iter().map(|(key, _)| *key).collect();
        let keys = serde_json::to_string(&keys).unwrap();
        done.push((client.to_owned(), row(seq, value, &keys)));
        seq
    };
    let view = |done: &[(String, LedgerRow)], above: &dyn Fn(&str) -> i64| -> LedgerRead {
        let mut clients: Vec<&String> = done.iter().map(|(client, _)| client).collect();
        clients.sort();
        clients.dedup();
        let of = |client: &String| {
            let rows = done.iter().filter(|(of, _)| of == client);
            let rows: Vec<LedgerRow> = rows.map(|(_, row)| row.clone()).collect();
            ClientLedger {
                above: 0,
                client: client.clone(),
                count: rows.len() as i64,
                highest: rows.len() as i64,
                rows: rows
                    .into_iter()
                    .filter(|row| row.seq > above(client))
                    .collect(),
            }
        };
        clients.into_iter().map(of).collect()
    };
    let mut phase = Phase::Start;
    for record in &mut history.records {
        match &mut record.event {
            Event::Invoke {
                operation,
                transaction,
                ..
            } => {
                told.insert(*operation, transaction.value);
            }
            Event::Phase(next) => phase = *next,
            Event::Ok {
                client,
                operation,
                effects,
            } => {
                let above = |of: &str| match phase {
                    Phase::FinalRead => 0,
                    _ => *seen.get(&(client.clone(), of.to_owned())).unwrap_or(&0),
                };
                let reads = view(&done, &above);
                for of in &reads {
                    seen.insert((client.clone(), of.client.clone()), of.highest);
                }
                let value = told[operation];
                let seq = (value >= 0).then(|| append(&mut done, client, value, &effects.writes));
                effects.ledger = Some(LedgerEffects { reads, seq });
            }
            Event::Info { client, .. } => {
                append(&mut done, client, 5, &vec![(2, 5)]);
            }
            Event::FinalReadPostgres {
                effects: Some(effects),
                ..
            } => effects.ledger = all_of(view(&done, &|_| 0)),
            _ => {}
        }
    }
}

/// What a final read has found in the ledger.
fn all_of(reads: LedgerRead) -> Option<LedgerEffects> {
    Some(LedgerEffects { reads, seq: None })
}

/// The ledger that the client read in its `number`th operation, from 0.
fn read_of<'h>(history: &'h mut History, reader: &str, number: usize) -> &'h mut LedgerRead {
    let reads = history.records.iter_mut();
    let mut reads = reads.filter_map(|record| match &mut record.event {
        Event::Ok {
            client, effects, ..
        } if client == reader => effects.ledger.as_mut(),
        _ => None,
    });
    &mut reads.nth(number).unwrap().reads
}

fn final_read_of<'h>(history: &'h mut History, reader: &str) -> &'h mut LedgerRead {
    let mut reads = final_reads(history);
    let (_, effects) = reads.find(|(client, _)| *client == reader).unwrap();
    &mut effects.ledger.as_mut().unwrap().reads
}

fn part<'l>(ledger: &'l mut LedgerRead, client: &str) -> &'l mut ClientLedger {
    ledger.iter_mut().find(|of| of.client == client).unwrap()
}

#[track_caller]
fn assert_violates(history: &History, properties: &[Property]) -> Verdict {
    let verdict = check(history);
    assert_eq!(violated(&verdict), properties, "{verdict:#?}");
    verdict
}

#[test]
fn a_healthy_history_is_ok_and_tests_everything() {
    let verdict = check(&healthy());
    assert_eq!(verdict.judgement, Judgement::Ok, "{verdict:#?}");
    for property in Property::LEDGER {
        let found = of(&verdict, property);
        assert!(found.exercised > 0, "{found:?}");
        assert_eq!(found.note, None);
    }
}

#[test]
fn a_transaction_is_missing_in_the_middle() {
    let mut history = healthy();
    let a = part(read_of(&mut history, "c", 0), "a");
    a.rows.remove(0);
    a.count = 1;
    // Row 0 still has its value, so the transaction is not there as a whole either.
    assert_violates(
        &history,
        &[Property::AtomicTransactions, Property::GaplessPrefix],
    );
}

#[test]
fn a_read_may_count_the_latest_rows_only() {
    let counts_above_1 = |count| {
        let mut history = healthy();
        let a = part(read_of(&mut history, "b", 3), "a");
        assert_eq!((a.count, a.highest), (3, 3));
        (a.above, a.count) = (1, count);
        history
    };
    assert_eq!(check(&counts_above_1(2)).judgement, Judgement::Ok);
    for wrong in [1, 3] {
        let verdict = assert_violates(&counts_above_1(wrong), &[Property::GaplessPrefix]);
        let summary = &of(&verdict, Property::GaplessPrefix).examples[0].summary;
        assert!(summary.contains("with numbers above 1"), "{summary}");
    }
}

#[test]
fn a_transaction_that_was_seen_is_seen_no_more() {
    let mut history = healthy();
    let last = read_of(&mut history, "b", 3);
    let a = part(last, "a");
    (a.count, a.highest) = (1, 1);
    a.rows.clear();
    assert_violates(&history, &[Property::GaplessPrefix]);
}

#[test]
fn a_client_does_not_see_its_own_transaction() {
    let mut history = healthy();
    let second = read_of(&mut history, "a", 1);
    second.clear();
    assert_violates(
        &history,
        &[Property::AtomicTransactions, Property::GaplessPrefix],
    );
}

#[test]
fn postgresql_inserted_a_client_s_transactions_in_another_order() {
    let mut history = healthy();
    let b = part(final_read_of(&mut history, "PostgreSQL"), "b");
    b.rows.swap(0, 1);
    assert_violates(&history, &[Property::GaplessPrefix]);
}

#[test]
fn a_row_is_there_without_its_writes() {
    let mut history = healthy();
    let reads = history.records.iter_mut().rev();
    let mut reads = reads.filter_map(|record| match &mut record.event {
        Event::Ok {
            client, effects, ..
        } if client == "b" => Some(&mut effects.writes),
        _ => None,
    });
    // b's first transaction also wrote row 0, it says, and so does its row; but nobody sees that.
    let writes = reads.nth(3).unwrap();
    writes.insert(0, (0, 3));
    drop(reads);
    let verdict = check(&history);
    assert!(violated(&verdict).contains(&Property::NoThinAirTransaction));

    let mut history = healthy();
    part(read_of(&mut history, "c", 0), "b").rows[0].writes = "[0,1]".to_owned();
    let verdict = check(&history);
    assert!(
        violated(&verdict).contains(&Property::AtomicTransactions),
        "{verdict:#?}"
    );
}

#[test]
fn a_value_is_there_without_its_row() {
    let mut history = healthy();
    let b = part(read_of(&mut history, "c", 0), "b").clone();
    assert_eq!(b.highest, 1);
    read_of(&mut history, "c", 0).retain(|of| of.client != "b");
    // The next read shows what follows on a row that this one did not.
    assert_violates(
        &history,
        &[Property::AtomicTransactions, Property::GaplessPrefix],
    );
}

#[test]
fn a_transaction_is_applied_twice() {
    let mut history = healthy();
    for reader in ["a", "b", "c", "p", "PostgreSQL"] {
        part(final_read_of(&mut history, reader), "a").rows[1].copies = 2;
    }
    let verdict = assert_violates(&history, &[Property::NoDuplicateTransaction]);
    let found = of(&verdict, Property::NoDuplicateTransaction);
    assert_eq!(found.violations, 5);
    assert!(found.examples[0].summary.contains("inserted 2 times"));
}

#[test]
fn a_transaction_has_two_rows() {
    let mut history = healthy();
    let a = part(final_read_of(&mut history, "PostgreSQL"), "a");
    let mut again = a.rows[0].clone();
    again.seq = a.highest + 1;
    a.rows.push(again);
    a.count += 1;
    a.highest += 1;
    assert_violates(
        &history,
        &[
            Property::NoDuplicateTransaction,
            Property::NoThinAirTransaction,
        ],
    );
}

#[test]
fn a_row_was_written_by_nobody() {
    let wrong: [fn(&mut LedgerRow); 4] = [
        |row| row.id = "77".to_owned(),
        |row| row.id = "no number".to_owned(),
        |row| row.writes = "[2,".to_owned(),
        |row| row.id = "3".to_owned(),
    ];
    for wrong in wrong {
        let mut history = healthy();
        wrong(&mut part(final_read_of(&mut history, "PostgreSQL"), "a").rows[1]);
        let verdict = check(&history);
        let found = of(&verdict, Property::NoThinAirTransaction);
        assert_eq!(found.violations, 1, "{verdict:#?}");
    }
}

#[test]
fn a_row_of_a_failed_transaction_is_read() {
    let mut history = healthy();
    for record in &mut history.records {
        if let Event::Info {
            client,
            operation,
            error,
        } = &record.event
        {
            record.event = Event::Fail {
                client: client.clone(),
                operation: *operation,
                error: error.clone(),
            };
        }
    }
    // Its value in row 2 is an aborted read as well.
    assert_violates(
        &history,
        &[Property::NoThinAirRead, Property::NoThinAirTransaction],
    );
}

#[test]
fn reads_do_not_agree_on_a_transaction_whose_answer_was_lost() {
    let mut history = healthy();
    part(final_read_of(&mut history, "b"), "c").rows[0].writes = "[]".to_owned();
    assert_violates(&history, &[Property::NoThinAirTransaction]);
}

#[test]
fn an_acknowledged_transaction_is_in_no_final_read() {
    let mut history = healthy();
    for reader in ["a", "b", "c", "p", "PostgreSQL"] {
        let p = part(final_read_of(&mut history, reader), "p");
        p.rows.pop();
        p.count -= 1;
        p.highest -= 1;
    }
    let verdict = check(&history);
    let found = of(&verdict, Property::Durability);
    assert_eq!(found.violations, 5, "{verdict:#?}");
}

#[test]
fn one_replica_lacks_a_transaction_whose_answer_was_lost() {
    let mut history = healthy();
    final_read_of(&mut history, "PostgreSQL").retain(|of| of.client != "c");
    let verdict = check(&history);
    assert_eq!(of(&verdict, Property::Durability).violations, 2);
}

#[test]
fn a_history_without_its_ledger_proves_nothing_of_it() {
    let mut history = healthy();
    for record in &mut history.records {
        if let Event::Ok { effects, .. } = &mut record.event {
            effects.ledger = None;
        }
    }
    let verdict = check(&history);
    let found = of(&verdict, Property::AtomicTransactions);
    assert_eq!(found.judgement, Judgement::Unknown, "{found:?}");
}

#[test]
fn how_often_each_property_is_put_to_the_test() {
    let verdict = check(&healthy());
    let exercised = Property::LEDGER.map(|property| of(&verdict, property).exercised);
    assert_eq!(exercised, [100, 147, 81, 81, 45]);
}

/// The ledger with all rows of each client: values and keys, numbered from 1.
fn shows(clients: &[(&str, &[(i64, &str)])]) -> LedgerRead {
    let clients = clients.iter();
    let of = clients.map(|(client, rows)| ClientLedger {
        client: (*client).to_owned(),
        count: rows.len() as i64,
        above: 0,
        highest: rows.len() as i64,
        rows: (1..)
            .zip(*rows)
            .map(|(seq, (value, keys))| row(seq, *value, keys))
            .collect(),
    });
    of.collect()
}

/// An operation that ends at once.
fn done(
    story: &mut Story,
    client: &str,
    (value, keys, seq): (i64, &[u32], Option<i64>),
    values: &[i64],
    reads: LedgerRead,
) -> u64 {
    let operation = story.invoke(client, value, keys);
    ended(
        story,
        client,
        operation,
        (value, keys, seq),
        (values, reads),
    );
    operation
}

fn ended(
    story: &mut Story,
    client: &str,
    operation: u64,
    (value, keys, seq): (i64, &[u32], Option<i64>),
    (values, reads): (&[i64], LedgerRead),
) {
    let writes = keys.iter().map(|key| (*key, value)).collect();
    let effects = Effects {
        ledger: Some(LedgerEffects { reads, seq }),
        ..effects(support::rows(values), writes)
    };
    story.committed(client, operation, effects);
}

fn of_ledger(story: &Story) -> History {
    let mut history = story.history();
    history.header.workload = Workload::Ledger;
    history
}

/// After the heal `b` writes 100 to row 0 as its first transaction; everyone reads these rows and that
/// ledger at the end, and all but those in `stuck` drain their queues.
fn end(story: &mut Story, values: &[i64], ledger: &LedgerRead, stuck: &[&str]) {
    story.phase(Phase::Heal);
    story.phase(Phase::Probe);
    let before: LedgerRead = ledger
        .iter()
        .filter(|of| of.client != "b")
        .cloned()
        .collect();
    let mut old = values.to_vec();
    old[0] = -1;
    done(story, "b", (100, &[0], Some(1)), &old, before);
    for client in ["a", "b"] {
        done(story, client, (-1, &[], None), values, ledger.clone());
        story.status(
            client,
            u64::from(stuck.contains(&client)),
            !stuck.contains(&client),
        );
    }
    story.phase(Phase::FinalRead);
    for client in ["a", "b"] {
        story.final_read(client, values);
        story.integrity(client, &["ok"]);
    }
    story.postgres(values);
    story.wait_ms(200);
    story.phase(Phase::Complete);
}

/// The history with that ledger in all final reads.
fn with_final_ledger(story: &Story, shown: &LedgerRead) -> History {
    let mut history = of_ledger(story);
    for (_, effects) in final_reads(&mut history) {
        effects.ledger = all_of(shown.clone());
    }
    history
}

fn two_clients() -> Story {
    Story::with_clients(2, ["a", "b"].map(|name| (name, ClientKind::Native)))
}

#[test]
fn what_was_on_a_lost_database_is_not_missed() {
    let with_databases = |first: &str, second: &str| {
        let mut story = two_clients();
        story.start("a", 1, first);
        done(&mut story, "a", (1, &[1], Some(1)), &[-1, -1], shows(&[]));
        story.start("a", 2, second);
        done(&mut story, "a", (-1, &[], None), &[-1, -1], shows(&[]));
        let ledger = shows(&[("b", &[(100, "[0]")])]);
        end(&mut story, &[100, -1], &ledger, &[]);
        violated(&check(&with_final_ledger(&story, &ledger)))
    };
    assert_eq!(with_databases("one", "two"), [Property::StorageIntact]);
    assert_eq!(
        with_databases("one", "one"),
        [
            Property::ReadYourWrites,
            Property::StrongConvergence,
            Property::GaplessPrefix,
            Property::Durability
        ]
    );
}

#[test]
fn durability_says_nothing_of_clients_that_did_not_drain_their_queues() {
    let with_stuck = |stuck: &[&str]| {
        let mut story = two_clients();
        done(&mut story, "a", (1, &[1], Some(1)), &[-1, -1], shows(&[]));
        let all = shows(&[("a", &[(1, "[1]")]), ("b", &[(100, "[0]")])]);
        end(&mut story, &[100, 1], &all, stuck);
        let mut history = with_final_ledger(&story, &all);
        *final_read_of(&mut history, "PostgreSQL") = shows(&[("b", &[(100, "[0]")])]);
        *final_read_of(&mut history, "b") = shows(&[("b", &[(100, "[0]")])]);
        of(&check(&history), Property::Durability).violations
    };
    assert_eq!(with_stuck(&[]), 2);
    assert_eq!(with_stuck(&["a"]), 0);
}

#[test]
fn final_reads_that_are_missing_are_named() {
    for reader in ["a", "PostgreSQL"] {
        let mut history = healthy();
        let mut phase = Phase::Start;
        history.records.retain(|record| match &record.event {
            Event::Phase(next) => {
                phase = *next;
                true
            }
            Event::Ok { client, .. } => phase != Phase::FinalRead || client != reader,
            Event::FinalReadPostgres { .. } => reader != "PostgreSQL",
            _ => true,
        });
        let found = of(&check(&history), Property::Durability);
        assert_eq!(found.judgement, Judgement::Unknown, "{reader}");
        let note = found.note.unwrap();
        assert!(
            note.starts_with(&format!("{reader}'s final read")),
            "{note}"
        );
    }
}

/// The lost operation of `c` in [`healthy`] ends so, before or after what it wrote was read.
fn ending(failed: bool, late: bool) -> History {
    let mut history = healthy();
    let records = &mut history.records;
    let place = records
        .iter()
        .position(|record| matches!(record.event, Event::Info { .. }))
        .unwrap();
    let mut record = records.remove(place);
    if let (
        true,
        Event::Info {
            client,
            operation,
            error,
        },
    ) = (failed, &record.event)
    {
        record.event = Event::Fail {
            client: client.clone(),
            operation: *operation,
            error: error.clone(),
        };
    }
    let place = if late { records.len() } else { place };
    records.insert(place, record);
    history
}

/// Takes the row of that operation away, as if `c` had never inserted it.
fn without_the_lost(history: &mut History) {
    let forget = |ledger: &mut LedgerRead| {
        for of in ledger.iter_mut().filter(|of| of.client == "c") {
            of.rows.retain(|row| row.id != "5");
            of.rows.iter_mut().for_each(|row| row.seq -= 1);
            (of.count, of.highest) = (of.count - 1, of.highest - 1);
        }
    };
    for record in &mut history.records {
        match &mut record.event {
            Event::Ok {
                client, effects, ..
            } => {
                let ledger = effects.ledger.as_mut().unwrap();
                forget(&mut ledger.reads);
                if let ("c", Some(seq)) = (client.as_str(), &mut ledger.seq) {
                    *seq -= 1;
                }
            }
            Event::FinalReadPostgres {
                effects: Some(effects),
                ..
            } => forget(&mut effects.ledger.as_mut().unwrap().reads),
            _ => {}
        }
    }
}

#[test]
fn a_row_waits_for_the_end_of_its_operation() {
    for late in [false, true] {
        assert_eq!(violated(&check(&ending(false, late))), []);
        let aborted = [Property::NoThinAirRead, Property::NoThinAirTransaction];
        assert_violates(&ending(true, late), &aborted);
        for (failed, property) in [
            (false, Property::AtomicTransactions),
            (true, Property::NoThinAirRead),
        ] {
            let mut history = ending(failed, late);
            without_the_lost(&mut history);
            assert_violates(&history, &[property]);
        }
    }
}

#[test]
fn examples_are_told_in_the_order_of_their_reads() {
    let mut story = two_clients();
    let pending = story.invoke("b", 1, &[0]);
    let waits = shows(&[("b", &[(1, "[0]")])]);
    done(&mut story, "a", (-1, &[], None), &[1, -1], waits);
    let at_once = shows(&[("b", &[(1, "[0]"), (7, "[1]")])]);
    done(&mut story, "a", (-1, &[], None), &[1, 7], at_once);
    story.fail("b", pending);
    let found = of(&check(&of_ledger(&story)), Property::NoThinAirTransaction);
    let told: Vec<&[u64]> = found.examples.iter().map(|e| &e.operations[..]).collect();
    // The reader, and who wrote it.
    assert_eq!(told, [&[2, 1][..], &[3], &[3, 1]], "{found:#?}");
}

#[test]
fn what_contradicts_the_history_changes_nothing() {
    let contradictions: [fn(&mut Story); 5] = [
        |story| story.fail("a", 1),
        |story| story.info("a", 1),
        |story| story.fail("b", 2),
        |story| {
            story.record(Event::Invoke {
                client: "b".to_owned(),
                operation: 1,
                transaction: Transaction::new(77, vec![1]),
            });
        },
        |story| ended(story, "a", 1, (1, &[0], Some(9)), (&[-1, -1], shows(&[]))),
    ];
    for (number, contradict) in contradictions.into_iter().enumerate() {
        let mut story = two_clients();
        done(&mut story, "a", (1, &[0], Some(1)), &[-1, -1], shows(&[]));
        let second = story.invoke("a", 2, &[1]);
        contradict(&mut story);
        let first = shows(&[("a", &[(1, "[0]")])]);
        ended(
            &mut story,
            "a",
            second,
            (2, &[1], Some(2)),
            (&[1, -1], first),
        );
        let both = shows(&[("a", &[(1, "[0]"), (2, "[1]")])]);
        done(&mut story, "b", (-1, &[], None), &[1, 2], both);
        assert_eq!(violated(&check(&of_ledger(&story))), [], "{number}");
    }
}

#[test]
fn a_transaction_that_reads_nothing_shows_nothing() {
    let mut story = two_clients();
    done(&mut story, "a", (1, &[0], Some(1)), &[-1, -1], shows(&[]));
    let operation = story.operation();
    story.record(Event::Invoke {
        client: "a".to_owned(),
        operation,
        transaction: Transaction {
            reads: Reads::Nothing,
            ..Transaction::new(2, vec![1])
        },
    });
    ended(
        &mut story,
        "a",
        operation,
        (2, &[1], Some(2)),
        (&[], shows(&[])),
    );
    assert_eq!(violated(&check(&of_ledger(&story))), []);
}

#[test]
fn values_may_be_of_any_size() {
    let (large, largest) = (1 << 24, i64::MAX);
    let mut story = two_clients();
    done(
        &mut story,
        "a",
        (large - 1, &[0], Some(1)),
        &[-1, -1],
        shows(&[]),
    );
    let first = (large - 1, "[0]");
    done(
        &mut story,
        "a",
        (large, &[1], Some(2)),
        &[large - 1, -1],
        shows(&[("a", &[first])]),
    );
    let two = [first, (large, "[1]")];
    done(
        &mut story,
        "a",
        (largest, &[1], Some(3)),
        &[large - 1, large],
        shows(&[("a", &two)]),
    );
    let three = shows(&[("a", &[first, two[1], (largest, "[1]")])]);
    done(
        &mut story,
        "b",
        (-1, &[], None),
        &[large - 1, largest],
        three,
    );
    let verdict = check(&of_ledger(&story));
    assert_eq!(violated(&verdict), [], "{verdict:#?}");
}

#[test]
fn a_row_is_read_by_the_operation_that_inserted_it() {
    let mut history = healthy();
    let a = part(read_of(&mut history, "a", 1), "a");
    a.rows.push(row(2, 2, "[2]"));
    (a.count, a.highest) = (2, 2);
    let found = of(&check(&history), Property::NoThinAirTransaction);
    let summary = &found.examples[0].summary;
    assert!(summary.contains("only after it had read"), "{summary}");
}

#[test]
fn a_row_names_a_key_that_its_operation_was_not_told_to_write() {
    let mut history = healthy();
    for reader in ["a", "b", "c", "p", "PostgreSQL"] {
        part(final_read_of(&mut history, reader), "c").rows[0].writes = "[1,2]".to_owned();
    }
    let found = of(&check(&history), Property::NoThinAirTransaction);
    assert_eq!(found.violations, 5);
    let summary = &found.examples[0].summary;
    assert!(summary.contains("was told to write"), "{summary}");
}

#[test]
fn explanations_name_the_gap_and_the_operations() {
    let mut history = healthy();
    let a = part(read_of(&mut history, "c", 0), "a");
    a.rows.remove(0);
    a.count = 1;
    let found = of(&check(&history), Property::GaplessPrefix);
    insta::assert_snapshot!(found.examples[0].summary, @"c's operation 4 shows 1 transactions of a, of which the highest number is 2; number 1 is missing.");
    assert_eq!(found.examples[0].operations, [4]);

    let mut history = healthy();
    read_of(&mut history, "a", 1).clear();
    let verdict = check(&history);
    let found = of(&verdict, Property::GaplessPrefix);
    insta::assert_snapshot!(found.examples[0].summary, @"a's operation 2 shows 0 transactions of its own client, whose operation 1 before was number 1.");
    assert_eq!(found.examples[0].operations, [2, 1]);
    let found = of(&verdict, Property::AtomicTransactions);
    insta::assert_snapshot!(found.examples[0].summary, @"a's operation 2 has k0 = 1, which a wrote in operation 1, but the ledger has no row of that transaction.");
    assert_eq!(found.examples[0].operations, [2, 1]);
}

/// Where the fleet tells that there is one copy of the data, and only there, a run is judged by strict
/// serializability; a run that was not is never fine.
#[test]
fn one_copy_is_known_by_its_fleet() {
    use ClientKind::*;
    let fleets: [(&[ClientKind], Isolation, bool); 11] = [
        (&[], Isolation::Serializable, false),
        (&[Sqlite, Sqlite3, Sqlite], Isolation::ReadCommitted, true),
        (&[Sqlite, Postgres], Isolation::Serializable, false),
        (&[Local], Isolation::ReadCommitted, true),
        (&[Local, Local], Isolation::ReadCommitted, false),
        (&[Native], Isolation::ReadCommitted, true),
        (&[Native, Native], Isolation::Serializable, false),
        (&[Native, Postgres], Isolation::Serializable, false),
        (&[Postgres, Postgres], Isolation::Serializable, true),
        (&[Postgres, Postgres], Isolation::ReadCommitted, false),
        (&[Postgres], Isolation::ReadCommitted, false),
    ];
    for (kinds, isolation, expected) in fleets {
        for workload in [
            Workload::Mww,
            Workload::Ledger,
            Workload::ListAppend,
            Workload::Gset,
        ] {
            let names = ["a", "b", "c"].into_iter().zip(kinds.iter().copied());
            let mut history = Story::with_clients(1, names).history();
            history.header.workload = workload;
            history.header.isolation = isolation;
            let verdict = check(&history);
            let mut properties = verdict.properties.iter().map(|found| found.property);
            let found = properties.any(|property| property == Property::StrictSerializability);
            assert_eq!(found, expected, "{workload:?} {kinds:?} {isolation:?}");
        }
    }
}

#[test]
fn a_stale_read_of_the_only_copy_is_a_violation() {
    for (read, expected) in [(1, None), (-1, Some(Property::StrictSerializability))] {
        let kinds = ["a", "b"].map(|name| (name, ClientKind::Sqlite));
        let mut story = Story::with_clients(1, kinds);
        done(&mut story, "a", (1, &[0], Some(1)), &[-1], shows(&[]));
        let ledger = match read {
            1 => shows(&[("a", &[(1, "[0]")])]),
            _ => shows(&[]),
        };
        done(&mut story, "b", (-1, &[], None), &[read], ledger);
        assert!(
            violated(&check(&of_ledger(&story)))
                .into_iter()
                .eq(expected)
        );
    }
}
