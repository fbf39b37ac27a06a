//! *Writes follow reads*: a write is seen only together with what its session had read. A read that
//! shows a transaction of another session holds, for every row, at least the highest value that this
//! session had read, and not written itself, in that transaction or before.
//!
//! Algorithm: as for monotonic writes, with the floor of what the session has read. An operation
//! whose answer was lost has not told what it read, so only its predecessors count.

use squall_protocol::verdict::{Property, Violation};

use super::floor::Floor;
use super::index::{Index, Outcome};
use super::session::remember;
use super::shown::Shown;
use super::words;
use crate::evidence::Findings;

pub(super) fn judge(index: &Index, shown: &Shown) -> Findings {
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
                        let earlier = &index.reads[below.evidence];
                        let writer = words::writer(index, earlier, below.key, below.floor);
                        let when = if earlier.operation == Some(*operation) {
                            "In that operation".to_owned()
                        } else {
                            format!("Before that, in {}", words::place(index, earlier))
                        };
                        Violation {
                            summary: format!(
                                "{}. {when}, {} had read {}{}, yet the same read {}.",
                                words::shows(index, read, *operation),
                                words::client(index, *operation),
                                words::row(below.key, below.floor),
                                words::written_by(index, writer),
                                words::has(below.key, below.value),
                            ),
                            operations: words::numbers(
                                index,
                                [read.operation, Some(*operation), earlier.operation, writer],
                            ),
                        }
                    });
                });
            }
        }
        seen.clear();
    }
    findings
}
