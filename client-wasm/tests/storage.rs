#![cfg(target_family = "wasm")]
//! SQLite and powersync_core on OPFS, in a dedicated worker of a real browser.

use std::time::Duration;

use gloo_timers::future::TimeoutFuture;
use squall_client_wasm::storage::{Storage, StorageError};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{
    DedicatedWorkerGlobalScope, FileSystemDirectoryHandle, FileSystemFileHandle,
    FileSystemSyncAccessHandle,
};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

const PLENTY: Duration = Duration::from_secs(15);

/// Every page and worker of an origin shares its OPFS; names keep the tests apart.
async fn acquire(name: &str) -> Storage {
    Storage::acquire(name, PLENTY).await.unwrap()
}

/// Holds the lock file of the client's pool, as another tab's worker would.
async fn hold(client: &str) -> FileSystemSyncAccessHandle {
    let worker: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let mut directory: FileSystemDirectoryHandle =
        JsFuture::from(worker.navigator().storage().get_directory())
            .await
            .unwrap()
            .unchecked_into();
    for part in ["squall", client] {
        directory = JsFuture::from(directory.get_directory_handle(part))
            .await
            .unwrap()
            .unchecked_into();
    }
    let file: FileSystemFileHandle = JsFuture::from(directory.get_file_handle(".lock"))
        .await
        .unwrap()
        .unchecked_into();
    JsFuture::from(file.create_sync_access_handle())
        .await
        .unwrap()
        .unchecked_into()
}

#[wasm_bindgen_test]
async fn a_committed_transaction_survives_closing_and_reopening() {
    let storage = acquire("survives").await;
    let database = storage.open().unwrap();
    database
        .execute_batch("BEGIN; CREATE TABLE t (v); INSERT INTO t VALUES (7); COMMIT; BEGIN; INSERT INTO t VALUES (8);")
        .unwrap();
    // The second transaction is left open: closing rolls it back.
    drop(database);
    storage.release().unwrap();

    let storage = acquire("survives").await;
    let database = storage.open().unwrap();
    let sum: i64 = database
        .query_row("SELECT sum(v) FROM t", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sum, 7);
    drop(database);
    storage.release().unwrap();
}

#[wasm_bindgen_test]
async fn a_database_in_use_elsewhere_is_reported_at_the_deadline() {
    acquire("in-use").await.release().unwrap();
    let held = hold("in-use").await;

    let error = Storage::acquire("in-use", Duration::from_millis(200))
        .await
        .err()
        .expect("the files are held by somebody else");
    assert!(matches!(error, StorageError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("close the other tab"), "{error}");
    held.close();
}

#[wasm_bindgen_test]
async fn opening_waits_until_the_previous_holder_lets_go() {
    acquire("handover").await.release().unwrap();
    let held = hold("handover").await;
    spawn_local(async move {
        TimeoutFuture::new(150).await;
        held.close();
    });

    let storage = acquire("handover").await;
    drop(storage.open().unwrap());
    storage.release().unwrap();
}

#[wasm_bindgen_test]
async fn files_are_not_released_under_an_open_connection() {
    let storage = acquire("open-connection").await;
    let database = storage.open().unwrap();
    database
        .execute_batch("CREATE TABLE IF NOT EXISTS t (v)")
        .unwrap();
    assert!(matches!(storage.release(), Err(StorageError::Opfs(_))));
    drop(database);
}
