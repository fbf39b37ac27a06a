//! Every workload from end to end: client processes, uploads, PostgreSQL, the service, and back.

use squall_protocol::plan::Workload;
use squall_protocol::transaction::{Effects, Outcome, Reads, Transaction, TransactionMode};
use squall_workloads::payload;

use crate::world::{KEYS, World};

/// Lets clients of three kinds do as many transactions each, then compares what everyone holds.
async fn converge(workload: Workload, payload: bool, transactions: i64) -> World {
    let world = World::of(workload, payload).await;
    let one = world.start_client("native", "native-1").await;
    let two = world.start_client("native", "native-2").await;
    let postgres = world.start_client("postgres", "postgres-1").await;
    one.until_synced().await;
    two.until_synced().await;
    let clients = [&one, &two, &postgres];
    for round in 0..transactions {
        for (number, client) in (0..).zip(clients) {
            let value = 3 * round + number;
            let key = |shift: i64| ((value * 7 + shift) % i64::from(KEYS)) as u32;
            client.order(Transaction {
                reads: match round % 3 {
                    0 => Reads::All,
                    1 => Reads::Keys(vec![key(4), key(1)]),
                    _ => Reads::Nothing,
                },
                ..Transaction::new(value, vec![key(0), key(3)])
            });
        }
    }
    for client in clients {
        for operation in 1..=transactions as u64 {
            let outcome = client.until_outcome(operation).await;
            assert!(
                matches!(outcome, Outcome::Ok(_)),
                "{operation}: {outcome:?}"
            );
        }
    }
    one.until_acknowledged().await;
    two.until_acknowledged().await;
    let everything = world.everything().await;
    for client in clients {
        client.until_reads_everything(&everything).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_converge() {
    let world = converge(Workload::ListAppend, false, 20).await;
    let lists = world.everything().await.collections.unwrap();
    assert_eq!(lists.len(), KEYS as usize);
    assert!(lists.iter().all(|(_, list)| !list.is_empty()), "{lists:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_converge_to_everything_that_was_added() {
    let world = converge(Workload::Gset, false, 20).await;
    let sets = world.everything().await.collections.unwrap();
    let elements: usize = sets.iter().map(|(_, set)| set.split(' ').count()).sum();
    assert_eq!(elements, 3 * 20 * 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_and_its_payload_converge() {
    const EACH: i64 = 48;
    let world = converge(Workload::Ledger, true, EACH).await;
    let everything = world.everything().await;
    let mut rows = Vec::new();
    for (client, of) in ["native-1", "native-2", "postgres-1"]
        .into_iter()
        .zip(everything.ledger.unwrap().reads)
    {
        assert_eq!((of.client.as_str(), of.count), (client, EACH));
        // In the order of insertion.
        assert!(of.rows.iter().map(|row| row.seq).eq(1..=EACH), "{of:?}");
        rows.extend(payload::rows_after(client, EACH));
    }
    assert_eq!(everything.payload, Some(rows));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_query_emits_what_others_write() {
    let world = World::of(Workload::Gset, false).await;
    let native = world.start_client("native", "native-1").await;
    let postgres = world.start_client("postgres", "postgres-1").await;
    postgres.perform(Transaction::new(5, vec![2])).await;
    let has_the_element = |effects: Effects| effects.collections.unwrap()[2].1 == "5";
    native
        .watch("an emission with the element", has_the_element)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_client_works_alone() {
    let world = World::of(Workload::ListAppend, false).await;
    let local = world.start_client("local", "local-1").await;
    local.perform(Transaction::new(5, vec![0])).await;
    local.kill();
    let local = world.start_client("local", "local-1").await;
    assert!(!local.session().1);
    let read = local.perform(Transaction::read_all()).await;
    assert_eq!(read.collections.unwrap()[0], (0, "5".to_owned()));
    let lists = world.everything().await.collections.unwrap();
    assert_eq!(lists[0].1, "", "nobody hears of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_transaction_can_not_write() {
    let world = World::of(Workload::Ledger, true).await;
    let native = world.start_client("native", "native-1").await;
    let postgres = world.start_client("postgres", "postgres-1").await;
    native.until_synced().await;
    for client in [&native, &postgres] {
        let through = |transaction| Transaction {
            through: TransactionMode::ReadTransaction,
            ..transaction
        };
        let read = client.perform(through(Transaction::read_all())).await;
        assert_eq!(read.reads.len(), KEYS as usize);
        let operation = client.order(through(Transaction::new(3, vec![1])));
        let outcome = client.until_outcome(operation).await;
        assert!(
            matches!(&outcome, Outcome::Fail(why) if why.contains("read")),
            "{outcome:?}"
        );
        assert_eq!(client.perform(Transaction::read_all()).await, read);
    }
}
