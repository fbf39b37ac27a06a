//! What clients get to see.

use crate::harness::{Client, Fixture};
use crate::simulated_client::Received;

#[tokio::test]
async fn initial_and_incremental() {
    let fixture = Fixture::new(100).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    client.connect(&fixture.http, &service.url).await;
    assert_eq!(client.next().await, Some(Received::Checkpoint));
    assert_eq!(client.next().await, Some(Received::Data));
    assert_eq!(client.next().await, Some(Received::Complete));
    assert_eq!(client.books.rows("mww"), fixture.rows().await);
    assert_eq!(client.books.rows("mww").len(), 100);
    fixture.execute("UPDATE mww SET v = 7 WHERE k < 5").await;
    client.sync_with(&fixture).await;
    assert_eq!(client.books.operations, 105);
    fixture
        .execute("DELETE FROM mww WHERE k = 3; INSERT INTO mww VALUES ('new', 1000, 1)")
        .await;
    client.sync_with(&fixture).await;
}
