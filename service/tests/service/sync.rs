//! What clients get to see of the source's transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::harness::{Client, Fixture};
use crate::simulated_client::Received;

#[tokio::test]
async fn a_new_client_gets_everything_and_then_what_changes() {
    let fixture = Fixture::new(100).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    assert_eq!(client.next().await, Some(Received::Checkpoint));
    assert_eq!(client.next().await, Some(Received::Data));
    assert_eq!(client.next().await, Some(Received::Complete));
    assert_eq!(client.books.rows("mww").len(), 100);
    assert_eq!(client.books.rows("mww"), fixture.rows().await);
    fixture.execute("UPDATE mww SET v = 7 WHERE k < 5").await;
    client.sync_with(&fixture).await;
    assert_eq!(client.books.operations, 105);
}

#[tokio::test]
async fn a_returning_client_gets_only_what_it_misses() {
    let fixture = Fixture::new(100).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    client.disconnect();
    fixture.execute("UPDATE mww SET v = 8 WHERE k = 5").await;
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    assert_eq!(client.books.operations, 101);
    client.disconnect();
    client.connect(&fixture.http, &service.url).await;
    assert_eq!(client.next().await, Some(Received::Checkpoint));
    assert_eq!(client.next().await, Some(Received::Complete));
    assert_eq!(client.books.operations, 101);
}

#[tokio::test]
async fn deletes_key_changes_and_truncates_arrive() {
    let fixture = Fixture::new(10).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    fixture.execute("DELETE FROM mww WHERE k = 3").await;
    client.sync_with(&fixture).await;
    assert_eq!(client.books.operations, 11);
    fixture
        .execute("UPDATE mww SET id = 'moved' WHERE k = 4")
        .await;
    client.sync_with(&fixture).await;
    // The removal of the old row and the new row.
    assert_eq!(client.books.operations, 13);
    fixture
        .execute(
            "BEGIN; INSERT INTO mww VALUES ('x', 77, 1); DELETE FROM mww WHERE id = 'x'; COMMIT",
        )
        .await;
    fixture.execute("TRUNCATE mww").await;
    client
        .sync_until("no rows", |books| books.rows("mww").is_empty())
        .await;
    assert_eq!(client.books.operations, 13 + 2 + 9);
    fixture
        .execute("BEGIN; INSERT INTO mww VALUES ('1', 1, 1); UPDATE mww SET v = 2; COMMIT")
        .await;
    client.sync_with(&fixture).await;
    assert_eq!(client.books.operations, 24 + 2);
    // The books of a client that starts now agree, over all those removals.
    let mut late = Client::new("user", "b");
    late.connect(&fixture.http, &service.url).await;
    late.sync_with(&fixture).await;
    assert_eq!(late.books.operations, 26);
}

#[tokio::test]
async fn a_rolled_back_transaction_is_never_seen() {
    let fixture = Fixture::new(10).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    fixture
        .execute("BEGIN; UPDATE mww SET v = 666; ROLLBACK")
        .await;
    fixture
        .execute("CREATE TABLE other (n int); INSERT INTO other VALUES (1)")
        .await;
    fixture.execute("UPDATE mww SET v = 9 WHERE k = 1").await;
    client.sync_with(&fixture).await;
    assert_eq!(client.books.operations, 11);
}

/// Every transaction writes one value to the same 3,000 rows, more than fit into a line. Whenever a
/// checkpoint is complete, all of them have the same value.
#[tokio::test]
async fn a_large_transaction_is_never_torn() {
    let fixture = Fixture::new(3000).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    let writer = async {
        for value in 1..=6 {
            fixture
                .execute(&format!("UPDATE mww SET v = {value}"))
                .await;
            for small in 1..=5 {
                fixture
                    .execute(&format!(
                        "INSERT INTO mww VALUES ('s{value}-{small}', {}, {value})",
                        value * -10 - small
                    ))
                    .await;
                fixture
                    .execute(&format!(
                        "DELETE FROM mww WHERE k = {}",
                        value * -10 - small
                    ))
                    .await;
            }
        }
    };
    let reader = async {
        let mut seen = std::collections::BTreeSet::new();
        while !seen.contains(&6) {
            if client.next().await.expect("a line") != Received::Complete {
                continue;
            }
            let rows = client.books.rows("mww");
            let of_keys: std::collections::BTreeSet<i64> = rows
                .values()
                .filter(|row| row["k"].as_i64() >= Some(0))
                .map(|row| row["v"].as_i64().expect("a number"))
                .collect();
            assert_eq!(of_keys.len(), 1, "a torn transaction");
            seen.extend(of_keys);
        }
    };
    tokio::join!(writer, reader);
}

/// A client that downloads slowly while the source never rests gets its checkpoints completed.
#[tokio::test]
async fn a_download_is_completed_however_busy_the_source_is() {
    let fixture = Fixture::new(5000).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    let stop = Arc::new(AtomicBool::new(false));
    let writing = async {
        let mut value = 0;
        while !stop.load(Ordering::Relaxed) {
            value += 1;
            fixture
                .execute(&format!(
                    "UPDATE mww SET v = {value} WHERE k = {}",
                    value % 100
                ))
                .await;
        }
    };
    let reading = async {
        client.connect(&fixture.http, &service.url).await;
        client
            .sync_until("three completed checkpoints", |books| books.completed >= 3)
            .await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(writing, reading);
    client.sync_with(&fixture).await;
}

/// One client stops reading in the middle of more data than any buffer holds.
#[tokio::test]
async fn a_slow_client_does_not_hold_up_others() {
    let fixture = Fixture::new(1).await;
    fixture
        .execute(
            "CREATE TABLE wide (id int PRIMARY KEY, t text);
                  INSERT INTO wide SELECT n, repeat('x', 10000) FROM generate_series(1, 1500) n",
        )
        .await;
    let mut config = fixture.config.clone();
    config.tables.push("wide".into());
    let service = crate::harness::Service::start(config).await;
    let mut slow: Vec<Client> = (0..5)
        .map(|n| Client::new("slow", &n.to_string()))
        .collect();
    for client in &mut slow {
        client.connect(&fixture.http, &service.url).await;
        client.next().await;
    }
    let mut quick = Client::new("user", "quick");
    quick.connect(&fixture.http, &service.url).await;
    quick
        .sync_until("all rows", |books| books.rows("wide").len() == 1500)
        .await;
    fixture.execute("UPDATE mww SET v = 5").await;
    quick.sync_with(&fixture).await;
    // The slow ones were not forgotten either.
    slow[0]
        .sync_until("all rows", |books| books.rows("wide").len() == 1500)
        .await;
    slow[0].sync_with(&fixture).await;
}

#[tokio::test]
async fn old_clients_get_rows_as_json() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    let request = fixture
        .http
        .post(format!("{}/sync/stream", service.url))
        .header(
            "Authorization",
            format!("Token {}", crate::harness::token("user")),
        )
        .json(&json!({}));
    let mut lines = crate::harness::Lines::open(request).await;
    lines.next().await.expect("a checkpoint");
    let data = lines.next().await.expect("data");
    assert_eq!(
        data["data"]["data"][0]["data"],
        json!({ "id": "0", "k": 0, "v": -1 })
    );
}
