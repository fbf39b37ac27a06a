//! The middle of a run: start, storm, heal, probe, final reads. Everything that happens is recorded;
//! nothing is judged here.

use std::collections::BTreeSet;
use std::time::Duration;

use squall_protocol::history::{Event, Phase};
use squall_protocol::plan::{Plan, PlannedTransaction, Workload};
use squall_protocol::transaction::{Effects, Key, Reads, Rows, Transaction};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::canary;
use crate::database;
use crate::environment::Environment;
use crate::exit::Failure;
use crate::first_sync;
use crate::fleet::{Client, Fleet};
use crate::nemesis::{self, Active};
use crate::progress::{self, Progress};
use crate::recorder::Recorder;

/// The pause between two reads of a client that waits for the others' probes.
const PROBE_READ_PAUSE: Duration = Duration::from_millis(100);
/// What the probes are given at least, however much of the recovery deadline is used up.
const PROBE_GRACE: Duration = Duration::from_secs(5);

/// Takes a started fleet through the whole plan. Cancelling `stop` ends the storm before its time;
/// everything after the storm follows as always.
///
/// # Errors
///
/// When the fleet does not even see the first state of the database: then there was no storm.
pub async fn rage(
    plan: &Plan,
    environment: &Environment,
    fleet: &Fleet,
    recorder: &Recorder,
    progress: &Progress,
    active: &Active,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    progress.phase(progress::FIRST_SYNC);
    let synced = first_sync::wait(fleet, environment.first_sync_deadline()).await;
    match (synced, environment.database_url()) {
        (synced, None) => synced?,
        (Ok(()), Some(url)) => canary::prove(fleet, url, &plan.options).await?,
        (Err(late), Some(url)) => {
            let cause = canary::diagnose(fleet, url, &plan.options).await;
            return Err(cause.unwrap_or(late));
        }
    }

    for client in &fleet.clients {
        client.link.begin();
    }
    recorder.record(Event::Phase(Phase::Storm));
    progress.phase("storm");
    storm(plan, fleet, recorder, progress, active, stop).await;

    progress.phase("recovery");
    let deadline = Instant::now() + Duration::from_millis(plan.options.recovery_deadline_ms);
    for client in &fleet.clients {
        if let Err(error) = client.start(fleet.driver()).await {
            recorder.trouble(error.to_string());
        }
    }
    all_recovered(fleet, deadline).await;

    recorder.record(Event::Phase(Phase::Probe));
    progress.phase("probes");
    let deadline = deadline.max(Instant::now() + PROBE_GRACE);
    forget_statuses(fleet);
    probe(plan, fleet, deadline).await;
    // The probes are uploads too: they must be acknowledged before anyone can say what the end is.
    all_recovered(fleet, deadline).await;

    recorder.record(Event::Phase(Phase::FinalRead));
    progress.phase("final reads");
    final_reads(plan, environment, fleet, recorder).await;
    recorder.record(Event::Phase(Phase::Complete));
    Ok(())
}

/// Operations and faults by the plan. Returns when all faults have ended and no operation is open.
async fn storm(
    plan: &Plan,
    fleet: &Fleet,
    recorder: &Recorder,
    progress: &Progress,
    active: &Active,
    stop: &CancellationToken,
) {
    let over = CancellationToken::new();
    let began = Instant::now();
    let mut transactions: Vec<Vec<&PlannedTransaction>> = vec![Vec::new(); fleet.clients.len()];
    for planned in &plan.transactions {
        if let Some(of_client) = transactions.get_mut(planned.client) {
            of_client.push(planned);
        }
    }
    let clients = fleet.clients.iter().zip(transactions);
    let operations =
        clients.map(|(client, transactions)| operate(client, transactions, began, &over));
    let end = async {
        let planned = began + Duration::from_millis(plan.options.duration_ms);
        tokio::select! {
            () = tokio::time::sleep_until(planned) => {}
            () = stop.cancelled() => recorder.record(Event::StormStopped { why: why(recorder) }),
        }
        recorder.record(Event::Phase(Phase::Heal));
        progress.phase("heal");
        forget_statuses(fleet);
        over.cancel();
    };
    tokio::join!(
        futures_util::future::join_all(operations),
        nemesis::rage(plan, fleet, began, &over, recorder, active),
        end,
    );
}

/// Why a storm is stopped before its time.
fn why(recorder: &Recorder) -> String {
    recorder
        .first_violation()
        .map_or_else(String::new, |found| {
            format!("{}: {}", found.property.name(), found.violation.summary)
        })
}

/// One client's transactions, each at its time or as soon as the one before it is done.
async fn operate(
    client: &Client,
    transactions: Vec<&PlannedTransaction>,
    began: Instant,
    over: &CancellationToken,
) {
    for planned in transactions {
        tokio::select! {
            () = tokio::time::sleep_until(began + Duration::from_millis(planned.at_ms)) => {}
            () = over.cancelled() => {}
        }
        if over.is_cancelled() {
            return;
        }
        client.link.operate(planned.transaction.clone()).await;
    }
}

fn forget_statuses(fleet: &Fleet) {
    for client in &fleet.clients {
        client.link.forget_status();
    }
}

/// Waits until every client has recovered or time is up.
async fn all_recovered(fleet: &Fleet, deadline: Instant) {
    let recoveries = fleet.clients.iter().map(|client| recovered(client));
    let _ = tokio::time::timeout_at(deadline, futures_util::future::join_all(recoveries)).await;
}

/// Waits until a client says that it is connected and everything it wrote is acknowledged.
async fn recovered(client: &Client) {
    if !client.spec.kind.syncs() {
        return;
    }
    let settled = client.link.wait(|link| {
        link.status()
            .is_some_and(|status| status.connected && status.acknowledged && status.queue == 0)
    });
    settled.await;
}

/// Every client does its probe, and everyone reads, whatever its role, until all that was written is
/// seen or time is up.
async fn probe(plan: &Plan, fleet: &Fleet, deadline: Instant) {
    let clients = fleet.clients.iter().zip(&plan.probes);
    let probes = clients.map(|(client, probe)| client.link.operate(probe.clone()));
    let probed = futures_util::future::join_all(probes).await;
    let expected: Rows = probed
        .into_iter()
        .flatten()
        .flat_map(|effects| effects.writes)
        .collect();
    let read = Transaction {
        reads: match plan.options.workload {
            Workload::Mww | Workload::Ledger => Reads::All,
            // The lists and sets of a long run are many.
            Workload::ListAppend | Workload::Gset => {
                let keys: BTreeSet<Key> = expected.iter().map(|(key, _)| *key).collect();
                Reads::Keys(keys.into_iter().collect())
            }
        },
        ..Transaction::read_all()
    };
    let watch = fleet.clients.iter().map(|client| {
        let (expected, read) = (&expected, &read);
        async move {
            while Instant::now() < deadline {
                let effects = client.link.operate(read.clone()).await;
                if effects.is_some_and(|effects| sees(&effects, expected)) {
                    return;
                }
                tokio::time::sleep(PROBE_READ_PAUSE).await;
            }
        }
    });
    futures_util::future::join_all(watch).await;
}

/// Whether a read holds what was written: in rows at least that value, in lists and sets that element.
fn sees(read: &Effects, expected: &Rows) -> bool {
    expected
        .iter()
        .all(|&(key, value)| match &read.collections {
            None => read
                .reads
                .binary_search_by_key(&key, |row| row.0)
                .is_ok_and(|found| read.reads[found].1 >= value),
            Some(collections) => collections
                .binary_search_by_key(&key, |collection| collection.0)
                .is_ok_and(|found| {
                    let mut elements = collections[found].1.split(' ');
                    elements.any(|element| element == value.to_string())
                }),
        })
}

/// Everyone's last read, what PostgreSQL holds, and the state of the database files.
async fn final_reads(plan: &Plan, environment: &Environment, fleet: &Fleet, recorder: &Recorder) {
    let reads = fleet.clients.iter().map(|client| async move {
        let read = client.link.read_everything().await;
        let failed = || "the last read did not succeed".to_owned();
        let (rows, effects, error) = parts(read.ok_or_else(failed));
        recorder.record(Event::FinalRead {
            client: client.name().to_owned(),
            rows,
            ledger: effects.ledger.map(|ledger| ledger.reads),
            collections: effects.collections,
            payload: effects.payload,
            error,
        });
    });
    futures_util::future::join_all(reads).await;

    if let Some(url) = environment.database_url() {
        final_read_postgres(plan, url, recorder).await;
    }

    let checks = fleet
        .clients
        .iter()
        .filter(|client| client.spec.kind.has_database())
        .map(|client| async move {
            match client.check_integrity().await {
                Some(report) => recorder.record(Event::Integrity {
                    client: client.name().to_owned(),
                    report,
                }),
                None => recorder.trouble(format!(
                    "{} did not answer the check of its database",
                    client.name()
                )),
            }
        });
    futures_util::future::join_all(checks).await;
}

/// PostgreSQL's last read.
async fn final_read_postgres(plan: &Plan, url: &str, recorder: &Recorder) {
    let read = async {
        let mut database = database::connect(url)
            .await
            .map_err(|error| error.to_string())?;
        database::final_read(&mut database, &plan.options).await
    };
    let (rows, effects, error) = parts(read.await);
    recorder.record(Event::FinalReadPostgres {
        rows,
        ledger: effects.ledger.map(|ledger| ledger.reads),
        collections: effects.collections,
        payload: effects.payload,
        error,
    });
}

/// The rows of a last read, all else of it, and why it did not succeed.
fn parts(read: Result<Effects, String>) -> (Option<Rows>, Effects, Option<String>) {
    match read {
        Ok(mut effects) => (Some(std::mem::take(&mut effects.reads)), effects, None),
        Err(error) => (None, Effects::default(), Some(error)),
    }
}
