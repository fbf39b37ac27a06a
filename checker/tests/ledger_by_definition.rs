//! The properties of the ledger against their definitions, read off a history word by word.

#[path = "support/random_ledger.rs"]
mod random_ledger;
mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use squall_checker::{History, check};
use squall_protocol::history::{Event, Phase};
use squall_protocol::ledger::{ClientLedger, LedgerRead, LedgerRow};
use squall_protocol::plan::ClientKind;
use squall_protocol::transaction::{Key, Rows, Transaction, Value};
use squall_protocol::verdict::Property;
use support::of;

struct Operation<'h> {
    number: u64,
    client: &'h str,
    session: String,
    transaction: &'h Transaction,
    invoked: usize,
    is_final_read: bool,
    /// The event that ended it.
    end: Option<&'h Event>,
}

impl Operation<'_> {
    fn failed(&self) -> bool {
        matches!(self.end, Some(Event::Fail { .. }))
    }
}

struct Read<'h> {
    place: usize,
    session: String,
    client: &'h str,
    operation: Option<u64>,
    is_final: bool,
    /// The number of its own transaction.
    seq: Option<i64>,
    rows: &'h Rows,
    ledger: &'h LedgerRead,
}

/// Everything that was done, in order.
fn parse(history: &History) -> (Vec<Operation<'_>>, Vec<Read<'_>>) {
    let mut operations: Vec<Operation> = Vec::new();
    let mut reads = Vec::new();
    let mut databases: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut phase = Phase::Start;
    for (place, record) in history.records.iter().enumerate() {
        let session = |client: &str| {
            let count = databases.get(client).map_or(0, |(count, _)| *count);
            format!("{client} {count}")
        };
        match &record.event {
            Event::Phase(next) => phase = *next,
            Event::IncarnationStart {
                client, session, ..
            } => {
                let known = databases.entry(client).or_insert((0, session));
                let spec = history.header.clients.iter().find(|s| s.name == *client);
                let syncs = spec.is_some_and(|spec| spec.kind != ClientKind::Postgres);
                if known.1 != session && syncs {
                    known.0 += 1;
                }
                known.1 = session;
            }
            Event::Invoke {
                client,
                operation,
                transaction,
            } => operations.push(Operation {
                number: *operation,
                client,
                session: session(client),
                transaction,
                invoked: place,
                is_final_read: phase == Phase::FinalRead && transaction.reads_everything(),
                end: None,
            }),
            Event::Ok {
                client,
                operation,
                effects,
            } => {
                let mut ended = operations.iter_mut();
                let ended = ended.find(|of| of.number == *operation).unwrap();
                ended.end = Some(&record.event);
                if let Some(ledger) = &effects.ledger {
                    reads.push(Read {
                        place,
                        session: ended.session.clone(),
                        client,
                        operation: Some(*operation),
                        is_final: ended.is_final_read,
                        seq: ledger.seq,
                        rows: &effects.reads,
                        ledger: &ledger.reads,
                    });
                }
            }
            Event::Fail { operation, .. } | Event::Info { operation, .. } => {
                let mut ended = operations.iter_mut();
                let ended = ended.find(|of| of.number == *operation).unwrap();
                ended.end = Some(&record.event);
            }
            Event::FinalReadPostgres {
                effects: Some(effects),
                ..
            } => reads.extend(effects.ledger.as_ref().map(|ledger| Read {
                place,
                session: format!("PostgreSQL at {place}"),
                client: "PostgreSQL",
                operation: None,
                is_final: true,
                seq: None,
                rows: &effects.reads,
                ledger: &ledger.reads,
            })),
            _ => {}
        }
    }
    (operations, reads)
}

fn value(row: &LedgerRow) -> Option<Value> {
    row.id.parse().ok()
}

fn keys(row: &LedgerRow) -> Option<Vec<Key>> {
    serde_json::from_str(&row.writes).ok()
}

/// Every row that a read shows, with the part that it is in.
fn rows<'h>(read: &Read<'h>) -> impl Iterator<Item = (&'h ClientLedger, &'h LedgerRow)> {
    let parts = read.ledger.iter();
    parts.flat_map(|of| of.rows.iter().map(move |row| (of, row)))
}

fn violations(history: &History) -> BTreeMap<Property, u64> {
    let (operations, reads) = parse(history);
    let mut counts: BTreeMap<Property, u64> = BTreeMap::new();
    let mut violated =
        |property, holds: bool| *counts.entry(property).or_default() += u64::from(!holds);
    let writer = |value: Value, by: usize| {
        let mut operations = operations.iter();
        operations.find(|of| {
            of.transaction.value == value && !of.transaction.keys.is_empty() && of.invoked < by
        })
    };
    // The rows of operations whose answer was lost, as they were first read.
    let mut first_read: HashMap<u64, &LedgerRow> = HashMap::new();
    for (number, read) in reads.iter().enumerate() {
        let in_session = || {
            reads[..number]
                .iter()
                .filter(|of| of.session == read.session)
        };

        // Atomic transactions.
        let shown: Vec<(Value, Vec<Key>)> = in_session()
            .chain([read])
            .flat_map(rows)
            .filter_map(|(_, row)| Some((value(row)?, keys(row)?)))
            .collect();
        let mut lacking = BTreeSet::new();
        for (key, found) in read.rows {
            let of_key = shown.iter().filter(|(_, keys)| keys.contains(key));
            let floor = of_key.map(|(value, _)| *value).max();
            violated(
                Property::AtomicTransactions,
                floor.is_none_or(|floor| *found >= floor),
            );
            let written = writer(*found, read.place).is_some_and(|of| !of.failed());
            if written && shown.iter().all(|(value, _)| value != found) {
                lacking.insert(*found);
            }
        }
        for _ in lacking {
            violated(Property::AtomicTransactions, false);
        }

        // Gapless prefix.
        let highest_before = |client: &str, this: usize| {
            let earlier = in_session().flat_map(|read| read.ledger);
            let earlier = earlier.chain(&read.ledger[..this]);
            let of_client = earlier.filter(|of| of.client == client);
            of_client.map(|of| of.highest).fold(0, i64::max)
        };
        for (this, of) in read.ledger.iter().enumerate() {
            let before = highest_before(&of.client, this);
            let numbers: Vec<i64> = of.rows.iter().map(|row| row.seq).collect();
            let start = match numbers.first() {
                _ if read.is_final => 1,
                Some(first) => (*first).min(before + 1),
                None => before + 1,
            };
            let holds = of.above + of.count == of.highest
                && of.highest >= before
                && numbers.iter().copied().eq(start..=of.highest);
            violated(Property::GaplessPrefix, holds);
        }
        let clients: BTreeSet<&str> = in_session()
            .flat_map(|read| read.ledger)
            .filter(|of| of.highest > 0)
            .map(|of| of.client.as_str())
            .collect();
        for client in clients {
            let there = read.ledger.iter().any(|of| of.client == client);
            violated(Property::GaplessPrefix, there);
        }
        if let Some(own) = in_session().filter_map(|read| read.seq).next_back() {
            let mut parts = read.ledger.iter();
            let part = parts.find(|of| of.client == read.client);
            violated(
                Property::GaplessPrefix,
                part.map_or(0, |of| of.highest) >= own,
            );
        }

        let mut earlier: Vec<(&ClientLedger, &LedgerRow)> = in_session().flat_map(rows).collect();
        for (of, row) in rows(read) {
            // No duplicate transaction.
            let value = value(row);
            let mut same = earlier.iter();
            let first = same.find(|(_, row)| value.is_some() && self::value(row) == value);
            let holds = row.copies == 1
                && first
                    .is_none_or(|(part, first)| part.client == of.client && first.seq == row.seq);
            violated(Property::NoDuplicateTransaction, holds);
            earlier.push((of, row));

            // No thin-air transaction.
            let Some(writer) = value.and_then(|value| writer(value, read.place)) else {
                violated(Property::NoThinAirTransaction, false);
                continue;
            };
            let plausible = writer.client == of.client && read.operation != Some(writer.number);
            let Some(keys) = keys(row).filter(|_| plausible) else {
                violated(Property::NoThinAirTransaction, false);
                continue;
            };
            let holds = match writer.end {
                Some(Event::Fail { .. }) => false,
                Some(Event::Ok { effects, .. })
                    if effects.ledger.as_ref().is_some_and(|l| l.seq.is_some()) =>
                {
                    let seq = effects.ledger.as_ref().and_then(|ledger| ledger.seq);
                    seq == Some(row.seq) && effects.writes.iter().map(|row| row.0).eq(keys)
                }
                _ => {
                    let first = *first_read.entry(writer.number).or_insert(row);
                    keys.iter().all(|key| writer.transaction.keys.contains(key))
                        && (first.seq, &first.writes) == (row.seq, &row.writes)
                }
            };
            violated(Property::NoThinAirTransaction, holds);
        }
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_histories(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
        let history = random_ledger::history(&bytes);
        let verdict = check(&history);
        for (property, count) in violations(&history) {
            prop_assert_eq!(of(&verdict, property).violations, count, "{}: {:#?}", property.name(), history);
        }
    }
}
