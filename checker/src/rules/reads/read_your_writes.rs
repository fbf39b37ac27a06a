//! *Read your writes*: a read returns, for every row, at least the highest value that the session
//! has written to it before, in any of its tabs. Only writes that were acknowledged count. Once a session has fallen below
//! that, every later read below it is counted too.

use squall_protocol::verdict::Property;

use super::session::{Before, Read};
use crate::findings::Report;
use crate::log::operations::OperationLog;

pub(super) fn judge(log: &OperationLog, read: &Read, before: &Before, report: &mut Report) {
    let report = (Property::ReadYourWrites, report);
    read.compare(
        before,
        |session| &session.written,
        report,
        |below| {
            let writer = log.operation_step(below.evidence);
            below.stale(log, read).read_your_writes(writer)
        },
    );
}
