//! *Causal consistency*: a transaction sees everything in its causal past, the transitive closure of
//! session order and reads-from. (With one commit order for all, this is causal convergence in the
//! words of Bouajjani et al., On Verifying Causal Consistency, POPL 2017.)
//!
//! For every transaction *t3* that reads *x* from *t1*, and every other *t2* in the causal past of
//! *t3* that writes *x*: *t2* commits before *t1*.
//!
//! # Algorithm: guess an order, and correct it
//!
//! There may be far more such triples than transactions, so they are not listed. Instead:
//!
//! 1. Arrange the transactions in any order that contains session order, reads-from and the derived
//!    edges found so far. If that is impossible, there is a cycle of necessary edges: a violation.
//! 2. Go through the transactions in this order, and keep for each a vector clock: how many
//!    transactions of each session are in its past. For every read of *x* from *t1* by *t3*, look at
//!    the writers of *x* that are arranged between *t1* and *t3*, the latest first. If one of them,
//!    *t2*, is in the past of *t3*, then *t2* must commit before *t1*: a derived edge.
//! 3. If no edge was derived, the order is a commit order as the definition demands, since every
//!    *t2* in the past of *t3* is arranged before *t3*, and then before *t1*. Otherwise begin again.
//!
//! Sound: every derived edge is demanded by the definition. Complete: when the algorithm says yes, it
//! holds a commit order in its hands. It ends, because the edge derived from a read is a new one in
//! every round: an old one would have been respected by the arrangement.
//!
//! Where a read of an initial value is stale, or the edges have a cycle, there is no commit order, and the
//! rounds go on over what is left: transactions that are in a cycle are kept together, and edges among
//! them are not looked for any more, until no edge brings others into one. Then the stale reads, and the
//! strongly connected components, are those of everything that the definition demands: how many violations
//! are counted does not depend on the order that was guessed first.
//!
//! A vector clock lives as long as some transaction is still to read from its owner. Memory is linear
//! in the history, plus the clocks alive at once; in a round that is mostly the current writers of
//! the keys. Time for a round: the merging of clocks, one per read at most, and the windows between
//! *t1* and *t3*, which are short unless reads are very stale.

use super::clocks::longest_session;
use super::commit_order::{Axiom, Demand};
use super::constraints::{Constraint, Derived};
use super::order::arrange;
use super::visibility::{CausalPast, Place, Visibility};
use super::{NONE, Node, Read, Registers};

pub(super) struct Causal;

impl Axiom for Causal {
    const CORRECTS: bool = true;

    fn demands(registers: &Registers, order: &[Node], tell: impl FnMut(Demand)) {
        // Clocks are most of the work for many sessions, so they are as narrow as they can be.
        if longest_session(registers) < i16::MAX as u32 {
            correct(registers, order, CausalPast::<i16>::new(registers), tell);
        } else {
            correct(registers, order, CausalPast::<i32>::new(registers), tell);
        }
    }

    fn reasons(registers: &Registers, edges: &[Derived]) -> Vec<Constraint> {
        edges
            .iter()
            .map(|edge| {
                let follows = future(registers, edge.from, |_| true);
                reason(registers, *edge, &follows)
            })
            .collect()
    }
}

/// How many edges are derived from a read in one round. More would save rounds, and cost memory where
/// few keys are written again and again.
const EDGES_PER_READ: u32 = 4;

/// Goes through an order, and tells of demands that it does not respect: of reads of what a transaction
/// that is arranged later has overwritten, although it must be seen. If a read has any, some of them
/// are told.
pub(super) fn correct(
    registers: &Registers,
    order: &[Node],
    mut visibility: impl Visibility,
    mut tell: impl FnMut(Demand),
) {
    // For each key where its writers begin in `writers`, and how many of them have come so far.
    let mut starts = vec![0_u32; registers.key_count + 1];
    for key in &registers.writes {
        starts[*key as usize + 1] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut arrived = starts[..registers.key_count].to_vec();
    let nobody = Place {
        node: NONE,
        session: 0,
        position: 0,
    };
    let mut writers = vec![nobody; registers.writes.len()];
    for node in order {
        visibility.enter(registers, *node);
        for read in registers.reads(*node) {
            let key = read.key as usize;
            let window = starts[key] as usize..arrived[key] as usize;
            let mut found = 0;
            for writer in writers[window].iter().rev() {
                if writer.node == read.writer {
                    break;
                }
                if visibility.includes(*writer) {
                    tell(Demand {
                        reader: *node,
                        key: read.key,
                        from: writer.node,
                        to: read.writer,
                    });
                    found += 1;
                    if found == EDGES_PER_READ {
                        break;
                    }
                }
            }
        }
        let (session, position) = registers.places[*node as usize];
        for key in registers.writes(*node) {
            let at = &mut arrived[*key as usize];
            writers[*at as usize] = Place {
                node: *node,
                session,
                position,
            };
            *at += 1;
        }
        visibility.leave(registers, *node);
    }
}

/// Why an edge was derived: somebody of those that must see `from` reads a key that both write from `to`.
pub(super) fn reason(registers: &Registers, edge: Derived, must_see: &[bool]) -> Constraint {
    if let Some(known) = registers.known_reason(edge) {
        return known;
    }
    let common: Vec<u32> = registers
        .writes(edge.from)
        .iter()
        .copied()
        .filter(|key| registers.writes(edge.to).binary_search(key).is_ok())
        .collect();
    for reader in registers.nodes().filter(|node| must_see[*node as usize]) {
        for read in registers.reads(reader) {
            if read.writer == edge.to && common.contains(&read.key) {
                return Constraint::Overwritten {
                    key: read.key,
                    reader,
                };
            }
        }
    }
    unreachable!("every derived edge has a reason")
}

/// The transactions that have `node` in their past, along paths that begin with a step that is allowed
/// to a transaction.
pub(super) fn future(registers: &Registers, node: Node, first: impl Fn(Node) -> bool) -> Vec<bool> {
    let order = arrange(registers, &registers.list_edges(), registers.nodes()).unwrap_or_default();
    let mut follows = vec![false; registers.transactions()];
    // For each list whether some version of it, so far, is of one of them.
    let mut lists = vec![false; registers.lists.len()];
    // By write, whether somebody who appended to the list before, or then, is one of them.
    let mut versions = vec![false; registers.list_places.len()];
    for later in order {
        let previous = registers.previous[later as usize];
        let from = |before: Node| {
            before < NONE && ((before == node && first(later)) || follows[before as usize])
        };
        let reads_from = |read: &Read| match registers.list_version(read) {
            Some(version) => versions[version] || (registers.shows(read, node) && first(later)),
            None => from(read.writer),
        };
        follows[later as usize] = from(previous) || registers.reads(later).iter().any(reads_from);
        if !lists.is_empty() {
            let begin = registers.write_starts[later as usize] as usize;
            for (write, key) in (begin..).zip(registers.writes(later)) {
                if registers.list_places[write] > 0 {
                    lists[*key as usize] |= follows[later as usize];
                    versions[write] = lists[*key as usize];
                }
            }
        }
    }
    follows
}
