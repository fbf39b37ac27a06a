//! Who did what so far: clients and their sessions, operations, and who writes each value. What the reads
//! show is for others to judge.
//!
//! Memory: O(operations), and their keys.

use std::collections::HashMap;

use squall_protocol::history::{Event, Header, Phase};
use squall_protocol::ledger::LedgerRead;
use squall_protocol::payload::PayloadRead;
use squall_protocol::plan::Workload;
use squall_protocol::transaction::{
    Collections, Effects, INITIAL_VALUE, Key, Reads as Asked, Rows, Transaction, TransactionMode,
    Value,
};
use squall_protocol::verdict::Step;

use crate::log::by_value::ByValue;
use crate::log::sessions::Clients;
use crate::log::trace::{Impossible, OperationIndex, Source};

/// Who reads PostgreSQL at the end.
pub(crate) const POSTGRESQL: &str = "PostgreSQL";

/// Stands for PostgreSQL's final read where an operation could stand.
pub(crate) const FINAL_READ: OperationIndex = OperationIndex::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Pending,
    Ok,
    Failed,
    Info,
}

/// A row in the ledger.
#[derive(Clone)]
pub(crate) struct Inserted {
    /// Its number among its client's.
    pub seq: i64,
    /// The keys that its transaction says it has written.
    pub written: Box<[Key]>,
}

#[derive(Clone)]
pub(crate) struct Operation {
    pub number: u64,
    pub session: usize,
    pub value: Value,
    /// The keys that it wrote, or may have written, ascending.
    pub written: Box<[Key]>,
    /// The keys that it was told to write.
    pub requested: Box<[Key]>,
    /// The row that it says it has inserted in the ledger.
    pub inserted: Option<Inserted>,
    /// The place of its invocation among the events.
    pub invoked: usize,
    /// What its siblings had ended before that place is before it in its session (see [`super::sessions`]): that of
    /// its invocation, and of an emission of a live query one that it certainly began after.
    pub began: usize,
    /// Its place in its session: where it ended if it committed, and where it was invoked otherwise.
    pub order: usize,
    /// Whether it is its client's final read.
    pub is_final_read: bool,
    /// What it was to read, until it has.
    asked: Asked,
    pub ending: Ending,
}

impl Operation {
    /// Whether it wrote that key, or may have.
    pub fn wrote(&self, key: Key) -> bool {
        self.written.binary_search(&key).is_ok()
    }

    /// Whether it was told to write anything.
    pub fn writes(&self) -> bool {
        !self.requested.is_empty()
    }

    /// Whether it certainly happened.
    pub fn committed(&self) -> bool {
        self.ending == Ending::Ok
    }
}

/// Everything that was found at once.
#[derive(Clone)]
pub(crate) struct Found<'e> {
    pub session: usize,
    /// [`FINAL_READ`] if it is none of an operation.
    pub operation: OperationIndex,
    pub asked: Asked,
    pub rows: &'e [(Key, Value)],
    pub collections: Option<&'e Collections>,
    pub ledger: Option<&'e LedgerRead>,
    pub payload: Option<&'e PayloadRead>,
    /// See [`Operation::began`].
    pub began: usize,
    /// The place of the event that tells of it.
    pub completed: usize,
}

impl<'e> Found<'e> {
    fn new(
        (session, operation): (usize, OperationIndex),
        asked: Asked,
        effects: &'e Effects,
        (began, completed): (usize, usize),
    ) -> Self {
        Found {
            session,
            operation,
            asked,
            began,
            rows: &effects.reads,
            collections: effects.collections.as_ref(),
            ledger: effects.ledger.as_ref().map(|ledger| &ledger.reads),
            payload: effects.payload.as_ref(),
            completed,
        }
    }

    /// How many different rows were found of those that exist; and which these are, ascending, if one that was to
    /// be read is missing.
    pub fn present(&self, keys: Key) -> (u64, Option<Box<[Key]>>) {
        let found = self.rows.iter().map(|row| row.0);
        // The usual case, every row in key order, needs no memory.
        if self.rows.len() == keys as usize && found.clone().eq(0..keys) {
            return (u64::from(keys), None);
        }
        let mut present: Vec<Key> = found.filter(|key| *key < keys).collect();
        present.sort_unstable();
        present.dedup();
        let missing = |key: &Key| *key < keys && present.binary_search(key).is_err();
        let complete = match &self.asked {
            Asked::All => present.len() == keys as usize,
            Asked::Keys(keys) => !keys.iter().any(missing),
            Asked::Nothing => true,
        };
        let distinct = present.len() as u64;
        (distinct, (!complete).then(|| present.into_boxed_slice()))
    }
}

/// What an event adds.
#[derive(Clone, Default)]
pub(crate) struct Update<'e> {
    /// The session that an operation was invoked in, or that an incarnation of its client is in.
    pub session: Option<usize>,
    /// The operation that was invoked.
    pub invoked: Option<OperationIndex>,
    /// The operation that ended.
    pub ended: Option<OperationIndex>,
    pub read: Option<Found<'e>>,
    /// The identity of the database that a client has lost: it is on another one now.
    pub lost_database: Option<String>,
}

/// What a history has told so far.
#[derive(Clone)]
pub(crate) struct OperationLog {
    pub keys: Key,
    /// In the order of their invocation.
    pub operations: Vec<Operation>,
    clients: Clients,
    /// Whether there are collections instead of rows.
    has_collections: bool,
    phase: Phase,
    /// How many events have been pushed.
    place: usize,
    numbers: HashMap<u64, OperationIndex>,
    /// The first operation that writes each value.
    writers: ByValue<OperationIndex>,
    /// The values that several operations write, and where the second of these was invoked.
    ambiguous: HashMap<Value, usize>,
    /// How many operations have not ended.
    pending: usize,
    /// Above every row that exists and was read.
    key_count: Key,
}

impl OperationLog {
    pub fn new(header: &Header) -> Self {
        OperationLog {
            keys: header.keys,
            operations: Vec::new(),
            clients: Clients::new(header),
            has_collections: matches!(header.workload, Workload::ListAppend | Workload::Gset),
            phase: Phase::Start,
            place: 0,
            numbers: HashMap::new(),
            writers: ByValue::default(),
            ambiguous: HashMap::new(),
            pending: 0,
            key_count: 0,
        }
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.clients.sessions()
    }

    /// Takes the next event. Events that contradict the history so far add nothing: the contradictions
    /// are told by [`Index`](crate::log::index::Index).
    pub fn push<'e>(&mut self, event: &'e Event) -> Update<'e> {
        let place = self.place;
        self.place += 1;
        match event {
            Event::Invoke {
                client,
                operation,
                transaction,
            } => {
                let invoked = self.invoke(client, *operation, transaction, place);
                Update {
                    session: invoked.map(|index| self.operations[index as usize].session),
                    invoked,
                    ..Update::default()
                }
            }
            Event::Ok {
                client,
                operation,
                effects,
            } => {
                let Some(ended) = self.complete(client, *operation, Ending::Ok) else {
                    return Update::default();
                };
                self.count_keys(&effects.reads);
                let asked = self.committed(ended, effects, place);
                let Operation { session, began, .. } = self.operations[ended as usize];
                let places = (began, place);
                Update {
                    ended: Some(ended),
                    read: Some(Found::new((session, ended), asked, effects, places)),
                    ..Update::default()
                }
            }
            Event::Fail {
                client, operation, ..
            } => Update {
                ended: self.complete(client, *operation, Ending::Failed),
                ..Update::default()
            },
            Event::Info {
                client, operation, ..
            }
            | Event::Malformed {
                client, operation, ..
            } => Update {
                ended: self.complete(client, *operation, Ending::Info),
                ..Update::default()
            },
            Event::IncarnationStart {
                client, session, ..
            } => {
                let client = self.clients.named(client);
                let lost_database = self.clients.start_incarnation(client, session);
                Update {
                    session: Some(self.clients.session(client)),
                    lost_database,
                    ..Update::default()
                }
            }
            Event::FinalReadPostgres { effects, .. } => {
                let effects = effects.as_ref().filter(|effects| self.is_told(effects));
                let read = effects.map(|effects| {
                    self.count_keys(&effects.reads);
                    let session = self.clients.new_session();
                    Found::new((session, FINAL_READ), Asked::All, effects, (place, place))
                });
                Update {
                    read,
                    ..Update::default()
                }
            }
            Event::Phase(phase) => {
                self.phase = *phase;
                Update::default()
            }
            Event::Status { client, .. }
            | Event::Integrity { client, .. }
            | Event::IncarnationEnd { client, .. } => {
                self.clients.named(client);
                Update::default()
            }
            _ => Update::default(),
        }
    }

    /// Whether those tell what the workload's tables hold.
    pub fn is_told(&self, effects: &Effects) -> bool {
        !self.has_collections || effects.collections.is_some()
    }

    /// Takes what has not ended for unknown: nothing will end any more. Answers with what that is.
    pub fn settle(&mut self) -> Vec<OperationIndex> {
        self.pending = 0;
        let mut settled = Vec::new();
        for (index, operation) in (0..).zip(&mut self.operations) {
            if operation.ending == Ending::Pending {
                operation.ending = Ending::Info;
                settled.push(index);
            }
        }
        settled
    }

    fn invoke(
        &mut self,
        client: &str,
        number: u64,
        transaction: &Transaction,
        place: usize,
    ) -> Option<OperationIndex> {
        let client = self.clients.named(client);
        if self.numbers.contains_key(&number) {
            return None;
        }
        let operation = self.operations.len() as OperationIndex;
        self.pending += 1;
        self.numbers.insert(number, operation);
        if !transaction.is_read_only() && transaction.value > INITIAL_VALUE {
            let first = *self.writers.get_or_insert(transaction.value, operation);
            if first != operation {
                self.ambiguous.entry(transaction.value).or_insert(place);
            }
        }
        self.operations.push(Operation {
            number,
            session: self.clients.session(client),
            value: transaction.value,
            written: sorted(transaction.keys.iter().copied()),
            requested: transaction.keys.iter().copied().collect(),
            inserted: None,
            invoked: place,
            began: match transaction.through {
                TransactionMode::Watch => self.clients.emission_began(client),
                _ => place,
            },
            order: place,
            is_final_read: self.phase == Phase::FinalRead && transaction.reads_everything(),
            asked: transaction.reads.clone(),
            ending: Ending::Pending,
        });
        Some(operation)
    }

    fn complete(&mut self, client: &str, number: u64, ending: Ending) -> Option<OperationIndex> {
        let client = self.clients.named(client);
        let index = *self.numbers.get(&number)?;
        let operation = &mut self.operations[index as usize];
        let is_its = self.clients.client_of(operation.session) == Some(client);
        if operation.ending != Ending::Pending || !is_its {
            return None;
        }
        operation.ending = ending;
        if ending == Ending::Ok && operation.began == operation.invoked {
            self.clients.transacted(client, operation.invoked);
        }
        self.pending -= 1;
        Some(index)
    }

    /// Takes what an operation has written, and answers what it was to read.
    fn committed(&mut self, operation: OperationIndex, effects: &Effects, place: usize) -> Asked {
        let Effects { writes, ledger, .. } = effects;
        let operation = &mut self.operations[operation as usize];
        let requested = std::mem::take(&mut operation.written);
        let value = operation.value;
        let possible = |(key, written): &(Key, Value)| {
            (*written == value && requested.binary_search(key).is_ok()).then_some(*key)
        };
        operation.written = sorted(writes.iter().filter_map(possible));
        let seq = ledger.as_ref().and_then(|ledger| ledger.seq);
        operation.inserted = seq.map(|seq| Inserted {
            seq,
            written: writes.iter().map(|(key, _)| *key).collect(),
        });
        operation.order = place;
        std::mem::replace(&mut operation.asked, Asked::Nothing)
    }

    fn count_keys(&mut self, rows: &Rows) {
        // After the first read of every row there is nothing more to find.
        if self.key_count < self.keys {
            let existing = rows.iter().map(|row| row.0).filter(|key| *key < self.keys);
            let highest = existing.max().map_or(0, |key| key + 1);
            self.key_count = self.key_count.max(highest);
        }
    }

    /// Who wrote a value that was read by that operation, or why nobody can have; `completed` is the
    /// place of the event that tells of the read.
    pub fn trace(
        &self,
        (reader, completed): (OperationIndex, usize),
        key: Key,
        value: Value,
    ) -> Result<Source, Impossible<OperationIndex>> {
        if key >= self.keys {
            return Err(Impossible::NoSuchRow);
        }
        if value == INITIAL_VALUE {
            return Ok(Source::Initial);
        }
        let Some(writer) = self.writer(value) else {
            return Err(Impossible::NeverWritten);
        };
        let second = self.ambiguous.get(&value);
        if second.is_some_and(|second| *second < completed) {
            return Ok(Source::Ambiguous);
        }
        let operation = &self.operations[writer as usize];
        if !operation.wrote(key) {
            return Err(if operation.requested.contains(&key) {
                Impossible::NotWritten(writer)
            } else {
                Impossible::OtherKeys(writer)
            });
        }
        if operation.ending == Ending::Failed {
            return Err(Impossible::Aborted(writer));
        }
        if reader == writer {
            return Err(Impossible::OwnLaterWrite(writer));
        }
        if operation.invoked > completed {
            return Err(Impossible::FromTheFuture(writer));
        }
        Ok(Source::Operation(writer))
    }

    /// The values that several operations write, with the place where the second of these was invoked.
    pub fn ambiguous(&self) -> impl Iterator<Item = (usize, Value)> {
        self.ambiguous
            .iter()
            .map(|(value, second)| (*second, *value))
    }

    /// Above every row that exists and was read.
    pub fn key_count(&self) -> Key {
        self.key_count
    }

    /// The first operation that writes a value.
    pub fn writer(&self, value: Value) -> Option<OperationIndex> {
        self.writers.get(value).copied()
    }

    /// The operation of that number.
    pub fn operation(&self, number: u64) -> Option<OperationIndex> {
        self.numbers.get(&number).copied()
    }

    /// The place of an operation in its session.
    pub fn order(&self, operation: OperationIndex) -> usize {
        self.operations[operation as usize].order
    }

    /// What other clients do on the database of a session, at the same time.
    pub fn siblings(&self, session: usize) -> impl Iterator<Item = usize> + '_ {
        self.clients.siblings(session)
    }

    /// A sibling of a session that is not done with what it had ended before the place `began`.
    pub fn late_sibling(
        &self,
        session: usize,
        began: usize,
        is_done_up_to: impl Fn(usize, usize) -> bool,
    ) -> Option<usize> {
        let last = began.checked_sub(1)?;
        let mut siblings = self.siblings(session);
        siblings.find(|sibling| !is_done_up_to(*sibling, last))
    }

    /// Has a session get on, and then, whenever one did, its siblings, which may have waited for it. `advance` says
    /// whether it did.
    pub fn advance_with_siblings(&self, session: usize, mut advance: impl FnMut(usize) -> bool) {
        let mut sessions = vec![session];
        while let Some(session) = sessions.pop() {
            if advance(session) {
                sessions.extend(self.siblings(session));
            }
        }
    }

    /// A number for the database of a session.
    pub fn database(&self, session: usize) -> usize {
        self.clients.database(session)
    }

    /// See [`Operation::began`].
    pub fn began(&self, operation: OperationIndex) -> usize {
        self.operations[operation as usize].began
    }

    /// Whether any operation has not ended.
    pub fn any_is_pending(&self) -> bool {
        self.pending > 0
    }

    /// Whether the operation has not ended.
    pub fn is_pending(&self, operation: OperationIndex) -> bool {
        self.operations[operation as usize].ending == Ending::Pending
    }

    pub fn operation_step(&self, operation: OperationIndex) -> Step {
        self.step(self.operations[operation as usize].session, operation)
    }

    /// Who read.
    pub fn reader(&self, found: &Found) -> Step {
        self.step(found.session, found.operation)
    }

    /// Who wrote the value that a read has returned for a row.
    pub fn writer_step(&self, found: &Found, key: Key, value: Value) -> Option<Step> {
        match self.trace((found.operation, found.completed), key, value) {
            Ok(Source::Operation(writer)) => Some(self.operation_step(writer)),
            _ => None,
        }
    }

    /// Who reads and writes in a session.
    pub fn client_of(&self, session: usize) -> &str {
        match self.clients.client_of(session) {
            Some(client) => self.clients.name(client),
            None => POSTGRESQL,
        }
    }

    /// The number of the client of a session; none for PostgreSQL's final read.
    pub fn client_number(&self, session: usize) -> Option<usize> {
        self.clients.client_of(session)
    }

    /// The clients in the order of their numbers, with their latest sessions.
    pub fn clients(&self) -> impl Iterator<Item = (&str, usize)> {
        self.clients.all()
    }

    /// Whether the session is the latest of its client.
    pub fn is_kept(&self, session: usize) -> bool {
        let client = self.clients.client_of(session);
        client.is_some_and(|client| self.clients.session(client) == session)
    }

    /// An operation, or the final read, of a session.
    pub fn step(&self, session: usize, operation: OperationIndex) -> Step {
        let operation = self.operations.get(operation as usize);
        let operation = operation.filter(|operation| !operation.is_final_read);
        Step {
            client: self.client_of(session).to_owned(),
            operation: operation.map(|operation| operation.number),
        }
    }
}

fn sorted(keys: impl Iterator<Item = Key>) -> Box<[Key]> {
    let mut keys: Vec<Key> = keys.collect();
    keys.sort_unstable();
    keys.into_boxed_slice()
}
