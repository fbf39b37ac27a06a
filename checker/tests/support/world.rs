//! Who did what in a history of collections, and what each read returned, the plain way.
#![allow(dead_code)]

use std::collections::{BTreeSet, HashMap};

use squall_checker::History;
use squall_protocol::history::Event;
use squall_protocol::transaction::{Collections, Key, Reads, Value};

#[derive(Debug)]
pub struct Operation {
    pub session: usize,
    pub value: Value,
    pub written: BTreeSet<Key>,
    pub invoked: usize,
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
}

impl World {
    pub fn new(history: &History) -> World {
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
                    operation, effects, ..
                } => {
                    let (index, asked) = numbers[operation].clone();
                    let of = &mut world.operations[index];
                    of.committed = Some(place);
                    of.written = effects.writes.iter().map(|(key, _)| *key).collect();
                    let session = of.session;
                    let told = effects.collections.as_ref();
                    world.read(session, Some(index), asked, told, place);
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
                Event::FinalReadPostgres {
                    effects: Some(effects),
                    ..
                } => {
                    let told = effects.collections.as_ref();
                    world.read(next_session, None, Reads::All, told, place);
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
