//! The two guarantees that a session gives to itself.
//!
//! *Read your writes*: a read returns, for every row, at least the highest value that the session
//! has written to it before. Only writes that were acknowledged count.
//!
//! *Monotonic reads*: a read returns, for every row, at least the highest value that the session has
//! read from it before. What the session wrote itself is left to read your writes.
//!
//! Algorithm: go through each session in its order, and keep both floors. Once a session has fallen
//! below a floor the floor stays, and every later read below it is counted too.

use squall_protocol::verdict::Property;

use super::floor::Floor;
use super::index::{Index, OperationIndex, Read, Source};
use super::words;
use crate::evidence::Findings;

/// Read your writes, and monotonic reads.
pub(super) fn judge(index: &Index) -> (Findings, Findings) {
    let mut read_your_writes = Findings::new(Property::ReadYourWrites);
    let mut monotonic_reads = Findings::new(Property::MonotonicReads);
    // By the operation that wrote, and by the operation that read.
    let mut written: Floor<OperationIndex> = Floor::new(index.key_count);
    let mut seen: Floor<usize> = Floor::new(index.key_count);
    for session in &index.sessions {
        for read_index in &session.reads {
            let read = &index.reads[*read_index];
            written.compare(index, read, &mut read_your_writes, |findings, below| {
                findings.violate(read.completed, || {
                    let writer = words::step(index, below.evidence);
                    below.stale(index, read).read_your_writes(writer)
                });
            });
            seen.compare(index, read, &mut monotonic_reads, |findings, below| {
                findings.violate(read.completed, || {
                    let earlier = &index.reads[below.evidence];
                    let writer = words::writer(index, earlier, below.key, below.floor);
                    let earlier = words::reader(index, earlier);
                    below.stale(index, read).monotonic_reads(earlier, writer)
                });
            });
            remember(index, read, *read_index, &mut seen);
            if let Some(operation) = read.operation
                && index.operations[operation as usize].committed()
            {
                let value = index.operations[operation as usize].transaction.value;
                for key in index.certain_writes(operation) {
                    written.raise(key, value, operation);
                }
            }
        }
        written.clear();
        seen.clear();
    }
    (read_your_writes, monotonic_reads)
}

/// Raises the floor by what the session has read and not written itself.
pub(super) fn remember(index: &Index, read: &Read, evidence: usize, seen: &mut Floor<usize>) {
    for ((key, value), source) in read.rows.iter().zip(index.sources(read)) {
        if let Source::Operation(writer) = source
            && !index.is_own(writer, read.session)
        {
            seen.raise(*key, *value, evidence);
        }
    }
}
