//! What was found, as data and in words.

use serde::{Deserialize, Serialize};
use squall_protocol::verdict::Judgement;

use super::commit_order::Violations;
use super::cycles::Cycles;
use super::order::{Constraint, Cycle, Step};
use super::stale::Stale;
use super::{Model, Node, Registers};

/// How many anomalies of a kind are told; all are counted.
const EXAMPLES: usize = 5;

/// How a transaction was called in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TransactionName {
    pub session: u64,
    /// None if the format does not name it, as for aborted ones in some.
    pub label: Option<u64>,
}

impl std::fmt::Display for TransactionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.label {
            Some(label) => write!(f, "transaction {label} of session {}", self.session),
            None => write!(f, "a transaction of session {}", self.session),
        }
    }
}

/// What can be wrong, by its usual name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnomalyKind {
    /// A value that nobody wrote.
    ThinAirRead,
    /// A value of a transaction that was aborted: Adya's G1a.
    AbortedRead,
    /// A value that its transaction overwrote itself: Adya's G1b.
    IntermediateRead,
    /// A value that the reading transaction writes only later.
    FutureRead,
    /// After its own write to a key, a transaction reads something else than that write.
    NotOwnWrite,
    /// A transaction reads a key twice, from different transactions.
    NonRepeatableRead,
    /// A list is not a beginning of another one that was read.
    IncompatibleOrder,
    /// An element is in a list twice.
    DuplicateElement,
    /// Transactions overwrite one another in a circle: Adya's G0, a dirty write.
    WriteCycle,
    /// Transactions overwrite and read from one another in a circle: Adya's G1c.
    CircularInformationFlow,
    /// A circle with one anti-dependency: Adya's G-single.
    SingleAntiDependencyCycle,
    /// A circle with several anti-dependencies: Adya's G2.
    AntiDependencyCycle,
    /// Transactions must commit before one another in a circle: no commit order exists.
    CommitOrderCycle,
    /// No commit order exists, as trying all of them has shown.
    NoCommitOrder,
    /// Two transactions read the same version of a key, and both overwrite it.
    LostUpdate,
    /// An append that took effect is in no list, although one that comes after it was read or reads.
    LostAppend,
    /// Two transactions each read what the other one overwrites.
    WriteSkew,
    /// Missing: a write of the reader's own session.
    ReadYourWrites,
    /// Missing: what the reader's session had read before.
    MonotonicReads,
    /// Missing: another write of a transaction that the reader read from.
    FracturedRead,
    /// Missing: an earlier write of a session that the reader read from.
    MonotonicWrites,
    /// Missing: what a transaction that the reader read from, or one before it in its session, had
    /// read.
    WritesFollowReads,
    /// Missing: something further back in the causal past.
    CausalityViolation,
}

impl AnomalyKind {
    fn phrase(self) -> &'static str {
        match self {
            AnomalyKind::ThinAirRead => "which nobody wrote (a thin-air read)",
            AnomalyKind::AbortedRead => "of a transaction that was aborted (an aborted read, G1a)",
            AnomalyKind::IntermediateRead => {
                "which its transaction overwrote itself (an intermediate read, G1b)"
            }
            AnomalyKind::FutureRead => "which it wrote itself only later (a future read)",
            AnomalyKind::NotOwnWrite => "although it had just written another value itself",
            AnomalyKind::NonRepeatableRead => {
                "although it had read another transaction's value before (a non-repeatable read)"
            }
            AnomalyKind::IncompatibleOrder => "in an order that another read contradicts",
            AnomalyKind::DuplicateElement => "which is there twice",
            AnomalyKind::WriteCycle
            | AnomalyKind::CircularInformationFlow
            | AnomalyKind::SingleAntiDependencyCycle
            | AnomalyKind::AntiDependencyCycle
            | AnomalyKind::CommitOrderCycle => "in a cycle",
            AnomalyKind::NoCommitOrder => "in no order",
            AnomalyKind::LostUpdate => "in a lost update",
            AnomalyKind::LostAppend => "in a lost append",
            AnomalyKind::WriteSkew => "in a write skew",
            AnomalyKind::ReadYourWrites => "its own session had overwritten that",
            AnomalyKind::MonotonicReads => "its session had read a later version before",
            AnomalyKind::FracturedRead => {
                "it also reads from the transaction that overwrote that (a fractured read)"
            }
            AnomalyKind::MonotonicWrites => {
                "it also reads a later write of the session that overwrote that"
            }
            AnomalyKind::WritesFollowReads => {
                "it also reads from a session that had read a later version before"
            }
            AnomalyKind::CausalityViolation => "that was overwritten in its causal past",
        }
    }
}

/// Why one transaction commits before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeKind {
    /// It is earlier in the same session.
    SessionOrder,
    /// The other reads what it wrote.
    ReadsFrom,
    /// A third transaction has to see it, and yet reads the other's write of a key that both write.
    Overwritten,
    /// Both write the key, and the order of its versions is known (ww).
    VersionOrder,
    /// The first reads the key, and the other writes a later version of it (rw).
    AntiDependency,
    /// Both write the key, so that they can not be concurrent, and the first one can not be the later
    /// one (ww).
    Conflict,
    /// The first had ended before the other began.
    RealTime,
}

/// A step of a cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    pub from: TransactionName,
    pub to: TransactionName,
    pub kind: EdgeKind,
    /// The key that is read, or that both write.
    pub key: Option<u64>,
    /// The transaction whose read is the evidence, where it is a third one.
    pub reader: Option<TransactionName>,
}

/// Something that a model forbids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    pub kind: AnomalyKind,
    /// What happened, in a sentence or two.
    pub summary: String,
    pub transactions: Vec<TransactionName>,
    /// The steps, if it is a cycle. An edge to the initial transaction is left out.
    pub cycle: Vec<Edge>,
}

/// The verdict of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub model: Model,
    pub judgement: Judgement,
    pub transactions: u64,
    pub operations: u64,
    pub sessions: u64,
    /// How many anomalies there are. Transactions in circles that overlap count as one.
    pub violations: u64,
    /// The first few of each kind.
    pub anomalies: Vec<Anomaly>,
    /// Whether the history could have violated the model; otherwise the judgement is `unknown`.
    pub exercised: bool,
    /// Why nothing can be concluded, if the judgement is `unknown`.
    pub note: Option<String>,
}

impl Report {
    /// Nothing can be said.
    pub(super) fn unknown(model: Model, registers: &Registers, why: String) -> Self {
        Report {
            judgement: Judgement::Unknown,
            note: Some(why),
            ..Report::new(model, registers, Anomalies::default())
        }
    }

    pub(super) fn new(model: Model, registers: &Registers, anomalies: Anomalies) -> Self {
        let violations = anomalies.counts.iter().map(|(_, count)| count).sum();
        Report {
            model,
            judgement: if violations > 0 {
                Judgement::Violation
            } else {
                Judgement::Ok
            },
            transactions: registers.transactions() as u64,
            operations: registers.operations(),
            sessions: registers.sessions() as u64,
            violations,
            anomalies: anomalies.examples,
            exercised: true,
            note: None,
        }
    }
}

/// Names of keys that have one beside their number.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyLabels {
    pub names: std::collections::HashMap<u64, String>,
    /// Names of values.
    pub values: std::collections::HashMap<u64, String>,
    /// If keys are elements of sets: for each its set and the element.
    pub elements: Vec<(u64, u64)>,
}

impl KeyLabels {
    pub fn of(&self, key: u64) -> String {
        if let Some((set, element)) = self.elements.get(key as usize) {
            let element = self.value(*element);
            return format!("{} (element {element})", self.of_set(*set));
        }
        self.of_set(key)
    }

    /// How a key is called that is no element.
    pub fn of_set(&self, key: u64) -> String {
        match self.names.get(&key) {
            Some(name) => name.clone(),
            None => key.to_string(),
        }
    }

    /// How a value is called.
    pub fn value(&self, value: u64) -> String {
        match self.values.get(&value) {
            Some(name) => name.clone(),
            None => value.to_string(),
        }
    }
}

/// Anomalies in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Anomalies {
    counts: Vec<(AnomalyKind, u64)>,
    examples: Vec<Anomaly>,
}

impl Anomalies {
    fn add(&mut self, kind: AnomalyKind, explain: impl FnOnce() -> Anomaly) {
        let count = match self.counts.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, count)) => count,
            None => {
                self.counts.push((kind, 0));
                &mut self.counts.last_mut().expect("just pushed").1
            }
        };
        *count += 1;
        if *count <= EXAMPLES as u64 {
            self.examples.push(explain());
        }
    }

    pub fn add_read(
        &mut self,
        kind: AnomalyKind,
        reader: TransactionName,
        key: impl FnOnce() -> String,
        value: impl FnOnce() -> Option<String>,
        writer: Option<TransactionName>,
    ) {
        self.add(kind, || {
            let key = key();
            let value =
                value().map_or("its initial value".to_owned(), |v| format!("the value {v}"));
            let by = match writer {
                Some(writer) if writer != reader => format!(" It was written by {writer}."),
                _ => String::new(),
            };
            Anomaly {
                kind,
                summary: format!(
                    "{} read key {key}: {value}, {}.{by}",
                    capital(reader),
                    kind.phrase()
                ),
                transactions: std::iter::once(reader).chain(writer).collect(),
                cycle: Vec::new(),
            }
        });
    }

    /// Keeps what the model forbids: read committed allows non-repeatable reads.
    pub fn retain_for(&mut self, model: Model) {
        let allowed =
            |kind| kind == AnomalyKind::NonRepeatableRead && model == Model::ReadCommitted;
        self.counts.retain(|(kind, _)| !allowed(*kind));
        self.examples.retain(|anomaly| !allowed(anomaly.kind));
    }

    pub fn sort(&mut self) {
        self.counts.sort();
        self.examples.sort_by_key(|anomaly| anomaly.kind);
    }

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
                super::INITIAL => "with its initial value".to_owned(),
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

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
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

    /// Adds why there is no commit order. What is demanded by a guarantee is called by its name.
    pub fn add_violations(
        &mut self,
        registers: &Registers,
        violations: &Violations,
        guarantee: Option<AnomalyKind>,
    ) {
        /// To find a name takes a while.
        const NAMED: usize = 1_000;
        for stale in violations.stale.iter().take(NAMED) {
            let stale = Stale {
                reader: stale.reader,
                key: stale.key,
                writer: super::INITIAL,
                missed: vec![stale.missed],
            };
            stale.explain(registers, self, guarantee);
        }
        self.add_more(violations.stale.len().saturating_sub(NAMED) as u64);
        self.add_cycles(registers, &violations.cycles, guarantee);
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

    /// Counts more of the same.
    fn add_more(&mut self, more: u64) {
        if let Some((_, count)) = self.counts.last_mut() {
            *count += more;
        }
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

fn capital(name: TransactionName) -> String {
    let mut text = name.to_string();
    text[..1].make_ascii_uppercase();
    text
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
