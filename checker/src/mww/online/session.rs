//! Who did what so far: operations, their reads, and the sessions that they belong to.

use std::collections::VecDeque;

use squall_protocol::transaction::{Key, Reads as Asked, Rows, Value};

use super::OperationIndex;
use super::versions::Versions;
use crate::mww::index::Source;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Pending,
    Ok,
    Failed,
    Info,
}

#[derive(Clone)]
pub(super) struct Operation {
    pub number: u64,
    pub session: usize,
    pub value: Value,
    /// The keys that it wrote, or may have written, ascending.
    pub written: Box<[Key]>,
    /// The keys that it was told to write and did not.
    pub left_out: Box<[Key]>,
    /// The place of its invocation among the events.
    pub invoked: usize,
    /// Its place in its session: where it ended if it committed, and where it was invoked otherwise.
    pub order: usize,
    /// What it was to read, until it has.
    pub asked: Asked,
    pub ending: Ending,
    /// The number of the last read that was compared with all its writes.
    pub looked_at: u64,
}

impl Operation {
    pub fn wrote(&self, key: Key) -> bool {
        self.written.binary_search(&key).is_ok()
    }
}

/// Rows that were read at once.
#[derive(Clone)]
pub(super) struct Read {
    pub session: usize,
    /// [`FINAL_READ`] if it is none of an operation.
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

#[derive(Clone)]
pub(super) struct Session {
    /// None for PostgreSQL's final read.
    pub client: Option<usize>,
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
    pub fn new(client: Option<usize>) -> Self {
        Session {
            client,
            open: VecDeque::new(),
            final_reads: Vec::new(),
            written: Versions::default(),
            seen: Versions::default(),
            waiting: Vec::new(),
        }
    }

    /// Whether every operation is resolved that has ended up to that place.
    pub fn resolved_up_to(&self, order: usize) -> bool {
        self.open.front().is_none_or(|open| open.completed > order)
    }
}

#[derive(Clone)]
pub(super) struct Client {
    pub name: String,
    pub has_database: bool,
    pub session: usize,
    pub database: Option<String>,
}
