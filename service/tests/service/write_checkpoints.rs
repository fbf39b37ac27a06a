//! Write checkpoints: every id that is handed out is announced, and not too early.

use std::time::Duration;

use crate::harness::{Client, Fixture};
use crate::simulated_client::Received;

#[tokio::test]
async fn announced_on_an_idle_source() {
    let fixture = Fixture::new(3).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.sync_with(&fixture).await;
    let mut last = 0;
    for _ in 0..20 {
        let completed = client.books.completed;
        let id = client.write_checkpoint(&fixture.http, &service.url).await;
        assert!(id > last, "{id} after {last}");
        last = id;
        // A line of its own follows each request, whatever was announced before. PostgreSQL writes
        // something by itself every 15 s; what only then arrives has not been announced promptly.
        let announced = client.sync_until("the write checkpoint", |books| {
            books.completed > completed && books.write_checkpoint >= Some(id)
        });
        tokio::time::timeout(Duration::from_secs(10), announced)
            .await
            .expect("announced");
    }
    assert_eq!(client.books.operations, 3);
}

#[tokio::test]
async fn a_client_that_comes_later_learns_its_write_checkpoint() {
    let fixture = Fixture::new(3).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    let id = client.write_checkpoint(&fixture.http, &service.url).await;
    client.connect(&fixture.http, &service.url).await;
    client.sync_to(id).await;
}

#[tokio::test]
async fn what_was_written_before_the_request_is_there_when_it_is_reached() {
    let fixture = Fixture::new(3).await;
    // Commits that are not even flushed when they return.
    fixture.execute("SET synchronous_commit = off").await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    for value in 0..50 {
        fixture
            .execute(&format!("UPDATE mww SET v = {value} WHERE k = 1"))
            .await;
        let id = client.write_checkpoint(&fixture.http, &service.url).await;
        client.sync_to(id).await;
        assert_eq!(client.books.rows("mww")["1"]["v"], value);
    }
}

#[tokio::test]
async fn other_clients_are_not_bothered() {
    let fixture = Fixture::new(3).await;
    let service = fixture.serve().await;
    let mut asking = Client::new("user", "a");
    let mut others = [Client::new("user", "b"), Client::new("other", "a")];
    asking.connect(&fixture.http, &service.url).await;
    asking.sync_with(&fixture).await;
    for other in &mut others {
        other.connect(&fixture.http, &service.url).await;
        other.sync_with(&fixture).await;
    }
    // The first request also serves clients of an earlier life of the service; see it through.
    for client in others.iter_mut().chain([&mut asking]) {
        let id = client.write_checkpoint(&fixture.http, &service.url).await;
        client.sync_to(id).await;
    }
    // Whatever is still on its way to somebody comes before this.
    fixture.execute("UPDATE mww SET v = 0 WHERE k = 2").await;
    for client in others.iter_mut().chain([&mut asking]) {
        client.sync_with(&fixture).await;
    }
    let before: Vec<u64> = others.iter().map(|other| other.books.completed).collect();
    for _ in 0..5 {
        let id = asking.write_checkpoint(&fixture.http, &service.url).await;
        asking.sync_to(id).await;
    }
    fixture.execute("UPDATE mww SET v = 1 WHERE k = 1").await;
    for (other, before) in others.iter_mut().zip(before) {
        other.sync_with(&fixture).await;
        assert_eq!(other.books.completed, before + 1);
    }
}

#[tokio::test]
async fn concurrent_requests_are_all_announced() {
    let fixture = Fixture::new(3).await;
    let service = fixture.serve().await;
    let mut clients: Vec<Client> = (0..10)
        .map(|n| Client::new("user", &n.to_string()))
        .collect();
    for client in &mut clients {
        client.connect(&fixture.http, &service.url).await;
    }
    let rounds = clients.iter_mut().map(|client| async {
        for _ in 0..10 {
            let id = client.write_checkpoint(&fixture.http, &service.url).await;
            client.sync_to(id).await;
        }
    });
    futures_util::future::join_all(rounds).await;
}

#[tokio::test]
async fn an_id_of_an_earlier_life_is_announced() {
    let fixture = Fixture::new(3).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    let id = client.write_checkpoint(&fixture.http, &service.url).await;
    service.stop().await;
    // Another process could still have been waiting for this; nothing was stored about it.
    let service = fixture.serve().await;
    client.connect(&fixture.http, &service.url).await;
    client.sync_to(id).await;
}

#[tokio::test]
async fn a_connection_to_the_source_that_was_lost_is_made_again() {
    let fixture = Fixture::new(3).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    client.write_checkpoint(&fixture.http, &service.url).await;
    for _ in 0..3 {
        fixture
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await;
        let id = client.write_checkpoint(&fixture.http, &service.url).await;
        client.sync_to(id).await;
        fixture.execute("UPDATE mww SET v = v + 1").await;
        client.sync_with(&fixture).await;
    }
    // Silence would be a line short; so is a line too many.
    let more = tokio::time::timeout(Duration::from_millis(50), client.next()).await;
    assert!(!matches!(more, Ok(Some(Received::Data))));
}
