//! *No thin-air read*: every value that was read had been written to that row before the read ended,
//! by a transaction that did not fail, and every row that was to be read is there.
//!
//! A missing row belongs here because nobody ever wrote its absence: the rows exist from the
//! beginning, and no transaction deletes one. A row that is there twice was written by nobody
//! either. Reading a value of a transaction that failed is Adya's G1a, an aborted read (Weak
//! Consistency: A Generalized Theory, 1999).

use squall_protocol::transaction::Reads as Asked;
use squall_protocol::verdict::Property;

use super::session::Read;
use crate::findings::Report;
use crate::findings::explain;
use crate::log::operations::OperationLog;
use crate::log::trace::Source;

/// Where the read's values come from; those from nowhere, and missing rows, are violations.
pub(super) fn judge(log: &OperationLog, read: &Read, report: &mut Report) -> Vec<Source> {
    const PROPERTY: Property = Property::NoThinAirRead;
    let keys = log.keys;
    let mut sources = Vec::with_capacity(read.rows.len());
    let mut existing = 0;
    for (key, value) in read.rows.iter() {
        existing += u64::from(*key < keys);
        let source = log.trace((read.operation, read.completed), *key, *value);
        sources.push(source.unwrap_or_else(|why| {
            report.violate(PROPERTY, read.completed, || {
                let why = why.map(|writer| log.operation_step(writer));
                explain::thin_air(read.reader(log), *key, *value, why)
            });
            Source::Nowhere
        }));
    }
    let missing = match (&read.present, &read.asked) {
        (None, _) | (_, Asked::Nothing) => 0,
        (_, Asked::All) => u64::from(keys) - read.distinct,
        (_, Asked::Keys(asked)) => {
            let existing = asked.iter().filter(|key| **key < keys);
            existing.filter(|key| read.lacks(**key)).count() as u64
        }
    };
    let repeated = existing - read.distinct;
    report
        .of(PROPERTY)
        .exercise(read.rows.len() as u64 + missing);
    if missing > 0 {
        report.violate_times(PROPERTY, missing, read.completed, || {
            let first = (0..keys).find(|key| read.lacks(*key)).unwrap_or(0);
            explain::missing_rows(read.reader(log), first, missing)
        });
    }
    if repeated > 0 {
        report.violate_times(PROPERTY, repeated, read.completed, || {
            explain::repeated_rows(read.reader(log), repeated)
        });
    }
    sources
}
