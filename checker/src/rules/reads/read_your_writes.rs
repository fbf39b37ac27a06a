//! *Read your writes*: a read returns, for every row, at least the highest value that the session
//! has written to it before. Only writes that were acknowledged count. Once a session has fallen below
//! that, every later read below it is counted too.

use squall_protocol::verdict::Property;

use super::session::{Read, Session};
use crate::findings::Report;
use crate::log::operations::OperationLog;

pub(super) fn judge(log: &OperationLog, read: &Read, session: &Session, report: &mut Report) {
    let report = (Property::ReadYourWrites, report);
    read.compare(&session.written, usize::MAX, report, |below| {
        let writer = log.operation_step(below.evidence);
        below.stale(log, read).read_your_writes(writer)
    });
}
