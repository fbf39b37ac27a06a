//! Random small histories of `list-append` and `gset`: a simulated fleet whose members append to lists, or
//! add to sets, in databases of their own, and sync now and then. In some histories all goes well, and in
//! others anything may go wrong.

use squall_checker::History;
use squall_models::generate::Random;
use squall_protocol::history::{Event, Phase};
use squall_protocol::plan::{ClientKind, Workload};
use squall_protocol::transaction::{Collections, Key, Reads, Transaction, TransactionMode, Value};

use crate::support::{Story, of_collections};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// The elements of each key.
type Store = Vec<Vec<Value>>;

/// A write that is still to be uploaded: the key, the element, and the list that ends with it.
type Pending = (usize, Value, Vec<Value>);

struct Fleet {
    random: Random,
    workload: Workload,
    kinds: Vec<ClientKind>,
    story: Story,
    /// The clients' databases, and that of the server.
    stores: Vec<Store>,
    server: Store,
    pending: Vec<Vec<Pending>>,
    /// Those of the clients' databases.
    identities: Vec<&'static str>,
    /// Everything that any database has held.
    past: Vec<Store>,
    /// Of each client the transaction whose answer is still on its way.
    open: Vec<Option<Event>>,
    value: Value,
    /// How often something goes wrong, in percent.
    wrong: u32,
}

/// A random history.
#[allow(dead_code)]
pub fn history(seed: u64, workload: Workload) -> History {
    let wrong = [0, 0, 12, 25][Random::new(seed).below(4)];
    simulate(seed, workload, wrong)
}

/// A random history in which, of `wrong` percent of what might, something goes wrong.
pub fn simulate(seed: u64, workload: Workload, wrong: u32) -> History {
    // Not the numbers that others choose by.
    let mut random = Random::new(!seed);
    let count = 2 + random.below(2);
    let kinds = match random.below(10) {
        0 => vec![ClientKind::Sqlite; count],
        1 => [ClientKind::Native, ClientKind::Local, ClientKind::Native][..count].to_vec(),
        _ => [ClientKind::Native, ClientKind::Native, ClientKind::Postgres][3 - count..].to_vec(),
    };
    let clients = NAMES.into_iter().zip(kinds.iter().copied());
    let empty: Store = vec![Vec::new(); count];
    let mut fleet = Fleet {
        random,
        workload,
        story: Story::with_clients(count as u32, clients),
        stores: vec![empty.clone(); count],
        server: empty,
        pending: vec![Vec::new(); count],
        identities: vec!["first"; count],
        past: Vec::new(),
        open: vec![None; count],
        value: 0,
        wrong,
        kinds,
    };
    for client in &NAMES[..count] {
        fleet.story.start(client, 1, "first");
    }
    for _ in 0..1 + fleet.random.below(7) {
        fleet.step();
    }
    fleet.end();
    let mut history = fleet.story.history();
    history.header.workload = workload;
    history
}

impl Fleet {
    fn goes_wrong(&mut self) -> bool {
        self.random.chance(self.wrong)
    }

    /// What a client reads.
    fn store(&mut self, client: usize) -> &mut Store {
        match self.kinds[client] {
            ClientKind::Postgres => &mut self.server,
            ClientKind::Sqlite => &mut self.stores[0],
            _ => &mut self.stores[client],
        }
    }

    fn put(store: &mut Store, workload: Workload, (key, value, list): &Pending) {
        match workload {
            Workload::ListAppend => store[*key].clone_from(list),
            _ => {
                store[*key].push(*value);
                store[*key].sort_unstable();
                store[*key].dedup();
            }
        }
    }

    fn sync(&mut self, client: usize) {
        if self.kinds[client] != ClientKind::Native {
            return;
        }
        let mut pending = std::mem::take(&mut self.pending[client]);
        if self.goes_wrong() {
            let all = pending.len() + 1;
            let kept = self.random.below(all);
            match self.random.below(3) {
                0 => pending.truncate(kept),
                1 => pending.reverse(),
                _ => self.pending[client] = pending.split_off(kept),
            }
        }
        for write in &pending {
            Self::put(&mut self.server, self.workload, write);
            self.past.push(self.server.clone());
        }
        let mut store = self.server.clone();
        if self.goes_wrong() && !self.past.is_empty() {
            let old = self.random.below(self.past.len());
            store = self.past[old].clone();
        }
        for write in &self.pending[client] {
            Self::put(&mut store, self.workload, write);
        }
        self.stores[client] = store;
    }

    fn step(&mut self) {
        let client = self.random.below(self.kinds.len());
        if self.random.chance(50) {
            self.sync(client);
        }
        if self.random.chance(4) {
            self.answer(client);
            let identity = ["first", "second", "third"][self.random.below(3)];
            self.story.start(NAMES[client], 2, identity);
            let lost = std::mem::replace(&mut self.identities[client], identity) != identity;
            if lost && self.kinds[client] == ClientKind::Native {
                self.pending[client].clear();
                self.stores[client].clone_from(&self.server);
            }
            return;
        }
        let mut keys: Vec<Key> = Vec::new();
        for key in 0..self.kinds.len() as Key {
            if self.random.chance(40) {
                keys.push(key);
            }
        }
        let reads = match self.random.below(10) {
            0 => Reads::Nothing,
            1 | 2 => Reads::Keys(vec![self.random.below(self.kinds.len()) as Key]),
            _ => Reads::All,
        };
        self.transact(client, keys, reads);
    }

    /// Does a transaction, whatever comes of it.
    fn transact(&mut self, client: usize, keys: Vec<Key>, reads: Reads) {
        self.answer(client);
        let value = if keys.is_empty() { -1 } else { self.value };
        self.value += i64::from(!keys.is_empty());
        let number = self.story.invoke(NAMES[client], value, &keys);
        self.story.change_last(|event| {
            if let Event::Invoke { transaction, .. } = event {
                transaction.reads = reads.clone();
            }
        });
        let texts = self.texts(client, &reads, value);
        let outcome = self.random.below(20);
        let before = self.store(client).clone();
        // What failed is hardly ever there, and what is unknown half of the time.
        let done = match outcome {
            0 | 1 => self.goes_wrong(),
            2..4 => self.random.chance(50),
            _ => true,
        };
        if done {
            let all = !self.goes_wrong();
            for key in &keys {
                if all || self.random.chance(50) {
                    self.write(client, *key as usize, value);
                }
            }
        }
        match outcome {
            0 | 1 => self.story.fail(NAMES[client], number),
            2 => self.story.info(NAMES[client], number),
            // Nobody ever says what became of it.
            3 => {}
            _ => {
                let told = (reads != Reads::Nothing).then_some(texts);
                let writes = keys.iter().map(|key| (*key, value)).collect();
                self.open[client] = Some(Event::Ok {
                    client: NAMES[client].to_owned(),
                    operation: number,
                    effects: of_collections(told, writes),
                });
                if self.random.chance(10) {
                    // A live query emits nothing of a transaction that is not answered.
                    let mut texts = self.told(&before, &Reads::All, value);
                    let own = value.to_string();
                    for (_, text) in &mut texts {
                        let others = text.split(' ').filter(|part| *part != own);
                        *text = others.collect::<Vec<_>>().join(" ");
                    }
                    self.emit(client, texts);
                }
                if self.random.chance(75) {
                    self.answer(client);
                }
            }
        }
        if self.random.chance(8) {
            self.answer(client);
            let texts = self.texts(client, &Reads::All, value);
            self.emit(client, texts);
        }
    }

    fn write(&mut self, client: usize, key: usize, value: Value) {
        let workload = self.workload;
        let store = self.store(client);
        let mut list = store[key].clone();
        list.push(value);
        Self::put(store, workload, &(key, value, list.clone()));
        let store = store.clone();
        self.past.push(store);
        self.pending[client].push((key, value, list));
    }

    fn answer(&mut self, client: usize) {
        if let Some(event) = self.open[client].take() {
            self.story.record(event);
        }
    }

    fn emit(&mut self, client: usize, texts: Collections) {
        let number = self.story.invoke(NAMES[client], -1, &[]);
        self.story.change_last(|event| {
            if let Event::Invoke { transaction, .. } = event {
                *transaction = Transaction {
                    through: TransactionMode::Watch,
                    ..Transaction::read_all()
                };
            }
        });
        let effects = of_collections(Some(texts), Vec::new());
        self.story.committed(NAMES[client], number, effects);
    }

    /// What a client reads, or says that it does.
    fn texts(&mut self, client: usize, reads: &Reads, value: Value) -> Collections {
        let store = self.store(client).clone();
        self.told(&store, reads, value)
    }

    fn told(&mut self, store: &Store, reads: &Reads, value: Value) -> Collections {
        let mut told = Collections::new();
        for (key, elements) in store.iter().enumerate() {
            if !reads.contains(key as Key) {
                continue;
            }
            let mut elements = elements.clone();
            if self.goes_wrong() && !self.past.is_empty() {
                let old = self.random.below(self.past.len());
                elements.clone_from(&self.past[old][key]);
            }
            if self.goes_wrong() && !elements.is_empty() {
                elements.remove(self.random.below(elements.len()));
            }
            let mut text: Vec<String> = elements.iter().map(Value::to_string).collect();
            if self.wrong > 0 {
                let last = text.last().cloned().unwrap_or_default();
                match self.random.below(120) {
                    0 => continue,
                    1 if !last.is_empty() => text.push(last),
                    2 => text.push("x".to_owned()),
                    3 => text.push("77".to_owned()),
                    4 => text.push(value.to_string()),
                    5 if self.workload == Workload::ListAppend => text.reverse(),
                    _ => {}
                }
            }
            told.push((key as Key, text.join(" ")));
        }
        told
    }

    fn sync_all(&mut self) {
        for _ in 0..2 {
            for client in 0..self.kinds.len() {
                self.sync(client);
            }
        }
    }

    fn end(&mut self) {
        let clients = self.kinds.len();
        (0..clients).for_each(|client| self.answer(client));
        if self.goes_wrong() && self.random.chance(10) {
            return;
        }
        self.story.phase(Phase::Heal);
        if self.random.chance(90) {
            self.sync_all();
        }
        self.story.phase(Phase::Probe);
        for client in 0..clients {
            if !self.goes_wrong() || self.random.chance(50) {
                self.transact(client, vec![client as Key], Reads::All);
                self.answer(client);
            }
        }
        self.sync_all();
        if self.goes_wrong() && self.random.chance(20) {
            self.story.wait_ms(200);
        }
        for client in 0..clients {
            if !self.goes_wrong() || self.random.chance(80) {
                self.transact(client, Vec::new(), Reads::All);
                self.answer(client);
            }
        }
        for name in NAMES.into_iter().take(clients) {
            if !self.goes_wrong() || self.random.chance(80) {
                let (stuck, acknowledged) = (self.goes_wrong(), !self.goes_wrong());
                self.story.status(name, u64::from(stuck), acknowledged);
            }
        }
        self.story.phase(Phase::FinalRead);
        for (client, name) in NAMES.into_iter().enumerate().take(clients) {
            let mut collections = self.texts(client, &Reads::All, -1);
            if self.goes_wrong() && self.random.chance(30) {
                collections = self.told(&self.stores[0].clone(), &Reads::All, -1);
            }
            let number = self.story.invoke_final_read(name);
            if !self.goes_wrong() || self.random.chance(80) {
                let effects = of_collections(Some(collections), Vec::new());
                self.story.committed(name, number, effects);
            } else {
                self.story.fail(name, number);
            }
            let intact = !self.goes_wrong() || self.random.chance(90);
            let report = if intact { "ok" } else { "row 3 missing" };
            self.story.integrity(name, &[report]);
        }
        let server = self.server.clone();
        let collections = self.told(&server, &Reads::All, -1);
        if self.kinds[0] != ClientKind::Sqlite && (!self.goes_wrong() || self.random.chance(80)) {
            let effects = of_collections(Some(collections), Vec::new());
            self.story.postgres_read(effects);
        }
        if self.goes_wrong() && self.random.chance(10) {
            self.story.trouble("a disk is full");
        }
        if !self.goes_wrong() || self.random.chance(80) {
            self.story.wait_ms(200);
        }
        if !self.goes_wrong() || self.random.chance(90) {
            self.story.phase(Phase::Complete);
        }
    }
}
