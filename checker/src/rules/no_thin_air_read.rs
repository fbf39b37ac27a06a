//! *No thin-air read*: every value that was read had been written to that row before the read ended,
//! by a transaction that did not fail, and every row that was to be read is there.
//!
//! A missing row belongs here because nobody ever wrote its absence: the rows exist from the
//! beginning, and no transaction deletes one. A row that is there twice was written by nobody
//! either. Reading a value of a transaction that failed is Adya's G1a, an aborted read (Weak
//! Consistency: A Generalized Theory, 1999).

use squall_protocol::verdict::{Property, Violation};

use crate::findings::Findings;
use crate::findings::explain;
use crate::findings::names;
use crate::log::index::{Index, Read};
use crate::log::trace::Source;

pub(crate) fn judge(index: &Index) -> Findings {
    let mut findings = Findings::new(Property::NoThinAirRead);
    for read in &index.reads {
        let mut existing = 0;
        for ((key, value), source) in read.rows.iter().zip(index.sources(read)) {
            existing += u64::from(*key < index.header.keys);
            if source != Source::Nowhere {
                continue;
            }
            if let Err(why) = index.trace(read, *key, *value) {
                findings.violate(read.completed, || {
                    let why = why.map(|writer| names::step(index, writer));
                    explain::thin_air(names::reader(index, read), *key, *value, why)
                });
            }
        }
        let missing = read.missing(index);
        let repeated = existing - read.distinct;
        findings.exercise(read.rows.len() as u64 + missing);
        if missing > 0 {
            findings.violate_times(missing, read.completed, || {
                missing_rows(index, read, missing)
            });
        }
        if repeated > 0 {
            findings.violate_times(repeated, read.completed, || {
                explain::repeated_rows(names::reader(index, read), repeated)
            });
        }
    }
    findings
}

fn missing_rows(index: &Index, read: &Read, missing: u64) -> Violation {
    let first = (0..index.header.keys)
        .find(|key| read.lacks(*key))
        .unwrap_or(0);
    explain::missing_rows(names::reader(index, read), first, missing)
}
