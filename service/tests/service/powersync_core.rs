//! The engine inside every PowerSync SDK, fed with the service's lines.

use rusqlite::types::FromSql;
use rusqlite::{Connection, ToSql, TransactionBehavior};
use serde_json::{Value, json};
use squall_service::core::encoding::Encoding;

use crate::harness::{Fixture, Lines, Service, checkpoint_request, token, within};
use crate::websocket::Socket;

struct Engine {
    database: Connection,
    client_id: String,
    transport: Transport,
    lines: Option<Lines>,
}

/// How lines come.
#[derive(Clone, Copy, Debug)]
enum Transport {
    Json,
    /// With the header of the SDKs.
    Bson,
    /// With requests of this type.
    WebSocket(&'static str),
}

impl Engine {
    fn new() -> Engine {
        let mut database = Connection::open_in_memory().expect("opened");
        let mut message = std::ptr::null_mut();
        // SAFETY: the connection is open during the call, and powersync_core is linked statically, so
        // that it needs no table of SQLite's functions.
        let code = unsafe {
            powersync_core::sqlite3_powersync_init(
                database.handle().cast(),
                &mut message,
                std::ptr::null_mut(),
            )
        };
        assert_eq!(code, rusqlite::ffi::SQLITE_OK);
        let transaction = database.transaction().expect("begun");
        let schema = json!({ "tables": [{ "name": "mww", "columns": [
            { "name": "k", "type": "INTEGER" }, { "name": "v", "type": "INTEGER" }] }] });
        for (sql, parameters) in [
            ("powersync_init()", vec![]),
            ("powersync_replace_schema(?)", vec![schema.to_string()]),
        ] {
            let parameters = rusqlite::params_from_iter(parameters);
            transaction
                .query_row(&format!("SELECT {sql}"), parameters, |_| Ok(()))
                .expect("run");
        }
        let client_id = transaction
            .query_row("SELECT powersync_client_id()", [], |row| row.get(0))
            .expect("an id");
        transaction.commit().expect("committed");
        Engine {
            database,
            client_id,
            transport: Transport::Json,
            lines: None,
        }
    }

    fn control(&mut self, command: &str, payload: impl ToSql) -> Vec<Value> {
        let answer: String = self.control_for(command, payload);
        serde_json::from_str(&answer).expect("JSON")
    }

    /// For commands whose answer is a number.
    fn control_number(&mut self, command: &str, payload: impl ToSql) -> i64 {
        self.control_for(command, payload)
    }

    fn control_for<T: FromSql>(&mut self, command: &str, payload: impl ToSql) -> T {
        let transaction = self
            .database
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .expect("begun");
        let answer = transaction
            .query_row(
                "SELECT powersync_control(?, ?)",
                (command, payload),
                |row| row.get(0),
            )
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        transaction.commit().expect("committed");
        answer
    }

    async fn connect(&mut self, fixture: &Fixture, service: &Service) {
        let established = self.start(&json!({ "parameters": null, "schema": { "tables": [] } }));
        self.open(fixture, service, &established["request"]).await;
    }

    /// Begins an iteration and gives what it asks for: the request for a stream, and for a write
    /// checkpoint if it counts these itself.
    fn start(&mut self, options: &Value) -> Value {
        let start = self.control("start", options.to_string());
        let establish = start
            .iter()
            .find_map(|instruction| instruction.get("EstablishSyncStream"));
        establish
            .unwrap_or_else(|| panic!("no request in {start:?}"))
            .clone()
    }

    async fn open(&mut self, fixture: &Fixture, service: &Service, request: &Value) {
        let accept = match self.transport {
            Transport::Json => "application/x-ndjson",
            Transport::Bson => {
                "application/vnd.powersync.bson-stream;q=0.9,application/x-ndjson;q=0.8"
            }
            Transport::WebSocket(media_type) => {
                let socket = Socket::set_up(service, &token("user"), media_type).await;
                self.lines = Some(socket.lines(request).await);
                self.control("connection", "established");
                return;
            }
        };
        let request = fixture
            .http
            .post(format!("{}/sync/stream", service.url))
            .header("Authorization", format!("Token {}", token("user")))
            .header("Accept", accept)
            .json(request);
        let lines = Lines::open(request).await;
        let is_bson = lines.encoding == Encoding::Bson;
        assert_eq!(is_bson, matches!(self.transport, Transport::Bson));
        self.lines = Some(lines);
        self.control("connection", "established");
    }

    /// A local write, which the backend doubles on its way: only the download can bring that.
    async fn write(&mut self, fixture: &Fixture, value: i64) {
        self.database
            .execute("UPDATE mww SET v = ? WHERE id = '9'", [value])
            .expect("written");
        fixture
            .execute(&format!("UPDATE mww SET v = {value} * 2 WHERE k = 9"))
            .await;
    }

    /// After an upload: the write checkpoint that stands for it.
    fn uploaded(&mut self, write_checkpoint: u64) {
        let transaction = self.database.transaction().expect("begun");
        transaction
            .execute("DELETE FROM ps_crud", [])
            .expect("deleted");
        let set = "SELECT powersync_control('target_checkpoint_request_id', ?)";
        transaction
            .query_row(set, [write_checkpoint.cast_signed()], |_| Ok(()))
            .expect("set");
        transaction.commit().expect("committed");
        self.control("completed_upload", rusqlite::types::Null);
    }

    /// Feeds lines until the query gives this value.
    async fn sync_until(&mut self, sql: &str, expected: i64) {
        within(sql, async {
            while self.query(sql) != Some(expected) {
                let lines = self.lines.as_mut().expect("connected");
                let encoding = lines.encoding;
                let line = lines.next_bytes().await.expect("a line");
                let instructions = match encoding {
                    Encoding::Json => {
                        self.control("line_text", String::from_utf8(line.clone()).expect("text"))
                    }
                    Encoding::Bson => self.control("line_binary", line.clone()),
                };
                for instruction in instructions {
                    let log = &instruction["LogLine"];
                    let severity = log["severity"].as_str().unwrap_or("DEBUG");
                    assert!(!["WARNING", "ERROR"].contains(&severity), "{instruction}");
                    assert!(
                        instruction.get("CloseSyncStream").is_none(),
                        "{instruction} at {}",
                        String::from_utf8_lossy(&line)
                    );
                }
            }
        })
        .await;
    }

    fn query(&self, sql: &str) -> Option<i64> {
        self.database
            .query_row(sql, [], |row| row.get(0))
            .expect("run")
    }
}

#[tokio::test]
async fn the_engine_downloads_uploads_and_is_acknowledged() {
    let fixture = Fixture::new(1500).await;
    let service = fixture.serve().await;
    let mut engine = Engine::new();
    engine.connect(&fixture, &service).await;
    engine.sync_until("SELECT count(*) FROM mww", 1500).await;
    fixture
        .execute("BEGIN; DELETE FROM mww WHERE k = 7; UPDATE mww SET v = 3 WHERE k = 8; COMMIT")
        .await;
    engine.sync_until("SELECT count(*) FROM mww", 1499).await;
    assert_eq!(engine.query("SELECT v FROM mww WHERE id = '8'"), Some(3));

    for value in 100..110 {
        engine.write(&fixture, value).await;
        let request = fixture
            .http
            .get(format!(
                "{}/write-checkpoint2.json?client_id={}",
                service.url, engine.client_id
            ))
            .header("Authorization", format!("Token {}", token("user")));
        let answer: Value = within("an answer", request.send())
            .await
            .expect("sent")
            .json()
            .await
            .expect("JSON");
        let id: u64 = answer["data"]["write_checkpoint"]
            .as_str()
            .expect("text")
            .parse()
            .expect("a number");
        engine.uploaded(id);
        engine
            .sync_until("SELECT v FROM mww WHERE id = '9'", value * 2)
            .await;
    }

    // After a restart of the service there is nothing to download.
    engine.control("connection", "end");
    engine.control("stop", rusqlite::types::Null);
    let operations = "SELECT max(op_id) FROM ps_oplog";
    let before = engine.query(operations);
    service.stop().await;
    let service = fixture.serve().await;
    engine.connect(&fixture, &service).await;
    fixture.execute("UPDATE mww SET v = 4 WHERE k = 8").await;
    engine
        .sync_until("SELECT v FROM mww WHERE id = '8'", 4)
        .await;
    assert_eq!(engine.query(operations), before.map(|before| before + 1));
}

#[tokio::test]
async fn the_engine_gets_its_lines_by_every_transport() {
    let fixture = Fixture::new(1500).await;
    let service = fixture.serve().await;
    for (round, transport) in (1..).zip([
        Transport::Bson,
        Transport::WebSocket("application/json"),
        Transport::WebSocket("application/bson"),
    ]) {
        let mut engine = Engine::new();
        engine.transport = transport;
        engine.connect(&fixture, &service).await;
        engine.sync_until("SELECT count(*) FROM mww", 1500).await;
        // Lines with a change, a removal and a write checkpoint.
        fixture
            .execute(&format!(
                "BEGIN; DELETE FROM mww WHERE k = 7; INSERT INTO mww VALUES ('new{round}', 7, {round}); COMMIT"
            ))
            .await;
        engine
            .sync_until(
                &format!("SELECT max(v) FROM mww WHERE id = 'new{round}'"),
                round,
            )
            .await;
        assert_eq!(
            engine.query("SELECT count(*) FROM mww WHERE k = 7"),
            Some(1)
        );
        engine.write(&fixture, round).await;
        let body = json!({ "client_id": engine.client_id, "checkpoint_request_id": 1 });
        let id = checkpoint_request(&fixture.http, &service.url, &body).await;
        engine.uploaded(id);
        engine
            .sync_until("SELECT v FROM mww WHERE id = '9'", round * 2)
            .await;
    }
}

/// As the SDKs do it with `checkpointMode: 'requests'`: the engine counts, from what the service
/// answered to its first request.
#[tokio::test]
async fn the_engine_counts_write_checkpoints_itself() {
    let fixture = Fixture::new(10).await;
    let service = fixture.serve().await;
    let options = json!({ "schema": { "tables": [] }, "checkpoint_mode": "requests" });
    // A new client, and one that has counted further than this service.
    for counted in [None, Some(1_i64 << 60)] {
        let mut engine = Engine::new();
        if let Some(counted) = counted {
            engine
                .database
                .execute(
                    "INSERT INTO ps_kv VALUES ('last_requested_checkpoint_request_id', ?)",
                    [counted],
                )
                .expect("written");
        }
        let established = engine.start(&options);
        let first = &established["checkpoint_request"];
        let seed = checkpoint_request(&fixture.http, &service.url, first).await;
        let request = &established["request"];
        engine.open(&fixture, &service, request).await;
        engine.control_number("seed_checkpoint_request_id", seed.cast_signed());
        engine.sync_until("SELECT count(*) FROM mww", 10).await;
        for value in 100..105 {
            engine.write(&fixture, value).await;
            let next = engine.control_number("next_checkpoint_request_id", rusqlite::types::Null);
            let body =
                json!({ "client_id": engine.client_id, "checkpoint_request_id": next.to_string() });
            let id = checkpoint_request(&fixture.http, &service.url, &body).await;
            engine.uploaded(id);
            engine
                .sync_until("SELECT v FROM mww WHERE id = '9'", value * 2)
                .await;
        }
    }
}

#[tokio::test]
async fn the_engine_subscribes_to_streams() {
    let fixture = Fixture::new(10).await;
    let service = fixture.serve().await;
    let mut engine = Engine::new();
    let subscribe = r#"{"subscribe":{"stream":{"name":"mww"},"priority":1}}"#;
    let _: Option<String> = engine.control_for("subscriptions", subscribe);
    let options = json!({ "schema": { "tables": [] }, "include_defaults": false });
    let established = engine.start(&options);
    engine
        .open(&fixture, &service, &established["request"])
        .await;
    let synced = "SELECT count(*) FROM ps_stream_subscriptions
                  WHERE active AND local_priority = 1 AND last_synced_at IS NOT NULL";
    engine.sync_until(synced, 1).await;
    assert_eq!(engine.query("SELECT count(*) FROM mww"), Some(10));
}
