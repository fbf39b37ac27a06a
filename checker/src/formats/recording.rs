//! Squall's own histories as transactions over registers.
//!
//! Of the workload `mww`, and of the same rows in the workload `ledger`: a row is a key, an operation a transaction that reads every row and then
//! writes some, and a final read a transaction too. A session is a database, as in [`crate::mww`]. The
//! value -1 of a row is its initial one. What registers have no word for is left out: faults, states,
//! rows that are missing, and the ledger.

use std::collections::HashMap;

use squall_protocol::history::{Event, Phase};
use squall_protocol::plan::{ClientKind, Workload};
use squall_protocol::transaction::{Collections, INITIAL_VALUE, Rows, Through};

use crate::history::History;
use crate::registers::{Builder, Outcome};

/// A read or a write.
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
    /// The client of each session.
    pub sessions: Vec<String>,
    /// In the order of their invocation.
    pub transactions: Vec<Transaction>,
    /// When the run began, in milliseconds since 1970.
    pub started_at_ms: u64,
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
        let mut recording = Recording {
            started_at_ms: history.header.started_at_ms,
            ..Recording::default()
        };
        let mut clients: HashMap<&str, Client> = HashMap::new();
        let kinds = history.header.clients.iter();
        let kinds: HashMap<&str, ClientKind> =
            kinds.map(|spec| (spec.name.as_str(), spec.kind)).collect();
        let lists = Lists(history.header.workload == Workload::ListAppend);
        let mut operations: HashMap<u64, usize> = HashMap::new();
        let mut label = 0;
        // When the phase of final reads began.
        let mut final_reads = Moment::default();
        for (record, event) in history.records.iter().enumerate() {
            let now = Moment {
                record,
                time: event.time,
            };
            match &event.event {
                Event::Invoke {
                    client,
                    operation,
                    transaction,
                } => {
                    // A number that comes again contradicts the rules; the first one counts.
                    if operations.contains_key(operation) {
                        continue;
                    }
                    label = label.max(operation.saturating_add(1));
                    operations.insert(*operation, recording.transactions.len());
                    let session = recording.session(&mut clients, &kinds, client);
                    let keys = transaction.keys.iter();
                    recording.transactions.push(Transaction {
                        session,
                        label: *operation,
                        outcome: Outcome::Unknown,
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
                | Event::Info { operation, .. } => {
                    let Some(transaction) = operations.get(operation) else {
                        continue;
                    };
                    let transaction = &mut recording.transactions[*transaction];
                    if transaction.completed.is_some() {
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
                            transaction.operations = reads_of(reads);
                            transaction
                                .operations
                                .extend(lists.last_elements(collections.as_ref()));
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
                    rows: Some(rows),
                    collections,
                    ..
                } => {
                    let session = recording.session(&mut clients, &kinds, client);
                    let mut reads = reads_of(rows);
                    reads.extend(lists.last_elements(collections.as_ref()));
                    recording.final_read(session, reads, now, final_reads);
                }
                Event::Phase(Phase::FinalRead) => final_reads = now,
                Event::FinalReadPostgres {
                    rows: Some(rows),
                    collections,
                    ..
                } => {
                    let session = recording.sessions.len() as u64;
                    recording.sessions.push("postgresql".to_owned());
                    let mut reads = reads_of(rows);
                    reads.extend(lists.last_elements(collections.as_ref()));
                    recording.final_read(session, reads, now, final_reads);
                }
                _ => {}
            }
        }
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

    fn final_read(&mut self, session: u64, operations: Vec<Operation>, now: Moment, began: Moment) {
        self.transactions.push(Transaction {
            session,
            label: 0,
            outcome: Outcome::Committed,
            operations,
            invoked: now,
            began,
            completed: Some(now),
            is_final_read: true,
        });
    }

    /// In `list-append`: whoever appends to a list without telling that it has read it reads what it
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

    /// Gives everything to a builder without an initial value. The order of the records is that of real
    /// time (see [`squall_protocol::history`]).
    pub fn build_into(&self, builder: &mut Builder) {
        for transaction in &self.transactions {
            let label = Some(transaction.label);
            let number = builder.transaction(transaction.session, label, transaction.outcome);
            let completed = transaction.completed.map(|moment| moment.record as u64);
            builder.times(number, transaction.began.record as u64, completed);
            for operation in &transaction.operations {
                match *operation {
                    Operation::Read { key, value: None } => builder.read_initial(number, key),
                    Operation::Read {
                        key,
                        value: Some(value),
                    } => builder.read(number, key, value),
                    Operation::Write { key, value } => builder.write(number, key, value),
                }
            }
        }
    }
}

/// Whether the workload has lists; then a list is a register whose value is the last element.
struct Lists(bool);

impl Lists {
    fn last_elements(&self, collections: Option<&Collections>) -> Vec<Operation> {
        let lists = collections.filter(|_| self.0).into_iter().flatten();
        lists
            .filter_map(|(key, text)| {
                let value = match text.rsplit(' ').next().filter(|last| !last.is_empty()) {
                    // What is no element is told of by the workload's own check.
                    Some(last) => Some(last.parse().ok()?),
                    None => None,
                };
                Some(Operation::Read {
                    key: u64::from(*key),
                    value,
                })
            })
            .collect()
    }
}

fn reads_of(rows: &Rows) -> Vec<Operation> {
    let read = |(key, value): &(u32, i64)| Operation::Read {
        key: u64::from(*key),
        value: (*value != INITIAL_VALUE).then_some(*value as u64),
    };
    rows.iter().map(read).collect()
}

/// Values are never negative in a history that squall made, so that nothing is lost in a `u64`.
fn write(key: u32, value: i64) -> Operation {
    Operation::Write {
        key: u64::from(key),
        value: value as u64,
    }
}
