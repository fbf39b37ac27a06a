//! The reads that wait, and the sessions that they belong to.

use std::borrow::Cow;
use std::collections::VecDeque;

use squall_protocol::transaction::{Key, Reads as Asked, Value};
use squall_protocol::verdict::{Property, Step, Violation};

use crate::findings::Report;
use crate::findings::explain::{Shown, Stale};
use crate::log::operations::{Found, OperationLog};
use crate::log::trace::{OperationIndex, Source};
use crate::rules::versions::{Row, Versions};

/// Rows that were read at once.
#[derive(Clone)]
pub(super) struct Read<'e> {
    pub session: usize,
    /// [`FINAL_READ`](crate::log::operations::FINAL_READ) if it is none of an operation.
    pub operation: OperationIndex,
    pub asked: Asked,
    pub rows: Cow<'e, [(Key, Value)]>,
    /// Where the rows' values come from, once that is known.
    pub sources: Vec<Source>,
    /// See [`Operation::began`](crate::log::operations::Operation::began).
    pub began: usize,
    /// Its place among the events.
    pub completed: usize,
    /// How many different rows were read, of those that exist.
    pub distinct: u64,
    /// The existing rows that were read, ascending; only if one that was to be read is missing.
    pub present: Option<Box<[Key]>>,
}

impl<'e> Read<'e> {
    pub fn new(found: &Found<'e>, keys: Key) -> Self {
        let (distinct, present) = found.present(keys);
        Read {
            session: found.session,
            operation: found.operation,
            asked: found.asked.clone(),
            rows: Cow::Borrowed(found.rows),
            sources: Vec::new(),
            began: found.began,
            completed: found.completed,
            distinct,
            present,
        }
    }

    /// The same to be kept.
    pub fn into_owned(self) -> Read<'static> {
        Read {
            rows: Cow::Owned(self.rows.into_owned()),
            ..self
        }
    }

    /// Whether the row is missing: it was to be read, and was not found.
    pub fn lacks(&self, key: Key) -> bool {
        let present = self.present.as_ref();
        present.is_some_and(|present| present.binary_search(&key).is_err())
            && self.asked.contains(key)
    }

    pub fn reader(&self, log: &OperationLog) -> Step {
        log.step(self.session, self.operation)
    }

    /// How it shows that operation.
    pub fn shown(&self, log: &OperationLog, operation: OperationIndex) -> Shown {
        let mut rows = self.rows.iter().zip(&self.sources);
        let row = rows.find(|(_, source)| **source == Source::Operation(operation));
        let (key, value) = row.map_or((0, 0), |(row, _)| *row);
        Shown {
            writer: log.operation_step(operation),
            key,
            value,
        }
    }

    /// Compares it, row by row, with what had to be visible: of the sessions in `before`, these versions. A value that
    /// came from nowhere is left to no-thin-air-read.
    pub fn compare(
        &self,
        before: &Before,
        of: impl Fn(&Session) -> &Versions<OperationIndex>,
        (property, report): (Property, &mut Report),
        explain: impl Fn(&Below) -> Violation,
    ) {
        let mut exercised = 0;
        let mut below = |key, value, (floor, evidence)| {
            report.violate(property, self.completed, || {
                explain(&Below {
                    key,
                    value,
                    floor,
                    evidence,
                })
            });
        };
        for ((key, value), source) in self.rows.iter().zip(&self.sources) {
            if let Some(highest) = before.highest(&of, *key, |row, place| row.above(*value, place))
                && source.is_known()
            {
                exercised += 1;
                if let Some(floor) = highest {
                    below(*key, Some(*value), floor);
                }
            }
        }
        if self.present.is_some() {
            for key in before.keys(&of, |key| self.lacks(key)) {
                let highest = before.highest(&of, key, Row::before);
                if let Some(floor) = highest.flatten() {
                    exercised += 1;
                    below(key, None, floor);
                }
            }
        }
        report.of(property).exercise(exercised);
    }
}

/// The highest value that a row had, with the evidence for it.
type Highest = Option<(Value, OperationIndex)>;

/// What is before an operation in its session: what its client had done there, and what siblings had ended when it
/// began. Each session with the place before which it counts.
pub(super) struct Before<'s> {
    own: (&'s Session, usize),
    /// Mostly none, for which nothing may cost anything.
    siblings: Vec<(&'s Session, usize)>,
}

impl<'s> Before<'s> {
    /// What the session has before the place `own`, and its siblings before `began`.
    pub fn new(
        log: &OperationLog,
        sessions: &'s [Session],
        session: usize,
        (own, began): (usize, usize),
    ) -> Self {
        let siblings = log.siblings(session);
        Before {
            own: (&sessions[session], own),
            siblings: siblings.map(|it| (&sessions[it], began)).collect(),
        }
    }

    /// The highest value that is found of a row, the session's own if siblings have the same. None if the row had not
    /// grown in any of them.
    fn highest(
        &self,
        of: impl Fn(&Session) -> &Versions<OperationIndex>,
        key: Key,
        find: impl Fn(&Row<OperationIndex>, usize) -> Highest,
    ) -> Option<Highest> {
        let found = |(session, place): (&Session, usize)| {
            let row = of(session).row(key, place);
            row.map(|row| find(row, place))
        };
        let mut highest = found(self.own);
        for sibling in &self.siblings {
            if let Some(of_sibling) = found(*sibling) {
                let value = |it: Highest| it.map(|(value, _)| value);
                let known = highest.unwrap_or(None);
                let is_higher = value(of_sibling) > value(known);
                highest = Some(if is_higher { of_sibling } else { known });
            }
        }
        highest
    }

    /// The keys of which these versions are and for which that holds, each once.
    fn keys(
        &self,
        of: impl Fn(&Session) -> &Versions<OperationIndex>,
        holds: impl Fn(Key) -> bool,
    ) -> Vec<Key> {
        let all = [&self.own].into_iter().chain(&self.siblings);
        let all = all.flat_map(|(session, _)| of(session).keys());
        let mut keys: Vec<Key> = all.filter(|key| holds(*key)).collect();
        if !self.siblings.is_empty() {
            keys.sort_unstable();
            keys.dedup();
        }
        keys
    }
}

/// A resolved read that waits for the sessions that it shows.
#[derive(Clone)]
pub(super) struct Unjudged<'e> {
    pub read: Read<'e>,
    /// For each other session the latest of its operations that the read shows.
    pub shown: Vec<(usize, OperationIndex)>,
}

impl Unjudged<'_> {
    /// The same to be kept.
    pub fn into_owned(self) -> Unjudged<'static> {
        Unjudged {
            read: self.read.into_owned(),
            ..self
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct Session {
    /// The reads that are not resolved, in session order.
    pub open: VecDeque<Read<'static>>,
    /// What its operations that committed wrote.
    pub written: Versions<OperationIndex>,
    /// What it read and did not write itself, by the operations that read it.
    pub seen: Versions<OperationIndex>,
    /// Reads of other sessions that wait for this one.
    pub waiting: Vec<Unjudged<'static>>,
}

impl Session {
    /// Takes in what a read has returned, and what its operation has written.
    pub fn take_in(&mut self, log: &OperationLog, read: &Read) {
        let (place, reader) = (read.completed, read.operation);
        for ((key, value), source) in read.rows.iter().zip(&read.sources) {
            if let Source::Operation(writer) = *source {
                let writer = &log.operations[writer as usize];
                // Of an operation whose answer was lost the session can not know that it is its own.
                if writer.session != read.session || !writer.committed() {
                    self.seen.raise(*key, *value, place, reader);
                }
            }
        }
        if let Some(operation) = log.operations.get(reader as usize) {
            for key in operation.written.iter().filter(|key| **key < log.keys) {
                self.written.raise(*key, operation.value, place, reader);
            }
        }
    }
}

/// A row that is below what it had to hold, and the operation that is the evidence.
pub(super) struct Below {
    pub key: Key,
    /// What was read; none if the row was missing.
    value: Option<Value>,
    pub floor: Value,
    pub evidence: OperationIndex,
}

impl Below {
    pub fn stale(&self, log: &OperationLog, read: &Read) -> Stale {
        Stale {
            reader: read.reader(log),
            key: self.key,
            value: self.value,
            floor: self.floor,
        }
    }
}
