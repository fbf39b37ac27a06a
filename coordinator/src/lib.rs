//! The program `squall`: it plans, starts, breaks, heals, records, checks and reports. A library, so
//! that tests can drive its parts; the binary only calls [`main`].
//!
//! What is deliberately not here: the judgement (the crate `checker`) and any fault code inside a
//! client or the service. See `ARCHITECTURE.md` at the root.

pub mod cli;
pub mod commands;
pub mod environment_variable;
pub mod exit;
pub mod faults;
pub mod fleet;
pub mod output;
pub mod plan;
pub mod recorder;
pub mod report;
pub mod run;
pub mod system;

use std::io::ErrorKind;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::cli::Command;
use crate::environment_variable::environment_variable;
use crate::exit::{Exit, Failure};

/// The whole program: reads the command line, does what it says, and answers with the exit code of
/// [`exit::Exit`].
pub fn main() -> ExitCode {
    normalise_temporary_folder();
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let printed = error.print();
            return match printed {
                _ if error.use_stderr() => Exit::Usage.into(),
                Err(error) if error.kind() != ErrorKind::BrokenPipe => unwritten(&error).into(),
                _ => Exit::Ok.into(),
            };
        }
    };
    if let Err(failure) = start_logging(&cli.command) {
        return fail(&failure).into();
    }
    // A panic anywhere is a bug in squall, and the exit code says so.
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default_hook(panic);
        std::process::exit(Exit::Bug as i32);
    }));
    // One thread: everything that takes time is in other processes.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the operating system gives us an event queue");
    let keeps = cli.command.keeps_what_it_finds();
    let outcome =
        runtime.block_on(tokio::task::LocalSet::new().run_until(commands::dispatch(cli.command)));
    let exit = outcome.unwrap_or_else(|failure| fail(&failure));
    match output::failure() {
        Some(error) if keeps => {
            unwritten(&error);
            exit.into()
        }
        Some(error) => unwritten(&error).into(),
        None => exit.into(),
    }
}

/// Makes `TMPDIR` what everything that uses it understands, children included: not set if it is set to
/// nothing, and with an absolute path.
fn normalise_temporary_folder() {
    let Some(set) = std::env::var_os("TMPDIR") else {
        return;
    };
    // SAFETY: this is the first thing that the program does, so there is no other thread.
    match std::path::absolute(set) {
        Ok(folder) => unsafe { std::env::set_var("TMPDIR", folder) },
        Err(_) => unsafe { std::env::remove_var("TMPDIR") },
    }
}

/// Says why a command could not do its work.
fn fail(failure: &Failure) -> Exit {
    output::eprintln(format_args!("squall: {failure}"));
    failure.exit()
}

/// Says that what a command had to say could not be written.
fn unwritten(error: &std::io::Error) -> Exit {
    fail(&Failure::unavailable(
        "cannot write the standard output",
        error,
    ))
}

/// What goes on is told on the standard error, as talkative as `SQUALL_LOG` wants it.
fn start_logging(command: &Command) -> Result<(), Failure> {
    // What clients and the service say goes into the logs of a run.
    let (default_filter, forced_colours) = match command {
        Command::Serve(_) | Command::Client(_) => ("info", false),
        _ => ("warn,deadpool=error", true),
    };
    let filter = match environment_variable("SQUALL_LOG") {
        Some(wanted) => {
            let wanted = wanted.to_string_lossy();
            EnvFilter::try_new(&wanted).map_err(|error| {
                Failure::Usage(format!("SQUALL_LOG={wanted}: {error}; try debug"))
            })?
        }
        None => EnvFilter::new(default_filter),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(output::colours(forced_colours))
        .with_writer(|| output::Stderr)
        .log_internal_errors(false)
        .init();
    Ok(())
}
