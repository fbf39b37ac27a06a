//! Who did what in a history of collections, and what each read returned, the plain way.
#![allow(dead_code)]

use std::collections::{BTreeSet, HashMap};

use squall_checker::History;
use squall_protocol::history::Event;
use squall_protocol::transaction::{Collections, Key, Reads, TransactionMode, Value};

#[derive(Debug)]
pub struct Operation {
    pub session: usize,
    pub value: Value,
    pub written: BTreeSet<Key>,
    pub invoked: usize,
    /// A place that it certainly began after.
    pub began: usize,
    /// Where it ended, if it committed.
    pub committed: Option<usize>,
    pub failed: bool,
}

impl Operation {
    pub fn place(&self) -> usize {
        self.committed.unwrap_or(self.invoked)
    }
}

pub struct Read {
    pub session: usize,
    pub operation: Option<usize>,
    pub asked: Reads,
    pub told: Option<Collections>,
    pub began: usize,
    pub completed: usize,
    /// The elements: key and writer.
    pub elements: BTreeSet<(Key, usize)>,
}

impl Read {
    pub fn shows(&self, operation: usize) -> bool {
        self.elements.iter().any(|(_, writer)| *writer == operation)
    }

    pub fn is_in_scope(&self, key: Key) -> bool {
        let told = self.told.iter().flatten().any(|(told, _)| *told == key);
        told || self.asked.contains(key)
    }
}

#[derive(Default)]
pub struct World {
    pub operations: Vec<Operation>,
    pub reads: Vec<Read>,
    /// The database of each session: those of several tabs may be on one.
    pub databases: Vec<usize>,
}

/// What a client is on.
#[derive(Clone, Default)]
struct On<'h> {
    session: usize,
    identity: Option<&'h str>,
    /// Where the last of its transactions that committed was invoked.
    transacted: usize,
}

impl World {
    pub fn new(history: &History) -> World {
        let mut world = World::default();
        let mut on: HashMap<&str, On> = HashMap::new();
        // By browser, or client if that is none of several tabs.
        let mut last: HashMap<&str, &str> = HashMap::new();
        let device = |client: &'_ str| {
            let mut specs = history.header.clients.iter();
            specs
                .find(|spec| spec.name == client)
                .map(|spec| spec.device())
        };
        for (number, spec) in history.header.clients.iter().enumerate() {
            let mut others = history.header.clients.iter();
            let first = others.position(|other| other.device() == spec.device());
            world.databases.push(first.unwrap_or(number));
            let session = number;
            on.insert(
                &spec.name,
                On {
                    session,
                    ..On::default()
                },
            );
        }
        let mut next_database = on.len();
        let mut numbers: HashMap<u64, (usize, Reads)> = HashMap::new();
        for (place, record) in history.records.iter().enumerate() {
            match &record.event {
                Event::Invoke {
                    client,
                    operation,
                    transaction,
                } => {
                    let index = world.operations.len();
                    numbers.insert(*operation, (index, transaction.reads.clone()));
                    let is_emission = transaction.through == TransactionMode::Watch;
                    let of = &on[client.as_str()];
                    world.operations.push(Operation {
                        session: of.session,
                        began: if is_emission { of.transacted } else { place },
                        value: transaction.value,
                        written: transaction.keys.iter().copied().collect(),
                        invoked: place,
                        committed: None,
                        failed: false,
                    });
                }
                Event::Ok {
                    client,
                    operation,
                    effects,
                } => {
                    let (index, asked) = numbers[operation].clone();
                    let of = &mut world.operations[index];
                    if of.began == of.invoked {
                        let on = on.get_mut(client.as_str()).unwrap();
                        on.transacted = on.transacted.max(of.invoked);
                    }
                    of.committed = Some(place);
                    of.written = effects.writes.iter().map(|(key, _)| *key).collect();
                    let session = of.session;
                    let told = effects.collections.as_ref();
                    let began = of.began;
                    world.read(session, Some(index), asked, told, (began, place));
                }
                Event::Fail { operation, .. } => {
                    world.operations[numbers[operation].0].failed = true;
                }
                Event::IncarnationStart {
                    client,
                    session: database,
                    ..
                } => {
                    let mut specs = history.header.clients.iter();
                    let spec = specs.find(|spec| spec.name == *client).unwrap();
                    let before = last.insert(spec.device(), database);
                    let others = on.iter().filter(|(other, of)| {
                        **other != client.as_str()
                            && device(other) == Some(spec.device())
                            && of.identity == Some(database.as_str())
                    });
                    let shared = others.map(|(_, of)| world.databases[of.session]).next();
                    let of = on.get_mut(client.as_str()).unwrap();
                    let known = of.identity.replace(database);
                    if known == Some(database.as_str()) || !spec.kind.has_database() {
                        continue;
                    }
                    let present = world.databases[of.session];
                    let number = match (shared, before) {
                        (Some(shared), _) => shared,
                        (None, None) => present,
                        (None, Some(_)) => {
                            next_database += 1;
                            next_database
                        }
                    };
                    if number != present {
                        of.session = world.databases.len();
                        world.databases.push(number);
                    }
                }
                Event::FinalReadPostgres {
                    effects: Some(effects),
                    ..
                } => {
                    let told = effects.collections.as_ref();
                    let session = world.databases.len();
                    next_database += 1;
                    world.databases.push(next_database);
                    world.read(session, None, Reads::All, told, (place, place));
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
        (began, completed): (usize, usize),
    ) {
        self.reads.push(Read {
            session,
            operation,
            asked,
            told: told.cloned(),
            began,
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

    /// The sessions that other tabs are in on the same database.
    pub fn siblings(&self, session: usize) -> impl Iterator<Item = usize> + '_ {
        let all = 0..self.databases.len();
        all.filter(move |other| {
            *other != session && self.databases[*other] == self.databases[session]
        })
    }

    /// As [`World::before`], with what other tabs on the same database had ended before `began`.
    pub fn all_before(
        &self,
        session: usize,
        place: usize,
        began: usize,
    ) -> (Vec<usize>, BTreeSet<usize>) {
        let (mut reads, mut operations) = self.before(session, place);
        for sibling in self.siblings(session) {
            let (more, done) = self.before(sibling, began);
            reads.extend(more);
            operations.extend(done);
        }
        (reads, operations)
    }

    /// What a session has done and seen before that place: its reads, and what it committed.
    pub fn before(&self, session: usize, place: usize) -> (Vec<usize>, BTreeSet<usize>) {
        let reads = (0..self.reads.len()).filter(|read| {
            self.reads[*read].session == session && self.reads[*read].completed < place
        });
        let committed = (0..self.operations.len()).filter(|operation| {
            let of = &self.operations[*operation];
            of.session == session && of.committed.is_some_and(|committed| committed < place)
        });
        (reads.collect(), committed.collect())
    }
}
