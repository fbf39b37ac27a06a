//! What a transaction of each workload reads and writes, locally and over the wire.

use squall_client_core::{Client, ClientError};
use squall_protocol::backend::{CrudOp, CrudValue};
use squall_protocol::plan::Workload;
use squall_protocol::transaction::{
    Collections, Effects, Reads, Rows, Transaction, TransactionMode,
};
use squall_workloads::payload::{self, LARGEST};

use serde_json::json;

use crate::server::{self, Device, KEYS, Running, Server, story};

/// A server with the lists of all keys.
fn server_with_rows(keys: u32) -> Server {
    let server = Server::new();
    for key in 0..keys {
        server.write_row("lists", &key.to_string(), Some(json!({"k": key, "v": ""})));
        server.write_row("counter", &key.to_string(), Some(json!({"k": key, "v": 0})));
    }
    server
}

fn reading(reads: Reads, value: i64, keys: &[u32]) -> Transaction {
    Transaction {
        reads,
        ..Transaction::new(value, keys.to_vec())
    }
}

fn texts(pairs: &[(u32, &str)]) -> Option<Collections> {
    Some(
        pairs
            .iter()
            .map(|(k, text)| (*k, (*text).to_owned()))
            .collect(),
    )
}

fn do_it(running: &Running, transaction: &Transaction) -> Effects {
    running.transact(transaction).unwrap()
}

#[test]
fn lists_grow_by_appends() {
    story(async || {
        let server = server_with_rows(KEYS);
        let device = Device::with(&server, Workload::ListAppend);
        let running = device.start_synced().await;
        let effects = do_it(&running, &reading(Reads::Keys(vec![4, 1]), 7, &[4, 2]));
        assert_eq!(effects.collections, texts(&[(1, ""), (4, "")]));
        assert_eq!(effects.writes, [(2, 7), (4, 7)]);
        assert_eq!(effects.reads, Rows::new());
        // The own append is not among what the appending transaction reads.
        let effects = do_it(&running, &reading(Reads::Keys(vec![4]), 12, &[4]));
        assert_eq!(effects.collections, texts(&[(4, "7")]));
        let all = [(0, ""), (1, ""), (2, "7"), (3, ""), (4, "7 12")];
        assert_eq!(
            do_it(&running, &Transaction::read_all()).collections,
            texts(&all)
        );
        running.until_acknowledged().await;
        assert_eq!(
            do_it(&running, &Transaction::read_all()).collections,
            texts(&all)
        );
        assert_eq!(server.row("lists", "4").unwrap()["v"], "7 12");
        let uploads = server.uploads();
        let entries: Vec<_> = uploads[1]
            .crud
            .iter()
            .map(|entry| entry.data.clone())
            .collect();
        assert_eq!(
            entries,
            [Some(
                [("v".to_owned(), CrudValue::Text("7 12".to_owned()))].into()
            )]
        );

        // Whatever the others made of a list is what is read and continued.
        server.write_row("lists", "4", Some(json!({"k": 4, "v": "3"})));
        running
            .when("the other's list", || {
                do_it(&running, &reading(Reads::Keys(vec![4]), -1, &[])).collections
                    == texts(&[(4, "3")])
            })
            .await;
        do_it(&running, &reading(Reads::Nothing, 13, &[4]));
        let effects = do_it(&running, &reading(Reads::Keys(vec![4]), -1, &[]));
        assert_eq!(effects.collections, texts(&[(4, "3 13")]));
        running.close().await;
    });
}

#[test]
fn a_list_that_is_not_there_is_left_out() {
    story(async || {
        let server = server_with_rows(KEYS - 1);
        let device = Device::with(&server, Workload::ListAppend);
        let running = device.start_synced().await;
        let all = [(0, ""), (1, ""), (2, ""), (3, "")];
        let read = do_it(&running, &Transaction::read_all());
        assert_eq!(read.collections, texts(&all));
        let missing = do_it(&running, &reading(Reads::Keys(vec![KEYS - 1]), -1, &[]));
        assert_eq!(missing.collections, texts(&[]));
        let written = do_it(&running, &reading(Reads::Nothing, 3, &[0, KEYS - 1]));
        assert_eq!(written.writes, [(0, 3)]);
        running.close().await;
    });
}

#[test]
fn sets_take_elements() {
    story(async || {
        let server = Server::new();
        let device = Device::with(&server, Workload::Gset);
        let running = device.start();
        let early = running.transact(&Transaction::new(1, vec![0]));
        assert!(matches!(early, Err(ClientError::NeverSynced)), "{early:?}");
        running.client.connect();
        running
            .until("the first sync", |status| {
                status.last_synced_at_ms.is_some()
            })
            .await;
        let empty = [(0, ""), (1, ""), (2, ""), (3, ""), (4, "")];
        let effects = do_it(&running, &Transaction::new(9, vec![3, 1]));
        assert_eq!(effects.collections, texts(&empty));
        assert_eq!(effects.writes, [(1, 9), (3, 9)]);
        let effects = do_it(&running, &reading(Reads::Keys(vec![3, 0]), 10, &[3]));
        assert_eq!(effects.collections, texts(&[(0, ""), (3, "9")]));
        let effects = do_it(&running, &reading(Reads::Nothing, 11, &[3]));
        assert_eq!((effects.collections, effects.writes), (None, vec![(3, 11)]));
        running.until_acknowledged().await;
        server.write_row("gset", "3/8", Some(json!({"k": 3, "v": 8})));
        // By number, not by text, and whoever added it.
        running
            .when("the other's element", || {
                do_it(&running, &reading(Reads::Keys(vec![3]), -1, &[])).collections
                    == texts(&[(3, "8 9 10 11")])
            })
            .await;
        assert_eq!(server.row("gset", "3/10"), Some(json!({"k": 3, "v": 10})));
        let ops: Vec<_> = server
            .uploads()
            .iter()
            .flat_map(|upload| upload.crud.clone())
            .collect();
        assert_eq!(ops.len(), 4);
        assert!(ops.iter().all(|entry| entry.op == CrudOp::Put));
        running.close().await;
    });
}

#[test]
fn rows_of_every_kind_travel_whole() {
    story(async || {
        let server = Server::new();
        let mut device = Device::with(&server, Workload::Ledger);
        device.payload = true;
        let running = device.start_synced().await;
        let (mut largest, mut nulls, mut deletions) = (0, 0, 0);
        for seq in 1..=48 {
            let effects = do_it(&running, &Transaction::new(seq, vec![(seq % 5) as u32]));
            assert_eq!(
                effects.payload,
                Some(payload::rows_after("native-1", seq - 1)),
                "{seq}"
            );
            assert_eq!(effects.ledger.unwrap().seq, Some(seq));
            let rows = payload::rows_after("native-1", seq);
            let written = rows.iter().find(|row| row.version == seq);
            match written.map(|row| row.body) {
                None => deletions += 1,
                Some(body) => {
                    nulls += i32::from(body.is_none());
                    largest += i32::from(body.is_some_and(|body| body.bytes == LARGEST as u64));
                }
            }
        }
        assert!(
            largest > 0 && nulls > 0 && deletions > 0,
            "{largest} {nulls} {deletions}"
        );
        let rows = Some(payload::rows_after("native-1", 48));
        assert_eq!(do_it(&running, &Transaction::read_all()).payload, rows);
        running.until_acknowledged().await;
        assert_eq!(
            do_it(&running, &Transaction::read_all()).payload,
            rows,
            "as it came back"
        );
        running.close().await;

        // Someone who has everything from the service alone.
        let mut device = Device::with(&server, Workload::Ledger);
        device.payload = true;
        let running = device.start_synced().await;
        let effects = do_it(&running, &Transaction::read_all());
        assert_eq!(effects.payload, rows);
        assert_eq!(effects.ledger.unwrap().reads[0].count, 48);
        running.close().await;
    });
}

#[test]
fn an_empty_text_is_not_null() {
    story(async || {
        let server = Server::new();
        server.write_row("payload", "x/0", Some(json!({"version": 1, "body": ""})));
        server.write_row("payload", "x/1", Some(json!({"version": 1, "body": null})));
        server.write_row("payload", "x/2", Some(json!({"version": 1})));
        let mut device = Device::with(&server, Workload::Ledger);
        device.payload = true;
        let running = device.start_synced().await;
        let read = do_it(&running, &Transaction::read_all()).payload.unwrap();
        let bodies: Vec<_> = read.iter().map(|row| row.body).collect();
        assert_eq!(bodies, [Some(payload::digest("")), None, None]);
        running.close().await;
    });
}

#[test]
fn what_is_read_is_what_is_asked_for() {
    story(async || {
        let server = Server::new();
        server.write(2, 50);
        let device = Device::with(&server, Workload::Ledger);
        let running = device.start_synced().await;
        let effects = do_it(&running, &reading(Reads::Keys(vec![2, 0]), 40, &[1, 2]));
        assert_eq!(effects.reads, [(0, -1), (2, 50)]);
        assert_eq!(effects.writes, [(1, 40)]);
        // Nothing is reported, but a higher value is left alone all the same.
        let effects = do_it(&running, &reading(Reads::Nothing, 41, &[1, 2]));
        assert_eq!(effects.reads, []);
        assert_eq!(effects.writes, [(1, 41)]);
        let ledger = effects.ledger.unwrap();
        assert_eq!((ledger.reads.len(), ledger.seq), (0, Some(2)));
        let effects = do_it(&running, &Transaction::read_all());
        assert_eq!(effects.reads[1..3], [(1, 41), (2, 50)]);
        let rows = &effects.ledger.unwrap().reads[0].rows;
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (row.seq, row.writes.as_str()))
            .collect();
        assert_eq!(rows, [(1, "[1]"), (2, "[1]")]);
        let unknown = reading(Reads::Keys(vec![KEYS]), -1, &[]);
        assert_eq!(do_it(&running, &unknown).reads, []);
        running.close().await;
    });
}

#[test]
fn a_read_transaction_can_not_write() {
    for &workload in Workload::ALL {
        story(async || {
            let server = server_with_rows(KEYS);
            let device = Device::with(&server, workload);
            let running = device.start_synced().await;
            let through = |transaction| Transaction {
                through: TransactionMode::ReadTransaction,
                ..transaction
            };
            let read = do_it(&running, &through(Transaction::read_all()));
            assert_eq!(read, do_it(&running, &Transaction::read_all()));
            let error = running
                .transact(&through(Transaction::new(3, vec![0])))
                .expect_err("it must not write");
            assert!(error.to_string().contains("readonly"), "{error}");
            assert_eq!(do_it(&running, &Transaction::read_all()), read);
            assert_eq!(running.client.status().queue, 0);
            // The connection has not stayed like that.
            assert_eq!(
                do_it(&running, &Transaction::new(4, vec![0])).writes,
                [(0, 4)]
            );
            running.close().await;
        });
    }
}

#[test]
fn a_local_database_begins_with_the_first_rows() {
    for &workload in Workload::ALL {
        story(async || {
            let device = Device::with(&Server::new(), workload);
            let client = device.open_local();
            let transact = |client: &Client<Server>, transaction| {
                server::transact(client, &device.compiler(), &transaction).unwrap()
            };
            let read = transact(&client, Transaction::read_all());
            match workload {
                Workload::Mww | Workload::Ledger | Workload::Counter => {
                    assert_eq!(read.reads.len(), KEYS as usize)
                }
                Workload::ListAppend | Workload::Gset => {
                    assert_eq!(read.collections.unwrap().len(), KEYS as usize)
                }
            }
            transact(&client, Transaction::new(3, vec![1]));
            let read = transact(&client, Transaction::read_all());
            client.close().unwrap();
            let client = device.open_local();
            assert!(!client.new_session());
            assert_eq!(transact(&client, Transaction::read_all()), read);
            client.close().unwrap();
        });
    }
}
