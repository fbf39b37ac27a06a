//! *Payload intact*, where a run of `ledger` has the payload table: a read finds there exactly the rows
//! that the transactions which its own part of the ledger shows have left, with every byte.
//!
//! What a client's transactions 1 to n leave follows from its name and n alone
//! ([`squall_workloads::payload::rows_after`]), so a read is judged when it is recorded. Cost: each
//! client's rows are made once for each n that was read lately; besides, linear in the rows read. Memory:
//! for the operations under way, and the rows of [`KNOWN`] such n.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use squall_protocol::history::Event;
use squall_protocol::ledger::LedgerRead;
use squall_protocol::payload::{PayloadBody, PayloadRead, PayloadRow};
use squall_protocol::transaction::Reads;
use squall_protocol::verdict::{Property, Violation};
use squall_workloads::payload::rows_after;

use crate::findings::Finding;
use crate::findings::Findings;

/// How many clients' rows are kept for the next read.
const KNOWN: usize = 4096;

/// Judges the payload tables that are read, event by event.
#[derive(Clone)]
pub(crate) struct PayloadIntact {
    /// How many events have been pushed.
    place: usize,
    findings: Findings,
    /// By client, what its first so many transactions leave.
    known: HashMap<String, HashMap<i64, Arc<[PayloadRow]>>>,
    known_count: usize,
    /// The operations under way that were told to read nothing.
    not_asked: HashSet<u64>,
    /// Reads that recorded no payload table.
    without: u64,
}

impl PayloadIntact {
    pub fn new() -> Self {
        PayloadIntact {
            place: 0,
            findings: Findings::new(Property::PayloadIntact),
            known: HashMap::new(),
            known_count: 0,
            not_asked: HashSet::new(),
            without: 0,
        }
    }

    /// Takes the next event, and tells the violation that it shows.
    pub fn push(&mut self, event: &Event, found: &mut Vec<Finding>) {
        self.place += 1;
        match event {
            Event::Invoke {
                operation,
                transaction,
                ..
            } => {
                if transaction.reads == Reads::Nothing {
                    self.not_asked.insert(*operation);
                }
            }
            Event::Ok {
                client,
                operation,
                ledger,
                payload,
                ..
            } => {
                if !self.not_asked.remove(operation) {
                    let ledger = ledger.as_ref().map(|ledger| &ledger.reads);
                    let name = || format!("{client}'s operation {operation}");
                    self.judge(ledger.zip(payload.as_ref()), Some(*operation), name, found);
                }
            }
            Event::Fail { operation, .. }
            | Event::Info { operation, .. }
            | Event::Malformed { operation, .. } => {
                self.not_asked.remove(operation);
            }
            Event::FinalRead {
                client,
                rows: Some(_),
                ledger,
                payload,
                ..
            } => {
                let name = || format!("{client}'s final read");
                self.judge(ledger.as_ref().zip(payload.as_ref()), None, name, found);
            }
            Event::FinalReadPostgres {
                rows: Some(_),
                ledger,
                payload,
                ..
            } => {
                let name = || "PostgreSQL's final read".to_owned();
                self.judge(ledger.as_ref().zip(payload.as_ref()), None, name, found);
            }
            _ => {}
        }
    }

    fn judge(
        &mut self,
        read: Option<(&LedgerRead, &PayloadRead)>,
        operation: Option<u64>,
        name: impl FnOnce() -> String,
        found: &mut Vec<Finding>,
    ) {
        let Some((ledger, payload)) = read else {
            self.without += 1;
            return;
        };
        let expected = self.expected(ledger);
        let comparisons = expected.len().max(payload.len());
        self.findings.exercise(comparisons as u64);
        if let Some(problem) = difference(&expected, payload) {
            let violation = Violation {
                summary: format!("{} {problem}.", name()),
                operations: operation.into_iter().collect(),
                evidence: Vec::new(),
            };
            self.findings.report(self.place - 1, violation, found);
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
        (Some(_), None) => unreachable!("what is missing at the end is told above"),
    })
}

fn body(body: Option<PayloadBody>) -> String {
    match body {
        None => "null".to_owned(),
        Some(body) => format!("{} bytes (digest {:016x})", body.bytes, body.digest),
    }
}
