//! What is read of the ledger, and what is known of the operations that its rows name.

use squall_protocol::ledger::{ClientLedger, LedgerRead, LedgerRow};
use squall_protocol::transaction::{Key, Value};

use crate::log::operations::{Ending, Found, Inserted, Operation, OperationLog};
use crate::log::trace::OperationIndex;

/// What an operation did with the ledger.
pub(crate) enum Outcome<'l> {
    /// It has not ended.
    Pending,
    /// It committed and inserted a row.
    Ok(&'l Inserted),
    Failed,
    /// It may have happened, or it did and what it did with the ledger is not known.
    Unknown,
}

/// What an operation did with the ledger.
pub(crate) fn outcome(operation: &Operation) -> Outcome<'_> {
    match (operation.ending, &operation.inserted) {
        (Ending::Pending, _) => Outcome::Pending,
        (Ending::Failed, _) => Outcome::Failed,
        (Ending::Ok, Some(inserted)) => Outcome::Ok(inserted),
        (Ending::Ok, None) | (Ending::Info, _) => Outcome::Unknown,
    }
}

/// Everything that was read at once.
pub(crate) struct Read<'r> {
    /// The client; `PostgreSQL` for its own final read.
    pub reader: &'r str,
    pub session: usize,
    /// The number of the operation; none for a final read, of a client too.
    pub operation: Option<u64>,
    /// The number that the operation itself used up after reading.
    pub own_seq: Option<i64>,
    /// See [`Operation::began`].
    pub began: usize,
    /// The place of the event that tells of the read.
    pub place: usize,
    /// The rows of `mww`.
    pub rows: &'r [(Key, Value)],
    pub ledger: &'r LedgerRead,
}

impl<'r> Read<'r> {
    /// None if nothing of the ledger was recorded.
    pub fn new(found: &Found<'r>, log: &'r OperationLog) -> Option<Read<'r>> {
        let operation = log.operations.get(found.operation as usize);
        let inserted = operation.and_then(|operation| operation.inserted.as_ref());
        Some(Read {
            reader: log.client_of(found.session),
            session: found.session,
            operation: log.step(found.session, found.operation).operation,
            own_seq: inserted.map(|inserted| inserted.seq),
            began: found.began,
            place: found.completed,
            rows: found.rows,
            ledger: found.ledger?,
        })
    }

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

/// The operation whose value that is.
pub(crate) fn writer_of(log: &OperationLog, value: Value) -> Option<&Operation> {
    log.writer(value).map(|at| &log.operations[at as usize])
}

/// The operation that a row of that id names.
pub(crate) fn named(log: &OperationLog, id: &str) -> Option<OperationIndex> {
    log.writer(value_of(id)?)
}

/// ` (a's operation 12)`, or nothing if nobody wrote the value.
pub(crate) fn written_by(log: &OperationLog, value: Value) -> String {
    writer_of(log, value).map_or_else(String::new, |writer| {
        let client = log.client_of(writer.session);
        format!(" ({client}'s operation {})", writer.number)
    })
}

/// The value that a row's id names.
pub(crate) fn value_of(id: &str) -> Option<Value> {
    id.parse().ok()
}

/// The keys in a row's column `writes`.
pub(crate) fn keys_of(writes: &str) -> Option<Vec<Key>> {
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
pub(crate) fn row_name(of: &ClientLedger, row: &LedgerRow) -> String {
    format!("{}'s transaction {} (id {})", of.client, row.seq, row.id)
}
