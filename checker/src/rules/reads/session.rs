//! The reads that wait, and the sessions that they belong to.

use std::collections::VecDeque;

use squall_protocol::transaction::{Key, Reads as Asked, Rows, Value};
use squall_protocol::verdict::Violation;

use super::versions::Versions;
use crate::log::trace::{OperationIndex, Source};

/// Rows that were read at once.
#[derive(Clone)]
pub(super) struct Read {
    pub session: usize,
    /// [`FINAL_READ`](crate::log::operations::FINAL_READ) if it is none of an operation.
    pub operation: OperationIndex,
    pub asked: Asked,
    pub rows: Rows,
    /// Its place among the events.
    pub completed: usize,
    /// The existing rows that were read, ascending; only if one that was to be read may be missing.
    pub present: Option<Box<[Key]>>,
}

impl Read {
    pub fn lacks(&self, key: Key) -> bool {
        let present = self.present.as_ref();
        present.is_some_and(|present| present.binary_search(&key).is_err())
            && self.asked.contains(key)
    }
}

/// A resolved read that waits for the sessions that it shows.
#[derive(Clone)]
pub(super) struct Unjudged {
    pub read: Read,
    pub sources: Vec<Source>,
    /// For each other session the latest of its operations that the read shows.
    pub shown: Vec<(usize, OperationIndex)>,
}

#[derive(Clone, Default)]
pub(super) struct Session {
    /// The reads of operations that committed and are not resolved, in session order.
    pub open: VecDeque<Read>,
    pub final_reads: Vec<Read>,
    pub written: Versions,
    /// What it read and did not write itself.
    pub seen: Versions,
    /// Reads of other sessions that wait for this one.
    pub waiting: Vec<Unjudged>,
}

impl Session {
    /// Whether every operation is resolved that has ended up to that place.
    pub fn resolved_up_to(&self, order: usize) -> bool {
        self.open.front().is_none_or(|open| open.completed > order)
    }
}

/// Comparisons with a row of an operation that ended in `info`: they count once the row was read.
#[derive(Clone, Default)]
pub(super) struct Withheld {
    pub seen: bool,
    pub exercised: u64,
    pub violations: u64,
    pub examples: Vec<(usize, Violation)>,
}

/// A row that is below what it had to hold, and the operation that is the evidence.
pub(super) struct Below {
    pub key: Key,
    pub value: Option<Value>,
    pub floor: Value,
    pub evidence: OperationIndex,
}
