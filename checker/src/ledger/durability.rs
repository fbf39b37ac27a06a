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

pub(super) fn judge(book: &Book, settled: &HashSet<&str>) -> Findings {
    let mut findings = Findings::new(Property::Durability);
    let finals: Vec<&Read> = book
        .reads
        .iter()
        .filter(|read| read.operation.is_none())
        .filter(|read| read.reader == POSTGRESQL || settled.contains(read.reader))
        .collect();
    if !finals.iter().any(|read| read.reader == POSTGRESQL) {
        findings.doubt("PostgreSQL's final read of the ledger is missing".to_owned());
    }
    for client in settled {
        if !finals.iter().any(|read| read.reader == *client) {
            findings.doubt(format!("{client}'s final read of the ledger is missing"));
        }
    }

    // What must be there, and why.
    let mut expected: BTreeMap<Value, String> = BTreeMap::new();
    let mut held: Vec<Values> = Vec::new();
    for read in &finals {
        let mut values = Values::default();
        for row in read.ledger.iter().flat_map(|of| &of.rows) {
            if let Some(value) = value_of(&row.id) {
                values.insert(value);
                expected
                    .entry(value)
                    .or_insert_with(|| format!("which is in {}", read.name()));
            }
        }
        held.push(values);
    }
    for operation in &book.operations {
        // What was not uploaded when a database was lost is gone with it: see storage-intact.
        let kept = book.latest.get(operation.client) == Some(&operation.session);
        if let Outcome::Ok { .. } = operation.outcome
            && kept
            && settled.contains(operation.client)
        {
            expected.insert(
                operation.transaction.value,
                "which was acknowledged".to_owned(),
            );
        }
    }
    for (read, held) in finals.iter().zip(&held) {
        findings.exercise(expected.len() as u64);
        for (value, why) in &expected {
            if !held.contains(*value) {
                let writer = book.writer(*value);
                findings.violate(read.place, || {
                    let what = match writer {
                        Some(writer) => format!(
                            "the transaction of {}'s operation {} (id {value})",
                            writer.client, writer.number
                        ),
                        None => format!("the transaction with the id {value}"),
                    };
                    violation(
                        format!("{} lacks {what}, {why}.", read.name()),
                        read.numbers(writer),
                    )
                });
            }
        }
    }
    findings
}
