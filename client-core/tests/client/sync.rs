//! Syncing when nothing goes wrong, the transactions, and what a restart keeps.

use squall_client_core::ClientError;
use squall_protocol::backend::{CrudEntry, CrudOp, CrudValue};
use squall_protocol::contract::Access;
use squall_protocol::plan::Uploader;
use squall_protocol::sql::Call;
use squall_protocol::transaction::{Effects, Transaction};
use squall_workloads::Known;

use crate::server::{Device, Endpoint, KEYS, Server, story, synced_story};

fn initial() -> Vec<(u32, i64)> {
    (0..KEYS).map(|key| (key, -1)).collect()
}

#[test]
fn a_write_goes_up_and_comes_back_acknowledged() {
    synced_story(async |server, _, running| {
        assert!(running.client.new_session());
        let effects = running.write(7, &[3, 1]);
        assert_eq!(
            effects,
            Effects {
                reads: initial(),
                writes: vec![(1, 7), (3, 7)],
                ledger: None,
                collections: None,
                payload: None,
            }
        );
        assert_eq!(running.client.status().queue, 2);
        assert!(!running.client.status().acknowledged);
        running.until_acknowledged().await;
        assert_eq!(running.rows(), server.rows());
        let status = running.client.status();
        assert!(status.connected && status.last_error.is_none());
        let [upload] = &server.uploads()[..] else {
            panic!("one transaction is one upload")
        };
        assert_eq!(upload.client_id, running.client.session());
        assert_eq!(upload.upload_id, "transaction-1");
        let patch = |key: u32| CrudEntry {
            op: CrudOp::Patch,
            table: "mww".to_owned(),
            id: key.to_string(),
            data: Some([("v".to_owned(), CrudValue::Integer(7))].into()),
            previous: None,
        };
        assert_eq!(upload.crud, [patch(1), patch(3)]);
    });
}

#[test]
fn what_others_write_arrives() {
    synced_story(async |server, _, running| {
        server.write(2, 9);
        running
            .when("the other's write", || running.rows()[2] == (2, 9))
            .await;
    });
}

#[test]
fn a_value_that_the_merge_rule_would_discard_is_not_written() {
    story(async || {
        let server = Server::new();
        let device = Device::new(&server);
        server.write(0, 50);
        let running = device.start_synced().await;
        assert_eq!(running.write(40, &[0, 1]).writes, [(1, 40)]);
        assert_eq!(running.write(30, &[0, 1]).writes, []);
        assert_eq!(running.client.status().queue, 1);
        running.close().await;
    });
}

#[test]
fn transactions_need_the_first_sync_and_known_statements() {
    story(async || {
        let server = Server::new();
        let device = Device::new(&server);
        let running = device.start();
        let unsynced = running.transact(&Transaction::new(1, vec![0]));
        assert!(matches!(unsynced, Err(ClientError::NeverSynced)));
        running.client.connect();
        running
            .until("the first sync", |status| {
                status.last_synced_at_ms.is_some()
            })
            .await;
        let effects = running.transact(&Transaction::new(1, vec![KEYS])).unwrap();
        assert_eq!(effects.writes, [], "no row of that key is there");
        let unknown = Call {
            statement: 99,
            parameters: Vec::new(),
        };
        let write = running
            .compiler
            .compile(&Transaction::new(2, vec![0]), &Known::default());
        let calls = [&write[..], &[unknown]].concat();
        assert!(matches!(
            running.client.execute(Access::Write, &calls),
            Err(ClientError::UnknownStatement { statement: 99, .. })
        ));
        assert_eq!(running.client.status().queue, 0, "all is undone");
        running.close().await;
    });
}

#[test]
fn a_session_outlives_its_incarnations() {
    story(async || {
        let server = Server::new();
        let device = Device::new(&server);
        let running = device.start_synced().await;
        let session = running.client.session().to_owned();
        server.set_down(true);
        running.write(5, &[0]);
        running.kill().await;

        // Nobody there to sync with: what was committed is there, and more can be.
        let running = device.start();
        running.client.connect();
        assert_eq!(running.client.session(), session);
        assert!(!running.client.new_session());
        assert_eq!(running.rows()[0], (0, 5));
        running.write(6, &[1]);
        running
            .until("the trouble to be told", |status| {
                status.last_error.is_some()
            })
            .await;
        let status = running.client.status();
        assert_eq!((status.queue, status.connected), (2, false));
        assert!(
            status.last_synced_at_ms.is_some(),
            "the last sync is remembered"
        );

        server.set_down(false);
        running.until_acknowledged().await;
        assert_eq!(running.rows(), server.rows());
        assert_eq!(server.rows()[..2], [(0, 5), (1, 6)]);
        let order: Vec<_> = server
            .uploads()
            .iter()
            .map(|upload| upload.upload_id.clone())
            .collect();
        assert_eq!(order, ["transaction-1", "transaction-2"]);
        assert_eq!(running.client.integrity_check().unwrap(), ["ok"]);
        assert_eq!(running.client.status().last_error, None);
        running.close().await;
    });
}

#[test]
fn the_batch_uploader_cuts_through_transactions() {
    story(async || {
        let server = Server::new();
        let mut device = Device::new(&server);
        device.uploader = Uploader::Batch {
            size: 3,
            pause_ms: 0,
        };
        let running = device.start_synced().await;
        running.client.disconnect();
        running.write(5, &[0, 1]);
        running.write(6, &[2, 3]);
        running.client.connect();
        running.until_acknowledged().await;
        let uploads = server.uploads();
        let shape: Vec<_> = uploads
            .iter()
            .map(|upload| (upload.upload_id.as_str(), upload.crud.len()))
            .collect();
        assert_eq!(shape, [("batch-1-3", 3), ("batch-4-4", 1)]);
        running.close().await;
    });
}

#[test]
fn a_disconnected_client_sends_nothing() {
    synced_story(async |server, _, running| {
        running.client.disconnect();
        running
            .until("the disconnect", |status| !status.connected)
            .await;
        running
            .when("the stream's end", || !server.has_stream())
            .await;
        let asked = server.asked(Endpoint::Stream);
        running.write(5, &[0]);
        tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        assert_eq!(server.asked(Endpoint::Upload), 0);
        assert_eq!(server.asked(Endpoint::Stream), asked);
    });
}

#[test]
fn connects_and_disconnects_may_come_in_any_order() {
    synced_story(async |server, _, running| {
        // Every sequence of eight calls, each followed by nothing, a yield, or a short while.
        for sequence in 0..256u32 {
            for bit in 0..8 {
                match sequence >> bit & 1 {
                    0 => running.client.disconnect(),
                    _ => running.client.connect(),
                }
                match (sequence / 3 + bit) % 3 {
                    0 => {}
                    1 => tokio::task::yield_now().await,
                    _ => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
                }
            }
            running.write(i64::from(sequence), &[sequence % KEYS]);
            running.client.connect();
            running
                .until("the connection", |status| status.connected)
                .await;
            running.until_acknowledged().await;
        }
        assert_eq!(running.rows(), server.rows());
        assert_eq!(server.streams_at_once(), 1);
    });
}
