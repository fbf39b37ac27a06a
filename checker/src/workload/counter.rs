//! The workload `counter`: definitions first, then where each is decided.
//!
//! Every key is a counter, 0 at first, to which transactions add: each its own amount, positive and unique
//! in the history ([`squall_workloads`]' `counter` says how it is made from the transaction's value). An
//! amount added never goes away, so of any counter a replica can only come to hold more.
//!
//! | property | what a read of a counter may not be |
//! | --- | --- |
//! | read your writes | less than it was when the session itself had last added to it, with what it added |
//! | monotonic reads | less than the session had read there, or knew of by another's read |
//! | no thin-air read | more than everything that was added by transactions that had been invoked and did not fail; nor may a counter be missing, or there twice |
//!
//! At the end, once everything is quiet:
//!
//! - *durability*: no final read holds less than the sum of what was acknowledged,
//! - *no duplicate transaction*: nor more than the sum of what may have happened,
//! - *strong convergence*: all hold the same.
//!
//! # What this workload can not show
//!
//! A sum does not say whose amounts are in it. So nothing is said of torn transactions, nor of the order in
//! which others' transactions become visible.
//!
//! # When something is told
//!
//! What may have been added is known once what was under way at the time of a read has ended; until then a
//! read that is above the rest waits. Everything else is judged at once.
//!
//! # Cost
//!
//! Time linear in the rows that were read and written, times the transactions under way for reads that
//! wait; memory in the counters times the sessions, and of several tabs on one database in what each of their transactions
//! has told of how these have grown.

use squall_protocol::verdict::{Counts, Verdict};

use super::conclude::conclude;
use crate::findings::Findings;
use crate::log::index::Index;
use crate::rules::collections::end;
use crate::rules::counters::{InCounters, totals};

/// The verdict from what was found about reads; `index` is the index of the history.
pub(crate) fn verdict(mut findings: Vec<Findings>, index: Index, counts: Counts) -> Verdict {
    let (recovery, of_end) = end::judge(&index, &mut InCounters { index: &index });
    let [convergence, durability, duplicates] = totals(&index, &recovery);
    findings.push(convergence);
    findings.extend(of_end);
    findings.push(durability);
    findings.push(duplicates);
    conclude(index, findings, counts)
}
