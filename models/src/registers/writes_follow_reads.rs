//! *Writes follow reads*: who sees a write sees what its session had read before. (Terry et al., Session
//! Guarantees for Weakly Consistent Replicated Data, PDIS 1994: a database that holds a write holds the
//! writes that were relevant to earlier reads of the session, in this order. Since that is demanded of
//! every database, those that were held by what was held follow too.)
//!
//! For every transaction *t3* that reads *x* from *t1*, and every other *t2* that writes *x*: *t2*
//! commits before *t1* if *t3* reads from a transaction *t4*, and *t4* or one before it in its session
//! has read from *t2*; or has read from one that, or one before which in its session, has read from
//! *t2*; and so on. These are the paths of session order and reads-from that lead from *t2* to *t3*,
//! begin and end with reads-from, and hold a third transaction. See `session_guarantees` for what the
//! four have in common.
//!
//! Algorithm: that of `causal`, which guesses an order and corrects it, with another part of the causal
//! past: *t2* has to be seen if some session reads from it first at a place that is in the causal past of
//! those that *t3* reads from, or is one of them. So a clock is merged twice for a read, and a writer is
//! looked for in the sessions that read from it. Sound, complete, and ending, for the same reasons.

use super::causal::{correct, future, reason};
use super::causal_per_key::compare;
use super::clocks::{Tick, longest_session};
use super::commit_order::{Axiom, Demand};
use super::constraints::{Constraint, Derived};
use super::visibility::ReadBefore;
use super::{Node, Registers};

pub(super) struct WritesFollowReads;

impl Axiom for WritesFollowReads {
    const CORRECTS: bool = true;

    fn demands(registers: &Registers, order: &[Node], tell: impl FnMut(Demand)) {
        if longest_session(registers) < i16::MAX as u32 {
            demands::<i16>(registers, order, tell);
        } else {
            demands::<i32>(registers, order, tell);
        }
    }

    fn reasons(registers: &Registers, edges: &[Derived]) -> Vec<Constraint> {
        edges
            .iter()
            .map(|edge| {
                let reads_from = |node: Node| {
                    let mut reads = registers.reads(node).iter();
                    reads.any(|read| registers.shows(read, edge.from))
                };
                let follows = future(registers, edge.from, reads_from);
                let must_see: Vec<bool> = registers
                    .nodes()
                    .map(|node| {
                        let mut sources = registers.sources(node);
                        sources.any(|writer| follows[writer as usize])
                    })
                    .collect();
                reason(registers, *edge, &must_see)
            })
            .collect()
    }
}

fn demands<T: Tick>(registers: &Registers, order: &[Node], mut tell: impl FnMut(Demand)) {
    let visibility = ReadBefore::<T>::new(registers);
    let Some(versions) = &registers.versions else {
        return correct(registers, order, visibility, tell);
    };
    compare(registers, versions, order, visibility, |stale| {
        tell(Demand {
            reader: stale.reader,
            key: stale.key,
            from: stale.missed[0],
            to: stale.writer,
        })
    });
}
