//! Transactions over registers, lists or sets, as they were recorded: what a program that has done
//! transactions keeps of them. [`Recording::build`] makes them a history to be checked by a model, and
//! [`export`](crate::formats::export) writes them in the formats of other checkers.

use std::collections::HashSet;

use crate::formats::Skipped;
use crate::registers::{BuildError, ListBuilder, Outcome, Registers, SetBuilder};

/// What the keys of a recording hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Datatype {
    #[default]
    Registers,
    Lists,
    Sets,
}

/// What stands in a list or set for something that is no element: nobody writes it, so that it is read out of
/// thin air.
pub const NO_ELEMENT: u64 = u64::MAX;

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

/// A transaction and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// An index into [`Recording::sessions`].
    pub session: u64,
    /// Unique in the recording.
    pub label: u64,
    pub outcome: Outcome,
    /// The lists and sets that it read whole, before its operations: pairs of key and elements.
    pub collections: Vec<(u64, Vec<u64>)>,
    /// If it did not commit, only what it may have written.
    pub operations: Vec<Operation>,
    pub invoked: Moment,
    /// It began then or later. That may be long before it was recorded as invoked: an emission of a live
    /// query is recorded when it arrives.
    pub began: Moment,
    /// None if that was never recorded.
    pub completed: Option<Moment>,
    /// Whether it read everything once all was over.
    pub is_final_read: bool,
}

/// Transactions as they were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    pub datatype: Datatype,
    /// How each session is called.
    pub sessions: Vec<String>,
    /// In the order of their invocation.
    pub transactions: Vec<Transaction>,
    /// When the run began, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// Records that contradict what was recorded before.
    pub skipped: Vec<Skipped>,
}

impl Recording {
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
    pub fn of_what_ended(mut self) -> Option<Recording> {
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

    /// The history to be checked by a model; without an initial value, and with `values_are_versions` of
    /// registers as for [`Builder::values_are_versions`](crate::registers::Builder::values_are_versions).
    /// The order of the records is that of real time.
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
