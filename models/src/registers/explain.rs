//! Anomalies in words.

use super::anomaly::{Anomalies, Anomaly, AnomalyKind, Edge, EdgeKind, TransactionName, capital};
use super::constraints::{Constraint, Cycle, INITIAL, Node, Step};
use super::cycles::Cycles;
use super::history::Registers;

impl Anomalies {
    /// A read that misses a version in its causal past, and the way to it.
    pub fn add_stale(
        &mut self,
        kind: AnomalyKind,
        registers: &Registers,
        (reader, key, writer): (Node, u32, Node),
        missed: Node,
        way: impl FnOnce() -> Cycle,
    ) {
        self.add(kind, || {
            let name = |node: Node| registers.transaction_names[node as usize];
            let read = match writer {
                INITIAL => "with its initial value".to_owned(),
                writer => format!("as {} wrote it", name(writer)),
            };
            let mut anomaly = explain(registers, &way());
            anomaly.kind = kind;
            anomaly.summary = format!(
                "{} read key {} {read}, but {}: it misses the write of {}. {}",
                capital(name(reader)),
                registers.key_text(key),
                kind.phrase(),
                name(missed),
                anomaly.summary,
            );
            anomaly.summary.truncate(anomaly.summary.trim_end().len());
            anomaly
        });
    }

    /// An append of an element to a list, who shows that it is not there (as a reader of the list, or as
    /// someone whose own element was read), and the way from one to the other.
    pub fn add_lost_append(
        &mut self,
        registers: &Registers,
        (writer, key, element): (Node, u32, u64),
        (witness, reads): (Node, bool),
        way: impl FnOnce() -> Cycle,
    ) {
        self.add(AnomalyKind::LostAppend, || {
            let name = |node: Node| registers.transaction_names[node as usize];
            let way = explain(registers, &way());
            let shown = if reads {
                "reads the list without it"
            } else {
                "has its own element in the list that was read, without this one before it"
            };
            Anomaly {
                kind: AnomalyKind::LostAppend,
                summary: format!(
                    "{} appended {} to key {}, which is in no list that another transaction \
                     read (a lost append): {}, which comes after it, {shown}. {}",
                    capital(name(writer)),
                    registers.key_labels.value(element),
                    registers.key_text(key),
                    name(witness),
                    way.summary,
                ),
                ..way
            }
        });
    }

    pub fn add_no_order(&mut self, registers: &Registers, nodes: &[Node]) {
        self.add(AnomalyKind::NoCommitOrder, || {
            let name = |node: &Node| registers.transaction_names[*node as usize];
            let transactions: Vec<TransactionName> = nodes.iter().map(name).collect();
            let shown: Vec<String> = transactions.iter().take(8).map(|t| t.to_string()).collect();
            let more = transactions.len() - shown.len();
            Anomaly {
                kind: AnomalyKind::NoCommitOrder,
                summary: format!(
                    "These {} transactions can not have been committed in any order, as trying all \
                     has shown: {}{}.",
                    transactions.len(),
                    shown.join(", "),
                    if more > 0 {
                        format!(", and {more} more")
                    } else {
                        String::new()
                    },
                ),
                transactions,
                cycle: Vec::new(),
            }
        });
    }

    /// Adds cycles.
    pub fn add_cycles(
        &mut self,
        registers: &Registers,
        cycles: &Cycles,
        guarantee: Option<AnomalyKind>,
    ) {
        for cycle in &cycles.explained {
            let mut steps = cycle.steps.iter();
            let demands = |step: &Step| matches!(step.constraint, Constraint::Overwritten { .. });
            let kind = guarantee.filter(|_| steps.any(demands));
            self.add_cycle_as(kind.unwrap_or_else(|| name(cycle)), registers, cycle);
        }
        self.add_more(cycles.more);
    }

    pub fn add_cycle(&mut self, registers: &Registers, cycle: &Cycle) {
        self.add_cycle_as(name(cycle), registers, cycle);
    }

    fn add_cycle_as(&mut self, kind: AnomalyKind, registers: &Registers, cycle: &Cycle) {
        self.add(kind, || {
            let explained = explain(registers, cycle);
            Anomaly {
                kind,
                summary: format!(
                    "No order of commits is possible, since they would have to come one before the \
                     other in a circle. {}",
                    explained.summary
                ),
                ..explained
            }
        });
    }
}

/// The name of a cycle, by what it is made of.
fn name(cycle: &Cycle) -> AnomalyKind {
    let count = |wanted: fn(&Constraint) -> bool| {
        cycle
            .steps
            .iter()
            .filter(|step| wanted(&step.constraint))
            .count()
    };
    let versions = count(|c| matches!(c, Constraint::VersionOrder(_)));
    let reads = count(|c| matches!(c, Constraint::ReadsFrom(_)));
    let anti_dependencies = count(|c| matches!(c, Constraint::AntiDependency(_)));
    let all = cycle.steps.len();
    match anti_dependencies {
        0 if versions == all => AnomalyKind::WriteCycle,
        0 if versions + reads == all => AnomalyKind::CircularInformationFlow,
        0 => AnomalyKind::CommitOrderCycle,
        _ if all == 2 => name_pair(cycle.steps[0].constraint, cycle.steps[1].constraint),
        1 => AnomalyKind::SingleAntiDependencyCycle,
        _ => AnomalyKind::AntiDependencyCycle,
    }
}

/// The name of a cycle of two transactions, of which at least one step is an anti-dependency.
fn name_pair(one: Constraint, other: Constraint) -> AnomalyKind {
    match (one, other) {
        (Constraint::AntiDependency(one), Constraint::AntiDependency(other)) if one != other => {
            AnomalyKind::WriteSkew
        }
        (Constraint::AntiDependency(_), Constraint::AntiDependency(_)) => AnomalyKind::LostUpdate,
        (Constraint::AntiDependency(read), write) | (write, Constraint::AntiDependency(read)) => {
            match write {
                Constraint::VersionOrder(key)
                | Constraint::Conflict(key)
                | Constraint::Overwritten { key, .. }
                    if key == read =>
                {
                    AnomalyKind::LostUpdate
                }
                _ => AnomalyKind::SingleAntiDependencyCycle,
            }
        }
        _ => AnomalyKind::CommitOrderCycle,
    }
}

/// The steps of a cycle, as data and in words.
pub(super) fn explain(registers: &Registers, cycle: &Cycle) -> Anomaly {
    let name = |node: Node| registers.transaction_names[node as usize];
    let key = |key: u32| registers.key_names[key as usize];
    let text = |key: u32| registers.key_text(key);
    let mut sentences = Vec::new();
    let mut edges = Vec::new();
    let mut transactions = Vec::new();
    let mut mention = |node: Node| {
        let name = name(node);
        if !transactions.contains(&name) {
            transactions.push(name);
        }
    };
    for step in &cycle.steps {
        mention(step.from);
        mention(step.to);
        let (from, to) = (name(step.from), name(step.to));
        let (kind, at, reader) = match step.constraint {
            Constraint::Session => {
                sentences.push(format!("{} precedes {to}.", capital(from)));
                (EdgeKind::SessionOrder, None, None)
            }
            Constraint::ReadsFrom(at) => {
                sentences.push(format!(
                    "{} read key {} from {from}.",
                    capital(to),
                    text(at)
                ));
                (EdgeKind::ReadsFrom, Some(key(at)), None)
            }
            Constraint::VersionOrder(at) => {
                sentences.push(format!(
                    "{} wrote key {} before {to} did.",
                    capital(from),
                    text(at)
                ));
                (EdgeKind::VersionOrder, Some(key(at)), None)
            }
            Constraint::AntiDependency(at) => {
                sentences.push(format!(
                    "{} read key {} and did not see that {to} wrote it.",
                    capital(from),
                    text(at)
                ));
                (EdgeKind::AntiDependency, Some(key(at)), None)
            }
            Constraint::Overwritten { key: at, reader } => {
                mention(reader);
                sentences.push(format!(
                    "{} must see {from}, but read key {}, which both write, from {to}; so the \
                     former commits before the latter.",
                    capital(name(reader)),
                    text(at),
                ));
                (EdgeKind::Overwritten, Some(key(at)), Some(name(reader)))
            }
            Constraint::Conflict(at) => {
                sentences.push(format!(
                    "{} and {to} both write key {}, and the former can only be the earlier one.",
                    capital(from),
                    text(at)
                ));
                (EdgeKind::Conflict, Some(key(at)), None)
            }
            Constraint::RealTime => {
                sentences.push(format!("{} had ended before {to} began.", capital(from)));
                (EdgeKind::RealTime, None, None)
            }
        };
        edges.push(Edge {
            from,
            to,
            kind,
            key: at,
            reader,
        });
    }
    Anomaly {
        kind: AnomalyKind::CommitOrderCycle,
        summary: sentences.join(" "),
        transactions,
        cycle: edges,
    }
}
