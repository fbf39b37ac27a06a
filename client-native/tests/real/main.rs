//! Client processes with a real PostgreSQL, the real service and real files.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "cargo shows what a failed test said"
)]

mod isolation;
mod workloads;
mod world;

use squall_client_native::{NativeOptions, PostgresOptions, run_local, run_native, run_postgres};
use squall_protocol::contract::{FromClient, ToClient};
use squall_protocol::transaction::Outcome;

use crate::world::{CLIENT_PROCESS, KEYS, World};

/// Not a test: what this binary is when it is started as a client.
#[test]
#[ignore = "this is the client process that the tests start"]
fn client_process() {
    let Ok(order) = std::env::var(CLIENT_PROCESS) else {
        return;
    };
    let [kind, control_url, client, database] = order.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{CLIENT_PROCESS} is {order}");
    };
    let (control_url, client) = (control_url.to_owned(), client.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let end = runtime.block_on(async {
        let native = NativeOptions {
            control_url: control_url.clone(),
            client: client.clone(),
            database: database.into(),
        };
        match kind {
            "native" => run_native(native).await,
            "local" => run_local(native).await,
            _ => {
                let database_url = Some(database.to_owned());
                run_postgres(PostgresOptions {
                    control_url,
                    client,
                    database_url,
                })
                .await
            }
        }
    });
    if let Err(error) = end {
        eprintln!("{error}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_kinds_of_clients_converge() {
    let world = World::start().await;
    let one = world.start_client("native", "native-1").await;
    let two = world.start_client("native", "native-2").await;
    let postgres = world.start_client("postgres", "postgres-1").await;
    one.until_synced().await;
    two.until_synced().await;
    assert_ne!(one.session().0, two.session().0);
    for round in 0..10 {
        let keys = |shift: u32| [round % KEYS, (round * 3 + shift) % KEYS];
        one.invoke(i64::from(round * 3), &keys(1));
        two.invoke(i64::from(round * 3 + 1), &keys(2));
        postgres.invoke(i64::from(round * 3 + 2), &keys(5));
    }
    let own = one.transact(100, &[0, 1]).await;
    assert_eq!(own.len(), KEYS as usize);
    assert_eq!(
        one.read().await[..2],
        [(0, 100), (1, 100)],
        "own writes are seen at once"
    );
    two.transact(101, &[1, 2]).await;
    postgres.transact(102, &[2, 3]).await;
    one.until_acknowledged().await;
    two.until_acknowledged().await;
    let rows = world.rows().await;
    assert_eq!(rows[..4], [(0, 100), (1, 101), (2, 102), (3, 102)]);
    one.until_reads(&rows).await;
    two.until_reads(&rows).await;
    assert_eq!(postgres.read().await, rows);
    one.tell(ToClient::CheckIntegrity);
    let report = one.find("the report", 0, |message| match message {
        FromClient::Integrity { report } => Some(report.clone()),
        _ => None,
    });
    assert_eq!(report.await, ["ok"]);
    for client in [one, two, postgres] {
        client.tell(ToClient::Stop);
        assert!(client.until_exit().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_client_keeps_what_it_committed() {
    let world = World::start().await;
    let mut client = world.start_client("native", "native-1").await;
    client.until_synced().await;
    let (session, new) = client.session();
    assert!(new);
    let mut highest = -1;
    for life in 0..5i64 {
        // In every second life nothing can be uploaded, so that the queue outlives the process.
        world.set_backend_down(life % 2 == 0);
        let operations: Vec<_> = (0..200)
            .map(|n| {
                (
                    1000 * life + n,
                    client.invoke(1000 * life + n, &[(n % 3) as u32]),
                )
            })
            .collect();
        let hundredth = operations[100].1;
        client
            .find("the hundredth outcome", 0, |message| {
                matches!(message, FromClient::Completed { operation, .. } if *operation == hundredth)
                    .then_some(())
            })
            .await;
        let committed = operations
            .iter()
            .filter(|(_, operation)| matches!(client.outcome(*operation), Some(Outcome::Ok(_))))
            .map(|(value, _)| *value)
            .max()
            .unwrap();
        client.kill();
        client = world.start_client("native", "native-1").await;
        assert_eq!(client.session(), (session.clone(), false));
        let rows = client.read().await;
        let read = rows.iter().map(|(_, value)| *value).max().unwrap();
        assert!(
            read >= committed,
            "{committed} was committed, but {read} is there"
        );
        highest = highest.max(read);
    }
    world.set_backend_down(false);
    client.until_acknowledged().await;
    let rows = world.rows().await;
    assert!(rows.iter().any(|(_, value)| *value == highest));
    client.until_reads(&rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_coordinator_that_is_gone_end_by_themselves() {
    let world = World::start().await;
    let native = world.start_client("native", "native-1").await;
    let postgres = world.start_client("postgres", "postgres-1").await;
    world.drop_control();
    assert!(!native.until_exit().await.success());
    assert!(!postgres.until_exit().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_on_postgresql_are_tried_again() {
    let world = World::start().await;
    let one = world.start_client("postgres", "postgres-1").await;
    let two = world.start_client("postgres", "postgres-2").await;
    // In opposite orders of keys no deadlock can come, as rows are written in key order; but at
    // REPEATABLE READ nearly every second transaction meets a row that the other has just written.
    for value in 0..100 {
        let client = if value % 2 == 0 { &one } else { &two };
        client.invoke(value, &[0, 1, 2, 3]);
    }
    one.transact(1000, &[0]).await;
    two.transact(1001, &[1]).await;
    for client in [&one, &two] {
        for operation in 1..=50 {
            let outcome = client.outcome(operation);
            assert!(
                matches!(outcome, Some(Outcome::Ok(_))),
                "{operation}: {outcome:?}"
            );
        }
    }
    let rows = world.rows().await;
    assert_eq!(rows[..5], [(0, 1000), (1, 1001), (2, 99), (3, 99), (4, -1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_on_postgresql_outlives_a_restart_of_it() {
    let mut world = World::start().await;
    let client = world.start_client("postgres", "postgres-1").await;
    client.transact(5, &[0]).await;
    world.postgres.restart().await.unwrap();
    assert_eq!(client.transact(6, &[1]).await[0], (0, 5));
    assert_eq!(world.rows().await[..2], [(0, 5), (1, 6)]);
}
