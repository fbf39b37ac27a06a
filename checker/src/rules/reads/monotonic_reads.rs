//! *Monotonic reads*: a read returns, for every row, at least the highest value that the session has
//! read from it before. What the session wrote itself is left to
//! [`read_your_writes`](super::read_your_writes).

use squall_protocol::verdict::Property;

use super::session::{Before, Read};
use crate::findings::Report;
use crate::log::operations::OperationLog;

pub(super) fn judge(log: &OperationLog, read: &Read, before: &Before, report: &mut Report) {
    let report = (Property::MonotonicReads, report);
    read.compare(
        before,
        |session| &session.seen,
        report,
        |below| {
            let earlier = log.operation_step(below.evidence);
            let writer = log.writer(below.floor);
            let writer = writer.map(|writer| log.operation_step(writer));
            below.stale(log, read).monotonic_reads(earlier, writer)
        },
    );
}
