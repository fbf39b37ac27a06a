//! Squall's own histories as transactions over registers, lists or sets.
//!
//! Of the workload `mww`, and of the same rows in the workload `ledger`: a row is a register, an operation
//! a transaction that reads every row and then writes some, and a final read a transaction too. The
//! value -1 of a row is its initial one. Of `list-append` and `gset`: a key is a list or a set, and a
//! transaction reads some whole, then appends or adds to some. A session is a database, as in
//! [`crate::mww`]. What these have no word for is left out: faults, states, rows that are missing, the
//! ledger and the payload.

use std::collections::{BTreeSet, HashMap, HashSet};

use squall_protocol::history::{Event, Phase, Record};
use squall_protocol::plan::{ClientKind, Workload};
use squall_protocol::transaction::{Collections, INITIAL_VALUE, Key, Reads, Rows, Through, Value};

use super::skipped::{Skipped, skip};
use crate::history::History;
use crate::registers::{BuildError, ListBuilder, Outcome, Registers, SetBuilder};

/// What the keys of a recording hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Datatype {
    #[default]
    Registers,
    Lists,
    Sets,
}

impl Datatype {
    fn of(workload: Workload) -> Datatype {
        match workload {
            Workload::ListAppend => Datatype::Lists,
            Workload::Gset => Datatype::Sets,
            // Of counters nothing is recorded: see [`SUMS`].
            Workload::Mww | Workload::Ledger | Workload::Counter => Datatype::Registers,
        }
    }
}

/// What stands in a list or set for a text that is no element: the initial value, which nobody writes, so
/// that it is read out of thin air.
pub const NO_ELEMENT: u64 = INITIAL_VALUE as u64;

/// Records that contradict others.
const CONTRADICTIONS: &str = "records that contradict earlier ones: operations that begin or end twice, or end without a beginning";

/// Counters.
const SUMS: &str = "transactions of the workload counter: a sum does not say what it is read from, so there is no model that judges it (without --model its own properties do)";

/// A read of a register; or a write, which appends to a list and adds to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read {
        key: u64,
        /// None for the initial value.
        value: Option<u64>,
    },
    Write {
        key: u64,
        value: u64,
    },
}

/// When something was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The index of the record.
    pub record: usize,
    /// Microseconds since the run began.
    pub time: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// An index into [`Recording::sessions`].
    pub session: u64,
    /// Unique in the recording: the number of the operation; final reads have numbers after those.
    pub label: u64,
    pub outcome: Outcome,
    /// The lists and sets that it read whole, before its operations: pairs of key and elements.
    pub collections: Vec<(u64, Vec<u64>)>,
    /// If it did not commit, only what it may have written.
    pub operations: Vec<Operation>,
    pub invoked: Moment,
    /// It began then or later. That may be long before it was recorded as invoked: an emission of a live
    /// query and a final read are recorded when they arrive.
    pub began: Moment,
    /// None if that was never recorded.
    pub completed: Option<Moment>,
    pub is_final_read: bool,
}

/// The transactions of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    pub datatype: Datatype,
    /// The client of each session.
    pub sessions: Vec<String>,
    /// In the order of their invocation.
    pub transactions: Vec<Transaction>,
    /// When the run began, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// Records that contradict what was recorded before.
    pub skipped: Vec<Skipped>,
}

/// What a client's latest session is.
struct Client<'h> {
    session: u64,
    database: Option<&'h str>,
    has_database: bool,
}

impl Recording {
    /// The transactions of a history.
    pub fn new(history: &History) -> Self {
        let datatype = Datatype::of(history.header.workload);
        let mut recording = Recording {
            datatype,
            started_at_ms: history.header.started_at_ms,
            ..Recording::default()
        };
        let mut clients: HashMap<&str, Client> = HashMap::new();
        let kinds = history.header.clients.iter();
        let kinds: HashMap<&str, ClientKind> =
            kinds.map(|spec| (spec.name.as_str(), spec.kind)).collect();
        let reader = Reader {
            datatype,
            keys: keys(history),
        };
        // For each operation its place and what it was to read.
        let mut operations: HashMap<u64, (usize, &Reads)> = HashMap::new();
        let mut label = 0;
        let mut skipped = Vec::new();
        if history.header.workload == Workload::Counter {
            let mut transactions = history.records.iter().enumerate();
            let is_invoked =
                |(_, record): &(usize, &Record)| matches!(record.event, Event::Invoke { .. });
            for (record, _) in transactions.by_ref().filter(is_invoked) {
                skip(&mut skipped, SUMS, false, || {
                    format!("record {}", record + 1)
                });
            }
            return Recording {
                skipped,
                ..recording
            };
        }
        // When the phase of final reads began.
        let mut final_reads = Moment::default();
        for (record, event) in history.records.iter().enumerate() {
            let now = Moment {
                record,
                time: event.time,
            };
            let mut contradiction = || {
                let place = || format!("record {}", record + 1);
                skip(&mut skipped, CONTRADICTIONS, false, place);
            };
            match &event.event {
                Event::Invoke {
                    client,
                    operation,
                    transaction,
                } => {
                    // A number that comes again contradicts the rules; the first one counts.
                    if operations.contains_key(operation) {
                        contradiction();
                        continue;
                    }
                    label = label.max(operation.saturating_add(1));
                    let place = recording.transactions.len();
                    operations.insert(*operation, (place, &transaction.reads));
                    let session = recording.session(&mut clients, &kinds, client);
                    let keys = transaction.keys.iter();
                    recording.transactions.push(Transaction {
                        session,
                        label: *operation,
                        outcome: Outcome::Unknown,
                        collections: Vec::new(),
                        operations: keys.map(|key| write(*key, transaction.value)).collect(),
                        invoked: now,
                        began: match transaction.through {
                            Through::Watch => Moment::default(),
                            _ => now,
                        },
                        completed: None,
                        is_final_read: false,
                    });
                }
                Event::Ok { operation, .. }
                | Event::Fail { operation, .. }
                | Event::Info { operation, .. }
                | Event::Malformed { operation, .. } => {
                    let Some((transaction, asked)) = operations.get(operation) else {
                        contradiction();
                        continue;
                    };
                    let transaction = &mut recording.transactions[*transaction];
                    if transaction.completed.is_some() {
                        contradiction();
                        continue;
                    }
                    transaction.completed = Some(now);
                    match &event.event {
                        Event::Ok {
                            reads,
                            writes,
                            collections,
                            ..
                        } => {
                            transaction.outcome = Outcome::Committed;
                            transaction.operations = reader.rows(reads);
                            transaction.collections =
                                reader.collections(asked, collections.as_ref());
                            let writes = writes.iter().map(|(key, value)| write(*key, *value));
                            transaction.operations.extend(writes);
                        }
                        Event::Fail { .. } => transaction.outcome = Outcome::Aborted,
                        _ => {}
                    }
                }
                Event::IncarnationStart {
                    client, session, ..
                } => {
                    recording.session(&mut clients, &kinds, client);
                    let entry = clients.get_mut(client.as_str()).expect("just looked up");
                    // A PostgreSQL client has no database of its own to lose.
                    if let Some(before) = entry.database.replace(session)
                        && before != session
                        && entry.has_database
                    {
                        entry.session = recording.sessions.len() as u64;
                        recording.sessions.push(client.clone());
                    }
                }
                Event::FinalRead {
                    client,
                    rows,
                    collections,
                    ..
                } => {
                    if let Some(found) = reader.everything(rows.as_ref(), collections.as_ref()) {
                        let session = recording.session(&mut clients, &kinds, client);
                        recording.final_read(session, found, now, final_reads);
                    }
                }
                Event::Phase(Phase::FinalRead) => final_reads = now,
                Event::FinalReadPostgres {
                    rows, collections, ..
                } => {
                    if let Some(found) = reader.everything(rows.as_ref(), collections.as_ref()) {
                        let session = recording.sessions.len() as u64;
                        recording.sessions.push("postgresql".to_owned());
                        recording.final_read(session, found, now, final_reads);
                    }
                }
                _ => {}
            }
        }
        recording.skipped = skipped;
        recording.order_emissions();
        let final_reads = recording.transactions.iter_mut();
        for transaction in final_reads.filter(|transaction| transaction.is_final_read) {
            transaction.label = label;
            label = label.saturating_add(1);
        }
        recording
    }

    /// An emission of a live query that was recorded while a transaction was open came before it.
    fn order_emissions(&mut self) {
        let is_emission = |t: &Transaction| !t.is_final_read && t.began != t.invoked;
        if !self.transactions.iter().any(is_emission) {
            return;
        }
        self.transactions
            .sort_by_key(|transaction| match transaction {
                Transaction {
                    outcome: Outcome::Committed,
                    completed: Some(completed),
                    ..
                } => *completed,
                transaction => transaction.invoked,
            });
    }

    fn session<'h>(
        &mut self,
        clients: &mut HashMap<&'h str, Client<'h>>,
        kinds: &HashMap<&str, ClientKind>,
        client: &'h str,
    ) -> u64 {
        let entry = clients.entry(client).or_insert_with(|| {
            self.sessions.push(client.to_owned());
            Client {
                session: self.sessions.len() as u64 - 1,
                database: None,
                has_database: kinds
                    .get(client)
                    .copied()
                    .is_some_and(ClientKind::has_database),
            }
        });
        entry.session
    }

    fn final_read(&mut self, session: u64, found: Found, now: Moment, began: Moment) {
        let (operations, collections) = found;
        self.transactions.push(Transaction {
            session,
            label: 0,
            outcome: Outcome::Committed,
            collections,
            operations,
            invoked: now,
            began,
            completed: Some(now),
            is_final_read: true,
        });
    }

    /// The recording for those who know registers alone: a list is one whose value is its last element.
    /// Where that is no element, and of sets, nothing is read.
    pub fn into_registers(mut self) -> Recording {
        let of_lists = self.datatype == Datatype::Lists;
        self.datatype = Datatype::Registers;
        for transaction in &mut self.transactions {
            let lists = std::mem::take(&mut transaction.collections).into_iter();
            let reads = lists.filter(|_| of_lists).map(|(key, list)| {
                let value = list.last().copied();
                Operation::Read { key, value }
            });
            let garbled = Some(NO_ELEMENT);
            let reads = reads
                .filter(|read| !matches!(read, Operation::Read { value, .. } if *value == garbled));
            transaction.operations.splice(..0, reads);
        }
        self
    }

    /// The recording without the transactions that have not ended. None if one that has ended read what one
    /// of those is to write: then it depends on how they end.
    pub(crate) fn of_what_ended(mut self) -> Option<Recording> {
        let mut open: HashSet<(u64, u64)> = HashSet::new();
        self.transactions.retain(|transaction| {
            let ended = transaction.completed.is_some();
            if !ended {
                open.extend(transaction.operations.iter().filter_map(|o| match *o {
                    Operation::Write { key, value } => Some((key, value)),
                    Operation::Read { .. } => None,
                }));
            }
            ended
        });
        let reads_open = |transaction: &Transaction| {
            let mut rows = transaction.operations.iter();
            let mut collections = transaction.collections.iter();
            rows.any(|operation| match *operation {
                Operation::Read {
                    key,
                    value: Some(value),
                } => open.contains(&(key, value)),
                _ => false,
            }) || collections.any(|(key, elements)| {
                let mut elements = elements.iter();
                elements.any(|element| open.contains(&(*key, *element)))
            })
        };
        let depends = !open.is_empty() && self.transactions.iter().any(reads_open);
        (!depends).then_some(self)
    }

    /// In `list-append`, of lists as registers: whoever appends to a list without telling that it has read it reads what it
    /// extends, as far as that is known; `extended` answers with the last element, by the number of the
    /// operation and the key, none for the empty list.
    pub(crate) fn read_what_is_extended(
        &mut self,
        extended: impl Fn(u64, u32) -> Option<Option<i64>>,
    ) {
        for transaction in &mut self.transactions {
            if transaction.outcome != Outcome::Committed || transaction.is_final_read {
                continue;
            }
            let mut read = Vec::new();
            for operation in &transaction.operations {
                let Operation::Write { key, .. } = *operation else {
                    continue;
                };
                let told = |o: &Operation| matches!(o, Operation::Read { key: k, .. } if *k == key);
                if !transaction.operations.iter().any(told)
                    && let Some(last) = extended(transaction.label, key as u32)
                {
                    let value = last.map(|last| last as u64);
                    read.push(Operation::Read { key, value });
                }
            }
            read.append(&mut transaction.operations);
            transaction.operations = read;
        }
    }

    /// The history to be checked by a model; without an initial value, and with `values_are_versions` of
    /// registers as for [`Builder::values_are_versions`](crate::registers::Builder::values_are_versions).
    /// The order of the records is that of real time (see [`squall_protocol::history`]).
    ///
    /// # Errors
    ///
    /// When two transactions write the same value to a key.
    pub fn build(&self, values_are_versions: bool) -> Result<Registers, BuildError> {
        match self.datatype {
            Datatype::Registers => self.build_lists(values_are_versions),
            Datatype::Lists => self.build_lists(false),
            Datatype::Sets => self.build_sets(),
        }
    }

    /// Of lists, and of registers.
    fn build_lists(&self, values_are_versions: bool) -> Result<Registers, BuildError> {
        let mut builder = ListBuilder::default();
        if values_are_versions {
            builder.registers().values_are_versions();
        }
        for transaction in &self.transactions {
            let (session, label) = (transaction.session, Some(transaction.label));
            let number = builder.transaction(session, label, transaction.outcome);
            let (begin, end) = transaction.times();
            builder.registers().times(number, begin, end);
            for (key, list) in &transaction.collections {
                builder.read(number, *key, list);
            }
            for operation in &transaction.operations {
                let registers = builder.registers();
                match *operation {
                    Operation::Read { key, value: None } => registers.read_initial(number, key),
                    Operation::Read {
                        key,
                        value: Some(value),
                    } => registers.read(number, key, value),
                    Operation::Write { key, value } => match self.datatype {
                        Datatype::Lists => builder.append(number, key, value),
                        _ => registers.write(number, key, value),
                    },
                }
            }
        }
        builder.finish()
    }

    fn build_sets(&self) -> Result<Registers, BuildError> {
        let mut builder = SetBuilder::default();
        for transaction in &self.transactions {
            let (session, label) = (transaction.session, Some(transaction.label));
            let number = builder.transaction(session, label, transaction.outcome);
            let (begin, end) = transaction.times();
            builder.times(number, begin, end);
            for (key, elements) in &transaction.collections {
                builder.read(number, *key, elements);
            }
            for operation in &transaction.operations {
                if let Operation::Write { key, value } = *operation {
                    builder.add(number, key, value);
                }
            }
        }
        builder.finish()
    }
}

impl Transaction {
    /// When it began and ended, by the numbers of the records.
    fn times(&self) -> (u64, Option<u64>) {
        let end = self.completed.map(|moment| moment.record as u64);
        (self.began.record as u64, end)
    }
}

/// The reads of registers, and the lists or sets, that a transaction found.
type Found = (Vec<Operation>, Vec<(u64, Vec<u64>)>);

/// Understands what was read.
struct Reader {
    datatype: Datatype,
    /// Every key of lists and sets that the history knows.
    keys: BTreeSet<Key>,
}

impl Reader {
    /// What a final read found; none if it was not had.
    fn everything(&self, rows: Option<&Rows>, collections: Option<&Collections>) -> Option<Found> {
        match self.datatype {
            Datatype::Registers => Some((self.rows(rows?), Vec::new())),
            Datatype::Lists | Datatype::Sets => {
                collections.map(|found| (Vec::new(), self.collections(&Reads::All, Some(found))))
            }
        }
    }

    fn rows(&self, rows: &Rows) -> Vec<Operation> {
        let read = |(key, value): &(Key, Value)| Operation::Read {
            key: u64::from(*key),
            value: (*value != INITIAL_VALUE).then_some(*value as u64),
        };
        let are_registers = self.datatype == Datatype::Registers;
        rows.iter().filter(|_| are_registers).map(read).collect()
    }

    /// The lists or sets that were told of; and those that were asked for and are missing are empty.
    fn collections(
        &self,
        asked: &Reads,
        collections: Option<&Collections>,
    ) -> Vec<(u64, Vec<u64>)> {
        let Some(told) = collections.filter(|_| self.datatype != Datatype::Registers) else {
            return Vec::new();
        };
        let known: BTreeSet<Key> = told.iter().map(|(key, _)| *key).collect();
        let told = told.iter().map(|(key, text)| (*key, elements(text)));
        let asked: Vec<Key> = match asked {
            Reads::All => self.keys.iter().copied().collect(),
            Reads::Keys(keys) => keys.clone(),
            Reads::Nothing => Vec::new(),
        };
        let missing = asked.into_iter().filter(|key| !known.contains(key));
        told.chain(missing.map(|key| (key, Vec::new())))
            .map(|(key, elements)| (u64::from(key), elements))
            .collect()
    }
}

/// The elements of a list or set, each followed by a space but for the last.
fn elements(text: &str) -> Vec<u64> {
    let parts = text.split(' ').filter(|_| !text.is_empty());
    let number = |part: &str| {
        part.parse::<Value>()
            .map_or(NO_ELEMENT, |value| value as u64)
    };
    parts.map(number).collect()
}

/// The keys of lists and sets that a history writes or tells of.
fn keys(history: &History) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    for record in &history.records {
        let told = match &record.event {
            Event::Invoke { transaction, .. } => {
                keys.extend(&transaction.keys);
                continue;
            }
            Event::Ok { collections, .. }
            | Event::FinalRead { collections, .. }
            | Event::FinalReadPostgres { collections, .. } => collections.iter().flatten(),
            _ => continue,
        };
        keys.extend(told.map(|(key, _)| *key));
    }
    keys
}

/// Values are never negative in a history that squall made, so that nothing is lost in a `u64`.
fn write(key: Key, value: Value) -> Operation {
    Operation::Write {
        key: u64::from(key),
        value: value as u64,
    }
}
