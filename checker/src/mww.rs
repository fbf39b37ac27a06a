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
//! A client does one transaction after the other. In a history in which it does not, a read that shows
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
//! guarantees that look through another session, O(R) for all others; memory O(R).

mod atomic_visibility;
pub(crate) mod explain;
pub(crate) mod floor;
pub(crate) mod index;
pub(crate) mod malformed;
mod monotonic_writes;
mod no_thin_air_read;
pub(crate) mod online;
pub(crate) mod recovery;
mod session;
mod shown;
pub(crate) mod storage_intact;
pub(crate) mod strong_convergence;
pub(crate) mod words;
mod writes_follow_reads;

use std::collections::HashMap;

use squall_protocol::fault::Fault;
use squall_protocol::history::{Event, Header};
use squall_protocol::verdict::{
    Counts, FaultCounts, Judgement, Property, PropertyVerdict, VERDICT_VERSION, Verdict,
};

use crate::evidence::Findings;
use crate::history::History;
use crate::one_copy;
use index::Index;
pub(crate) use index::Share;
use recovery::{InRows, Recovery};
use shown::Shown;

/// The highest number of rows for which the checker makes arrays. A header may claim any number.
pub const MAX_KEYS: u32 = 1 << 20;

/// Judges a history of the workload `mww`.
pub fn check(history: &History) -> Verdict {
    check_with(history, |_| {
        one_copy::judge_whole(history).into_iter().collect()
    })
}

/// What the properties of another workload's end are judged by.
pub(crate) struct End<'n> {
    /// The clients that have recovered and drained their queues, and whom each shares its data with.
    pub settled: HashMap<&'n str, Share<'n>>,
    /// Whether there is a PostgreSQL that clients share.
    pub synced: bool,
}

/// Judges a history by the properties of `mww`, and then by those of a workload that adds to it.
pub(crate) fn check_with(history: &History, more: impl FnOnce(&End) -> Vec<Findings>) -> Verdict {
    let counts = counts(history);
    if history.header.keys > MAX_KEYS {
        return too_large(&history.header, counts);
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
    more: impl FnOnce(&End) -> Vec<Findings>,
) -> Verdict {
    let recovery = recovery::judge(&index, &mut InRows::new(&index));
    let end = End {
        settled: settled(&index, &recovery),
        synced: index.is_synced(),
    };
    let mut findings = Vec::from(of_reads);
    findings.extend([
        strong_convergence::judge(&index, &recovery),
        storage_intact::judge(&index),
        recovery.queue_drained,
        recovery.recovered_in_time,
    ]);
    findings.extend(more(&end));
    conclude(index, findings, counts)
}

/// The verdict from everything that was found.
pub(crate) fn conclude(index: Index, mut findings: Vec<Findings>, counts: Counts) -> Verdict {
    if index.tried_to_write() <= 1 {
        let mut findings = findings.iter_mut();
        if let Some(follow) = findings.find(|f| f.is_untested(Property::WritesFollowReads)) {
            follow.does_not_apply("only one session writes, so no write follows one of another's");
        }
    }
    malformed::judge(index.records, &mut findings);
    let in_doubt = !index.complete_and_untroubled() || findings.iter().any(Findings::leaves_doubt);
    let properties: Vec<PropertyVerdict> =
        findings.into_iter().map(Findings::into_verdict).collect();
    let violated = properties
        .iter()
        .any(|verdict| verdict.judgement == Judgement::Violation);
    debug_assert!(
        properties
            .iter()
            .map(|verdict| verdict.property)
            .eq(crate::properties(index.header))
    );
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

/// The clients that have recovered and drained their queues.
fn settled<'i>(index: &'i Index, recovery: &Recovery) -> HashMap<&'i str, Share<'i>> {
    let clients = index.clients.iter().enumerate();
    clients
        .filter(|(number, _)| recovery.settled(*number))
        .map(|(_, client)| (client.name, client.share()))
        .collect()
}

/// The verdict on a history with more rows than the checker has room for.
pub(crate) fn too_large(header: &Header, counts: Counts) -> Verdict {
    let why = format!(
        "nothing was judged: the header claims {} rows, and the checker takes {MAX_KEYS} at most",
        header.keys
    );
    Verdict {
        squall_verdict: VERDICT_VERSION,
        judgement: Judgement::Unknown,
        properties: crate::properties(header)
            .map(|property| Findings::new(property).into_verdict())
            .collect(),
        counts,
        notes: vec![why],
    }
}

pub(crate) fn counts(history: &History) -> Counts {
    let mut counts = Counts::default();
    for record in &history.records {
        count(&mut counts, &record.event);
    }
    counts
}

pub(crate) fn count(counts: &mut Counts, event: &Event) {
    match event {
        Event::Ok {
            reads,
            writes,
            collections,
            ..
        } => {
            counts.ok += 1;
            let elements = collections.iter().flatten();
            let elements: usize = elements
                .map(|(_, text)| text.split_whitespace().count())
                .sum();
            counts.rows_read += (reads.len() + elements) as u64;
            counts.rows_written += writes.len() as u64;
        }
        Event::Fail { .. } => counts.fail += 1,
        Event::Malformed { .. } => counts.ok += 1,
        Event::Info { .. } => counts.info += 1,
        Event::FaultBegin { fault, .. } => of_kind(counts, fault).caused += 1,
        Event::FaultSkipped { fault, .. } => of_kind(counts, fault).skipped += 1,
        Event::FaultGivenUp { fault, .. } => {
            let faults = of_kind(counts, fault);
            faults.given_up += 1;
            // It had begun, unless somebody has cut the history.
            faults.caused = faults.caused.saturating_sub(1);
        }
        _ => {}
    }
}

fn of_kind<'c>(counts: &'c mut Counts, fault: &Fault) -> &'c mut FaultCounts {
    counts.faults.entry(fault.kind().to_owned()).or_default()
}
