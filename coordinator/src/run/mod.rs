//! A run from its plan to its verdict: the run folder, the start and the end of everything, and what
//! is printed.

pub mod canary;
pub mod first_sync;
pub mod interruption;
pub mod judge;
pub mod progress;
pub mod recovery;
pub mod storm;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use squall_protocol::history::{Event, HISTORY_VERSION, Header, Phase};
use squall_protocol::plan::Plan;
use squall_protocol::verdict::Verdict;
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};
use crate::faults::{self, nemesis::Active};
use crate::fleet::Fleet;
use crate::fleet::environment::Environment;
use crate::output;
use crate::recorder::Recorder;
use crate::run::progress::Progress;
use crate::system::options::{BackendChoice, EnvironmentOptions, ServiceChoice, own_program};

/// A plan, and what is not part of it: where and how it is carried out.
#[derive(Clone)]
pub struct RunOptions {
    pub plan: Plan,
    /// The folder that run folders are made in.
    pub output: PathBuf,
    /// Browsers with windows.
    pub headed: bool,
    pub database_url: Option<String>,
    pub service: ServiceChoice,
    pub backend: BackendChoice,
    /// How long the first sync may go without progress.
    pub first_sync_deadline: Duration,
    /// End the storm at the first violation of safety.
    pub stop_on_violation: bool,
    /// Do not tell what is being started.
    pub quiet: bool,
    /// The command line that repeats the run.
    pub again: String,
}

/// Carries out a plan, judges what happened, and prints it.
///
/// # Errors
///
/// When something that the run needs is missing or does not start.
pub async fn run(options: RunOptions) -> Result<Exit, Failure> {
    let interrupted = interruption::listen();
    let plan = &options.plan;
    output::println(format_args!(
        "seed {}; to repeat this run: {}",
        plan.seed, options.again
    ));
    let folder = make_folder(&options.output, plan)?;
    output::println_path("run folder", &folder);

    let idle = faults_without_victim(plan);
    if !idle.is_empty() {
        output::println(format_args!(
            "nothing in this fleet can suffer {}",
            idle.join(", ")
        ));
    }
    let verdict = carry_out(&options, &folder, &interrupted).await?;
    output::println(format_args!("\n{}", squall_checker::render(&verdict)));
    output::println_path("report", &folder.join("report.html"));
    output::println(format_args!(
        "seed {}; to repeat this run: {}",
        plan.seed, options.again
    ));
    Ok(judge::exit(&verdict))
}

/// Carries out a plan in its run folder, and judges what happened.
///
/// # Errors
///
/// When something that the run needs is missing or does not start.
pub async fn carry_out(
    options: &RunOptions,
    folder: &Path,
    interrupted: &CancellationToken,
) -> Result<Verdict, Failure> {
    let path = folder.join(judge::HISTORY);
    let judged = options.stop_on_violation;
    let recorder = Recorder::create(&path, &header(&options.plan), judged)
        .map_err(|error| Failure::unavailable("cannot write the history", error))?;
    recorder.record(Event::Phase(Phase::Start));
    if let Err(failure) = stand(options, folder, &recorder, interrupted).await {
        // For the files only: without a storm there is nothing to tell but why, and that is told at the end.
        recorder.record(Event::Trouble {
            what: failure.to_string(),
        });
        judge(folder).await?;
        return Err(failure);
    }
    judge(folder).await
}

/// On another thread: who asks for the end once more is heard while a long history is judged.
async fn judge(folder: &Path) -> Result<Verdict, Failure> {
    let folder = folder.to_owned();
    let judging = tokio::task::spawn_blocking(move || judge::judge_folder(&folder));
    judging.await.expect("a panic ends the program")
}

/// Everything between the first process that starts and the last that ends.
async fn stand(
    options: &RunOptions,
    folder: &Path,
    recorder: &Recorder,
    interrupted: &CancellationToken,
) -> Result<(), Failure> {
    let plan = &options.plan;
    let environment_options = EnvironmentOptions {
        plan: plan.options.clone(),
        clients: plan.clients.clone(),
        programs: plan.programs.clone(),
        database_url: options.database_url.clone(),
        service: options.service.clone(),
        backend: options.backend.clone(),
        first_sync_deadline: options.first_sync_deadline,
        folder: folder.to_owned(),
        program: own_program()?,
    };
    let tell = |what: &str| {
        if !options.quiet {
            output::eprintln(format_args!("starting {what}"));
        }
    };
    if plan.clients.iter().any(|c| c.kind.meets_in_postgres()) {
        match (&options.database_url, &options.service) {
            (None, _) => tell("PostgreSQL and the sync service"),
            (Some(_), ServiceChoice::Embedded) => tell("the sync service"),
            (Some(_), ServiceChoice::Remote { .. }) => {}
        }
    }
    let environment = Environment::start(environment_options, recorder, interrupted).await?;
    let Some(environment) = environment else {
        recorder.record(Event::Interrupted);
        return Ok(());
    };
    let environment = Arc::new(environment);
    tell(&format!("{} clients", plan.clients.len()));
    let outcome = inhabit(options, &environment, recorder, interrupted).await;
    if let Some(environment) = Arc::into_inner(environment) {
        environment.stop().await;
    }
    outcome
}

/// Everything between the first client that starts and the last that ends.
async fn inhabit(
    options: &RunOptions,
    environment: &Arc<Environment>,
    recorder: &Recorder,
    interrupted: &CancellationToken,
) -> Result<(), Failure> {
    let plan = &options.plan;
    let headed = options.headed;
    let fleet = Fleet::start(environment, &plan.clients, recorder, headed, interrupted).await?;
    let Some(fleet) = fleet else {
        recorder.record(Event::Interrupted);
        return Ok(());
    };
    let active = Active::default();
    let links = fleet.clients.iter().map(|client| client.link.clone());
    let progress = Progress::start(recorder.clone(), links.collect(), active.clone());
    let stop = recorder.violated().clone();
    let storm = storm::run(
        plan,
        environment,
        &fleet,
        recorder,
        &progress,
        &active,
        &stop,
    );
    let outcome = tokio::select! {
        outcome = storm => outcome,
        what = environment.collapsed() => {
            recorder.trouble(what);
            Ok(())
        }
        () = recorder.broken().cancelled() => Ok(()),
        () = interrupted.cancelled() => {
            output::eprintln("\nending; once more to end at once");
            recorder.record(Event::Interrupted);
            Ok(())
        }
    };
    progress.phase("stop");
    fleet.stop().await;
    drop(progress);
    outcome
}

/// The faults that were asked for and that nothing in the fleet can suffer.
fn faults_without_victim(plan: &Plan) -> Vec<&str> {
    let has_victim = |name: &str| {
        faults::find(name).is_some_and(|kind| !kind.victims().among(&plan.clients).is_empty())
    };
    let asked_for = plan.options.faults.iter().map(String::as_str);
    asked_for.filter(|name| !has_victim(name)).collect()
}

/// The first line of the history of a plan that is carried out now.
pub fn header(plan: &Plan) -> Header {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Header {
        squall_history: HISTORY_VERSION,
        seed: plan.seed,
        workload: plan.options.workload,
        keys: plan.options.keys,
        payload: plan.options.payload,
        isolation: plan.options.isolation,
        clients: plan.clients.clone(),
        recovery_deadline_ms: plan.options.recovery_deadline_ms,
        started_at_ms: now.map_or(0, |since| since.as_millis() as u64),
    }
}

/// Makes `<utc time>-<workload>-<seed>` with the plan in it, and points `latest` at it.
///
/// # Errors
///
/// When it cannot be written.
pub fn make_folder(output: &Path, plan: &Plan) -> Result<PathBuf, Failure> {
    try_make_folder(output, plan)
        .map_err(|error| Failure::unavailable("cannot write the run folder", error))
}

fn try_make_folder(output: &Path, plan: &Plan) -> std::io::Result<PathBuf> {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let time = time.replace(':', "-");
    let base = format!("{time}-{}-{}", plan.options.workload.name(), plan.seed);
    std::fs::create_dir_all(output)?;
    // Two runs of one seed may begin in the same second.
    let mut name = base.clone();
    let mut number = 1;
    while let Err(error) = std::fs::create_dir(output.join(&name)) {
        if error.kind() != std::io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        number += 1;
        name = format!("{base}-{number}");
    }
    let folder = output.join(&name);
    let mut text = serde_json::to_string(plan)?;
    text.push('\n');
    std::fs::write(folder.join("plan.json"), text)?;
    // A link that is renamed into its place is never missing.
    let new = output.join(format!(".latest-{name}"));
    std::os::unix::fs::symlink(&name, &new)?;
    std::fs::rename(&new, output.join("latest"))?;
    std::fs::canonicalize(folder)
}
