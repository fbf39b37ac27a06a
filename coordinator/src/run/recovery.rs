//! After the storm: everyone is waited for, as long as they make progress, and proves with a probe that it
//! is well. What was in time is for the checker to say; the waits here are a little longer than what it
//! calls late, so that whatever is late is in the history.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_protocol::contract::ClientStatus;
use squall_protocol::plan::Plan;
use squall_protocol::transaction::{Key, Reads, Rows, Transaction};
use squall_workloads::{Workload, workload};
use tokio::time::Instant;

use crate::fleet::environment::Environment;
use crate::fleet::{Client, Fleet};
use crate::output;
use crate::recorder::Recorder;

/// The pause between two reads of a client that waits for the others' probes: at first, and as it waits on.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a client that does not report is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How much longer than the deadline a client is waited for.
const MARGIN: Duration = Duration::from_secs(2);
/// Progress is waited for at most so many times as long as the deadline: what is that slow is told.
const MOST_DEADLINES: u32 = 20;

/// Waits for all clients of a run, once its faults have ended.
pub struct Recovery<'r> {
    pub plan: &'r Plan,
    pub environment: &'r Environment,
    pub fleet: &'r Fleet,
    pub recorder: &'r Recorder,
}

impl Recovery<'_> {
    fn workload(&self) -> &'static dyn Workload {
        let options = &self.plan.options;
        workload(options.workload, options.payload)
    }

    fn deadline(&self) -> Duration {
        Duration::from_millis(self.plan.options.recovery_deadline_ms)
    }

    /// Waits until every client is connected and everything it wrote is acknowledged, or makes no progress,
    /// or time is up.
    pub async fn settle(&self) {
        let until = Instant::now() + self.deadline() * MOST_DEADLINES;
        let clients = self.fleet.clients.iter();
        let settled = clients.map(|client| settle(client, self.deadline(), until));
        let settled = futures_util::future::join_all(settled).await;
        if settled.contains(&false)
            && let Some(what) = self.environment.service_is_silent().await
        {
            self.recorder.trouble(format!(
                "the sync service no longer answers ({what}), so that a client did not recover says nothing about it"
            ));
        }
    }

    /// Every client does its probe, and everyone reads, whatever its role, until it sees the probes of all
    /// whose queue is empty.
    pub async fn probe(&self) {
        let clients = self.fleet.clients.iter().zip(&self.plan.probes);
        let probes = clients.map(|(client, probe)| client.link.operate(probe.clone()));
        let probed = futures_util::future::join_all(probes).await;
        // What is reported from now on knows of the probe.
        self.fleet.forget_statuses();
        let written: Vec<Rows> = probed
            .into_iter()
            .map(|effects| effects.map_or_else(Rows::new, |effects| effects.writes))
            .collect();
        let arrivals = Mutex::new(Arrivals {
            written: &written,
            arrived: vec![false; written.len()],
            since: Instant::now(),
            complete: false,
        });
        let read = self.read(written.iter().flatten().map(|(key, _)| *key).collect());
        let watch = self.fleet.clients.iter();
        let watch = watch.map(|client| self.watch(client, &read, &arrivals));
        // The probes are uploads too: they must be acknowledged before anyone can say what the end is.
        let upload = async {
            self.settle().await;
            arrivals.lock().expect("no one panics here").complete = true;
        };
        tokio::join!(futures_util::future::join_all(watch), upload);
    }

    /// A read of everything that the probes wrote.
    fn read(&self, keys: BTreeSet<Key>) -> Transaction {
        Transaction {
            reads: match self.workload().shape().reads_all {
                true => Reads::All,
                // The lists and sets of a long run are many.
                false => Reads::Keys(keys.into_iter().collect()),
            },
            ..Transaction::read_all()
        }
    }

    /// Reads until the client sees all probes, or all that can be seen have been there for the deadline.
    async fn watch(&self, client: &Client, read: &Transaction, arrivals: &Mutex<Arrivals<'_>>) {
        let mut pause = FIRST_PAUSE;
        let mut seen_since = Instant::now();
        loop {
            let effects = client.link.operate(read.clone()).await;
            let (expected, since, is_all, complete) = {
                let mut arrivals = arrivals.lock().expect("no one panics here");
                arrivals.update(&self.fleet.clients);
                (
                    arrivals.expected(),
                    arrivals.since,
                    arrivals.is_all(),
                    arrivals.complete,
                )
            };
            let sees = effects.is_some_and(|effects| self.workload().shows(&effects, &expected));
            if sees && (is_all || complete) {
                return;
            }
            if since > seen_since {
                (seen_since, pause) = (since, FIRST_PAUSE);
            }
            if complete && since.elapsed() > self.deadline() + MARGIN {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 5 / 4).min(LONGEST_PAUSE);
        }
    }
}

/// Which probes can be seen by others: those that have left their client's queue.
struct Arrivals<'w> {
    /// By client.
    written: &'w [Rows],
    arrived: Vec<bool>,
    /// Since when no other has arrived.
    since: Instant,
    /// Whether nothing more is waited for.
    complete: bool,
}

impl Arrivals<'_> {
    fn update(&mut self, clients: &[Arc<Client>]) {
        for (arrived, client) in self.arrived.iter_mut().zip(clients) {
            let is_empty = |status: ClientStatus| status.queue == 0;
            let arrives = !client.spec.kind.syncs() || client.link.status().is_some_and(is_empty);
            if arrives && !*arrived {
                *arrived = true;
                self.since = Instant::now();
            }
        }
    }

    fn is_all(&self) -> bool {
        self.arrived.iter().all(|arrived| *arrived)
    }

    fn expected(&self) -> Rows {
        let arrived = self.written.iter().zip(&self.arrived);
        let arrived = arrived.filter(|(_, arrived)| **arrived);
        arrived.flat_map(|(rows, _)| rows).copied().collect()
    }
}

/// Waits until a client says that it is connected and everything it wrote is acknowledged. False if it
/// makes no progress for that long, or is not done at last.
async fn settle(client: &Client, deadline: Duration, until: Instant) -> bool {
    if !client.spec.kind.syncs() {
        return true;
    }
    let began = Instant::now();
    let mut patience = Patience::new(began);
    let mut reported = false;
    loop {
        let status = client.link.status();
        let now = Instant::now();
        if let Some(status) = &status {
            if status.connected && status.acknowledged && status.queue == 0 {
                return true;
            }
            patience.see(status, now);
        }
        let left = status.map_or(0, |status| status.queue);
        if now > patience.since + deadline + MARGIN || now > until {
            output::eprintln(format_args!(
                "{} is given up: no progress for {:.0} s, {left} rows in its upload queue",
                client.name(),
                (now - patience.since).as_secs_f64()
            ));
            return false;
        }
        if now > began + deadline && !reported {
            reported = true;
            output::eprintln(format_args!(
                "{} has not recovered after {deadline:?} but makes progress, so it is waited for: {left} rows in its upload queue",
                client.name()
            ));
        }
        let changed = client.link.wait(|link| {
            let settled = |status: ClientStatus| status.connected && status.acknowledged;
            link.status().is_some_and(settled)
        });
        let _ = tokio::time::timeout(LOOK, changed).await;
    }
}

/// When a client made its last progress: fewer rows in its queue than ever, or more downloaded.
struct Patience {
    since: Instant,
    lowest: u64,
    downloaded: u64,
}

impl Patience {
    fn new(now: Instant) -> Self {
        Patience {
            since: now,
            lowest: u64::MAX,
            downloaded: 0,
        }
    }

    fn see(&mut self, status: &ClientStatus, now: Instant) {
        let downloaded = status.download.map_or(0, |download| download.downloaded);
        if status.queue < self.lowest || downloaded > self.downloaded {
            self.since = now;
        }
        self.lowest = self.lowest.min(status.queue);
        self.downloaded = self.downloaded.max(downloaded);
    }
}

#[cfg(test)]
mod tests {
    use squall_protocol::contract::DownloadProgress;

    use super::*;

    #[test]
    fn only_more_than_ever_is_progress() {
        let began = Instant::now();
        let at = |second| began + Duration::from_secs(second);
        let status = |queue, downloaded| ClientStatus {
            queue,
            download: Some(DownloadProgress {
                downloaded,
                total: 1000,
            }),
            ..ClientStatus::default()
        };
        let mut patience = Patience::new(began);
        for (second, status, since) in [
            (1, status(9, 0), 1),
            (2, status(9, 0), 1),
            (3, status(8, 0), 3),
            // A transaction that was rolled back, and a stream that begins again.
            (4, status(9, 10), 4),
            (5, status(8, 0), 4),
            (6, status(8, 10), 4),
            (7, status(8, 11), 7),
        ] {
            patience.see(&status, at(second));
            assert_eq!(patience.since, at(since), "at {second}");
        }
    }
}
