//! The properties of `list-append` and `gset`, straight from what `docs/properties.md` and the two modules
//! say, without any regard to speed. Shares no code with the checker.

use std::collections::{BTreeMap, BTreeSet};

use squall_checker::History;
use squall_protocol::history::{Event, Phase};
use squall_protocol::plan::{ClientKind, Isolation, Workload};
use squall_protocol::transaction::{Collections, Key, Reads, Value};
use squall_protocol::verdict::Property;

#[derive(Clone, Debug, PartialEq)]
enum End {
    Ok { completed: usize, writes: Vec<Key> },
    Failed,
    Unknown,
}

#[derive(Clone, Debug)]
struct Operation {
    client: String,
    session: usize,
    value: Value,
    keys: Vec<Key>,
    invoked: usize,
    end: End,
    probe: bool,
    is_final_read: bool,
}

#[derive(Clone, Debug)]
struct Read {
    /// None for PostgreSQL's final read.
    client: Option<String>,
    session: usize,
    /// None for PostgreSQL's final read.
    operation: Option<usize>,
    is_final: bool,
    asked: Reads,
    told: BTreeMap<Key, Vec<String>>,
    completed: usize,
}

pub struct Definition<'h> {
    history: &'h History,
    operations: Vec<Operation>,
    reads: Vec<Read>,
    /// Each client's latest session.
    sessions: BTreeMap<String, usize>,
    lost_databases: u64,
    healed: Option<usize>,
    /// Whether the history is whole, and nothing happened that it can not explain.
    sound: bool,
    troubled: bool,
}

/// How often each property is violated.
pub type Violations = BTreeMap<Property, u64>;

fn parts(text: &str) -> Vec<String> {
    let parts = text.split(' ').filter(|_| !text.is_empty());
    parts.map(str::to_owned).collect()
}

fn values(list: &[String]) -> Vec<Value> {
    list.iter().filter_map(|part| part.parse().ok()).collect()
}

fn is_older(list: &[Value], other: &[Value]) -> bool {
    list.len() < other.len() && other.starts_with(list)
}

impl<'h> Definition<'h> {
    pub fn new(history: &'h History) -> Self {
        let mut definition = Definition {
            history,
            operations: Vec::new(),
            reads: Vec::new(),
            sessions: BTreeMap::new(),
            lost_databases: 0,
            healed: None,
            sound: true,
            troubled: false,
        };
        let mut count = 0;
        for client in &history.header.clients {
            definition.sessions.insert(client.name.clone(), count);
            count += 1;
        }
        let mut identities: BTreeMap<&str, &str> = BTreeMap::new();
        let mut numbers = BTreeMap::new();
        let (mut probing, mut reading, mut complete) = (false, false, false);
        let told = |collections: &Option<Collections>| {
            let all = collections.iter().flatten();
            all.map(|(key, text)| (*key, parts(text))).collect()
        };
        for (place, record) in history.records.iter().enumerate() {
            match &record.event {
                Event::Phase(Phase::Heal) => definition.healed = Some(place),
                Event::Phase(Phase::Probe) => probing = true,
                Event::Phase(Phase::FinalRead) => reading = true,
                Event::Phase(Phase::Complete) => complete = true,
                Event::Trouble { .. } => definition.troubled = true,
                Event::Invoke {
                    client,
                    operation,
                    transaction,
                } => {
                    numbers.insert(
                        *operation,
                        (definition.operations.len(), &transaction.reads),
                    );
                    definition.operations.push(Operation {
                        client: client.clone(),
                        session: definition.sessions[client],
                        value: transaction.value,
                        keys: transaction.keys.clone(),
                        invoked: place,
                        end: End::Unknown,
                        probe: probing && !transaction.keys.is_empty(),
                        is_final_read: reading && transaction.reads_everything(),
                    });
                }
                Event::Ok {
                    operation, effects, ..
                } => {
                    let (number, asked) = numbers[operation];
                    let operation = &mut definition.operations[number];
                    operation.end = End::Ok {
                        completed: place,
                        writes: effects.writes.iter().map(|write| write.0).collect(),
                    };
                    definition.reads.push(Read {
                        client: Some(operation.client.clone()),
                        session: operation.session,
                        operation: Some(number),
                        is_final: operation.is_final_read && effects.collections.is_some(),
                        asked: asked.clone(),
                        told: told(&effects.collections),
                        completed: place,
                    });
                }
                Event::Fail { operation, .. } => {
                    definition.operations[numbers[operation].0].end = End::Failed;
                }
                Event::IncarnationStart {
                    client, session, ..
                } => {
                    let before = identities.insert(client, session);
                    if before.is_some_and(|before| before != session)
                        && definition.kind(client) != ClientKind::Postgres
                    {
                        definition.lost_databases += 1;
                        definition.sessions.insert(client.clone(), count);
                        count += 1;
                    }
                }
                Event::FinalReadPostgres {
                    effects: Some(effects),
                    ..
                } => definition.reads.push(Read {
                    client: None,
                    session: usize::MAX,
                    operation: None,
                    is_final: true,
                    asked: Reads::All,
                    told: told(&effects.collections),
                    completed: place,
                }),
                _ => {}
            }
        }
        definition.sound = complete && !definition.troubled;
        definition
    }

    fn kind(&self, client: &str) -> ClientKind {
        let mut clients = self.history.header.clients.iter();
        clients.find(|c| c.name == client).expect("a client").kind
    }

    fn keys(&self) -> std::ops::Range<Key> {
        0..self.history.header.keys
    }

    fn committed(&self, operation: usize) -> bool {
        matches!(self.operations[operation].end, End::Ok { .. })
    }

    /// What decides an operation's place in its session: its end if it committed, else its invocation.
    fn place(&self, operation: usize) -> usize {
        match self.operations[operation].end {
            End::Ok { completed, .. } => completed,
            _ => self.operations[operation].invoked,
        }
    }

    /// What an operation wrote, or may have.
    fn writes(&self, operation: usize) -> &[Key] {
        match &self.operations[operation].end {
            End::Ok { writes, .. } => writes,
            End::Failed => &[],
            End::Unknown => &self.operations[operation].keys,
        }
    }

    /// Who may have written an element that was read.
    fn source(&self, read: &Read, key: Key, part: &str) -> Option<usize> {
        let value: Value = part.parse().ok()?;
        let mut all = 0..self.operations.len();
        let writer =
            all.find(|o| self.operations[*o].value == value && self.writes(*o).contains(&key))?;
        let in_time = self.operations[writer].invoked <= read.completed;
        (in_time && read.operation != Some(writer)).then_some(writer)
    }

    fn told<'r>(&self, read: &'r Read, key: Key) -> &'r [String] {
        read.told.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The operations of which a read shows an element.
    fn shown(&self, read: &Read) -> BTreeSet<usize> {
        let elements = read.told.iter();
        let elements = elements.flat_map(|(key, list)| list.iter().map(|part| (*key, part)));
        elements
            .filter_map(|(key, part)| self.source(read, key, part))
            .collect()
    }

    /// Until when what a session has done counts for a read of it.
    fn limit(&self, read: &Read) -> usize {
        match read.operation {
            Some(own) => self.place(own),
            None => read.completed,
        }
    }

    /// Whether one read is before another one in a session.
    fn precedes(&self, earlier: &Read, later: &Read) -> bool {
        earlier.session == later.session && earlier.completed < later.completed
    }

    fn node(&self, read: usize) -> usize {
        let all = self.operations.len();
        self.reads[read].operation.unwrap_or(all + read)
    }

    /// For each operation, and then PostgreSQL's final read, what is in its causal past, given who reads from whom.
    fn past(&self, sources: impl Fn(usize) -> BTreeSet<usize>) -> Vec<Vec<bool>> {
        let operations = self.operations.len();
        let nodes = operations + self.reads.len();
        let mut past = vec![vec![false; nodes]; nodes];
        for (later, past) in past.iter_mut().enumerate().take(operations) {
            let of_session =
                |o: &usize| self.operations[*o].session == self.operations[later].session;
            for earlier in (0..operations).filter(of_session) {
                past[earlier] = self.committed(earlier) && self.place(earlier) < self.place(later);
            }
        }
        for (number, read) in self.reads.iter().enumerate() {
            let node = self.node(number);
            for writer in sources(number) {
                past[node][writer] = true;
            }
            for earlier in 0..self.reads.len() {
                if self.precedes(&self.reads[earlier], read) {
                    past[node][self.node(earlier)] = true;
                }
            }
        }
        close(&mut past);
        past
    }

    /// What every element of every read has to be, and nothing more.
    fn thin_air(&self) -> u64 {
        let lists = self.history.header.workload == Workload::ListAppend;
        let mut count = 0;
        for read in &self.reads {
            for (key, list) in &read.told {
                let nobody = |part: &&String| self.source(read, *key, part).is_none();
                count += list.iter().filter(nobody).count();
                let judged = |part: &&String| lists || !nobody(part);
                let mut met = BTreeSet::new();
                let numbers = list.iter().filter(|part| part.parse::<Value>().is_ok());
                count += numbers
                    .filter(judged)
                    .filter(|part| !met.insert(*part))
                    .count();
            }
            if lists {
                let missing = |key: &Key| read.asked.contains(*key) && !read.told.contains_key(key);
                count += self.keys().filter(missing).count();
            }
        }
        if lists {
            count += self.garbled();
        }
        count as u64
    }

    /// Elements that do not stand behind what their writers have extended: what these have read, or what
    /// somebody else has read.
    fn garbled(&self) -> usize {
        let mut extended: BTreeMap<(usize, Key), BTreeSet<Option<String>>> = BTreeMap::new();
        for read in &self.reads {
            if let Some(operation) = read.operation {
                for key in self.writes(operation) {
                    if let Some(list) = read.told.get(key) {
                        let before = extended.entry((operation, *key)).or_default();
                        before.insert(list.last().cloned());
                    }
                }
            }
            for (key, list) in &read.told {
                for (at, part) in list.iter().enumerate() {
                    if let Some(writer) = self.source(read, *key, part) {
                        let before = at.checked_sub(1).map(|before| list[before].clone());
                        extended.entry((writer, *key)).or_default().insert(before);
                    }
                }
            }
        }
        extended.values().filter(|before| before.len() > 1).count()
    }

    // Sets.

    /// The properties of reads of sets; none if causality has a cycle.
    pub fn of_sets(&self) -> Option<Violations> {
        let mut count = Violations::from([(Property::NoThinAirRead, self.thin_air())]);
        let past = self.past(|read| self.shown(&self.reads[read]));
        if past.iter().enumerate().any(|(node, past)| past[node]) {
            return None;
        }
        for (number, read) in self.reads.iter().enumerate() {
            for missed in (0..self.operations.len()).filter(|o| past[self.node(number)][*o]) {
                for key in self.writes(missed) {
                    let value = self.operations[missed].value;
                    if read.asked.contains(*key) && !values(self.told(read, *key)).contains(&value)
                    {
                        *count.entry(self.broken(read, *key, missed)).or_default() += 1;
                    }
                }
            }
        }
        count.retain(|_, count| *count > 0);
        Some(count)
    }

    /// What the absence of an element in a set breaks, which is in the past.
    fn broken(&self, read: &Read, key: Key, missed: usize) -> Property {
        let of = |operation: usize| self.operations[operation].session;
        let holds = |other: &Read| {
            let mut list = self.told(other, key).iter();
            list.any(|part| self.source(other, key, part) == Some(missed))
        };
        let shown = self.shown(read);
        let mut others = shown.iter().filter(|shown| of(**shown) != read.session);
        if of(missed) == read.session && self.committed(missed) {
            Property::ReadYourWrites
        } else if self
            .reads
            .iter()
            .any(|r| self.precedes(r, read) && holds(r))
        {
            Property::MonotonicReads
        } else if shown.contains(&missed) {
            Property::AtomicVisibility
        } else if self.committed(missed)
            && others
                .clone()
                .any(|o| of(*o) == of(missed) && self.place(*o) > self.place(missed))
        {
            Property::MonotonicWrites
        } else if others.any(|other| {
            self.reads.iter().any(|r| {
                let in_time = r.operation.is_some_and(|o| {
                    self.place(o) < self.place(*other) || (o == *other && self.committed(o))
                });
                r.session == of(*other) && in_time && holds(r)
            })
        }) {
            Property::WritesFollowReads
        } else {
            Property::CausalConsistency
        }
    }

    // Lists.

    /// The list that ends with what an operation has appended: what it says that it has read, and its own
    /// element, or what somebody else has read.
    fn version(&self, operation: usize, key: Key) -> Option<Vec<Value>> {
        if !self.writes(operation).contains(&key) {
            return None;
        }
        let value = self.operations[operation].value;
        let own = self
            .reads
            .iter()
            .find(|read| read.operation == Some(operation));
        if let Some(told) = own.and_then(|read| read.told.get(&key)) {
            return Some(values(told).into_iter().chain([value]).collect());
        }
        self.reads.iter().find_map(|read| {
            let list = values(self.told(read, key));
            let at = list.iter().position(|element| *element == value)?;
            Some(list[..=at].to_vec())
        })
    }

    /// Of what a session has written to a list before a place, the latest version that is known.
    fn written(&self, session: usize, key: Key, limit: usize) -> Option<Vec<Value>> {
        (0..self.operations.len())
            .filter(|o| self.operations[*o].session == session && self.committed(*o))
            .filter(|o| self.place(*o) < limit && self.writes(*o).contains(&key))
            .filter_map(|o| Some((self.place(o), self.version(o, key)?)))
            .max()
            .map(|(_, list)| list)
    }

    /// What a session has read last of a list before a place.
    fn read_last(&self, session: usize, key: Key, limit: usize) -> Option<Vec<Value>> {
        let of_session = self.reads.iter().filter(|read| read.session == session);
        of_session
            .filter(|read| read.operation.is_some_and(|o| self.place(o) < limit))
            .filter_map(|read| Some((read.completed, values(read.told.get(&key)?))))
            .max()
            .map(|(_, list)| list)
    }

    /// The properties of reads of lists; if there is thin air, nothing else.
    pub fn of_lists(&self) -> Violations {
        let mut count = Violations::from([(Property::NoThinAirRead, self.thin_air())]);
        if count[&Property::NoThinAirRead] > 0 {
            return count;
        }
        for read in &self.reads {
            let last = |key: Key| self.source(read, key, self.told(read, key).last()?);
            let shown: BTreeSet<usize> = self.keys().filter_map(last).collect();
            // The latest of each session.
            let mut latest: BTreeMap<usize, usize> = BTreeMap::new();
            for writer in &shown {
                let latest = latest.entry(self.operations[*writer].session);
                let latest = latest.or_insert(*writer);
                if self.place(*latest) < self.place(*writer) {
                    *latest = *writer;
                }
            }
            latest.remove(&read.session);
            for (key, list) in &read.told {
                let list = values(list);
                let mut judge = |property, known: Option<Vec<Value>>| {
                    if known.is_some_and(|known| is_older(&list, &known)) {
                        *count.entry(property).or_default() += 1;
                    }
                };
                let limit = self.limit(read);
                let own = self.written(read.session, *key, limit);
                judge(Property::ReadYourWrites, own);
                let own = self.read_last(read.session, *key, limit);
                judge(Property::MonotonicReads, own);
                for writer in &shown {
                    judge(Property::AtomicVisibility, self.version(*writer, *key));
                }
                for (session, writer) in &latest {
                    let place = self.place(*writer);
                    let written = self.written(*session, *key, place);
                    judge(Property::MonotonicWrites, written);
                    let place = place + usize::from(self.committed(*writer));
                    let seen = self.read_last(*session, *key, place);
                    judge(Property::WritesFollowReads, seen);
                }
            }
        }
        count.insert(Property::CausalConsistency, u64::from(!self.is_causal()));
        count.retain(|_, count| *count > 0);
        count
    }

    /// From whom a read has read each list, none for the empty one; a transaction that appends to a list
    /// has read what it extended.
    fn lists_read(&self, read: &Read) -> BTreeMap<Key, Option<usize>> {
        let mut lists: BTreeMap<Key, Option<usize>> = BTreeMap::new();
        let writer = |key: Key, value: Option<&Value>| {
            let value = value?;
            let mut all = 0..self.operations.len();
            all.find(|o| self.operations[*o].value == *value && self.writes(*o).contains(&key))
        };
        for key in self.keys().filter(|key| read.asked.contains(*key)) {
            lists.insert(key, writer(key, values(self.told(read, key)).last()));
        }
        if let Some(operation) = read.operation {
            for key in self.writes(operation) {
                if let (Some(version), false) =
                    (self.version(operation, *key), lists.contains_key(key))
                {
                    lists.insert(*key, writer(*key, version.iter().rev().nth(1)));
                }
            }
        }
        lists
    }

    /// Whether there is an order of all transactions in which each comes after its causal past, and reads
    /// of each list the version that is the last of those of its past.
    fn is_causal(&self) -> bool {
        let lists: Vec<_> = self
            .reads
            .iter()
            .map(|read| self.lists_read(read))
            .collect();
        let past = self.past(|read| lists[read].values().copied().flatten().collect());
        let observed = |operation: usize| {
            self.committed(operation)
                || lists
                    .iter()
                    .any(|read| read.values().any(|w| *w == Some(operation)))
        };
        let mut before = past.clone();
        for (number, lists) in lists.iter().enumerate() {
            let node = self.node(number);
            for (key, version) in lists {
                for other in (0..self.operations.len()).filter(|other| past[node][*other]) {
                    if other == node
                        || !observed(other)
                        || !self.writes(other).contains(key)
                        || *version == Some(other)
                    {
                        continue;
                    }
                    match version {
                        Some(version) => before[*version][other] = true,
                        None => return false,
                    }
                }
            }
        }
        // Such an order exists if what has to come before what has no cycle.
        close(&mut before);
        before
            .iter()
            .enumerate()
            .all(|(node, before)| !before[node])
    }

    // The end.

    /// Whose writes a client has to come to see.
    fn share(&self, client: &str) -> String {
        match self.kind(client) {
            ClientKind::Sqlite | ClientKind::Sqlite3 => "the file".to_owned(),
            ClientKind::Local => client.to_owned(),
            _ => "PostgreSQL".to_owned(),
        }
    }

    fn postgres(&self) -> Option<&Read> {
        self.reads.iter().find(|read| read.client.is_none())
    }

    fn syncs(&self, client: &str) -> bool {
        matches!(self.kind(client), ClientKind::Native | ClientKind::Wasm)
    }

    /// The record in which a client's queue was seen to be empty after its last write.
    fn drained(&self, client: &str) -> Option<usize> {
        let own = self.operations.iter().filter(|o| o.client == client);
        let last = own.filter_map(|o| match &o.end {
            End::Ok { completed, writes } if !writes.is_empty() => Some(*completed),
            _ => None,
        });
        let last = last.max().unwrap_or(0);
        let healed = self.healed?;
        let mut records = self.history.records.iter().enumerate();
        records.find_map(|(place, record)| match &record.event {
            Event::Status { client: of, status } => {
                let fits = of == client && status.queue == 0 && status.acknowledged;
                (fits && place > last && place >= healed).then_some(place)
            }
            _ => None,
        })
    }

    fn probes(&self) -> Vec<usize> {
        let all = 0..self.operations.len();
        all.filter(|o| self.operations[*o].probe && self.committed(*o))
            .collect()
    }

    /// The record in which a client had read everything that it has to come to see.
    fn recovered(&self, client: &str) -> Option<usize> {
        self.sees(client, &self.probes())
    }

    /// The record in which a client had read those of these probes that it has to come to see.
    fn sees(&self, client: &str, probes: &[usize]) -> Option<usize> {
        let healed = self.healed?;
        if probes.is_empty() {
            return None;
        }
        let same = |o: &&usize| self.share(&self.operations[**o].client) == self.share(client);
        let shows = |read: &Read, probe: usize| {
            self.writes(probe).iter().all(|key| {
                let value = self.operations[probe].value;
                let list = self.told(read, *key);
                // What the merge has overwritten for good is made up for by what has overwritten it.
                let merged = self.history.header.workload == Workload::ListAppend
                    && self.postgres().is_some_and(|end| {
                        let end = self.told(end, *key);
                        !values(end).contains(&value) && end == list
                    });
                read.asked.contains(*key) && (values(list).contains(&value) || merged)
            })
        };
        let own = self
            .reads
            .iter()
            .filter(|read| read.client.as_deref() == Some(client));
        own.filter(|read| read.completed >= healed)
            .find(|read| probes.iter().filter(same).all(|probe| shows(read, *probe)))
            .map(|read| read.completed)
    }

    fn settled(&self, client: &str) -> bool {
        let drained =
            !self.syncs(client) && self.healed.is_some() || self.drained(client).is_some();
        drained && self.recovered(client).is_some()
    }

    /// Whether there is one copy of the data only.
    fn one_copy(&self) -> bool {
        let header = &self.history.header;
        let kinds: Vec<ClientKind> = header.clients.iter().map(|c| c.kind).collect();
        let file = |kind: &ClientKind| matches!(kind, ClientKind::Sqlite | ClientKind::Sqlite3);
        let serializable = header.isolation == Isolation::Serializable
            && kinds.iter().all(|kind| *kind == ClientKind::Postgres);
        kinds.iter().all(file)
            || serializable
            || (kinds.len() == 1 && kinds[0] != ClientKind::Postgres)
    }

    /// The times of a client's reports after the heal, with what they tell; and of its writes.
    fn reports(&self, client: &str) -> Vec<(u64, Option<(u64, bool)>)> {
        let writes = |place: usize| {
            let mut own = self.operations.iter().filter(|o| o.client == client);
            own.any(|o| {
                matches!(&o.end, End::Ok { completed, writes } if *completed == place && !writes.is_empty())
            })
        };
        let Some(healed) = self.healed else {
            return Vec::new();
        };
        let records = self.history.records.iter().enumerate().skip(healed);
        let told = records.filter_map(|(place, record)| match &record.event {
            Event::Status { client: of, status } if of == client => {
                Some((record.time, Some((status.queue, status.acknowledged))))
            }
            _ => writes(place).then_some((record.time, None)),
        });
        told.collect()
    }

    fn deadline(&self) -> u64 {
        1000 * self.history.header.recovery_deadline_ms
    }

    fn end(&self) -> u64 {
        self.history.records.last().map_or(0, |record| record.time)
    }

    /// Whether for longer than the deadline the queue had to become shorter and did not.
    fn queue_stands_still(&self, client: &str) -> bool {
        let Some(healed) = self.healed else {
            return false;
        };
        let mut since = Some(self.history.records[healed].time);
        let mut lowest = u64::MAX;
        for (time, report) in self.reports(client) {
            match report {
                None => {
                    since = since.or(Some(time));
                    lowest = u64::MAX;
                }
                Some((queue, acknowledged)) => {
                    let done = queue == 0 && acknowledged;
                    let shorter = lowest != u64::MAX && queue < lowest;
                    if let Some(from) = since
                        && (done || shorter)
                    {
                        if time > from + self.deadline() && !self.troubled {
                            return true;
                        }
                        since = (!done).then_some(time);
                    }
                    lowest = lowest.min(queue);
                }
            }
        }
        since.is_some_and(|from| self.sound && self.end() >= from + self.deadline())
    }

    /// Whether a client saw a probe, or was connected, too late for what was possible. (In these histories
    /// reports always tell of a connection.)
    fn recovers_late(&self, client: &str) -> bool {
        let Some(healed) = self.healed else {
            return false;
        };
        let syncs = self.syncs(client);
        let heal = self.history.records[healed].time;
        let mut from = heal;
        let reports = self.reports(client);
        if syncs && let Some((first, _)) = reports.iter().find(|(_, report)| report.is_some()) {
            if *first > heal + self.deadline() && !self.troubled {
                return true;
            }
            from = from.max(*first);
            if let Some(place) = self.drained(client) {
                from = from.max(self.history.records[place].time);
            }
        }
        let mut required = Vec::new();
        for probe in self.probes() {
            let operation = &self.operations[probe];
            let End::Ok { completed, .. } = &operation.end else {
                continue;
            };
            if self.share(&operation.client) != self.share(client) {
                continue;
            }
            let written = self.history.records[*completed].time;
            let told: Vec<(u64, u64)> = match self.syncs(&operation.client) {
                true => {
                    let reports = self.reports(&operation.client).into_iter();
                    let reports = reports.filter_map(|(time, report)| Some((time, report?.0)));
                    reports.filter(|(time, _)| *time > written).collect()
                }
                false => Vec::new(),
            };
            match told.iter().find(|(_, queue)| *queue == 0) {
                Some((time, _)) => from = from.max(*time),
                None if told.is_empty() => from = from.max(written),
                // It has never left the queue.
                None => continue,
            }
            required.push(probe);
        }
        if required.is_empty() {
            return false;
        }
        match self.sees(client, &required) {
            Some(place) => {
                self.history.records[place].time > from + self.deadline() && !self.troubled
            }
            None => {
                let busy =
                    syncs && self.drained(client).is_none() && !self.queue_stands_still(client);
                self.sound && !busy && self.end() >= from + self.deadline()
            }
        }
    }

    /// Whether each property of the end is violated.
    pub fn of_the_end(&self) -> BTreeMap<Property, bool> {
        let clients: Vec<&str> = self.sessions.keys().map(String::as_str).collect();
        let records = &self.history.records;
        let broken = records.iter().any(
            |record| matches!(&record.event, Event::Integrity { report, .. } if report != &["ok"]),
        );
        let queues = clients
            .iter()
            .any(|c| self.syncs(c) && self.queue_stands_still(c));
        let recovery = !self.probes().is_empty() && clients.iter().any(|c| self.recovers_late(c));
        let mut diverged = false;
        let mut lost = false;
        let shares: BTreeSet<String> = clients.iter().map(|client| self.share(client)).collect();
        for share in shares {
            let replicas: Vec<&Read> = self
                .reads
                .iter()
                .filter(|read| read.is_final)
                .filter(|read| match &read.client {
                    Some(client) => self.share(client) == share && self.settled(client),
                    None => share == "PostgreSQL",
                })
                .collect();
            for key in self.keys() {
                let lists = replicas.iter().map(|read| self.told(read, key));
                diverged |= lists.collect::<BTreeSet<_>>().len() > 1;
            }
            for (number, operation) in self.operations.iter().enumerate() {
                let kept = self.sessions[&operation.client] == operation.session;
                if !self.committed(number)
                    || !kept
                    || self.share(&operation.client) != share
                    || !self.settled(&operation.client)
                {
                    continue;
                }
                for key in self.writes(number) {
                    lost |= replicas.iter().any(|read| {
                        let end = self.told(read, *key);
                        !values(end).contains(&operation.value)
                            && !self.overwritten(number, *key, end)
                    });
                }
            }
        }
        BTreeMap::from([
            (Property::StorageIntact, broken || self.lost_databases > 0),
            (Property::QueueDrained, queues),
            (Property::RecoveredInTime, recovery),
            (Property::StrongConvergence, diverged),
            (Property::Durability, lost),
        ])
    }

    /// Whether a list at the end may have overwritten an append: it is not older than its version.
    fn overwritten(&self, operation: usize, key: Key, end: &[String]) -> bool {
        if self.history.header.workload != Workload::ListAppend || self.one_copy() {
            return false;
        }
        match self.version(operation, key) {
            Some(version) => !(end.len() == values(end).len() && is_older(&values(end), &version)),
            None => !end.is_empty(),
        }
    }
}

/// The transitive closure.
fn close(before: &mut [Vec<bool>]) {
    for middle in 0..before.len() {
        let of_middle = before[middle].clone();
        for of_later in before.iter_mut().filter(|of_later| of_later[middle]) {
            for (known, new) in of_later.iter_mut().zip(&of_middle) {
                *known |= new;
            }
        }
    }
}
