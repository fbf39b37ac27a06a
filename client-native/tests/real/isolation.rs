//! What the isolation levels of clients on PostgreSQL do, and do not.

use std::time::{Duration, Instant};

use squall_protocol::plan::{Isolation, Workload};
use squall_protocol::transaction::{Reads, Transaction};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, IsolationLevel};

use crate::world::World;

const LEVELS: [Isolation; 3] = [
    Isolation::ReadCommitted,
    Isolation::RepeatableRead,
    Isolation::Serializable,
];

/// Waits until a transaction waits for another one's lock.
async fn until_someone_waits(postgres: &Client) {
    let since = Instant::now();
    loop {
        let waiting = postgres
            .query_one("SELECT count(*) FROM pg_locks WHERE NOT granted", &[])
            .await
            .unwrap();
        if waiting.get::<_, i64>(0) > 0 {
            return;
        }
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "waited in vain for the client to wait for a lock"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The client reads a list that someone else has appended to, but not yet committed; then they commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_is_lost_at_read_committed_alone() {
    let world = World::of(Workload::ListAppend, false).await;
    let mut other = world.connect().await;
    let watcher = world.connect().await;
    for (key, level) in (0..).zip(LEVELS) {
        world.configure(|config| config.isolation = level);
        let client = world
            .start_client("postgres", &format!("postgres-{key}"))
            .await;
        let appending = other.transaction().await.unwrap();
        let changed = appending
            .execute("UPDATE lists SET v = '7' WHERE k = $1", &[&(key as i32)])
            .await;
        assert_eq!(changed.unwrap(), 1);
        let operation = client.order(Transaction {
            reads: Reads::Keys(vec![key]),
            ..Transaction::new(9, vec![key])
        });
        until_someone_waits(&watcher).await;
        assert_eq!(client.outcome(operation), None);
        appending.commit().await.unwrap();
        client.until_outcome(operation).await;
        let list = world.everything().await.collections.unwrap()[key as usize]
            .1
            .clone();
        match level {
            Isolation::ReadCommitted => assert_eq!(list, "9"),
            Isolation::RepeatableRead | Isolation::Serializable => {
                assert_eq!(list, "7 9", "{level:?}")
            }
        }
    }
}

/// Two transactions, the client's and another one: each reads the list that the other one writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_skew_is_refused_at_serializable_alone() {
    let world = World::of(Workload::ListAppend, false).await;
    let mut other = world.connect().await;
    for (number, level) in (0..).zip(LEVELS) {
        world.configure(|config| config.isolation = level);
        let client = world
            .start_client("postgres", &format!("postgres-{number}"))
            .await;
        let crossing = other
            .build_transaction()
            .isolation_level(IsolationLevel::Serializable)
            .start()
            .await
            .unwrap();
        crossing
            .query("SELECT v FROM lists WHERE k = 0", &[])
            .await
            .unwrap();
        crossing
            .execute("UPDATE lists SET v = '5' WHERE k = 1", &[])
            .await
            .unwrap();
        client
            .perform(Transaction {
                reads: Reads::Keys(vec![1]),
                ..Transaction::new(9, vec![0])
            })
            .await;
        let crossed = crossing.commit().await;
        match level {
            Isolation::ReadCommitted | Isolation::RepeatableRead => crossed.unwrap(),
            Isolation::Serializable => assert_eq!(
                crossed.unwrap_err().code(),
                Some(&SqlState::T_R_SERIALIZATION_FAILURE)
            ),
        }
    }
}

/// A value that came in after the client had read is not overwritten by a lower one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_maximum_wins_at_every_level() {
    let world = World::start().await;
    let mut other = world.connect().await;
    let watcher = world.connect().await;
    for (key, level) in (0..).zip(LEVELS) {
        world.configure(|config| config.isolation = level);
        let client = world
            .start_client("postgres", &format!("postgres-{key}"))
            .await;
        let raising = other.transaction().await.unwrap();
        let changed = raising
            .execute("UPDATE mww SET v = 100 WHERE k = $1", &[&(key as i32)])
            .await;
        assert_eq!(changed.unwrap(), 1);
        let operation = client.invoke(9, &[key, key + 10]);
        until_someone_waits(&watcher).await;
        raising.commit().await.unwrap();
        client.until_outcome(operation).await;
        let effects = client.perform(Transaction::read_all()).await;
        assert_eq!(effects.reads[key as usize], (key, 100), "{level:?}");
        match client.outcome(operation) {
            Some(squall_protocol::transaction::Outcome::Ok(effects)) => {
                assert_eq!(effects.writes, [(key + 10, 9)], "{level:?}")
            }
            other => panic!("{other:?}"),
        }
    }
}
