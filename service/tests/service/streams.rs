//! Sync streams: which tables a client gets, and which of them first.

use serde_json::json;

use crate::harness::{Client, Fixture, Service};
use crate::simulated_client::Received;

/// Three rows of `mww`, two of `other`.
async fn two_tables() -> (Fixture, Service) {
    let fixture = Fixture::new(3).await;
    fixture
        .execute(
            "CREATE TABLE other (id text PRIMARY KEY, t text);
             INSERT INTO other VALUES ('a', 'x'), ('b', 'y')",
        )
        .await;
    let mut config = fixture.config.clone();
    config.tables.push("other".into());
    let service = Service::start(config).await;
    service.settle(&fixture.http).await;
    (fixture, service)
}

#[tokio::test]
async fn a_client_may_do_without_the_tables_that_it_does_not_name() {
    let (fixture, service) = two_tables().await;
    let mut client = Client::new("user", "a");
    client.streams = Some(json!({ "include_defaults": false, "subscriptions": [] }));
    client.connect(&fixture.http, &service.url).await;
    assert_eq!(client.next().await, Some(Received::Checkpoint));
    assert_eq!(client.next().await, Some(Received::Complete));
    assert!(client.books.bucket_names().is_empty());

    client.streams = Some(json!({ "include_defaults": false, "subscriptions": [
        { "stream": "nothing", "parameters": { "x": 1 }, "override_priority": null },
        { "stream": "other", "parameters": null, "override_priority": null },
    ] }));
    client.connect(&fixture.http, &service.url).await;
    client
        .sync_until("rows", |books| books.rows("other").len() == 2)
        .await;
    fixture.execute("UPDATE mww SET v = 1").await;
    fixture.execute("DELETE FROM other WHERE id = 'a'").await;
    client
        .sync_until("one row", |books| books.rows("other").len() == 1)
        .await;
    assert!(client.books.rows("mww").is_empty());
    // The change of the table that it does not have was no line.
    assert_eq!((client.books.completed, client.books.operations), (3, 3));

    // With the usual request it gets the rest.
    client.streams = None;
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    assert_eq!(client.books.rows("other").len(), 1);
    assert_eq!(client.books.operations, 3 + 6);
}

#[tokio::test]
async fn what_is_more_urgent_comes_first() {
    let (fixture, service) = two_tables().await;
    let mut client = Client::new("user", "a");
    client.streams = Some(json!({ "subscriptions": [
        { "stream": "other", "parameters": {}, "override_priority": 1 },
    ] }));
    client.connect(&fixture.http, &service.url).await;
    for expected in [
        Received::Checkpoint,
        Received::Data,
        Received::Partial,
        Received::Data,
        Received::Complete,
    ] {
        assert_eq!(client.next().await, Some(expected));
    }
    // Only what has changed counts.
    for (sql, partial) in [
        ("UPDATE mww SET v = 1", false),
        ("UPDATE other SET t = 'z'", false),
        ("BEGIN; DELETE FROM mww; DELETE FROM other; COMMIT", true),
    ] {
        fixture.execute(sql).await;
        let mut partials = 0;
        loop {
            match client.next().await.expect("a line") {
                Received::Partial => partials += 1,
                Received::Complete => break,
                _ => {}
            }
        }
        assert_eq!(partials, u32::from(partial), "{sql}");
    }
    assert!(client.books.rows("mww").is_empty() && client.books.rows("other").is_empty());
}
