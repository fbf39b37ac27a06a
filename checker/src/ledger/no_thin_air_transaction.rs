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

use super::book::{Book, Operation, OperationIndex, Outcome, Read, keys_of, row_name};
use super::violation;
use crate::evidence::Findings;
use crate::online::Finding;

#[derive(Clone)]
pub(super) struct NoThinAirTransaction {
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

    pub fn judge(&mut self, read: &Read, book: &Book, found: &mut Vec<Finding>) {
        for of in read.ledger {
            for row in &of.rows {
                self.findings.exercise(1);
                let what = || format!("{} shows {}", read.name(), row_name(of, row));
                let operations = || {
                    let operation = book.named(&row.id);
                    read.numbers(operation.map(|at| &book.operations[at]))
                };
                let problem = match at_once(book, read, of, row) {
                    Err(problem) => Some(problem),
                    Ok((writer, keys)) if book.operations[writer].outcome == Outcome::Pending => {
                        self.waiting.entry(writer).or_default().push(Shown {
                            what: what(),
                            operations: operations(),
                            place: read.place,
                            row: row.clone(),
                            keys,
                        });
                        None
                    }
                    Ok((writer, keys)) => self.problem(writer, row, &keys, book),
                };
                if let Some(problem) = problem {
                    let violation = violation(format!("{}, {problem}.", what()), operations());
                    self.findings.tell(read.place, violation, found);
                }
            }
        }
    }

    pub fn end(&mut self, operation: OperationIndex, book: &Book, found: &mut Vec<Finding>) {
        for shown in self.waiting.remove(&operation).unwrap_or_default() {
            if let Some(problem) = self.problem(operation, &shown.row, &shown.keys, book) {
                let summary = format!("{}, {problem}.", shown.what);
                let violation = violation(summary, shown.operations);
                self.findings.tell(shown.place, violation, found);
            }
        }
    }

    /// What is wrong with a row of an operation that has ended.
    fn problem(
        &mut self,
        writer: OperationIndex,
        row: &LedgerRow,
        keys: &[Key],
        book: &Book,
    ) -> Option<String> {
        let operation = &book.operations[writer];
        let name = || name(operation, book);
        match &operation.outcome {
            Outcome::Failed => Some(format!("but {} failed: an aborted read (G1a)", name())),
            Outcome::Ok { seq, .. } if *seq != row.seq => {
                Some(format!("but {} says that it was number {seq}", name()))
            }
            Outcome::Ok { written, .. } => (**written != *keys).then(|| {
                format!(
                    "which names the keys {keys:?}, but {} says that it wrote {written:?}",
                    name()
                )
            }),
            Outcome::Unknown | Outcome::Pending => {
                let first = self.first_read.entry(writer).or_insert_with(|| row.clone());
                if !keys.iter().all(|key| operation.keys.contains(key)) {
                    Some(format!(
                        "which names the keys {keys:?}, but {} was told to write {:?}",
                        name(),
                        operation.keys
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
    book: &Book,
    read: &Read,
    of: &ClientLedger,
    row: &LedgerRow,
) -> Result<(OperationIndex, Vec<Key>), String> {
    let Some(writer) = book.named(&row.id) else {
        return Err("which nobody had been told to write by then".to_owned());
    };
    let operation = &book.operations[writer];
    if book.client_of(operation) != of.client {
        return Err(format!(
            "but the value is that of {}",
            name(operation, book)
        ));
    }
    if read.operation == Some(operation.number) {
        return Err("which this very operation inserted only after it had read".to_owned());
    }
    let keys = keys_of(&row.writes);
    keys.map(|keys| (writer, keys))
        .ok_or_else(|| format!("whose keys are malformed: {:?}", row.writes))
}

/// `operation 12 of native-1`
fn name(operation: &Operation, book: &Book) -> String {
    format!(
        "operation {} of {}",
        operation.number,
        book.client_of(operation)
    )
}
