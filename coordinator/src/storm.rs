//! The middle of a run: start, storm, heal, probe, final reads. Everything that happens is recorded;
//! nothing is judged here.

use std::time::Duration;

use squall_protocol::history::{Event, Phase};
use squall_protocol::plan::{ClientKind, Plan, PlannedTransaction};
use squall_protocol::transaction::{Effects, INITIAL_VALUE, Rows, Transaction};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::database;
use crate::environment::Environment;
use crate::exit::Failure;
use crate::fleet::{Client, Fleet};
use crate::nemesis::{self, Active};
use crate::progress::Progress;
use crate::recorder::Recorder;

/// How long everyone may take to see the seeded rows at the start.
const FIRST_SYNC_DEADLINE: Duration = Duration::from_secs(60);
/// The pause between two reads of a client that waits for the others' probes.
const PROBE_READ_PAUSE: Duration = Duration::from_millis(100);
/// What the probes are given at least, however much of the recovery deadline is used up.
const PROBE_GRACE: Duration = Duration::from_secs(5);

/// Takes a started fleet through the whole plan. Cancelling `stop` ends the storm before its time;
/// everything after the storm follows as always.
///
/// # Errors
///
/// When the fleet does not even see the seeded rows: then there was no storm.
pub async fn rage(
    plan: &Plan,
    environment: &Environment,
    fleet: &Fleet,
    recorder: &Recorder,
    progress: &Progress,
    active: &Active,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    progress.phase("first sync");
    first_sync(fleet).await?;

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

/// Waits until every client has the seeded rows and nothing else. A service that was there before
/// may still send what the database held before.
async fn first_sync(fleet: &Fleet) -> Result<(), Failure> {
    let sync = async |client: &Client| {
        while !client.link.peek().await.is_some_and(is_seeded) {
            tokio::time::sleep(PROBE_READ_PAUSE).await;
        }
    };
    for client in &fleet.clients {
        tokio::time::timeout(FIRST_SYNC_DEADLINE, sync(client))
            .await
            .map_err(|_| {
                let status = client.link.status();
                let error = status.and_then(|s| s.last_error).unwrap_or_default();
                Failure::Unavailable(format!(
                    "{} did not receive the seeded rows within {FIRST_SYNC_DEADLINE:?}; {}",
                    client.name(),
                    if error.is_empty() {
                        "see its log and the service's in the run folder".to_owned()
                    } else {
                        format!("its last error: {error}")
                    }
                ))
            })?;
    }
    Ok(())
}

fn is_seeded(effects: Effects) -> bool {
    let mut rows = effects.reads.iter();
    rows.all(|&(_, value)| value == INITIAL_VALUE)
        && effects.ledger.is_none_or(|ledger| ledger.reads.is_empty())
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

/// Every client writes once more, and everyone reads until all of that is seen or time is up.
async fn probe(plan: &Plan, fleet: &Fleet, deadline: Instant) {
    let clients = fleet.clients.iter().zip(&plan.probes);
    let probes = clients.map(|(client, probe)| client.link.operate(probe.clone()));
    let probed = futures_util::future::join_all(probes).await;
    let expected: Rows = probed
        .into_iter()
        .flatten()
        .flat_map(|effects| effects.writes)
        .collect();
    let watch = fleet.clients.iter().map(|client| {
        let expected = &expected;
        async move {
            while Instant::now() < deadline {
                let read = client.link.operate(Transaction::read_all()).await;
                if read.is_some_and(|effects| sees(&effects.reads, expected)) {
                    return;
                }
                tokio::time::sleep(PROBE_READ_PAUSE).await;
            }
        }
    });
    futures_util::future::join_all(watch).await;
}

/// Whether rows in key order hold at least the expected values.
fn sees(rows: &Rows, expected: &Rows) -> bool {
    expected.iter().all(|&(key, value)| {
        rows.binary_search_by_key(&key, |row| row.0)
            .is_ok_and(|found| rows[found].1 >= value)
    })
}

/// Everyone's last read, PostgreSQL's rows, and the state of the database files.
async fn final_reads(plan: &Plan, environment: &Environment, fleet: &Fleet, recorder: &Recorder) {
    let reads = fleet.clients.iter().map(|client| async move {
        let read = client.link.read_everything().await;
        let error = read
            .is_none()
            .then(|| "the last read did not succeed".to_owned());
        let (rows, ledger) = match read {
            Some(effects) => (
                Some(effects.reads),
                effects.ledger.map(|ledger| ledger.reads),
            ),
            None => (None, None),
        };
        recorder.record(Event::FinalRead {
            client: client.name().to_owned(),
            rows,
            ledger,
            collections: None,
            payload: None,
            error,
        });
    });
    futures_util::future::join_all(reads).await;

    let read = async {
        let mut database = database::connect(environment.database_url())
            .await
            .map_err(|error| error.to_string())?;
        database::final_read(&mut database, plan.options.workload).await
    };
    let (rows, ledger, error) = match read.await {
        Ok((rows, ledger)) => (Some(rows), ledger, None),
        Err(error) => (None, None, Some(error)),
    };
    recorder.record(Event::FinalReadPostgres {
        rows,
        ledger,
        collections: None,
        payload: None,
        error,
    });

    let checks = fleet
        .clients
        .iter()
        .filter(|client| client.spec.kind != ClientKind::Postgres)
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
