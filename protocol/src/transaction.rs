//! What a client is told to do in one go, and what came of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ledger::LedgerEffects;
use crate::payload::PayloadRead;
use crate::sql::Access;

/// A row's key. The workload's rows are `0..keys`.
pub type Key = u32;

/// A row's value. Values are unique in a run and grow in the order in which the plan made them.
pub type Value = i64;

/// What every row holds before anyone wrote to it.
pub const INITIAL_VALUE: Value = -1;

/// What a transaction of that value adds to a row, in the workload `counter`: positive, and unique in the run.
pub fn increment(value: Value) -> Value {
    value.saturating_add(1)
}

/// One transaction: read, then write one value to some keys, in one SQLite or PostgreSQL transaction.
/// What reading and writing a key means is the workload's: see `docs/workloads.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The value to write, unique in the run. Without meaning when `keys` is empty.
    pub value: Value,
    /// The keys to write, distinct. Empty for a transaction that only reads.
    pub keys: Vec<Key>,
    /// What it reads before it writes.
    #[serde(default, skip_serializing_if = "Reads::is_all")]
    pub reads: Reads,
    /// What kind of database transaction it is done in. One that writes is always done in a write
    /// transaction.
    #[serde(default, skip_serializing_if = "TransactionMode::is_write_transaction")]
    pub through: TransactionMode,
}

/// What a transaction reads and reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reads {
    /// Every key.
    #[default]
    All,
    /// These keys, distinct.
    Keys(Vec<Key>),
    /// Nothing: the transaction only writes.
    Nothing,
}

impl Reads {
    /// Whether every key is read.
    pub fn is_all(&self) -> bool {
        *self == Reads::All
    }

    /// Whether that key is read.
    pub fn contains(&self, key: Key) -> bool {
        match self {
            Reads::All => true,
            Reads::Keys(keys) => keys.contains(&key),
            Reads::Nothing => false,
        }
    }
}

/// The kind of database transaction that a transaction is done in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransactionMode {
    /// SQLite's `BEGIN IMMEDIATE`, PostgreSQL's `READ WRITE`.
    #[default]
    WriteTransaction,
    /// SQLite's `BEGIN DEFERRED`, PostgreSQL's `READ ONLY`.
    ReadTransaction,
    /// An emission of a live query: it is recorded when it arrives, so its `invoke` does not tell when
    /// it began.
    Watch,
}

impl TransactionMode {
    /// What a client is told of it.
    pub fn access(&self) -> Access {
        match self {
            TransactionMode::WriteTransaction => Access::Write,
            TransactionMode::ReadTransaction | TransactionMode::Watch => Access::Read,
        }
    }

    /// Whether it is a write transaction.
    pub fn is_write_transaction(&self) -> bool {
        *self == TransactionMode::WriteTransaction
    }
}

impl Transaction {
    /// The transaction that reads every key, then writes that value to those.
    pub fn new(value: Value, keys: Vec<Key>) -> Self {
        Transaction {
            value,
            keys,
            reads: Reads::All,
            through: TransactionMode::WriteTransaction,
        }
    }

    /// The transaction that reads every key and writes none.
    pub fn read_all() -> Self {
        Transaction::new(INITIAL_VALUE, Vec::new())
    }

    /// Whether the transaction writes nothing.
    pub fn is_read_only(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether it reads everything, writes nothing, and is no emission of a live query.
    pub fn reads_everything(&self) -> bool {
        self.is_read_only() && self.reads.is_all() && self.through != TransactionMode::Watch
    }

    /// The keys that it writes, in ascending order.
    pub fn written(&self) -> BTreeSet<Key> {
        self.keys.iter().copied().collect()
    }

    /// A key that it reads or writes by name and that is none of `0..keys`, if there is one.
    pub fn unknown_key(&self, keys: u32) -> Option<Key> {
        let named = match &self.reads {
            Reads::Keys(named) => &named[..],
            Reads::All | Reads::Nothing => &[],
        };
        let mut all = self.keys.iter().chain(named).copied();
        all.find(|key| *key >= keys)
    }
}

/// Rows as they were read or written: pairs of key and value.
pub type Rows = Vec<(Key, Value)>;

/// The elements of keys as they were read, in `list-append` and `gset`: pairs of key and text, ordered
/// by key. The text is the list as the database held it, or the set's elements in ascending order, each
/// element in decimal digits and followed by a space but for the last. Whether it makes sense is for the
/// checker to say.
pub type Collections = Vec<(Key, String)>;

/// What a transaction that committed has read and written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effects {
    /// Every row that was read, before the transaction's own writes, in key order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Rows,
    /// Every row that was really written, in key order; in `list-append` and `gset` the elements that
    /// were added.
    pub writes: Rows,
    /// What it did with the ledger, in the workload of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerEffects>,
    /// The collections that were read, before the transaction's own writes, in `list-append` and
    /// `gset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Collections>,
    /// Every row of the payload table, before the transaction's own write to it, if the run has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadRead>,
}

/// How a transaction ended, as far as its client knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It committed locally (on PostgreSQL, for a `postgres` client).
    Ok(Effects),
    /// It committed, and what came back makes no sense. The text says why.
    Malformed(String),
    /// It certainly did not happen. The text says why.
    Fail(String),
    /// It may or may not have happened. The text says why.
    Info(String),
}
