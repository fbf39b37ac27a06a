//! Anomalies, as data.

use serde::{Deserialize, Serialize};

use super::model::Model;

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
    /// Transactions overwrite one another in a cycle: Adya's G0, a dirty write.
    WriteCycle,
    /// Transactions overwrite and read from one another in a cycle: Adya's G1c.
    CircularInformationFlow,
    /// A cycle with one anti-dependency: Adya's G-single.
    SingleAntiDependencyCycle,
    /// A cycle with several anti-dependencies: Adya's G2.
    AntiDependencyCycle,
    /// Transactions must commit before one another in a cycle: no commit order exists.
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
    pub(super) fn phrase(self) -> &'static str {
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
    pub counts: Vec<(AnomalyKind, u64)>,
    pub examples: Vec<Anomaly>,
}

impl Anomalies {
    pub fn add(&mut self, kind: AnomalyKind, explain: impl FnOnce() -> Anomaly) {
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

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Counts more of the same.
    pub fn add_more(&mut self, more: u64) {
        if let Some((_, count)) = self.counts.last_mut() {
            *count += more;
        }
    }
}

pub(super) fn capital(name: TransactionName) -> String {
    let mut text = name.to_string();
    text[..1].make_ascii_uppercase();
    text
}
