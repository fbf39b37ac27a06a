//! *Durability*: every transaction that a client acknowledged is in every final read.
//!
//! Compared are the final reads of PostgreSQL and of every client that has recovered and drained its
//! queue; whether a client gets there is a matter of liveness. What such a client acknowledged must be
//! in all of them, and so must whatever any of them shows: an operation whose answer was lost may have
//! happened or not, but not here and there. That each is there once, in its client's order, is for the
//! other properties to say.

use std::collections::{BTreeMap, HashSet};

use squall_protocol::transaction::Value;
use squall_protocol::verdict::Property;

use super::book::{Book, Outcome, POSTGRESQL, Read, Values, value_of};
use super::violation;
use crate::evidence::Findings;

/// The final reads so far.
#[derive(Clone, Default)]
pub(super) struct Durability(Vec<FinalRead>);

#[derive(Clone)]
struct FinalRead {
    reader: String,
    /// The reader and what it reads, in words.
    name: String,
    place: usize,
    held: Values,
    /// The values that it holds, in their order in the ledger.
    values: Vec<Value>,
}

impl Durability {
    pub fn note(&mut self, read: &Read) {
        if read.operation.is_some() {
            return;
        }
        let rows = read.ledger.iter().flat_map(|of| &of.rows);
        let values: Vec<Value> = rows.filter_map(|row| value_of(&row.id)).collect();
        let mut held = Values::default();
        for value in &values {
            held.insert(*value);
        }
        self.0.push(FinalRead {
            reader: read.reader.to_owned(),
            name: read.name(),
            place: read.place,
            held,
            values,
        });
    }

    /// Judges the end. `settled` are the clients that have recovered and drained their queues.
    pub fn judge(&self, book: &Book, settled: &HashSet<&str>) -> Findings {
        let mut findings = Findings::new(Property::Durability);
        let reads = self.0.iter();
        let finals: Vec<&FinalRead> = reads
            .filter(|read| read.reader == POSTGRESQL || settled.contains(read.reader.as_str()))
            .collect();
        if !finals.iter().any(|read| read.reader == POSTGRESQL) {
            findings.doubt("PostgreSQL's final read of the ledger is missing".to_owned());
        }
        let mut clients: Vec<&&str> = settled.iter().collect();
        clients.sort_unstable();
        for client in clients {
            if !finals.iter().any(|read| read.reader == **client) {
                findings.doubt(format!("{client}'s final read of the ledger is missing"));
            }
        }

        let expected = expected(book, settled, &finals);
        for read in finals {
            findings.exercise(expected.len() as u64);
            for (value, why) in &expected {
                if !read.held.contains(*value) {
                    let writer = book.writer(*value);
                    findings.violate(read.place, || {
                        let what = match writer {
                            Some(writer) => format!(
                                "the transaction of {}'s operation {} (id {value})",
                                book.client_of(writer),
                                writer.number
                            ),
                            None => format!("the transaction with the id {value}"),
                        };
                        let why = match why {
                            None => "which was acknowledged".to_owned(),
                            Some(other) => format!("which is in {}", other.name),
                        };
                        violation(
                            format!("{} lacks {what}, {why}.", read.name),
                            writer.map(|writer| writer.number).into_iter().collect(),
                        )
                    });
                }
            }
        }
        findings
    }
}

/// What must be there: what a client acknowledged, and the final read that has what nobody did.
fn expected<'f>(
    book: &Book,
    settled: &HashSet<&str>,
    finals: &[&'f FinalRead],
) -> BTreeMap<Value, Option<&'f FinalRead>> {
    let mut expected = BTreeMap::new();
    for read in finals {
        for value in &read.values {
            expected.entry(*value).or_insert(Some(*read));
        }
    }
    for operation in &book.operations {
        // What was not uploaded when a database was lost is gone with it: see storage-intact.
        if let Outcome::Ok { .. } = operation.outcome
            && book.is_kept(operation)
            && settled.contains(book.client_of(operation))
        {
            expected.insert(operation.value, None);
        }
    }
    expected
}
