//! The core alone, driven by random histories: transactions, crashes, replays, new snapshots, and
//! clients that take a few steps now and then.

mod bson_lines;
mod rows;
mod rsocket;
#[path = "../simulated_client/mod.rs"]
mod simulated_client;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use simulated_client::{Received, SimulatedClient};
use squall_service::core::checkpoint::Checkpoint;
use squall_service::core::encoding::Encoding;
use squall_service::core::replicator::{Replicator, ReplicatorError, SnapshotNeeded};
use squall_service::core::request::StreamRequest;
use squall_service::core::source::{
    Cell, Column, Lsn, Relation, Row, RowIdentity, SnapshotBegin, SnapshotTable, SourceEvent,
};
use squall_service::core::storage::{MemoryStorage, Storage as _};
use squall_service::core::stream::{Step, SyncStream};
use squall_service::core::subscriptions::{Subscription, Subscriptions};
use squall_service::core::write_checkpoints::WriteCheckpoints;

const CLIENTS: usize = 3;
const TABLES: [&str; 2] = ["mww", "other"];

/// Rows of one table: the key to the id and value.
type Rows = BTreeMap<u8, (u8, i16)>;

#[derive(Clone, Debug)]
enum Change {
    Put {
        table: usize,
        key: u8,
        id: u8,
        value: i16,
    },
    Move {
        table: usize,
        from: u8,
        to: u8,
    },
    Delete {
        table: usize,
        key: u8,
    },
    Truncate {
        table: usize,
    },
}

#[derive(Clone, Debug)]
enum Action {
    Transaction(Vec<Change>),
    /// The replicator makes durable what it has.
    Commit,
    /// The service dies, perhaps within a transaction, and the source sends everything again from
    /// some transaction on that is not after the first one that was lost.
    Crash {
        within: usize,
        from: prop::sample::Index,
    },
    /// Only the connection to the source is lost, in the same way.
    ConnectionLost {
        within: usize,
        from: prop::sample::Index,
    },
    /// The service loses its slot.
    Snapshot,
    Steps {
        client: usize,
        count: usize,
    },
    Reconnect {
        client: usize,
    },
    /// The client asks for a write checkpoint.
    Request {
        client: usize,
        id: RequestId,
    },
}

/// Who chooses the id of a write checkpoint.
#[derive(Clone, Copy, Debug)]
enum RequestId {
    Service,
    /// The client counts, from the last id that it was given.
    Counted,
    /// The client asks for its last one once more.
    Again,
    /// The client has counted far beyond the service's log.
    Ahead,
}

fn changes() -> impl Strategy<Value = Change> {
    let table = 0..TABLES.len();
    prop_oneof![
        6 => (table.clone(), 0..8u8, 0..4u8, any::<i16>())
            .prop_map(|(table, key, id, value)| Change::Put { table, key, id: key * 4 + id, value }),
        2 => (table.clone(), 0..8u8, 0..8u8).prop_map(|(table, from, to)| Change::Move { table, from, to }),
        2 => (table.clone(), 0..8u8).prop_map(|(table, key)| Change::Delete { table, key }),
        1 => table.prop_map(|table| Change::Truncate { table }),
    ]
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => prop::collection::vec(changes(), 0..6).prop_map(Action::Transaction),
        4 => Just(Action::Commit),
        2 => (0..4usize, any::<prop::sample::Index>()).prop_map(|(within, from)| Action::Crash { within, from }),
        2 => (0..4usize, any::<prop::sample::Index>())
            .prop_map(|(within, from)| Action::ConnectionLost { within, from }),
        1 => Just(Action::Snapshot),
        6 => (0..CLIENTS, 1..8usize).prop_map(|(client, count)| Action::Steps { client, count }),
        2 => (0..CLIENTS).prop_map(|client| Action::Reconnect { client }),
        2 => (0..CLIENTS, request_ids()).prop_map(|(client, id)| Action::Request { client, id }),
    ]
}

fn request_ids() -> impl Strategy<Value = RequestId> {
    prop_oneof![
        2 => Just(RequestId::Service),
        2 => Just(RequestId::Counted),
        1 => Just(RequestId::Again),
        1 => Just(RequestId::Ahead),
    ]
}

/// What each client subscribes to: everything; one table of two; one table before the other.
fn subscriptions(client: usize) -> Subscriptions {
    let named = |table: usize, priority| Subscription {
        stream: TABLES[table].into(),
        priority,
    };
    match client {
        0 => Subscriptions::default(),
        1 => Subscriptions {
            include_defaults: false,
            explicit: vec![named(1, None)],
        },
        _ => Subscriptions {
            include_defaults: true,
            explicit: vec![named(1, Some(1))],
        },
    }
}

fn stream(client: usize, books: &SimulatedClient) -> SyncStream {
    let request = StreamRequest {
        positions: books.positions(),
        raw_data: true,
        subscriptions: subscriptions(client),
        ..StreamRequest::default()
    };
    SyncStream::new(&request, Encoding::Json)
}

fn relation(table: usize) -> Relation {
    let column = |name: &str, type_oid, in_replica_identity| Column {
        name: name.into(),
        type_oid,
        in_replica_identity,
    };
    Relation {
        oid: 100 + table as u32,
        schema: "public".into(),
        name: TABLES[table].into(),
        replica_identity: 'd',
        columns: vec![
            column("key", 23, true),
            column("id", 25, false),
            column("v", 23, false),
        ],
    }
}

fn row(key: u8, (id, value): (u8, i16)) -> Row {
    vec![
        Cell::Text(key.to_string()),
        Cell::Text(format!("id{id}")),
        Cell::Text(value.to_string()),
    ]
}

fn key_of(key: u8) -> Row {
    vec![Cell::Text(key.to_string()), Cell::Null, Cell::Null]
}

struct Client {
    books: SimulatedClient,
    stream: SyncStream,
    /// The source's position at the announced checkpoint.
    announced: Lsn,
    /// Every write checkpoint that the client asked for, with the source's position at that time, and
    /// how many checkpoints the client had completed at the last one.
    requests: Vec<(u64, Lsn)>,
    completed_at_request: u64,
}

impl Client {
    fn last_id(&self) -> u64 {
        self.requests.last().map_or(0, |(id, _)| *id)
    }
}

struct World {
    replicator: Replicator<MemoryStorage>,
    published: Arc<Checkpoint>,
    /// The source: its rows, all its transactions with the positions of and after their commits, and
    /// its rows at each position.
    tables: [Rows; 2],
    log: Vec<(Lsn, Lsn, Vec<SourceEvent>)>,
    states: BTreeMap<Lsn, [Rows; 2]>,
    head: u64,
    snapshots: u32,
    write_checkpoints: WriteCheckpoints,
    clients: Vec<Client>,
}

impl World {
    fn new() -> World {
        let client = |number| Client {
            books: SimulatedClient::default(),
            stream: stream(number, &SimulatedClient::default()),
            announced: Lsn(0),
            requests: Vec::new(),
            completed_at_request: 0,
        };
        let mut replicator = Replicator::open(MemoryStorage::default()).expect("infallible");
        let mut world = World {
            published: {
                replicator.apply(snapshot_begin(0)).expect("a snapshot");
                replicator
                    .apply(SourceEvent::SnapshotEnd { lsn: Lsn(1) })
                    .expect("a snapshot");
                replicator
                    .commit()
                    .expect("infallible")
                    .expect("a checkpoint")
            },
            replicator,
            tables: Default::default(),
            log: Vec::new(),
            states: BTreeMap::from([(Lsn(1), Default::default())]),
            head: 10,
            snapshots: 1,
            write_checkpoints: WriteCheckpoints::default(),
            clients: (0..CLIENTS).map(client).collect(),
        };
        world.connect(0);
        world
    }

    fn apply(&mut self, event: SourceEvent) {
        self.replicator.apply(event).expect("applicable");
    }

    /// A new connection of the service to the source, which sends the log from a transaction on.
    fn connect(&mut self, from: usize) {
        self.apply(SourceEvent::Connected);
        for table in 0..TABLES.len() {
            self.apply(SourceEvent::Relation(relation(table)));
        }
        let sent = self.log[from..].to_vec();
        for (commit, end, events) in sent {
            self.apply(SourceEvent::Begin { commit });
            for event in events {
                self.apply(event);
            }
            self.apply(SourceEvent::Commit { end });
        }
    }

    /// The source does a transaction, and the service hears of it.
    fn transaction(&mut self, changes: &[Change]) {
        let mut events = Vec::new();
        for change in changes {
            match *change {
                Change::Put {
                    table,
                    key,
                    id,
                    value,
                } => {
                    let relation = 100 + table as u32;
                    let new = row(key, (id, value));
                    events.push(match self.tables[table].insert(key, (id, value)) {
                        None => SourceEvent::Insert { relation, row: new },
                        Some(_) => SourceEvent::Update {
                            relation,
                            old: None,
                            new,
                        },
                    });
                }
                Change::Move { table, from, to } => {
                    if from != to
                        && !self.tables[table].contains_key(&to)
                        && let Some(columns) = self.tables[table].remove(&from)
                    {
                        self.tables[table].insert(to, columns);
                        events.push(SourceEvent::Update {
                            relation: 100 + table as u32,
                            old: Some(key_of(from)),
                            new: row(to, columns),
                        });
                    }
                }
                Change::Delete { table, key } => {
                    if self.tables[table].remove(&key).is_some() {
                        events.push(SourceEvent::Delete {
                            relation: 100 + table as u32,
                            old: key_of(key),
                        });
                    }
                }
                Change::Truncate { table } => {
                    self.tables[table].clear();
                    events.push(SourceEvent::Truncate {
                        relations: vec![100 + table as u32],
                    });
                }
            }
        }
        let (commit, end) = (Lsn(self.head + 5), Lsn(self.head + 10));
        self.head += 10;
        self.states.insert(end, self.tables.clone());
        self.log.push((commit, end, events.clone()));
        self.apply(SourceEvent::Begin { commit });
        for event in events {
            self.apply(event);
        }
        self.apply(SourceEvent::Commit { end });
    }

    fn commit(&mut self) {
        if let Some(checkpoint) = self.replicator.commit().expect("infallible") {
            self.published = checkpoint;
        }
    }

    /// A part of a transaction that does not end, which must leave no trace.
    fn unfinished_transaction(&mut self, within: usize) {
        self.apply(SourceEvent::Begin {
            commit: Lsn(self.head + 5),
        });
        for key in 0..within {
            self.apply(SourceEvent::Insert {
                relation: 100,
                row: row(200 + key as u8, (0, 0)),
            });
        }
        assert_eq!(
            self.replicator.commit().expect("infallible"),
            None,
            "a commit within a transaction"
        );
    }

    /// The first transaction that is not durable: at the latest this one is sent again.
    fn first_lost(&self) -> usize {
        let lost = self
            .log
            .iter()
            .position(|(_, end, _)| *end > self.published.lsn);
        lost.unwrap_or(self.log.len())
    }

    fn lose_connection(&mut self, within: usize, from: usize) {
        self.unfinished_transaction(within);
        self.connect(from);
    }

    fn crash(&mut self, within: usize, from: usize) {
        self.unfinished_transaction(within);
        let mut storage = std::mem::replace(
            &mut self.replicator,
            Replicator::open(MemoryStorage::default()).expect("infallible"),
        )
        .into_storage();
        storage.rollback().expect("infallible");
        self.replicator = Replicator::open(storage).expect("infallible");
        assert_eq!(self.replicator.checkpoint(), Some(self.published.clone()));
        self.connect(from);
        // What clients asked for is forgotten with the process.
        self.write_checkpoints = WriteCheckpoints::default();
        self.write_checkpoints.request_for_all(Lsn(self.head));
        self.transaction(&[]);
        for client in 0..CLIENTS {
            self.reconnect(client);
            // One that counts ids itself brings its last one with it.
            if self.clients[client].last_id() > self.head {
                self.request(client, RequestId::Again);
            }
        }
    }

    fn snapshot(&mut self) {
        self.apply(SourceEvent::Connected);
        self.apply(snapshot_begin(self.snapshots));
        self.snapshots += 1;
        for (table, rows) in self.tables.clone().iter().enumerate() {
            for (key, columns) in rows {
                self.apply(SourceEvent::SnapshotRow {
                    relation: 100 + table as u32,
                    row: row(*key, *columns),
                });
            }
        }
        self.apply(SourceEvent::SnapshotEnd {
            lsn: Lsn(self.head),
        });
        self.states.insert(Lsn(self.head), self.tables.clone());
        self.commit();
        self.connect(self.log.len());
    }

    fn reconnect(&mut self, client: usize) {
        let number = client;
        let client = &mut self.clients[number];
        client.books.reconnect();
        client.stream = stream(number, &client.books);
    }

    fn request(&mut self, client: usize, id: RequestId) {
        let position = Lsn(self.head);
        let last = self.clients[client].last_id();
        let counted = match id {
            RequestId::Service => None,
            RequestId::Counted => Some(last + 1),
            RequestId::Again => Some(last.max(1)),
            RequestId::Ahead => Some(last + 1_000_000_000),
        };
        let given = self
            .write_checkpoints
            .request(client.to_string(), position, counted);
        assert!(given >= counted.unwrap_or(0));
        let client = &mut self.clients[client];
        // The same id is the same request, whose position stays.
        if given > last {
            client.requests.push((given, position));
            client.completed_at_request = client.books.completed;
        }
        self.transaction(&[]);
    }

    /// One step of a client; whether there was something to do.
    fn step(&mut self, number: usize) -> bool {
        let client = &mut self.clients[number];
        let requested = self.write_checkpoints.requested(&number.to_string());
        let line = match client.stream.step(&self.published, requested) {
            Step::Wait => return false,
            Step::Line(line) => Some(line),
            Step::Fetch(fetch) => {
                let operations = self.replicator.storage().fetch(&fetch);
                client.stream.fetched(&fetch, &operations)
            }
        };
        if let Some(line) = line {
            let line = serde_json::from_slice(&line).expect("JSON");
            match client.books.receive(&line) {
                Received::Checkpoint | Received::Diff => client.announced = self.published.lsn,
                Received::Complete => self.check(number),
                _ => {}
            }
        }
        true
    }

    /// What a client sees at a completed checkpoint is the source at exactly that position.
    fn check(&self, number: usize) {
        let client = &self.clients[number];
        let (books, lsn) = (&client.books, client.announced);
        let told = books.write_checkpoint.expect("always sent");
        assert!(told >= lsn.0, "{told} at {lsn}");
        for (id, position) in &client.requests {
            assert!(
                told < *id || lsn >= *position,
                "{id} of {position} was announced at {lsn}"
            );
        }
        let state = &self.states[&lsn];
        for (table, rows) in TABLES.iter().zip(state) {
            if number == 1 && *table == TABLES[0] {
                assert!(books.rows(table).is_empty(), "not subscribed");
                continue;
            }
            let expected: BTreeMap<String, serde_json::Value> = rows
                .iter()
                .map(|(key, (id, value))| {
                    let id = format!("id{id}");
                    (
                        id.clone(),
                        serde_json::json!({ "key": key, "id": id, "v": value }),
                    )
                })
                .collect();
            // Two rows of a table may share an id for a while when keys move; then one is visible.
            if expected.len() == rows.len() {
                assert_eq!(books.rows(table), expected, "{table} at {lsn}");
            }
        }
    }

    fn finish(&mut self) {
        self.commit();
        for number in 0..CLIENTS {
            let mut steps = 0;
            while self.step(number) {
                steps += 1;
                assert!(steps < 1000, "the stream never rests");
            }
            let client = &self.clients[number];
            assert!(
                client.books.completed > client.completed_at_request,
                "nothing was completed after the last request"
            );
            assert!(
                client.books.write_checkpoint >= Some(client.last_id()),
                "client {number} asked for {} and was told {:?}",
                client.last_id(),
                client.books.write_checkpoint
            );
            // A client hears nothing of a table that it does not subscribe to.
            let first = usize::from(number == 1);
            let state = &self.states[&client.announced];
            assert_eq!(state[first..], self.tables[first..]);
        }
    }
}

fn snapshot_begin(number: u32) -> SourceEvent {
    SourceEvent::SnapshotBegin(SnapshotBegin {
        version: number.to_string(),
        system: "1".into(),
        tables: (0..TABLES.len())
            .map(|table| SnapshotTable {
                relation: relation(table),
                row_identity: RowIdentity {
                    columns: vec![0],
                    unique: true,
                },
                definition: String::new(),
            })
            .collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn clients_see_the_source_at_commits_whatever_happens(actions in prop::collection::vec(actions(), 1..60)) {
        let mut world = World::new();
        for action in &actions {
            match action {
                Action::Transaction(changes) => world.transaction(changes),
                Action::Commit => world.commit(),
                Action::Crash { within, from } => world.crash(*within, from.index(world.first_lost() + 1)),
                Action::ConnectionLost { within, from } => {
                    world.lose_connection(*within, from.index(world.first_lost() + 1));
                }
                Action::Snapshot => world.snapshot(),
                Action::Steps { client, count } => {
                    for _ in 0..*count {
                        world.step(*client);
                    }
                }
                Action::Reconnect { client } => world.reconnect(*client),
                Action::Request { client, id } => world.request(*client, *id),
            }
        }
        world.finish();
    }

    /// Crashes at other moments give the same operations, so that clients can not tell.
    #[test]
    fn operations_do_not_depend_on_crashes(
        actions in prop::collection::vec(actions(), 1..40),
    ) {
        let run = |crashes: bool| {
            let mut world = World::new();
            for action in &actions {
                match action {
                    Action::Transaction(changes) => world.transaction(changes),
                    Action::Commit => world.commit(),
                    Action::Crash { within, from } if crashes => {
                        world.crash(*within, from.index(world.first_lost() + 1));
                    }
                    Action::ConnectionLost { within, from } if crashes => {
                        world.lose_connection(*within, from.index(world.first_lost() + 1));
                    }
                    // The transaction that a crash brings with it.
                    Action::Crash { .. } => world.transaction(&[]),
                    _ => {}
                }
            }
            world.commit();
            let buckets = world.published.buckets.clone();
            (buckets, world.published.last_op_id)
        };
        prop_assert_eq!(run(true), run(false));
    }
}

#[test]
fn lines_are_those_of_powersync() {
    let mut world = World::new();
    world.transaction(&[Change::Put {
        table: 0,
        key: 1,
        id: 4,
        value: -1,
    }]);
    world.commit();
    let mut lines = Vec::new();
    let request = StreamRequest {
        positions: vec![("gone".to_owned(), 7)],
        raw_data: true,
        ..StreamRequest::default()
    };
    let mut stream = SyncStream::new(&request, Encoding::Json);
    for round in 0..4 {
        match round {
            1 => world.transaction(&[
                Change::Delete { table: 0, key: 1 },
                Change::Put {
                    table: 1,
                    key: 2,
                    id: 9,
                    value: 5,
                },
            ]),
            2 => world.request(0, RequestId::Service),
            3 => world.snapshot(),
            _ => {}
        }
        world.commit();
        loop {
            match stream.step(&world.published, world.write_checkpoints.requested("0")) {
                Step::Wait => break,
                Step::Line(line) => lines.extend(line),
                Step::Fetch(fetch) => {
                    let operations = world.replicator.storage().fetch(&fetch);
                    lines.extend(stream.fetched(&fetch, &operations).unwrap_or_default());
                }
            }
        }
    }
    insta::assert_snapshot!(String::from_utf8(lines).expect("text"));
}

#[test]
fn a_table_that_was_altered_needs_a_snapshot() {
    let mut world = World::new();
    let mut altered = relation(0);
    altered.columns.pop();
    let error = world
        .replicator
        .apply(SourceEvent::Relation(altered))
        .expect_err("refused");
    assert!(matches!(
        error,
        ReplicatorError::SnapshotNeeded(SnapshotNeeded::TableChanged(_))
    ));
    let mut recreated = relation(0);
    recreated.oid += 1000;
    let error = world
        .replicator
        .apply(SourceEvent::Relation(recreated))
        .expect_err("refused");
    assert!(matches!(
        error,
        ReplicatorError::SnapshotNeeded(SnapshotNeeded::TableChanged(_))
    ));
    // Tables that are published but not synced do not matter.
    let unrelated = Relation {
        oid: 7,
        name: "unrelated".into(),
        ..relation(0)
    };
    world.apply(SourceEvent::Relation(unrelated));
    world.apply(SourceEvent::Begin { commit: Lsn(1000) });
    world.apply(SourceEvent::Insert {
        relation: 7,
        row: vec![],
    });
    let error = world
        .replicator
        .apply(SourceEvent::Insert {
            relation: 8,
            row: vec![],
        })
        .expect_err("refused");
    assert!(matches!(
        error,
        ReplicatorError::SnapshotNeeded(SnapshotNeeded::UnknownRelation(8))
    ));
}

/// A client that asked a service that then died is answered by the next one, although that knows
/// nothing of it and no row changes.
#[test]
fn requests_survive_a_crash() {
    let mut world = World::new();
    world.request(0, RequestId::Service);
    world.crash(0, 0);
    while world.step(0) {}
    let client = &world.clients[0];
    assert!(
        client.books.write_checkpoint < Some(client.last_id()),
        "announced too early"
    );
    world.finish();
}

/// More clients than are told apart: every one still gets its line.
#[test]
fn no_request_is_forgotten() {
    let mut write_checkpoints = WriteCheckpoints::default();
    for client in 0..25_000_u64 {
        write_checkpoints.request(client.to_string(), Lsn(client), None);
    }
    for client in 0..25_000_u64 {
        let requested = write_checkpoints.requested(&client.to_string());
        assert!(requested.position >= Lsn(client));
    }
}
