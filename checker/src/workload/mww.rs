//! The workload `mww`, maximum write wins: definitions first, then where each is decided.
//!
//! # The history
//!
//! Rows are keys `0..n`, all -1 at first and never deleted. A *transaction* reads every row, some rows
//! or none, and then writes one value, unique in the history, to some rows; it leaves out the rows
//! that hold a higher value. Replicas merge row by row: the highest value wins. So
//!
//! - a value names the one transaction that wrote it, and a read of it shows that transaction,
//! - the order of a row's versions is known beforehand: it is the order of the values, in all
//!   replicas. Nothing has to be searched for; every property is a comparison per row read.
//!
//! A *session* is a database, and its operations are ordered by their ends, since a client does one
//! transaction after the other and answers in that order. (The coordinator may invoke one while the
//! client tells of another: an emission of a live query is recorded as an operation when it arrives,
//! between the invocation and the end of a transaction that was still on its way, and came before it.)
//! A session goes on when a client is killed or reloaded, or when an answer is lost. PostgreSQL's final
//! read is a session of its own.
//!
//! An operation that ended in `info` may have happened. What it wrote is possible: reading it is
//! fine, and shows that it happened. When it happened is not known (a commit may arrive late), so
//! nothing after its invocation in its session is held against it; everything that had ended before its
//! invocation is in its past. A `fail` certainly did not happen.
//!
//! # The properties of reads
//!
//! Let a read of the session *s* return the value *v* for the row *x*. The value is *stale* when a
//! higher value *u* of *x* had to be visible. Each guarantee names one way in which *u* had to be,
//! and they do not overlap: the place in which *u* should have been seen belongs to one of them.
//!
//! | property | *u* was … |
//! | --- | --- |
//! | read your writes | written by *s* itself before |
//! | monotonic reads | read by *s* before, and written by another session |
//! | atomic visibility | written by a transaction of which the same read shows another write |
//! | monotonic writes | written by a session of which the same read shows a later transaction |
//! | writes follow reads | read by a session, not written by it, before or in a transaction that the same read shows |
//!
//! These are the session guarantees of Terry et al. (Session Guarantees for Weakly Consistent
//! Replicated Data, PDIS 1994) and the fractured reads of Bailis et al. (RAMP, SIGMOD 2014), in the
//! case of a known version order. In the last two, *another* session is meant: for the session's own
//! transactions the first two say the same.
//!
//! Together they are causal consistency: every read returns, for every row, at least the highest
//! value in its causal past, where the past is the transitive closure of session order and
//! reads-from. Proof, by induction on the length of a shortest causal path from the transaction that
//! wrote *u* to the read *r*. Let the path's last step come from the transaction *t*. If it is session
//! order and *t* wrote *u*: read your writes. If *t* did not, it has read at least *u* by induction,
//! since every transaction reads every row: monotonic reads. If the step is reads-from and *t* wrote
//! *u*: atomic visibility. If *t* did not: *t* has read at least *u* by induction, and *r* shows *t*:
//! writes follow reads (or monotonic writes, for what *t*'s session wrote itself). An operation that
//! ended in `info` has not recorded what it read; there the session's operations before it take its
//! place. So they do for a transaction that reads nothing: having read from nobody, it has nothing in
//! its past but them, and the last of them that wrote *u*, or read with *u* in its past, is what the
//! step comes from. Conversely every comparison is between a read and a value of its causal past.
//!
//! What a transaction *t* that reads only some rows leaves out, it does not vouch for: a path that goes
//! through reads of one row to a value of another may be broken without any guarantee being so. Each
//! guarantee still says what it says; but together they are causal consistency only where every
//! transaction reads every row or none. The rows that a transaction was not told to read are neither
//! missing nor counted.
//!
//! A client does one transaction after the other. Where several tabs work on one database, an operation of one is
//! before one of another if it had ended when that began, and the guarantees hold between these as within a tab; where they
//! overlap, neither is before the other. In a history in which it does not, a read that shows
//! what its own session completed only later is not judged for that.
//!
//! *No thin-air read*: every value was written to that row, by a transaction that did not fail
//! (Adya's G1a, an aborted read, otherwise) and that was invoked before the read ended, and every
//! row that was to be read is there. When an emission of a live query began is not known, but it had
//! ended when it was recorded.
//!
//! # The properties of the end
//!
//! Strong convergence, queue drained, recovered in time and storage intact are defined in their
//! modules.
//!
//! # What this workload can not show
//!
//! A write that was lost and whose rows were all overwritten by higher values leaves no trace.
//!
//! # Cost
//!
//! With *R* rows read and written and *s* sessions: time O(R · min(s, rows per read)) for the two
//! guarantees that look through another session, O(R) for all others. The memory is said in `rules::reads`.

use squall_protocol::verdict::{Counts, Verdict};

use super::conclude::conclude;
use crate::findings::Findings;
use crate::log::index::Index;
use crate::rules::recovery::{self, End, InRows};
use crate::rules::{storage_intact, strong_convergence};

/// The verdict from what was found about reads and what a workload that adds to it finds; `index` is the index of
/// the history.
pub(crate) fn verdict(
    mut findings: Vec<Findings>,
    index: Index,
    counts: Counts,
    more: impl FnOnce(&End) -> Vec<Findings>,
) -> Verdict {
    let recovery = recovery::judge(&index, &mut InRows::new(&index));
    let end = End {
        settled: recovery.all_settled(&index),
        synced: index.is_synced(),
    };
    findings.extend([
        strong_convergence::judge(&index, &recovery),
        storage_intact::judge(&index),
        recovery.queue_drained,
        recovery.recovered_in_time,
    ]);
    findings.extend(more(&end));
    conclude(index, findings, counts)
}
