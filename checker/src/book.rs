//! Who did what so far, along with a run: clients and their sessions, operations, and who writes each
//! value. What the reads show is for others to judge.
//!
//! Memory: O(operations), and their keys.

use std::collections::HashMap;

use squall_protocol::history::{Event, Header};
use squall_protocol::plan::Workload;
use squall_protocol::transaction::{
    Collections, INITIAL_VALUE, Key, Reads as Asked, Rows, Transaction, Value,
};
use squall_protocol::verdict::{Step, Violation};

use crate::by_value::ByValue;
use crate::clients::Clients;
use crate::mww::explain::{self, Impossible};
use crate::mww::index::Source;

/// An index into [`Book::operations`]: they are numbered by their invocation.
pub(crate) type OperationIndex = u32;

/// Stands for a session's final read where an operation could stand.
pub(crate) const FINAL_READ: OperationIndex = OperationIndex::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Pending,
    Ok,
    Failed,
    Info,
}

#[derive(Clone)]
pub(crate) struct Operation {
    pub number: u64,
    pub session: usize,
    pub value: Value,
    /// The keys that it wrote, or may have written, ascending.
    pub written: Box<[Key]>,
    /// The keys that it was told to write and did not.
    pub left_out: Box<[Key]>,
    /// The place of its invocation among the events.
    pub invoked: usize,
    /// Its place in its session: where it ended if it committed, and where it was invoked otherwise.
    pub order: usize,
    /// What it was to read, until it has.
    asked: Asked,
    pub ending: Ending,
}

impl Operation {
    /// Whether it wrote that key, or may have.
    pub fn wrote(&self, key: Key) -> bool {
        self.written.binary_search(&key).is_ok()
    }

    /// Whether it certainly happened.
    pub fn committed(&self) -> bool {
        self.ending == Ending::Ok
    }
}

/// Everything that was found at once.
pub(crate) struct Found<'e> {
    pub session: usize,
    /// [`FINAL_READ`] if it is none of an operation.
    pub operation: OperationIndex,
    pub asked: Asked,
    pub rows: &'e [(Key, Value)],
    pub collections: Option<&'e Collections>,
    /// The place of the event that tells of it.
    pub completed: usize,
}

/// What an event adds.
#[derive(Default)]
pub(crate) struct News<'e> {
    /// The operation that ended.
    pub ended: Option<OperationIndex>,
    pub read: Option<Found<'e>>,
    /// A database that was broken or lost.
    pub broken: Option<Violation>,
}

/// What a history has told so far.
#[derive(Clone)]
pub(crate) struct Book {
    pub keys: Key,
    /// In the order of their invocation.
    pub operations: Vec<Operation>,
    clients: Clients,
    /// Whether there are collections instead of rows.
    has_collections: bool,
    /// How many events have been pushed.
    place: usize,
    numbers: HashMap<u64, OperationIndex>,
    /// The first operation that writes each value.
    writers: ByValue<OperationIndex>,
    /// The values that several operations write, and where the second of these was invoked.
    ambiguous: HashMap<Value, usize>,
}

impl Book {
    pub fn new(header: &Header) -> Self {
        Book {
            keys: header.keys,
            operations: Vec::new(),
            clients: Clients::new(header),
            has_collections: matches!(header.workload, Workload::ListAppend | Workload::Gset),
            place: 0,
            numbers: HashMap::new(),
            writers: ByValue::default(),
            ambiguous: HashMap::new(),
        }
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.clients.sessions()
    }

    /// Takes the next event. Events that contradict the history so far add nothing: the contradictions
    /// are told by [`Index`](crate::mww::index::Index).
    pub fn push<'e>(&mut self, event: &'e Event) -> News<'e> {
        let place = self.place;
        self.place += 1;
        match event {
            Event::Invoke {
                client,
                operation,
                transaction,
            } => {
                self.invoke(client, *operation, transaction, place);
                News::default()
            }
            Event::Ok {
                client,
                operation,
                reads,
                writes,
                collections,
                ..
            } => {
                let Some(ended) = self.complete(client, *operation, Ending::Ok) else {
                    return News::default();
                };
                News {
                    ended: Some(ended),
                    read: Some(Found {
                        session: self.operations[ended as usize].session,
                        operation: ended,
                        asked: self.committed(ended, writes, place),
                        rows: reads,
                        collections: collections.as_ref(),
                        completed: place,
                    }),
                    broken: None,
                }
            }
            Event::Fail {
                client, operation, ..
            } => News {
                ended: self.complete(client, *operation, Ending::Failed),
                ..News::default()
            },
            Event::Info {
                client, operation, ..
            }
            | Event::Malformed {
                client, operation, ..
            } => News {
                ended: self.complete(client, *operation, Ending::Info),
                ..News::default()
            },
            Event::IncarnationStart {
                client, session, ..
            } => News {
                broken: self.start_incarnation(client, session),
                ..News::default()
            },
            Event::FinalRead {
                client,
                rows,
                collections,
                ..
            } => {
                let client = self.clients.named(client);
                let session = self.clients.session(client);
                self.final_read(session, rows.as_ref(), collections.as_ref())
            }
            Event::FinalReadPostgres {
                rows, collections, ..
            } => {
                let news = self.final_read(self.sessions(), rows.as_ref(), collections.as_ref());
                if news.read.is_some() {
                    self.clients.new_session(None);
                }
                news
            }
            Event::Integrity { client, report } => {
                self.clients.named(client);
                News {
                    broken: explain::broken_database(client, report),
                    ..News::default()
                }
            }
            Event::Status { client, .. } | Event::IncarnationEnd { client, .. } => {
                self.clients.named(client);
                News::default()
            }
            _ => News::default(),
        }
    }

    fn start_incarnation(&mut self, client: &str, database: &str) -> Option<Violation> {
        let client = self.clients.named(client);
        let before = self.clients.start_incarnation(client, database)?;
        let name = self.clients.name(client);
        Some(explain::lost_database(name, &before, database))
    }

    fn invoke(&mut self, client: &str, number: u64, transaction: &Transaction, place: usize) {
        let client = self.clients.named(client);
        if self.numbers.contains_key(&number) {
            return;
        }
        let operation = self.operations.len() as OperationIndex;
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
            left_out: Box::default(),
            invoked: place,
            order: place,
            asked: transaction.reads.clone(),
            ending: Ending::Pending,
        });
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
        Some(index)
    }

    /// Takes what an operation has written, and answers what it was to read.
    fn committed(&mut self, operation: OperationIndex, writes: &Rows, place: usize) -> Asked {
        let operation = &mut self.operations[operation as usize];
        let told = std::mem::take(&mut operation.written);
        let value = operation.value;
        let possible = |(key, written): &(Key, Value)| {
            (*written == value && told.binary_search(key).is_ok()).then_some(*key)
        };
        operation.written = sorted(writes.iter().filter_map(possible));
        let left_out = told.iter().copied().filter(|key| !operation.wrote(*key));
        operation.left_out = left_out.collect();
        operation.order = place;
        std::mem::replace(&mut operation.asked, Asked::Nothing)
    }

    fn final_read<'e>(
        &self,
        session: usize,
        rows: Option<&'e Rows>,
        collections: Option<&'e Collections>,
    ) -> News<'e> {
        let there = match self.has_collections {
            true => collections.is_some(),
            false => rows.is_some(),
        };
        News {
            read: there.then(|| Found {
                session,
                operation: FINAL_READ,
                asked: Asked::All,
                rows: rows.map_or(&[][..], Vec::as_slice),
                collections,
                completed: self.place - 1,
            }),
            ..News::default()
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
            return Err(if operation.left_out.contains(&key) {
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

    /// Whether the operation has not ended.
    pub fn is_pending(&self, operation: OperationIndex) -> bool {
        self.operations[operation as usize].ending == Ending::Pending
    }

    pub fn operation_step(&self, operation: OperationIndex) -> Step {
        self.step(self.operations[operation as usize].session, operation)
    }

    /// An operation, or the final read, of a session.
    pub fn step(&self, session: usize, operation: OperationIndex) -> Step {
        let operation = self.operations.get(operation as usize);
        Step {
            client: match self.clients.client_of(session) {
                Some(client) => self.clients.name(client).to_owned(),
                None => "PostgreSQL".to_owned(),
            },
            operation: operation.map(|operation| operation.number),
        }
    }
}

fn sorted(keys: impl Iterator<Item = Key>) -> Box<[Key]> {
    let mut keys: Vec<Key> = keys.collect();
    keys.sort_unstable();
    keys.into_boxed_slice()
}
