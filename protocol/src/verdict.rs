//! The verdict over a history: per property, and as a whole.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::transaction::{Key, Value};

/// The version of the verdict's format.
pub const VERDICT_VERSION: u32 = 2;

/// The three values of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// The property held, and was put to the test.
    Ok,
    /// The property was violated; there is at least one [`Violation`].
    Violation,
    /// Nothing can be concluded: too little happened, or the infrastructure failed.
    Unknown,
}

/// Whether a violation means that something wrong was seen, or that something never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PropertyClass {
    Safety,
    Liveness,
}

/// What is judged. The names are those of the literature where it has one; `docs/properties.md`
/// defines each.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Property {
    ReadYourWrites,
    MonotonicReads,
    MonotonicWrites,
    WritesFollowReads,
    /// A transaction is visible as a whole or not at all.
    AtomicVisibility,
    /// Every value that was read had been written (no thin-air read, no aborted read).
    NoThinAirRead,
    /// Recovered clients and PostgreSQL hold the same rows, and in each the highest acknowledged
    /// value.
    StrongConvergence,
    /// Every upload queue was empty in time after the heal.
    QueueDrained,
    /// Every client saw every probe in time after the heal.
    RecoveredInTime,
    /// Every database passed SQLite's integrity check and kept its identity.
    StorageIntact,
    /// A transaction's row in the ledger is seen together with what it wrote in `mww`, or neither.
    AtomicTransactions,
    /// Of every client the ledger shows its transactions 1, 2, … n without a gap, in that order.
    GaplessPrefix,
    /// No transaction is in the ledger twice.
    NoDuplicateTransaction,
    /// Every row of the ledger was written by a transaction that did not fail, just so.
    NoThinAirTransaction,
    /// Every acknowledged transaction is in every final read; in `list-append`, unless the merge may have
    /// overwritten it.
    Durability,
    /// Every read shows what is in its causal past, however far back.
    CausalConsistency,
    /// The payload table holds exactly what the transactions that the same read shows have left in it.
    PayloadIntact,
    /// All transactions took effect one after the other, each between its invocation and its end. Judged
    /// where there is only one copy of the data.
    StrictSerializability,
}

impl Property {
    /// The properties of reads that every workload is judged by: the first of [`Property::ALL`].
    pub const OF_READS: [Property; 6] = [
        Property::ReadYourWrites,
        Property::MonotonicReads,
        Property::MonotonicWrites,
        Property::WritesFollowReads,
        Property::AtomicVisibility,
        Property::NoThinAirRead,
    ];

    /// The properties that every workload is judged by, in the order in which they are reported.
    pub const ALL: [Property; 10] = [
        Property::ReadYourWrites,
        Property::MonotonicReads,
        Property::MonotonicWrites,
        Property::WritesFollowReads,
        Property::AtomicVisibility,
        Property::NoThinAirRead,
        Property::StrongConvergence,
        Property::StorageIntact,
        Property::QueueDrained,
        Property::RecoveredInTime,
    ];

    /// The properties that `list-append` and `gset` are judged by, reported after [`Property::ALL`].
    pub const COLLECTIONS: [Property; 2] = [Property::CausalConsistency, Property::Durability];

    /// The properties that only the workload `ledger` is judged by, reported after [`Property::ALL`].
    pub const LEDGER: [Property; 5] = [
        Property::AtomicTransactions,
        Property::GaplessPrefix,
        Property::NoDuplicateTransaction,
        Property::NoThinAirTransaction,
        Property::Durability,
    ];

    /// The property's name, as in every file.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether the property is one of safety or of liveness.
    pub fn class(self) -> PropertyClass {
        match self {
            Property::QueueDrained | Property::RecoveredInTime => PropertyClass::Liveness,
            _ => PropertyClass::Safety,
        }
    }
}

/// One way in which a property was violated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// What is wrong, in a sentence or two that name the clients, rows and values.
    pub summary: String,
    /// The operations involved, in the order of the explanation.
    pub operations: Vec<u64>,
    /// The shortest way found from the write that had to be visible to the read that lacks it, and
    /// the edge back that closes the circle. Empty where no other operation is the evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Edge>,
}

/// Something that was done: an operation, or a final read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// The client; `PostgreSQL` for its own final read.
    pub client: String,
    /// The operation's number; none for a final read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<u64>,
}

/// Why `from` comes before `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    pub from: Step,
    pub to: Step,
    pub kind: EdgeKind,
    /// The row, and what was read from it; neither for session order, no value for a missing row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// The kinds of edges, as in Adya's dependency graphs (Weak Consistency, 1999).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeKind {
    /// Both were done on one database, the one before the other.
    SessionOrder,
    /// `to` read what `from` wrote (wr).
    ReadsFrom,
    /// `from` read an older version of a row than the one that `to` wrote, and so comes before it
    /// (rw, an anti-dependency).
    ReadsOlderVersion,
}

/// The verdict on one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyVerdict {
    pub property: Property,
    pub judgement: Judgement,
    /// How often the property was really put to the test: how many comparisons could have failed.
    pub exercised: u64,
    /// All violations that were found.
    pub violations: u64,
    /// The first few of them.
    pub examples: Vec<Violation>,
    /// Why the judgement is `unknown`, or what was left out.
    pub note: Option<String>,
}

/// The verdict on a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// [`VERDICT_VERSION`].
    pub squall_verdict: u32,
    pub judgement: Judgement,
    /// In the order of [`Property::ALL`], then those of the workload.
    pub properties: Vec<PropertyVerdict>,
    /// What happened, in numbers.
    pub counts: Counts,
    /// Infrastructure trouble and whatever else a reader must know.
    pub notes: Vec<String>,
}

/// What happened, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Operations that committed, did not happen, and may have happened.
    pub ok: u64,
    pub fail: u64,
    pub info: u64,
    /// Rows read and written by operations that committed.
    pub rows_read: u64,
    pub rows_written: u64,
    /// Faults that were caused, skipped and given up, by name.
    pub faults: std::collections::BTreeMap<String, FaultCounts>,
}

/// How often a fault was caused, how often it was skipped, and how often it had to be given up, which does
/// not count as caused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCounts {
    pub caused: u64,
    pub skipped: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub given_up: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Such as `3`, or `3 (1 skipped, 2 given up)`.
impl fmt::Display for FaultCounts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = " (";
        write!(formatter, "{}", self.caused)?;
        for (count, how) in [(self.skipped, "skipped"), (self.given_up, "given up")] {
            if count > 0 {
                write!(formatter, "{separator}{count} {how}")?;
                separator = ", ";
            }
        }
        match separator {
            " (" => Ok(()),
            _ => formatter.write_str(")"),
        }
    }
}

impl Verdict {
    /// The process exit code for this verdict: 0 ok, 1 a safety property was violated, 2 unknown,
    /// 3 a liveness property was violated.
    pub fn exit_code(&self) -> u8 {
        let violated = |class| {
            self.properties
                .iter()
                .any(|p| p.judgement == Judgement::Violation && p.property.class() == class)
        };
        if violated(PropertyClass::Safety) {
            1
        } else if violated(PropertyClass::Liveness) {
            3
        } else if self.judgement == Judgement::Ok {
            0
        } else {
            2
        }
    }
}
