//! The workload `gset`, sets to which elements are only added: definitions first.
//!
//! # The history
//!
//! A transaction reads some sets whole, then adds its value, unique in the history, to some sets. So an
//! *element*, a value in a set, names the one transaction that added it, and is never removed. Sessions
//! and operations that ended in `info` are as in [`mww`](crate::mww).
//!
//! # The properties of reads
//!
//! A read has to hold every element, of the sets that it was to read, that is in its *causal past*: that
//! can be reached from it along session order and reads-from, backwards. An element that is missing
//! breaks one property, the first of these that fits:
//!
//! | property | the element was … |
//! | --- | --- |
//! | read your writes | added by the session itself before |
//! | monotonic reads | read by the session before |
//! | atomic visibility | added by a transaction of which the same read shows another element |
//! | monotonic writes | added by a session of which the same read shows a later transaction |
//! | writes follow reads | read by a session before or in a transaction that the same read shows |
//! | causal consistency | further back in the past |
//!
//! A transaction whose answer was lost has added all its elements or none: if one was read, all count.
//!
//! *No thin-air read*: every element was added to that set by a transaction that did not fail and was
//! invoked before the read ended; no set holds one twice.
//!
//! # The properties of the end
//!
//! *Strong convergence*: all final reads of those who share their data hold the same elements.
//! *Durability*: every element that a recovered client's transaction has added is in all of them. A client
//! has *recovered* when it reads every probe's elements. The others are as in `mww`.
//!
//! # Along with a run
//!
//! There is one judge, event by event; a whole history is judged just so. A read is judged once every
//! transaction that it shows has ended, and once the reads of its causal past are judged: then its past
//! is known whole, and no finding is ever taken back. What has not ended when a verdict is asked for may
//! have happened. Where reads wait for each other in a cycle each is in the other's past (circular
//! information flow, Adya's G1c): a violation of causal consistency. The properties of the end, and
//! strict serializability (see [`one_copy`](crate::rules::strict_serializability)), are decided at the end.
//!
//! # Cost
//!
//! Time is linear in the elements read, plus, for each read, the sessions times the sessions and, if it
//! was of some sets only, those sets times the sessions; where elements are missing, also in the elements
//! that had to be there. Reads are forgotten when they are judged. With *n* transactions, *e* elements and
//! *s* sessions, memory is O(n · s) for the causal pasts and O(e · s) for who has read what, four bytes
//! each at most.

use squall_protocol::verdict::{Counts, Verdict};

use super::conclude::conclude;
use crate::findings::Findings;
use crate::log::history::History;
use crate::log::index::Index;
use crate::rules::collections::end::{self, InCollections};
use crate::rules::strict_serializability;

/// The verdict from what was found about reads: the last is causal consistency. `kept` is the history, and `index`
/// its index; of the reads before the heal they may tell nothing.
pub(crate) fn verdict(
    mut findings: Vec<Findings>,
    index: Index,
    kept: &History,
    counts: Counts,
) -> Verdict {
    let causal = findings.pop();
    let (recovery, of_end) = end::judge(&index, &mut InCollections::of_sets(&index));
    let (convergence, durability) = end::same_elements(&index, &recovery, |_, _| false);
    findings.push(convergence);
    findings.extend(of_end);
    findings.extend(causal);
    findings.push(durability);
    findings.extend(strict_serializability::judge_whole(kept));
    conclude(index, findings, counts)
}
