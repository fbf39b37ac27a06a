//! The nemesis: causes the faults of a plan, each at its time, and ends each after its duration or when the
//! storm is over. What kinds there are is in the files beside this one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_protocol::fault::{Server, Victim};
use squall_protocol::history::Event;
use squall_protocol::plan::{Plan, PlannedFault};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{FaultError, FaultKind, Target, find};
use crate::fleet::Fleet;
use crate::fleet::environment::Environment;
use crate::plan::kinds::manifest;
use crate::recorder::Recorder;
use crate::system::proxy::NetworkCondition;

/// Which faults are on right now, for the progress line.
#[derive(Clone, Default)]
pub struct Active(Arc<Mutex<BTreeSet<(String, String)>>>);

impl Active {
    /// The faults, such as `net.partition native-2`.
    pub fn names(&self) -> Vec<String> {
        let active = self.0.lock().expect("no one panics here");
        active
            .iter()
            .map(|(victim, fault)| format!("{fault} {victim}"))
            .collect()
    }
}

/// Causes faults in a run.
#[derive(Clone, Copy)]
pub struct Nemesis<'r> {
    pub environment: &'r Environment,
    pub fleet: &'r Fleet,
    pub recorder: &'r Recorder,
    pub active: &'r Active,
}

impl Nemesis<'_> {
    /// Causes all faults of the plan and returns when the last of them has been ended. When `over` is
    /// cancelled, faults that are on are ended at once and no new ones begin.
    pub async fn run(&self, plan: &Plan, began: Instant, over: &CancellationToken) {
        let mut by_victim: BTreeMap<Victim, Vec<(usize, &PlannedFault)>> = BTreeMap::new();
        for (number, planned) in plan.faults.iter().enumerate() {
            let faults = by_victim.entry(planned.victim).or_default();
            faults.push((number, planned));
        }
        let victims = by_victim.into_iter().map(|(victim, faults)| async move {
            for (number, planned) in faults {
                let at = began + Duration::from_millis(planned.at_ms);
                let in_time = tokio::select! {
                    () = tokio::time::sleep_until(at) => !over.is_cancelled(),
                    () = over.cancelled() => false,
                };
                let name = plan.victim_name(victim);
                if in_time {
                    let kind = find(planned.fault.kind()).expect("a plan has known faults");
                    self.inject(kind, name, number, planned, over).await;
                } else {
                    self.skip(name, number, planned, "the storm was over".to_owned());
                }
            }
        });
        futures_util::future::join_all(victims).await;
    }

    /// Causes one fault, and ends it after its duration or when `over` is cancelled.
    pub async fn inject(
        &self,
        kind: &dyn FaultKind,
        name: &str,
        number: usize,
        planned: &PlannedFault,
        over: &CancellationToken,
    ) {
        let (victim, fault) = (name.to_owned(), planned.fault.clone());
        let target = Target {
            victim: planned.victim,
            fleet: self.fleet,
            environment: self.environment,
        };
        let is_down = || {
            let clients = target.clients();
            clients.is_ok_and(|clients| clients.iter().all(|client| !client.link.is_ready()))
        };
        // A client that is down has not said what it can do.
        let down = is_down().then(|| "the client was down".to_owned());
        if let Some(reason) = down.or_else(|| kind.obstacle(&target)) {
            self.skip(name, number, planned, reason);
            return;
        }
        let entry = (name.to_owned(), fault.kind().to_owned());
        let active = || self.active.0.lock().expect("no one panics here");
        active().insert(entry.clone());
        self.recorder.record(Event::FaultBegin {
            number,
            victim: victim.clone(),
            fault: fault.clone(),
        });
        let outcome = async {
            kind.begin(&target, &fault).await?;
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(planned.duration_ms)) => {}
                () = over.cancelled() => {}
            }
            kind.end(&target, &fault).await
        };
        if let Err(error) = outcome.await {
            self.recorder.trouble(format!(
                "the fault {} on {name} had to be given up: {error}",
                kind.name()
            ));
            self.recorder.record(Event::FaultGivenUp {
                number,
                victim: victim.clone(),
                fault,
                reason: error.to_string(),
            });
            if let Err(error) = restore(&target).await {
                self.recorder.trouble(error.to_string());
            }
        }
        self.recorder.record(Event::FaultEnd { number, victim });
        active().remove(&entry);
    }

    /// Says that a planned fault is not caused, and why.
    fn skip(&self, name: &str, number: usize, planned: &PlannedFault, reason: String) {
        self.recorder.record(Event::FaultSkipped {
            number,
            victim: name.to_owned(),
            fault: planned.fault.clone(),
            reason,
        });
    }
}

/// After a fault failed: whatever is left of it is ended by force.
async fn restore(target: &Target<'_>) -> Result<(), FaultError> {
    match target.victim {
        Victim::Client(_) | Victim::Browser(_) => {
            let client = target.client()?;
            let environment = client.environment();
            environment.set_network(NetworkCondition::OPEN, NetworkCondition::OPEN);
            // What there is to kill or to wake is for the start to see.
            match manifest(client.spec.kind).is_tab() {
                // A browser that did not do what it was told does nothing else either.
                true => drop(client.kill().await),
                false => drop(client.signal(libc::SIGCONT).await),
            }
            // Other tabs went with their browser.
            for tab in target.fleet.tabs_with(client) {
                tab.start(target.fleet.driver()).await?;
            }
            Ok(())
        }
        Victim::Server(Server::Service) => Ok(target.servers()?.start_service_again().await?),
        Victim::Server(Server::Postgres) => Ok(target.servers()?.postgres().bring_up().await?),
        Victim::Server(Server::Backend) => {
            target.environment.drop_acknowledgements(false);
            Ok(())
        }
    }
}
