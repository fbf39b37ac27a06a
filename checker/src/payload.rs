//! *Payload intact*, where a run of `ledger` has the payload table: a read finds there exactly the rows
//! that the transactions which its own part of the ledger shows have left, with every byte.
//!
//! What a client's transactions 1 to n leave follows from its name and n alone
//! ([`squall_workloads::payload::rows_after`]). Cost: each client's rows are made once for each n that
//! was read; besides, linear in the rows read.

use std::collections::HashMap;
use std::rc::Rc;

use squall_protocol::history::Event;
use squall_protocol::ledger::LedgerRead;
use squall_protocol::payload::{PayloadBody, PayloadRow};
use squall_protocol::transaction::Reads;
use squall_protocol::verdict::{Property, Violation};
use squall_workloads::payload::rows_after;

use crate::evidence::Findings;
use crate::history::History;

/// Judges the payload tables that were read.
pub(crate) fn judge(history: &History) -> Findings {
    let mut findings = Findings::new(Property::PayloadIntact);
    let mut known: HashMap<(&str, i64), Rc<[PayloadRow]>> = HashMap::new();
    let mut asked: HashMap<u64, bool> = HashMap::new();
    let mut without = 0;
    for (place, record) in history.records.iter().enumerate() {
        let (name, operation, ledger, payload) = match &record.event {
            Event::Invoke {
                operation,
                transaction,
                ..
            } => {
                asked.insert(*operation, transaction.reads != Reads::Nothing);
                continue;
            }
            Event::Ok {
                client,
                operation,
                ledger,
                payload,
                ..
            } => {
                if asked.get(operation) == Some(&false) {
                    continue;
                }
                let ledger = ledger.as_ref().map(|ledger| &ledger.reads);
                let name = format!("{client}'s operation {operation}");
                (name, Some(*operation), ledger, payload)
            }
            Event::FinalRead {
                client,
                rows: Some(_),
                ledger,
                payload,
                ..
            } => (
                format!("{client}'s final read"),
                None,
                ledger.as_ref(),
                payload,
            ),
            Event::FinalReadPostgres {
                rows: Some(_),
                ledger,
                payload,
                ..
            } => (
                "PostgreSQL's final read".to_owned(),
                None,
                ledger.as_ref(),
                payload,
            ),
            _ => continue,
        };
        let (Some(ledger), Some(payload)) = (ledger, payload) else {
            without += 1;
            continue;
        };
        let expected = expected(ledger, &mut known);
        findings.exercise(expected.len().max(payload.len()) as u64);
        if let Some(problem) = difference(&expected, payload) {
            findings.violate(place, || Violation {
                summary: format!("{name} {problem}."),
                operations: operation.into_iter().collect(),
                evidence: Vec::new(),
            });
        }
    }
    if without > 0 {
        findings.doubt(format!("{without} reads have no payload table"));
    }
    findings
}

/// The rows that a read of that ledger has to find, ordered by id.
fn expected<'h>(
    ledger: &'h LedgerRead,
    known: &mut HashMap<(&'h str, i64), Rc<[PayloadRow]>>,
) -> Vec<PayloadRow> {
    let mut rows: Vec<PayloadRow> = Vec::new();
    for of in ledger {
        let of_client = known
            .entry((&of.client, of.highest))
            .or_insert_with(|| rows_after(&of.client, of.highest).into());
        rows.extend(of_client.iter().cloned());
    }
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    rows
}

/// The first difference between what has to be found and what was.
fn difference(expected: &[PayloadRow], found: &[PayloadRow]) -> Option<String> {
    let at = expected
        .iter()
        .zip(found)
        .take_while(|(e, f)| e == f)
        .count();
    Some(match (expected.get(at), found.get(at)) {
        (None, None) => return None,
        (Some(expected), Some(found)) if expected.id == found.id => {
            let id = &found.id;
            if found.version < expected.version {
                format!(
                    "has the payload row {id} as the transaction {} left it, but its ledger shows the \
                     transaction {}, which changed it: a stale row",
                    found.version, expected.version
                )
            } else if found.version > expected.version {
                format!(
                    "has the payload row {id} as the transaction {} left it, which its ledger does not \
                     show yet",
                    found.version
                )
            } else {
                format!(
                    "has in the payload row {id} {}, but the transaction {} wrote {}",
                    body(found.body),
                    found.version,
                    body(expected.body)
                )
            }
        }
        (Some(expected), found) if found.is_none_or(|found| found.id > expected.id) => format!(
            "lacks the payload row {}, which the transaction {} wrote and its ledger shows",
            expected.id, expected.version
        ),
        (_, Some(found)) => format!(
            "has the payload row {} (of the transaction {}), which must not be there by its ledger: it \
             was deleted, or is not inserted yet",
            found.id, found.version
        ),
        (Some(_), None) => unreachable!("what is missing at the end is told above"),
    })
}

fn body(body: Option<PayloadBody>) -> String {
    match body {
        None => "null".to_owned(),
        Some(body) => format!("{} bytes (digest {:016x})", body.bytes, body.digest),
    }
}
