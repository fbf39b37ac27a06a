//! The engine inside every PowerSync SDK, fed with the service's lines.

use rusqlite::{Connection, ToSql, TransactionBehavior};
use serde_json::{Value, json};

use crate::harness::{Fixture, Lines, Service, token, within};

struct Engine {
    database: Connection,
    client_id: String,
    lines: Option<Lines>,
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
            lines: None,
        }
    }

    fn control(&mut self, command: &str, payload: impl ToSql) -> Vec<Value> {
        let transaction = self
            .database
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .expect("begun");
        let answer: String = transaction
            .query_row(
                "SELECT powersync_control(?, ?)",
                (command, payload),
                |row| row.get(0),
            )
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        transaction.commit().expect("committed");
        serde_json::from_str(&answer).expect("JSON")
    }

    async fn connect(&mut self, fixture: &Fixture, service: &Service) {
        let start = self.control("start", r#"{"parameters":null,"schema":{"tables":[]}}"#);
        let request = start
            .iter()
            .find_map(|instruction| instruction["EstablishSyncStream"]["request"].as_object())
            .unwrap_or_else(|| panic!("no request in {start:?}"));
        let request = fixture
            .http
            .post(format!("{}/sync/stream", service.url))
            .header("Authorization", format!("Token {}", token("user")))
            .json(request);
        self.lines = Some(Lines::open(request).await);
        self.control("connection", "established");
    }

    /// Feeds lines until the query gives this value.
    async fn sync_until(&mut self, sql: &str, expected: i64) {
        within(sql, async {
            while self.query(sql) != Some(expected) {
                let line = self
                    .lines
                    .as_mut()
                    .expect("connected")
                    .next()
                    .await
                    .expect("a line");
                for instruction in self.control("line_text", line.to_string()) {
                    let log = &instruction["LogLine"];
                    let severity = log["severity"].as_str().unwrap_or("DEBUG");
                    assert!(!["WARNING", "ERROR"].contains(&severity), "{instruction}");
                    assert!(
                        instruction.get("CloseSyncStream").is_none(),
                        "{instruction} at {line}"
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
        // A local write, which the backend changes on its way: only the download can bring that.
        engine
            .database
            .execute("UPDATE mww SET v = ? WHERE id = '9'", [value])
            .expect("written");
        fixture
            .execute(&format!("UPDATE mww SET v = {value} * 2 WHERE k = 9"))
            .await;
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
        let id: i64 = answer["data"]["write_checkpoint"]
            .as_str()
            .expect("text")
            .parse()
            .expect("a number");
        let transaction = engine.database.transaction().expect("begun");
        transaction
            .execute("DELETE FROM ps_crud", [])
            .expect("deleted");
        let set = "SELECT powersync_control('target_checkpoint_request_id', ?)";
        transaction.query_row(set, [id], |_| Ok(())).expect("set");
        transaction.commit().expect("committed");
        engine.control("completed_upload", rusqlite::types::Null);
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
