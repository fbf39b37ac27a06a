//! *No thin-air read*: every value that was read had been written to that row before the read ended,
//! by a transaction that did not fail, and every row is there.
//!
//! A missing row belongs here because nobody ever wrote its absence: the rows exist from the
//! beginning, and no transaction deletes one. A row that is there twice was written by nobody
//! either. Reading a value of a transaction that failed is Adya's G1a, an aborted read (Weak
//! Consistency: A Generalized Theory, 1999).

use squall_protocol::verdict::{Property, Violation};

use super::index::{Impossible, Index, Read, Source};
use super::words;
use crate::evidence::Findings;

pub(super) fn judge(index: &Index) -> Findings {
    let mut findings = Findings::new(Property::NoThinAirRead);
    for read in &index.reads {
        let mut existing = 0;
        for ((key, value), source) in read.rows.iter().zip(index.sources(read)) {
            existing += u64::from(*key < index.header.keys);
            if *source != Source::Nowhere {
                continue;
            }
            if let Err(why) = index.trace(read, *key, *value) {
                findings.violate(read.completed, || {
                    let (reason, writer) = words::impossible(index, why);
                    Violation {
                        summary: format!(
                            "{}, {reason}.",
                            words::saw(index, read, *key, Some(*value))
                        ),
                        operations: words::numbers(index, [read.operation, writer]),
                    }
                });
            }
        }
        let distinct = read.distinct(index);
        let missing = u64::from(index.header.keys) - distinct;
        let repeated = existing.saturating_sub(distinct);
        findings.exercise(read.rows.len() as u64 + missing);
        if missing > 0 {
            findings.violate_times(missing, read.completed, || {
                missing_rows(index, read, missing)
            });
        }
        if repeated > 0 {
            findings.violate_times(repeated, read.completed, || Violation {
                summary: format!(
                    "{} read {} more {} than there are keys in {}: a key was there twice.",
                    words::reader(index, read),
                    repeated,
                    if repeated == 1 { "row" } else { "rows" },
                    words::place(index, read),
                ),
                operations: words::numbers(index, [read.operation]),
            });
        }
    }
    findings
}

fn missing_rows(index: &Index, read: &Read, missing: u64) -> Violation {
    let first = (0..index.header.keys)
        .find(|key| read.lacks(*key))
        .unwrap_or(0);
    let others = match missing - 1 {
        0 => String::new(),
        1 => " and 1 other row".to_owned(),
        n => format!(" and {n} other rows"),
    };
    Violation {
        summary: format!(
            "{} did not find k{first}{others} in {}, although rows are there from the beginning and \
             none is ever deleted.",
            words::reader(index, read),
            words::place(index, read),
        ),
        operations: words::numbers(index, [read.operation]),
    }
}

impl Impossible {
    /// The operation that would have written the value.
    pub fn writer(self) -> Option<super::index::OperationIndex> {
        match self {
            Impossible::NoSuchRow | Impossible::NeverWritten => None,
            Impossible::OtherKeys(writer)
            | Impossible::NotWritten(writer)
            | Impossible::Aborted(writer)
            | Impossible::OwnLaterWrite(writer)
            | Impossible::FromTheFuture(writer) => Some(writer),
        }
    }
}
