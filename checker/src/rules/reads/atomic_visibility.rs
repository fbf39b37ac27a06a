//! Atomic visibility, as it becomes certain what operations that ended in `info` have written.

use squall_protocol::transaction::Key;
use squall_protocol::verdict::Property;

use super::Reads;
use super::session::Read;
use crate::findings::explain::{Shown, Stale};
use crate::log::trace::{OperationIndex, Source};

impl Reads {
    pub(super) fn atomic_visibility(&mut self, read: &Read, sources: &[Source]) {
        self.resolved += 1;
        let number = self.resolved;
        for (place, (key, value)) in read.rows.iter().enumerate() {
            if *key >= self.log.keys {
                continue;
            }
            if self.places.len() <= *key as usize {
                self.places.resize(*key as usize + 1, (0, 0));
            }
            // Of a row that is there twice the lower value is judged.
            let entry = &mut self.places[*key as usize];
            if entry.0 != number || *value < read.rows[entry.1].1 {
                *entry = (number, place);
            }
        }
        for (place, source) in sources.iter().enumerate() {
            let Source::Operation(writer) = *source else {
                continue;
            };
            let (shown, value) = read.rows[place];
            let certain = self.log.operations[writer as usize].committed();
            if !certain {
                self.see(writer, shown);
            }
            if std::mem::replace(&mut self.looked_at[writer as usize], number) == number {
                continue;
            }
            for at in 0..self.log.operations[writer as usize].written.len() {
                let key = self.log.operations[writer as usize].written[at];
                let other = match self.places.get(key as usize) {
                    Some((of, at)) if *of == number => match sources[*at] {
                        Source::Operation(same) if same == writer => continue,
                        Source::Nowhere | Source::Ambiguous => continue,
                        _ => Some(read.rows[*at].1),
                    },
                    _ if key >= self.log.keys || !read.asked.contains(key) => continue,
                    _ => None,
                };
                let violation = other.is_none_or(|other| other < value).then(|| {
                    let stale = Stale {
                        reader: self.reader(read),
                        key,
                        value: other,
                        floor: value,
                    };
                    stale.atomic_visibility(Shown {
                        writer: self.log.operation_step(writer),
                        key: shown,
                        value,
                    })
                });
                if !certain {
                    let withheld = self.withheld.entry((writer, key)).or_default();
                    if !withheld.seen {
                        withheld.exercised += 1;
                        if let Some(violation) = violation {
                            withheld.violations += 1;
                            if withheld.examples.len() < crate::findings::EXAMPLES {
                                withheld.examples.push((read.completed, violation));
                            }
                        }
                        continue;
                    }
                }
                self.findings.atomic_visibility.exercise(1);
                if let Some(violation) = violation {
                    self.violate(Property::AtomicVisibility, 1, read, violation);
                }
            }
        }
    }

    /// A row of an operation that may have happened was read: it did, and wrote that row.
    pub(super) fn see(&mut self, writer: OperationIndex, key: Key) {
        let withheld = self.withheld.entry((writer, key)).or_default();
        withheld.seen = true;
        let examples = std::mem::take(&mut withheld.examples);
        let mut untold = std::mem::take(&mut withheld.violations);
        let exercised = std::mem::take(&mut withheld.exercised);
        self.findings.atomic_visibility.exercise(exercised);
        let mut left = examples.len() as u64;
        for (place, violation) in examples {
            left -= 1;
            // The last one stands for all that were not put into words.
            let times = if left == 0 { untold } else { 1 };
            untold -= times;
            self.report(Property::AtomicVisibility, violation.clone());
            let findings = &mut self.findings.atomic_visibility;
            findings.violate_times(times, place, || violation);
        }
    }
}
