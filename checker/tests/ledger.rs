//! One healthy history of the workload `ledger`, and one way to break each of its properties at a time.

use squall_checker::{History, check};
use squall_protocol::history::Event;
use squall_protocol::ledger::{ClientLedger, LedgerEffects, LedgerRead, LedgerRow};
use squall_protocol::plan::Workload;
use squall_protocol::transaction::Rows;
use squall_protocol::verdict::{Judgement, Property, Verdict};

mod support;

use support::{Story, of, violated};

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
    for record in &mut history.records {
        match &mut record.event {
            Event::Invoke {
                operation,
                transaction,
                ..
            } => {
                told.insert(*operation, transaction.value);
            }
            Event::Ok {
                client,
                operation,
                writes,
                ledger,
                ..
            } => {
                let above = |of: &str| *seen.get(&(client.clone(), of.to_owned())).unwrap_or(&0);
                let reads = view(&done, &above);
                for of in &reads {
                    seen.insert((client.clone(), of.client.clone()), of.highest);
                }
                let value = told[operation];
                let seq = (value >= 0).then(|| append(&mut done, client, value, writes));
                *ledger = Some(LedgerEffects { reads, seq });
            }
            Event::Info { client, .. } => {
                append(&mut done, client, 5, &vec![(2, 5)]);
            }
            Event::FinalRead { ledger, .. } | Event::FinalReadPostgres { ledger, .. } => {
                *ledger = Some(view(&done, &|_| 0));
            }
            _ => {}
        }
    }
}

/// The ledger that the client read in its `number`th operation, from 0.
fn read_of<'h>(history: &'h mut History, reader: &str, number: usize) -> &'h mut LedgerRead {
    let reads = history.records.iter_mut();
    let mut reads = reads.filter_map(|record| match &mut record.event {
        Event::Ok {
            client,
            ledger: Some(ledger),
            ..
        } if client == reader => Some(&mut ledger.reads),
        _ => None,
    });
    reads.nth(number).unwrap()
}

fn final_read_of<'h>(history: &'h mut History, reader: &str) -> &'h mut LedgerRead {
    let mut reads = history.records.iter_mut();
    let read = reads.find_map(|record| match &mut record.event {
        Event::FinalRead {
            client,
            ledger: Some(ledger),
            ..
        } if client == reader => Some(ledger),
        Event::FinalReadPostgres {
            ledger: Some(ledger),
            ..
        } if reader == "PostgreSQL" => Some(ledger),
        _ => None,
    });
    read.unwrap()
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
        Event::Ok { client, writes, .. } if client == "b" => Some(writes),
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
        if let Event::Ok { ledger, .. } = &mut record.event {
            *ledger = None;
        }
    }
    let verdict = check(&history);
    let found = of(&verdict, Property::AtomicTransactions);
    assert_eq!(found.judgement, Judgement::Unknown, "{found:?}");
}
