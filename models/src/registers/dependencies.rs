//! The cycles of dependencies between transactions, by the names of Adya.
//!
//! Where the order of the versions of a key is known (lists that were read, or values that are versions),
//! transactions depend on one another directly (Adya, Weak Consistency: A Generalized Theory and
//! Optimistic Implementations for Distributed Transactions, MIT 1999):
//!
//! - *ww*: the other one writes the next version (in a list: what nobody has read comes after all that
//!   was read, in any order);
//! - *wr*: the other one reads what it wrote (in a list: the last element);
//! - *rw*: the other one writes the version after the one that it reads.
//!
//! A cycle is named by what it is made of, the strongest name first:
//!
//! | name | edges |
//! | --- | --- |
//! | G0 | ww |
//! | G1c | ww, wr |
//! | G-single | the same, and one rw |
//! | G-nonadjacent | the same, and several rw, of which no two follow one another |
//! | G2-item | the same, and several rw |
//!
//! A cycle that needs the order of a session has the suffix `-process`, and one that needs that of real
//! time `-realtime`, as in Elle (Kingsbury and Alvaro, VLDB 2020); in the latter sessions count too.
//!
//! This is a list of what happened, beside the verdicts of the models and not instead of them: weaker
//! models allow many of these, and where rows are merged one by one even G0 is no violation.
//!
//! # Algorithm
//!
//! The strongly connected components of the graph without sessions and real time, then with sessions,
//! then with both (linear). Each component is told once, by the strongest
//! name of a cycle in it, and again in a larger graph only if it, or what it has grown into, has a
//! stronger one there. The example is the smallest cycle of that name that breadth-first searches find.
//! Those for G0, G1c and G2-item always find one. G-single and G-nonadjacent need a search from every rw
//! edge, which gives up after [`search::STEPS`] edges; a component may have a stronger name than the one it is
//! given then, and the answer says so.

mod class;
mod graph;
mod search;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Registers;
use super::anomaly::{Edge, TransactionName};
use super::constraints::Cycle;
use super::explain::explain;
use super::order::join_sessions;
use class::{CLASSES, Class, Order, name};
use graph::{Graph, GraphEdge};
use search::Search;

/// How many cycles of a name are told; all components are counted.
const EXAMPLES: usize = 5;

/// Every component of transactions that depend on one another in a cycle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependencies {
    /// How many components have which name.
    pub components: BTreeMap<String, u64>,
    /// A smallest cycle of the first few components of each name.
    pub cycles: Vec<DependencyCycle>,
    /// Whether a search gave up, so that names may be weaker than they should be.
    pub gave_up: bool,
}

/// A cycle of dependencies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependencyCycle {
    /// `G0`, `G1c`, `G-single`, `G-nonadjacent` or `G2-item`, with `-process` or `-realtime`.
    pub name: String,
    /// How many transactions the component has.
    pub component: u64,
    pub transactions: Vec<TransactionName>,
    pub edges: Vec<Edge>,
    /// The edges in words.
    pub summary: String,
}

impl Dependencies {
    /// As text for a person; empty if there is no cycle.
    pub fn render(&self) -> String {
        if self.components.is_empty() {
            return String::new();
        }
        let mut lines = vec![
            "cycles of dependencies, whether a model allows them or not; components by name:"
                .to_owned(),
        ];
        for (name, count) in &self.components {
            lines.push(format!("{name}: {count}"));
            let cycles = self.cycles.iter().filter(|cycle| cycle.name == *name);
            lines.extend(cycles.map(|cycle| {
                let size = cycle.component;
                format!("- in a component of {size} transactions: {}", cycle.summary)
            }));
        }
        if self.gave_up {
            lines.push("The search for smaller names was given up.".to_owned());
        }
        lines.join("\n") + "\n"
    }
}

impl Registers {
    /// The cycles of dependencies. None if the order of the versions is not known.
    pub fn dependencies(&self) -> Option<Dependencies> {
        (!self.lists.is_empty() || self.versions.is_some()).then(|| list(self))
    }
}

fn list(registers: &Registers) -> Dependencies {
    let graph = Graph::new(registers);
    let mut search = Search::new(&graph);
    let mut found = Dependencies::default();
    // For each transaction the strongest name of its component so far.
    let mut names: Vec<Option<Class>> = vec![None; registers.transactions()];
    for order in [Order::None, Order::Process, Order::RealTime] {
        if order == Order::RealTime && registers.times.is_none() {
            continue;
        }
        let all: Vec<u32> = (0..graph.len() as u32).collect();
        let allowed = |edge: &GraphEdge| edge.is_allowed(Class::Item, order);
        for component in graph.components(&all, allowed) {
            let transactions = |vertex: &&u32| (**vertex as usize) < registers.transactions();
            let members = || component.iter().filter(transactions);
            let known = members().filter_map(|node| names[*node as usize]).min();
            let stronger = CLASSES
                .iter()
                .filter(|class| known.is_none_or(|k| **class < k));
            let cycle = stronger
                .copied()
                .find_map(|class| Some((class, search.smallest(&component, class, order)?)));
            let Some((class, steps)) = cycle else {
                continue;
            };
            for node in members() {
                names[*node as usize] = Some(class);
            }
            let name = name(class, order).to_owned();
            let count = found.components.entry(name.clone()).or_default();
            *count += 1;
            if *count <= EXAMPLES as u64 {
                let cycle = Cycle {
                    steps: join_sessions(steps),
                };
                let explained = explain(registers, &cycle);
                found.cycles.push(DependencyCycle {
                    name,
                    component: members().count() as u64,
                    transactions: explained.transactions,
                    edges: explained.cycle,
                    summary: explained.summary,
                });
            }
        }
    }
    found.gave_up = search.steps == 0;
    found
}
