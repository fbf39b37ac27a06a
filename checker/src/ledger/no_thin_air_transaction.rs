//! *No thin-air transaction*: every row of the ledger was written by an operation of the client that
//! it names, which did not fail and was invoked before the read ended, with that number and those keys.
//!
//! Of an operation whose answer was lost only the keys that it was told to write are known; its row
//! names some of them, and is the same wherever it is read.

use std::collections::HashMap;

use squall_protocol::ledger::{ClientLedger, LedgerRow};
use squall_protocol::transaction::Key;
use squall_protocol::verdict::Property;

use super::book::{Book, Outcome, Read, keys_of, row_name};
use super::violation;
use crate::evidence::Findings;

pub(super) fn judge(book: &Book) -> Findings {
    let mut findings = Findings::new(Property::NoThinAirTransaction);
    // The rows of operations whose answer was lost, as they were first read.
    let mut first_read: HashMap<&str, &LedgerRow> = HashMap::new();
    for read in &book.reads {
        for of in read.ledger {
            for row in &of.rows {
                findings.exercise(1);
                if let Some(problem) = problem(book, read, of, row, &mut first_read) {
                    findings.violate(read.place, || {
                        violation(
                            format!("{} shows {}, {problem}.", read.name(), row_name(of, row)),
                            read.numbers(book.named(&row.id)),
                        )
                    });
                }
            }
        }
    }
    findings
}

fn problem<'h>(
    book: &Book,
    read: &Read,
    of: &ClientLedger,
    row: &'h LedgerRow,
    first_read: &mut HashMap<&'h str, &'h LedgerRow>,
) -> Option<String> {
    let Some(operation) = book.named(&row.id) else {
        return Some("which nobody ever wrote".to_owned());
    };
    let name = format!("operation {} of {}", operation.number, operation.client);
    if operation.client != of.client {
        return Some(format!("but the value is that of {name}"));
    }
    if operation.invoked > read.place {
        return Some(format!(
            "but {name} was invoked only after this read had ended"
        ));
    }
    if read.operation == Some(operation.number) {
        return Some("which this very operation inserted only after it had read".to_owned());
    }
    let Some(keys) = keys_of(&row.writes) else {
        return Some(format!("whose keys are malformed: {:?}", row.writes));
    };
    match operation.outcome {
        Outcome::Failed => Some(format!("but {name} failed: an aborted read (G1a)")),
        Outcome::Ok { seq, .. } if seq != row.seq => {
            Some(format!("but {name} says that it was number {seq}"))
        }
        Outcome::Ok { writes, .. } => {
            let written: Vec<Key> = writes.iter().map(|(key, _)| *key).collect();
            (written != keys).then(|| {
                format!("which names the keys {keys:?}, but {name} says that it wrote {written:?}")
            })
        }
        Outcome::Unknown => {
            let told = |key: &Key| operation.transaction.keys.contains(key);
            let first = *first_read.entry(&row.id).or_insert(row);
            if !keys.iter().all(told) {
                Some(format!(
                    "which names the keys {keys:?}, but {name} was told to write {:?}",
                    operation.transaction.keys
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
