//! The live query: when it emits, and what.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use squall_protocol::contract::{Access, FromClient, ToClient};
use squall_protocol::plan::Workload;
use squall_protocol::transaction::{Effects, Transaction};
use squall_workloads::Known;
use tokio::time::{Instant, sleep};

use crate::agent::start;
use crate::server::{Device, Running, Server, story};

/// How long the throttle waits.
const THROTTLE: Duration = Duration::from_millis(100);

type Emissions = Rc<RefCell<Vec<(Instant, Effects)>>>;

fn watch(running: &Running) -> Emissions {
    let emissions = Emissions::default();
    let seen = emissions.clone();
    let client = running.client.clone();
    let compiler = running.compiler.clone();
    let all = Transaction::read_all();
    let calls = compiler.compile(&all, &Known::default());
    client.set_watch(calls, true).unwrap();
    tokio::task::spawn_local(async move {
        client
            .watch(|results| {
                let effects = compiler.interpret(&all, results).unwrap();
                seen.borrow_mut().push((Instant::now(), effects));
            })
            .await
    });
    emissions
}

#[test]
fn changes_of_ones_own_and_of_others_are_emitted() {
    story(async || {
        let server = Server::new();
        let running = Device::with(&server, Workload::Mww).start();
        let emissions = watch(&running);
        sleep(THROTTLE * 5).await;
        assert_eq!(
            emissions.borrow().len(),
            0,
            "nothing is emitted before the first sync"
        );
        running.client.connect();
        running
            .when("the first emission", || emissions.borrow().len() == 1)
            .await;
        assert_eq!(emissions.borrow()[0].1.reads, server.rows());
        running.write(7, &[1]);
        running
            .when("the own write", || emissions.borrow().len() == 2)
            .await;
        assert_eq!(emissions.borrow()[1].1.reads[1], (1, 7));
        assert!(emissions.borrow()[1].1.writes.is_empty());
        running.until_acknowledged().await;
        sleep(THROTTLE * 5).await;
        let before = emissions.borrow().len();
        server.write(2, 9);
        running
            .when("the other's write", || emissions.borrow().len() > before)
            .await;
        assert_eq!(emissions.borrow()[before].1.reads, server.rows());
        sleep(THROTTLE * 5).await;
        let before = emissions.borrow().len();
        // Another live query in the place of this one emits when something changes, or at once.
        let calls = || {
            let all = Transaction::read_all();
            running.compiler.compile(&all, &Known::default())
        };
        running.client.set_watch(calls(), false).unwrap();
        sleep(THROTTLE * 5).await;
        assert_eq!(emissions.borrow().len(), before);
        running.client.set_watch(calls(), true).unwrap();
        running
            .when("the same again", || emissions.borrow().len() == before + 1)
            .await;
        assert_eq!(emissions.borrow()[before].1.reads, server.rows());
        // Reading changes nothing, and neither does a write that finds higher values everywhere.
        running.rows();
        running.write(3, &[1, 2]);
        sleep(THROTTLE * 5).await;
        assert_eq!(emissions.borrow().len(), before + 1);
        running.close().await;
    });
}

#[test]
fn many_changes_are_few_emissions_and_the_last_is_among_them() {
    story(async || {
        let server = Server::new();
        let running = Device::with(&server, Workload::Mww).start_synced().await;
        let emissions = watch(&running);
        let began = Instant::now();
        for value in 0..500 {
            running.write(value, &[(value % 5) as u32]);
            sleep(Duration::from_millis(3)).await;
        }
        let lasted = began.elapsed();
        let rows = running.rows();
        sleep(THROTTLE * 2).await;
        let emissions = emissions.take();
        for pair in emissions.windows(2) {
            assert!(
                pair[1].0 - pair[0].0 >= THROTTLE,
                "{:?}",
                pair[1].0 - pair[0].0
            );
        }
        // As often as it may, too.
        let most = lasted.as_millis() / THROTTLE.as_millis();
        assert!(
            emissions.len() as u128 >= most - 1,
            "{} of {most}",
            emissions.len()
        );
        assert_eq!(emissions.last().unwrap().1.reads, rows);
        running.close().await;
    });
}

#[test]
fn an_empty_set_is_emitted_after_the_first_sync() {
    story(async || {
        let server = Server::new();
        let running = Device::with(&server, Workload::Gset).start();
        let emissions = watch(&running);
        running.client.connect();
        running
            .when("the first emission", || emissions.borrow().len() == 1)
            .await;
        let sets = emissions.borrow()[0].1.collections.clone().unwrap();
        assert!(sets.iter().all(|(_, set)| set.is_empty()), "{sets:?}");
        server.write_row("gset", "2/5", Some(json!({"k": 2, "v": 5})));
        let last = || {
            let emissions = emissions.borrow();
            emissions.last().unwrap().1.collections.clone().unwrap()
        };
        running
            .when("the element", || last()[2] == (2, "5".to_owned()))
            .await;
        running.close().await;
    });
}

#[test]
fn an_emission_comes_after_the_answer_that_it_contains() {
    story(async || {
        let server = Server::new();
        let device = Device::with(&server, Workload::Ledger);
        let compiler = device.compiler();
        let all = Transaction::read_all();
        let control = start(&server, Ok(&device));
        control.tell(ToClient::Configure(Box::new(device.config())));
        control.tell(ToClient::Watch {
            calls: compiler.compile(&all, &Known::default()),
            at_once: true,
        });
        control
            .find("the first emission", |message| {
                matches!(message, FromClient::Emission { .. }).then_some(())
            })
            .await;
        for operation in 1..=40 {
            let transaction = Transaction::new(operation as i64, vec![0]);
            control.tell(ToClient::Execute {
                operation,
                access: Access::Write,
                calls: compiler.compile(&transaction, &Known::default()),
            });
            control.execution(operation).await;
            sleep(Duration::from_millis(operation * 13 % 170)).await;
        }
        sleep(THROTTLE * 2).await;
        let mut completed = 0;
        let mut emissions = 0;
        for message in control.from.borrow().iter() {
            match message {
                FromClient::Completed { operation, .. } => completed = *operation as i64,
                FromClient::Emission { results } => {
                    emissions += 1;
                    let effects = compiler.interpret(&all, results.clone()).unwrap();
                    let reads = effects.ledger.unwrap().reads;
                    let highest = reads.first().map_or(0, |of| of.highest);
                    assert_eq!(highest, completed, "all that is answered, and no more");
                }
                _ => {}
            }
        }
        assert_eq!(completed, 40);
        assert!(emissions > 5, "{emissions}");
        control.tell(ToClient::Stop);
        control.agent.await.unwrap().unwrap();
    });
}
