//! The live query: when it emits, and what.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use squall_protocol::contract::{FromClient, ToClient};
use squall_protocol::ledger::LedgerSeen;
use squall_protocol::plan::Workload;
use squall_protocol::transaction::{Effects, Outcome, Transaction};
use tokio::time::{Instant, sleep};

use crate::agent::start;
use crate::server::{Device, Running, Server, story};

/// How long the throttle waits.
const THROTTLE: Duration = Duration::from_millis(100);

fn watching(server: &Server, workload: Workload) -> Device {
    let mut device = Device::with(server, workload);
    device.watch = true;
    device
}

type Emissions = Rc<RefCell<Vec<(Instant, Effects)>>>;

fn watch(running: &Running) -> Emissions {
    let emissions = Emissions::default();
    let seen = emissions.clone();
    let client = running.client.clone();
    tokio::task::spawn_local(async move {
        client
            .watch(|effects| seen.borrow_mut().push((Instant::now(), effects)))
            .await
    });
    emissions
}

#[test]
fn changes_of_ones_own_and_of_others_are_emitted() {
    story(async || {
        let server = Server::new();
        let running = watching(&server, Workload::Mww).start();
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
        // What comes back from the service is known already.
        running.until_acknowledged().await;
        sleep(THROTTLE * 5).await;
        assert_eq!(emissions.borrow().len(), 2);
        server.write(2, 9);
        running
            .when("the other's write", || emissions.borrow().len() == 3)
            .await;
        assert_eq!(emissions.borrow()[2].1.reads, server.rows());
        // A listener that has missed something is told everything again.
        running.client.watch_anew();
        running
            .when("the same again", || emissions.borrow().len() == 4)
            .await;
        assert_eq!(emissions.borrow()[3].1, emissions.borrow()[2].1);
        // Reading changes nothing, and neither does a write that finds higher values everywhere.
        running.rows();
        running.write(3, &[1, 2]);
        sleep(THROTTLE * 5).await;
        assert_eq!(emissions.borrow().len(), 4);
        running.close().await;
    });
}

#[test]
fn many_changes_are_few_emissions_and_the_last_is_among_them() {
    story(async || {
        let server = Server::new();
        let running = watching(&server, Workload::Mww).start_synced().await;
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
        let running = watching(&server, Workload::Gset).start();
        let emissions = watch(&running);
        running.client.connect();
        running
            .when("the first emission", || emissions.borrow().len() == 1)
            .await;
        let sets = emissions.borrow()[0].1.collections.clone().unwrap();
        assert!(sets.iter().all(|(_, set)| set.is_empty()), "{sets:?}");
        server.write_row("gset", "2/5", Some(json!({"k": 2, "v": 5})));
        running
            .when("the element", || emissions.borrow().len() == 2)
            .await;
        let sets = emissions.borrow()[1].1.collections.clone().unwrap();
        assert_eq!(sets[2], (2, "5".to_owned()));
        // What is undone before the next look is no news.
        server.write_row("gset", "2/6", Some(json!({"k": 2, "v": 6})));
        sleep(THROTTLE / 4).await;
        server.write_row("gset", "2/6", None);
        sleep(THROTTLE * 5).await;
        assert_eq!(emissions.borrow().len(), 2);
        running.close().await;
    });
}

#[test]
fn an_emission_comes_after_the_answer_that_it_contains_and_tells_each_row_once() {
    story(async || {
        let server = Server::new();
        let mut device = watching(&server, Workload::Ledger);
        device.payload = true;
        let control = start(&server, Ok(&device));
        control.tell(ToClient::Configure(device.config()));
        control
            .find("the first emission", |message| {
                matches!(message, FromClient::Emission(_)).then_some(())
            })
            .await;
        // As the coordinator does: what it is told with an answer is told to be seen the next time.
        let mut seen = LedgerSeen::nothing();
        for operation in 1..=40 {
            control.tell(ToClient::Transaction {
                operation,
                transaction: Transaction::new(operation as i64, vec![0]),
                seen: seen.clone(),
            });
            let effects = control
                .find("the outcome", |message| match message {
                    FromClient::Completed {
                        operation: of,
                        outcome: Outcome::Ok(effects),
                    } if *of == operation => Some(effects.clone()),
                    _ => None,
                })
                .await;
            seen.see(&effects.ledger.unwrap().reads);
            sleep(Duration::from_millis(operation * 13 % 170)).await;
        }
        sleep(THROTTLE * 2).await;
        let mut completed = 0;
        let mut told = 0;
        let mut emissions = 0;
        for message in control.from.borrow().iter() {
            match message {
                FromClient::Completed { operation, .. } => completed = *operation as i64,
                FromClient::Emission(effects) => {
                    emissions += 1;
                    let reads = &effects.ledger.as_ref().unwrap().reads;
                    let highest = reads.first().map_or(0, |of| of.highest);
                    assert_eq!(highest, completed, "all that is answered, and no more");
                    let rows = reads.iter().flat_map(|of| &of.rows);
                    for row in rows {
                        assert!(row.seq > told, "{} is told again", row.seq);
                        told = row.seq;
                    }
                    assert_eq!(told, highest);
                    assert!(effects.payload.is_some());
                }
                _ => {}
            }
        }
        assert_eq!((completed, told), (40, 40));
        assert!(emissions > 5, "{emissions}");
        control.tell(ToClient::Stop);
        control.agent.await.unwrap().unwrap();
    });
}
