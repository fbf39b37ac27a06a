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
//! A vector clock lives as long as some transaction is still to read from its owner. Memory is linear
//! in the history, plus the clocks alive at once; in a round that is mostly the current writers of
//! the keys. Time for a round: the merging of clocks, one per read at most, and the windows between
//! *t1* and *t3*, which are short unless reads are very stale.

use super::clocks::{Clocks, Tick, longest_session};
use super::order::{Constraint, Cycle, Derived, StaleInitial, arrange, shorten, way};
use super::{INITIAL, NONE, Node, Registers};

/// Why there is no commit order, if there is none.
pub(super) fn cycle(registers: &Registers) -> Option<Cycle> {
    arrange_all(registers).err()
}

/// A commit order, and the derived edges that were needed to find it; or why there is none.
pub(super) fn arrange_all(registers: &Registers) -> Result<(Vec<Node>, Vec<Derived>), Cycle> {
    let mut edges: Vec<Derived> = registers.known_edges();
    let mut order: Vec<Node> = match arrange(registers, &edges, registers.nodes()) {
        Ok(order) => order,
        Err(rough) => {
            return Err(shorten(registers, &edges, &rough, |edge| {
                reason(registers, edge)
            }));
        }
    };
    let longest_session = longest_session(registers);
    loop {
        let known = edges.len();
        let mut stale = None;
        let tell = |reader, key, from, to| {
            if to == INITIAL {
                stale.get_or_insert(StaleInitial {
                    reader,
                    missed: from,
                    key,
                });
            } else {
                edges.push(Derived { from, to });
            }
        };
        // Clocks are most of the work for many sessions, so they are as narrow as they can be.
        if longest_session < i16::MAX as u32 {
            Round::<i16>::new(registers, &order).run(tell);
        } else {
            Round::<i32>::new(registers, &order).run(tell);
        }
        if let Some(stale) = stale {
            return Err(way(registers, stale));
        }
        if edges.len() == known {
            return Ok((order, edges));
        }
        order = match arrange(registers, &edges, order.iter().copied()) {
            Ok(order) => order,
            Err(rough) => {
                return Err(shorten(registers, &edges, &rough, |edge| {
                    reason(registers, edge)
                }));
            }
        };
    }
}

/// Where each session's transactions begin, and these, in session order.
pub(super) fn by_session(registers: &Registers) -> (Vec<u32>, Vec<Node>) {
    let mut starts = vec![0; registers.session_count + 1];
    for (session, _) in &registers.places {
        starts[*session as usize + 1] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut members = vec![NONE; registers.transactions()];
    for (node, (session, position)) in registers.places.iter().enumerate() {
        members[(starts[*session as usize] + position) as usize] = node as Node;
    }
    (starts, members)
}

/// How many edges are derived from a read in one round. More would save rounds, and cost memory where
/// few keys are written again and again.
const EDGES_PER_READ: u32 = 4;

/// One pass over an order, with clocks of `T`.
struct Round<'r, T> {
    registers: &'r Registers,
    order: &'r [Node],
    clocks: Clocks<T>,
    /// For each key where its writers begin in `writers`, and how many of them have come so far.
    starts: Vec<u32>,
    arrived: Vec<u32>,
    /// In the given order: the transaction, and its place.
    writers: Vec<Writer>,
}

#[derive(Clone, Copy)]
struct Writer {
    node: Node,
    session: u32,
    position: u32,
}

impl<'r, T: Tick> Round<'r, T> {
    fn new(registers: &'r Registers, order: &'r [Node]) -> Self {
        let mut starts = vec![0; registers.key_count + 1];
        for key in &registers.writes {
            starts[*key as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        Round {
            registers,
            order,
            clocks: Clocks::new(registers),
            arrived: starts[..registers.key_count].to_vec(),
            writers: vec![
                Writer {
                    node: NONE,
                    session: 0,
                    position: 0
                };
                registers.writes.len()
            ],
            starts,
        }
    }

    /// Tells of derived edges that the order does not respect: the reader, the key, and the two
    /// writers. If a read has any, some of them are told.
    fn run(mut self, mut tell: impl FnMut(Node, u32, Node, Node)) {
        for node in self.order {
            let clock = self.clocks.enter(self.registers, *node);
            for read in self.registers.reads(*node) {
                let key = read.key as usize;
                let window = self.starts[key] as usize..self.arrived[key] as usize;
                let mut found = 0;
                for writer in self.writers[window].iter().rev() {
                    if writer.node == read.writer {
                        break;
                    }
                    if clock[writer.session as usize].get() > writer.position {
                        tell(*node, read.key, writer.node, read.writer);
                        found += 1;
                        if found == EDGES_PER_READ {
                            break;
                        }
                    }
                }
            }
            let (session, position) = self.registers.places[*node as usize];
            for key in self.registers.writes(*node) {
                let at = &mut self.arrived[*key as usize];
                self.writers[*at as usize] = Writer {
                    node: *node,
                    session,
                    position,
                };
                *at += 1;
            }
            self.clocks.leave(self.registers, *node);
        }
    }
}

/// Why an edge was derived: somebody reads a key that both write from `to`, with `from` in its past.
pub(super) fn reason(registers: &Registers, edge: Derived) -> Constraint {
    if let Some(known) = registers.known_reason(edge) {
        return known;
    }
    let common: Vec<u32> = registers
        .writes(edge.from)
        .iter()
        .copied()
        .filter(|key| registers.writes(edge.to).binary_search(key).is_ok())
        .collect();
    let follows = future(registers, edge.from);
    for reader in registers.nodes().filter(|node| follows[*node as usize]) {
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

/// The transactions that have `node` in their past.
fn future(registers: &Registers, node: Node) -> Vec<bool> {
    let order = arrange(registers, &[], registers.nodes()).unwrap_or_default();
    let mut follows = vec![false; registers.transactions()];
    for later in order {
        let previous = registers.previous[later as usize];
        let from = |before: Node| before < NONE && (before == node || follows[before as usize]);
        follows[later as usize] =
            from(previous) || registers.reads(later).iter().any(|read| from(read.writer));
    }
    follows
}
