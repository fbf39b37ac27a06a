//! From operations to a history in which every read knows its writer.
//!
//! Linear in the number of operations where values grow as time goes by, otherwise that times its
//! logarithm. Operations may come in any interleaving of the transactions,
//! but in program order within a transaction, and transactions in session order within a session.

use std::cell::Cell;
use std::ops::Range;

use super::anomaly::{Anomalies, AnomalyKind, KeyLabels, TransactionName};
use super::lists::{List, Order, Wrong};
use super::near::partition_point;
use super::{INITIAL, Merge, NONE, Node, Read, Registers, Versions};

/// Whether a transaction took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    /// It did not; its writes must not be seen.
    Aborted,
    /// It may have. Only its writes count, once somebody has read one.
    Unknown,
}

/// Why operations do not make a history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error(
        "key {key}, value {value}: written by two transactions; writes must be unique, so that a \
         read tells which write it saw"
    )]
    NotUnique {
        /// As they are called in the history.
        key: String,
        value: String,
    },
    #[error("more than {MAX_OPERATIONS} operations are more than the checker takes")]
    TooLarge,
}

/// The highest number of reads and writes in a history.
pub const MAX_OPERATIONS: usize = 1 << 31;

#[derive(Clone, Copy)]
struct Operation {
    /// An index into [`Builder::transactions`].
    transaction: u32,
    /// The key's number, with the kind in the highest bits.
    key_and_kind: u32,
    value: u64,
}

const WRITE: u32 = 1 << 31;
const READS_INITIAL: u32 = 1 << 30;
/// Reads what others wrote, even after an own write.
const OF_OTHERS: u32 = 1 << 29;
const KEY: u32 = OF_OTHERS - 1;

impl Operation {
    fn key(self) -> u32 {
        self.key_and_kind & KEY
    }

    fn is_write(self) -> bool {
        self.key_and_kind & WRITE != 0
    }

    fn reads_initial(self) -> bool {
        self.key_and_kind & READS_INITIAL != 0
    }
}

struct Transaction {
    name: TransactionName,
    session: u32,
    outcome: Outcome,
}

/// Takes the operations of a history, then makes it.
pub struct Builder {
    initial: Option<u64>,
    /// Whether somebody writes the initial value.
    initial_written: bool,
    keep_versions: bool,
    operations: Vec<Operation>,
    transactions: Vec<Transaction>,
    sessions: Numbers,
    keys: Numbers,
    key_labels: KeyLabels,
    /// By transaction, as far as given: begin, and end if known.
    times: Vec<Option<(u64, Option<u64>)>>,
    error: Option<BuildError>,
}

impl Builder {
    /// A builder for a history in which every key holds `initial` at first. It may be written too: who
    /// reads it, of a key to which a transaction that was not aborted has written it, has read that
    /// write. Without an initial value, what nobody wrote is a thin-air read; see
    /// [`Builder::read_initial`].
    pub fn new(initial: Option<u64>) -> Self {
        Builder {
            initial,
            initial_written: false,
            keep_versions: false,
            operations: Vec::new(),
            transactions: Vec::new(),
            sessions: Numbers::default(),
            keys: Numbers::default(),
            key_labels: KeyLabels::default(),
            times: Vec::new(),
            error: None,
        }
    }

    /// The values are versions: of two values of a key, the higher one wins wherever they meet. Makes
    /// the history fit for [`Model::CausalPerKey`](super::Model::CausalPerKey).
    pub fn values_are_versions(&mut self) {
        self.keep_versions = true;
    }

    /// How a key is called in explanations, if not by its number.
    pub fn name_key(&mut self, key: u64, name: String) {
        self.key_labels.names.insert(key, name);
    }

    /// How a value is called in explanations, if not by its number.
    pub fn name_value(&mut self, value: u64, name: String) {
        self.key_labels.values.insert(value, name);
    }

    /// Keys are elements of sets: for each key, from 0, the labels have its set and the element.
    pub(super) fn keys_are_elements(&mut self, labels: KeyLabels) {
        self.key_labels = labels;
    }

    /// When a transaction began and ended, on one clock for all transactions, in any unit. Needed of
    /// every committed one for
    /// [`Model::StrictSerializability`](super::Model::StrictSerializability). Ends of transactions that
    /// did not commit do not matter.
    pub fn times(&mut self, transaction: u32, begin: u64, end: Option<u64>) {
        let at = transaction as usize;
        if self.times.len() <= at {
            self.times.resize(at + 1, None);
        }
        self.times[at] = Some((begin, end));
    }

    /// Begins a transaction, after all others of its session. The answer stands for it.
    pub fn transaction(&mut self, session: u64, label: Option<u64>, outcome: Outcome) -> u32 {
        let number = self.sessions.number(session);
        self.transactions.push(Transaction {
            name: TransactionName { session, label },
            session: number,
            outcome,
        });
        (self.transactions.len() - 1) as u32
    }

    /// Changes what became of a transaction.
    pub fn set_outcome(&mut self, transaction: u32, outcome: Outcome) {
        self.transactions[transaction as usize].outcome = outcome;
    }

    pub fn read(&mut self, transaction: u32, key: u64, value: u64) {
        let kind = if self.initial == Some(value) {
            READS_INITIAL
        } else {
            0
        };
        self.operation(transaction, key, kind, value);
    }

    /// A read that returned the initial value, in a format that has a special word for it.
    pub fn read_initial(&mut self, transaction: u32, key: u64) {
        self.operation(transaction, key, READS_INITIAL, 0);
    }

    pub fn write(&mut self, transaction: u32, key: u64, value: u64) {
        self.initial_written |= self.initial == Some(value);
        self.operation(transaction, key, WRITE, value);
    }

    /// A read that returned what another transaction wrote, even after an own write: part of a list.
    pub(super) fn read_of_others(&mut self, transaction: u32, key: u64, value: Option<u64>) {
        let kind = OF_OTHERS | if value.is_none() { READS_INITIAL } else { 0 };
        self.operation(transaction, key, kind, value.unwrap_or(0));
    }

    fn operation(&mut self, transaction: u32, key: u64, kind: u32, value: u64) {
        let key = self.keys.number(key);
        if self.operations.len() >= MAX_OPERATIONS || key > KEY {
            self.error.get_or_insert(BuildError::TooLarge);
            return;
        }
        self.operations.push(Operation {
            transaction,
            key_and_kind: key | kind,
            value,
        });
    }

    /// Makes the history.
    pub fn finish(self) -> Result<Registers, BuildError> {
        self.finish_lists(Vec::new(), Vec::new())
    }

    /// Makes a history in which the order of some versions is known, and some things are wrong already.
    pub(super) fn finish_lists(
        mut self,
        orders: Vec<Order>,
        wrong: Vec<Wrong>,
    ) -> Result<Registers, BuildError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.initial_written {
            self.read_written_initial_values();
        }
        self.sort();
        let starts = self.starts();
        let written = Written::new(self.keys.len(), &self.operations);
        let written = written.map_err(|(key, value)| BuildError::NotUnique {
            key: self.key_labels.of(self.keys.names[key as usize]),
            value: self.key_labels.value(value),
        })?;
        let mut own = OwnWrites::new(self.keys.len());
        let mut resolver = Resolver {
            builder: &self,
            written: &written,
            observed: vec![false; self.transactions.len()],
            anomalies: Anomalies::default(),
            first_read: vec![(NONE, NONE); self.keys.len()],
            versions: Vec::new(),
        };
        let mut read_starts = Vec::with_capacity(self.transactions.len() + 1);
        let mut reads = Vec::with_capacity(self.operations.len() - written.writes.len());
        for transaction in 0..self.transactions.len() {
            read_starts.push(reads.len() as u32);
            if self.transactions[transaction].outcome == Outcome::Committed {
                let range = starts[transaction] as usize..starts[transaction + 1] as usize;
                resolver.reads(transaction as Node, range, &mut own, &mut reads);
            }
        }
        read_starts.push(reads.len() as u32);
        let lists = resolver.lists(orders, &wrong);
        let mut committed_reads = self.operations.iter().filter(|operation| {
            let reader = &self.transactions[operation.transaction as usize];
            !operation.is_write() && reader.outcome == Outcome::Committed
        });
        let tested = committed_reads.any(|read| !written.places[read.key() as usize].is_empty());
        let Resolver {
            observed,
            anomalies,
            versions,
            ..
        } = resolver;
        drop(written);
        let versions = self.keep_versions.then_some(Versions {
            of_reads: versions,
            of_writes: Vec::new(),
        });
        let nodes = self.nodes(&observed);
        let mut registers =
            self.assemble(&starts, read_starts, reads, &nodes, anomalies, versions)?;
        registers.tested = tested;
        registers.add_lists(lists, &nodes);
        Ok(registers)
    }

    /// Reads of an initial value that was written become reads of the write.
    fn read_written_initial_values(&mut self) {
        let initial = self.initial;
        let is_initial = |operation: &Operation| Some(operation.value) == initial;
        let mut written = vec![false; self.keys.len()];
        for write in self.operations.iter().filter(|o| o.is_write()) {
            let writer = &self.transactions[write.transaction as usize];
            if is_initial(write) && writer.outcome != Outcome::Aborted {
                written[write.key() as usize] = true;
            }
        }
        for operation in self.operations.iter_mut().filter(|o| is_initial(o)) {
            if written[operation.key() as usize] {
                operation.key_and_kind &= !READS_INITIAL;
            }
        }
    }

    /// Brings the operations of each transaction together.
    fn sort(&mut self) {
        if !self
            .operations
            .is_sorted_by_key(|operation| operation.transaction)
        {
            self.operations
                .sort_by_key(|operation| operation.transaction);
        }
    }

    fn starts(&self) -> Vec<u32> {
        let mut starts = vec![0; self.transactions.len() + 1];
        for operation in &self.operations {
            starts[operation.transaction as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        starts
    }

    /// The index of every transaction, [`NONE`] for what was aborted or never observed.
    fn nodes(&self, observed: &[bool]) -> Vec<Node> {
        let mut count = 0;
        let transactions = self.transactions.iter().zip(observed);
        transactions
            .map(|(transaction, observed)| {
                let exists = match transaction.outcome {
                    Outcome::Committed => true,
                    Outcome::Aborted => false,
                    Outcome::Unknown => *observed,
                };
                let node = if exists { count } else { NONE };
                count += Node::from(exists);
                node
            })
            .collect()
    }

    /// Leaves out what was aborted or never observed, and puts everything together.
    fn assemble(
        self,
        starts: &[u32],
        read_starts: Vec<u32>,
        mut reads: Vec<Read>,
        nodes: &[Node],
        mut anomalies: Anomalies,
        mut versions: Option<Versions>,
    ) -> Result<Registers, BuildError> {
        let count = nodes.iter().filter(|node| **node != NONE).count() as Node;
        let mut registers = Registers {
            places: Vec::with_capacity(count as usize),
            previous: Vec::with_capacity(count as usize),
            session_count: self.sessions.len(),
            read_starts: Vec::with_capacity(count as usize + 1),
            reads: Vec::new(),
            write_starts: Vec::with_capacity(count as usize + 1),
            writes: Vec::new(),
            key_count: self.keys.len(),
            transaction_names: Vec::with_capacity(count as usize),
            key_names: Vec::new(),
            key_labels: self.key_labels,
            anomalies: Anomalies::default(),
            versions: None,
            known: Vec::new(),
            lists: Vec::new(),
            list_places: Vec::new(),
            merge: if self.keep_versions {
                Merge::PerKey
            } else {
                Merge::Transaction
            },
            times: None,
            operations: self.operations.len() as u64,
            tested: false,
        };
        // The last transaction of each session, and how many there are.
        let mut last: Vec<(Node, u32)> = vec![(NONE, 0); self.sessions.len()];
        for (at, transaction) in self.transactions.iter().enumerate() {
            if nodes[at] == NONE {
                continue;
            }
            let (previous, position) = &mut last[transaction.session as usize];
            registers.previous.push(*previous);
            if transaction.outcome == Outcome::Committed {
                registers.places.push((transaction.session, *position));
                *previous = nodes[at];
                *position += 1;
            } else {
                // Nothing follows it, so it gets a session of its own.
                registers.places.push((registers.session_count as u32, 0));
                registers.session_count += 1;
            }
            registers.transaction_names.push(transaction.name);
            // Aborted and unknown transactions have no reads, so these stay where they are.
            registers.read_starts.push(read_starts[at]);
            registers.write_starts.push(registers.writes.len() as u32);
            let begin = registers.writes.len();
            let range = starts[at] as usize..starts[at + 1] as usize;
            let writes = self.operations[range].iter().filter(|o| o.is_write());
            registers.writes.extend(writes.map(|o| o.key()));
            registers.writes[begin..].sort_unstable();
            dedup_from(&mut registers.writes, begin);
            if let Some(versions) = &mut versions {
                let keys = &registers.writes[begin..];
                versions.of_writes.resize(registers.writes.len(), 0);
                let range = starts[at] as usize..starts[at + 1] as usize;
                for operation in self.operations[range].iter().filter(|o| o.is_write()) {
                    // The last write of a key is the one that counts.
                    if let Ok(place) = keys.binary_search(&operation.key()) {
                        versions.of_writes[begin + place] = version(operation.value);
                    }
                }
            }
        }
        registers.read_starts.push(reads.len() as u32);
        registers.write_starts.push(registers.writes.len() as u32);
        if count as usize != self.transactions.len() {
            for read in &mut reads {
                if read.writer != INITIAL {
                    read.writer = nodes[read.writer as usize];
                }
            }
        }
        let times = self
            .transactions
            .iter()
            .enumerate()
            .map(|(at, transaction)| {
                let given = self.times.get(at).copied().flatten();
                match (transaction.outcome, given) {
                    (Outcome::Committed, Some((begin, Some(end)))) => Some((begin, end)),
                    (Outcome::Committed, _) => None,
                    // It may have taken effect at any time from then on.
                    (_, given) => Some((given.map_or(0, |(begin, _)| begin), u64::MAX)),
                }
            });
        let present = times
            .enumerate()
            .filter(|(at, _)| nodes[*at] != NONE)
            .map(|(_, times)| times);
        registers.times = present.collect();
        anomalies.sort();
        registers.reads = reads;
        registers.key_names = self.keys.names;
        registers.anomalies = anomalies;
        registers.versions = versions;
        Ok(registers)
    }
}

/// Removes repetitions from the sorted end of a vector.
fn dedup_from(values: &mut Vec<u32>, begin: usize) {
    let mut kept = begin;
    for at in begin..values.len() {
        if at == begin || values[at] != values[kept - 1] {
            values[kept] = values[at];
            kept += 1;
        }
    }
    values.truncate(kept);
}

/// A value as a version. The initial value is version 0, before all others.
fn version(value: u64) -> u64 {
    value.saturating_add(1)
}

/// Resolves reads to writers.
struct Resolver<'b> {
    builder: &'b Builder,
    written: &'b Written,
    observed: Vec<bool>,
    anomalies: Anomalies,
    /// For each key which transaction read it last, and from whom.
    first_read: Vec<(Node, Node)>,
    /// In parallel to the reads, if they are wanted.
    versions: Vec<u64>,
}

impl Resolver<'_> {
    fn reads(
        &mut self,
        transaction: Node,
        range: Range<usize>,
        own: &mut OwnWrites,
        reads: &mut Vec<Read>,
    ) {
        own.begin();
        for operation in &self.builder.operations[range] {
            let key = operation.key();
            if operation.is_write() {
                own.set(key, operation.value);
                continue;
            }
            let of_others = operation.key_and_kind & OF_OTHERS != 0;
            if let Some(value) = own.get(key)
                && !of_others
            {
                if operation.reads_initial() || operation.value != value {
                    self.wrong(AnomalyKind::NotOwnWrite, transaction, *operation, None);
                }
                continue;
            }
            let writer = if operation.reads_initial() {
                INITIAL
            } else {
                match self.written.find(key, operation.value) {
                    None => {
                        self.wrong(AnomalyKind::ThinAirRead, transaction, *operation, None);
                        continue;
                    }
                    Some((writer, intermediate)) => {
                        let outcome = self.builder.transactions[writer as usize].outcome;
                        let wrong = if writer == transaction {
                            Some(AnomalyKind::FutureRead)
                        } else if outcome == Outcome::Aborted {
                            Some(AnomalyKind::AbortedRead)
                        } else if intermediate {
                            Some(AnomalyKind::IntermediateRead)
                        } else {
                            None
                        };
                        if let Some(wrong) = wrong {
                            self.wrong(wrong, transaction, *operation, Some(writer));
                        }
                        if matches!(
                            wrong,
                            Some(AnomalyKind::FutureRead | AnomalyKind::AbortedRead)
                        ) {
                            continue;
                        }
                        self.observed[writer as usize] = true;
                        writer
                    }
                }
            };
            let first = &mut self.first_read[key as usize];
            if first.0 != transaction {
                *first = (transaction, writer);
            } else if first.1 != writer {
                self.wrong(
                    AnomalyKind::NonRepeatableRead,
                    transaction,
                    *operation,
                    Some(writer),
                );
            }
            reads.push(Read { key, writer });
            if self.builder.keep_versions {
                let initial = operation.reads_initial();
                self.versions
                    .push(if initial { 0 } else { version(operation.value) });
            }
        }
    }

    /// Looks up who wrote the elements of lists.
    fn lists(&mut self, orders: Vec<Order>, wrong: &[Wrong]) -> Vec<List> {
        for wrong in wrong {
            self.wrong_element(wrong.kind, wrong.reader, wrong.key, wrong.element);
        }
        let mut lists = Vec::new();
        for order in orders {
            let Some(key) = self.builder.keys.get(order.key) else {
                continue;
            };
            // The last element is a matter of the reads.
            for element in order.elements.iter().rev().skip(1).rev() {
                match self.written.find(key, *element) {
                    None => {
                        let kind = AnomalyKind::ThinAirRead;
                        self.wrong_element(kind, order.reader, order.key, Some(*element));
                    }
                    Some((writer, _)) => {
                        let outcome = self.builder.transactions[writer as usize].outcome;
                        if outcome == Outcome::Aborted {
                            let kind = AnomalyKind::AbortedRead;
                            self.wrong_element(kind, order.reader, order.key, Some(*element));
                        }
                        self.observed[writer as usize] = true;
                    }
                }
            }
            let find = |element| self.written.find(key, element).map(|(writer, _)| writer);
            let (writers, torn) = order.writers(find);
            if torn.is_some() {
                let kind = AnomalyKind::IntermediateRead;
                self.wrong_element(kind, order.reader, order.key, torn);
            }
            let contradicted = wrong.iter().any(|wrong| wrong.key == order.key);
            lists.push(List::new(key, writers, order.appended, contradicted));
        }
        lists
    }

    fn wrong_element(&mut self, kind: AnomalyKind, reader: u32, key: u64, element: Option<u64>) {
        let builder = self.builder;
        let reader = builder.transactions[reader as usize].name;
        let key = || builder.key_labels.of(key);
        let element = || element.map(|element| builder.key_labels.value(element));
        self.anomalies.add_read(kind, reader, key, element, None);
    }

    fn wrong(
        &mut self,
        kind: AnomalyKind,
        transaction: Node,
        operation: Operation,
        writer: Option<Node>,
    ) {
        let names = &self.builder.transactions;
        let labels = &self.builder.key_labels;
        let value = || (!operation.reads_initial()).then(|| labels.value(operation.value));
        self.anomalies.add_read(
            kind,
            names[transaction as usize].name,
            || {
                self.builder
                    .key_labels
                    .of(self.builder.keys.names[operation.key() as usize])
            },
            value,
            writer
                .filter(|writer| *writer < NONE)
                .map(|writer| names[writer as usize].name),
        );
    }
}

/// What the current transaction has written to each key so far.
struct OwnWrites {
    /// The transaction, counted from 1, and the value.
    entries: Vec<(u32, u64)>,
    current: u32,
}

impl OwnWrites {
    fn new(keys: usize) -> Self {
        OwnWrites {
            entries: vec![(0, 0); keys],
            current: 0,
        }
    }

    fn begin(&mut self) {
        self.current += 1;
    }

    fn get(&self, key: u32) -> Option<u64> {
        let (transaction, value) = self.entries[key as usize];
        (transaction == self.current).then_some(value)
    }

    fn set(&mut self, key: u32, value: u64) {
        self.entries[key as usize] = (self.current, value);
    }
}

/// Who wrote which value to which key: the writes of each key, by value.
///
/// That takes less memory than a hash table, and less time: values mostly grow as time goes by, so that
/// there is little to sort, and a read is mostly of a value near the last one that was looked up, where
/// the processor's cache has it. Otherwise looking up takes logarithmic time.
struct Written {
    writes: Vec<Write>,
    /// For each key the place of its writes.
    places: Vec<Range<u32>>,
    /// For each key where the last value was found among them.
    last_found: Vec<Cell<u32>>,
}

#[derive(Clone, Copy, Default)]
struct Write {
    value: u64,
    /// The transaction; the highest bit marks an intermediate write.
    writer: u32,
}

const INTERMEDIATE: u32 = 1 << 31;

impl Write {
    fn transaction(&self) -> u32 {
        self.writer & !INTERMEDIATE
    }
}

impl Written {
    /// Takes operations, ordered by transaction. The error is the number of a key, and a value that two
    /// transactions wrote to it.
    fn new(keys: usize, operations: &[Operation]) -> Result<Self, (u32, u64)> {
        let writes = || operations.iter().filter(|operation| operation.is_write());
        let mut places = vec![0..0; keys];
        for operation in writes() {
            places[operation.key() as usize].end += 1;
        }
        let mut begin = 0;
        for place in &mut places {
            let count = place.end;
            *place = begin..begin;
            begin += count;
        }
        let mut written = Written {
            writes: vec![Write::default(); begin as usize],
            places,
            last_found: vec![Cell::new(0); keys],
        };
        for operation in writes() {
            let place = &mut written.places[operation.key() as usize];
            // An earlier write of the same transaction to this key is not its last.
            if let Some(before) =
                written.writes[place.start as usize..place.end as usize].last_mut()
                && before.writer == operation.transaction
            {
                before.writer |= INTERMEDIATE;
            }
            written.writes[place.end as usize] = Write {
                value: operation.value,
                writer: operation.transaction,
            };
            place.end += 1;
        }
        for (key, place) in (0..).zip(&written.places) {
            let writes = &mut written.writes[place.start as usize..place.end as usize];
            if !writes.is_sorted_by(|a, b| a.value < b.value) {
                writes.sort_by_key(|write| write.value);
                let mut pairs = writes.windows(2);
                let twice = pairs.find(|pair| {
                    pair[0].value == pair[1].value && pair[0].transaction() != pair[1].transaction()
                });
                if let Some(twice) = twice {
                    return Err((key, twice[0].value));
                }
            }
        }
        Ok(written)
    }

    /// The transaction that wrote the value, and whether it wrote another one to the key later.
    fn find(&self, key: u32, value: u64) -> Option<(u32, bool)> {
        let place = &self.places[key as usize];
        let writes = &self.writes[place.start as usize..place.end as usize];
        let last_found = &self.last_found[key as usize];
        let near = last_found.get() as usize;
        let after = partition_point(writes, near, |write| write.value <= value);
        let at = after.checked_sub(1)?;
        last_found.set(at as u32);
        let write = &writes[at];
        (write.value == value).then(|| (write.transaction(), write.writer & INTERMEDIATE != 0))
    }
}

/// Numbers names in the order of their appearance.
#[derive(Default)]
struct Numbers {
    /// By name, for small names; [`NONE`] where there is no number yet.
    small: Vec<u32>,
    large: std::collections::HashMap<u64, u32>,
    names: Vec<u64>,
}

/// Names below this have their numbers in an array.
const SMALL: u64 = 1 << 20;

impl Numbers {
    fn number(&mut self, name: u64) -> u32 {
        let next = self.names.len() as u32;
        let number = if name < SMALL {
            if name as usize >= self.small.len() {
                self.small.resize(name as usize + 1, NONE);
            }
            let number = &mut self.small[name as usize];
            if *number == NONE {
                *number = next;
            }
            *number
        } else {
            *self.large.entry(name).or_insert(next)
        };
        if number == next {
            self.names.push(name);
        }
        number
    }

    /// The number of a name that has one.
    fn get(&self, name: u64) -> Option<u32> {
        let number = if name < SMALL {
            self.small.get(name as usize).copied().unwrap_or(NONE)
        } else {
            self.large.get(&name).copied().unwrap_or(NONE)
        };
        (number != NONE).then_some(number)
    }

    fn len(&self) -> usize {
        self.names.len()
    }
}
