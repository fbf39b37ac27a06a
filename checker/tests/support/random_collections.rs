//! Random small histories of the workloads `list-append` and `gset`, mostly plausible, in which much goes
//! wrong.

use squall_checker::History;
use squall_protocol::history::{Event, Phase};
use squall_protocol::plan::{ClientKind, Workload};
use squall_protocol::transaction::{Collections, Key, Reads, Transaction, TransactionMode, Value};

use crate::support::{Story, of_collections};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Bytes that decide about a history, one after the other. They shrink well: 0 is what is right.
struct Choices<'b>(std::slice::Iter<'b, u8>);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte) % bound)
    }

    /// True once in so many times.
    fn rarely(&mut self, once_in: usize) -> bool {
        self.below(once_in) == once_in - 1
    }
}

/// What the collections hold, by key.
type State = Vec<Vec<Value>>;

struct Run<'b> {
    choices: Choices<'b>,
    story: Story,
    workload: Workload,
    clients: usize,
    /// What clients share.
    server: State,
    /// What each client holds, and the keys of it that it has not uploaded.
    held: Vec<State>,
    queued: Vec<Vec<Key>>,
    value: Value,
    number: u64,
    emissions: bool,
}

/// An operation that has not ended.
struct Open {
    number: u64,
    client: usize,
    collections: Option<Collections>,
    writes: Vec<(Key, Value)>,
}

pub fn history(workload: Workload, bytes: &[u8]) -> History {
    let mut choices = Choices(bytes.iter());
    let keys = 1 + choices.below(3);
    let kinds: &[ClientKind] = match choices.below(12) {
        8 => &[ClientKind::Sqlite, ClientKind::Sqlite3],
        9 => &[ClientKind::Local],
        10 => &[ClientKind::Native],
        11 => &[ClientKind::Sqlite, ClientKind::Native, ClientKind::Local],
        _ => &[ClientKind::Native, ClientKind::Wasm, ClientKind::Postgres],
    };
    let clients = NAMES.into_iter().zip(kinds.iter().copied());
    let mut run = Run {
        choices,
        story: Story::with_clients(keys as Key, clients),
        workload,
        clients: kinds.len(),
        server: vec![Vec::new(); keys],
        held: vec![vec![Vec::new(); keys]; kinds.len()],
        queued: vec![Vec::new(); kinds.len()],
        value: 0,
        number: 0,
        emissions: false,
    };
    run.emissions = run.choices.rarely(3);
    run.storm();
    if run.choices.below(3) != 2 {
        run.end();
    }
    let mut history = run.story.history();
    history.header.workload = workload;
    history
}

impl Run<'_> {
    fn storm(&mut self) {
        let mut open: Vec<Open> = Vec::new();
        for _ in 0..2 + self.choices.below(7) {
            let client = self.choices.below(self.clients);
            if self.choices.rarely(16) {
                let database = ["x", "y"][self.choices.below(2)];
                self.story.start(NAMES[client], 1, database);
                if self.choices.below(2) == 0 {
                    self.held[client] = self.server.clone();
                }
            }
            self.sync(client);
            let writes = self.choices.below(4) != 3;
            let operation = self.invoke(client, writes);
            match self.choices.below(12) {
                8 => {
                    if !self.choices.rarely(3) {
                        self.undo(&operation);
                    }
                    self.story.fail(NAMES[client], operation.number);
                }
                9 => {
                    self.story.info(NAMES[client], operation.number);
                    if self.choices.rarely(3) {
                        self.undo(&operation);
                    }
                }
                10 | 11 => open.push(operation),
                _ => self.ok(operation),
            }
            self.sync(client);
            if self.emissions && self.choices.below(2) == 0 {
                self.emission(client);
            }
            if self.choices.below(2) == 1
                && let Some(operation) = open.pop()
            {
                self.ok(operation);
            }
        }
    }

    fn end(&mut self) {
        self.story.phase(Phase::Heal);
        self.story.phase(Phase::Probe);
        for client in 0..self.clients {
            self.upload(client);
            self.download(client);
            let operation = self.invoke(client, true);
            self.ok(operation);
            self.upload(client);
        }
        for (client, name) in NAMES.into_iter().enumerate().take(self.clients) {
            self.download(client);
            let operation = self.invoke(client, false);
            self.ok(operation);
            if !self.choices.rarely(12) {
                self.story.status(name, 0, true);
            }
        }
        self.story.phase(Phase::FinalRead);
        for client in 0..=self.clients {
            if self.choices.rarely(10) {
                continue;
            }
            let state = self.server.clone();
            let found = Some(self.texts(&state, &Reads::All));
            let effects = of_collections(found, Vec::new());
            match NAMES[..self.clients].get(client) {
                Some(name) => self.story.final_read_of(name, effects),
                None => self.story.postgres_read(effects),
            }
            if self.emissions && client < self.clients && self.choices.rarely(4) {
                self.emission(client);
            }
        }
        self.story.wait_ms(200);
        self.story.phase(Phase::Complete);
    }

    /// Uploads and downloads, or not.
    fn sync(&mut self, client: usize) {
        match self.choices.below(6) {
            0 | 1 => {
                self.upload(client);
                self.download(client);
            }
            2 => self.upload(client),
            3 => self.download(client),
            4 => {
                // Only some keys arrive: a fractured read is near.
                let key = self.choices.below(self.server.len());
                let at = self.server[key].clone();
                self.merge(client, key, at);
            }
            _ => {}
        }
    }

    fn upload(&mut self, client: usize) {
        for key in std::mem::take(&mut self.queued[client]) {
            let (key, of_client) = (key as usize, self.held[client][key as usize].clone());
            match self.workload {
                Workload::Gset => add(&mut self.server[key], &of_client),
                _ => self.server[key] = of_client,
            }
        }
    }

    fn download(&mut self, client: usize) {
        for key in 0..self.server.len() {
            let at = self.server[key].clone();
            self.merge(client, key, at);
        }
    }

    fn merge(&mut self, client: usize, key: usize, server: Vec<Value>) {
        match self.workload {
            Workload::Gset => add(&mut self.held[client][key], &server),
            _ if self.queued[client].contains(&(key as Key)) => {}
            _ => self.held[client][key] = server,
        }
    }

    fn invoke(&mut self, client: usize, writes: bool) -> Open {
        let told: Vec<Key> = if writes {
            (0..self.server.len() as Key)
                .filter(|_| self.choices.below(2) == 0)
                .collect()
        } else {
            Vec::new()
        };
        let mut value = self.value;
        self.value += 1;
        if self.choices.rarely(60) {
            // Against the rules: another one's value.
            value = self.choices.below(1 + value as usize) as Value;
        }
        let reads = self.reads();
        let through = match told.is_empty() && self.choices.below(2) == 1 {
            true => TransactionMode::ReadTransaction,
            false => TransactionMode::WriteTransaction,
        };
        let collections = self.told(client, value, told, reads, through);
        let writes: Vec<Key> = self.queued_by(client, value, &collections.1);
        Open {
            number: self.number,
            client,
            collections: collections.0,
            writes: writes.into_iter().map(|key| (key, value)).collect(),
        }
    }

    /// Records the invocation; answers with what is read, and the keys to write.
    fn told(
        &mut self,
        client: usize,
        value: Value,
        keys: Vec<Key>,
        reads: Reads,
        through: TransactionMode,
    ) -> (Option<Collections>, Vec<Key>) {
        self.number = self.story.operation();
        let held = self.held[client].clone();
        let collections = match reads {
            Reads::Nothing => None,
            _ => Some(self.texts(&held, &reads)),
        };
        self.story.record(Event::Invoke {
            client: NAMES[client].to_owned(),
            operation: self.number,
            transaction: Transaction {
                value,
                keys: keys.clone(),
                reads,
                through,
            },
        });
        (collections, keys)
    }

    /// Writes; rarely not everything that it was told.
    fn queued_by(&mut self, client: usize, value: Value, keys: &[Key]) -> Vec<Key> {
        let mut written = Vec::new();
        for key in keys {
            if self.choices.rarely(30) {
                continue;
            }
            self.held[client][*key as usize].push(value);
            self.queued[client].push(*key);
            written.push(*key);
        }
        written
    }

    fn emission(&mut self, client: usize) {
        let (collections, _) =
            self.told(client, -1, Vec::new(), Reads::All, TransactionMode::Watch);
        self.ok(Open {
            number: self.number,
            client,
            collections,
            writes: Vec::new(),
        });
    }

    fn reads(&mut self) -> Reads {
        match self.choices.below(10) {
            7 => Reads::Nothing,
            8 | 9 => {
                let keys = 0..self.server.len() as Key;
                Reads::Keys(keys.filter(|_| self.choices.below(2) == 0).collect())
            }
            _ => Reads::All,
        }
    }

    fn undo(&mut self, open: &Open) {
        for (key, value) in &open.writes {
            self.held[open.client][*key as usize].retain(|other| other != value);
            self.server[*key as usize].retain(|other| other != value);
        }
    }

    fn ok(&mut self, open: Open) {
        let collections = open.collections.filter(|_| !self.choices.rarely(60));
        let effects = of_collections(collections, open.writes);
        self.story
            .committed(NAMES[open.client], open.number, effects);
    }

    /// What a read returns. Now and then a fault is in it.
    fn texts(&mut self, state: &State, asked: &Reads) -> Collections {
        let mut collections = Collections::new();
        for (key, elements) in (0..).zip(state) {
            if !asked.contains(key) || self.choices.rarely(80) {
                continue;
            }
            let mut elements = elements.clone();
            if self.workload == Workload::Gset {
                elements.sort_unstable();
            }
            let mut parts: Vec<String> = elements.iter().map(Value::to_string).collect();
            if self.choices.rarely(10) {
                let at = self.choices.below(1 + parts.len());
                let some = at < parts.len();
                match self.choices.below(9) {
                    0 | 1 if some => {
                        parts.remove(at);
                    }
                    2 if some => parts.truncate(at),
                    3 if some => parts.push(parts[at].clone()),
                    4 if some => parts.swap(0, at),
                    5 => parts.insert(at, self.choices.below(20).to_string()),
                    6 => parts.insert(at, "x".to_owned()),
                    7 => parts.push(String::new()),
                    _ => parts.push((self.value - 1).to_string()),
                }
            }
            collections.push((key, parts.join(" ")));
        }
        collections
    }
}

/// Adds what is not there yet.
fn add(set: &mut Vec<Value>, other: &[Value]) {
    let more: Vec<Value> = other.iter().filter(|v| !set.contains(v)).copied().collect();
    set.extend(more);
}
