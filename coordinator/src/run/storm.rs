//! The middle of a run: start, storm, heal, probe, final reads. Everything that happens is recorded;
//! nothing is judged here.

use std::time::Duration;

use squall_protocol::history::{Event, Phase};
use squall_protocol::plan::{Plan, PlannedTransaction};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::faults::nemesis::{Active, Nemesis};
use crate::fleet::environment::Environment;
use crate::fleet::{Client, Fleet};
use crate::recorder::Recorder;
use crate::run::canary;
use crate::run::first_sync;
use crate::run::progress::{self, Progress};
use crate::run::recovery::Recovery;
use crate::system::database;

/// Takes a started fleet through the whole plan. Cancelling `stop` ends the storm before its time;
/// everything after the storm follows as always.
///
/// # Errors
///
/// When the fleet does not even see the first state of the database: then there was no storm.
pub async fn run(
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
        // Of a checkpoint that is still on its way nobody can say what it lacks.
        (Err(late), Some(url)) if fleet.clients.iter().all(|c| first_sync::has_synced(c)) => {
            let cause = canary::diagnose(fleet, url, &plan.options).await;
            return Err(cause.unwrap_or(late));
        }
        (Err(late), Some(_)) => return Err(late),
    }

    for client in &fleet.clients {
        client.link.begin();
    }
    recorder.record(Event::Phase(Phase::Storm));
    progress.phase("storm");
    storm(plan, environment, fleet, recorder, progress, active, stop).await;

    progress.phase("recovery");
    for client in &fleet.clients {
        if let Err(error) = client.start(fleet.driver()).await {
            recorder.trouble(error.to_string());
        }
    }
    let recovery = Recovery {
        plan,
        environment,
        fleet,
        recorder,
    };
    recovery.settle().await;

    recorder.record(Event::Phase(Phase::Probe));
    progress.phase("probes");
    recovery.probe().await;

    recorder.record(Event::Phase(Phase::FinalRead));
    progress.phase("final reads");
    final_reads(plan, environment, fleet, recorder).await;
    recorder.record(Event::Phase(Phase::Complete));
    Ok(())
}

/// Operations and faults by the plan. Returns when all faults have ended and no operation is open.
async fn storm(
    plan: &Plan,
    environment: &Environment,
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
        fleet.forget_statuses();
        over.cancel();
    };
    let nemesis = Nemesis {
        environment,
        fleet,
        recorder,
        active,
    };
    tokio::join!(
        futures_util::future::join_all(operations),
        nemesis.run(plan, began, &over),
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

/// Everyone's last read, what PostgreSQL holds, and the state of the database files.
async fn final_reads(plan: &Plan, environment: &Environment, fleet: &Fleet, recorder: &Recorder) {
    let reads = fleet
        .clients
        .iter()
        .map(|client| client.link.read_everything());
    futures_util::future::join_all(reads).await;

    if let Some(url) = environment.database_url() {
        final_read_postgres(plan, url, recorder).await;
    }

    let checks = fleet
        .clients
        .iter()
        .filter(|client| client.link.capabilities().checks_integrity)
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
    let (effects, error) = match read.await {
        Ok(effects) => (Some(effects), None),
        Err(error) => (None, Some(error)),
    };
    recorder.record(Event::FinalReadPostgres { effects, error });
}
