#![cfg(target_family = "wasm")]
//! The client of client-core, with the real powersync_core, on OPFS in a dedicated worker of a real
//! browser.

use std::rc::Rc;
use std::time::Duration;

use squall_client_core::rusqlite::Connection;
use squall_client_core::{Client, ClientError};
use squall_client_wasm::platform::Browser;
use squall_client_wasm::storage::Storage;
use squall_protocol::contract::ClientConfig;
use squall_protocol::plan::{Isolation, Uploader, Workload};
use squall_protocol::sql::Dialect;
use squall_protocol::transaction::{Effects, Transaction};
use squall_workloads::{Compiler, Table};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

const KEYS: u32 = 5;

async fn acquire(name: &str) -> Storage {
    Storage::acquire(name, Duration::from_secs(15))
        .await
        .unwrap()
}

fn compiler() -> Compiler {
    Compiler::new(Workload::Mww, false, KEYS, "wasm-1", Dialect::Sqlite)
}

fn open(storage: &Storage) -> Client<Browser> {
    let compiler = compiler();
    let config = ClientConfig {
        client: "wasm-1".to_owned(),
        tables: compiler.tables().iter().map(Table::schema).collect(),
        statements: compiler.statements(),
        new_database: compiler.first_rows(),
        new_connection: Vec::new(),
        isolation: Isolation::default(),
        uploader: Uploader::Transaction,
        sdk: Default::default(),
        backend_url: "http://nowhere.invalid".to_owned(),
        retry_delay_ms: 1000,
        request_deadline_ms: 1000,
        stream_idle_deadline_ms: 1000,
    };
    Client::open(storage.open().unwrap(), config, Browser, Rc::new(|_, _| {})).unwrap()
}

fn transact(client: &Client<Browser>, transaction: &Transaction) -> Result<Effects, ClientError> {
    compiler().transact(transaction, |access, calls| client.execute(access, calls))
}

/// Fills the database as a first sync would, which needs a service.
fn fill(database: &Connection) {
    for key in 0..KEYS {
        database
            .execute(
                "INSERT INTO ps_data__mww (id, data) VALUES (?1, ?2)",
                (key.to_string(), format!(r#"{{"k":{key},"v":-1}}"#)),
            )
            .unwrap();
    }
    database
        .execute(
            "INSERT INTO ps_sync_state (priority, last_synced_at) VALUES (2147483647, 1)",
            [],
        )
        .unwrap();
}

#[wasm_bindgen_test]
async fn a_session_its_writes_and_their_uploads_survive_closing() {
    let storage = acquire("session").await;
    let client = open(&storage);
    assert!(client.new_session());
    let session = client.session().to_owned();
    assert!(matches!(
        transact(&client, &Transaction::read_all()),
        Err(ClientError::NeverSynced)
    ));
    client.close().unwrap();
    fill(&storage.open().unwrap());

    let client = open(&storage);
    assert!(!client.new_session());
    assert_eq!(client.session(), session);
    let effects = transact(&client, &Transaction::new(7, vec![1, 3])).unwrap();
    assert_eq!(effects.reads, [(0, -1), (1, -1), (2, -1), (3, -1), (4, -1)]);
    assert_eq!(effects.writes, [(1, 7), (3, 7)]);
    assert_eq!(client.status().queue, 2);
    client.close().unwrap();
    storage.release().unwrap();

    // Everything again from the files.
    let storage = acquire("session").await;
    let client = open(&storage);
    assert_eq!(client.session(), session);
    let effects = transact(&client, &Transaction::read_all()).unwrap();
    assert_eq!(effects.reads, [(0, -1), (1, 7), (2, -1), (3, 7), (4, -1)]);
    assert_eq!(client.integrity_check().unwrap(), ["ok"]);
    client.close().unwrap();
    let database = storage.open().unwrap();
    let queue: Vec<(i64, String)> = database
        .prepare("SELECT tx_id, data FROM ps_crud ORDER BY id")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(queue.len(), 2);
    assert_eq!(queue[0].0, queue[1].0, "one transaction has one tx_id");
    for ((_, entry), id) in queue.iter().zip(["1", "3"]) {
        let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
        let expected = serde_json::json!(
            {"op": "PATCH", "type": "mww", "id": id, "data": {"v": 7}}
        );
        assert_eq!(entry, expected);
    }
}
