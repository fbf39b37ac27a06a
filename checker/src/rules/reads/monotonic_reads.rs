//! *Monotonic reads*: a read returns, for every row, at least the highest value that the session has
//! read from it before. What the session wrote itself is left to
//! [`read_your_writes`](super::read_your_writes).

use squall_protocol::verdict::Property;

use super::session::{Read, Session};
use crate::findings::Report;
use crate::log::operations::OperationLog;

pub(super) fn judge(log: &OperationLog, read: &Read, session: &Session, report: &mut Report) {
    let report = (Property::MonotonicReads, report);
    read.compare(&session.seen, usize::MAX, report, |below| {
        let earlier = log.step(read.session, below.evidence);
        let writer = log.writer(below.floor);
        let writer = writer.map(|writer| log.operation_step(writer));
        below.stale(log, read).monotonic_reads(earlier, writer)
    });
}
