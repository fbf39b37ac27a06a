//! *Monotonic writes*: a session's writes are seen in their order. A read that shows a transaction of
//! another session holds, for every row, at least the highest value that this session had written to
//! it in earlier transactions.
//!
//! Algorithm: go through each session in its order, and keep the floor of what it has written; before
//! a transaction's writes are added, compare with it every read for which the transaction is the
//! latest of its session.

use squall_protocol::verdict::Property;

use super::floor::Floor;
use super::shown::Shown;
use crate::findings::Findings;
use crate::findings::names;
use crate::log::index::Index;
use crate::log::trace::OperationIndex;

pub(crate) fn judge(index: &Index, shown: &Shown) -> Findings {
    let mut findings = Findings::new(Property::MonotonicWrites);
    let mut written: Floor<OperationIndex> = Floor::new(index.key_count);
    for session in &index.sessions {
        for operation in &session.operations {
            for read in shown.reads(*operation) {
                let read = &index.reads[read];
                written.compare(index, read, &mut findings, |findings, below| {
                    findings.violate(read.completed, || {
                        let writer = names::step(index, below.evidence);
                        let shown = names::shown(index, read, *operation);
                        below.stale(index, read).monotonic_writes(shown, writer)
                    });
                });
            }
            if index.operations[*operation as usize].committed() {
                let value = index.operations[*operation as usize].transaction.value;
                for key in index.certain_writes(*operation) {
                    written.raise(key, value, *operation);
                }
            }
        }
        written.clear();
    }
    findings
}
