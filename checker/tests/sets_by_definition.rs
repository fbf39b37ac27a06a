//! The properties of reads of `gset` by their definitions, the long way: causal pasts are sets of
//! operations that grow until nothing changes.

#[path = "support/random_collections.rs"]
mod random_collections;
mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use squall_checker::{History, check};
use squall_protocol::history::Event;
use squall_protocol::plan::Workload;
use squall_protocol::transaction::{Collections, Key, Reads, Value};
use squall_protocol::verdict::Property;

#[derive(Debug)]
struct Operation {
    session: usize,
    value: Value,
    written: BTreeSet<Key>,
    invoked: usize,
    /// Where it ended, if it committed.
    committed: Option<usize>,
    failed: bool,
}

impl Operation {
    fn place(&self) -> usize {
        self.committed.unwrap_or(self.invoked)
    }
}

struct Read {
    session: usize,
    operation: Option<usize>,
    asked: Reads,
    told: Option<Collections>,
    completed: usize,
    /// The elements: key and writer.
    elements: BTreeSet<(Key, usize)>,
}

impl Read {
    fn shows(&self, operation: usize) -> bool {
        self.elements.iter().any(|(_, writer)| *writer == operation)
    }

    fn is_in_scope(&self, key: Key) -> bool {
        let told = self.told.iter().flatten().any(|(told, _)| *told == key);
        told || self.asked.contains(key)
    }
}

#[derive(Default)]
struct World {
    operations: Vec<Operation>,
    reads: Vec<Read>,
}

impl World {
    fn new(history: &History) -> World {
        let mut world = World::default();
        let mut sessions: HashMap<&str, (usize, Option<&str>)> = HashMap::new();
        let mut next_session = 0;
        let mut numbers: HashMap<u64, (usize, Reads)> = HashMap::new();
        for (place, record) in history.records.iter().enumerate() {
            let mut session = |client| {
                sessions
                    .entry(client)
                    .or_insert_with(|| {
                        next_session += 1;
                        (next_session - 1, None)
                    })
                    .0
            };
            match &record.event {
                Event::Invoke {
                    client,
                    operation,
                    transaction,
                } => {
                    let index = world.operations.len();
                    numbers.insert(*operation, (index, transaction.reads.clone()));
                    world.operations.push(Operation {
                        session: session(client),
                        value: transaction.value,
                        written: transaction.keys.iter().copied().collect(),
                        invoked: place,
                        committed: None,
                        failed: false,
                    });
                }
                Event::Ok {
                    operation,
                    writes,
                    collections,
                    ..
                } => {
                    let (index, asked) = numbers[operation].clone();
                    let of = &mut world.operations[index];
                    of.committed = Some(place);
                    of.written = writes.iter().map(|(key, _)| *key).collect();
                    let session = of.session;
                    world.read(session, Some(index), asked, collections.as_ref(), place);
                }
                Event::Fail { operation, .. } => {
                    world.operations[numbers[operation].0].failed = true;
                }
                Event::IncarnationStart {
                    client,
                    session: database,
                    ..
                } => {
                    session(client);
                    let mut specs = history.header.clients.iter();
                    let spec = specs.find(|spec| spec.name == *client);
                    let of = sessions.get_mut(client.as_str()).unwrap();
                    let before = of.1.replace(database);
                    if before.is_some_and(|before| before != database)
                        && spec.is_some_and(|spec| spec.kind.has_database())
                    {
                        of.0 = next_session;
                        next_session += 1;
                    }
                }
                Event::FinalRead {
                    client,
                    collections: Some(collections),
                    ..
                } => {
                    let session = session(client);
                    world.read(session, None, Reads::All, Some(collections), place);
                }
                Event::FinalReadPostgres {
                    collections: Some(collections),
                    ..
                } => {
                    world.read(next_session, None, Reads::All, Some(collections), place);
                    next_session += 1;
                }
                _ => {}
            }
        }
        for read in 0..world.reads.len() {
            world.reads[read].elements = world.elements(&world.reads[read]);
        }
        world
    }

    fn read(
        &mut self,
        session: usize,
        operation: Option<usize>,
        asked: Reads,
        told: Option<&Collections>,
        completed: usize,
    ) {
        self.reads.push(Read {
            session,
            operation,
            asked,
            told: told.cloned(),
            completed,
            elements: BTreeSet::new(),
        });
    }

    /// The elements of a read that can be there.
    fn elements(&self, read: &Read) -> BTreeSet<(Key, usize)> {
        let mut elements = BTreeSet::new();
        for (key, text) in read.told.iter().flatten() {
            for value in text
                .split(' ')
                .filter_map(|part| part.parse::<Value>().ok())
            {
                let wrote = |o: &Operation| o.value == value && o.written.contains(key);
                if let Some(writer) = self.operations.iter().position(wrote)
                    && !self.operations[writer].failed
                    && self.operations[writer].invoked < read.completed
                    && read.operation != Some(writer)
                {
                    elements.insert((*key, writer));
                }
            }
        }
        elements
    }

    /// What a session has done and seen before that place: its reads, and what it committed.
    fn before(&self, session: usize, place: usize) -> (Vec<usize>, BTreeSet<usize>) {
        let reads = (0..self.reads.len()).filter(|read| {
            self.reads[*read].session == session && self.reads[*read].completed < place
        });
        let committed = (0..self.operations.len()).filter(|operation| {
            let of = &self.operations[*operation];
            of.session == session && of.committed.is_some_and(|committed| committed < place)
        });
        (reads.collect(), committed.collect())
    }

    /// The reads that a read comes after, and the operations that it or they show or have done.
    fn direct(&self, read: &Read) -> (BTreeSet<usize>, BTreeSet<usize>) {
        let (reads, mut operations) = self.before(read.session, read.completed);
        let mut reads: BTreeSet<usize> = reads.into_iter().collect();
        for (_, writer) in &read.elements {
            let of = &self.operations[*writer];
            if of.session == read.session {
                if of.committed.is_none() {
                    operations.insert(*writer);
                }
                continue;
            }
            let after = usize::from(of.committed.is_some());
            let (more, done) = self.before(of.session, of.place() + after);
            reads.extend(more);
            operations.extend(done);
            operations.insert(*writer);
        }
        (reads, operations)
    }

    /// How often each property is violated; none where reads are in each other's past.
    fn judge(&self) -> Option<BTreeMap<Property, u64>> {
        let direct: Vec<_> = self.reads.iter().map(|read| self.direct(read)).collect();
        let mut reads: Vec<BTreeSet<usize>> = direct.iter().map(|d| d.0.clone()).collect();
        loop {
            let more = |before: &BTreeSet<usize>| {
                let further = before.iter().flat_map(|read| &reads[*read]);
                before.iter().chain(further).copied().collect()
            };
            let next: Vec<BTreeSet<usize>> = reads.iter().map(more).collect();
            if next == reads {
                break;
            }
            reads = next;
        }
        if reads
            .iter()
            .enumerate()
            .any(|(read, past)| past.contains(&read))
        {
            return None;
        }
        let mut violations = BTreeMap::new();
        for (number, read) in self.reads.iter().enumerate() {
            let mut past = direct[number].1.clone();
            for before in &reads[number] {
                past.extend(&direct[*before].1);
            }
            // What overlaps with it in its session is not before it.
            past.retain(|operation| {
                let of = &self.operations[*operation];
                of.session != read.session || of.place() < read.completed
            });
            for (key, missed) in self.missing(read, &past) {
                *violations
                    .entry(self.broken(read, key, missed))
                    .or_default() += 1;
            }
        }
        Some(violations)
    }

    fn missing(&self, read: &Read, past: &BTreeSet<usize>) -> Vec<(Key, usize)> {
        if read.told.is_none() {
            return Vec::new();
        }
        let elements = past.iter().flat_map(|operation| {
            let written = self.operations[*operation].written.iter();
            written.map(|key| (*key, *operation))
        });
        elements
            .filter(|(key, _)| read.is_in_scope(*key))
            .filter(|element| !read.elements.contains(element))
            .collect()
    }

    fn broken(&self, read: &Read, key: Key, missed: usize) -> Property {
        let of = &self.operations[missed];
        let showed = |session: usize, before: usize| {
            let (reads, _) = self.before(session, before);
            let mut reads = reads.into_iter();
            reads.any(|read| self.reads[read].elements.contains(&(key, missed)))
        };
        let shown = || (0..self.operations.len()).filter(|operation| read.shows(*operation));
        if of.session == read.session && of.committed.is_some() {
            Property::ReadYourWrites
        } else if showed(read.session, read.completed) {
            Property::MonotonicReads
        } else if read.shows(missed) {
            Property::AtomicVisibility
        } else if of.committed.is_some()
            && of.session != read.session
            && shown().any(|later| {
                let later = &self.operations[later];
                later.session == of.session && later.place() > of.place()
            })
        {
            Property::MonotonicWrites
        } else if shown().any(|by| {
            let by = &self.operations[by];
            let after = usize::from(by.committed.is_some());
            by.session != read.session && showed(by.session, by.place() + after)
        }) {
            Property::WritesFollowReads
        } else {
            Property::CausalConsistency
        }
    }
}

const JUDGED: [Property; 6] = [
    Property::ReadYourWrites,
    Property::MonotonicReads,
    Property::MonotonicWrites,
    Property::WritesFollowReads,
    Property::AtomicVisibility,
    Property::CausalConsistency,
];

/// Whether the history was compared: one that breaks its own rules proves nothing.
fn agree(history: &History) -> Result<bool, TestCaseError> {
    let verdict = check(history);
    if verdict
        .notes
        .iter()
        .any(|note| note.contains("contradicts"))
    {
        return Ok(false);
    }
    let expected = World::new(history).judge();
    for property in JUDGED {
        let found = support::of(&verdict, property).violations;
        match &expected {
            Some(expected) => {
                let expected = expected.get(&property).copied().unwrap_or(0);
                prop_assert_eq!(found, expected, "{:?} {:#?}", property, verdict);
            }
            None if property == Property::CausalConsistency => prop_assert!(found > 0),
            None => {}
        }
    }
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_sets(bytes in proptest::collection::vec(any::<u8>(), 0..260)) {
        agree(&random_collections::history(Workload::Gset, &bytes))?;
    }
}

#[test]
fn most_random_histories_are_compared_and_every_property_is_broken() {
    let mut random = squall_checker::generate::Random::new(3);
    let mut compared = 0;
    let mut circles = 0;
    let mut broken: BTreeSet<Property> = BTreeSet::new();
    for _ in 0..2_000 {
        let bytes: Vec<u8> = (0..260).map(|_| random.below(256) as u8).collect();
        let history = random_collections::history(Workload::Gset, &bytes);
        compared += u32::from(agree(&history).unwrap());
        match World::new(&history).judge() {
            Some(violations) => broken.extend(violations.into_keys()),
            None => circles += 1,
        }
    }
    assert!(compared > 1_200, "{compared}");
    assert!(circles > 0, "no circle");
    assert_eq!(broken.len(), JUDGED.len(), "{broken:?}");
}
