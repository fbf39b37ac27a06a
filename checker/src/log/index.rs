//! A whole history: who did what, in which session, and who wrote each value that was read.
//!
//! All writes are indexed before any read is judged, because a value may well be read before the
//! answer of the operation that wrote it arrives.

use std::collections::HashMap;
use std::ops::Range;

use squall_protocol::history::{Event, Header, Phase, Record};
use squall_protocol::plan::{ClientKind, Store, Workload};
use squall_protocol::transaction::{Collections, INITIAL_VALUE, Key, Reads, Transaction, Value};

use super::operations::{Found, OperationLog};
use super::trace::{Impossible, OperationIndex, Source};
use crate::log::history::History;

/// An operation: a transaction that a client was told to do, and what came of it.
pub(crate) struct Operation<'h> {
    /// Its number in the history.
    pub number: u64,
    /// An index into [`Index::sessions`].
    pub session: usize,
    pub transaction: &'h Transaction,
    pub outcome: Outcome<'h>,
    /// The index of the record of its invocation.
    pub invoked: usize,
    /// Whether it was invoked after the heal to prove that its client is well.
    pub probe: bool,
    /// The place of its keys in [`Index::written_keys`].
    written: Range<usize>,
}

impl Operation<'_> {
    /// Whether it certainly happened.
    pub fn committed(&self) -> bool {
        matches!(self.outcome, Outcome::Ok { .. })
    }

    /// The record that decides its place in its session.
    fn place(&self) -> usize {
        match self.outcome {
            Outcome::Ok { completed, .. } => completed,
            _ => self.invoked,
        }
    }
}

/// How an operation ended.
pub(crate) enum Outcome<'h> {
    /// It committed: the index of its read, the rows it really wrote, and the index of the record.
    Ok {
        read: usize,
        writes: &'h [(Key, Value)],
        completed: usize,
    },
    /// It certainly did not happen.
    Failed,
    /// It may have happened: `info`, or no completion at all.
    Unknown,
}

/// Every row that was read at once: by an operation or as a final read.
pub(crate) struct Read<'h> {
    pub session: usize,
    /// The operation that read; none for a final read.
    pub operation: Option<OperationIndex>,
    /// The keys that were to be read.
    pub asked: &'h Reads,
    pub rows: &'h [(Key, Value)],
    /// The collections, in workloads that have them instead of rows.
    pub collections: Option<&'h Collections>,
    /// The index of the record that tells of the read.
    pub completed: usize,
    /// How many different rows were read, of those that exist.
    pub distinct: u64,
    /// Where the rows' sources begin in [`Index::sources`].
    first_source: usize,
    /// The existing rows that were read, ascending; only if one that was to be read is missing.
    present: Option<Box<[Key]>>,
}

impl Read<'_> {
    /// Whether every row that was to be read was found.
    pub fn is_complete(&self) -> bool {
        self.present.is_none()
    }

    /// How many rows are missing.
    pub fn missing(&self, index: &Index) -> u64 {
        match (&self.present, self.asked) {
            (None, _) | (_, Reads::Nothing) => 0,
            (Some(present), Reads::All) => u64::from(index.header.keys) - present.len() as u64,
            (Some(_), Reads::Keys(keys)) => {
                let existing = keys.iter().filter(|key| **key < index.header.keys);
                existing.filter(|key| self.lacks(**key)).count() as u64
            }
        }
    }

    /// Whether the row is missing: it was to be read, and was not found.
    pub fn lacks(&self, key: Key) -> bool {
        self.present
            .as_ref()
            .is_some_and(|present| present.binary_search(&key).is_err())
            && self.asked.contains(key)
    }
}

/// A database that operations were done on.
pub(crate) struct Session {
    /// An index into [`Index::clients`]; none for PostgreSQL's final read.
    pub client: Option<usize>,
    /// In session order.
    pub operations: Vec<OperationIndex>,
    /// The indexes of its reads, in session order.
    pub reads: Vec<usize>,
    /// The index of its final read.
    pub final_read: Option<usize>,
}

/// A client of the fleet.
pub(crate) struct Client {
    pub name: String,
    /// None for a client that the header does not mention.
    pub kind: Option<ClientKind>,
    /// The index of its latest session.
    pub session: usize,
}

impl Client {
    pub fn syncs(&self) -> bool {
        self.kind.is_some_and(ClientKind::syncs)
    }

    /// Whose writes it must come to see.
    pub fn share(&self) -> Share<'_> {
        match self.kind.map(ClientKind::store) {
            Some(Store::SharedFile) => Share::File,
            Some(Store::Alone) => Share::Alone(&self.name),
            _ => Share::Synced,
        }
    }
}

/// What a client holds in common with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Share<'n> {
    /// Everything that PostgreSQL holds.
    Synced,
    /// One SQLite file.
    File,
    /// Nothing.
    Alone(&'n str),
}

/// A [`Source`] in four bytes: there is one for every row that was read.
#[derive(Clone, Copy)]
struct PackedSource(u32);

impl PackedSource {
    /// What is no operation has the highest numbers.
    const INITIAL: u32 = OperationIndex::MAX;
    const NOWHERE: u32 = OperationIndex::MAX - 1;
    const AMBIGUOUS: u32 = OperationIndex::MAX - 2;

    fn new(source: Source) -> Self {
        PackedSource(match source {
            Source::Initial => PackedSource::INITIAL,
            Source::Nowhere => PackedSource::NOWHERE,
            Source::Ambiguous => PackedSource::AMBIGUOUS,
            Source::Operation(operation) => operation,
        })
    }

    fn get(self) -> Source {
        match self.0 {
            PackedSource::INITIAL => Source::Initial,
            PackedSource::NOWHERE => Source::Nowhere,
            PackedSource::AMBIGUOUS => Source::Ambiguous,
            operation => Source::Operation(operation),
        }
    }
}

/// A client whose database became another one.
pub(crate) struct LostDatabase<'h> {
    pub client: &'h str,
    pub before: String,
    pub after: &'h str,
    pub record: usize,
}

/// The index of a history.
pub(crate) struct Index<'h> {
    pub header: &'h Header,
    pub records: &'h [Record],
    pub clients: Vec<Client>,
    pub sessions: Vec<Session>,
    /// Numbered by when they ended if they committed, and by their invocation otherwise, so that within a session
    /// a smaller index means earlier.
    pub operations: Vec<Operation<'h>>,
    pub reads: Vec<Read<'h>>,
    /// The index of PostgreSQL's final read.
    pub postgres_read: Option<usize>,
    /// Why PostgreSQL's final read could not be had.
    pub postgres_read_error: Option<&'h str>,
    /// Why final reads of clients could not be had.
    pub final_read_errors: HashMap<&'h str, &'h str>,
    pub lost_databases: Vec<LostDatabase<'h>>,
    /// The index of the record that began the heal.
    pub healed: Option<usize>,
    /// Whether the history ends as it should.
    pub complete: bool,
    /// Whether infrastructure failed, or the history contradicts itself.
    pub troubled: bool,
    /// The time of the last record, in microseconds.
    pub end: u64,
    /// The length of arrays over rows: no row that exists and occurs in the history is higher.
    pub key_count: usize,
    notes: Vec<String>,
    sources: Vec<PackedSource>,
    /// For every operation the keys that it wrote, or may have written, ascending.
    written_keys: Vec<Key>,
    /// Whether somebody has read this write, in parallel to `written_keys`.
    seen: Vec<bool>,
    writers: Writers,
}

impl<'h> Index<'h> {
    /// How many sessions were told to write, whatever came of it.
    pub fn tried_to_write(&self) -> usize {
        let writes = |operation: &OperationIndex| {
            let operation = &self.operations[*operation as usize];
            !operation.transaction.is_read_only()
        };
        let sessions = self.sessions.iter();
        sessions
            .filter(|session| session.operations.iter().any(writes))
            .count()
    }

    pub fn new(history: &'h History) -> Self {
        let mut index = Index {
            header: &history.header,
            records: &history.records,
            clients: Vec::new(),
            sessions: Vec::new(),
            operations: Vec::new(),
            reads: Vec::new(),
            postgres_read: None,
            postgres_read_error: None,
            final_read_errors: HashMap::new(),
            lost_databases: Vec::new(),
            healed: None,
            complete: false,
            troubled: false,
            end: history.records.last().map_or(0, |record| record.time),
            key_count: 0,
            notes: Vec::new(),
            sources: Vec::new(),
            written_keys: Vec::new(),
            seen: Vec::new(),
            writers: Writers::default(),
        };
        index.walk(history);
        if let Some(cut) = history.cut {
            index.complete = false;
            index.notes.push(format!(
                "the history is cut: line {} ends after {} bytes and was not read",
                cut.line, cut.bytes
            ));
        } else if !index.complete {
            index
                .notes
                .push("the history ends before the run was complete".to_owned());
        }
        index.index_writes();
        index.find_sources();
        index
    }

    /// Goes through the records once: clients, sessions, operations, reads, phases.
    fn walk(&mut self, history: &'h History) {
        let mut log = OperationLog::new(&history.header);
        self.begin_sessions(&log);
        let mut phase = Phase::Start;
        for (place, record) in history.records.iter().enumerate() {
            let update = log.push(&record.event);
            self.begin_sessions(&log);
            match &record.event {
                Event::Phase(next) => {
                    phase = *next;
                    match next {
                        Phase::Heal => self.healed = self.healed.or(Some(place)),
                        Phase::Complete => self.complete = true,
                        _ => {}
                    }
                }
                Event::Invoke {
                    operation: number,
                    transaction,
                    ..
                } => {
                    let (Some(operation), Some(session)) = (update.invoked, update.session) else {
                        self.contradiction(format!("operation {number} is invoked twice"));
                        continue;
                    };
                    self.sessions[session].operations.push(operation);
                    self.operations.push(Operation {
                        number: *number,
                        session,
                        transaction,
                        outcome: Outcome::Unknown,
                        invoked: place,
                        probe: phase >= Phase::Probe && !transaction.is_read_only(),
                        written: 0..0,
                    });
                }
                Event::Ok { operation, .. }
                | Event::Fail { operation, .. }
                | Event::Info { operation, .. }
                | Event::Malformed { operation, .. } => match update.ended {
                    Some(index) => self.complete_operation(index, place, &record.event),
                    None => self.contradiction(match log.operation(*operation) {
                        None => format!("operation {operation} is completed but was never invoked"),
                        Some(_) => format!(
                            "operation {operation} is completed twice, or by another client"
                        ),
                    }),
                },
                Event::IncarnationStart {
                    client, session, ..
                } => {
                    if let Some(before) = update.lost_database {
                        self.lost_databases.push(LostDatabase {
                            client,
                            before,
                            after: session,
                            record: place,
                        });
                    }
                }
                Event::FinalRead { client, error, .. } => {
                    match error {
                        Some(error) => self.final_read_errors.insert(client, error),
                        None => self.final_read_errors.remove(client.as_str()),
                    };
                    self.final_read(update.read, place);
                }
                Event::FinalReadPostgres { error, .. } => {
                    self.postgres_read_error = error.as_deref();
                    self.postgres_read = self.final_read(update.read, place).or(self.postgres_read);
                }
                Event::Trouble { what } => {
                    self.troubled = true;
                    self.notes.push(format!("trouble: {what}"));
                }
                Event::StormStopped { why } => {
                    self.notes
                        .push(format!("the storm was stopped before its time: {why}"));
                }
                Event::Interrupted => {
                    self.troubled = true;
                    self.notes.push("the run was interrupted".to_owned());
                }
                Event::Status { .. }
                | Event::Integrity { .. }
                | Event::IncarnationEnd { .. }
                | Event::FaultBegin { .. }
                | Event::FaultEnd { .. }
                | Event::FaultSkipped { .. }
                | Event::FaultGivenUp { .. } => {}
            }
        }
        let kinds = history.header.clients.iter();
        let kinds: HashMap<&str, ClientKind> =
            kinds.map(|spec| (spec.name.as_str(), spec.kind)).collect();
        self.clients = log
            .clients()
            .map(|(name, session)| Client {
                name: name.to_owned(),
                kind: kinds.get(name).copied(),
                session,
            })
            .collect();
        self.order_operations();
    }

    /// Takes in the sessions that have begun.
    fn begin_sessions(&mut self, log: &OperationLog) {
        for session in self.sessions.len()..log.sessions() {
            self.sessions.push(Session::new(log.client_number(session)));
        }
    }

    /// Takes in a final read, if it was had.
    fn final_read(&mut self, found: Option<Found<'h>>, place: usize) -> Option<usize> {
        let Found {
            session,
            rows,
            collections,
            ..
        } = found?;
        let read = self.read(session, None, &Reads::All, (rows, collections), place);
        self.sessions[session].final_read = Some(read);
        Some(read)
    }

    /// Whether the workload has collections instead of rows.
    fn has_collections(&self) -> bool {
        matches!(self.header.workload, Workload::ListAppend | Workload::Gset)
    }

    /// Numbers the operations in session order. They were met in the order of their invocation; but of
    /// operations that overlap, such as an emission of a live query and a transaction whose answer was
    /// still on its way, the one that ended first was done first.
    fn order_operations(&mut self) {
        let place = Operation::place;
        if self.operations.is_sorted_by_key(place) {
            return;
        }
        let mut order: Vec<OperationIndex> = (0..self.operations.len() as OperationIndex).collect();
        order.sort_by_key(|operation| place(&self.operations[*operation as usize]));
        let mut numbers = vec![0; order.len()];
        for (number, operation) in (0..).zip(&order) {
            numbers[*operation as usize] = number;
        }
        self.operations.sort_by_key(place);
        for session in &mut self.sessions {
            for operation in &mut session.operations {
                *operation = numbers[*operation as usize];
            }
            session.operations.sort_unstable();
        }
        for read in &mut self.reads {
            read.operation = read.operation.map(|operation| numbers[operation as usize]);
        }
    }

    fn complete_operation(&mut self, operation: OperationIndex, place: usize, event: &'h Event) {
        let index = operation as usize;
        self.operations[index].outcome = match event {
            Event::Ok {
                reads,
                writes,
                collections,
                ..
            } => {
                let session = self.operations[index].session;
                let asked = &self.operations[index].transaction.reads;
                let found = (reads.as_slice(), collections.as_ref());
                let read = self.read(session, Some(operation), asked, found, place);
                Outcome::Ok {
                    read,
                    writes,
                    completed: place,
                }
            }
            Event::Fail { .. } => Outcome::Failed,
            _ => Outcome::Unknown,
        };
    }

    fn read(
        &mut self,
        session: usize,
        operation: Option<OperationIndex>,
        asked: &'h Reads,
        (rows, collections): (&'h [(Key, Value)], Option<&'h Collections>),
        completed: usize,
    ) -> usize {
        let keys = self.header.keys;
        // The usual cases, every row in key order or none, need no memory.
        let all = rows.len() == keys as usize
            && rows
                .iter()
                .zip(0..)
                .all(|((key, _), expected)| *key == expected);
        let mut present = Vec::new();
        if !all {
            let existing = rows.iter().map(|(key, _)| *key).filter(|key| *key < keys);
            present.extend(existing);
            present.sort_unstable();
            present.dedup();
        }
        let missing = |key: &Key| *key < keys && present.binary_search(key).is_err();
        let complete = all
            || self.has_collections()
            || match asked {
                Reads::All => present.len() == keys as usize,
                Reads::Keys(keys) => !keys.iter().any(missing),
                Reads::Nothing => true,
            };
        let read = self.reads.len();
        self.reads.push(Read {
            session,
            operation,
            asked,
            rows,
            collections,
            completed,
            distinct: if all {
                u64::from(keys)
            } else {
                present.len() as u64
            },
            first_source: 0,
            present: (!complete).then(|| present.into_boxed_slice()),
        });
        self.sessions[session].reads.push(read);
        read
    }

    /// The second step: which operation wrote which value to which rows.
    fn index_writes(&mut self) {
        let mut problems = Vec::new();
        let mut values = Vec::new();
        let mut told: Vec<Key> = Vec::new();
        for (index, operation) in self.operations.iter_mut().enumerate() {
            let start = self.written_keys.len();
            let transaction = operation.transaction;
            match operation.outcome {
                Outcome::Ok { writes, .. } => {
                    told.clone_from(&transaction.keys);
                    told.sort_unstable();
                    for (key, value) in writes {
                        if *value == transaction.value && told.binary_search(key).is_ok() {
                            self.written_keys.push(*key);
                        } else {
                            problems.push(format!(
                                "operation {} says that it wrote k{key} = {value}, which it was not \
                                 told to write",
                                operation.number
                            ));
                        }
                    }
                }
                _ => self.written_keys.extend(&transaction.keys),
            }
            self.written_keys[start..].sort_unstable();
            operation.written = start..self.written_keys.len();
            if !transaction.is_read_only() {
                if transaction.value > INITIAL_VALUE {
                    let writer = index as OperationIndex;
                    values.push((transaction.value, writer, operation.invoked));
                } else {
                    problems.push(format!(
                        "operation {} writes {}, which is not above the initial value",
                        operation.number, transaction.value
                    ));
                }
            }
        }
        for problem in problems {
            self.contradiction(problem);
        }
        values.sort_unstable_by_key(|(_, _, invoked)| *invoked);
        self.seen = vec![false; self.written_keys.len()];
        self.writers = Writers::new(&values);
        let mut ambiguous: Vec<(usize, Value)> = Vec::new();
        ambiguous.extend(
            self.writers
                .ambiguous
                .iter()
                .map(|(value, at)| (*at, *value)),
        );
        ambiguous.sort_unstable();
        for (_, value) in ambiguous {
            self.contradiction(format!("several operations write the value {value}"));
        }
        let rows = self.reads.iter().flat_map(|read| read.rows);
        let keys = rows
            .map(|(key, _)| *key)
            .chain(self.written_keys.iter().copied())
            .filter(|key| *key < self.header.keys);
        self.key_count = keys.max().map_or(0, |key| key as usize + 1);
    }

    /// The third step: who wrote each value that was read.
    fn find_sources(&mut self) {
        let total = self.reads.iter().map(|read| read.rows.len()).sum();
        let mut sources = Vec::with_capacity(total);
        for read in 0..self.reads.len() {
            self.reads[read].first_source = sources.len();
            for (key, value) in self.reads[read].rows {
                let source = match self.trace(&self.reads[read], *key, *value) {
                    Ok(source) => source,
                    Err(_) => Source::Nowhere,
                };
                if let Source::Operation(writer) = source
                    && let Some(at) = self.position_of_write(writer, *key)
                {
                    self.seen[at] = true;
                }
                sources.push(PackedSource::new(source));
            }
        }
        self.sources = sources;
    }

    /// Who wrote a value that was read, or why nobody can have.
    pub fn trace(
        &self,
        read: &Read,
        key: Key,
        value: Value,
    ) -> Result<Source, Impossible<OperationIndex>> {
        if key >= self.header.keys {
            return Err(Impossible::NoSuchRow);
        }
        if value == INITIAL_VALUE {
            return Ok(Source::Initial);
        }
        let writer = match self.writers.of(value) {
            None => return Err(Impossible::NeverWritten),
            Some(_) if self.writers.is_ambiguous(value, read.completed) => {
                return Ok(Source::Ambiguous);
            }
            Some(writer) => writer,
        };
        let operation = &self.operations[writer as usize];
        if self.position_of_write(writer, key).is_none() {
            return Err(if operation.transaction.keys.contains(&key) {
                Impossible::NotWritten(writer)
            } else {
                Impossible::OtherKeys(writer)
            });
        }
        if matches!(operation.outcome, Outcome::Failed) {
            return Err(Impossible::Aborted(writer));
        }
        if read.operation == Some(writer) {
            return Err(Impossible::OwnLaterWrite(writer));
        }
        if operation.invoked > read.completed {
            return Err(Impossible::FromTheFuture(writer));
        }
        Ok(Source::Operation(writer))
    }

    fn position_of_write(&self, writer: OperationIndex, key: Key) -> Option<usize> {
        let written = self.operations[writer as usize].written.clone();
        self.written_keys[written.clone()]
            .binary_search(&key)
            .ok()
            .map(|at| written.start + at)
    }

    /// The sources of a read's rows, in parallel to the rows.
    pub fn sources(&self, read: &Read) -> impl Iterator<Item = Source> {
        let sources = &self.sources[read.first_source..][..read.rows.len()];
        sources.iter().map(|source| source.get())
    }

    /// The source of the read's row with that number.
    pub fn source(&self, read: &Read, row: usize) -> Source {
        self.sources[read.first_source + row].get()
    }

    /// The keys that an operation has certainly written: what its answer says, or, if the answer was
    /// lost, what somebody has read of it.
    pub fn certain_writes(&self, operation: OperationIndex) -> impl Iterator<Item = Key> + '_ {
        let operation = &self.operations[operation as usize];
        let certain = operation.committed();
        operation
            .written
            .clone()
            .filter(move |at| certain || self.seen[*at])
            .map(|at| self.written_keys[at])
    }

    /// The keys that an operation wrote, or may have written, ascending.
    pub fn possible_writes(&self, operation: OperationIndex) -> &[Key] {
        &self.written_keys[self.operations[operation as usize].written.clone()]
    }

    /// The value that an operation writes.
    pub fn value(&self, operation: OperationIndex) -> Value {
        self.operations[operation as usize].transaction.value
    }

    /// Whether the operation is a committed one of that session: what a session wrote *itself*. For
    /// an operation whose answer was lost the session can not know.
    pub fn is_own(&self, operation: OperationIndex, session: usize) -> bool {
        let operation = &self.operations[operation as usize];
        operation.session == session && operation.committed()
    }

    /// Whether there is a PostgreSQL that clients share.
    pub fn is_synced(&self) -> bool {
        self.clients.is_empty() || self.clients.iter().any(|c| c.share() == Share::Synced)
    }

    /// The time of a record, in microseconds.
    pub fn time(&self, record: usize) -> u64 {
        self.records[record].time
    }

    /// Whether the history is whole and nothing else speaks against an `ok`.
    pub fn complete_and_untroubled(&self) -> bool {
        self.complete && !self.troubled
    }

    pub fn into_notes(self) -> Vec<String> {
        self.notes
    }

    /// The history breaks its own rules: it may still prove violations, but not their absence.
    fn contradiction(&mut self, what: String) {
        /// Enough to understand what is wrong.
        const TOLD: usize = 20;
        self.troubled = true;
        if self.notes.len() < TOLD {
            self.notes
                .push(format!("the history contradicts itself: {what}"));
        }
    }
}

impl Session {
    fn new(client: Option<usize>) -> Self {
        Session {
            client,
            operations: Vec::new(),
            reads: Vec::new(),
            final_read: None,
        }
    }
}

/// Which operation writes a value.
#[derive(Default)]
struct Writers {
    /// By value, [`NOBODY`] where there is none. Values count up from zero, so this is short.
    dense: Vec<OperationIndex>,
    /// The values that are too high for that.
    sparse: HashMap<Value, OperationIndex>,
    /// The values that several operations write, and the record in which the second of these was
    /// invoked: until then the value can only be the first one's.
    ambiguous: HashMap<Value, usize>,
}

const NOBODY: OperationIndex = OperationIndex::MAX;

impl Writers {
    fn new(values: &[(Value, OperationIndex, usize)]) -> Self {
        let limit = 4 * values.len() + 1024;
        let mut writers = Writers::default();
        for (value, operation, invoked) in values {
            let entry = match usize::try_from(*value) {
                Ok(at) if at < limit => {
                    if at >= writers.dense.len() {
                        writers.dense.resize(at + 1, NOBODY);
                    }
                    &mut writers.dense[at]
                }
                _ => writers.sparse.entry(*value).or_insert(NOBODY),
            };
            if *entry == NOBODY {
                *entry = *operation;
            } else {
                writers.ambiguous.entry(*value).or_insert(*invoked);
            }
        }
        writers
    }

    /// Whether several operations may have written a value that was read by then.
    fn is_ambiguous(&self, value: Value, by: usize) -> bool {
        !self.ambiguous.is_empty() && self.ambiguous.get(&value).is_some_and(|at| *at < by)
    }

    fn of(&self, value: Value) -> Option<OperationIndex> {
        let operation = match usize::try_from(value) {
            Ok(at) if at < self.dense.len() => self.dense[at],
            _ => self.sparse.get(&value).copied().unwrap_or(NOBODY),
        };
        (operation != NOBODY).then_some(operation)
    }
}
