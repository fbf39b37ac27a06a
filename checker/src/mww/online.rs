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
use squall_protocol::transaction::{INITIAL_VALUE, Key, Reads as Asked, Rows, Value};
use squall_protocol::verdict::{Counts, Property, Step, Verdict, Violation};

use super::End;
use super::explain::{self, Stale};
use super::index::{Index, OperationIndex, Source};
use super::verdict_with;
use crate::evidence::Findings;
use crate::history::History;
use crate::online::Finding;
use atomic_visibility::Withheld;
use findings::OfReads;
use judge::Below;
use session::{Client, Ending, Operation, Read, Session, Unjudged};

/// Stands for a session's final read where an operation could stand.
const FINAL_READ: OperationIndex = OperationIndex::MAX;

/// Everything about the properties of reads.
#[derive(Clone)]
pub(crate) struct Reads {
    keys: u32,
    place: usize,
    names: HashMap<String, usize>,
    clients: Vec<Client>,
    sessions: Vec<Session>,
    operations: Vec<Operation>,
    numbers: HashMap<u64, OperationIndex>,
    writers: HashMap<Value, OperationIndex>,
    /// The values that several operations write, and where the second of these was invoked.
    ambiguous: HashMap<Value, usize>,
    /// The sessions whose next read returned a value of that operation, which has not ended.
    blocked: HashMap<OperationIndex, Vec<usize>>,
    withheld: HashMap<(OperationIndex, Key), Withheld>,
    /// How many reads were resolved.
    resolved: u64,
    /// For each row the last read in which it was, and where.
    places: Vec<(u64, usize)>,
    /// Above every row that exists and was read.
    key_count: usize,
    settled: bool,
    findings: OfReads,
    /// What was found since the last event.
    found: Vec<Finding>,
}

impl Reads {
    pub fn new(header: &Header) -> Self {
        let mut reads = Reads {
            keys: header.keys,
            place: 0,
            names: HashMap::new(),
            clients: Vec::new(),
            sessions: Vec::new(),
            operations: Vec::new(),
            numbers: HashMap::new(),
            writers: HashMap::new(),
            ambiguous: HashMap::new(),
            blocked: HashMap::new(),
            withheld: HashMap::new(),
            resolved: 0,
            places: Vec::new(),
            key_count: 0,
            settled: false,
            findings: OfReads::new(),
            found: Vec::new(),
        };
        for spec in &header.clients {
            let client = reads.client(&spec.name);
            reads.clients[client].has_database = spec.kind.has_database();
        }
        reads
    }

    /// Takes the next event.
    pub fn push(&mut self, event: &Event) {
        self.judge_event(event);
        self.place += 1;
    }

    /// The violations that are certain since this was last asked.
    pub fn take_found(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.found)
    }

    /// The verdict on everything so far, as if it were a whole history. `kept` is that history, without
    /// the rows that were read before the heal, and `end` the time of its last event; what another
    /// workload adds is as in [`super::check_with`].
    pub fn verdict(
        &self,
        kept: &History,
        end: u64,
        counts: Counts,
        more: impl FnOnce(&End) -> Vec<Findings>,
    ) -> Verdict {
        let mut reads = self.clone();
        reads.settle();
        let mut index = Index::new(kept);
        index.key_count = index.key_count.max(reads.key_count);
        index.end = end;
        verdict_with(index, reads.findings.into_array(), counts, more)
    }

    fn judge_event(&mut self, event: &Event) {
        match event {
            Event::Invoke {
                client,
                operation: number,
                transaction,
            } => {
                let client = self.client(client);
                let operation = self.operations.len() as OperationIndex;
                // The contradictions in a history are told by the index of what is kept.
                if self.numbers.contains_key(number) {
                    return;
                }
                self.numbers.insert(*number, operation);
                if !transaction.is_read_only() && transaction.value > INITIAL_VALUE {
                    let first = *self.writers.entry(transaction.value).or_insert(operation);
                    if first != operation {
                        let ambiguous = self.ambiguous.entry(transaction.value);
                        ambiguous.or_insert(self.place);
                    }
                }
                let session = self.clients[client].session;
                self.operations.push(Operation {
                    number: *number,
                    session,
                    value: transaction.value,
                    written: sorted(transaction.keys.iter().copied()),
                    left_out: Box::default(),
                    invoked: self.place,
                    order: self.place,
                    asked: transaction.reads.clone(),
                    ending: Ending::Pending,
                    looked_at: 0,
                });
            }
            Event::Ok {
                client,
                operation,
                reads,
                writes,
                ..
            } => self.complete(client, *operation, Ending::Ok, Some((reads, writes))),
            Event::Fail {
                client, operation, ..
            } => self.complete(client, *operation, Ending::Failed, None),
            Event::Info {
                client, operation, ..
            } => self.complete(client, *operation, Ending::Info, None),
            Event::IncarnationStart {
                client, session, ..
            } => {
                let client = self.client(client);
                self.start_incarnation(client, session);
            }
            Event::FinalRead {
                client,
                rows: Some(rows),
                ..
            } => {
                let client = self.client(client);
                let session = self.clients[client].session;
                let read = self.read(session, FINAL_READ, Asked::All, rows);
                self.sessions[session].final_reads.push(read);
            }
            Event::FinalReadPostgres {
                rows: Some(rows), ..
            } => {
                let session = self.sessions.len();
                self.sessions.push(Session::new(None));
                let read = self.read(session, FINAL_READ, Asked::All, rows);
                self.sessions[session].final_reads.push(read);
            }
            Event::Integrity { client, report } => {
                self.client(client);
                if let Some(violation) = explain::broken_database(client, report) {
                    self.tell(Property::StorageIntact, violation);
                }
            }
            _ => {}
        }
    }

    fn client(&mut self, name: &str) -> usize {
        if let Some(client) = self.names.get(name) {
            return *client;
        }
        let client = self.clients.len();
        self.names.insert(name.to_owned(), client);
        self.clients.push(Client {
            name: name.to_owned(),
            has_database: false,
            session: self.sessions.len(),
            database: None,
        });
        self.sessions.push(Session::new(Some(client)));
        client
    }

    fn start_incarnation(&mut self, number: usize, database: &str) {
        let client = &mut self.clients[number];
        let before = client.database.replace(database.to_owned());
        if let Some(before) = before
            && before != database
            && client.has_database
        {
            client.session = self.sessions.len();
            let violation = explain::lost_database(&client.name, &before, database);
            self.sessions.push(Session::new(Some(number)));
            self.tell(Property::StorageIntact, violation);
        }
    }

    fn complete(
        &mut self,
        client: &str,
        number: u64,
        ending: Ending,
        rows: Option<(&Rows, &Rows)>,
    ) {
        let client = self.client(client);
        let Some(index) = self.numbers.get(&number).copied() else {
            return;
        };
        let operation = &mut self.operations[index as usize];
        let session = operation.session;
        if operation.ending != Ending::Pending || self.sessions[session].client != Some(client) {
            return;
        }
        operation.ending = ending;
        if let Some((reads, writes)) = rows {
            let told = std::mem::take(&mut operation.written);
            let value = operation.value;
            let possible = |(key, written): &(Key, Value)| {
                (*written == value && told.binary_search(key).is_ok()).then_some(*key)
            };
            operation.written = sorted(writes.iter().filter_map(possible));
            let left_out = told.iter().copied().filter(|key| !operation.wrote(*key));
            operation.left_out = left_out.collect();
            operation.order = self.place;
            let asked = std::mem::replace(&mut operation.asked, Asked::Nothing);
            let read = self.read(session, index, asked, reads);
            self.sessions[session].open.push_back(read);
        }
        self.advance(session);
        for session in self.blocked.remove(&index).unwrap_or_default() {
            self.advance(session);
        }
    }

    fn read(
        &mut self,
        session: usize,
        operation: OperationIndex,
        asked: Asked,
        rows: &Rows,
    ) -> Read {
        let keys = self.keys;
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
            session,
            operation,
            asked,
            rows: rows.clone(),
            completed: self.place,
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
            Ok(Source::Operation(writer)) => {
                let pending = self.operations[writer as usize].ending == Ending::Pending;
                pending.then_some(writer)
            }
            _ => None,
        })
    }

    fn judge_when_possible(&mut self, unjudged: Unjudged) {
        let mut shown = unjudged.shown.iter();
        match shown
            .find(|(session, latest)| !self.sessions[*session].resolved_up_to(self.order(*latest)))
        {
            Some((session, _)) => self.sessions[*session].waiting.push(unjudged),
            None => self.judge(&unjudged),
        }
    }

    fn violate(&mut self, property: Property, times: u64, read: &Read, violation: Violation) {
        self.tell(property, violation.clone());
        let findings = self.findings.of(property);
        findings.violate_times(times, read.completed, || violation);
    }

    fn tell(&mut self, property: Property, violation: Violation) {
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

    fn reader(&self, read: &Read) -> Step {
        self.step(read.session, read.operation)
    }

    fn writer(&self, value: Value) -> Option<Step> {
        let writer = self.writers.get(&value)?;
        Some(self.operation_step(*writer))
    }

    fn operation_step(&self, operation: OperationIndex) -> Step {
        self.step(self.operations[operation as usize].session, operation)
    }

    fn step(&self, session: usize, operation: OperationIndex) -> Step {
        Step {
            client: match self.sessions[session].client {
                Some(client) => self.clients[client].name.clone(),
                None => "PostgreSQL".to_owned(),
            },
            operation: self
                .operations
                .get(operation as usize)
                .map(|operation| operation.number),
        }
    }
}

fn sorted(keys: impl Iterator<Item = Key>) -> Box<[Key]> {
    let mut keys: Vec<Key> = keys.collect();
    keys.sort_unstable();
    keys.into_boxed_slice()
}
