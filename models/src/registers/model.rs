//! The models, by name.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// What a history is checked against.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Model {
    ReadCommitted,
    ReadAtomic,
    /// A session sees what it has written.
    ReadYourWrites,
    /// A session goes on seeing what it has read.
    MonotonicReads,
    /// Who sees a write of a session sees the earlier ones.
    MonotonicWrites,
    /// Who sees a write sees what its session had read before.
    WritesFollowReads,
    /// Causal consistency without agreement about concurrent writes.
    WeakCausal,
    Causal,
    /// Causal consistency with arbitration agreed by all: another name for [`Model::Causal`].
    CausalConvergence,
    /// Causal consistency where rows are merged one by one and the higher value wins.
    CausalPerKey,
    /// Every transaction reads from a beginning of the commit order.
    PrefixConsistency,
    SnapshotIsolation,
    Serializability,
    /// Serializability in an order that real time allows.
    StrictSerializability,
}

impl Model {
    /// Every model with one commit order for whole transactions, the weakest first, but for strict
    /// serializability, which needs to know more.
    pub const OF_TRANSACTIONS: [Model; 7] = [
        Model::ReadCommitted,
        Model::ReadAtomic,
        Model::Causal,
        Model::CausalConvergence,
        Model::PrefixConsistency,
        Model::SnapshotIsolation,
        Model::Serializability,
    ];

    /// What causal consistency promises to a session, one by one.
    pub const SESSION_GUARANTEES: [Model; 4] = [
        Model::ReadYourWrites,
        Model::MonotonicReads,
        Model::MonotonicWrites,
        Model::WritesFollowReads,
    ];

    /// Causal consistency and what it implies, the weakest first.
    pub const UP_TO_CAUSAL: [Model; 8] = [
        Model::ReadCommitted,
        Model::ReadAtomic,
        Model::ReadYourWrites,
        Model::MonotonicReads,
        Model::MonotonicWrites,
        Model::WritesFollowReads,
        Model::WeakCausal,
        Model::Causal,
    ];

    /// Every model.
    pub const ALL: &'static [Model] = Model::VARIANTS;

    /// The model's name, as on the command line and in every file.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The model of that name.
    pub fn from_name(name: &str) -> Option<Model> {
        Model::ALL
            .iter()
            .copied()
            .find(|model| model.name() == name)
    }
}
