//! *Atomic visibility*: a transaction is seen as a whole or not at all. A read that shows one of a
//! transaction's writes holds at least the transaction's value in every other row that the
//! transaction wrote. (Otherwise it is a fractured read; here a higher value in the other row is
//! legal, because rows are merged one by one.)
//!
//! Of an operation whose answer was lost it is not known which rows it wrote: it leaves out the rows
//! that held a higher value. Only the writes that somebody has read are held against the others.
//!
//! Algorithm: spread the read's rows over an array, then look up the writes of every transaction
//! that it shows.

use squall_protocol::transaction::Key;
use squall_protocol::verdict::{Property, Violation};

use crate::findings::Findings;
use crate::findings::explain::{Shown, Stale};
use crate::findings::names;
use crate::log::index::{Index, Read};
use crate::log::trace::{OperationIndex, Source};

pub(crate) fn judge(index: &Index) -> Findings {
    let mut findings = Findings::new(Property::AtomicVisibility);
    // For each row the place in the current read where it stands, and which read that is.
    let mut places: Vec<(usize, usize)> = vec![(usize::MAX, 0); index.key_count];
    // The last read in which a transaction was looked at: once per read is enough.
    let mut looked_at = vec![usize::MAX; index.operations.len()];
    for (number, read) in index.reads.iter().enumerate() {
        for (place, (key, value)) in read.rows.iter().enumerate() {
            if let Some(entry) = places.get_mut(*key as usize) {
                // Of a row that is there twice the lower value is judged.
                let twice = entry.0 == number;
                if !twice || *value < read.rows[entry.1].1 {
                    *entry = (number, place);
                }
            }
        }
        for (place, source) in index.sources(read).enumerate() {
            let Source::Operation(writer) = source else {
                continue;
            };
            if std::mem::replace(&mut looked_at[writer as usize], number) == number {
                continue;
            }
            let (shown, value) = read.rows[place];
            for key in index.certain_writes(writer) {
                let other = match places.get(key as usize) {
                    Some((of, at)) if *of == number => match index.source(read, *at) {
                        Source::Operation(same) if same == writer => continue,
                        Source::Nowhere | Source::Ambiguous => continue,
                        _ => Some(read.rows[*at].1),
                    },
                    // Rows that do not exist, or were not to be read, can not be missing.
                    _ if key >= index.header.keys || !read.asked.contains(key) => continue,
                    _ => None,
                };
                findings.exercise(1);
                if other.is_none_or(|other| other < value) {
                    findings.violate(read.completed, || {
                        fractured(index, read, writer, shown, (key, other))
                    });
                }
            }
        }
    }
    findings
}

fn fractured(
    index: &Index,
    read: &Read,
    writer: OperationIndex,
    shown: Key,
    (key, other): (Key, Option<i64>),
) -> Violation {
    let value = index.operations[writer as usize].transaction.value;
    let stale = Stale {
        reader: names::reader(index, read),
        key,
        value: other,
        floor: value,
    };
    stale.atomic_visibility(Shown {
        writer: names::step(index, writer),
        key: shown,
        value,
    })
}
