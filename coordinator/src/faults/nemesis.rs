//! The nemesis: causes the faults of the plan, each at its time, and ends each after its duration or
//! when the storm is over. All faults act from outside: signals, the browser, the fault proxies. A
//! disconnect is the one thing that a client is asked to do itself, as an application may.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_protocol::contract::ToClient;
use squall_protocol::fault::{Fault, PartitionDirection, PartitionManner, PartitionTarget};
use squall_protocol::history::Event;
use squall_protocol::plan::{Plan, PlannedFault};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fleet::browser::Driver;
use crate::fleet::{BodyError, Client, Fleet};
use crate::run::recorder::Recorder;
use crate::system::proxy::Weather;

/// Which faults are on right now, for the progress line.
#[derive(Clone, Default)]
pub struct Active(Arc<Mutex<BTreeSet<(String, &'static str)>>>);

impl Active {
    /// The faults, such as `net.partition native-2`.
    pub fn names(&self) -> Vec<String> {
        let active = self.0.lock().expect("no one panics here");
        active
            .iter()
            .map(|(client, fault)| format!("{fault} {client}"))
            .collect()
    }
}

/// Causes all faults of the plan and returns when the last of them has been ended. When `over` is
/// cancelled, faults that are on are ended at once and no new ones begin.
pub async fn rage(
    plan: &Plan,
    fleet: &Fleet,
    began: Instant,
    over: &CancellationToken,
    recorder: &Recorder,
    active: &Active,
) {
    let per_client = fleet
        .clients
        .iter()
        .enumerate()
        .map(|(index, client)| async move {
            let faults = plan.faults.iter().enumerate();
            for (number, planned) in faults.filter(|(_, planned)| planned.client == index) {
                let at = began + Duration::from_millis(planned.at_ms);
                let in_time = tokio::select! {
                    () = tokio::time::sleep_until(at) => !over.is_cancelled(),
                    () = over.cancelled() => false,
                };
                if in_time {
                    suffer(
                        client,
                        number,
                        planned,
                        fleet.driver(),
                        over,
                        recorder,
                        active,
                    )
                    .await;
                } else {
                    recorder.record(Event::FaultSkipped {
                        number,
                        client: client.name().to_owned(),
                        fault: planned.fault,
                        reason: "the storm was over".to_owned(),
                    });
                }
            }
        });
    futures_util::future::join_all(per_client).await;
}

/// One fault from its beginning to its end.
async fn suffer(
    client: &Client,
    number: usize,
    planned: &PlannedFault,
    driver: Option<&Driver>,
    over: &CancellationToken,
    recorder: &Recorder,
    active: &Active,
) {
    let fault = planned.fault;
    let name = client.name().to_owned();
    if !client.link.is_ready() {
        recorder.record(Event::FaultSkipped {
            number,
            client: name,
            fault,
            reason: "the client was down".to_owned(),
        });
        return;
    }
    let entry = (name.clone(), fault.kind().name());
    let set = || active.0.lock().expect("no one panics here");
    set().insert(entry.clone());
    recorder.record(Event::FaultBegin {
        number,
        client: name.clone(),
        fault,
    });
    let outcome = async {
        begin(client, fault).await?;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(planned.duration_ms)) => {}
            () = over.cancelled() => {}
        }
        end(client, fault, driver).await
    };
    if let Err(error) = outcome.await {
        recorder.trouble(format!(
            "the fault {} on {name} failed: {error}",
            fault.kind().name()
        ));
        revive(client, driver, recorder).await;
    }
    recorder.record(Event::FaultEnd {
        number,
        client: name,
    });
    set().remove(&entry);
}

/// After a fault failed: whatever is left of it is ended by force.
async fn revive(client: &Client, driver: Option<&Driver>, recorder: &Recorder) {
    client.place().set_weather(Weather::FAIR, Weather::FAIR);
    if client.spec.kind == squall_protocol::plan::ClientKind::Wasm {
        client.kill_browser().await;
    }
    if let Err(error) = client.start(driver).await {
        recorder.trouble(error.to_string());
    }
}

async fn begin(client: &Client, fault: Fault) -> Result<(), BodyError> {
    match fault {
        Fault::TabReload => client.reload_tab().await,
        Fault::TabClose => client.close_tab().await,
        Fault::TabOffline => {
            // The browser's own emulation lets streams that are open go on, so the proxies cut them.
            client.set_tab_offline(true).await?;
            client.place().set_weather(Weather::CUT, Weather::CUT);
            Ok(())
        }
        Fault::ClientKill => client.kill().await,
        Fault::ClientPause => client.signal(libc::SIGSTOP).await,
        Fault::ClientDisconnect => {
            client.link.send(ToClient::Disconnect);
            Ok(())
        }
        Fault::NetPartition {
            target,
            direction,
            manner,
        } => {
            let weather = partitioned(direction, manner);
            let (service, backend) = match target {
                PartitionTarget::Service => (weather, Weather::FAIR),
                PartitionTarget::Backend => (Weather::FAIR, weather),
                PartitionTarget::Both => (weather, weather),
            };
            client.place().set_weather(service, backend);
            Ok(())
        }
    }
}

async fn end(client: &Client, fault: Fault, driver: Option<&Driver>) -> Result<(), BodyError> {
    match fault {
        Fault::TabReload => Ok(()),
        Fault::TabClose | Fault::ClientKill => client.start(driver).await,
        Fault::TabOffline => {
            client.place().set_weather(Weather::FAIR, Weather::FAIR);
            client.set_tab_offline(false).await
        }
        Fault::ClientPause => client.signal(libc::SIGCONT).await,
        Fault::ClientDisconnect => {
            client.link.send(ToClient::Connect);
            Ok(())
        }
        Fault::NetPartition { .. } => {
            client.place().set_weather(Weather::FAIR, Weather::FAIR);
            Ok(())
        }
    }
}

fn partitioned(direction: PartitionDirection, manner: PartitionManner) -> Weather {
    match manner {
        // A reset has no direction: it ends the connection for both sides.
        PartitionManner::Reset => Weather::CUT,
        PartitionManner::Drop => Weather {
            hold_inbound: direction != PartitionDirection::Out,
            hold_outbound: direction != PartitionDirection::In,
            reset: false,
        },
    }
}
