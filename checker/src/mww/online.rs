//! The same rules along with a run: events in, violations out as soon as nothing can excuse them.
//!
//! # What is told when
//!
//! A finding is never taken back. So a read is judged once everything that could excuse it is known:
//!
//! - every operation whose value it returned has ended (one that fails makes the value an aborted
//!   read, and the row is then not held against any other guarantee), and likewise every operation
//!   before it in its session. The read is then *resolved*: no-thin-air-read, read your writes,
//!   monotonic reads and atomic visibility are decided;
//! - every session of which it shows a transaction is resolved up to that transaction. Then monotonic
//!   writes and writes follow reads are decided.
//!
//! Reading a value of an operation that is still under way is thus fine, and waits. An operation that
//! ended in `info` and was read is certain in the rows in which it was read; when another of its rows
//! is read later, the reads that lacked that row are found then. Final reads wait for
//! [`Online::verdict`], which takes what has been pushed for the whole history: what has not ended is
//! unknown, and nothing waits any more. Convergence and recovery, which are properties of an end,
//! are judged only there.
//!
//! # Memory
//!
//! A read's rows are dropped when it is judged. What stays, with *n* operations, *w* rows written,
//! *s* sessions and *k* rows: O(n) for who invoked what; O(w) for who wrote each value; for each
//! session, and row, the values that it wrote and those of others that it read, as far as they grew:
//! O(s · k) at least and O(s · w) at most, 16 bytes each. Old versions can not be forgotten: a read
//! may return one at any time, and naming the guarantee that this breaks takes knowing who had seen
//! what by then. For an operation that ended in `info` a counter per row and a few explanations stay.
//! From the heal on all events are kept, for the properties of the end.
//!
//! # Why there are two implementations
//!
//! With the whole history at hand the reads that show an operation can be sorted by that operation,
//! and one array per session is enough; here the same question is a search in a list of versions. The
//! former is faster and follows the definitions more closely, the latter forgets. Tests hold the two
//! against each other after every event of random histories.

use std::collections::{HashMap, VecDeque};

use squall_protocol::history::{Event, Header, Phase, Record};
use squall_protocol::plan::ClientKind;
use squall_protocol::transaction::{INITIAL_VALUE, Key, Rows, Value};
use squall_protocol::verdict::{Counts, Property, Step, Verdict, Violation};

use super::explain::{self, Impossible, Shown, Stale};
use super::index::{Index, OperationIndex, Source};
use super::{MAX_KEYS, count, not_judged, verdict_of};
use crate::evidence::Findings;
use crate::history::History;

/// Stands for a session's final read where an operation could stand.
const FINAL_READ: OperationIndex = OperationIndex::MAX;

/// A violation that was found while the run went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub property: Property,
    pub violation: Violation,
}

/// Judges a history of the workload `mww` event by event. Of other workloads that have its rows too,
/// it judges these rows.
#[derive(Clone)]
pub struct Online {
    /// What the properties of the end are judged by: without the rows read before the heal.
    kept: History,
    reads: Reads,
    counts: Counts,
    healed: bool,
    /// The time of the last event.
    end: u64,
    found: u64,
}

impl Online {
    /// Begins with nothing but the header.
    pub fn new(header: &Header) -> Self {
        Online {
            kept: History {
                header: header.clone(),
                records: Vec::new(),
                cut: None,
            },
            reads: Reads::new(header),
            counts: Counts::default(),
            healed: false,
            end: 0,
            found: 0,
        }
    }

    /// Takes the next event, and tells the violations of safety that are certain since then. Of a
    /// great number that become certain at once only the first few are told.
    pub fn push(&mut self, record: &Record) -> Vec<Finding> {
        self.end = record.time;
        count(&mut self.counts, &record.event);
        if self.kept.header.keys > MAX_KEYS {
            return Vec::new();
        }
        if let Event::Phase(phase) = record.event {
            self.healed |= phase == Phase::Heal;
        }
        self.reads.push(&record.event);
        self.reads.place += 1;
        self.keep(record);
        let found = std::mem::take(&mut self.reads.found);
        self.found += found.len() as u64;
        found
    }

    /// How many violations have been told so far.
    pub fn violations(&self) -> u64 {
        self.found
    }

    /// The verdict on what has been pushed, as if it were the whole history: the same as that of
    /// [`check`](super::check), but for the words of explanations.
    pub fn verdict(&self) -> Verdict {
        let counts = self.counts.clone();
        if self.kept.header.keys > MAX_KEYS {
            return not_judged(&self.kept.header, counts);
        }
        let mut reads = self.reads.clone();
        reads.settle();
        let mut index = Index::new(&self.kept);
        index.key_count = index.key_count.max(reads.key_count);
        index.end = self.end;
        verdict_of(index, reads.findings.into_array(), counts)
    }

    fn keep(&mut self, record: &Record) {
        let event = match &record.event {
            Event::Ok {
                client,
                operation,
                writes,
                ..
            } if !self.healed => Event::Ok {
                client: client.clone(),
                operation: *operation,
                reads: Vec::new(),
                writes: writes.clone(),
                ledger: None,
                collections: None,
                payload: None,
            },
            Event::Status { client, .. } => {
                // A client that the header does not name exists from its first mention on.
                let mut specs = self.kept.header.clients.iter();
                if !self.healed && specs.any(|spec| spec.name == *client) {
                    return;
                }
                record.event.clone()
            }
            Event::FaultBegin { .. } | Event::FaultEnd { .. } | Event::FaultSkipped { .. } => {
                return;
            }
            event => event.clone(),
        };
        self.kept.records.push(Record {
            time: record.time,
            event,
        });
    }
}

/// The findings about the six properties of reads.
#[derive(Clone)]
struct OfReads {
    read_your_writes: Findings,
    monotonic_reads: Findings,
    monotonic_writes: Findings,
    writes_follow_reads: Findings,
    atomic_visibility: Findings,
    no_thin_air_read: Findings,
}

impl OfReads {
    fn into_array(self) -> [Findings; 6] {
        [
            self.read_your_writes,
            self.monotonic_reads,
            self.monotonic_writes,
            self.writes_follow_reads,
            self.atomic_visibility,
            self.no_thin_air_read,
        ]
    }

    fn of(&mut self, property: Property) -> &mut Findings {
        match property {
            Property::ReadYourWrites => &mut self.read_your_writes,
            Property::MonotonicReads => &mut self.monotonic_reads,
            Property::MonotonicWrites => &mut self.monotonic_writes,
            Property::WritesFollowReads => &mut self.writes_follow_reads,
            Property::AtomicVisibility => &mut self.atomic_visibility,
            _ => &mut self.no_thin_air_read,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Pending,
    Ok,
    Failed,
    Info,
}

#[derive(Clone)]
struct Operation {
    number: u64,
    session: usize,
    value: Value,
    /// The keys that it wrote, or may have written, ascending.
    written: Box<[Key]>,
    /// The keys that it was told to write and did not.
    left_out: Box<[Key]>,
    /// The place of its invocation among the events.
    invoked: usize,
    ending: Ending,
    /// The number of the last read that was compared with all its writes.
    looked_at: u64,
}

impl Operation {
    fn wrote(&self, key: Key) -> bool {
        self.written.binary_search(&key).is_ok()
    }
}

/// Rows that were read at once.
#[derive(Clone)]
struct Read {
    session: usize,
    /// [`FINAL_READ`] if it is none of an operation.
    operation: OperationIndex,
    rows: Rows,
    /// Its place among the events.
    completed: usize,
    /// The existing rows that were read, ascending; only if they are not simply all of them.
    present: Option<Box<[Key]>>,
}

impl Read {
    fn lacks(&self, key: Key) -> bool {
        let present = self.present.as_ref();
        present.is_some_and(|present| present.binary_search(&key).is_err())
    }
}

/// A resolved read that waits for the sessions that it shows.
#[derive(Clone)]
struct Unjudged {
    read: Read,
    sources: Vec<Source>,
    /// For each other session the latest of its operations that the read shows.
    shown: Vec<(usize, OperationIndex)>,
}

/// For each row how its highest value grew along a session: the operations that raised it.
#[derive(Clone, Default)]
struct Versions(Vec<Vec<(OperationIndex, Value)>>);

impl Versions {
    fn raise(&mut self, key: Key, value: Value, operation: OperationIndex) {
        let key = key as usize;
        if self.0.len() <= key {
            self.0.resize(key + 1, Vec::new());
        }
        if self.0[key].last().is_none_or(|(_, last)| *last < value) {
            self.0[key].push((operation, value));
        }
    }

    /// The highest value by operations up to and including `last`, and the first that reached it.
    fn up_to(&self, key: Key, last: OperationIndex) -> Option<(Value, OperationIndex)> {
        let versions = self.0.get(key as usize)?;
        // Mostly what is asked for is the end.
        let found = match versions.last() {
            Some(version) if version.0 <= last => version,
            _ => {
                &versions[versions
                    .partition_point(|version| version.0 <= last)
                    .checked_sub(1)?]
            }
        };
        Some((found.1, found.0))
    }
}

#[derive(Clone)]
struct Session {
    /// None for PostgreSQL's final read.
    client: Option<usize>,
    /// The operations that are not resolved, in session order, and what they read once they have.
    open: VecDeque<(OperationIndex, Option<Read>)>,
    final_reads: Vec<Read>,
    written: Versions,
    /// What it read and did not write itself.
    seen: Versions,
    /// Reads of other sessions that wait for this one.
    waiting: Vec<Unjudged>,
}

impl Session {
    fn new(client: Option<usize>) -> Self {
        Session {
            client,
            open: VecDeque::new(),
            final_reads: Vec::new(),
            written: Versions::default(),
            seen: Versions::default(),
            waiting: Vec::new(),
        }
    }

    fn resolved_up_to(&self, operation: OperationIndex) -> bool {
        self.open.front().is_none_or(|open| open.0 > operation)
    }
}

#[derive(Clone)]
struct Client {
    name: String,
    syncs: bool,
    session: usize,
    database: Option<String>,
}

/// Comparisons with a row of an operation that ended in `info`: they count once the row was read.
#[derive(Clone, Default)]
struct Withheld {
    seen: bool,
    exercised: u64,
    violations: u64,
    examples: Vec<(usize, Violation)>,
}

/// A row that is below what it had to hold, and the operation that is the evidence.
struct Below {
    key: Key,
    value: Option<Value>,
    floor: Value,
    evidence: OperationIndex,
}

/// Everything about the properties of reads.
#[derive(Clone)]
struct Reads {
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
    fn new(header: &Header) -> Self {
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
            findings: OfReads {
                read_your_writes: Findings::new(Property::ReadYourWrites),
                monotonic_reads: Findings::new(Property::MonotonicReads),
                monotonic_writes: Findings::new(Property::MonotonicWrites),
                writes_follow_reads: Findings::new(Property::WritesFollowReads),
                atomic_visibility: Findings::new(Property::AtomicVisibility),
                no_thin_air_read: Findings::new(Property::NoThinAirRead),
            },
            found: Vec::new(),
        };
        for spec in &header.clients {
            let client = reads.client(&spec.name);
            reads.clients[client].syncs = ClientKind::syncs(spec.kind);
        }
        reads
    }

    fn push(&mut self, event: &Event) {
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
                self.sessions[session].open.push_back((operation, None));
                self.operations.push(Operation {
                    number: *number,
                    session,
                    value: transaction.value,
                    written: sorted(transaction.keys.iter().copied()),
                    left_out: Box::default(),
                    invoked: self.place,
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
                let read = self.read(session, FINAL_READ, rows);
                self.sessions[session].final_reads.push(read);
            }
            Event::FinalReadPostgres {
                rows: Some(rows), ..
            } => {
                let session = self.sessions.len();
                self.sessions.push(Session::new(None));
                let read = self.read(session, FINAL_READ, rows);
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
            syncs: false,
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
            && client.syncs
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
            let read = self.read(session, index, reads);
            let open = &mut self.sessions[session].open;
            if let Ok(at) = open.binary_search_by_key(&index, |open| open.0) {
                open[at].1 = Some(read);
            }
        }
        self.advance(session);
        for session in self.blocked.remove(&index).unwrap_or_default() {
            self.advance(session);
        }
    }

    fn read(&mut self, session: usize, operation: OperationIndex, rows: &Rows) -> Read {
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
        while let Some((operation, read)) = self.sessions[number].open.front() {
            match (self.operations[*operation as usize].ending, read) {
                (Ending::Pending, _) if !self.settled => break,
                (_, Some(read)) => {
                    if let Some(writer) = self.blocker(read) {
                        let sessions = self.blocked.entry(writer).or_default();
                        if !sessions.contains(&number) {
                            sessions.push(number);
                        }
                        break;
                    }
                    let (_, read) = self.sessions[number].open.pop_front().expect("seen above");
                    self.resolve(read.expect("seen above"));
                }
                (_, None) => {
                    self.sessions[number].open.pop_front();
                }
            }
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

    /// Who wrote a value that was read, or why nobody can have.
    fn trace(
        &self,
        read: &Read,
        key: Key,
        value: Value,
    ) -> Result<Source, Impossible<OperationIndex>> {
        if key >= self.keys {
            return Err(Impossible::NoSuchRow);
        }
        if value == INITIAL_VALUE {
            return Ok(Source::Initial);
        }
        let Some(writer) = self.writers.get(&value).copied() else {
            return Err(Impossible::NeverWritten);
        };
        let second = self.ambiguous.get(&value);
        if second.is_some_and(|second| *second < read.completed) {
            return Ok(Source::Ambiguous);
        }
        let operation = &self.operations[writer as usize];
        if !operation.wrote(key) {
            return Err(if operation.left_out.contains(&key) {
                Impossible::NotWritten(writer)
            } else {
                Impossible::OtherKeys(writer)
            });
        }
        if operation.ending == Ending::Failed {
            return Err(Impossible::Aborted(writer));
        }
        if read.operation == writer {
            return Err(Impossible::OwnLaterWrite(writer));
        }
        if operation.invoked > read.completed {
            return Err(Impossible::FromTheFuture(writer));
        }
        Ok(Source::Operation(writer))
    }

    /// Judges by the read's own session, and by the transactions that it shows.
    fn resolve(&mut self, read: Read) {
        let session = read.session;
        let sources = self.thin_air(&read);

        let (exercised, below) = {
            let written = &self.sessions[session].written;
            self.compare(&read, &sources, written, FINAL_READ)
        };
        self.findings.read_your_writes.exercise(exercised);
        for below in below {
            let writer = self.step(session, below.evidence);
            let violation = self.stale(&read, &below).read_your_writes(writer);
            self.violate(Property::ReadYourWrites, 1, &read, violation);
        }

        let (exercised, below) = {
            let seen = &self.sessions[session].seen;
            self.compare(&read, &sources, seen, FINAL_READ)
        };
        self.findings.monotonic_reads.exercise(exercised);
        for below in below {
            let earlier = self.step(session, below.evidence);
            let writer = self.writer(below.floor);
            let violation = self.stale(&read, &below).monotonic_reads(earlier, writer);
            self.violate(Property::MonotonicReads, 1, &read, violation);
        }

        for ((key, value), source) in read.rows.iter().zip(&sources) {
            if let Source::Operation(writer) = source {
                let operation = &self.operations[*writer as usize];
                let own = operation.session == session && operation.ending == Ending::Ok;
                if !own {
                    let seen = &mut self.sessions[session].seen;
                    seen.raise(*key, *value, read.operation);
                }
            }
        }
        if let Some(operation) = self.operations.get(read.operation as usize) {
            let existing = operation.written.iter().filter(|key| **key < self.keys);
            for key in existing {
                let written = &mut self.sessions[session].written;
                written.raise(*key, operation.value, read.operation);
            }
        }

        self.atomic_visibility(&read, &sources);

        let mut shown: Vec<(usize, OperationIndex)> = Vec::new();
        for source in &sources {
            if let Source::Operation(writer) = *source {
                let other = self.operations[writer as usize].session;
                match shown.iter_mut().find(|(session, _)| *session == other) {
                    Some((_, latest)) => *latest = (*latest).max(writer),
                    None if other != session => shown.push((other, writer)),
                    None => {}
                }
            }
        }
        self.judge_when_possible(Unjudged {
            read,
            sources,
            shown,
        });
    }

    fn judge_when_possible(&mut self, unjudged: Unjudged) {
        let mut shown = unjudged.shown.iter();
        match shown.find(|(session, latest)| !self.sessions[*session].resolved_up_to(*latest)) {
            Some((session, _)) => self.sessions[*session].waiting.push(unjudged),
            None => self.judge(&unjudged),
        }
    }

    /// Judges by the sessions that the read shows.
    fn judge(&mut self, unjudged: &Unjudged) {
        let Unjudged {
            read,
            sources,
            shown,
        } = unjudged;
        for (session, latest) in shown {
            let example = |this: &Reads| {
                let mut rows = read.rows.iter().zip(sources);
                let row = rows.find(|(_, source)| **source == Source::Operation(*latest));
                let (key, value) = row.map_or((0, 0), |(row, _)| *row);
                Shown {
                    writer: this.step(*session, *latest),
                    key,
                    value,
                }
            };
            if let Some(before) = latest.checked_sub(1) {
                let written = &self.sessions[*session].written;
                let (exercised, below) = self.compare(read, sources, written, before);
                self.findings.monotonic_writes.exercise(exercised);
                for below in below {
                    let writer = self.step(*session, below.evidence);
                    let stale = self.stale(read, &below);
                    let violation = stale.monotonic_writes(example(self), writer);
                    self.violate(Property::MonotonicWrites, 1, read, violation);
                }
            }
            let seen = &self.sessions[*session].seen;
            let (exercised, below) = self.compare(read, sources, seen, *latest);
            self.findings.writes_follow_reads.exercise(exercised);
            for below in below {
                let earlier = self.step(*session, below.evidence);
                let writer = self.writer(below.floor);
                let stale = self.stale(read, &below);
                let violation = stale.writes_follow_reads(example(self), earlier, writer);
                self.violate(Property::WritesFollowReads, 1, read, violation);
            }
        }
    }

    /// Compares a read with what a session had to show up to an operation, row by row.
    fn compare(
        &self,
        read: &Read,
        sources: &[Source],
        versions: &Versions,
        last: OperationIndex,
    ) -> (u64, Vec<Below>) {
        let mut exercised = 0;
        let mut below = Vec::new();
        for ((key, value), source) in read.rows.iter().zip(sources) {
            if let Some((floor, evidence)) = versions.up_to(*key, last)
                && !matches!(source, Source::Nowhere | Source::Ambiguous)
            {
                exercised += 1;
                if *value < floor {
                    below.push(Below {
                        key: *key,
                        value: Some(*value),
                        floor,
                        evidence,
                    });
                }
            }
        }
        if read.present.is_some() {
            for key in (0..versions.0.len() as Key).filter(|key| read.lacks(*key)) {
                if let Some((floor, evidence)) = versions.up_to(key, last) {
                    exercised += 1;
                    below.push(Below {
                        key,
                        value: None,
                        floor,
                        evidence,
                    });
                }
            }
        }
        (exercised, below)
    }

    /// Where the read's values come from; those from nowhere, and missing rows, are violations.
    fn thin_air(&mut self, read: &Read) -> Vec<Source> {
        const PROPERTY: Property = Property::NoThinAirRead;
        let mut sources = Vec::with_capacity(read.rows.len());
        let mut existing = 0;
        for (key, value) in &read.rows {
            existing += u64::from(*key < self.keys);
            sources.push(match self.trace(read, *key, *value) {
                Ok(source) => source,
                Err(why) => {
                    let why = why.map(|writer| self.operation_step(writer));
                    let violation = explain::thin_air(self.reader(read), *key, *value, why);
                    self.violate(PROPERTY, 1, read, violation);
                    Source::Nowhere
                }
            });
        }
        let distinct = match &read.present {
            Some(present) => present.len() as u64,
            None => u64::from(self.keys),
        };
        let missing = u64::from(self.keys) - distinct;
        let repeated = existing - distinct;
        let findings = &mut self.findings.no_thin_air_read;
        findings.exercise(read.rows.len() as u64 + missing);
        if missing > 0 {
            let first = (0..self.keys).find(|key| read.lacks(*key)).unwrap_or(0);
            let violation = explain::missing_rows(self.reader(read), first, missing);
            self.violate(PROPERTY, missing, read, violation);
        }
        if repeated > 0 {
            let violation = explain::repeated_rows(self.reader(read), repeated);
            self.violate(PROPERTY, repeated, read, violation);
        }
        sources
    }

    fn atomic_visibility(&mut self, read: &Read, sources: &[Source]) {
        self.resolved += 1;
        let number = self.resolved;
        for (place, (key, value)) in read.rows.iter().enumerate() {
            if *key >= self.keys {
                continue;
            }
            if self.places.len() <= *key as usize {
                self.places.resize(*key as usize + 1, (0, 0));
            }
            // Of a row that is there twice the lower value is judged.
            let entry = &mut self.places[*key as usize];
            if entry.0 != number || *value < read.rows[entry.1].1 {
                *entry = (number, place);
            }
        }
        for (place, source) in sources.iter().enumerate() {
            let Source::Operation(writer) = *source else {
                continue;
            };
            let (shown, value) = read.rows[place];
            let operation = &mut self.operations[writer as usize];
            let certain = operation.ending == Ending::Ok;
            if !certain {
                self.see(writer, shown);
            }
            let operation = &mut self.operations[writer as usize];
            if std::mem::replace(&mut operation.looked_at, number) == number {
                continue;
            }
            for at in 0..operation.written.len() {
                let key = self.operations[writer as usize].written[at];
                let other = match self.places.get(key as usize) {
                    Some((of, at)) if *of == number => match sources[*at] {
                        Source::Operation(same) if same == writer => continue,
                        Source::Nowhere | Source::Ambiguous => continue,
                        _ => Some(read.rows[*at].1),
                    },
                    _ if key >= self.keys => continue,
                    _ => None,
                };
                let violation = other.is_none_or(|other| other < value).then(|| {
                    let stale = Stale {
                        reader: self.reader(read),
                        key,
                        value: other,
                        floor: value,
                    };
                    stale.atomic_visibility(Shown {
                        writer: self.operation_step(writer),
                        key: shown,
                        value,
                    })
                });
                if !certain {
                    let withheld = self.withheld.entry((writer, key)).or_default();
                    if !withheld.seen {
                        withheld.exercised += 1;
                        if let Some(violation) = violation {
                            withheld.violations += 1;
                            if withheld.examples.len() < crate::evidence::EXAMPLES {
                                withheld.examples.push((read.completed, violation));
                            }
                        }
                        continue;
                    }
                }
                self.findings.atomic_visibility.exercise(1);
                if let Some(violation) = violation {
                    self.violate(Property::AtomicVisibility, 1, read, violation);
                }
            }
        }
    }

    /// A row of an operation that may have happened was read: it did, and wrote that row.
    fn see(&mut self, writer: OperationIndex, key: Key) {
        let withheld = self.withheld.entry((writer, key)).or_default();
        withheld.seen = true;
        let examples = std::mem::take(&mut withheld.examples);
        let mut untold = std::mem::take(&mut withheld.violations);
        let exercised = std::mem::take(&mut withheld.exercised);
        self.findings.atomic_visibility.exercise(exercised);
        let mut left = examples.len() as u64;
        for (place, violation) in examples {
            left -= 1;
            // The last one stands for all that were not put into words.
            let times = if left == 0 { untold } else { 1 };
            untold -= times;
            self.tell(Property::AtomicVisibility, violation.clone());
            let findings = &mut self.findings.atomic_visibility;
            findings.violate_times(times, place, || violation);
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
