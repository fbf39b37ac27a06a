//! *Atomic visibility*: a transaction is seen as a whole or not at all. A read that shows one of a
//! transaction's writes holds at least the transaction's value in every other row that the
//! transaction wrote. (Otherwise it is a fractured read; here a higher value in the other row is
//! legal, because rows are merged one by one.)
//!
//! Of an operation whose answer was lost it is not known which rows it wrote: it leaves out the rows
//! that held a higher value. Only the writes that somebody has read are held against the others, so what is
//! compared with the rest of them is withheld until somebody does.
//!
//! Algorithm: spread the read's rows over an array, then look up the writes of every transaction
//! that it shows.

use std::collections::HashMap;

use squall_protocol::transaction::Key;
use squall_protocol::verdict::{Property, Violation};

use super::session::Read;
use crate::findings::explain::{Shown, Stale};
use crate::findings::{EXAMPLES, Place, Report};
use crate::log::operations::OperationLog;
use crate::log::trace::{OperationIndex, Source};

const PROPERTY: Property = Property::AtomicVisibility;

#[derive(Clone, Default)]
pub(super) struct AtomicVisibility {
    /// How many reads were judged.
    judged: u64,
    /// For each operation the number of the last read that was compared with all its writes: once is enough.
    looked_at: Vec<u64>,
    /// For each row the number of the last read in which it was, and where.
    places: Vec<(u64, usize)>,
    withheld: HashMap<(OperationIndex, Key), Withheld>,
}

/// Comparisons with a row of an operation whose answer was lost: they count once the row was read.
#[derive(Clone, Default)]
struct Withheld {
    seen: bool,
    exercised: u64,
    violations: u64,
    examples: Vec<(Place, Violation)>,
}

impl AtomicVisibility {
    pub fn judge(&mut self, log: &OperationLog, read: &Read, report: &mut Report) {
        self.judged += 1;
        self.looked_at.resize(log.operations.len(), 0);
        let number = self.judged;
        for (at, (key, value)) in read.rows.iter().enumerate() {
            if *key >= log.keys {
                continue;
            }
            if self.places.len() <= *key as usize {
                self.places.resize(*key as usize + 1, (0, 0));
            }
            // Of a row that is there twice the lower value is judged.
            let entry = &mut self.places[*key as usize];
            if entry.0 != number || *value < read.rows[entry.1].1 {
                *entry = (number, at);
            }
        }
        // Those of one read are told in its order, whenever they become certain.
        let mut rank = 0;
        for (row, source) in read.rows.iter().zip(&read.sources) {
            let Source::Operation(writer) = *source else {
                continue;
            };
            let (shown, value) = *row;
            let operation = &log.operations[writer as usize];
            let certain = operation.committed();
            if !certain {
                self.see(writer, shown, report);
            }
            if std::mem::replace(&mut self.looked_at[writer as usize], number) == number {
                continue;
            }
            for key in operation.written.iter().copied() {
                let other = match self.places.get(key as usize) {
                    Some((of, at)) if *of == number => match read.sources[*at] {
                        Source::Operation(same) if same == writer => continue,
                        Source::Nowhere | Source::Ambiguous => continue,
                        _ => Some(read.rows[*at].1),
                    },
                    // Rows that do not exist, or were not to be read, can not be missing.
                    _ if key >= log.keys || !read.asked.contains(key) => continue,
                    _ => None,
                };
                rank += 1;
                let place = Place(read.completed, rank);
                let fractured = || {
                    let stale = Stale {
                        reader: read.reader(log),
                        key,
                        value: other,
                        floor: value,
                    };
                    stale.atomic_visibility(Shown {
                        writer: log.operation_step(writer),
                        key: shown,
                        value,
                    })
                };
                let violated = other.is_none_or(|other| other < value);
                let withheld = (!certain)
                    .then(|| self.withheld.entry((writer, key)).or_default())
                    .filter(|withheld| !withheld.seen);
                match withheld {
                    None => {
                        report.of(PROPERTY).exercise(1);
                        if violated {
                            report.violate(PROPERTY, place, fractured);
                        }
                    }
                    Some(withheld) => {
                        withheld.exercised += 1;
                        withheld.violations += u64::from(violated);
                        if violated && withheld.examples.len() < EXAMPLES {
                            withheld.examples.push((place, fractured()));
                        }
                    }
                }
            }
        }
    }

    /// A row of an operation that may have happened was read: it did, and wrote that row.
    fn see(&mut self, writer: OperationIndex, key: Key, report: &mut Report) {
        let withheld = self.withheld.entry((writer, key)).or_default();
        withheld.seen = true;
        report
            .of(PROPERTY)
            .exercise(std::mem::take(&mut withheld.exercised));
        let mut left = std::mem::take(&mut withheld.violations);
        let examples = std::mem::take(&mut withheld.examples);
        let last = examples.len();
        for (number, (place, violation)) in (1..).zip(examples) {
            // The last one stands for all that were not put into words.
            let times = if number == last { left } else { 1 };
            left -= times;
            report.violate_times(PROPERTY, times, place, || violation);
        }
    }
}
