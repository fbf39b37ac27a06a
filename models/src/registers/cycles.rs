//! The shortest cycle of every strongly connected component: what is shown when transactions can not be
//! arranged.
//!
//! Every cycle has an edge that the depth-first search for `components` found to lead back, so that searching
//! breadth-first from where these begin finds the shortest one. Going along a session costs nothing,
//! because that is one step of an explanation, however long it is.

use std::collections::VecDeque;

use super::components::{Components, Graph};
use super::constraints::{Constraint, Cycle, Derived, Step};
use super::order::{Incoming, degree, join_sessions, predecessor};
use super::{NONE, Node, Registers};

/// The cycles among constraints.
#[derive(Clone, Debug, Default)]
pub(super) struct Cycles {
    /// The shortest ones of the components, the shortest first.
    pub explained: Vec<Cycle>,
    /// How many components there are besides.
    pub more: u64,
}

/// This many cycles are explained.
const EXPLAINED: usize = 20;

/// Edges that may be looked at to make cycles shorter: about a second.
const BUDGET: u64 = 20_000_000;

/// One cycle for every strongly connected component. `explain` says why derived edges are there.
pub(super) fn cycles(
    registers: &Registers,
    edges: &[Derived],
    explain: impl FnOnce(&[Derived]) -> Vec<Constraint>,
) -> Cycles {
    let incoming = Incoming::new(registers.transactions(), edges);
    let graph = Predecessors {
        registers,
        incoming: &incoming,
    };
    let components = Components::find(&graph);
    let mut searcher = Searcher::new(&graph, &components);
    // Ascending, with their components.
    let back = components.back.iter();
    let mut heads: Vec<(u32, Node)> = back
        .map(|node| (components.of[*node as usize], *node))
        .collect();
    heads.sort_unstable();
    heads.dedup();
    let mut found: Vec<Found> = heads
        .chunk_by(|one, other| one.0 == other.0)
        .map(|heads| searcher.shortest(heads))
        .collect();
    found.sort_by_key(|found| (found.cost, found.nodes.len()));
    let more = found.len().saturating_sub(EXPLAINED) as u64;
    found.truncate(EXPLAINED);
    Cycles {
        explained: describe(registers, &found, explain),
        more,
    }
}

/// For each transaction a number: the same for those that are in a cycle with one another, and lower for
/// those that come before others.
pub(super) fn cyclic_components(registers: &Registers, edges: &[Derived]) -> Vec<u32> {
    let incoming = Incoming::new(registers.transactions(), edges);
    let graph = Predecessors {
        registers,
        incoming: &incoming,
    };
    Components::find(&graph).of
}

fn describe(
    registers: &Registers,
    found: &[Found],
    explain: impl FnOnce(&[Derived]) -> Vec<Constraint>,
) -> Vec<Cycle> {
    let obvious = |from: Node, to: Node| {
        let mut reads = registers.reads(to).iter();
        if registers.previous[to as usize] == from {
            Some(Constraint::Session)
        } else {
            let read = reads.find(|read| read.writer == from);
            read.map(|read| Constraint::ReadsFrom(read.key))
        }
    };
    let pairs = |nodes: &[Node]| -> Vec<(Node, Node)> {
        let next = nodes.iter().cycle().skip(1);
        nodes.iter().copied().zip(next.copied()).collect()
    };
    let derived: Vec<Derived> = found
        .iter()
        .flat_map(|found| pairs(&found.nodes))
        .filter(|(from, to)| obvious(*from, *to).is_none())
        .map(|(from, to)| Derived { from, to })
        .collect();
    let mut reasons = explain(&derived).into_iter();
    found
        .iter()
        .map(|found| {
            let steps = pairs(&found.nodes).into_iter().map(|(from, to)| Step {
                from,
                to,
                constraint: obvious(from, to)
                    .or_else(|| reasons.next())
                    .expect("every derived edge has a reason"),
            });
            Cycle {
                steps: join_sessions(steps.collect()),
            }
        })
        .collect()
}

/// Edges lead to predecessors.
struct Predecessors<'r> {
    registers: &'r Registers,
    incoming: &'r Incoming,
}

impl Graph for Predecessors<'_> {
    fn vertices(&self) -> u32 {
        self.registers.transactions() as u32
    }

    fn degree(&self, node: Node) -> u32 {
        degree(self.registers, self.incoming, node)
    }

    fn neighbour(&self, node: Node, number: u32) -> Option<Node> {
        predecessor(self.registers, self.incoming, node, number)
    }
}

/// A cycle, as the transactions on it: each is a predecessor of the next, and the last one of the first.
struct Found {
    nodes: Vec<Node>,
    /// The steps that do not go along a session.
    cost: u32,
}

struct Searcher<'r> {
    graph: &'r Predecessors<'r>,
    components: &'r Components,
    cost: Vec<u32>,
    came_from: Vec<Node>,
    touched: Vec<Node>,
    budget: u64,
}

impl<'r> Searcher<'r> {
    fn new(graph: &'r Predecessors<'r>, components: &'r Components) -> Self {
        let count = graph.registers.transactions();
        Searcher {
            graph,
            components,
            cost: vec![u32::MAX; count],
            came_from: vec![NONE; count],
            touched: Vec::new(),
            budget: BUDGET,
        }
    }

    /// The shortest cycle through one of the transactions, all of one component.
    fn shortest(&mut self, heads: &[(u32, Node)]) -> Found {
        let mut best = Found {
            nodes: Vec::new(),
            cost: u32::MAX,
        };
        for (_, start) in heads {
            if best.cost <= 1 || (self.budget == 0 && best.cost < u32::MAX) {
                break;
            }
            if let Some(found) = self.through(*start, best.cost) {
                best = found;
            }
            for node in self.touched.drain(..) {
                self.cost[node as usize] = u32::MAX;
            }
        }
        best
    }

    /// The shortest cycle through a transaction, if it is shorter than `limit`: backwards until it is
    /// met again.
    fn through(&mut self, start: Node, limit: u32) -> Option<Found> {
        let component = self.components.of[start as usize];
        let mut queue = VecDeque::from([(start, 0)]);
        while let Some((node, so_far)) = queue.pop_front() {
            if node == start && so_far > 0 {
                return Some(self.collect(start, so_far));
            }
            if node != start && self.cost[node as usize] < so_far {
                continue;
            }
            self.budget = self.budget.saturating_sub(1);
            for number in 0..self.graph.degree(node) {
                let Some(before) = self.graph.neighbour(node, number) else {
                    continue;
                };
                // The first predecessor is the one in the session.
                let cost = so_far + u32::from(number > 0);
                if self.components.of[before as usize] != component
                    || cost >= self.cost[before as usize]
                    || cost >= limit
                {
                    continue;
                }
                if self.cost[before as usize] == u32::MAX {
                    self.touched.push(before);
                }
                self.cost[before as usize] = cost;
                self.came_from[before as usize] = node;
                if cost == so_far {
                    queue.push_front((before, cost));
                } else {
                    queue.push_back((before, cost));
                }
            }
        }
        None
    }

    fn collect(&self, start: Node, cost: u32) -> Found {
        let mut nodes = vec![start];
        let mut node = self.came_from[start as usize];
        while node != start {
            nodes.push(node);
            node = self.came_from[node as usize];
        }
        Found { nodes, cost }
    }
}
