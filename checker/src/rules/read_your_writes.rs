//! *Read your writes*: a read returns, for every row, at least the highest value that the session
//! has written to it before. Only writes that were acknowledged count.
//!
//! Algorithm: go through each session in its order, and keep a floor. Once a session has fallen below
//! it the floor stays, and every later read below it is counted too.

use squall_protocol::verdict::Property;

use super::floor::Floor;
use crate::findings::{Findings, names};
use crate::log::index::Index;
use crate::log::trace::OperationIndex;

pub(crate) fn judge(index: &Index) -> Findings {
    let mut findings = Findings::new(Property::ReadYourWrites);
    let mut written: Floor<OperationIndex> = Floor::new(index.key_count);
    for session in &index.sessions {
        for read in session.reads.iter().map(|read| &index.reads[*read]) {
            written.compare(index, read, &mut findings, |findings, below| {
                findings.violate(read.completed, || {
                    let writer = names::step(index, below.evidence);
                    below.stale(index, read).read_your_writes(writer)
                });
            });
            if let Some(operation) = read.operation
                && index.operations[operation as usize].committed()
            {
                let value = index.value(operation);
                for key in index.certain_writes(operation) {
                    written.raise(key, value, operation);
                }
            }
        }
        written.clear();
    }
    findings
}
