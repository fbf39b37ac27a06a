//! `squall conform`: whether a client program does what the client contract says, without a run around it.
//!
//! Every check has a client of its own: a new process with a new database, to which it speaks as the
//! coordinator does. A client that syncs, or that works on PostgreSQL, gets the real thing: a throw-away
//! PostgreSQL, the embedded sync service and the backend.

pub mod checks;
mod problem;
mod report;
mod statements;
mod subject;
mod surroundings;

use std::time::Duration;

use squall_protocol::contract::Hello;

use crate::cli::ConformArgs;
use crate::cli::values::one_of;
use crate::exit::{Exit, Failure};
use crate::fleet::program::Program;
use crate::output;
use crate::run::interruption;
use checks::{Check, Outcome};
use problem::Problem;
use report::Report;
use surroundings::{Launch, Surroundings};

/// How long somebody's client may take to say hello.
const INTRODUCTION_DEADLINE: Duration = Duration::from_secs(60);

/// What a client program says of itself: starts it, hears its hello, and stops it.
///
/// # Errors
///
/// When it cannot be started, or does not do this.
pub async fn introduction(program: Program) -> Result<Hello, Failure> {
    let again = program.name().display().to_string();
    let launch = Launch::Process(program);
    let surroundings = Surroundings::start(launch, INTRODUCTION_DEADLINE).await?;
    let hello = checks::hello(&surroundings).await;
    surroundings.stop().await;
    hello.map_err(|problem| match problem {
        Problem::Unavailable(failure) => failure,
        Problem::Wrong(finding) => Failure::Unavailable(format!(
            "expected was {}; what came is {}; `squall conform -- {again} …` tells more",
            finding.expected, finding.came
        )),
    })
}

/// Does all checks, tells what came of each, and says whether the client conforms.
///
/// # Errors
///
/// When something that the checks need is missing or does not start, such as the command itself.
pub async fn run(args: ConformArgs) -> Result<Exit, Failure> {
    let checks = chosen(&args.only)?;
    let interrupted = interruption::listen();
    let launch = match args.browser {
        Some(kind) => Launch::Tab(kind),
        None => Launch::Process(Program::new(args.command)),
    };
    let mut surroundings = Surroundings::start(launch, args.deadline).await?;
    if let Some(file) = &args.messages {
        surroundings.write_messages(file)?;
    }
    let mut report = Report::new(args.json);
    let doing = check(&mut surroundings, &checks, &mut report);
    let done = interrupted.run_until_cancelled(doing).await;
    surroundings.stop().await;
    match done {
        Some(done) => done?,
        None => {
            return Err(Failure::Unavailable(
                "it was interrupted before all checks were done".to_owned(),
            ));
        }
    }
    Ok(report.end())
}

/// The checks of these names, in the order in which they are done; all of them, if none is named.
fn chosen(only: &[String]) -> Result<Vec<&'static Check>, Failure> {
    let named: Vec<_> = checks::ALL
        .iter()
        .map(|check| (check.name, check))
        .collect();
    for name in only {
        one_of("check", name, &named).map_err(|why| Failure::Usage(format!("--only: {why}")))?;
    }
    let mut all: Vec<&Check> = checks::ALL.iter().collect();
    all.retain(|check| only.is_empty() || only.iter().any(|name| name == check.name));
    Ok(all)
}

async fn check(
    surroundings: &mut Surroundings,
    checks: &[&'static Check],
    report: &mut Report,
) -> Result<(), Failure> {
    // Everything else depends on what the client says of itself.
    let hello = match checks::hello(surroundings).await {
        Ok(hello) => hello,
        Err(Problem::Unavailable(failure)) => return Err(failure),
        Err(Problem::Wrong(finding)) => {
            report.add(&checks::HELLO, Outcome::Failed(finding));
            return Ok(());
        }
    };
    report.introduce(&hello);
    report.add(&checks::HELLO, Outcome::Passed);
    surroundings.introduce(hello).await?;
    for check in checks {
        let outcome = match (check.skipped)(surroundings) {
            Some(why) => Outcome::Skipped(why),
            None => match (check.run)(surroundings).await {
                Ok(()) => Outcome::Passed,
                Err(Problem::Wrong(finding)) => Outcome::Failed(finding),
                Err(Problem::Unavailable(failure)) => return Err(failure),
            },
        };
        report.add(check, outcome);
    }
    output::eprintln("");
    Ok(())
}
