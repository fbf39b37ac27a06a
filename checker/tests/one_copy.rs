//! Strict serializability where there is one copy of the data, planted in histories of every workload.

mod support;

use squall_checker::online::Online;
use squall_checker::{History, check};
use squall_protocol::ledger::{ClientLedger, LedgerEffects, LedgerRow};
use squall_protocol::plan::{ClientKind, Isolation, Workload};
use squall_protocol::transaction::{Effects, Key, Value};
use squall_protocol::verdict::{Judgement, Property};
use support::{Story, violated};

/// A transaction: its client, the keys that it writes (its number is its value), and the transactions
/// that it sees.
struct Transaction {
    client: &'static str,
    keys: &'static [Key],
    sees: &'static [usize],
}

const fn writes(client: &'static str, keys: &'static [Key], sees: &'static [usize]) -> Transaction {
    Transaction { client, keys, sees }
}

const fn reads(client: &'static str, sees: &'static [usize]) -> Transaction {
    writes(client, &[], sees)
}

/// Transactions, and the order in which they begin and end: each is there twice.
type Case = (&'static [Transaction], &'static [usize]);

/// What was seen is there.
const FINE: Case = (
    &[
        writes("a", &[0], &[]),
        writes("b", &[1], &[0]),
        reads("a", &[0, 1]),
        reads("b", &[0, 1]),
    ],
    &[0, 0, 1, 1, 2, 3, 3, 2],
);

/// What had ended is not seen by what begins.
const STALE: Case = (
    &[writes("a", &[0], &[]), reads("b", &[]), reads("b", &[0])],
    &[0, 0, 1, 1, 2, 2],
);

/// Each of two that overlap has to come before the other.
const WRITE_SKEW: Case = (
    &[
        writes("a", &[0], &[]),
        writes("b", &[1], &[]),
        reads("a", &[0, 1]),
        reads("b", &[0, 1]),
    ],
    &[0, 1, 0, 1, 2, 2, 3, 3],
);

/// Two that only read see two writes in two orders.
const LONG_FORK: Case = (
    &[
        writes("a", &[0], &[]),
        writes("b", &[1], &[]),
        reads("c", &[0]),
        reads("d", &[1]),
    ],
    &[0, 1, 2, 3, 0, 1, 2, 3],
);

/// The outside world undoes a write.
const UNDONE: Case = (
    &[writes("a", &[0], &[]), reads("a", &[0]), reads("a", &[])],
    &[0, 0, 1, 1, 2, 2],
);

fn history(workload: Workload, kinds: &[ClientKind], (transactions, order): Case) -> History {
    let clients = ["a", "b", "c", "d"].into_iter();
    let mut story = Story::with_clients(2, clients.zip(kinds.iter().copied()));
    let mut numbers: Vec<Option<u64>> = vec![None; transactions.len()];
    for at in order {
        let transaction = &transactions[*at];
        let (client, value) = (transaction.client, *at as Value);
        match numbers[*at] {
            None => numbers[*at] = Some(story.invoke(client, value, transaction.keys)),
            Some(operation) => {
                let seen = |key: Key| {
                    let wrote = move |at: &&usize| transactions[**at].keys.contains(&key);
                    transaction.sees.iter().filter(wrote)
                };
                let row = |key| seen(key).max().map_or(-1, |at| *at as Value);
                let text = |key| {
                    let elements: Vec<String> = seen(key).map(usize::to_string).collect();
                    elements.join(" ")
                };
                let of_rows = matches!(workload, Workload::Mww | Workload::Ledger);
                let collections = (0..2).map(|key| (key, text(key))).collect();
                let keys = transaction.keys.iter();
                let writes: Vec<(Key, Value)> = keys.map(|key| (*key, value)).collect();
                let effects = Effects {
                    reads: if of_rows {
                        (0..2).map(|key| (key, row(key))).collect()
                    } else {
                        Vec::new()
                    },
                    writes,
                    ledger: (workload == Workload::Ledger).then(|| ledger(transactions, *at)),
                    collections: (!of_rows).then_some(collections),
                    payload: None,
                };
                story.committed(client, operation, effects);
            }
        }
    }
    let mut history = story.history();
    history.header.workload = workload;
    history
}

/// What a transaction did with the ledger. It reads all of it.
fn ledger(transactions: &[Transaction], at: usize) -> LedgerEffects {
    let own = &transactions[at];
    let number = |at: usize| {
        let before = transactions[..at].iter();
        let before = before.filter(|t| t.client == transactions[at].client && !t.keys.is_empty());
        before.count() as i64 + 1
    };
    let mut reads: Vec<ClientLedger> = Vec::new();
    for client in ["a", "b", "c", "d"] {
        let seen = own.sees.iter().copied();
        let rows: Vec<LedgerRow> = seen
            .filter(|at| transactions[*at].client == client)
            .map(|at| LedgerRow {
                seq: number(at),
                id: at.to_string(),
                writes: format!("{:?}", transactions[at].keys),
                copies: 1,
            })
            .collect();
        if let Some(highest) = rows.iter().map(|row| row.seq).max() {
            reads.push(ClientLedger {
                client: client.to_owned(),
                above: 0,
                count: rows.len() as i64,
                highest,
                rows,
            });
        }
    }
    LedgerEffects {
        reads,
        seq: (!own.keys.is_empty()).then(|| number(at)),
    }
}

/// The workloads that can be judged for it.
const WORKLOADS: [Workload; 4] = [
    Workload::Mww,
    Workload::Ledger,
    Workload::ListAppend,
    Workload::Gset,
];

/// Asserts that a case violates strict serializability and these, of every workload, in a file and on
/// the wire.
#[track_caller]
fn assert_violates(kinds: &[ClientKind], case: Case, others: &[Property]) {
    for workload in WORKLOADS {
        let mut history = history(workload, kinds, case);
        history.header.isolation = Isolation::Serializable;
        let verdict = check(&history);
        let mut broken = violated(&verdict);
        assert_eq!(
            broken.pop(),
            Some(Property::StrictSerializability),
            "{workload:?}"
        );
        for other in others {
            assert!(broken.contains(other), "{workload:?} {broken:?}");
        }
        assert_eq!(
            broken.is_empty(),
            others.is_empty(),
            "{workload:?} {broken:?}"
        );
        let mut online = Online::new(&history.header);
        for record in &history.records {
            online.push(record);
        }
        assert_eq!(violated(&online.verdict()), violated(&verdict));
    }
}

use ClientKind::{Local, Native, Postgres, Sqlite, Sqlite3};

const FILE: [ClientKind; 4] = [Sqlite, Sqlite3, Sqlite, Sqlite3];

#[test]
fn one_order_in_real_time() {
    for workload in WORKLOADS {
        let verdict = check(&history(workload, &FILE, FINE));
        assert_eq!(violated(&verdict), []);
        let strict = support::of(&verdict, Property::StrictSerializability);
        assert_eq!(strict.judgement, Judgement::Ok, "{workload:?}");
    }
}

#[test]
fn what_had_ended_is_not_seen() {
    assert_violates(&FILE[..2], STALE, &[]);
    assert_violates(&[Postgres; 2], STALE, &[]);
}

#[test]
fn two_come_before_each_other() {
    assert_violates(&FILE[..2], WRITE_SKEW, &[]);
    assert_violates(&[Postgres; 2], WRITE_SKEW, &[]);
    assert_violates(&FILE, LONG_FORK, &[]);
}

#[test]
fn a_write_is_undone() {
    for kind in [Local, Native, Sqlite, Postgres] {
        assert_violates(&[kind], UNDONE, &[Property::ReadYourWrites]);
    }
}

#[test]
fn elsewhere_it_is_no_part_of_the_verdict() {
    for kinds in [
        &[Native, Native][..],
        &[Sqlite, Local],
        &[Postgres, Postgres],
    ] {
        for workload in WORKLOADS {
            for case in [STALE, WRITE_SKEW] {
                let verdict = check(&history(workload, kinds, case));
                assert_eq!(violated(&verdict), [], "{workload:?}");
            }
        }
    }
}
