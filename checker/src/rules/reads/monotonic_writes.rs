//! *Monotonic writes*: a session's writes are seen in their order. A read that shows a transaction of
//! another session holds, for every row, at least the highest value that this session had written to
//! it in earlier transactions.
//!
//! What a read has to hold because of a transaction only grows along that one's session, so for every read
//! and every other session the latest transaction that the read shows is all that matters.

use squall_protocol::verdict::Property;

use super::session::{Before, Read};
use crate::findings::Report;
use crate::log::operations::OperationLog;
use crate::log::trace::OperationIndex;

/// `latest` is the latest transaction of the session that the read shows, and `before` what was before it there.
pub(super) fn judge(
    log: &OperationLog,
    read: &Read,
    before: &Before,
    latest: OperationIndex,
    report: &mut Report,
) {
    let report = (Property::MonotonicWrites, report);
    read.compare(
        before,
        |session| &session.written,
        report,
        |below| {
            let writer = log.operation_step(below.evidence);
            let shown = read.shown(log, latest);
            below.stale(log, read).monotonic_writes(shown, writer)
        },
    );
}
