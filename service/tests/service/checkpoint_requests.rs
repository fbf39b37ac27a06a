//! Write checkpoints whose ids the clients count.

use serde_json::json;

use crate::harness::{Client, Fixture, checkpoint_request};

/// Far beyond any position in the log: a client that was with another service before.
const AHEAD: u64 = 1 << 60;

async fn ask(fixture: &Fixture, service: &str, id: u64) -> u64 {
    let body = json!({ "client_id": "a", "checkpoint_request_id": id.to_string() });
    let given = checkpoint_request(&fixture.http, service, &body).await;
    assert!(given >= id, "{given} for {id}");
    given
}

#[tokio::test]
async fn what_was_written_before_the_request_is_there_when_it_is_reached() {
    let fixture = Fixture::new(3).await;
    let service = fixture.serve().await;
    for first in [1, AHEAD] {
        let mut client = Client::new("user", "a");
        let mut counter = ask(&fixture, &service.url, first).await;
        client.connect(&fixture.http, &service.url).await;
        for value in 0..10 {
            fixture
                .execute(&format!("UPDATE mww SET v = {value} WHERE k = 1"))
                .await;
            counter += 1;
            let id = ask(&fixture, &service.url, counter).await;
            client.sync_to_now(id).await;
            assert_eq!(client.books.rows("mww")["1"]["v"], value);
        }
    }
}

#[tokio::test]
async fn announced_on_an_idle_source() {
    let fixture = Fixture::new(3).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    for id in [1, 2, AHEAD, AHEAD + 1, AHEAD + 1, 7] {
        let given = ask(&fixture, &service.url, id).await;
        client.sync_to_now(given).await;
    }
    // A client that comes back learns it again, and one that does not count gets a later one.
    client.connect(&fixture.http, &service.url).await;
    client
        .sync_until("the write checkpoint", |books| {
            books.write_checkpoint == Some(AHEAD + 1)
        })
        .await;
    let id = client.write_checkpoint(&fixture.http, &service.url).await;
    assert_eq!(id, AHEAD + 2);
    client.sync_to_now(id).await;
}

/// What a service knew of ids beyond the log is gone with it; the client brings its id again.
#[tokio::test]
async fn an_id_of_an_earlier_life_is_announced_when_it_is_asked_for_again() {
    let fixture = Fixture::new(3).await;
    let service = fixture.serve().await;
    ask(&fixture, &service.url, AHEAD).await;
    service.stop().await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    assert!(client.books.write_checkpoint < Some(AHEAD));
    let id = ask(&fixture, &service.url, AHEAD).await;
    client.sync_to(id).await;
}
