//! What a client is told to do in one go, and what came of it.

use serde::{Deserialize, Serialize};

use crate::ledger::LedgerEffects;

/// A row's key. The workload's rows are `0..keys`.
pub type Key = u32;

/// A row's value. Values are unique in a run and grow in the order in which the plan made them.
pub type Value = i64;

/// What every row holds before anyone wrote to it.
pub const INITIAL_VALUE: Value = -1;

/// One transaction of the workloads `mww` (maximum write wins) and `ledger`: read every row, then
/// write one value to some of them, in one SQLite or PostgreSQL transaction. In `ledger` it reads what
/// is new in the ledger too, and a transaction that writes inserts one row there.
///
/// A key whose row already holds a higher value in that very transaction is not written: a write
/// that the merge rule would discard is never made (the rule of the seed suite, see
/// `docs/workloads.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The value to write, unique in the run. Without meaning when `keys` is empty.
    pub value: Value,
    /// The keys to write, distinct. Empty for a transaction that only reads.
    pub keys: Vec<Key>,
}

impl Transaction {
    /// The transaction that reads every row and writes none.
    pub fn read_all() -> Self {
        Transaction {
            value: INITIAL_VALUE,
            keys: Vec::new(),
        }
    }

    /// Whether the transaction writes nothing.
    pub fn is_read_only(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Rows as they were read or written: pairs of key and value.
pub type Rows = Vec<(Key, Value)>;

/// What a transaction that committed has read and written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// Every row that was read, before the transaction's own writes, in key order.
    pub reads: Rows,
    /// Every row that was really written, in key order.
    pub writes: Rows,
    /// What it did with the ledger, in the workload of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerEffects>,
}

/// How a transaction ended, as far as its client knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It committed locally (on PostgreSQL, for a `postgres` client).
    Ok(Effects),
    /// It certainly did not happen. The text says why.
    Fail(String),
    /// It may or may not have happened. The text says why.
    Info(String),
}
