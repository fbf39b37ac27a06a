//! What the models with one commit order have in common: an axiom demands that some transactions commit
//! before others, and an order that respects all of it exists if and only if there is no cycle.

use std::collections::HashMap;

use super::anomaly::{Anomalies, AnomalyKind};
use super::constraints::{Constraint, Derived, StaleInitial};
use super::cycles::{Cycles, cycles, cyclic_components};
use super::order::arrange;
use super::stale::Stale;
use super::{INITIAL, Node, Registers};

/// `reader` must see `from`, and reads `key`, which both write, from `to`: so `from` commits before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub reader: Node,
    pub key: u32,
    pub from: Node,
    /// Or [`INITIAL`], before which nothing can commit.
    pub to: Node,
}

/// What a model demands of the commit order, besides that it contains session order, reads-from and
/// whatever version order is known.
pub(super) trait Axiom {
    /// Whether [`Axiom::demands`] tells only what a given order does not respect, and perhaps not all
    /// of it at once. Otherwise it tells all that there is, and no order is given.
    const CORRECTS: bool = false;

    /// Tells of demands. What follows from others, from session order or from reads-from may be left
    /// out.
    fn demands(registers: &Registers, order: &[Node], tell: impl FnMut(Demand));

    /// For each edge that was demanded, or is known, why it is there.
    fn reasons(registers: &Registers, edges: &[Derived]) -> Vec<Constraint> {
        let mut found: HashMap<(Node, Node), Option<Constraint>> = edges
            .iter()
            .map(|edge| ((edge.from, edge.to), registers.known_reason(*edge)))
            .collect();
        Self::demands(registers, &[], |demand| {
            let Demand {
                reader,
                key,
                from,
                to,
            } = demand;
            if let Some(reason) = found.get_mut(&(from, to)) {
                reason.get_or_insert(Constraint::Overwritten { key, reader });
            }
        });
        let reason = |edge: &Derived| found[&(edge.from, edge.to)];
        edges
            .iter()
            .map(|edge| reason(edge).expect("every derived edge has a reason"))
            .collect()
    }
}

/// Why there is no commit order. Not everything is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Violations {
    pub stale: Vec<StaleInitial>,
    pub cycles: Cycles,
}

impl Violations {
    /// Tells why there is no commit order. What is demanded by a guarantee is called by its name.
    pub fn explain(
        &self,
        registers: &Registers,
        anomalies: &mut Anomalies,
        guarantee: Option<AnomalyKind>,
    ) {
        /// To find a name takes a while.
        const NAMED: usize = 1_000;
        for stale in self.stale.iter().take(NAMED) {
            let stale = Stale {
                reader: stale.reader,
                key: stale.key,
                writer: INITIAL,
                missed: vec![stale.missed],
            };
            stale.explain(registers, anomalies, guarantee);
        }
        anomalies.add_more(self.stale.len().saturating_sub(NAMED) as u64);
        anomalies.add_cycles(registers, &self.cycles, guarantee);
    }
}

/// A commit order, or why there is none.
///
/// An axiom that corrects is asked again with the corrected order until it has no objection.
pub(super) fn commit_order<A: Axiom>(registers: &Registers) -> Result<Vec<Node>, Violations> {
    let mut edges = registers.known_edges();
    if !A::CORRECTS {
        let stale = demands::<A>(registers, &[], |edge| edges.push(edge));
        let arranged = arrange_or_explain::<A>(registers, &edges, registers.nodes());
        return match arranged {
            Ok(order) if stale.is_empty() => Ok(order),
            arranged => Err(Violations {
                stale,
                cycles: arranged.err().unwrap_or_default().cycles,
            }),
        };
    }
    let mut order: Vec<Node> = registers.nodes().collect();
    loop {
        let Ok(arranged) = arrange(registers, &edges, order.iter().copied()) else {
            return Err(contradictions::<A>(registers, edges));
        };
        order = arranged;
        let known = edges.len();
        let stale = demands::<A>(registers, &order, |edge| edges.push(edge));
        if !stale.is_empty() {
            return Err(contradictions::<A>(registers, edges));
        }
        if edges.len() == known {
            return Ok(order);
        }
    }
}

/// Tells of the demands that are not known by themselves, and returns those that nothing can satisfy.
fn demands<A: Axiom>(
    registers: &Registers,
    order: &[Node],
    mut tell: impl FnMut(Derived),
) -> Vec<StaleInitial> {
    let mut stale: Vec<StaleInitial> = Vec::new();
    A::demands(registers, order, |demand| {
        if registers.is_in_list(demand.key, demand.from, demand.to) {
            // The read shows it.
        } else if demand.to != INITIAL {
            tell(Derived {
                from: demand.from,
                to: demand.to,
            });
        } else if stale
            .last()
            .is_none_or(|last| (last.reader, last.key) != (demand.reader, demand.key))
        {
            stale.push(StaleInitial {
                reader: demand.reader,
                missed: demand.from,
                key: demand.key,
            });
        }
    });
    // Several transactions may be missed by one read.
    stale.sort_by_key(|stale| (stale.reader, stale.key));
    stale.dedup_by_key(|stale| (stale.reader, stale.key));
    stale
}

/// Everything that contradicts itself, where an axiom corrects and something does: it is asked until it
/// demands nothing that would bring more transactions into a cycle. What is found depends on the history
/// alone, and not on the order that was guessed first.
///
/// The order now has those together that are in a cycle, and only among these it may disrespect what is
/// demanded. So in the end the strongly connected components are those of everything that is demanded.
fn contradictions<A: Axiom>(registers: &Registers, mut edges: Vec<Derived>) -> Violations {
    let mut stale = Vec::new();
    // What has to be seen is told only where this has no cycle itself.
    if let Ok(causal) = arrange(registers, &registers.list_edges(), registers.nodes()) {
        loop {
            let components = cyclic_components(registers, &edges);
            let component = |node: Node| components[node as usize];
            let mut order = causal.clone();
            order.sort_by_key(|node| component(*node));
            let known = edges.len();
            stale = demands::<A>(registers, &order, |edge| {
                if component(edge.from) != component(edge.to) {
                    edges.push(edge);
                }
            });
            if edges.len() == known {
                break;
            }
        }
    }
    Violations {
        stale,
        cycles: cycles(registers, &edges, |edges| A::reasons(registers, edges)),
    }
}

fn arrange_or_explain<A: Axiom>(
    registers: &Registers,
    edges: &[Derived],
    wish: impl Iterator<Item = Node>,
) -> Result<Vec<Node>, Violations> {
    arrange(registers, edges, wish).map_err(|_| Violations {
        cycles: cycles(registers, edges, |edges| A::reasons(registers, edges)),
        stale: Vec::new(),
    })
}

/// An order that contains session order and reads-from, as far as possible that of `wish`; or why there
/// is none.
pub(super) fn causal_order(
    registers: &Registers,
    wish: impl Iterator<Item = Node>,
) -> Result<Vec<Node>, Violations> {
    /// Demands nothing.
    struct Nothing;
    impl Axiom for Nothing {
        fn demands(_: &Registers, _: &[Node], _: impl FnMut(Demand)) {}
    }
    arrange_or_explain::<Nothing>(registers, &[], wish)
}
