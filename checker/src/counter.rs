//! The workload `counter`: definitions first, then where each is decided.
//!
//! Every key is a counter, 0 at first, to which transactions add: each its own amount, positive and unique
//! in the history ([`squall_workloads`]' `counter` says how it is made from the transaction's value). An
//! amount added never goes away, so of any counter a replica can only come to hold more.
//!
//! | property | what a read of a counter may not be |
//! | --- | --- |
//! | read your writes | less than it was when the session itself had last added to it, with what it added |
//! | monotonic reads | less than the session had read there, or knew of by another's read |
//! | no thin-air read | more than everything that was added by transactions that had been invoked and did not fail; nor may a counter be missing, or there twice |
//!
//! At the end, once everything is quiet:
//!
//! - *durability*: no final read holds less than the sum of what was acknowledged,
//! - *no duplicate transaction*: nor more than the sum of what may have happened,
//! - *strong convergence*: all hold the same.
//!
//! # What this workload can not show
//!
//! A sum does not say whose amounts are in it. So nothing is said of torn transactions, nor of the order in
//! which others' transactions become visible.
//!
//! # When something is told
//!
//! What may have been added is known once what was under way at the time of a read has ended; until then a
//! read that is above the rest waits. Everything else is judged at once.
//!
//! # Cost
//!
//! Time linear in the rows that were read and written, times the transactions under way for reads that
//! wait; memory in the counters times the sessions.

use std::collections::{BTreeMap, HashMap};

use squall_protocol::history::{Event, Header};
use squall_protocol::transaction::{Key, Reads as Asked, Value};
use squall_protocol::verdict::{Counts, Property, Step, Verdict, Violation};

use crate::book::{Book, Ending, FINAL_READ, Found, News, OperationIndex};
use crate::collections::end;
use crate::evidence::{Findings, Told};
use crate::history::History;
use crate::mww::explain::{self, place};
use crate::mww::index::{Index, Outcome, Read};
use crate::mww::recovery::{NotRead, Probes, Recovery, Unseen};
use crate::mww::{self, MAX_KEYS, strong_convergence, words};
use crate::online::Finding;

/// The properties that this workload is judged by, in the order in which they are reported.
pub(crate) const PROPERTIES: [Property; 9] = [
    Property::ReadYourWrites,
    Property::MonotonicReads,
    Property::NoThinAirRead,
    Property::StrongConvergence,
    Property::StorageIntact,
    Property::QueueDrained,
    Property::RecoveredInTime,
    Property::Durability,
    Property::NoDuplicateTransaction,
];

/// Judges a history of the workload `counter`.
pub fn check(history: &History) -> Verdict {
    let counts = mww::counts(history);
    if history.header.keys > MAX_KEYS {
        return mww::too_large(&history.header, counts);
    }
    let mut counters = Counters::new(&history.header);
    for record in &history.records {
        counters.push(&record.event);
    }
    counters.verdict(Index::new(history), counts)
}

/// What a transaction of that value adds to a counter.
fn amount(value: Value) -> Value {
    value.saturating_add(1)
}

/// Judges counters event by event.
#[derive(Clone)]
pub(crate) struct Counters {
    book: Book,
    /// How many operations of the book are counted in `invoked`.
    counted: usize,
    /// Of each counter the sum of what was added by transactions that have been invoked and did not fail.
    invoked: HashMap<Key, Value>,
    pending: Vec<OperationIndex>,
    /// For each session what its counters hold at least.
    floors: Vec<HashMap<Key, Floor>>,
    waiting: Vec<Waiting>,
    told: Told,
}

/// What a counter holds at least, as far as its session knows.
#[derive(Clone, Copy)]
struct Floor {
    value: Value,
    /// The operation that shows it.
    by: OperationIndex,
    /// Whether that added to it; otherwise it has read it.
    own: bool,
}

/// A read that may be above everything that was added.
#[derive(Clone)]
struct Waiting {
    place: usize,
    reader: Step,
    key: Key,
    value: Value,
    /// All that may have been added, what is under way included.
    bound: Value,
    pending: Vec<OperationIndex>,
}

impl Counters {
    pub fn new(header: &Header) -> Self {
        Counters {
            book: Book::new(header),
            counted: 0,
            invoked: HashMap::new(),
            pending: Vec::new(),
            floors: Vec::new(),
            waiting: Vec::new(),
            told: Told::new([
                Property::ReadYourWrites,
                Property::MonotonicReads,
                Property::NoThinAirRead,
            ]),
        }
    }

    /// Takes the next event, and tells the violations that are certain since then.
    pub fn push(&mut self, event: &Event) -> Vec<Finding> {
        let News {
            ended,
            read,
            broken,
        } = self.book.push(event);
        self.floors
            .resize_with(self.book.sessions(), HashMap::default);
        for (number, operation) in (0..).zip(&self.book.operations).skip(self.counted) {
            for key in &operation.written {
                *self.invoked.entry(*key).or_default() += amount(operation.value);
            }
            self.pending.push(number);
        }
        self.counted = self.book.operations.len();
        if let Some(violation) = broken {
            self.told.tell(Property::StorageIntact, violation);
        }
        if let Some(ended) = ended {
            self.pending.retain(|pending| *pending != ended);
            self.withdraw(ended);
        }
        if let Some(read) = read {
            self.judge(&read);
        }
        if let Some(ended) = ended {
            self.add_own(ended);
        }
        self.told.take()
    }

    /// Takes back what an operation that has ended did not add after all.
    fn withdraw(&mut self, ended: OperationIndex) {
        let operation = &self.book.operations[ended as usize];
        let not_added = match operation.ending {
            Ending::Failed => &operation.written,
            _ => &operation.left_out,
        };
        let amount = amount(operation.value);
        for key in not_added {
            *self.invoked.entry(*key).or_default() -= amount;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain_mut(|read| {
            let Some(at) = read.pending.iter().position(|pending| *pending == ended) else {
                return true;
            };
            read.pending.swap_remove(at);
            if not_added.contains(&read.key) {
                read.bound -= amount;
            }
            if read.value > read.bound {
                let violation = too_much(&read.reader, read.key, read.value, read.bound);
                self.told
                    .violate(Property::NoThinAirRead, read.place, || violation);
            }
            read.value <= read.bound && !read.pending.is_empty()
        });
        self.waiting = waiting;
    }

    fn judge(&mut self, read: &Found) {
        self.count_rows(read);
        // Of each counter what transactions that are under way add.
        let mut under_way: HashMap<Key, Value> = HashMap::new();
        for pending in &self.pending {
            let operation = &self.book.operations[*pending as usize];
            for key in &operation.written {
                *under_way.entry(*key).or_default() += amount(operation.value);
            }
        }
        let own = self.book.operations.get(read.operation as usize);
        let own = own.map(|own| (amount(own.value), own.written.clone()));
        for &(key, value) in read.rows {
            if key >= self.book.keys {
                let violation = no_counter(&self.step(read), key, value);
                self.told
                    .violate(Property::NoThinAirRead, read.completed, || violation);
                continue;
            }
            self.judge_floor(read, key, value);
            if read.operation == FINAL_READ {
                // What it holds too much is judged at the end.
                continue;
            }
            let own = match &own {
                Some((amount, written)) if written.contains(&key) => *amount,
                _ => 0,
            };
            let bound = self.invoked.get(&key).copied().unwrap_or_default() - own;
            let certain = bound - under_way.get(&key).copied().unwrap_or_default();
            self.told.of(Property::NoThinAirRead).exercise(1);
            if value > bound || value < 0 {
                let violation = too_much(&self.step(read), key, value, bound);
                self.told
                    .violate(Property::NoThinAirRead, read.completed, || violation);
            } else if value > certain {
                self.waiting.push(Waiting {
                    place: read.completed,
                    reader: self.step(read),
                    key,
                    value,
                    bound,
                    pending: self.pending.clone(),
                });
            }
        }
    }

    /// Every counter that was to be read is there, once.
    fn count_rows(&mut self, read: &Found) {
        let keys = self.book.keys;
        let mut found: Vec<Key> = read.rows.iter().map(|(key, _)| *key).collect();
        found.sort_unstable();
        found.retain(|key| *key < keys);
        let rows = found.len();
        found.dedup();
        let repeated = (rows - found.len()) as u64;
        let lacks = |key: &Key| found.binary_search(key).is_err();
        let missing: Vec<Key> = match &read.asked {
            Asked::All if found.len() == keys as usize => Vec::new(),
            Asked::All => (0..keys).filter(lacks).collect(),
            Asked::Keys(asked) => asked.iter().copied().filter(lacks).collect(),
            Asked::Nothing => Vec::new(),
        };
        let reader = || self.book.step(read.session, read.operation);
        if let Some(first) = missing.first() {
            let missed = missing.len() as u64;
            let violation = explain::missing_rows(reader(), *first, missed);
            self.told
                .violate_times(Property::NoThinAirRead, missed, read.completed, || {
                    violation
                });
        }
        if repeated > 0 {
            let violation = explain::repeated_rows(reader(), repeated);
            self.told
                .violate_times(Property::NoThinAirRead, repeated, read.completed, || {
                    violation
                });
        }
    }

    /// A counter holds at least what its session knows of.
    fn judge_floor(&mut self, read: &Found, key: Key, value: Value) {
        let floor = self.floors[read.session].get(&key).copied();
        if let Some(floor) = floor {
            let property = match floor.own {
                true => Property::ReadYourWrites,
                false => Property::MonotonicReads,
            };
            self.told.of(property).exercise(1);
            if value < floor.value {
                let earlier = self.book.step(read.session, floor.by);
                let violation = gone_back(&earlier, floor, &self.step(read), key, value);
                self.told.violate(property, read.completed, || violation);
            }
        }
        if floor.is_none_or(|floor| value > floor.value) {
            let floor = Floor {
                value,
                by: read.operation,
                own: false,
            };
            self.floors[read.session].insert(key, floor);
        }
    }

    /// What a transaction has added, its session knows of from then on.
    fn add_own(&mut self, ended: OperationIndex) {
        let operation = &self.book.operations[ended as usize];
        if !operation.committed() {
            return;
        }
        let floors = &mut self.floors[operation.session];
        for key in &operation.written {
            let before = floors.get(key).map_or(0, |floor| floor.value);
            let floor = Floor {
                value: before.saturating_add(amount(operation.value)),
                by: ended,
                own: true,
            };
            floors.insert(*key, floor);
        }
    }

    fn step(&self, read: &Found) -> Step {
        self.book.step(read.session, read.operation)
    }

    /// The verdict on what has been pushed, as if it were the whole history, of which `index` is the index.
    pub fn verdict(self, index: Index, counts: Counts) -> Verdict {
        let mut findings = self.told.into_findings();
        let mut probes = InCounters { index: &index };
        let (recovery, of_end) = end::judge(&index, &mut probes);
        let [convergence, durability, duplicates] = totals(&index, &recovery);
        findings.push(convergence);
        findings.extend(of_end);
        findings.push(durability);
        findings.push(duplicates);
        mww::conclude(index, findings, counts)
    }
}

/// Which probes a read shows: those whose counters hold what they added. Nothing else is added to these.
struct InCounters<'i, 'h> {
    index: &'i Index<'h>,
}

impl Probes for InCounters<'_, '_> {
    fn unseen(
        &mut self,
        read: &Read,
        probes: &[OperationIndex],
    ) -> Result<Option<Unseen>, NotRead> {
        let held: HashMap<Key, Value> = read.rows.iter().copied().collect();
        for probe in probes {
            let expected = amount(self.index.value(*probe));
            for key in self.index.possible_writes(*probe) {
                if !read.asked.contains(*key) {
                    return Err(NotRead);
                }
                let value = held.get(key).copied();
                if value.is_none_or(|value| value < expected) {
                    return Ok(Some(Unseen {
                        probe: *probe,
                        what: format!("{expected} more in k{key}"),
                        instead: match value {
                            Some(value) => explain::row(*key, value),
                            None => format!("no row k{key}"),
                        },
                    }));
                }
            }
        }
        Ok(None)
    }
}

/// *Strong convergence*, *durability* and *no duplicate transaction* of counters.
fn totals(index: &Index, recovery: &Recovery) -> [Findings; 3] {
    let mut convergence = Findings::new(Property::StrongConvergence);
    let mut durability = Findings::new(Property::Durability);
    let mut duplicates = Findings::new(Property::NoDuplicateTransaction);
    for (share, replicas) in strong_convergence::replicas(index, recovery, &mut convergence) {
        let mut acknowledged = Sums::default();
        for operation in strong_convergence::acknowledged_by_settled(index, recovery, share) {
            acknowledged.add(index, operation);
        }
        let mut possible = Sums::default();
        for (number, operation) in (0..).zip(&index.operations) {
            let client = index.sessions[operation.session].client;
            let of_share = client.is_some_and(|client| index.clients[client].share() == share);
            if of_share && !matches!(operation.outcome, Outcome::Failed) {
                possible.add(index, number);
            }
        }
        let held: Vec<HashMap<Key, Value>> = replicas
            .iter()
            .map(|replica| index.reads[*replica].rows.iter().copied().collect())
            .collect();
        for key in 0..index.header.keys {
            let of_key = |held: &HashMap<Key, Value>| held.get(&key).copied();
            let values = held.iter().zip(&replicas);
            let most = values.filter_map(|(held, replica)| Some((of_key(held)?, *replica)));
            let most = most.max_by_key(|(value, _)| *value);
            let (least, more) = (acknowledged.of(key), possible.of(key));
            for (held, replica) in held.iter().zip(&replicas) {
                let read = &index.reads[*replica];
                let value = of_key(held);
                let reader = || words::reader(index, read);
                convergence.exercise(1);
                durability.exercise(u64::from(least > 0));
                duplicates.exercise(u64::from(more > 0));
                if value.is_none_or(|value| value < least) {
                    let lacking = least - value.unwrap_or_default();
                    let one = acknowledged.one_of(key, lacking);
                    durability.violate(read.completed, || {
                        let one = one.map(|one| words::step(index, one));
                        wrong_sum(
                            reader(),
                            (key, value),
                            ("acknowledged", least),
                            |by| match &one {
                                Some(one) => format!(
                                    "{lacking} less, just what {} added in {}: it was lost.",
                                    one.client,
                                    place(one)
                                ),
                                None => format!("{by} less: something was lost."),
                            },
                        )
                    });
                } else if value.is_some_and(|value| value > more) {
                    let surplus = value.unwrap_or_default() - more;
                    let one = possible.one_of(key, surplus);
                    duplicates.violate(read.completed, || {
                        let one = one.map(|one| words::step(index, one));
                        wrong_sum(reader(), (key, value), ("added at most", more), |by| {
                            match &one {
                                Some(one) => format!(
                                    "{surplus} more, just what {} added in {}: it was applied twice.",
                                    one.client,
                                    place(one)
                                ),
                                None => format!("{by} more: something was applied twice."),
                            }
                        })
                    });
                } else if let Some((most, other)) = most
                    && value != Some(most)
                {
                    convergence.violate(read.completed, || {
                        let other = words::reader(index, &index.reads[other]);
                        diverged(reader(), (key, value), (&other, most))
                    });
                }
            }
        }
        if replicas.is_empty() {
            durability.doubt("there is no final read to compare with".to_owned());
            duplicates.doubt("there is no final read to compare with".to_owned());
        }
    }
    [convergence, durability, duplicates]
}

/// What operations have added to each counter.
#[derive(Default)]
struct Sums {
    sums: HashMap<Key, Value>,
    /// By what was added, and to which counter.
    operations: BTreeMap<(Key, Value), OperationIndex>,
}

impl Sums {
    fn add(&mut self, index: &Index, operation: OperationIndex) {
        let amount = amount(index.value(operation));
        for key in index.possible_writes(operation) {
            let sum = self.sums.entry(*key).or_default();
            *sum = sum.saturating_add(amount);
            self.operations.insert((*key, amount), operation);
        }
    }

    fn of(&self, key: Key) -> Value {
        self.sums.get(&key).copied().unwrap_or_default()
    }

    /// The operation that has added exactly that much.
    fn one_of(&self, key: Key, amount: Value) -> Option<OperationIndex> {
        self.operations.get(&(key, amount)).copied()
    }
}

fn too_much(reader: &Step, key: Key, value: Value, bound: Value) -> Violation {
    let summary = format!(
        "{} read {} in {}, but nothing could make that: all that was added to it by then is {bound}.",
        reader.client,
        explain::row(key, value),
        place(reader)
    );
    violation(summary, [reader])
}

fn no_counter(reader: &Step, key: Key, value: Value) -> Violation {
    let summary = format!(
        "{} read {} in {}: there is no such row.",
        reader.client,
        explain::row(key, value),
        place(reader)
    );
    violation(summary, [reader])
}

fn gone_back(earlier: &Step, floor: Floor, reader: &Step, key: Key, value: Value) -> Violation {
    let (verb, why) = match floor.own {
        true => ("added to", "it does not see its own write"),
        false => ("read", "it has gone back in time"),
    };
    let summary = format!(
        "{} {verb} k{key} in {}, which held at least {} then. Later, in {}, it read {}: {why}.",
        earlier.client,
        place(earlier),
        floor.value,
        place(reader),
        explain::row(key, value)
    );
    violation(summary, [earlier, reader])
}

/// A final read whose counter is not what was added to it.
fn wrong_sum(
    reader: Step,
    (key, value): (Key, Option<Value>),
    (what, sum): (&str, Value),
    difference: impl Fn(Value) -> String,
) -> Violation {
    let held = value.map_or_else(
        || format!("no row k{key}"),
        |value| explain::row(key, value),
    );
    let by = (sum - value.unwrap_or_default()).abs();
    let summary = format!(
        "{} has {held} in {}, where {what} was {sum}. That is {}",
        reader.client,
        place(&reader),
        difference(by)
    );
    violation(summary, [&reader])
}

fn diverged(
    reader: Step,
    (key, value): (Key, Option<Value>),
    (other, most): (&Step, Value),
) -> Violation {
    let held = value.map_or_else(
        || format!("no row k{key}"),
        |value| explain::row(key, value),
    );
    let summary = format!(
        "{} has {held} in {}, and {} has {}: the two have not become the same.",
        reader.client,
        place(&reader),
        other.client,
        explain::row(key, most)
    );
    violation(summary, [&reader, other])
}

fn violation<'s>(summary: String, steps: impl IntoIterator<Item = &'s Step>) -> Violation {
    let steps = steps.into_iter();
    Violation {
        summary,
        operations: steps.filter_map(|step| step.operation).collect(),
        evidence: Vec::new(),
    }
}
