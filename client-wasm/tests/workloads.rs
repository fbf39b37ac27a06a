#![cfg(target_family = "wasm")]
//! Lists, sets and the payload table on OPFS, in a dedicated worker of a real browser.

use std::rc::Rc;
use std::time::Duration;

use squall_client_core::Client;
use squall_client_wasm::platform::Browser;
use squall_client_wasm::storage::Storage;
use squall_protocol::contract::ClientConfig;
use squall_protocol::payload::PayloadRead;
use squall_protocol::plan::{Isolation, Uploader, Workload};
use squall_protocol::sql::{Call, Dialect};
use squall_protocol::transaction::{Collections, Effects, Transaction};
use squall_workloads::payload::{self, Action, LARGEST};
use squall_workloads::{Compiler, Table};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

const KEYS: u32 = 3;

/// A client that needs no service; it begins with the workload's first rows.
struct Incarnation {
    client: Client<Browser>,
    compiler: Compiler,
    storage: Storage,
}

impl Incarnation {
    async fn start(workload: Workload, payload: bool) -> Incarnation {
        let name = workload.name();
        let storage = Storage::acquire(name, Duration::from_secs(15))
            .await
            .unwrap();
        let compiler = Compiler::new(workload, payload, KEYS, "wasm-1", Dialect::Sqlite);
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
        let connection = storage.open().unwrap();
        let client = Client::open_local(connection, config, Browser, Rc::new(|_, _| {})).unwrap();
        Incarnation {
            client,
            compiler,
            storage,
        }
    }

    fn write(&self, value: i64, keys: &[u32]) {
        self.transact(Transaction::new(value, keys.to_vec()));
    }

    fn read(&self) -> Effects {
        self.transact(Transaction::read_all())
    }

    fn transact(&self, transaction: Transaction) -> Effects {
        let execute = |access, calls: &[Call]| self.client.execute(access, calls);
        self.compiler.transact(&transaction, execute).unwrap()
    }

    fn collections(&self) -> Collections {
        self.read().collections.unwrap()
    }

    fn payload(&self) -> PayloadRead {
        self.read().payload.unwrap()
    }

    fn end(self) {
        assert_eq!(self.client.integrity_check().unwrap(), ["ok"]);
        self.client.close().unwrap();
        self.storage.release().unwrap();
    }
}

fn texts(pairs: [(u32, &str); 3]) -> Collections {
    pairs.map(|(key, text)| (key, text.to_owned())).into()
}

#[wasm_bindgen_test]
async fn lists_survive_closing() {
    let incarnation = Incarnation::start(Workload::ListAppend, false).await;
    incarnation.write(7, &[0, 2]);
    incarnation.write(11, &[2]);
    incarnation.end();
    let incarnation = Incarnation::start(Workload::ListAppend, false).await;
    assert_eq!(
        incarnation.collections(),
        texts([(0, "7"), (1, ""), (2, "7 11")])
    );
    incarnation.end();
}

#[wasm_bindgen_test]
async fn sets_survive_closing() {
    let incarnation = Incarnation::start(Workload::Gset, false).await;
    incarnation.write(11, &[0, 2]);
    incarnation.write(7, &[2]);
    incarnation.end();
    let incarnation = Incarnation::start(Workload::Gset, false).await;
    assert_eq!(
        incarnation.collections(),
        texts([(0, "11"), (1, ""), (2, "7 11")])
    );
    incarnation.end();
}

#[wasm_bindgen_test]
async fn every_byte_of_large_and_strange_texts_survives_closing() {
    let mut incarnation = Incarnation::start(Workload::Ledger, true).await;
    let (mut large, mut emoji, mut null) = (false, false, false);
    for seq in 1..=64 {
        incarnation.write(seq, &[0]);
        let (Action::Insert { body, .. } | Action::Update { body, .. }) =
            payload::action("wasm-1", seq)
        else {
            continue;
        };
        let interesting = match &body {
            None => !std::mem::replace(&mut null, true),
            Some(body) if body.len() == LARGEST => !std::mem::replace(&mut large, true),
            Some(body) if body.contains("👩‍👩‍👧‍👦") => {
                !std::mem::replace(&mut emoji, true)
            }
            Some(_) => false,
        };
        if interesting {
            incarnation.end();
            incarnation = Incarnation::start(Workload::Ledger, true).await;
            assert_eq!(incarnation.payload(), payload::rows_after("wasm-1", seq));
        }
    }
    assert!(large && emoji && null, "{large} {emoji} {null}");
    incarnation.end();
}
