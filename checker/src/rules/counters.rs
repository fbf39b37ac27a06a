//! Reads of counters against what their sessions know of and what was added, event by event; and the sums of
//! the end. The definitions are in [`workload::counter`](crate::workload::counter).

use std::collections::{BTreeMap, HashMap};

use squall_protocol::transaction::{Key, Value, increment};
use squall_protocol::verdict::{Property, Step, Violation};

use super::judge::Judge;
use super::recovery::{NotRead, Probes, Recovery, Unseen};
use super::versions::latest_before;
use super::{rows, strong_convergence};
use crate::findings::explain::{self, place};
use crate::findings::{Findings, Report};
use crate::log::index::Index;
use crate::log::known::Known;
use crate::log::operations::{Ending, FINAL_READ, Found, OperationLog, Update};
use crate::log::trace::OperationIndex;

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

/// Judges counters event by event.
#[derive(Clone)]
pub(crate) struct Counters {
    /// How many operations of the log are counted in `invoked`.
    counted: usize,
    /// Of each counter the sum of what was added by transactions that have been invoked and did not fail.
    invoked: HashMap<Key, Value>,
    pending: Vec<OperationIndex>,
    /// For each session what its counters hold at least.
    floors: Vec<HashMap<Key, Floor>>,
    /// For each database what its counters hold at least, as far as siblings have to know.
    shared: HashMap<usize, Shared>,
    waiting: Vec<Waiting>,
    report: Report,
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
    pub fn new() -> Self {
        Counters {
            counted: 0,
            invoked: HashMap::new(),
            pending: Vec::new(),
            floors: Vec::new(),
            shared: HashMap::new(),
            waiting: Vec::new(),
            report: Report::new([
                Property::ReadYourWrites,
                Property::MonotonicReads,
                Property::NoThinAirRead,
            ]),
        }
    }

    /// Takes back what an operation that has ended did not add after all.
    fn withdraw(&mut self, log: &OperationLog, ended: OperationIndex) {
        let operation = &log.operations[ended as usize];
        let not_added: Vec<Key> = match operation.ending {
            Ending::Failed => operation.written.to_vec(),
            _ => {
                let left_out = operation
                    .requested
                    .iter()
                    .filter(|key| !operation.wrote(**key));
                left_out.copied().collect()
            }
        };
        let amount = increment(operation.value);
        for key in &not_added {
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
                self.report
                    .violate(Property::NoThinAirRead, read.place, || violation);
            }
            read.value <= read.bound && !read.pending.is_empty()
        });
        self.waiting = waiting;
    }

    fn judge(&mut self, log: &OperationLog, read: &Found) {
        let found = read.rows.iter().map(|(key, _)| *key).collect();
        let reader = || log.step(read.session, read.operation);
        rows::judge(
            &mut self.report,
            log.keys,
            &read.asked,
            found,
            read.completed,
            reader,
        );
        // Of each counter what transactions that are under way add.
        let mut under_way: HashMap<Key, Value> = HashMap::new();
        for pending in &self.pending {
            let operation = &log.operations[*pending as usize];
            for key in &operation.written {
                *under_way.entry(*key).or_default() += increment(operation.value);
            }
        }
        let own = log.operations.get(read.operation as usize);
        let own = own.map(|own| (increment(own.value), own.written.clone()));
        for &(key, value) in read.rows {
            if key >= log.keys {
                let violation = no_counter(&log.reader(read), key, value);
                self.report
                    .violate(Property::NoThinAirRead, read.completed, || violation);
                continue;
            }
            self.judge_floor(log, read, key, value);
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
            self.report.of(Property::NoThinAirRead).exercise(1);
            if value > bound || value < 0 {
                let violation = too_much(&log.reader(read), key, value, bound);
                self.report
                    .violate(Property::NoThinAirRead, read.completed, || violation);
            } else if value > certain {
                self.waiting.push(Waiting {
                    place: read.completed,
                    reader: log.reader(read),
                    key,
                    value,
                    bound,
                    pending: self.pending.clone(),
                });
            }
        }
    }

    /// A counter holds at least what its session knows of.
    fn judge_floor(&mut self, log: &OperationLog, read: &Found, key: Key, value: Value) {
        let own = self.floors[read.session].get(&key).copied();
        let shared = self.shared.get(&log.database(read.session));
        let of_siblings = shared.and_then(|shared| shared.before(key, read.began));
        let floor = match (own, of_siblings) {
            (Some(own), Some(siblings)) if siblings.value <= own.value => Some(own),
            (own, None) => own,
            (_, siblings) => siblings,
        };
        if let Some(floor) = floor {
            let property = match floor.own {
                true => Property::ReadYourWrites,
                false => Property::MonotonicReads,
            };
            self.report.of(property).exercise(1);
            if value < floor.value {
                let by = log.operations.get(floor.by as usize);
                let earlier = log.step(by.map_or(read.session, |by| by.session), floor.by);
                let violation = gone_back(&earlier, floor, &log.reader(read), key, value);
                self.report.violate(property, read.completed, || violation);
            }
        }
        let floor = match floor {
            Some(floor) if value <= floor.value => floor,
            _ => Floor {
                value,
                by: read.operation,
                own: false,
            },
        };
        self.floors[read.session].insert(key, floor);
    }

    /// What an operation of a database with siblings has read and added, they all know of from then on.
    fn share(&mut self, log: &OperationLog, ended: OperationIndex, read: &Found) {
        let operation = &log.operations[ended as usize];
        if log.siblings(operation.session).next().is_none() {
            return;
        }
        if let Some(shared) = self.shared.get_mut(&log.database(operation.session)) {
            let floors = &self.floors[operation.session];
            let read = read.rows.iter().map(|(key, _)| key);
            let read = read.filter(|key| !operation.wrote(**key));
            for key in read.chain(&operation.written) {
                let added = operation.wrote(*key).then(|| increment(operation.value));
                if let Some(floor) = floors.get(key) {
                    shared.raise(*key, *floor, added, (operation.order, ended));
                }
            }
        }
    }

    /// What a transaction has added, its session knows of from then on.
    fn add_own(&mut self, log: &OperationLog, ended: OperationIndex) {
        let operation = &log.operations[ended as usize];
        if !operation.committed() {
            return;
        }
        let shared = self.shared.get(&log.database(operation.session));
        let floors = &mut self.floors[operation.session];
        for key in &operation.written {
            let of_siblings = shared.and_then(|shared| shared.before(*key, operation.began));
            let before = [floors.get(key).copied(), of_siblings]
                .into_iter()
                .flatten();
            let before = before.map(|floor| floor.value).max().unwrap_or(0);
            let floor = Floor {
                value: before.saturating_add(increment(operation.value)),
                by: ended,
                own: true,
            };
            floors.insert(*key, floor);
        }
    }
}

/// What is known of the counters of a database that siblings work on: how what they hold at least has grown.
///
/// What overlapping transactions have added adds up. So beside what each has read and added itself counts: what was
/// known when nothing was under way, and all that was added since then.
#[derive(Clone, Default)]
struct Shared {
    /// Of each counter, by the places where it was known.
    counters: HashMap<Key, Grown>,
    /// How many of its operations are under way, and how often there was none.
    pending: usize,
    period: u64,
}

#[derive(Clone, Default)]
struct Grown {
    floors: Vec<(usize, Floor)>,
    /// The period that these are of: what was known when it began, and what was added in it.
    period: u64,
    base: Value,
    added: Value,
}

impl Shared {
    /// What was known before that place.
    fn before(&self, key: Key, place: usize) -> Option<Floor> {
        latest_before(&self.counters.get(&key)?.floors, place).copied()
    }

    /// An operation that ended at that place knows of that floor, with what it has `added` itself.
    fn raise(
        &mut self,
        key: Key,
        floor: Floor,
        added: Option<Value>,
        (place, by): (usize, OperationIndex),
    ) {
        let grown = self.counters.entry(key).or_default();
        let latest = grown.floors.last().map_or(0, |(_, floor)| floor.value);
        if grown.period != self.period {
            (grown.period, grown.base, grown.added) = (self.period, latest, 0);
        }
        let mut floor = floor;
        if let Some(added) = added {
            grown.added = grown.added.saturating_add(added);
            let value = grown.base.saturating_add(grown.added);
            if value > floor.value {
                floor = Floor {
                    value,
                    by,
                    own: true,
                };
            }
        }
        if floor.value > latest {
            grown.floors.push((place, floor));
        }
    }

    fn ended(&mut self) {
        self.pending = self.pending.saturating_sub(1);
        self.period += u64::from(self.pending == 0);
    }
}

impl Judge for Counters {
    fn take(&mut self, known: Known, update: &Update) {
        let log = known.log;
        self.floors.resize_with(log.sessions(), HashMap::default);
        for (number, operation) in (0..).zip(&log.operations).skip(self.counted) {
            for key in &operation.written {
                *self.invoked.entry(*key).or_default() += increment(operation.value);
            }
            self.pending.push(number);
        }
        self.counted = log.operations.len();
        if let Some(invoked) = update.invoked {
            let database = log.database(log.operations[invoked as usize].session);
            self.shared.entry(database).or_default().pending += 1;
        }
        if let Some(ended) = update.ended {
            self.pending.retain(|pending| *pending != ended);
            self.withdraw(log, ended);
        }
        if let Some(read) = &update.read {
            self.judge(log, read);
        }
        if let Some(ended) = update.ended {
            self.add_own(log, ended);
            if let Some(read) = &update.read {
                self.share(log, ended, read);
            }
            let session = log.operations[ended as usize].session;
            if let Some(shared) = self.shared.get_mut(&log.database(session)) {
                shared.ended();
            }
        }
    }

    /// What is under way may have happened: nothing is found by that.
    fn settle(&mut self, _: Known) {}

    fn report(&mut self) -> &mut Report {
        &mut self.report
    }
}

/// Which probes a read shows: those whose counters hold what they added. Nothing else is added to these.
pub(crate) struct InCounters<'i, 'h> {
    pub index: &'i Index<'h>,
}

impl Probes for InCounters<'_, '_> {
    fn unseen(
        &mut self,
        read: &Found,
        probes: &[OperationIndex],
    ) -> Result<Option<Unseen>, NotRead> {
        let held: HashMap<Key, Value> = read.rows.iter().copied().collect();
        for probe in probes {
            let expected = increment(self.index.value(*probe));
            for key in self.index.possible_writes(*probe) {
                if !read.asked.contains(*key) {
                    return Err(NotRead);
                }
                let value = held.get(key).copied();
                if value.is_none_or(|value| value < expected) {
                    return Ok(Some(Unseen {
                        probe: *probe,
                        what: format!("{expected} more in k{key}"),
                        instead: explain::row_or_none(*key, value),
                    }));
                }
            }
        }
        Ok(None)
    }
}

/// *Strong convergence*, *durability* and *no duplicate transaction* of counters.
pub(crate) fn totals(index: &Index, recovery: &Recovery) -> [Findings; 3] {
    let mut convergence = Findings::new(Property::StrongConvergence);
    let mut durability = Findings::new(Property::Durability);
    let mut duplicates = Findings::new(Property::NoDuplicateTransaction);
    for (share, replicas) in strong_convergence::replicas(index, recovery, &mut convergence) {
        let mut acknowledged = Sums::default();
        for operation in strong_convergence::acknowledged_by_settled(index, recovery, share) {
            acknowledged.add(index, operation);
        }
        let mut possible = Sums::default();
        for (number, operation) in index.operations() {
            let client = index.sessions[operation.session].client;
            let of_share = client.is_some_and(|client| index.clients[client].share() == share);
            if of_share && operation.ending != Ending::Failed {
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
                let reader = || index.log.reader(read);
                convergence.exercise(1);
                durability.exercise(u64::from(least > 0));
                duplicates.exercise(u64::from(more > 0));
                if value.is_none_or(|value| value < least) {
                    let one = acknowledged.one_of(key, least - value.unwrap_or_default());
                    durability.violate(read.completed, || {
                        let one = one.map(|one| index.log.operation_step(one));
                        wrong_sum(reader(), (key, value), ("acknowledged", least), one)
                    });
                } else if let Some(held) = value.filter(|value| *value > more) {
                    let one = possible.one_of(key, held - more);
                    duplicates.violate(read.completed, || {
                        let one = one.map(|one| index.log.operation_step(one));
                        wrong_sum(reader(), (key, value), ("added at most", more), one)
                    });
                } else if let Some((most, other)) = most
                    && value != Some(most)
                {
                    convergence.violate(read.completed, || {
                        let other = index.log.reader(&index.reads[other]);
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
        let amount = increment(index.value(operation));
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

/// A final read whose counter is not what was added to it, and the operation that has added just as much as is
/// lacking, or too much.
fn wrong_sum(
    reader: Step,
    (key, value): (Key, Option<Value>),
    (what, sum): (&str, Value),
    one: Option<Step>,
) -> Violation {
    let by = (sum - value.unwrap_or_default()).abs();
    let (direction, happened) = match value.is_some_and(|value| value > sum) {
        true => ("more", "applied twice"),
        false => ("less", "lost"),
    };
    let because = match one {
        Some(one) => format!(
            "{by} {direction}, just what {} added in {}: it was {happened}.",
            one.client,
            place(&one)
        ),
        None => format!("{by} {direction}: something was {happened}."),
    };
    let summary = format!(
        "{} has {} in {}, where {what} was {sum}. That is {because}",
        reader.client,
        explain::row_or_none(key, value),
        place(&reader),
    );
    violation(summary, [&reader])
}

fn diverged(
    reader: Step,
    (key, value): (Key, Option<Value>),
    (other, most): (&Step, Value),
) -> Violation {
    let summary = format!(
        "{} has {} in {}, and {} has {}: the two have not become the same.",
        reader.client,
        explain::row_or_none(key, value),
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
