//! The first pass: which operation wrote which value, and what each read showed of the ledger.

use std::collections::{HashMap, HashSet};

use squall_protocol::history::Event;
use squall_protocol::ledger::{ClientLedger, LedgerRead};
use squall_protocol::plan::ClientKind;
use squall_protocol::transaction::{INITIAL_VALUE, Key, Rows, Transaction, Value};

use crate::history::History;

/// An operation that was told to write.
pub(super) struct Operation<'h> {
    pub number: u64,
    pub client: &'h str,
    /// An index below [`Book::sessions`].
    pub session: usize,
    pub transaction: &'h Transaction,
    pub outcome: Outcome<'h>,
    /// The index of the record of its invocation.
    pub invoked: usize,
}

pub(super) enum Outcome<'h> {
    /// It committed: its number among its client's, what it wrote, and the index of the record.
    Ok {
        seq: i64,
        writes: &'h Rows,
    },
    Failed,
    /// It may have happened.
    Unknown,
}

/// Everything that was read at once.
pub(super) struct Read<'h> {
    /// The client; `PostgreSQL` for its own final read.
    pub reader: &'h str,
    /// An index below [`Book::sessions`].
    pub session: usize,
    /// The number of the operation; none for a final read.
    pub operation: Option<u64>,
    /// The number that the operation itself used up after reading.
    pub own_seq: Option<i64>,
    /// The index of the record that tells of the read.
    pub place: usize,
    /// The rows of `mww`.
    pub rows: &'h Rows,
    pub ledger: &'h LedgerRead,
}

impl Read<'_> {
    /// `wasm-2's operation 812`, or `wasm-2's final read`.
    pub fn name(&self) -> String {
        match self.operation {
            Some(operation) => format!("{}'s operation {operation}", self.reader),
            None => format!("{}'s final read", self.reader),
        }
    }

    /// The numbers of the read's operation and of that one.
    pub fn numbers(&self, other: Option<&Operation>) -> Vec<u64> {
        let other = other.map(|operation| operation.number);
        self.operation.into_iter().chain(other).collect()
    }
}

/// What a history tells of the ledger.
pub(super) struct Book<'h> {
    pub keys: Key,
    /// In the order of their invocation.
    pub operations: Vec<Operation<'h>>,
    /// In the order of the history, so that the reads of a session are in session order.
    pub reads: Vec<Read<'h>>,
    /// How many sessions there are.
    pub sessions: usize,
    /// The latest session of each client.
    pub latest: HashMap<&'h str, usize>,
    /// Reads that recorded nothing of the ledger.
    pub without_ledger: u64,
    by_value: HashMap<Value, usize>,
}

impl<'h> Book<'h> {
    pub fn new(history: &'h History) -> Self {
        let kinds: HashMap<&str, ClientKind> = history
            .header
            .clients
            .iter()
            .map(|client| (client.name.as_str(), client.kind))
            .collect();
        let mut book = Book {
            keys: history.header.keys,
            operations: Vec::new(),
            reads: Vec::new(),
            sessions: 0,
            latest: HashMap::new(),
            without_ledger: 0,
            by_value: HashMap::new(),
        };
        let mut numbers: HashMap<u64, usize> = HashMap::new();
        let mut databases: HashMap<&str, &str> = HashMap::new();
        for (place, record) in history.records.iter().enumerate() {
            match &record.event {
                Event::IncarnationStart {
                    client, session, ..
                } => {
                    let before = databases.insert(client, session);
                    let lost = before.is_some_and(|before| before != session);
                    let syncs = kinds.get(client.as_str()).is_some_and(|kind| kind.syncs());
                    if lost && syncs {
                        book.latest.remove(client.as_str());
                    }
                }
                Event::Invoke {
                    client,
                    operation,
                    transaction,
                } if !transaction.is_read_only() => {
                    let session = book.session(client);
                    numbers.insert(*operation, book.operations.len());
                    if transaction.value > INITIAL_VALUE {
                        book.by_value
                            .insert(transaction.value, book.operations.len());
                    }
                    book.operations.push(Operation {
                        number: *operation,
                        client,
                        session,
                        transaction,
                        outcome: Outcome::Unknown,
                        invoked: place,
                    });
                }
                Event::Ok {
                    client,
                    operation,
                    reads,
                    writes,
                    ledger,
                    ..
                } => {
                    let Some(ledger) = ledger else {
                        book.without_ledger += 1;
                        continue;
                    };
                    let session = book.session(client);
                    book.reads.push(Read {
                        reader: client,
                        session,
                        operation: Some(*operation),
                        own_seq: ledger.seq,
                        place,
                        rows: reads,
                        ledger: &ledger.reads,
                    });
                    if let (Some(seq), Some(at)) = (ledger.seq, numbers.get(operation)) {
                        book.operations[*at].outcome = Outcome::Ok { seq, writes };
                    }
                }
                Event::Fail { operation, .. } => {
                    if let Some(at) = numbers.get(operation) {
                        book.operations[*at].outcome = Outcome::Failed;
                    }
                }
                Event::FinalRead {
                    client,
                    rows: Some(rows),
                    ledger,
                    ..
                } => {
                    let session = book.session(client);
                    book.final_read(client, session, place, rows, ledger.as_ref());
                }
                Event::FinalReadPostgres {
                    rows: Some(rows),
                    ledger,
                    ..
                } => {
                    let session = book.sessions;
                    book.sessions += 1;
                    book.final_read(POSTGRESQL, session, place, rows, ledger.as_ref());
                }
                _ => {}
            }
        }
        book
    }

    fn session(&mut self, client: &'h str) -> usize {
        *self.latest.entry(client).or_insert_with(|| {
            self.sessions += 1;
            self.sessions - 1
        })
    }

    fn final_read(
        &mut self,
        reader: &'h str,
        session: usize,
        place: usize,
        rows: &'h Rows,
        ledger: Option<&'h LedgerRead>,
    ) {
        match ledger {
            None => self.without_ledger += 1,
            Some(ledger) => self.reads.push(Read {
                reader,
                session,
                operation: None,
                own_seq: None,
                place,
                rows,
                ledger,
            }),
        }
    }

    /// The operation whose value that is.
    pub fn writer(&self, value: Value) -> Option<&Operation<'h>> {
        self.by_value.get(&value).map(|at| &self.operations[*at])
    }

    /// The operation that a row of that id names.
    pub fn named(&self, id: &str) -> Option<&Operation<'h>> {
        self.writer(value_of(id)?)
    }
}

/// Who reads PostgreSQL at the end.
pub(super) const POSTGRESQL: &str = "PostgreSQL";

/// The value that a row's id names.
pub(super) fn value_of(id: &str) -> Option<Value> {
    id.parse().ok()
}

/// The keys in a row's column `writes`.
pub(super) fn keys_of(writes: &str) -> Option<Vec<Key>> {
    serde_json::from_str(writes).ok()
}

/// `native-1's transaction 12 (id 41)`
pub(super) fn row_name(of: &ClientLedger, row: &squall_protocol::ledger::LedgerRow) -> String {
    format!("{}'s transaction {} (id {})", of.client, row.seq, row.id)
}

/// A set of values. They count up from zero, so most are in an array.
#[derive(Default)]
pub(super) struct Values {
    dense: Vec<bool>,
    sparse: HashSet<Value>,
}

impl Values {
    /// Values below this are in the array.
    const DENSE: usize = 1 << 24;

    pub fn insert(&mut self, value: Value) {
        match usize::try_from(value) {
            Ok(at) if at < Self::DENSE => {
                if at >= self.dense.len() {
                    self.dense.resize(at + 1, false);
                }
                self.dense[at] = true;
            }
            _ => {
                self.sparse.insert(value);
            }
        }
    }

    pub fn contains(&self, value: Value) -> bool {
        match usize::try_from(value) {
            Ok(at) if at < Self::DENSE => self.dense.get(at).copied().unwrap_or(false),
            _ => self.sparse.contains(&value),
        }
    }
}
