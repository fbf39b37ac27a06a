//! *Payload intact*, where a run of `ledger` has the payload table: a read finds there exactly the rows
//! that the transactions which its own part of the ledger shows have left, with every byte.
//!
//! What a client's transactions 1 to n leave follows from its name and n alone
//! ([`squall_workloads::payload::rows_after`]), so a read is judged when it is recorded. Cost: each
//! client's rows are made once for each n that was read lately; besides, linear in the rows read. Memory:
//! for the operations under way, and the rows of [`KNOWN`] such n.

use std::collections::HashMap;
use std::sync::Arc;

use squall_protocol::ledger::LedgerRead;
use squall_protocol::payload::{PayloadBody, PayloadRead, PayloadRow};
use squall_protocol::verdict::{Property, Violation};
use squall_workloads::payload::rows_after;

use crate::findings::Finding;
use crate::findings::Findings;
use crate::rules::ledger::log::Read;

/// How many clients' rows are kept for the next read.
const KNOWN: usize = 4096;

/// Judges the payload tables that are read, read by read.
#[derive(Clone)]
pub(crate) struct PayloadIntact {
    findings: Findings,
    /// By client, what its first so many transactions leave.
    known: HashMap<String, HashMap<i64, Arc<[PayloadRow]>>>,
    known_count: usize,
    /// Reads that recorded no payload table.
    without: u64,
}

impl PayloadIntact {
    pub fn new() -> Self {
        PayloadIntact {
            findings: Findings::new(Property::PayloadIntact),
            known: HashMap::new(),
            known_count: 0,
            without: 0,
        }
    }

    /// Judges the payload table of a read, if it and the ledger were recorded.
    pub fn judge(
        &mut self,
        read: Option<&Read>,
        payload: Option<&PayloadRead>,
        found: &mut Vec<Finding>,
    ) {
        let (Some(read), Some(payload)) = (read, payload) else {
            self.without += 1;
            return;
        };
        let expected = self.expected(read.ledger);
        let comparisons = expected.len().max(payload.len());
        self.findings.exercise(comparisons as u64);
        if let Some(problem) = difference(&expected, payload) {
            let violation = Violation {
                summary: format!("{} {problem}.", read.name()),
                operations: read.numbers(None),
                evidence: Vec::new(),
            };
            self.findings.report(read.place, violation, found);
        }
    }

    /// The rows that a read of that ledger has to find, ordered by id.
    fn expected(&mut self, ledger: &LedgerRead) -> Vec<PayloadRow> {
        if self.known_count > KNOWN {
            self.known.clear();
            self.known_count = 0;
        }
        let mut rows: Vec<PayloadRow> = Vec::new();
        for of in ledger {
            if !self.known.contains_key(&of.client) {
                self.known.insert(of.client.clone(), HashMap::new());
            }
            let of_client = self.known.get_mut(&of.client).expect("just inserted");
            let of_client = of_client.entry(of.highest).or_insert_with(|| {
                self.known_count += 1;
                rows_after(&of.client, of.highest).into()
            });
            rows.extend(of_client.iter().cloned());
        }
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        rows
    }

    /// What was found in all.
    pub fn into_findings(mut self) -> Findings {
        if self.without > 0 {
            let without = self.without;
            let doubt = format!("{without} reads have no payload table");
            self.findings.doubt(doubt);
        }
        self.findings
    }
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
        (Some(_), None) => unreachable!("what is missing at the end is reported above"),
    })
}

fn body(body: Option<PayloadBody>) -> String {
    match body {
        None => "null".to_owned(),
        Some(body) => format!("{} bytes (digest {:016x})", body.bytes, body.digest),
    }
}
