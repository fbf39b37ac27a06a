//! What a storm asks of the service: many small transactions and several streams.

use std::time::{Duration, Instant};

use crate::harness::{Client, Fixture};

/// 100 transactions per second of six rows each, and ten streams that have to follow. Prints how long
/// that took; only that everything arrives is asserted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_transactions_and_streams() {
    const TRANSACTIONS: i32 = 200;
    let fixture = Fixture::new(100).await;
    let service = fixture.serve().await;
    let mut clients: Vec<Client> = (0..10)
        .map(|n| Client::new("user", &n.to_string()))
        .collect();
    for client in &mut clients {
        client.connect(&fixture.http, &service.url).await;
        client.sync_with(&fixture).await;
    }
    let begin = Instant::now();
    let committed = std::sync::Mutex::new(vec![None; TRANSACTIONS as usize + 1]);
    let writing = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        for value in 1..=TRANSACTIONS {
            ticks.tick().await;
            let keys = (0..5)
                .map(|n| ((value + n * 17) % 99 + 1).to_string())
                .collect::<Vec<_>>()
                .join(",");
            fixture
                .execute(&format!(
                    "BEGIN; UPDATE mww SET v = {value} WHERE k IN ({keys}); UPDATE mww SET v = {value} WHERE k = 0; COMMIT"
                ))
                .await;
            committed.lock().expect("no panic")[value as usize] = Some(Instant::now());
        }
    };
    let reading = clients.iter_mut().map(|client| async {
        let mut late = Vec::new();
        let mut seen = 0;
        while seen < i64::from(TRANSACTIONS) {
            client.sync_until("a transaction", |_| true).await;
            let value = client.books.rows("mww")["0"]["v"]
                .as_i64()
                .expect("a number");
            if value > seen {
                seen = value;
                // A stream can be quicker than the answer to the commit.
                let at = committed.lock().expect("no panic")[value as usize];
                late.push(at.map_or(Duration::ZERO, |at: Instant| at.elapsed()));
            }
        }
        late
    });
    let (late, ()) = tokio::join!(futures_util::future::join_all(reading), writing);
    let mut late: Vec<Duration> = late.into_iter().flatten().collect();
    late.sort();
    println!(
        "{TRANSACTIONS} transactions in {:?}; from commit to complete checkpoint: median {:?}, 99 % {:?}, all {:?}",
        begin.elapsed(),
        late[late.len() / 2],
        late[late.len() * 99 / 100],
        late[late.len() - 1],
    );
    for client in &clients {
        assert_eq!(client.books.rows("mww"), fixture.rows().await);
    }
}
