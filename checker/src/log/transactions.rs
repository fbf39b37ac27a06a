//! Squall's own histories as transactions over registers, lists or sets, for the models of
//! [`squall_models`]: what the checker knows of runs and the models do not, and nothing else.
//!
//! Of the workload `mww`, and of the same rows in the workload `ledger`: a row is a register, an operation
//! a transaction that reads every row and then writes some, and PostgreSQL's final read a transaction too. The
//! value -1 of a row is its initial one. Of `list-append` and `gset`: a key is a list or a set, and a
//! transaction reads some whole, then appends or adds to some. A session is a database, as in
//! [`crate::workload::mww`]; of several tabs on one database each is in a session of its own, since models know
//! only sessions that do one transaction after the other (but see [`order_siblings`]). What these have no word for is left out: faults, states, rows that are missing, the
//! ledger and the payload.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufReader, Read};

use squall_models::formats::{Format, FormatError, Input, Reading, skip};
use squall_models::recording::{Datatype, Moment, NO_ELEMENT, Operation, Recording, Transaction};
use squall_models::registers::Outcome;
use squall_protocol::history::{Event, Phase, Record};
use squall_protocol::plan::Workload;
use squall_protocol::transaction::{
    Collections, INITIAL_VALUE, Key, Reads, TransactionMode, Value,
};

use super::history::{History, HistoryError, read_history};
use super::operations::{FINAL_READ, Found, OperationLog, POSTGRESQL};
use super::trace::OperationIndex;

/// Why something could not be read as a history.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Run(#[from] HistoryError),
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// Reads a history in any format, squall's own too, as [`Format::read`] does.
///
/// # Errors
///
/// When it cannot be read, or is malformed.
pub fn read(
    format: Format,
    reader: impl Read,
    values_are_versions: bool,
) -> Result<Reading, ReadError> {
    if format != Format::Squall {
        return Ok(format.read(reader, values_are_versions)?);
    }
    let mut input = Input::new(reader).map_err(FormatError::Io)?;
    input.text()?;
    let history = read_history(BufReader::with_capacity(1 << 18, input))?;
    let recording = recording(&history);
    let registers = recording.build(values_are_versions);
    Ok(Reading {
        skipped: recording.skipped,
        ..Reading::new(registers.map_err(FormatError::Build)?, history.cut)
    })
}

/// What the keys of a workload hold.
fn datatype(workload: Workload) -> Datatype {
    match workload {
        Workload::ListAppend => Datatype::Lists,
        Workload::Gset => Datatype::Sets,
        // Of counters nothing is recorded: see [`SUMS`].
        Workload::Mww | Workload::Ledger | Workload::Counter => Datatype::Registers,
    }
}

/// Records that contradict others.
const CONTRADICTIONS: &str = "records that contradict earlier ones: operations that begin or end twice, or end without a beginning";

/// Counters.
const SUMS: &str = "transactions of the workload counter: a sum does not say what it is read from, so there is no model that judges it (without --model its own properties do)";

/// The transactions of a history.
pub fn recording(history: &History) -> Recording {
    let datatype = datatype(history.header.workload);
    let mut recording = Recording {
        datatype,
        started_at_ms: history.header.started_at_ms,
        ..Recording::default()
    };
    if history.header.workload == Workload::Counter {
        for (record, Record { event, .. }) in history.records.iter().enumerate() {
            if let Event::Invoke { .. } = event {
                let place = || format!("record {}", record + 1);
                skip(&mut recording.skipped, SUMS, false, place);
            }
        }
        return recording;
    }
    let reader = Reader {
        datatype,
        keys: keys(history),
    };
    let mut log = OperationLog::new(&history.header);
    // The places of the operations.
    let mut places: Vec<usize> = Vec::new();
    let mut sessions = Sessions::default();
    let mut label = 0;
    // The places of what is no operation.
    let mut unlabelled: Vec<usize> = Vec::new();
    let mut skipped = Vec::new();
    // When the phase of final reads began.
    let mut final_reads = Moment::default();
    for (record, Record { time, event }) in history.records.iter().enumerate() {
        let now = Moment {
            record,
            time: *time,
        };
        let update = log.push(event);
        let session = match (update.session, &update.read) {
            (None, Some(read)) if read.operation == FINAL_READ => Some(read.session),
            (session, _) => session,
        };
        let session = session.map(|session| sessions.number(session, &log, &mut recording));
        match event {
            Event::Invoke {
                operation,
                transaction,
                ..
            } if update.invoked.is_some() => {
                label = label.max(operation.saturating_add(1));
                places.push(recording.transactions.len());
                let keys = transaction.keys.iter();
                recording.transactions.push(Transaction {
                    session: session.unwrap_or_default(),
                    label: *operation,
                    outcome: Outcome::Unknown,
                    collections: Vec::new(),
                    operations: keys.map(|key| write(*key, transaction.value)).collect(),
                    invoked: now,
                    began: match transaction.through {
                        TransactionMode::Watch => Moment::default(),
                        _ => now,
                    },
                    completed: None,
                    is_final_read: log.operations.last().is_some_and(|last| last.is_final_read),
                });
            }
            Event::Phase(Phase::FinalRead) => final_reads = now,
            Event::Invoke { .. }
            | Event::Ok { .. }
            | Event::Fail { .. }
            | Event::Info { .. }
            | Event::Malformed { .. }
                if update.ended.is_none() =>
            {
                let place = || format!("record {}", record + 1);
                skip(&mut skipped, CONTRADICTIONS, false, place);
            }
            _ => {}
        }
        if let Some(ended) = update.ended {
            let transaction = &mut recording.transactions[places[ended as usize]];
            transaction.completed = Some(now);
            match event {
                Event::Ok { effects, .. } => {
                    transaction.outcome = Outcome::Committed;
                    transaction.operations.clear();
                    if let Some(found) = &update.read {
                        (transaction.operations, transaction.collections) = reader.found(found);
                    }
                    let writes = effects
                        .writes
                        .iter()
                        .map(|(key, value)| write(*key, *value));
                    transaction.operations.extend(writes);
                }
                Event::Fail { .. } => transaction.outcome = Outcome::Aborted,
                _ => {}
            }
        } else if let (Some(found), Some(session)) = (&update.read, session) {
            let (operations, collections) = reader.found(found);
            unlabelled.push(recording.transactions.len());
            recording.transactions.push(Transaction {
                session,
                label: 0,
                outcome: Outcome::Committed,
                collections,
                operations,
                invoked: now,
                began: final_reads,
                completed: Some(now),
                is_final_read: true,
            });
        }
    }
    for (place, label) in unlabelled.into_iter().zip(label..) {
        recording.transactions[place].label = label;
    }
    recording.skipped = skipped;
    order_emissions(&mut recording);
    recording
}

/// An emission of a live query that was recorded while a transaction was open came before it.
fn order_emissions(recording: &mut Recording) {
    let is_emission = |t: &Transaction| !t.is_final_read && t.began != t.invoked;
    if !recording.transactions.iter().any(is_emission) {
        return;
    }
    recording
        .transactions
        .sort_by_key(|transaction| match transaction {
            Transaction {
                outcome: Outcome::Committed,
                completed: Some(completed),
                ..
            } => *completed,
            transaction => transaction.invoked,
        });
}

/// The numbers of sessions, in the order in which something happened in them.
#[derive(Default)]
struct Sessions(HashMap<usize, u64>);

impl Sessions {
    /// The number of a session of the log; a new one enters the recording.
    fn number(&mut self, session: usize, log: &OperationLog, recording: &mut Recording) -> u64 {
        *self.0.entry(session).or_insert_with(|| {
            recording.sessions.push(match log.client_of(session) {
                POSTGRESQL => POSTGRESQL.to_lowercase(),
                client => client.to_owned(),
            });
            recording.sessions.len() as u64 - 1
        })
    }
}

/// In `list-append`, of lists as registers: whoever appends to a list without telling that it has read it reads what it
/// extends, as far as that is known; `extended` answers with the last element, by the number of the
/// operation and the key, none for the empty list.
pub(crate) fn read_what_is_extended(
    recording: &mut Recording,
    extended: impl Fn(u64, u32) -> Option<Option<i64>>,
) {
    for transaction in &mut recording.transactions {
        if transaction.outcome != Outcome::Committed || transaction.is_final_read {
            continue;
        }
        let mut read = Vec::new();
        for operation in &transaction.operations {
            let Operation::Write { key, .. } = *operation else {
                continue;
            };
            let is_read = |o: &Operation| matches!(o, Operation::Read { key: k, .. } if *k == key);
            if !transaction.operations.iter().any(is_read)
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

/// The reads of registers, and the lists or sets, that a transaction found.
type TransactionReads = (Vec<Operation>, Vec<(u64, Vec<u64>)>);

/// Registers from this key on are no rows: they stand for the order of transactions of siblings.
pub(crate) const ORDER: u64 = 1 << 32;

/// Puts the order of siblings' transactions into words of the models, in which each client is in a session of its
/// own: a transaction writes a register that is its own, and whoever began when it had ended has read that. The last
/// one of each sibling is enough, since that comes after the others in session order.
pub(crate) fn order_siblings(recording: &mut Recording, log: &OperationLog) {
    let of = |transaction: &Transaction| {
        let committed = transaction.outcome == Outcome::Committed;
        log.operation(transaction.label).filter(|_| committed)
    };
    // By session, in its order.
    let mut ended: HashMap<usize, Vec<OperationIndex>> = HashMap::new();
    for operation in recording.transactions.iter().filter_map(of) {
        let session = log.operations[operation as usize].session;
        if log.siblings(session).next().is_some() {
            ended.entry(session).or_default().push(operation);
        }
    }
    for operations in ended.values_mut() {
        operations.sort_unstable_by_key(|operation| log.order(*operation));
    }
    if ended.is_empty() {
        return;
    }
    let key = |operation: OperationIndex| ORDER + u64::from(operation);
    for transaction in &mut recording.transactions {
        let Some(operation) = of(transaction) else {
            continue;
        };
        let session = log.operations[operation as usize].session;
        for sibling in log.siblings(session) {
            let before = ended.get(&sibling).map_or(&[][..], Vec::as_slice);
            let began = log.began(operation);
            let count = before.partition_point(|earlier| log.order(*earlier) < began);
            if let Some(last) = count.checked_sub(1) {
                let (key, value) = (key(before[last]), Some(1));
                transaction.operations.push(Operation::Read { key, value });
            }
        }
        if ended.contains_key(&session) {
            let key = key(operation);
            transaction
                .operations
                .push(Operation::Write { key, value: 1 });
        }
    }
}

/// Understands what was read.
struct Reader {
    datatype: Datatype,
    /// Every key of lists and sets that the history knows.
    keys: BTreeSet<Key>,
}

impl Reader {
    fn found(&self, found: &Found) -> TransactionReads {
        let rows = found.rows.iter().map(|(key, value)| Operation::Read {
            key: u64::from(*key),
            value: (*value != INITIAL_VALUE).then_some(*value as u64),
        });
        match self.datatype {
            Datatype::Registers => (rows.collect(), Vec::new()),
            _ => (
                Vec::new(),
                self.collections(&found.asked, found.collections),
            ),
        }
    }

    /// The lists or sets that were told of; and those that were asked for and are missing are empty.
    fn collections(
        &self,
        asked: &Reads,
        collections: Option<&Collections>,
    ) -> Vec<(u64, Vec<u64>)> {
        let Some(returned) = collections else {
            return Vec::new();
        };
        let known: BTreeSet<Key> = returned.iter().map(|(key, _)| *key).collect();
        let read = returned.iter().map(|(key, text)| (*key, elements(text)));
        let asked: Vec<Key> = match asked {
            Reads::All => self.keys.iter().copied().collect(),
            Reads::Keys(keys) => keys.clone(),
            Reads::Nothing => Vec::new(),
        };
        let missing = asked.into_iter().filter(|key| !known.contains(key));
        read.chain(missing.map(|key| (key, Vec::new())))
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
        let effects = match &record.event {
            Event::Invoke { transaction, .. } => {
                keys.extend(&transaction.keys);
                continue;
            }
            Event::Ok { effects, .. } => Some(effects),
            Event::FinalReadPostgres { effects, .. } => effects.as_ref(),
            _ => continue,
        };
        let collections = effects.and_then(|effects| effects.collections.as_ref());
        keys.extend(collections.into_iter().flatten().map(|(key, _)| *key));
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
