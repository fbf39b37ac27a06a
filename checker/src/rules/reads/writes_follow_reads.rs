//! *Writes follow reads*: a write is seen only together with what its session had read. A read that
//! shows a transaction of another session holds, for every row, at least the highest value that this
//! session had read, and not written itself, in that transaction or before.
//!
//! As for [`monotonic_writes`](super::monotonic_writes) the latest transaction is all that matters. An
//! operation whose answer was lost has not told what it read, so only its predecessors count.

use squall_protocol::history::Event;
use squall_protocol::transaction::{Key, Value};
use squall_protocol::verdict::{Property, Step};

use super::session::{Before, Below, Read};
use crate::findings::Report;
use crate::log::known::Known;
use crate::log::trace::OperationIndex;

/// `latest` is the latest transaction of the session that the read shows, and `before` what the session had read by
/// then, in that transaction too.
pub(super) fn judge(
    known: Known,
    read: &Read,
    before: &Before,
    latest: OperationIndex,
    report: &mut Report,
) {
    let log = known.log;
    let report = (Property::WritesFollowReads, report);
    read.compare(
        before,
        |session| &session.seen,
        report,
        |below| {
            let earlier = nearest(known, latest, below);
            let writer = log.writer(below.floor);
            let writer = writer.map(|writer| log.operation_step(writer));
            let shown = read.shown(log, latest);
            let stale = below.stale(log, read);
            stale.writes_follow_reads(shown, earlier, writer)
        },
    );
}

/// Whose read is the evidence: the shown operation's own if it is known to have returned the value, which makes
/// the path shorter, and otherwise the first that did.
fn nearest(known: Known, shown: OperationIndex, below: &Below) -> Step {
    let row: (Key, Value) = (below.key, below.floor);
    let of = &known.log.operations[shown as usize];
    let own = match known.records.get(of.order).map(|record| &record.event) {
        Some(Event::Ok { effects, .. }) if of.committed() => effects.reads.contains(&row),
        _ => false,
    };
    let evidence = if own { shown } else { below.evidence };
    known.log.operation_step(evidence)
}
