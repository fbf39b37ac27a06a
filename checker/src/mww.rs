//! The workload `mww`, maximum write wins: definitions first, then where each is decided.
//!
//! # The history
//!
//! Rows are keys `0..n`, all -1 at first and never deleted. A *transaction* reads every row and then
//! writes one value, unique in the history, to some rows; it leaves out the rows in which it has
//! just read a higher value. Replicas merge row by row: the highest value wins. So
//!
//! - a value names the one transaction that wrote it, and a read of it shows that transaction,
//! - the order of a row's versions is known beforehand: it is the order of the values, in all
//!   replicas. Nothing has to be searched for; every property is a comparison per row read.
//!
//! A *session* is a database, and its operations are ordered by their invocation, since a client
//! does one transaction after the other. It goes on when a client is killed or reloaded, or when an
//! answer is lost. PostgreSQL's final read is a session of its own.
//!
//! An operation that ended in `info` may have happened. What it wrote is possible: reading it is
//! fine, and shows that it happened. When it happened is not known (a commit may arrive late), so
//! nothing after it in its session is held against it; everything before it is in its past. A `fail`
//! certainly did not happen.
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
//! place. Conversely every comparison is between a read and a value of its causal past.
//!
//! *No thin-air read*: every value was written to that row, by a transaction that did not fail
//! (Adya's G1a, an aborted read, otherwise) and that was invoked before the read ended, and every
//! row is there.
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
//! guarantees that look through another session, O(R) for all others; memory O(R).

mod atomic_visibility;
mod explain;
mod floor;
mod index;
mod monotonic_writes;
mod no_thin_air_read;
pub(crate) mod online;
mod recovery;
mod session;
mod shown;
mod storage_intact;
mod strong_convergence;
mod words;
mod writes_follow_reads;

use std::collections::HashSet;

use squall_protocol::history::{Event, Header};
use squall_protocol::plan::Workload;
use squall_protocol::verdict::{
    Counts, Judgement, Property, PropertyVerdict, VERDICT_VERSION, Verdict,
};

use crate::evidence::Findings;
use crate::history::History;
use index::Index;
use shown::Shown;

/// The highest number of rows for which the checker makes arrays. A header may claim any number.
pub const MAX_KEYS: u32 = 1 << 20;

/// Judges a history of the workload `mww`.
pub fn check(history: &History) -> Verdict {
    check_with(history, |_| Vec::new())
}

/// Judges a history by the properties of `mww`, and then by those of a workload that adds to it. It is
/// told the names of the clients that have recovered and drained their queues.
pub(crate) fn check_with(
    history: &History,
    more: impl FnOnce(&HashSet<&str>) -> Vec<Findings>,
) -> Verdict {
    let counts = counts(history);
    if history.header.keys > MAX_KEYS {
        return not_judged(&history.header, counts);
    }
    let index = Index::new(history);
    let shown = Shown::new(&index);
    let (read_your_writes, monotonic_reads) = session::judge(&index);
    let of_reads = [
        read_your_writes,
        monotonic_reads,
        monotonic_writes::judge(&index, &shown),
        writes_follow_reads::judge(&index, &shown),
        atomic_visibility::judge(&index),
        no_thin_air_read::judge(&index),
    ];
    verdict_with(index, of_reads, counts, more)
}

/// The verdict from what was found about the properties of reads, those of the end, and what another
/// workload adds.
fn verdict_with(
    index: Index,
    of_reads: [Findings; 6],
    counts: Counts,
    more: impl FnOnce(&HashSet<&str>) -> Vec<Findings>,
) -> Verdict {
    let declared = properties(index.header.workload);
    let recovery = recovery::judge(&index);
    let clients = index.clients.iter().enumerate();
    let settled = clients
        .filter(|(number, _)| recovery.recovered[*number] && recovery.drained[*number])
        .map(|(_, client)| client.name)
        .collect();
    let mut findings = Vec::from(of_reads);
    findings.extend([
        strong_convergence::judge(&index, &recovery),
        storage_intact::judge(&index),
        recovery.queue_drained,
        recovery.recovered_in_time,
    ]);
    findings.extend(more(&settled));
    let in_doubt = !index.complete_and_untroubled() || findings.iter().any(Findings::leaves_doubt);
    let properties: Vec<PropertyVerdict> =
        findings.into_iter().map(Findings::into_verdict).collect();
    debug_assert!(
        properties
            .iter()
            .map(|verdict| verdict.property)
            .eq(declared)
    );
    let violated = properties
        .iter()
        .any(|verdict| verdict.judgement == Judgement::Violation);
    Verdict {
        squall_verdict: VERDICT_VERSION,
        judgement: if violated {
            Judgement::Violation
        } else if in_doubt {
            Judgement::Unknown
        } else {
            Judgement::Ok
        },
        properties,
        counts,
        notes: index.into_notes(),
    }
}

/// The verdict on a history with more rows than the checker has room for.
pub(crate) fn not_judged(header: &Header, counts: Counts) -> Verdict {
    Verdict {
        squall_verdict: VERDICT_VERSION,
        judgement: Judgement::Unknown,
        properties: properties(header.workload)
            .map(|property| Findings::new(property).into_verdict())
            .collect(),
        counts,
        notes: vec![format!(
            "nothing was judged: the header claims {} rows, and the checker takes {MAX_KEYS} at most",
            header.keys
        )],
    }
}

/// The properties that a workload is judged by, in the order in which they are reported.
fn properties(workload: Workload) -> impl Iterator<Item = Property> {
    let more: &[Property] = match workload {
        Workload::Ledger => &Property::LEDGER,
        Workload::Mww | Workload::ListAppend | Workload::Gset => &[],
    };
    Property::ALL.into_iter().chain(more.iter().copied())
}

fn counts(history: &History) -> Counts {
    let mut counts = Counts::default();
    for record in &history.records {
        count(&mut counts, &record.event);
    }
    counts
}

pub(crate) fn count(counts: &mut Counts, event: &Event) {
    match event {
        Event::Ok { reads, writes, .. } => {
            counts.ok += 1;
            counts.rows_read += reads.len() as u64;
            counts.rows_written += writes.len() as u64;
        }
        Event::Fail { .. } => counts.fail += 1,
        Event::Info { .. } => counts.info += 1,
        Event::FaultBegin { fault, .. } => {
            let name = fault.kind().name().to_owned();
            counts.faults.entry(name).or_default().caused += 1;
        }
        Event::FaultSkipped { fault, .. } => {
            let name = fault.kind().name().to_owned();
            counts.faults.entry(name).or_default().skipped += 1;
        }
        _ => {}
    }
}
