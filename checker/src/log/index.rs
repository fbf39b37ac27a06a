//! A whole history: who did what, in which session, what was read, and how it ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use squall_protocol::contract::{ClientStatus, Engine};
use squall_protocol::history::{Event, Header, Phase, Record};
use squall_protocol::plan::{ClientKind, Store};
use squall_protocol::transaction::{INITIAL_VALUE, Key, Value};

use super::operations::{Found, Operation, OperationLog};
use super::trace::OperationIndex;
use crate::log::history::History;

/// What a client did on a database.
pub(crate) struct Session<'h> {
    /// An index into [`Index::clients`]; none for PostgreSQL's final read.
    pub client: Option<usize>,
    /// The indexes of its reads, in session order.
    pub reads: Vec<usize>,
    /// The index of its client's final read, or why that could not be had.
    pub final_read: Option<Result<usize, &'h str>>,
}

/// A client of the fleet.
pub(crate) struct Client {
    pub name: String,
    /// None for a client that the header does not mention.
    pub kind: Option<ClientKind>,
    /// The index of its latest session.
    pub session: usize,
    /// A number for the database of that.
    pub database: usize,
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
    pub sessions: Vec<Session<'h>>,
    /// After everything: nothing in it is under way any more.
    pub log: OperationLog,
    /// The operations by when they ended if they committed, and by their invocation otherwise, so that those of a
    /// session are in its order.
    order: Vec<OperationIndex>,
    /// The operations that were invoked after the heal to prove that their clients are well, in that order.
    pub probes: Vec<OperationIndex>,
    /// Whatever was read at once, in the order of the history.
    pub reads: Vec<Found<'h>>,
    /// The index of PostgreSQL's final read.
    pub postgres_read: Option<usize>,
    /// Why PostgreSQL's final read could not be had.
    pub postgres_read_error: Option<&'h str>,
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
    /// What clients say they are made of, and who.
    engines: BTreeMap<String, BTreeSet<&'h str>>,
    /// The last status of each client whose SDK says it in words of its own, and when it came.
    statuses: BTreeMap<&'h str, (u64, &'h ClientStatus)>,
}

impl<'h> Index<'h> {
    /// How many sessions were told to write, whatever came of it.
    pub fn tried_to_write(&self) -> usize {
        let mut writes = vec![false; self.sessions.len()];
        for operation in &self.log.operations {
            writes[operation.session] |= operation.writes();
        }
        writes.into_iter().filter(|writes| *writes).count()
    }

    pub fn new(history: &'h History) -> Self {
        let mut index = Index {
            header: &history.header,
            records: &history.records,
            clients: Vec::new(),
            sessions: Vec::new(),
            log: OperationLog::new(&history.header),
            order: Vec::new(),
            probes: Vec::new(),
            reads: Vec::new(),
            postgres_read: None,
            postgres_read_error: None,
            lost_databases: Vec::new(),
            healed: None,
            complete: false,
            troubled: false,
            end: history.records.last().map_or(0, |record| record.time),
            key_count: 0,
            notes: Vec::new(),
            engines: BTreeMap::new(),
            statuses: BTreeMap::new(),
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
        index.compare_writes();
        index
    }

    /// Goes through the records once: clients, sessions, operations, reads, phases.
    fn walk(&mut self, history: &'h History) {
        let mut phase = Phase::Start;
        for (place, record) in history.records.iter().enumerate() {
            let update = self.log.push(&record.event);
            self.begin_sessions();
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
                } => match update.invoked {
                    Some(operation) if phase >= Phase::Probe && !transaction.is_read_only() => {
                        self.probes.push(operation);
                    }
                    Some(_) => {}
                    None => self.contradiction(format!("operation {number} is invoked twice")),
                },
                Event::Ok { operation, .. }
                | Event::Fail { operation, .. }
                | Event::Info { operation, .. }
                | Event::Malformed { operation, .. }
                    if update.ended.is_none() =>
                {
                    self.contradiction(match self.log.operation(*operation) {
                        None => format!("operation {operation} is completed but was never invoked"),
                        Some(_) => format!(
                            "operation {operation} is completed twice, or by another client"
                        ),
                    });
                }
                Event::IncarnationStart {
                    client,
                    session,
                    engine,
                    runtime,
                    ..
                } => {
                    let made_of = match (engine, runtime) {
                        (Some(engine), Some(runtime)) => Some(format!("{engine} in {runtime}")),
                        (one, other) => one.as_ref().or(other.as_ref()).map(Engine::to_string),
                    };
                    if let Some(made_of) = made_of {
                        self.engines.entry(made_of).or_default().insert(client);
                    }
                    if let Some(before) = update.lost_database {
                        self.lost_databases.push(LostDatabase {
                            client,
                            before,
                            after: session,
                            record: place,
                        });
                    }
                }
                Event::Status { client, status } if status.details.is_some() => {
                    self.statuses.insert(client, (record.time, status));
                }
                Event::FinalReadPostgres { error, .. } => {
                    self.postgres_read_error = error.as_deref();
                    let read = update.read.is_some().then_some(self.reads.len());
                    self.postgres_read = read.or(self.postgres_read);
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
                _ => {}
            }
            let ended = update
                .ended
                .map(|ended| &self.log.operations[ended as usize]);
            if let Some(read) = ended.filter(|operation| operation.is_final_read) {
                self.sessions[read.session].final_read = match &record.event {
                    Event::Ok { effects, .. } => {
                        let is_told = self.log.is_told(effects);
                        is_told.then_some(Ok(self.reads.len()))
                    }
                    Event::Fail { error, .. }
                    | Event::Info { error, .. }
                    | Event::Malformed { error, .. } => Some(Err(error)),
                    _ => None,
                };
            }
            if let Some(read) = update.read {
                self.sessions[read.session].reads.push(self.reads.len());
                self.reads.push(read);
            }
        }
        self.begin_sessions();
        self.log.settle();
        let kinds = history.header.clients.iter();
        let kinds: HashMap<&str, ClientKind> =
            kinds.map(|spec| (spec.name.as_str(), spec.kind)).collect();
        self.clients = self
            .log
            .clients()
            .map(|(name, session)| Client {
                name: name.to_owned(),
                kind: kinds.get(name).copied(),
                session,
                database: self.log.database(session),
            })
            .collect();
        // They are met in the order of their invocation; but of operations that overlap, such as an emission of a
        // live query and a transaction whose answer was still on its way, the one that ended first was done first.
        let in_order = |log: &OperationLog, mut operations: Vec<OperationIndex>| {
            operations.sort_by_key(|operation| log.order(*operation));
            operations
        };
        let all = (0..).zip(&self.log.operations).map(|(number, _)| number);
        self.order = in_order(&self.log, all.collect());
        self.probes = in_order(&self.log, std::mem::take(&mut self.probes));
    }

    /// Takes in the sessions that have begun.
    fn begin_sessions(&mut self) {
        for session in self.sessions.len()..self.log.sessions() {
            self.sessions.push(Session {
                client: self.log.client_number(session),
                reads: Vec::new(),
                final_read: None,
            });
        }
    }

    /// Compares what operations were told to write with what they say that they wrote.
    fn compare_writes(&mut self) {
        let mut problems = Vec::new();
        for (_, operation) in self.operations() {
            if let Some(Event::Ok { effects, .. }) = self.completion(operation) {
                for (key, value) in &effects.writes {
                    if *value != operation.value || !operation.requested.contains(key) {
                        problems.push(format!(
                            "operation {} says that it wrote k{key} = {value}, which it was not \
                             told to write",
                            operation.number
                        ));
                    }
                }
            }
            if operation.writes() && operation.value <= INITIAL_VALUE {
                problems.push(format!(
                    "operation {} writes {}, which is not above the initial value",
                    operation.number, operation.value
                ));
            }
        }
        let mut ambiguous: Vec<(usize, Value)> = self.log.ambiguous().collect();
        ambiguous.sort_unstable();
        let of_several = |(_, value)| format!("several operations write the value {value}");
        problems.extend(ambiguous.into_iter().map(of_several));
        for problem in problems {
            self.contradiction(problem);
        }
        let written = self.log.operations.iter().flat_map(|o| &o.written);
        let existing = written.filter(|key| **key < self.header.keys);
        let written = existing.max().map_or(0, |key| key + 1);
        self.key_count = written.max(self.log.key_count()) as usize;
    }

    /// The operations, those of each session in its order.
    pub fn operations(&self) -> impl Iterator<Item = (OperationIndex, &Operation)> {
        let order = self.order.iter();
        order.map(|operation| (*operation, &self.log.operations[*operation as usize]))
    }

    /// The event that tells that an operation committed, if it did.
    pub fn completion(&self, operation: &Operation) -> Option<&'h Event> {
        let committed = operation.committed();
        committed.then(|| &self.records[operation.order].event)
    }

    /// The keys that an operation wrote, or may have written, ascending.
    pub fn possible_writes(&self, operation: OperationIndex) -> &[Key] {
        &self.log.operations[operation as usize].written
    }

    /// The value that an operation writes.
    pub fn value(&self, operation: OperationIndex) -> Value {
        self.log.operations[operation as usize].value
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

    /// What else there is to say: what speaks against an `ok`, what the clients were, and how they ended.
    pub fn into_notes(mut self) -> Vec<String> {
        for (engine, clients) in self.engines {
            let clients: Vec<&str> = clients.into_iter().collect();
            self.notes.push(format!("{}: {engine}", clients.join(", ")));
        }
        for (client, (time, status)) in self.statuses {
            let error = match &status.last_error {
                Some(error) => format!("its last error: {error}"),
                None => "no error".to_owned(),
            };
            self.notes.push(format!(
                "the last status of {client}, at {:.1} s, in its SDK's own words: {}; {} rows in its upload \
                 queue, {error}",
                time as f64 / 1e6,
                status.details.as_deref().unwrap_or_default(),
                status.queue
            ));
        }
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
