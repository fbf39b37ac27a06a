//! *Monotonic reads*: a read returns, for every row, at least the highest value that the session has
//! read from it before. What the session wrote itself is left to read your writes.
//!
//! Algorithm: go through each session in its order, and keep a floor, as for
//! [`read_your_writes`](super::read_your_writes).

use squall_protocol::verdict::Property;

use super::floor::Floor;
use crate::findings::{Findings, names};
use crate::log::index::{Index, Read};
use crate::log::trace::Source;

pub(crate) fn judge(index: &Index) -> Findings {
    let mut findings = Findings::new(Property::MonotonicReads);
    // By the read that returned it.
    let mut seen: Floor<usize> = Floor::new(index.key_count);
    for session in &index.sessions {
        for number in &session.reads {
            let read = &index.reads[*number];
            seen.compare(index, read, &mut findings, |findings, below| {
                findings.violate(read.completed, || {
                    let earlier = &index.reads[below.evidence];
                    let writer = names::writer(index, earlier, below.key, below.floor);
                    let earlier = names::reader(index, earlier);
                    below.stale(index, read).monotonic_reads(earlier, writer)
                });
            });
            remember(index, read, *number, &mut seen);
        }
        seen.clear();
    }
    findings
}

/// Raises the floor by what the session has read and not written itself.
pub(crate) fn remember(index: &Index, read: &Read, evidence: usize, seen: &mut Floor<usize>) {
    for ((key, value), source) in read.rows.iter().zip(index.sources(read)) {
        if let Source::Operation(writer) = source
            && !index.is_own(writer, read.session)
        {
            seen.raise(*key, *value, evidence);
        }
    }
}
