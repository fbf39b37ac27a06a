//! The workload `list-append`, lists that transactions append to: definitions first.
//!
//! # The history
//!
//! A transaction reads some lists whole, then appends its value, unique in the history, to some lists: it
//! reads the list, in the same database transaction, and writes it back one element longer. The last
//! write wins, upload by upload. So
//!
//! - a list that was read is a *version* of its key, and its last element names the one transaction that
//!   wrote it,
//! - the element before the last names the version that this transaction had read and extended: the
//!   versions of a key are a tree, and a list tells the way from the root to its version,
//! - of two versions on different branches the one that was uploaded last has overwritten the other, with
//!   all that was appended only there. That is the rule of the merge and no violation; it is counted.
//!
//! Sessions and operations that ended in `info` are as in [`mww`](crate::mww).
//!
//! # The properties of reads
//!
//! *No thin-air read*: every element was appended to that list by a transaction that did not fail and was
//! invoked before the read ended; none is there twice; and before each element stands exactly what its
//! writer had extended: what it says that it read, if it says so, and the same in all lists.
//!
//! A read is *older* than a version when the version's list goes on where the read one ends: what the read
//! ends with stands on the way from the root to the version. Then the session guarantees and atomic
//! visibility are as in `mww`: each names one way in which a version of the causal past was known, and
//! the read is older than it. They are judged against the latest version that was known in that way, the
//! way to which any read tells, and say nothing of versions on other branches.
//!
//! *Causal consistency* says all there is to say: there is one order in which whole transactions commit,
//! and every read returns, of its causal past, the version that comes last. The order is not known and is
//! searched for by [`Model::Causal`]. A list is a register here, whose value is its last element; a
//! transaction that committed reads the versions that it extends, as far as any list tells. (Of an
//! operation whose answer was lost nothing follows from what it extended.)
//!
//! # The properties of the end
//!
//! *Strong convergence*: all final reads of those who share their data hold the same lists. *Durability*:
//! an append that a recovered client has acknowledged is in every final list, or may have been overwritten:
//! the final list ends with something that was appended on another branch. A final list that is older
//! than the append's version has lost it. Where there is only one copy of the data nothing may be
//! overwritten. Only whoever does not know of an append can overwrite it; that this is so is a matter of
//! causal consistency.
//!
//! A client has *recovered* when it reads every probe's element, or, of a list that PostgreSQL at the end
//! holds without it, what PostgreSQL holds. The others are as in `mww`.
//!
//! # Along with a run
//!
//! There is one judge, event by event; a whole history is judged just so. A read is taken in once every
//! transaction whose elements it holds has ended and the reads of its session before it are taken in. Then
//! its elements, read your writes, monotonic reads and atomic visibility are decided; monotonic writes and
//! writes follow reads once the sessions that it shows are taken in so far. Where the version that a read
//! is compared with, or one on the way to it, was never read, the comparison waits until it is, or until
//! the end: then the latest one before it that is known takes its place. No finding is ever taken back. Causal consistency takes
//! all transactions at once; along with a run it is judged again whenever the history has grown by an
//! eighth (see [`online`](crate::online)). The properties of the end are decided at the end.
//!
//! # Cost
//!
//! Time is linear in the elements read, plus the length of the way between two versions that are
//! compared; for causal consistency see [`registers`](squall_models::registers). With *n* transactions, *e*
//! elements, *k* lists and *s* sessions, memory is O(n) for the transactions, O(e) for the tree of versions
//! and O(e · s + k · s) for what sessions have read, as far as it changed; causal consistency keeps the last
//! element of every list that was read, O(n · k).

use squall_protocol::verdict::{Counts, Verdict};

use super::conclude::conclude;
use crate::findings::Findings;
use crate::log::history::History;
use crate::log::index::Index;
use crate::log::transactions;
use crate::rules::collections::end::{self, InCollections};
use crate::rules::lists::Lists;
use crate::rules::strict_serializability;

/// The verdict from what was found about reads of those lists. `kept` is the history, and `index` its index; of
/// the reads before the heal they may tell the last elements only.
pub(crate) fn verdict(
    mut findings: Vec<Findings>,
    lists: &Lists,
    index: Index,
    kept: &History,
    counts: Counts,
) -> Verdict {
    let (recovery, of_end) = end::judge(&index, &mut InCollections::of_lists(&index));
    let single = strict_serializability::applies(&kept.header);
    let (convergence, durability) =
        end::same_elements(&index, &recovery, |operation, (key, text)| {
            !single && lists.may_be_overwritten((key, index.value(operation)), text)
        });
    let recording = transactions::recording(kept);
    let records = kept.records.len();
    let single_copy = single.then(|| strict_serializability::judge(&recording, records));
    let causal = Lists::causal(&lists.as_registers(&index.log, recording), records);
    findings.push(convergence);
    findings.extend(of_end);
    findings.push(causal);
    findings.push(durability);
    findings.extend(single_copy);
    conclude(index, findings, counts)
}
