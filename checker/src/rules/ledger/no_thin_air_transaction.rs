//! *No thin-air transaction*: every row of the ledger was written by an operation of the client that
//! it names, which did not fail and was invoked before the read ended, with that number and those keys.
//!
//! Of an operation whose answer was lost only the keys that it was told to write are known; its row
//! names some of them, and is the same wherever it is read.
//!
//! Algorithm: what an operation's end decides waits for that end.

use std::collections::HashMap;

use squall_protocol::ledger::{ClientLedger, LedgerRow};
use squall_protocol::transaction::Key;
use squall_protocol::verdict::Property;

use super::log::{Outcome, Read, keys_of, named, outcome, row_name};
use crate::findings::explain::in_words as violation;
use crate::findings::{Finding, Findings};
use crate::log::operations::{Inserted, Operation, OperationLog};
use crate::log::trace::OperationIndex;

#[derive(Clone)]
pub(crate) struct NoThinAirTransaction {
    pub findings: Findings,
    /// The rows of operations whose answer was lost, as they were first read.
    first_read: HashMap<OperationIndex, LedgerRow>,
    /// Rows of operations that have not ended, in the order in which they were read.
    waiting: HashMap<OperationIndex, Vec<Shown>>,
}

/// A row that names an operation, in a read.
#[derive(Clone)]
struct Shown {
    /// Who reads what, in words.
    what: String,
    operations: Vec<u64>,
    place: usize,
    row: LedgerRow,
    keys: Vec<Key>,
}

impl NoThinAirTransaction {
    pub fn new() -> Self {
        NoThinAirTransaction {
            findings: Findings::new(Property::NoThinAirTransaction),
            first_read: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    pub fn judge(&mut self, read: &Read, log: &OperationLog, found: &mut Vec<Finding>) {
        for of in read.ledger {
            for row in &of.rows {
                self.findings.exercise(1);
                let what = || format!("{} shows {}", read.name(), row_name(of, row));
                let operations = || {
                    let operation = named(log, &row.id);
                    read.numbers(operation.map(|at| &log.operations[at as usize]))
                };
                let problem = match at_once(log, read, of, row) {
                    Err(problem) => Some(problem),
                    Ok((writer, keys)) if log.is_pending(writer) => {
                        self.waiting.entry(writer).or_default().push(Shown {
                            what: what(),
                            operations: operations(),
                            place: read.place,
                            row: row.clone(),
                            keys,
                        });
                        None
                    }
                    Ok((writer, keys)) => self.problem(writer, row, &keys, log),
                };
                if let Some(problem) = problem {
                    let violation = violation(format!("{}, {problem}.", what()), operations());
                    self.findings.report(read.place, violation, found);
                }
            }
        }
    }

    pub fn end(&mut self, operation: OperationIndex, log: &OperationLog, found: &mut Vec<Finding>) {
        for shown in self.waiting.remove(&operation).unwrap_or_default() {
            if let Some(problem) = self.problem(operation, &shown.row, &shown.keys, log) {
                let summary = format!("{}, {problem}.", shown.what);
                let violation = violation(summary, shown.operations);
                self.findings.report(shown.place, violation, found);
            }
        }
    }

    /// What is wrong with a row of an operation that has ended.
    fn problem(
        &mut self,
        writer: OperationIndex,
        row: &LedgerRow,
        keys: &[Key],
        log: &OperationLog,
    ) -> Option<String> {
        let operation = &log.operations[writer as usize];
        let name = || name(operation, log);
        match outcome(operation) {
            Outcome::Failed => Some(format!("but {} failed: an aborted read (G1a)", name())),
            Outcome::Ok(inserted) if inserted.seq != row.seq => Some(format!(
                "but {} says that it was number {}",
                name(),
                inserted.seq
            )),
            Outcome::Ok(Inserted { written, .. }) => (**written != *keys).then(|| {
                format!(
                    "which names the keys {keys:?}, but {} says that it wrote {written:?}",
                    name()
                )
            }),
            Outcome::Unknown | Outcome::Pending => {
                let first = self.first_read.entry(writer).or_insert_with(|| row.clone());
                if !keys.iter().all(|key| operation.requested.contains(key)) {
                    Some(format!(
                        "which names the keys {keys:?}, but {} was told to write {:?}",
                        name(),
                        operation.requested
                    ))
                } else if (first.seq, &first.writes) != (row.seq, &row.writes) {
                    Some(format!(
                        "but another read has shown it as number {} with the keys {}",
                        first.seq, first.writes
                    ))
                } else {
                    None
                }
            }
        }
    }
}

/// What is wrong with a row however its operation ends; otherwise that operation, and the keys that
/// the row names.
fn at_once(
    log: &OperationLog,
    read: &Read,
    of: &ClientLedger,
    row: &LedgerRow,
) -> Result<(OperationIndex, Vec<Key>), String> {
    let Some(writer) = named(log, &row.id) else {
        return Err("which nobody had been told to write by then".to_owned());
    };
    let operation = &log.operations[writer as usize];
    if log.client_of(operation.session) != of.client {
        return Err(format!("but the value is that of {}", name(operation, log)));
    }
    if read.operation == Some(operation.number) {
        return Err("which this very operation inserted only after it had read".to_owned());
    }
    let keys = keys_of(&row.writes);
    keys.map(|keys| (writer, keys))
        .ok_or_else(|| format!("whose keys are malformed: {:?}", row.writes))
}

/// `operation 12 of native-1`
fn name(operation: &Operation, log: &OperationLog) -> String {
    format!(
        "operation {} of {}",
        operation.number,
        log.client_of(operation.session)
    )
}
