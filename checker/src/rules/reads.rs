//! The properties of reads, along with a run. What a run is told of them is in [`crate::online`].
//!
//! # When a read is judged
//!
//! - Once every operation whose value it returned has ended (one that fails makes the value an aborted
//!   read, and the row is then not held against any other guarantee), and likewise for every operation
//!   before it in its session. What has not ended comes after it. The read is then *resolved*: no-thin-air-read, read your writes,
//!   monotonic reads and atomic visibility are decided;
//! - once every session of which it shows a transaction is resolved up to that transaction. Then
//!   monotonic writes and writes follow reads are decided.
//!
//! Reading a value of an operation that is still under way is thus fine, and waits. An operation that
//! ended in `info` and was read is certain in the rows in which it was read; when another of its rows
//! is read later, the reads that lacked that row are found then. Final reads wait for the end.
//!
//! # Memory
//!
//! A read's rows are dropped when it is judged. What stays, with *n* operations, *w* rows written,
//! *s* sessions and *k* rows: O(n) for who invoked what; O(w) for who wrote each value; for each
//! session, and row, the values that it wrote and those of others that it read, as far as they grew:
//! O(s · k) at least and O(s · w) at most, 16 bytes each. Old versions can not be forgotten: a read
//! may return one at any time, and naming the guarantee that this breaks takes knowing who had seen
//! what by then. For an operation that ended in `info` a counter per row and a few explanations stay.
//!
//! # Why there are two implementations
//!
//! With the whole history at hand the reads that show an operation can be sorted by that operation,
//! and one array per session is enough; here the same question is a search in a list of versions. The
//! former is faster and follows the definitions more closely, the latter forgets. Tests hold the two
//! against each other after every event of random histories.

mod atomic_visibility;
mod findings;
mod judge;
mod session;
mod thin_air;
mod versions;

use std::collections::HashMap;

use squall_protocol::history::{Event, Header};
use squall_protocol::transaction::{Key, Value};
use squall_protocol::verdict::{Property, Step, Violation};

use crate::findings::Finding;
use crate::findings::Findings;
use crate::findings::explain::Stale;
use crate::log::operations::{FINAL_READ, Found, OperationLog, Update};
use crate::log::trace::{Impossible, OperationIndex, Source};
use crate::rules::storage_intact;
use findings::OfReads;
use session::{Below, Read, Session, Unjudged, Withheld};

/// Everything about the properties of reads.
#[derive(Clone)]
pub(crate) struct Reads {
    pub log: OperationLog,
    /// In parallel to those of the log.
    sessions: Vec<Session>,
    /// For each operation the number of the last read that was compared with all its writes.
    looked_at: Vec<u64>,
    /// The sessions whose next read returned a value of that operation, which has not ended.
    blocked: HashMap<OperationIndex, Vec<usize>>,
    withheld: HashMap<(OperationIndex, Key), Withheld>,
    /// How many reads were resolved.
    resolved: u64,
    /// For each row the last read in which it was, and where.
    places: Vec<(u64, usize)>,
    /// Above every row that exists and was read, and the log.
    key_count: usize,
    settled: bool,
    findings: OfReads,
    /// What was found since the last event.
    found: Vec<Finding>,
}

impl Reads {
    pub fn new(header: &Header) -> Self {
        Reads {
            log: OperationLog::new(header),
            sessions: Vec::new(),
            looked_at: Vec::new(),
            blocked: HashMap::new(),
            withheld: HashMap::new(),
            resolved: 0,
            places: Vec::new(),
            key_count: 0,
            settled: false,
            findings: OfReads::new(),
            found: Vec::new(),
        }
    }

    /// Takes the next event. Answers with what that adds to the log.
    pub fn push<'e>(&mut self, event: &'e Event) -> Update<'e> {
        let update = self.log.push(event);
        let Update {
            ended,
            read,
            lost_database,
            ..
        } = update.clone();
        self.sessions
            .resize_with(self.log.sessions(), Session::default);
        self.looked_at.resize(self.log.operations.len(), 0);
        if let Some(violation) = storage_intact::found(event, lost_database) {
            self.report(Property::StorageIntact, violation);
        }
        if let Some(found) = read {
            let read = self.read(found);
            let session = &mut self.sessions[read.session];
            match read.operation {
                FINAL_READ => session.final_reads.push(read),
                _ => session.open.push_back(read),
            }
        }
        if let Some(ended) = ended {
            self.advance(self.log.operations[ended as usize].session);
            for session in self.blocked.remove(&ended).unwrap_or_default() {
                self.advance(session);
            }
        }
        update
    }

    /// The violations that are certain since this was last asked.
    pub fn take_found(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.found)
    }

    /// What was found in all, as if what has been pushed were the whole history; a number above every row
    /// that exists and was read, and the log.
    pub fn into_findings(mut self) -> ([Findings; 6], usize, OperationLog) {
        self.settle();
        (self.findings.into_array(), self.key_count, self.log)
    }

    fn read(&mut self, found: Found) -> Read {
        let keys = self.log.keys;
        let rows = found.rows;
        let existing = rows.iter().map(|row| row.0).filter(|key| *key < keys);
        let count = existing.clone().max().map_or(0, |key| key as usize + 1);
        self.key_count = self.key_count.max(count);
        let all = rows.len() == keys as usize && rows.iter().map(|row| row.0).eq(0..keys);
        let present = (!all).then(|| {
            let mut present: Vec<Key> = existing.collect();
            present.sort_unstable();
            present.dedup();
            present.into_boxed_slice()
        });
        Read {
            session: found.session,
            operation: found.operation,
            asked: found.asked,
            rows: rows.to_vec(),
            completed: found.completed,
            present,
        }
    }

    /// Takes what was pushed for everything: nothing will end any more.
    fn settle(&mut self) {
        self.settled = true;
        for session in 0..self.sessions.len() {
            self.advance(session);
        }
        for session in 0..self.sessions.len() {
            for read in std::mem::take(&mut self.sessions[session].final_reads) {
                self.resolve(read);
            }
        }
    }

    /// Resolves what can be resolved of a session, and judges the reads that waited for that.
    fn advance(&mut self, number: usize) {
        while let Some(read) = self.sessions[number].open.front() {
            if let Some(writer) = self.blocker(read) {
                let sessions = self.blocked.entry(writer).or_default();
                if !sessions.contains(&number) {
                    sessions.push(number);
                }
                break;
            }
            let read = self.sessions[number].open.pop_front();
            self.resolve(read.expect("seen above"));
        }
        for unjudged in std::mem::take(&mut self.sessions[number].waiting) {
            self.judge_when_possible(unjudged);
        }
    }

    /// An operation whose end decides where a value of the read comes from.
    fn blocker(&self, read: &Read) -> Option<OperationIndex> {
        if self.settled {
            return None;
        }
        let mut rows = read.rows.iter();
        rows.find_map(|(key, value)| match self.trace(read, *key, *value) {
            Ok(Source::Operation(writer)) => self.log.is_pending(writer).then_some(writer),
            _ => None,
        })
    }

    fn judge_when_possible(&mut self, unjudged: Unjudged) {
        let mut shown = unjudged.shown.iter();
        match shown.find(|(session, latest)| {
            !self.sessions[*session].resolved_up_to(self.log.order(*latest))
        }) {
            Some((session, _)) => self.sessions[*session].waiting.push(unjudged),
            None => self.judge(&unjudged),
        }
    }

    fn violate(&mut self, property: Property, times: u64, read: &Read, violation: Violation) {
        self.report(property, violation.clone());
        let findings = self.findings.of(property);
        findings.violate_times(times, read.completed, || violation);
    }

    fn report(&mut self, property: Property, violation: Violation) {
        self.found.push(Finding {
            property,
            violation,
        });
    }

    fn stale(&self, read: &Read, below: &Below) -> Stale {
        Stale {
            reader: self.reader(read),
            key: below.key,
            value: below.value,
            floor: below.floor,
        }
    }

    /// Who wrote a value that was read, or why nobody can have.
    fn trace(
        &self,
        read: &Read,
        key: Key,
        value: Value,
    ) -> Result<Source, Impossible<OperationIndex>> {
        self.log.trace((read.operation, read.completed), key, value)
    }

    fn reader(&self, read: &Read) -> Step {
        self.log.step(read.session, read.operation)
    }

    fn writer(&self, value: Value) -> Option<Step> {
        let writer = self.log.writer(value)?;
        Some(self.log.operation_step(writer))
    }
}
