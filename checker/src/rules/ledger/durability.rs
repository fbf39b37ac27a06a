//! *Durability*: every transaction that a client acknowledged is in every final read.
//!
//! Compared are the final reads of PostgreSQL and of every client that has recovered and drained its
//! queue, among those who share their data; whether a client gets there is a matter of liveness. What such a client acknowledged must be
//! in all of them, and so must whatever any of them shows: an operation whose answer was lost may have
//! happened or not, but not here and there. That each is there once, in its client's order, is for the
//! other properties to say.

use std::collections::{BTreeMap, BTreeSet};

use squall_protocol::transaction::Value;
use squall_protocol::verdict::Property;

use super::log::{Outcome, Read, outcome, value_of, writer_of};
use crate::findings::Findings;
use crate::findings::explain::in_words as violation;
use crate::log::by_value::Values;
use crate::log::index::Share;
use crate::log::operations::{OperationLog, POSTGRESQL};
use crate::rules::recovery::End;

/// The final reads so far.
#[derive(Clone, Default)]
pub(crate) struct Durability(Vec<FinalRead>);

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

    /// Judges the end.
    pub fn judge(&self, log: &OperationLog, end: &End) -> Findings {
        let mut findings = Findings::new(Property::Durability);
        let mut missing: BTreeSet<&str> = end.settled.keys().copied().collect();
        if end.synced {
            missing.insert(POSTGRESQL);
        }
        let mut finals: BTreeMap<Share, Vec<&FinalRead>> = BTreeMap::new();
        for read in &self.0 {
            let share = match end.settled.get(read.reader.as_str()) {
                Some(share) => *share,
                None if read.reader == POSTGRESQL => Share::Synced,
                None => continue,
            };
            missing.remove(read.reader.as_str());
            finals.entry(share).or_default().push(read);
        }
        for reader in missing {
            findings.doubt(format!("{reader}'s final read of the ledger is missing"));
        }
        for (share, finals) in finals {
            let expected = expected(log, end, share, &finals);
            compare(log, &expected, finals, &mut findings);
        }
        findings
    }
}

/// Compares final reads with what must be there.
fn compare(
    log: &OperationLog,
    expected: &BTreeMap<Value, Option<&FinalRead>>,
    finals: Vec<&FinalRead>,
    findings: &mut Findings,
) {
    for read in finals {
        findings.exercise(expected.len() as u64);
        for (value, why) in expected {
            if !read.held.contains(*value) {
                let writer = writer_of(log, *value);
                findings.violate(read.place, || {
                    let what = match writer {
                        Some(writer) => format!(
                            "the transaction of {}'s operation {} (id {value})",
                            log.client_of(writer.session),
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
}

/// What must be there: what a client acknowledged, and the final read that has what nobody did.
fn expected<'f>(
    log: &OperationLog,
    end: &End,
    share: Share,
    finals: &[&'f FinalRead],
) -> BTreeMap<Value, Option<&'f FinalRead>> {
    let mut expected = BTreeMap::new();
    for read in finals {
        for value in &read.values {
            expected.entry(*value).or_insert(Some(*read));
        }
    }
    for operation in &log.operations {
        // What was not uploaded when a database was lost is gone with it: see storage-intact.
        if let Outcome::Ok(_) = outcome(operation)
            && log.is_kept(operation.session)
            && end.settled.get(log.client_of(operation.session)) == Some(&share)
        {
            expected.insert(operation.value, None);
        }
    }
    expected
}
