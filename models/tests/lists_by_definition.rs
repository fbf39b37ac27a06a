//! The models over lists against their definitions, on random small histories.
//!
//! The four stronger models are tried by *running*: transactions commit one after another, in every order,
//! and each has to read exactly what the lists held at its snapshot. The weaker ones are tried by their
//! axioms on every order, in which whoever reads a list has read from everybody whose element it shows.
//! Neither knows anything of version orders, cycles or searches.

#[path = "support/seed.rs"]
mod seed;

use seed::random_seed;
use squall_models::generate::Random;
use squall_models::registers::Judgement;
use squall_models::registers::{AnomalyKind, ListBuilder, Model, Outcome, Registers};

const KEYS: usize = 2;
/// The initial transaction.
const INITIAL: usize = usize::MAX;

#[derive(Clone, Debug)]
enum Operation {
    Append(usize, u64),
    Read(usize, Vec<u64>),
}

#[derive(Clone, Debug)]
struct Transaction {
    session: u64,
    outcome: Outcome,
    operations: Vec<Operation>,
    /// When it began and ended.
    times: (u64, u64),
}

type Lists = [Vec<u64>; KEYS];

/// A random history. Most transactions read from a snapshot, which may be old; few have no respect for
/// anything.
fn history(random: &mut Random) -> Vec<Transaction> {
    let mut below = |bound: usize| random.below(bound);
    let mut states: Vec<Lists> = vec![Lists::default()];
    let mut element = 0;
    let mut history = Vec::new();
    for at in 0..2 + below(4) {
        let outcome = match below(14) {
            0 => Outcome::Aborted,
            1 | 2 => Outcome::Unknown,
            _ => Outcome::Committed,
        };
        let old = [0, 0, 0, 0, 1, 1, 2, 3][below(8)].min(states.len() - 1);
        let snapshot = states[states.len() - 1 - old].clone();
        let mut own = Lists::default();
        let mut operations = Vec::new();
        for _ in 0..1 + below(3) {
            let key = below(KEYS);
            if below(2) == 0 {
                element += 1;
                own[key].push(element);
                operations.push(Operation::Append(key, element));
                continue;
            }
            let mut list = snapshot[key].clone();
            if below(5) == 0 {
                list = states[below(states.len())][key].clone();
            }
            match below(40) {
                0 => list.push(99),
                1 => list.reverse(),
                2 => list.truncate(1),
                _ => list.extend(&own[key]),
            }
            operations.push(Operation::Read(key, list));
        }
        // What was aborted is hardly ever seen, and what is unknown half of the time.
        let applied = match outcome {
            Outcome::Committed => below(12) > 0,
            Outcome::Aborted => below(8) == 0,
            Outcome::Unknown => below(2) == 0,
        };
        if applied {
            let mut state = states.last().expect("the initial one").clone();
            for (list, own) in state.iter_mut().zip(own) {
                list.extend(own);
                if below(20) == 0 && list.len() > 1 {
                    let last = list.len() - 1;
                    list.swap(last, last - 1);
                }
            }
            states.push(state);
        }
        let begin = (3 * at + below(6)) as u64;
        history.push(Transaction {
            session: below(3) as u64,
            outcome,
            operations,
            times: (begin, begin + below(8) as u64),
        });
    }
    history
}

fn build(history: &[Transaction]) -> Registers {
    let mut builder = ListBuilder::default();
    for (label, transaction) in (0..).zip(history) {
        let number = builder.transaction(transaction.session, Some(label), transaction.outcome);
        let (begin, end) = transaction.times;
        builder.registers().times(number, begin, Some(end));
        for operation in &transaction.operations {
            match operation {
                Operation::Append(key, element) => builder.append(number, *key as u64, *element),
                Operation::Read(key, list) => builder.read(number, *key as u64, list),
            }
        }
    }
    builder.finish().unwrap()
}

/// A history and what is the same for every order of it.
struct Definition<'h> {
    history: &'h [Transaction],
    /// What committed, or was observed.
    nodes: Vec<usize>,
}

impl<'h> Definition<'h> {
    fn new(history: &'h [Transaction]) -> Self {
        let committed = history.iter().filter(|t| t.outcome == Outcome::Committed);
        let read: Vec<u64> = committed
            .flat_map(|transaction| &transaction.operations)
            .flat_map(|operation| match operation {
                Operation::Read(_, list) => list.clone(),
                Operation::Append(..) => Vec::new(),
            })
            .collect();
        let observed = |transaction: &Transaction| {
            let mut operations = transaction.operations.iter();
            operations.any(|o| matches!(o, Operation::Append(_, e) if read.contains(e)))
        };
        let exists = |at: &usize| match history[*at].outcome {
            Outcome::Committed => true,
            Outcome::Aborted => false,
            Outcome::Unknown => observed(&history[*at]),
        };
        Definition {
            history,
            nodes: (0..history.len()).filter(exists).collect(),
        }
    }

    fn in_session(&self, a: usize, b: usize) -> bool {
        let (first, second) = (&self.history[a], &self.history[b]);
        a < b && first.session == second.session && first.outcome == Outcome::Committed
    }

    fn in_real_time(&self, a: usize, b: usize) -> bool {
        let (first, second) = (&self.history[a], &self.history[b]);
        first.outcome == Outcome::Committed && first.times.1 < second.times.0
    }

    fn appends(&self, at: usize, key: usize) -> impl Iterator<Item = u64> {
        let operations = self.history[at].operations.iter();
        operations.filter_map(move |operation| match operation {
            Operation::Append(k, element) if *k == key => Some(*element),
            _ => None,
        })
    }

    fn holds(&self, model: Model) -> bool {
        if STRONG.contains(&model) {
            return self.run(model, &mut Vec::new(), &mut vec![Lists::default()]);
        }
        let Some(reads) = self.reads() else {
            return false;
        };
        if model == Model::WeakCausal {
            return self.is_weakly_causal(&reads);
        }
        self.arrange(&reads, model, &mut Vec::new())
    }

    /// Whether the rest can run after what is done, with the states of the lists after each so far.
    fn run(&self, model: Model, done: &mut Vec<usize>, states: &mut Vec<Lists>) -> bool {
        if done.len() == self.nodes.len() {
            return true;
        }
        let strict = model == Model::StrictSerializability;
        for node in self.nodes.iter().copied() {
            let must_come_before = |before: usize| {
                self.in_session(before, node) || strict && self.in_real_time(before, node)
            };
            let mut others = self.nodes.iter().filter(|other| !done.contains(other));
            if done.contains(&node) || others.any(|other| must_come_before(*other)) {
                continue;
            }
            if !self.has_snapshot(model, node, done, states) {
                continue;
            }
            let mut state = states[done.len()].clone();
            for (key, list) in state.iter_mut().enumerate() {
                list.extend(self.appends(node, key));
            }
            done.push(node);
            states.push(state);
            if self.run(model, done, states) {
                return true;
            }
            done.pop();
            states.pop();
        }
        false
    }

    /// Whether there is a snapshot from which the transaction reads what it has read, if it commits now.
    fn has_snapshot(&self, model: Model, node: usize, done: &[usize], states: &[Lists]) -> bool {
        if self.history[node].outcome != Outcome::Committed {
            return true;
        }
        let shares = |other: usize| {
            (0..KEYS).any(|key| {
                self.appends(other, key).next().is_some()
                    && self.appends(node, key).next().is_some()
            })
        };
        let earliest = match model {
            Model::PrefixConsistency => done.iter().rposition(|t| self.in_session(*t, node)),
            Model::SnapshotIsolation => done
                .iter()
                .rposition(|t| self.in_session(*t, node) || shares(*t)),
            _ => done.len().checked_sub(1),
        };
        let earliest = earliest.map_or(0, |place| place + 1);
        states[earliest..].iter().any(|snapshot| {
            let mut lists = snapshot.clone();
            let mut operations = self.history[node].operations.iter();
            operations.all(|operation| match operation {
                Operation::Append(key, element) => {
                    lists[*key].push(*element);
                    true
                }
                Operation::Read(key, list) => lists[*key] == *list,
            })
        })
    }

    /// All reads, if each can be one of what others have appended, followed by what the transaction itself
    /// has: reader, key, writer of the last element, and the elements of others.
    fn reads(&self) -> Option<Vec<Read>> {
        let mut reads = Vec::new();
        for reader in self.nodes.iter().copied() {
            if self.history[reader].outcome != Outcome::Committed {
                continue;
            }
            let mut own = Lists::default();
            for operation in &self.history[reader].operations {
                match operation {
                    Operation::Append(key, element) => own[*key].push(*element),
                    Operation::Read(key, list) => {
                        let others = list.strip_suffix(&own[*key][..])?.to_vec();
                        let writer = match others.last() {
                            None => INITIAL,
                            Some(last) => self.nodes.iter().copied().find(|node| {
                                *node != reader && self.appends(*node, *key).last() == Some(*last)
                            })?,
                        };
                        reads.push(Read {
                            reader,
                            key: *key,
                            writer,
                            others,
                        });
                    }
                }
            }
        }
        Some(reads)
    }

    /// Whether the rest can be put after what is done, so that the model is satisfied.
    fn arrange(&self, reads: &[Read], model: Model, done: &mut Vec<usize>) -> bool {
        if done.len() == self.nodes.len() {
            return self.is_commit_order(reads, model, done);
        }
        for node in self.nodes.iter().copied() {
            if done.contains(&node) {
                continue;
            }
            let mut others = self.nodes.iter().filter(|other| !done.contains(other));
            if others.any(|other| self.direct(reads, *other, node)) {
                continue;
            }
            done.push(node);
            if self.arrange(reads, model, done) {
                return true;
            }
            done.pop();
        }
        false
    }

    /// Whether one precedes the other in its session, or is read by it.
    fn direct(&self, reads: &[Read], a: usize, b: usize) -> bool {
        self.in_session(a, b) || self.reads_from(reads, b, a)
    }

    /// Whether a read shows something of a transaction.
    fn shows(&self, read: &Read, writer: usize) -> bool {
        let mut elements = self.appends(writer, read.key);
        elements.any(|element| read.others.contains(&element))
    }

    fn reads_from(&self, reads: &[Read], reader: usize, writer: usize) -> bool {
        let mut reads = reads.iter().filter(|read| read.reader == reader);
        reads.any(|read| self.shows(read, writer))
    }

    /// Whether a transaction, or one before it in its session, had read from another one, or from one of
    /// which that is true.
    fn had_read(&self, reads: &[Read], by: usize, from: usize) -> bool {
        let nodes = || self.nodes.iter().copied();
        let mut readers = nodes().filter(|node| *node == by || self.in_session(*node, by));
        readers.any(|reader| {
            let mut writers = nodes().filter(|writer| self.reads_from(reads, reader, *writer));
            writers.any(|writer| writer == from || self.had_read(reads, writer, from))
        })
    }

    fn in_past(&self, reads: &[Read], a: usize, b: usize) -> bool {
        self.direct(reads, a, b)
            || self
                .nodes
                .iter()
                .any(|m| self.direct(reads, *m, b) && *m != a && self.in_past(reads, a, *m))
    }

    fn is_commit_order(&self, reads: &[Read], model: Model, order: &[usize]) -> bool {
        reads.iter().enumerate().all(|(number, read)| {
            let appends = order.iter().flat_map(|node| self.appends(*node, read.key));
            let list: Vec<u64> = appends.collect();
            // It is what some of the transactions, from the first on, have appended.
            let fits = list.starts_with(&read.others);
            let mut repeated = reads[..number]
                .iter()
                .filter(|other| (other.reader, other.key) == (read.reader, read.key));
            let repeatable =
                model == Model::ReadCommitted || repeated.all(|other| other.writer == read.writer);
            fits && repeatable
                && order.iter().all(|other| {
                    !self.must_be_seen(reads, model, number, *other)
                        || self
                            .appends(*other, read.key)
                            .all(|e| read.others.contains(&e))
                })
        })
    }

    fn must_be_seen(&self, reads: &[Read], model: Model, number: usize, other: usize) -> bool {
        let reader = reads[number].reader;
        let mut nodes = self.nodes.iter().copied();
        match model {
            Model::ReadCommitted => self.reads_from(&reads[..number], reader, other),
            Model::ReadAtomic => self.direct(reads, other, reader),
            Model::ReadYourWrites => self.in_session(other, reader),
            Model::MonotonicReads => {
                nodes.any(|n| self.in_session(n, reader) && self.reads_from(reads, n, other))
            }
            Model::MonotonicWrites => {
                nodes.any(|n| self.in_session(other, n) && self.reads_from(reads, reader, n))
            }
            Model::WritesFollowReads => {
                nodes.any(|n| self.reads_from(reads, reader, n) && self.had_read(reads, n, other))
            }
            _ => self.in_past(reads, other, reader),
        }
    }

    /// Whether causality has no cycle, all lists of a key fit together, and every read returns what the
    /// transactions in its past have appended, in some order that contains causality.
    fn is_weakly_causal(&self, reads: &[Read]) -> bool {
        let nodes = || self.nodes.iter().copied();
        nodes().all(|node| !self.is_before(reads, node, node, &mut Vec::new()))
            && reads.iter().all(|read| {
                let past: Vec<usize> = nodes()
                    .filter(|other| self.in_past(reads, *other, read.reader))
                    .collect();
                let fits = |other: &Read| {
                    let one_key = (other.key, other.reader) == (read.key, read.reader);
                    !one_key || other.writer == read.writer
                };
                let of_key = |other: &&Read| other.key == read.key;
                let compatible = |other: &Read| {
                    let (a, b) = (&read.others, &other.others);
                    a.starts_with(b) || b.starts_with(a)
                };
                reads.iter().all(fits)
                    && reads.iter().filter(of_key).all(compatible)
                    && self.linearize(reads, read, &past, &mut Vec::new())
            })
    }

    /// As `in_past`, where causality may have cycles.
    fn is_before(&self, reads: &[Read], a: usize, b: usize, met: &mut Vec<usize>) -> bool {
        self.nodes.iter().any(|next| {
            self.direct(reads, a, *next)
                && (*next == b
                    || !met.contains(next) && {
                        met.push(*next);
                        self.is_before(reads, *next, b, met)
                    })
        })
    }

    fn linearize(
        &self,
        reads: &[Read],
        read: &Read,
        past: &[usize],
        done: &mut Vec<usize>,
    ) -> bool {
        if done.len() == past.len() {
            let appends = done.iter().flat_map(|node| self.appends(*node, read.key));
            return appends.eq(read.others.iter().copied());
        }
        past.iter().any(|node| {
            let mut open = past.iter().filter(|other| !done.contains(other));
            if done.contains(node) || open.any(|other| self.direct(reads, *other, *node)) {
                return false;
            }
            done.push(*node);
            let found = self.linearize(reads, read, past, done);
            done.pop();
            found
        })
    }
}

struct Read {
    reader: usize,
    key: usize,
    writer: usize,
    /// Without what the reader itself has appended.
    others: Vec<u64>,
}

const MODELS: [Model; 7] = [
    Model::ReadCommitted,
    Model::ReadAtomic,
    Model::Causal,
    STRONG[0],
    STRONG[1],
    STRONG[2],
    STRONG[3],
];

const STRONG: [Model; 4] = [
    Model::PrefixConsistency,
    Model::SnapshotIsolation,
    Model::Serializability,
    Model::StrictSerializability,
];

/// What causal consistency implies, beside the weaker of those.
const OF_CAUSAL: [Model; 5] = [
    Model::ReadYourWrites,
    Model::MonotonicReads,
    Model::MonotonicWrites,
    Model::WritesFollowReads,
    Model::WeakCausal,
];

/// Compares all models on random histories.
fn agree(number_of_test: u64, histories: u64) {
    let seed = random_seed().wrapping_mul(2) + number_of_test;
    let mut random = Random::new(seed);
    // How many histories satisfy how many of the models.
    let mut satisfied = [0; MODELS.len() + 1];
    // How many that are read committed break each of the others.
    let mut alone = [0; OF_CAUSAL.len()];
    for number in 0..histories {
        let history = history(&mut random);
        let definition = Definition::new(&history);
        if definition.nodes.is_empty() {
            continue;
        }
        let registers = build(&history);
        let expected = MODELS.map(|model| definition.holds(model));
        // They are all weaker than the next one.
        assert!(expected.is_sorted_by(|weaker, stronger| weaker >= stronger));
        let of_causal = OF_CAUSAL.map(|model| definition.holds(model));
        assert!(!expected[2] || of_causal.iter().all(|holds| *holds));
        for (held, broken) in of_causal.iter().zip(&mut alone) {
            *broken += u64::from(!held && expected[0]);
        }
        let models = MODELS.into_iter().chain(OF_CAUSAL);
        for (model, expected) in models.zip(expected.into_iter().chain(of_causal)) {
            let report = registers.check(model);
            let judgement = match expected {
                false => Judgement::Violation,
                true if report.exercised => Judgement::Ok,
                true => Judgement::Unknown,
            };
            assert_eq!(
                report.judgement, judgement,
                "seed {seed}, history {number}, {model:?}\n{history:#?}\n{report:#?}"
            );
            assert_eq!(expected, report.anomalies.is_empty());
        }
        dependencies_agree(&definition, &registers, expected);
        satisfied[expected.iter().filter(|holds| **holds).count()] += 1;
    }
    // A comparison is worth nothing if the answer is always the same. The rarest answer comes some 17 times.
    assert!(satisfied.iter().all(|count| *count > 0), "{satisfied:?}");
    assert!(alone.iter().all(|count| *count > 0), "{alone:?}");
}

/// Cycles of dependencies are what serializability forbids, and those without two anti-dependencies in a
/// row are what snapshot isolation forbids (Cerone and Gotsman, Analysing Snapshot Isolation, PODC 2016).
fn dependencies_agree(definition: &Definition, registers: &Registers, holds: [bool; 7]) {
    // What is wrong with one read only makes no cycle.
    let Some(reads) = definition.reads() else {
        return;
    };
    let alone = registers.check(Model::ReadCommitted).anomalies.into_iter();
    let cycles = [
        AnomalyKind::WriteCycle,
        AnomalyKind::CircularInformationFlow,
        AnomalyKind::CommitOrderCycle,
        AnomalyKind::LostAppend,
    ];
    if alone
        .into_iter()
        .any(|anomaly| !cycles.contains(&anomaly.kind))
    {
        return;
    }
    // Nobody has read a list.
    let Some(found) = registers.dependencies() else {
        return;
    };
    assert!(!found.gave_up);
    let names = || found.components.keys().map(String::as_str);
    let context = || format!("{:#?}\n{found:#?}", definition.history);
    let [.., snapshot_isolation, serializable, strict] = holds;
    assert_eq!(
        names().all(|name| name.ends_with("-realtime")),
        serializable,
        "{}",
        context()
    );
    assert_eq!(found.components.is_empty(), strict, "{}", context());
    let mut item_only = names()
        .filter(|name| !name.ends_with("-realtime"))
        .all(|name| name.starts_with("G2-item"));
    // Two appends that nobody has read have an order too, but not a known one.
    item_only &= (0..KEYS).all(|key| {
        let is_unread = |node: &&usize| {
            let mut lists = reads
                .iter()
                .filter(|read| read.key == key && read.reader != **node);
            let mut own = definition.appends(**node, key);
            own.next()
                .is_some_and(|e| !lists.any(|read| read.others.contains(&e)))
        };
        definition.nodes.iter().filter(is_unread).count() < 2
    });
    if item_only {
        assert!(snapshot_isolation, "{}", context());
    } else if names().any(|name| !name.starts_with("G2-item") && !name.ends_with("-realtime")) {
        assert!(!snapshot_isolation, "{}", context());
    }
}

#[test]
fn random_histories() {
    agree(0, 50_000);
}

#[test]
fn more_random_histories() {
    agree(1, 50_000);
}
