//! The causal past of a read: by session order and reads-from.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::log::operations::OperationLog;
use crate::log::trace::OperationIndex;

/// What is in the causal past of a read.
#[derive(Clone, Default)]
pub(super) struct Past {
    /// For each session: those of its operations that committed and whose place is below this. A session
    /// that is not there has none.
    clock: Vec<u32>,
    /// The operations of unknown outcome. Mostly those of the read before in the session.
    unknown: Arc<BTreeSet<OperationIndex>>,
}

impl Past {
    pub fn contains(&self, log: &OperationLog, operation: OperationIndex) -> bool {
        let of = &log.operations[operation as usize];
        match of.committed() {
            true => of.order < self.of_session(of.session),
            false => self.unknown.contains(&operation),
        }
    }

    /// The place in that session below which what committed is in it.
    pub fn of_session(&self, session: usize) -> usize {
        self.clock.get(session).copied().unwrap_or(0) as usize
    }

    pub fn unknown(&self) -> impl Iterator<Item = OperationIndex> + '_ {
        self.unknown.iter().copied()
    }

    pub fn join(&mut self, other: &Past) {
        if self.clock.len() < other.clock.len() {
            self.clock.resize(other.clock.len(), 0);
        }
        for (own, other) in self.clock.iter_mut().zip(&other.clock) {
            *own = (*own).max(*other);
        }
        if !Arc::ptr_eq(&self.unknown, &other.unknown) {
            self.add_unknown(other.unknown());
        }
    }

    pub fn add_unknown(&mut self, operations: impl Iterator<Item = OperationIndex>) {
        for operation in operations {
            if !self.unknown.contains(&operation) {
                Arc::make_mut(&mut self.unknown).insert(operation);
            }
        }
    }

    /// Adds what committed in that session below that place.
    pub fn raise(&mut self, session: usize, place: usize) {
        if self.clock.len() <= session {
            self.clock.resize(session + 1, 0);
        }
        self.clock[session] = self.clock[session].max(place as u32);
    }

    /// Takes out what committed in that session from that place on.
    pub fn limit(&mut self, session: usize, place: usize) {
        if let Some(clock) = self.clock.get_mut(session) {
            *clock = (*clock).min(place as u32);
        }
    }
}
