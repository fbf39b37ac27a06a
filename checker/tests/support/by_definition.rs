//! The properties of reads of the workload `mww`, straight from their definitions, without any
//! regard to speed. Shares no code with the checker.

use std::collections::BTreeMap;

use squall_checker::History;
use squall_protocol::history::Event;
use squall_protocol::plan::ClientKind;
use squall_protocol::transaction::{Key, Rows, Value};
use squall_protocol::verdict::Property;

#[derive(Clone, Debug, PartialEq)]
enum End {
    Ok { reads: Rows, writes: Vec<Key> },
    Failed,
    Unknown,
}

#[derive(Clone, Debug)]
struct Operation {
    session: String,
    /// The number of the database; several tabs may work on one, each in a session of its own.
    database: usize,
    value: Value,
    keys: Vec<Key>,
    invoked: usize,
    end: End,
}

#[derive(Clone, Debug)]
struct Read {
    session: String,
    database: usize,
    began: usize,
    /// The operation that read, and for PostgreSQL's final read none.
    operation: Option<usize>,
    rows: Rows,
    completed: usize,
}

impl Read {
    /// The values of a row: none, one, or several.
    fn values(&self, key: Key) -> Vec<Value> {
        self.rows
            .iter()
            .filter(|r| r.0 == key)
            .map(|r| r.1)
            .collect()
    }
}

pub struct Definition {
    keys: Key,
    operations: Vec<Operation>,
    reads: Vec<Read>,
}

/// Who is in which session, on which database.
#[derive(Default)]
struct Sessions {
    /// By client: how many sessions it had before, the number of its database, and its identity.
    clients: BTreeMap<String, (u32, usize, Option<String>)>,
    databases: usize,
}

impl Sessions {
    /// The clients of the header that have their database together, this one too.
    fn together<'h>(history: &'h History, client: &str) -> Vec<&'h str> {
        let clients = &history.header.clients;
        let browser = clients.iter().find(|c| c.name == client);
        let browser = browser.and_then(|c| c.browser.as_ref());
        let tabs = clients
            .iter()
            .filter(|c| c.browser.is_some() && c.browser.as_ref() == browser);
        tabs.map(|c| c.name.as_str()).collect()
    }

    fn of(&mut self, history: &History, client: &str) -> (String, usize) {
        if !self.clients.contains_key(client) {
            self.databases += 1;
            for tab in Self::together(history, client).into_iter().chain([client]) {
                self.clients
                    .insert(tab.to_owned(), (0, self.databases, None));
            }
        }
        let (count, database, _) = &self.clients[client];
        (format!("{client}/{count}"), *database)
    }

    fn identify(&mut self, history: &History, client: &str, identity: &str) {
        self.of(history, client);
        let tabs = Self::together(history, client);
        let others = tabs.into_iter().filter(|tab| *tab != client);
        let others: Vec<(usize, Option<String>)> = others
            .map(|tab| (self.clients[tab].1, self.clients[tab].2.clone()))
            .collect();
        let (count, database, known) = self.clients.get_mut(client).unwrap();
        if known.as_deref() == Some(identity) {
            return;
        }
        let same = others
            .iter()
            .find(|other| other.1.as_deref() == Some(identity));
        let first = known.is_none() && others.iter().all(|other| other.1.is_none());
        *known = Some(identity.to_owned());
        let number = match same {
            Some((number, _)) => *number,
            None if first => *database,
            None => {
                self.databases += 1;
                self.databases
            }
        };
        if number != *database {
            (*count, *database) = (*count + 1, number);
        }
    }
}

/// How often each property of reads is violated.
pub type Violations = BTreeMap<Property, u64>;

impl Definition {
    pub fn new(history: &History) -> Self {
        let mut sessions = Sessions::default();
        let mut operations: Vec<Operation> = Vec::new();
        let mut by_number = BTreeMap::new();
        let mut reads = Vec::new();
        let syncs = |name: &str| {
            let mut clients = history.header.clients.iter();
            clients.any(|c| c.name == name && c.kind != ClientKind::Postgres)
        };
        for (place, record) in history.records.iter().enumerate() {
            match &record.event {
                Event::Invoke {
                    client,
                    operation,
                    transaction,
                } => {
                    by_number.insert(*operation, operations.len());
                    let (session, database) = sessions.of(history, client);
                    operations.push(Operation {
                        session,
                        database,
                        value: transaction.value,
                        keys: transaction.keys.clone(),
                        invoked: place,
                        end: End::Unknown,
                    });
                }
                Event::Ok {
                    operation, effects, ..
                } => {
                    let operation = by_number[operation];
                    operations[operation].end = End::Ok {
                        reads: effects.reads.clone(),
                        writes: effects.writes.iter().map(|w| w.0).collect(),
                    };
                    reads.push(Read {
                        session: operations[operation].session.clone(),
                        database: operations[operation].database,
                        began: operations[operation].invoked,
                        operation: Some(operation),
                        rows: effects.reads.clone(),
                        completed: place,
                    });
                }
                Event::Fail { operation, .. } => operations[by_number[operation]].end = End::Failed,
                Event::IncarnationStart {
                    client,
                    session: identity,
                    ..
                } if syncs(client) => sessions.identify(history, client, identity),
                Event::FinalReadPostgres {
                    effects: Some(effects),
                    ..
                } => reads.push(Read {
                    session: "PostgreSQL".to_owned(),
                    database: usize::MAX,
                    began: place,
                    operation: None,
                    rows: effects.reads.clone(),
                    completed: place,
                }),
                _ => {}
            }
        }
        Definition {
            keys: history.header.keys,
            operations,
            reads,
        }
    }

    fn committed(&self, operation: usize) -> bool {
        matches!(self.operations[operation].end, End::Ok { .. })
    }

    /// The operation whose value this is, whatever the row.
    fn claimant(&self, value: Value) -> Option<usize> {
        let mut all = 0..self.operations.len();
        all.find(|o| !self.operations[*o].keys.is_empty() && self.operations[*o].value == value)
    }

    /// The operation that wrote the value to the row before the read ended; none if it is initial;
    /// an error if it is from nowhere.
    fn source(&self, read: &Read, key: Key, value: Value) -> Result<Option<usize>, ()> {
        if key >= self.keys {
            return Err(());
        }
        if value == -1 {
            return Ok(None);
        }
        let writer = self.claimant(value).ok_or(())?;
        let operation = &self.operations[writer];
        let possible = match &operation.end {
            End::Ok { writes, .. } => writes.contains(&key),
            End::Failed => false,
            End::Unknown => operation.keys.contains(&key),
        };
        let possible =
            possible && read.operation != Some(writer) && operation.invoked <= read.completed;
        possible.then_some(Some(writer)).ok_or(())
    }

    /// The operations that a read shows.
    fn shown(&self, read: &Read) -> Vec<usize> {
        let mut shown: Vec<usize> = read
            .rows
            .iter()
            .filter_map(|(key, value)| self.source(read, *key, *value).ok().flatten())
            .collect();
        shown.sort_unstable();
        shown.dedup();
        shown
    }

    /// The rows that an operation has certainly written.
    fn certain(&self, operation: usize) -> Vec<Key> {
        match &self.operations[operation].end {
            End::Ok { writes, .. } => writes.clone(),
            _ => {
                let mut keys = self.operations[operation].keys.clone();
                keys.retain(|key| {
                    self.reads.iter().any(|read| {
                        read.values(*key)
                            .iter()
                            .any(|v| self.source(read, *key, *v) == Ok(Some(operation)))
                    })
                });
                keys
            }
        }
    }

    /// Where an operation stands in its session: where it ended if it committed, and otherwise where it
    /// was invoked.
    fn place(&self, operation: usize) -> usize {
        let mut reads = self.reads.iter();
        let read = reads.find(|read| read.operation == Some(operation));
        read.map_or(self.operations[operation].invoked, |read| read.completed)
    }

    /// Whether what ended there is before what began there, of two tabs on one database.
    fn is_of_sibling(
        &self,
        earlier: usize,
        (session, database, began): (&str, usize, usize),
    ) -> bool {
        let operation = &self.operations[earlier];
        operation.session != session
            && operation.database == database
            && self.committed(earlier)
            && self.place(earlier) < began
    }

    /// Whether the one comes before the other in a session.
    fn precedes(&self, earlier: &Read, later: &Read) -> bool {
        let began = (later.session.as_str(), later.database, later.began);
        if earlier
            .operation
            .is_some_and(|earlier| self.is_of_sibling(earlier, began))
        {
            return true;
        }
        earlier.session == later.session
            && match (earlier.operation, later.operation) {
                (Some(_), Some(_)) => earlier.completed < later.completed,
                (earlier, later) => earlier.is_some() && later.is_none(),
            }
    }

    /// The values that are below what the row has to hold; a value from nowhere is not judged.
    fn stale(&self, read: &Read, key: Key, floor: Value) -> u64 {
        if key >= self.keys {
            return 0;
        }
        let values = read.values(key);
        if values.is_empty() {
            return 1;
        }
        let judged = |v: &&Value| self.source(read, key, **v).is_ok();
        values.iter().filter(judged).filter(|v| **v < floor).count() as u64
    }

    /// The highest value in a row among those that a predicate over earlier reads and writes gives.
    fn read_your_writes(&self, read: &Read, key: Key) -> Option<Value> {
        (0..self.operations.len())
            .filter(|o| {
                let own = self.operations[*o].session == read.session
                    && read
                        .operation
                        .is_none_or(|own| self.place(*o) < self.place(own));
                own || self.is_of_sibling(*o, (&read.session, read.database, read.began))
            })
            .filter(|o| self.committed(*o) && self.certain(*o).contains(&key))
            .map(|o| self.operations[o].value)
            .max()
    }

    /// What a read has returned for a row that its session has not written itself.
    fn foreign(&self, read: &Read, key: Key) -> Option<Value> {
        read.values(key)
            .into_iter()
            .filter(|value| match self.source(read, key, *value) {
                Ok(Some(w)) => !(self.operations[w].session == read.session && self.committed(w)),
                _ => false,
            })
            .max()
    }

    fn monotonic_reads(&self, read: &Read, key: Key) -> Option<Value> {
        self.reads
            .iter()
            .filter(|earlier| self.precedes(earlier, read))
            .filter_map(|earlier| self.foreign(earlier, key))
            .max()
    }

    /// What a session had written to a row before an operation.
    fn written_before(&self, operation: usize, key: Key) -> Option<Value> {
        let of = &self.operations[operation];
        (0..self.operations.len())
            .filter(|o| {
                let own = self.operations[*o].session == of.session
                    && self.place(*o) < self.place(operation);
                own || self.is_of_sibling(*o, (&of.session, of.database, of.invoked))
            })
            .filter(|o| self.committed(*o) && self.certain(*o).contains(&key))
            .map(|o| self.operations[o].value)
            .max()
    }

    /// What a session had read from a row, before an operation or in it.
    fn read_before(&self, operation: usize, key: Key) -> Option<Value> {
        let of = &self.operations[operation];
        self.reads
            .iter()
            .filter(|read| {
                read.operation.is_some_and(|o| {
                    let own = read.session == of.session && self.place(o) <= self.place(operation);
                    own || self.is_of_sibling(o, (&of.session, of.database, of.invoked))
                })
            })
            .filter_map(|read| self.foreign(read, key))
            .max()
    }

    pub fn violations(&self) -> Violations {
        let mut count = Violations::new();
        let mut add = |property, n: u64| {
            if n > 0 {
                *count.entry(property).or_default() += n;
            }
        };
        for read in &self.reads {
            for key in 0..self.keys {
                if let Some(floor) = self.read_your_writes(read, key) {
                    add(Property::ReadYourWrites, self.stale(read, key, floor));
                }
                if let Some(floor) = self.monotonic_reads(read, key) {
                    add(Property::MonotonicReads, self.stale(read, key, floor));
                }
                match read.values(key).len() as u64 {
                    0 => add(Property::NoThinAirRead, 1),
                    n => add(Property::NoThinAirRead, n - 1),
                }
            }
            for (key, value) in &read.rows {
                add(
                    Property::NoThinAirRead,
                    u64::from(self.source(read, *key, *value).is_err()),
                );
            }
            let shown = self.shown(read);
            for writer in &shown {
                for key in self.certain(*writer) {
                    let stale = self.stale(read, key, self.operations[*writer].value);
                    add(Property::AtomicVisibility, stale.min(1));
                }
            }
            let mut sessions: Vec<&String> =
                shown.iter().map(|o| &self.operations[*o].session).collect();
            sessions.sort();
            sessions.dedup();
            sessions.retain(|session| **session != read.session);
            for session in sessions {
                for key in 0..self.keys {
                    let of_session = shown
                        .iter()
                        .filter(|o| self.operations[**o].session == *session);
                    let written = of_session
                        .clone()
                        .filter_map(|o| self.written_before(*o, key))
                        .max();
                    if let Some(floor) = written {
                        add(Property::MonotonicWrites, self.stale(read, key, floor));
                    }
                    let seen = of_session.filter_map(|o| self.read_before(*o, key)).max();
                    if let Some(floor) = seen {
                        add(Property::WritesFollowReads, self.stale(read, key, floor));
                    }
                }
            }
        }
        count
    }

    /// Whether a session sees what it does only later, which takes operations that overlap: a client does
    /// one after the other, and a live query emits nothing of a transaction that is not answered.
    pub fn sees_its_own_future(&self) -> bool {
        self.reads.iter().any(|read| {
            let later = |shown: usize| {
                let own = read
                    .operation
                    .is_some_and(|own| self.place(own) < self.place(shown));
                self.operations[shown].session == read.session && own
            };
            self.shown(read).into_iter().any(later)
        })
    }

    /// Whether every read returns at least the highest value in its causal past: the transitive
    /// closure of session order and reads-from.
    pub fn is_causal(&self) -> bool {
        let count = self.operations.len();
        // Operations, and then reads; PostgreSQL's final read is a node of its own.
        let nodes = count + self.reads.len();
        let node = |read: usize| self.reads[read].operation.unwrap_or(count + read);
        let mut edges = Vec::new();
        for later in 0..count {
            let of = &self.operations[later];
            let began = (of.session.as_str(), of.database, of.invoked);
            let of_siblings = (0..count).filter(|earlier| self.is_of_sibling(*earlier, began));
            edges.extend(of_siblings.map(|earlier| (earlier, later)));
            for earlier in (0..count).filter(|earlier| self.place(*earlier) < self.place(later)) {
                // Nothing follows an operation whose answer was lost.
                let same = self.operations[earlier].session == self.operations[later].session;
                if same && self.committed(earlier) {
                    edges.push((earlier, later));
                }
            }
        }
        for (number, read) in self.reads.iter().enumerate() {
            edges.extend(self.shown(read).into_iter().map(|w| (w, node(number))));
            for earlier in 0..self.reads.len() {
                if self.precedes(&self.reads[earlier], read) {
                    edges.push((node(earlier), node(number)));
                }
            }
        }
        let mut before = vec![vec![false; nodes]; nodes];
        for (earlier, later) in edges {
            before[later][earlier] = true;
        }
        for middle in 0..nodes {
            let of_middle = before[middle].clone();
            for of_later in before.iter_mut().filter(|of_later| of_later[middle]) {
                for (known, new) in of_later.iter_mut().zip(&of_middle) {
                    *known |= new;
                }
            }
        }
        self.reads.iter().enumerate().all(|(number, read)| {
            (0..count)
                .filter(|writer| before[node(number)][*writer])
                .filter(|writer| self.operations[*writer].end != End::Failed)
                .all(|writer| {
                    let value = self.operations[writer].value;
                    let keys = self.certain(writer);
                    keys.into_iter()
                        .all(|key| self.stale(read, key, value) == 0)
                })
        })
    }
}
