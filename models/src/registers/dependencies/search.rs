//! Breadth-first searches for small cycles.

use std::collections::VecDeque;

use super::class::{Class, Order};
use super::graph::{Graph, GraphEdge};
use crate::registers::NONE;
use crate::registers::constraints::Step;

/// Edges that the searches look at altogether: some seconds.
pub(super) const STEPS: u64 = 20_000_000;

/// From how many transactions of a component the smallest cycle is searched.
const ATTEMPTS: usize = 64;

pub(super) struct Search<'g> {
    graph: &'g Graph,
    /// How many edges may still be looked at.
    pub steps: u64,
    /// For each vertex, and for whether an anti-dependency has led there, the edge and the state before.
    came_from: Vec<(u32, u32)>,
    touched: Vec<u32>,
}

impl<'g> Search<'g> {
    pub fn new(graph: &'g Graph) -> Self {
        Search {
            graph,
            steps: STEPS,
            came_from: vec![(NONE, NONE); 2 * graph.len()],
            touched: Vec::new(),
        }
    }

    /// A smallest cycle of this class, if no stronger class has one.
    pub fn smallest(&mut self, component: &[u32], class: Class, order: Order) -> Option<Vec<Step>> {
        let mut best: Option<Vec<u32>> = None;
        let mut keep = |found: Option<Vec<u32>>| {
            if let Some(found) = found
                && best.as_ref().is_none_or(|best| found.len() < best.len())
            {
                best = Some(found);
            }
        };
        match class {
            Class::G0 | Class::G1c | Class::Item => {
                let allowed = |edge: &GraphEdge| edge.is_allowed(class, order);
                for part in self.graph.components(component, allowed) {
                    let transactions = part.iter();
                    let transactions =
                        transactions.filter(|vertex| (**vertex as usize) < self.graph.transactions);
                    for start in transactions.take(ATTEMPTS) {
                        keep(self.cycle(&part, None, *start, class, order));
                    }
                }
            }
            Class::Single | Class::Nonadjacent => {
                let mut attempts = 0;
                for vertex in component {
                    for edge in self.graph.of(*vertex) {
                        let GraphEdge { to, .. } = self.graph.edges[edge as usize];
                        if !self.graph.edges[edge as usize].is_anti_dependency()
                            || component.binary_search(&to).is_err()
                            || attempts >= ATTEMPTS
                            || self.steps == 0
                        {
                            continue;
                        }
                        let found = self.cycle(component, Some(edge), *vertex, class, order);
                        attempts += usize::from(found.is_some());
                        keep(found);
                    }
                }
            }
        }
        best.map(|edges| self.steps_of(&edges))
    }

    /// A smallest cycle through a transaction, and through that edge of it if one is given.
    fn cycle(
        &mut self,
        component: &[u32],
        first: Option<u32>,
        start: u32,
        class: Class,
        order: Order,
    ) -> Option<Vec<u32>> {
        let graph = self.graph;
        let begin = match first {
            // After an anti-dependency.
            Some(edge) => 2 * graph.edges[edge as usize].to + 1,
            None => 2 * start,
        };
        let mut queue = VecDeque::from([begin]);
        let mut closed = None;
        'search: while let Some(state) = queue.pop_front() {
            for at in graph.of(state / 2) {
                let edge = &graph.edges[at as usize];
                let anti = edge.is_anti_dependency();
                let follows = match class {
                    Class::Single => !anti,
                    Class::Nonadjacent => !anti || state % 2 == 0,
                    _ => true,
                };
                if !follows || !edge.is_allowed(class, order) {
                    continue;
                }
                if first.is_some() {
                    self.steps = self.steps.saturating_sub(1);
                    if self.steps == 0 {
                        break 'search;
                    }
                }
                // In a gate it is still undecided what is adjacent to what led there.
                let goes_on = edge.why.is_none();
                let after = match class {
                    Class::Nonadjacent if goes_on => state % 2,
                    Class::Nonadjacent => u32::from(anti),
                    _ => 0,
                };
                if edge.to == start && after == 0 {
                    closed = Some((at, state));
                    break 'search;
                }
                let next = 2 * edge.to + after;
                if self.came_from[next as usize].0 == NONE
                    && next != begin
                    && component.binary_search(&edge.to).is_ok()
                {
                    self.came_from[next as usize] = (at, state);
                    self.touched.push(next);
                    // Going on from a gate is no step of its own.
                    if goes_on {
                        queue.push_front(next);
                    } else {
                        queue.push_back(next);
                    }
                }
            }
        }
        let cycle = closed.map(|(last, mut state)| {
            let mut edges = vec![last];
            while state != begin {
                let (edge, before) = self.came_from[state as usize];
                edges.push(edge);
                state = before;
            }
            edges.extend(first);
            edges.reverse();
            edges
        });
        for state in self.touched.drain(..) {
            self.came_from[state as usize] = (NONE, NONE);
        }
        cycle
    }

    /// The steps from transaction to transaction.
    fn steps_of(&self, edges: &[u32]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for edge in edges.iter().map(|at| &self.graph.edges[*at as usize]) {
            match (edge.why, steps.last_mut()) {
                (Some(constraint), _) => steps.push(Step {
                    from: edge.from,
                    to: edge.to,
                    constraint,
                }),
                (None, Some(last)) => last.to = edge.to,
                (None, None) => {}
            }
        }
        steps
    }
}
