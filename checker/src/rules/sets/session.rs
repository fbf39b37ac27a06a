//! What a session has added and read so far.

use std::collections::{HashMap, VecDeque};

use squall_protocol::transaction::Key;

use super::past::Past;
use crate::log::operations::{FINAL_READ, Operation, OperationLog};
use crate::log::trace::OperationIndex;
use crate::rules::collections::Read;

/// Why a read is not judged yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// For an operation that it shows to end.
    ForOperation(OperationIndex),
    /// For the reads of a session that it shows.
    ForSession(usize),
}

/// The sets of a read.
pub(super) enum Scope {
    All,
    /// Ascending.
    Keys(Vec<Key>),
}

impl Scope {
    pub fn contains(&self, key: Key) -> bool {
        match self {
            Scope::All => true,
            Scope::Keys(keys) => keys.binary_search(&key).is_ok(),
        }
    }
}

/// The transactions that a read shows.
pub(super) struct Shown {
    /// Ascending.
    pub all: Vec<OperationIndex>,
    /// Of each session the latest of them.
    pub latest: Vec<Option<OperationIndex>>,
}

impl Shown {
    pub fn new(log: &OperationLog, elements: &[(Key, OperationIndex)]) -> Self {
        let mut all: Vec<OperationIndex> = elements.iter().map(|(_, writer)| *writer).collect();
        all.sort_unstable();
        all.dedup();
        let mut latest: Vec<Option<OperationIndex>> = vec![None; log.sessions()];
        for writer in &all {
            let latest = &mut latest[log.operations[*writer as usize].session];
            if latest.is_none_or(|latest| log.order(latest) < log.order(*writer)) {
                *latest = Some(*writer);
            }
        }
        Shown { all, latest }
    }
}

#[derive(Clone, Default)]
pub(super) struct Session {
    /// The reads that are not judged, in session order.
    pub open: VecDeque<Read>,
    /// Why the first of them is not.
    pub waits: Option<Waits>,
    /// The causal past of whatever it does next.
    pub past: Past,
    /// The past of each read that was judged, by its place.
    pasts: Vec<(usize, Past)>,
    /// The operations that committed and added something, and how many elements were added up to each.
    pub added: Vec<(OperationIndex, u64)>,
    /// The places of those, ascending.
    places: Vec<usize>,
    /// The same places by set.
    by_key: HashMap<Key, Vec<usize>>,
    /// By the number of an element of others: after the place where it was first read, or 0.
    seen: Vec<u32>,
    seen_count: u64,
    seen_by_key: HashMap<Key, u64>,
}

impl Session {
    /// Takes an operation that has committed now.
    pub fn added(&mut self, operation: &Operation, index: OperationIndex) {
        if operation.written.is_empty() {
            return;
        }
        let before = self.added.last().map_or(0, |(_, count)| *count);
        self.added
            .push((index, before + operation.written.len() as u64));
        self.places.push(operation.order);
        for key in &operation.written {
            self.by_key.entry(*key).or_default().push(operation.order);
        }
    }

    /// The operations that committed, added something, and have a place below that.
    pub fn added_before(&self, place: usize) -> &[(OperationIndex, u64)] {
        &self.added[..self.places.partition_point(|added| *added < place)]
    }

    /// How many elements those have added to the sets.
    pub fn count_before(&self, scope: &Scope, place: usize) -> u64 {
        match scope {
            Scope::All => self
                .added_before(place)
                .last()
                .map_or(0, |(_, count)| *count),
            Scope::Keys(keys) => {
                let keys = keys.iter().filter_map(|key| self.by_key.get(key));
                keys.map(|places| places.partition_point(|added| *added < place) as u64)
                    .sum()
            }
        }
    }

    /// Whether all reads up to that place are judged.
    pub fn is_judged_up_to(&self, place: usize) -> bool {
        self.open.front().is_none_or(|open| open.completed > place)
    }

    /// The past of the last read up to that place.
    pub fn past_at(&self, place: usize) -> Option<&Past> {
        let at = self.pasts.partition_point(|(read, _)| *read <= place);
        Some(&self.pasts[at.checked_sub(1)?].1)
    }

    /// Takes a read that was judged, and its past.
    pub fn judged(&mut self, read: &Read, past: Past) {
        self.past = past.clone();
        if read.operation != FINAL_READ {
            self.past.raise(read.session, read.completed + 1);
        }
        self.pasts.push((read.completed, past));
    }

    /// Takes an element of others that was read.
    pub fn see(&mut self, element: u32, key: Key, place: usize) {
        let at = element as usize;
        if at >= self.seen.len() {
            self.seen.resize(at + 1, 0);
        }
        if self.seen[at] == 0 {
            self.seen[at] = place as u32 + 1;
            self.seen_count += 1;
            *self.seen_by_key.entry(key).or_default() += 1;
        }
    }

    /// The place where an element of others was first read.
    pub fn seen_at(&self, element: u32) -> Option<usize> {
        let place = self.seen.get(element as usize).copied().unwrap_or(0);
        place.checked_sub(1).map(|place| place as usize)
    }

    /// How many elements of others it has read of these sets.
    pub fn seen_count(&self, scope: &Scope) -> u64 {
        match scope {
            Scope::All => self.seen_count,
            Scope::Keys(keys) => {
                let counts = keys.iter().filter_map(|key| self.seen_by_key.get(key));
                counts.sum()
            }
        }
    }
}
