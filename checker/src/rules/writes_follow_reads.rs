//! *Writes follow reads*: a write is seen only together with what its session had read. A read that
//! shows a transaction of another session holds, for every row, at least the highest value that this
//! session had read, and not written itself, in that transaction or before.
//!
//! Algorithm: as for monotonic writes, with the floor of what the session has read. An operation
//! whose answer was lost has not told what it read, so only its predecessors count.

use squall_protocol::verdict::Property;

use super::floor::{Below, Floor};
use super::monotonic_reads::remember;
use super::shown::Shown;
use crate::findings::Findings;
use crate::findings::names;
use crate::log::index::{Index, Outcome, Read};
use crate::log::trace::OperationIndex;

pub(crate) fn judge(index: &Index, shown: &Shown) -> Findings {
    let mut findings = Findings::new(Property::WritesFollowReads);
    let mut seen: Floor<usize> = Floor::new(index.key_count);
    for session in &index.sessions {
        for operation in &session.operations {
            if let Outcome::Ok { read, .. } = index.operations[*operation as usize].outcome {
                remember(index, &index.reads[read], read, &mut seen);
            }
            for read in shown.reads(*operation) {
                let read = &index.reads[read];
                seen.compare(index, read, &mut findings, |findings, below| {
                    findings.violate(read.completed, || {
                        let earlier = nearest(index, *operation, &below);
                        let writer = names::writer(index, earlier, below.key, below.floor);
                        let earlier = names::reader(index, earlier);
                        let shown = names::shown(index, read, *operation);
                        let stale = below.stale(index, read);
                        stale.writes_follow_reads(shown, earlier, writer)
                    });
                });
            }
        }
        seen.clear();
    }
    findings
}

/// The read that is the evidence: the shown operation's own if it returned the value, which makes the
/// path shorter, and otherwise the first that did.
fn nearest<'i, 'h>(
    index: &'i Index<'h>,
    shown: OperationIndex,
    below: &Below<usize>,
) -> &'i Read<'h> {
    if let Outcome::Ok { read, .. } = index.operations[shown as usize].outcome {
        let read = &index.reads[read];
        if read.rows.contains(&(below.key, below.floor)) {
            return read;
        }
    }
    &index.reads[below.evidence]
}
