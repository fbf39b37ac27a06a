//! Histories of the workload `mww` from a simulated local-first system.
//!
//! The server holds rows, and a log of the transactions that it has merged into them. A syncing
//! client holds a *base*, which is the server's state at some point of its log, and a queue of its
//! own transactions that are not in the base. It reads the base merged with the queue, writes to the
//! queue, uploads the queue in order, and now and then downloads: it moves its base forward. A
//! PostgreSQL client reads and writes the server.
//!
//! Such a system is causally consistent, atomic and convergent; [`Bug`] breaks it in one way.

use std::collections::VecDeque;

use squall_protocol::contract::ClientStatus;
use squall_protocol::history::{Event, HISTORY_VERSION, Header, Phase, Record};
use squall_protocol::plan::{ClientKind, ClientSpec, Isolation, Workload};
use squall_protocol::transaction::{Effects, INITIAL_VALUE, Key, Rows, Transaction, Value};

use crate::log::history::History;
use squall_models::generate::Random;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Config {
    pub seed: u64,
    /// Syncing clients, at least 1.
    pub native: u32,
    /// PostgreSQL clients.
    pub postgres: u32,
    /// Rows, at least 1.
    pub keys: u32,
    /// Operations before the heal.
    pub operations: u64,
    /// Rows that a transaction writes, if it writes.
    pub writes_per_transaction: u32,
    /// How many of a hundred operations only read, lose their answer, and fail.
    pub percent_read_only: u32,
    pub percent_info: u32,
    pub percent_fail: u32,
    pub bug: Option<Bug>,
}

impl Config {
    /// 3 syncing clients and 1 on PostgreSQL that write 4 of 100 rows, without a bug.
    pub fn new(seed: u64, operations: u64) -> Self {
        Config {
            seed,
            native: 3,
            postgres: 1,
            keys: 100,
            operations,
            writes_per_transaction: 4,
            percent_read_only: 20,
            percent_info: 3,
            percent_fail: 2,
            bug: None,
        }
    }
}

/// A way to be broken. Each happens now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The server merges a transaction in two steps, and clients download in between.
    TornUpload,
    /// A client uploads its youngest transaction first.
    ReorderedUpload,
    /// A client forgets its queue, as if a local write had not been durable.
    LostQueue,
    /// A client downloads an older state than it has.
    StaleDownload,
    /// A row is missing from a read.
    VanishedRow,
    /// A row holds a value that nobody wrote.
    InventedValue,
    /// A failed transaction is uploaded all the same.
    AppliedFailure,
    /// The server does not send one row's changes to one client.
    SkippedRow,
}

impl Bug {
    pub const ALL: [Bug; 8] = [
        Bug::TornUpload,
        Bug::ReorderedUpload,
        Bug::LostQueue,
        Bug::StaleDownload,
        Bug::VanishedRow,
        Bug::InventedValue,
        Bug::AppliedFailure,
        Bug::SkippedRow,
    ];
}

/// Simulates a run and returns its history, complete with its end.
pub fn generate(config: &Config) -> History {
    let mut simulation = Simulation::new(config);
    simulation.run();
    History {
        header: simulation.header,
        records: simulation.records,
        cut: None,
    }
}

struct Replica {
    name: String,
    kind: ClientKind,
    base: Vec<Value>,
    /// Own transactions that are not uploaded, and those that are but are not in the base.
    queue: VecDeque<Rows>,
    uploaded: Vec<Rows>,
    /// A row whose changes never arrive.
    skipped: Option<Key>,
    /// An older base.
    old: Vec<Value>,
}

impl Replica {
    fn view(&self) -> Vec<Value> {
        let mut view = self.base.clone();
        for rows in self.uploaded.iter().chain(&self.queue) {
            merge(&mut view, rows);
        }
        view
    }
}

fn merge(state: &mut [Value], rows: &[(Key, Value)]) {
    for (key, value) in rows {
        let held = &mut state[*key as usize];
        *held = (*held).max(*value);
    }
}

struct Simulation<'c> {
    config: &'c Config,
    random: Random,
    header: Header,
    records: Vec<Record>,
    time: u64,
    operations: u64,
    value: Value,
    server: Vec<Value>,
    replicas: Vec<Replica>,
}

impl<'c> Simulation<'c> {
    fn new(config: &'c Config) -> Self {
        let kinds = [
            (ClientKind::Native, config.native),
            (ClientKind::Postgres, config.postgres),
        ];
        let clients: Vec<ClientSpec> = kinds
            .into_iter()
            .flat_map(|(kind, count)| (1..=count).map(move |number| (kind, number)))
            .map(|(kind, number)| ClientSpec::new(format!("{}-{number}", kind.name()), kind))
            .collect();
        let initial = vec![INITIAL_VALUE; config.keys as usize];
        Simulation {
            config,
            random: Random::new(config.seed),
            records: Vec::new(),
            time: 0,
            operations: 0,
            value: 0,
            server: initial.clone(),
            replicas: clients
                .iter()
                .map(|client| Replica {
                    name: client.name.clone(),
                    kind: client.kind,
                    base: initial.clone(),
                    queue: VecDeque::new(),
                    uploaded: Vec::new(),
                    skipped: None,
                    old: initial.clone(),
                })
                .collect(),
            header: Header {
                squall_history: HISTORY_VERSION,
                seed: config.seed,
                workload: Workload::Mww,
                keys: config.keys,
                payload: false,
                isolation: Isolation::default(),
                clients,
                recovery_deadline_ms: 60_000,
                started_at_ms: 0,
            },
        }
    }

    fn run(&mut self) {
        self.record(Event::Phase(Phase::Start));
        for replica in 0..self.replicas.len() {
            let client = self.replicas[replica].name.clone();
            self.record(Event::IncarnationStart {
                session: format!("session-of-{client}"),
                client,
                incarnation: 1,
                engine: None,
                runtime: None,
            });
        }
        self.record(Event::Phase(Phase::Storm));
        for _ in 0..self.config.operations {
            let replica = self.random.below(self.replicas.len());
            self.operate(replica, true);
            for _ in 0..2 {
                let replica = self.random.below(self.replicas.len());
                match self.random.below(3) {
                    0 => self.download(replica),
                    1 => self.upload(replica),
                    _ => self.misbehave(replica),
                }
            }
        }
        self.end();
    }

    fn end(&mut self) {
        self.record(Event::Phase(Phase::Heal));
        self.settle();
        self.record(Event::Phase(Phase::Probe));
        for replica in 0..self.replicas.len() {
            self.operate_with(replica, false, false);
        }
        self.settle();
        for replica in 0..self.replicas.len() {
            self.operate_with(replica, false, true);
            if self.replicas[replica].kind.syncs() {
                self.record(Event::Status {
                    client: self.replicas[replica].name.clone(),
                    status: ClientStatus {
                        connected: true,
                        acknowledged: true,
                        ..ClientStatus::default()
                    },
                });
            }
        }
        self.record(Event::Phase(Phase::FinalRead));
        for replica in 0..self.replicas.len() {
            self.operate_with(replica, false, true);
            if self.replicas[replica].kind.syncs() {
                self.record(Event::Integrity {
                    client: self.replicas[replica].name.clone(),
                    report: vec!["ok".to_owned()],
                });
            }
        }
        self.record(Event::FinalReadPostgres {
            effects: Some(Effects {
                reads: (0..).zip(self.server.iter().copied()).collect(),
                ..Effects::default()
            }),
            error: None,
        });
        self.time += self.header.recovery_deadline_ms * 1000;
        self.record(Event::Phase(Phase::Complete));
    }

    /// Everything is uploaded, then everything is downloaded.
    fn settle(&mut self) {
        for replica in 0..self.replicas.len() {
            while !self.replicas[replica].queue.is_empty() {
                self.upload(replica);
            }
        }
        for replica in 0..self.replicas.len() {
            self.download(replica);
        }
    }

    fn operate(&mut self, replica: usize, may_go_wrong: bool) {
        let read_only = self.random.chance(self.config.percent_read_only);
        self.operate_with(replica, may_go_wrong, read_only);
    }

    fn operate_with(&mut self, replica: usize, may_go_wrong: bool, read_only: bool) {
        let transaction = if read_only {
            Transaction::read_all()
        } else {
            self.transaction()
        };
        let client = self.replicas[replica].name.clone();
        self.operations += 1;
        let operation = self.operations;
        self.record(Event::Invoke {
            client: client.clone(),
            operation,
            transaction: transaction.clone(),
        });
        let reads = self.read(replica);
        let lost = may_go_wrong && self.random.chance(self.config.percent_info);
        let failed = may_go_wrong && !lost && self.random.chance(self.config.percent_fail);
        let applied_failure = self.config.bug == Some(Bug::AppliedFailure);
        let committed = match (lost, failed) {
            (true, _) => self.random.chance(50),
            (_, true) => applied_failure,
            _ => true,
        };
        let mut writes: Rows = Vec::new();
        if committed {
            let view = self.view(replica);
            writes.extend(
                transaction
                    .keys
                    .iter()
                    .filter(|key| view[**key as usize] <= transaction.value)
                    .map(|key| (*key, transaction.value)),
            );
            let replica = &mut self.replicas[replica];
            if !replica.kind.syncs() {
                merge(&mut self.server, &writes);
            } else if !writes.is_empty() {
                replica.queue.push_back(writes.clone());
            }
        }
        self.record(if lost {
            Event::Info {
                client,
                operation,
                error: "the answer was lost".to_owned(),
            }
        } else if failed {
            Event::Fail {
                client,
                operation,
                error: "the database was busy".to_owned(),
            }
        } else {
            Event::Ok {
                client,
                operation,
                effects: Effects {
                    reads,
                    writes,
                    ..Effects::default()
                },
            }
        });
    }

    fn transaction(&mut self) -> Transaction {
        let mut keys: Vec<Key> = Vec::new();
        let wanted = self.config.writes_per_transaction.min(self.config.keys) as usize;
        while keys.len() < wanted {
            let key = self.random.below(self.config.keys as usize) as Key;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys.sort_unstable();
        let value = self.value;
        self.value += 1;
        Transaction::new(value, keys)
    }

    fn view(&self, replica: usize) -> Vec<Value> {
        let replica = &self.replicas[replica];
        if replica.kind.syncs() {
            replica.view()
        } else {
            self.server.clone()
        }
    }

    fn read(&mut self, replica: usize) -> Rows {
        let mut rows: Rows = (0..).zip(self.view(replica)).collect();
        let at = self.random.below(rows.len());
        match self.config.bug {
            Some(Bug::VanishedRow) if self.random.chance(5) => {
                rows.remove(at);
            }
            Some(Bug::InventedValue) if self.random.chance(5) => {
                rows[at].1 = Value::MAX - self.value;
            }
            _ => {}
        }
        rows
    }

    fn upload(&mut self, replica: usize) {
        let bug = self.config.bug;
        let queue = &mut self.replicas[replica].queue;
        let rows = if bug == Some(Bug::ReorderedUpload) {
            queue.pop_back()
        } else {
            queue.pop_front()
        };
        let Some(rows) = rows else {
            return;
        };
        if bug == Some(Bug::TornUpload) && rows.len() > 1 {
            merge(&mut self.server, &rows[..1]);
            let other = self.random.below(self.replicas.len());
            if other != replica {
                self.download(other);
                self.operate_with(other, false, true);
            }
        }
        merge(&mut self.server, &rows);
        self.replicas[replica].uploaded.push(rows);
    }

    fn download(&mut self, replica: usize) {
        let replica = &mut self.replicas[replica];
        replica.old.clone_from(&replica.base);
        match replica.skipped {
            None => replica.base.clone_from(&self.server),
            Some(skipped) => {
                for (key, (base, server)) in replica.base.iter_mut().zip(&self.server).enumerate() {
                    if key != skipped as usize {
                        *base = *server;
                    }
                }
            }
        }
        replica.uploaded.clear();
    }

    fn misbehave(&mut self, replica: usize) {
        let keys = self.config.keys as usize;
        let replica = &mut self.replicas[replica];
        match self.config.bug {
            Some(Bug::LostQueue) => replica.queue.clear(),
            Some(Bug::StaleDownload) => replica.base.clone_from(&replica.old),
            Some(Bug::SkippedRow) => {
                replica
                    .skipped
                    .get_or_insert(self.random.below(keys) as Key);
            }
            _ => {}
        }
    }

    fn record(&mut self, event: Event) {
        self.time += 100;
        self.records.push(Record {
            time: self.time,
            event,
        });
    }
}
