//! What a session has appended and read so far, and reads that wait.

use std::collections::{HashMap, VecDeque};

use squall_protocol::transaction::{Key, Value};

use crate::log::operations::{FINAL_READ, Operation, OperationLog};
use crate::log::trace::OperationIndex;
use crate::rules::collections::Read;
use crate::rules::versions::latest_before;

/// A list that was read, by its last element: none of the empty list.
#[derive(Clone)]
pub(super) struct Last {
    pub key: Key,
    pub last: Option<Value>,
}

/// A transaction that wrote a version which was read.
#[derive(Clone)]
pub(super) struct Shown {
    pub session: usize,
    pub writer: OperationIndex,
}

/// A read that was taken in: what is left of it.
#[derive(Clone)]
pub(super) struct Taken {
    pub session: usize,
    /// [`FINAL_READ`] if it is none of an operation.
    pub operation: OperationIndex,
    /// See [`Operation::began`].
    pub began: usize,
    pub completed: usize,
    /// By key, ascending.
    pub lists: Vec<Last>,
    pub shown: Vec<Shown>,
}

impl Taken {
    pub fn new(read: &Read) -> Self {
        Taken {
            session: read.session,
            operation: read.operation,
            began: read.began,
            completed: read.completed,
            lists: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// Who read, without what.
    pub fn name(&self) -> Taken {
        Taken {
            lists: Vec::new(),
            shown: Vec::new(),
            ..*self
        }
    }

    /// Forgets what it shows but for the latest transaction of each other session, siblings too.
    pub fn keep_latest(&mut self, log: &OperationLog) {
        self.shown.retain(|shown| shown.session != self.session);
        self.shown
            .sort_by_key(|shown| (shown.session, std::cmp::Reverse(log.order(shown.writer))));
        self.shown.dedup_by_key(|shown| shown.session);
    }
}

/// A list that an operation has read.
#[derive(Clone, Copy)]
pub(super) struct Brought {
    /// Its place in the session.
    pub place: usize,
    pub operation: OperationIndex,
    pub last: Option<Value>,
}

#[derive(Clone, Default)]
pub(super) struct Session {
    /// The reads that are not taken in, in session order.
    pub open: VecDeque<Read>,
    /// Reads of other sessions that wait for this one.
    pub waiting: Vec<Taken>,
    /// By key, in session order: the operations that appended to it, with their places.
    written: HashMap<Key, Vec<(usize, OperationIndex)>>,
    /// By key, in session order: what was read of it, as far as that changed.
    read: HashMap<Key, Vec<Brought>>,
}

impl Session {
    /// Takes an operation that has committed now.
    pub fn wrote(&mut self, operation: &Operation, index: OperationIndex) {
        for key in &operation.written {
            let written = self.written.entry(*key).or_default();
            written.push((operation.order, index));
        }
    }

    /// Takes what was read, if it was by an operation.
    pub fn read(&mut self, taken: &Taken) {
        if taken.operation == FINAL_READ {
            return;
        }
        for list in &taken.lists {
            let read = self.read.entry(list.key).or_default();
            if read.last().is_none_or(|brought| brought.last != list.last) {
                read.push(Brought {
                    place: taken.completed,
                    operation: taken.operation,
                    last: list.last,
                });
            }
        }
    }

    /// The last operation that appended to a list before that place.
    pub fn written_before(&self, key: Key, place: usize) -> Option<OperationIndex> {
        latest_before(self.written.get(&key)?, place).copied()
    }

    /// What was read last of a list before that place.
    pub fn read_before(&self, key: Key, place: usize) -> Option<Brought> {
        let read = self.read.get(&key)?;
        let at = read.partition_point(|brought| brought.place < place);
        Some(read[at.checked_sub(1)?])
    }

    /// Whether all reads up to that place are taken in.
    pub fn is_taken_in_up_to(&self, place: usize) -> bool {
        self.open.front().is_none_or(|open| open.completed > place)
    }
}
