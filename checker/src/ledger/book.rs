//! What is known so far: which operation wrote which value, which session a client is in, and what is
//! read of the ledger.

use std::collections::HashMap;

use squall_protocol::history::{Event, Header};
use squall_protocol::ledger::{ClientLedger, LedgerEffects, LedgerRead, LedgerRow};
use squall_protocol::transaction::{INITIAL_VALUE, Key, Reads, Rows, Transaction, Value};

use crate::by_value::ByValue;
use crate::clients::Clients;

/// An index into [`Book::operations`].
pub(super) type OperationIndex = usize;

/// An operation, in what it writes.
#[derive(Clone)]
pub(super) struct Operation {
    pub number: u64,
    pub client: usize,
    /// An index below [`Book::sessions`].
    pub session: usize,
    pub value: Value,
    /// The keys that it was told to write.
    pub keys: Box<[Key]>,
    pub outcome: Outcome,
    /// Whether it was told to read.
    reads: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has not ended.
    Pending,
    /// It committed and inserted a row: its number among its client's, and the keys that it wrote.
    Ok {
        seq: i64,
        written: Box<[Key]>,
    },
    Failed,
    /// It may have happened, or it did and what it did with the ledger is not known.
    Unknown,
}

/// Everything that was read at once.
pub(super) struct Read<'r> {
    /// The client; `PostgreSQL` for its own final read.
    pub reader: &'r str,
    /// An index below [`Book::sessions`].
    pub session: usize,
    /// The number of the operation; none for a final read.
    pub operation: Option<u64>,
    /// The number that the operation itself used up after reading.
    pub own_seq: Option<i64>,
    /// The place of the event that tells of the read.
    pub place: usize,
    /// The rows of `mww`.
    pub rows: &'r Rows,
    pub ledger: &'r LedgerRead,
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

/// What an event adds.
#[derive(Default)]
pub(super) struct News<'r> {
    /// The operation that ended. Its outcome is decided.
    pub ended: Option<OperationIndex>,
    pub read: Option<Read<'r>>,
    /// The event is a read that recorded nothing of the ledger.
    pub without_ledger: bool,
}

/// What a history has told of the ledger so far.
#[derive(Clone)]
pub(super) struct Book {
    pub keys: Key,
    /// In the order of their invocation.
    pub operations: Vec<Operation>,
    clients: Clients,
    by_number: HashMap<u64, OperationIndex>,
    by_value: ByValue<OperationIndex>,
}

impl Book {
    pub fn new(header: &Header) -> Self {
        Book {
            keys: header.keys,
            operations: Vec::new(),
            clients: Clients::new(header),
            by_number: HashMap::new(),
            by_value: ByValue::default(),
        }
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.clients.sessions()
    }

    /// Takes the event at that place. Events that contradict the history so far add nothing; the
    /// properties of `mww` tell of them.
    pub fn push<'r>(&mut self, place: usize, event: &'r Event) -> News<'r> {
        match event {
            Event::IncarnationStart {
                client, session, ..
            } => {
                let client = self.clients.named(client);
                self.clients.start_incarnation(client, session);
                News::default()
            }
            Event::Invoke {
                client,
                operation,
                transaction,
            } => {
                self.invoke(client, *operation, transaction);
                News::default()
            }
            Event::Ok {
                client,
                operation,
                reads,
                writes,
                ledger,
                ..
            } => {
                let effects = ledger.as_ref();
                let outcome = match effects.and_then(|ledger| ledger.seq) {
                    Some(seq) => Outcome::Ok {
                        seq,
                        written: writes.iter().map(|(key, _)| *key).collect(),
                    },
                    None => Outcome::Unknown,
                };
                let ended = self.complete(client, *operation, outcome);
                self.read_of(ended, place, client, reads, effects)
            }
            Event::Fail {
                client, operation, ..
            } => News {
                ended: self.complete(client, *operation, Outcome::Failed),
                ..News::default()
            },
            Event::Info {
                client, operation, ..
            }
            | Event::Malformed {
                client, operation, ..
            } => News {
                ended: self.complete(client, *operation, Outcome::Unknown),
                ..News::default()
            },
            Event::FinalRead {
                client,
                rows: Some(rows),
                ledger,
                ..
            } => {
                let index = self.clients.named(client);
                let session = self.clients.session(index);
                final_read(client, session, place, rows, ledger.as_ref())
            }
            Event::FinalReadPostgres {
                rows: Some(rows),
                ledger,
                ..
            } => {
                let session = self.clients.new_session(None);
                final_read(POSTGRESQL, session, place, rows, ledger.as_ref())
            }
            _ => News::default(),
        }
    }

    /// Takes what has not ended for unknown: nothing will end any more.
    pub fn settle(&mut self) -> Vec<OperationIndex> {
        let mut settled = Vec::new();
        for (index, operation) in self.operations.iter_mut().enumerate() {
            if operation.outcome == Outcome::Pending {
                operation.outcome = Outcome::Unknown;
                settled.push(index);
            }
        }
        settled
    }

    fn invoke(&mut self, client: &str, number: u64, transaction: &Transaction) {
        if self.by_number.contains_key(&number) {
            return;
        }
        let index = self.operations.len();
        self.by_number.insert(number, index);
        let writes = !transaction.is_read_only() && transaction.value > INITIAL_VALUE;
        if writes {
            self.by_value.get_or_insert(transaction.value, index);
        }
        let client = self.clients.named(client);
        self.operations.push(Operation {
            number,
            client,
            session: self.clients.session(client),
            value: transaction.value,
            keys: transaction.keys.iter().copied().collect(),
            outcome: Outcome::Pending,
            reads: transaction.reads != Reads::Nothing,
        });
    }

    fn complete(&mut self, client: &str, number: u64, outcome: Outcome) -> Option<OperationIndex> {
        let client = self.clients.named(client);
        let index = *self.by_number.get(&number)?;
        let operation = &mut self.operations[index];
        if operation.client != client || operation.outcome != Outcome::Pending {
            return None;
        }
        operation.outcome = outcome;
        Some(index)
    }

    /// What an operation that has committed read.
    fn read_of<'r>(
        &self,
        ended: Option<OperationIndex>,
        place: usize,
        reader: &'r str,
        rows: &'r Rows,
        effects: Option<&'r LedgerEffects>,
    ) -> News<'r> {
        let operation = ended.map(|index| &self.operations[index]);
        let Some(operation) = operation.filter(|operation| operation.reads) else {
            return News {
                ended,
                ..News::default()
            };
        };
        News {
            ended,
            read: effects.map(|ledger| Read {
                reader,
                session: operation.session,
                operation: Some(operation.number),
                own_seq: ledger.seq,
                place,
                rows,
                ledger: &ledger.reads,
            }),
            without_ledger: effects.is_none(),
        }
    }

    /// The operation whose value that is.
    pub fn writer(&self, value: Value) -> Option<&Operation> {
        self.writer_index(value).map(|at| &self.operations[at])
    }

    pub fn writer_index(&self, value: Value) -> Option<OperationIndex> {
        self.by_value.get(value).copied()
    }

    /// The operation that a row of that id names.
    pub fn named(&self, id: &str) -> Option<OperationIndex> {
        self.writer_index(value_of(id)?)
    }

    pub fn client_of(&self, operation: &Operation) -> &str {
        self.clients.name(operation.client)
    }

    /// Whether the operation was done on the database that its client had at last.
    pub fn is_kept(&self, operation: &Operation) -> bool {
        self.clients.session(operation.client) == operation.session
    }

    /// ` (a's operation 12)`, or nothing if nobody wrote the value.
    pub fn written_by(&self, value: Value) -> String {
        self.writer(value).map_or_else(String::new, |writer| {
            format!(
                " ({}'s operation {})",
                self.client_of(writer),
                writer.number
            )
        })
    }
}

fn final_read<'r>(
    reader: &'r str,
    session: usize,
    place: usize,
    rows: &'r Rows,
    ledger: Option<&'r LedgerRead>,
) -> News<'r> {
    News {
        ended: None,
        read: ledger.map(|ledger| Read {
            reader,
            session,
            operation: None,
            own_seq: None,
            place,
            rows,
            ledger,
        }),
        without_ledger: ledger.is_none(),
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
    // There is one for every row that was read, nearly always written like this: `[4,18]`.
    let plain = |number: &str| {
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit())
            && (number == "0" || !number.starts_with('0'));
        number.parse().ok().filter(|_| is_plain)
    };
    let numbers = writes
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let keys = numbers.and_then(|numbers| numbers.split(',').map(plain).collect());
    keys.or_else(|| serde_json::from_str(writes).ok())
}

/// `native-1's transaction 12 (id 41)`
pub(super) fn row_name(of: &ClientLedger, row: &LedgerRow) -> String {
    format!("{}'s transaction {} (id {})", of.client, row.seq, row.id)
}
