//! The program `squall`: it plans, starts, breaks, heals, records, checks and reports. A library, so
//! that tests can drive its parts; the binary only calls [`main`].
//!
//! What is deliberately not here: the judgement (the crate `checker`) and any fault code inside a
//! client or the service. See `ARCHITECTURE.md` at the root.

pub mod backend;
pub mod bench;
pub mod browser;
pub mod canary;
pub mod check;
pub mod cli;
pub mod database;
pub mod demo;
pub mod doctor;
pub mod environment;
pub mod exit;
pub mod export;
pub mod first_sync;
pub mod fleet;
pub mod greeting;
pub mod interruption;
pub mod ladder;
pub mod leftovers;
pub mod link;
pub mod lock;
pub mod matrix;
pub mod models;
pub mod nemesis;
pub mod output;
pub mod pages;
pub mod plan;
pub mod port;
pub mod preflight;
pub mod process;
pub mod progress;
pub mod proxy;
pub mod recorder;
pub mod recovery;
pub mod report;
pub mod run;
mod same_origin;
pub mod servers;
pub mod storm;
pub mod token;

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::cli::{BenchCommand, ClientArgs, Command, ProcessKind, RunArgs, ServeArgs};
use crate::exit::{Exit, Failure};
use crate::run::RunOptions;

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
    let outcome = runtime.block_on(tokio::task::LocalSet::new().run_until(dispatch(cli.command)));
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

/// An environment variable; one that is set to nothing counts as not set.
pub fn environment_variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

async fn dispatch(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => run::run(run_options(&args)?).await,
        Command::Check(args) => check::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Bench(BenchCommand::Checker(args)) => bench::checker(&args),
        Command::Bench(BenchCommand::Generate(args)) => bench::generate(&args),
        Command::Matrix(args) => matrix::run(args).await,
        Command::Ladder(args) => ladder::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Doctor => Ok(if doctor::run().await {
            Exit::Ok
        } else {
            Exit::Unavailable
        }),
        Command::Serve(args) => serve(args).await,
        Command::Client(args) => client(args).await,
    }
}

/// What `squall run` does with those arguments.
pub fn run_options(args: &RunArgs) -> Result<RunOptions, Failure> {
    let (plan, again) = match &args.plan {
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                Failure::Usage(format!("cannot read the plan {}: {error}", file.display()))
            })?;
            let plan = plan::read(&text).map_err(|error| {
                Failure::MalformedInput(format!("the plan {}: {error}", file.display()))
            })?;
            (plan, again(None))
        }
        None => {
            let seed = args
                .seed
                .unwrap_or_else(|| rand::random_range(1..1_000_000));
            let plan = plan::make(seed, args.plan_options()?, &args.fleet.0);
            (plan, again(args.seed.is_none().then_some(seed)))
        }
    };
    Ok(RunOptions {
        plan,
        output: args.output.clone(),
        headed: args.headed,
        database_url: args.system.database_url.clone(),
        service: args.system.service()?,
        backend: args.system.backend()?,
        first_sync_deadline: args.system.first_sync_deadline,
        stop_on_violation: args.stop_on_violation,
        quiet: false,
        again,
    })
}

/// The command line that does the same again; with the seed, if that was not on it.
fn again(seed: Option<u64>) -> String {
    command_line(std::env::args_os().skip(1), seed)
}

/// The words as one types them. Secrets among them are not shown: in their place is the variable of
/// the environment that holds them for those who follow the documentation.
fn command_line(arguments: impl Iterator<Item = OsString>, seed: Option<u64>) -> String {
    let mut words = vec!["./squall".to_owned()];
    let mut option = String::new();
    for word in arguments {
        let Some(word) = word.to_str() else {
            words.push(quoted(&word));
            option.clear();
            continue;
        };
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), value),
            _ => (std::mem::take(&mut option), word),
        };
        let hidden = match name.as_str() {
            "--service-key" => Some("SQUALL_SERVICE_KEY"),
            "--database-url" if database::has_password(value) => Some("SQUALL_DATABASE_URL"),
            _ => None,
        };
        words.push(match hidden {
            Some(variable) if word.starts_with("--") => format!("{name}=\"${variable}\""),
            Some(variable) => format!("\"${variable}\""),
            None => quoted(OsStr::new(word)),
        });
        option = word.to_owned();
    }
    if let Some(seed) = seed {
        words.push(format!("--seed {seed}"));
    }
    words.join(" ")
}

/// A word as a shell takes it; what is no UTF-8 as bash, zsh and ksh do.
fn quoted(word: &OsStr) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,/:".contains(c);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Some(text) => format!("'{}'", text.replace('\'', r"'\''")),
        None => {
            let bytes = word.as_bytes().iter();
            let escaped = bytes.map(|&byte| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                byte => format!("\\x{byte:02x}"),
            });
            format!("$'{}'", escaped.collect::<String>())
        }
    }
}

async fn serve(args: ServeArgs) -> Result<Exit, Failure> {
    let config = squall_service::Config {
        listen: args.listen,
        tables: args.tables,
        publication: args.publication,
        slot: args.slot,
        ..squall_service::Config::new(
            args.database_url,
            args.storage,
            args.key,
            args.kid,
            args.audience,
        )
    };
    let serving = squall_service::serve(config, |address| {
        output::println(format_args!("listening on {address}"))
    });
    tokio::select! {
        served = serving => {
            served.map_err(|error| Failure::unavailable("the sync service cannot go on", error))?;
        }
        () = interruption::listen().cancelled_owned() => {}
    }
    Ok(Exit::Ok)
}

async fn client(args: ClientArgs) -> Result<Exit, Failure> {
    let name = args.client.clone();
    use squall_client_native as clients;
    let (control_url, client) = (args.control_url, args.client);
    let ended = if let ProcessKind::Postgres = args.kind {
        let options = clients::PostgresOptions {
            control_url,
            client,
            database_url: args.database_url.expect("clap requires it"),
        };
        clients::run_postgres(options).await
    } else {
        let options = clients::NativeOptions {
            control_url,
            client,
            database: args.database.expect("clap requires it"),
        };
        match args.kind {
            ProcessKind::Sqlite => clients::run_sqlite(options).await,
            ProcessKind::Sqlite3 => clients::run_sqlite3(options, args.shell).await,
            ProcessKind::Local => clients::run_local(options).await,
            ProcessKind::Native | ProcessKind::Postgres => clients::run_native(options).await,
        }
    };
    ended
        .map_err(|error| Failure::unavailable(format!("the client {name} cannot go on"), error))?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_repeat_a_run_has_no_secrets() {
        let line = |words: &[&str]| command_line(words.iter().map(OsString::from), None);
        let url = "postgres://me:s3cret@localhost/db";
        for words in [
            ["run", "--database-url", url, "--service-key", "s3cret"].as_slice(),
            &[
                "run",
                &format!("--database-url={url}"),
                "--service-key=s3cret",
            ],
            &["run", "--database-url", "host=localhost password=s3cret"],
            &[
                "run",
                "--database-url",
                "postgres://localhost/db?password=s3cret",
            ],
            &[
                "run",
                "--database-url",
                "postgres://me:s3cret@host:nonsense/db",
            ],
        ] {
            let line = line(words);
            assert!(!line.contains("s3cret"), "{line}");
            assert!(line.contains("\"$SQUALL_DATABASE_URL\""), "{line}");
        }
        assert_eq!(
            line(&[
                "run",
                "--seed",
                "1",
                "--database-url",
                "postgres://me@localhost/db"
            ]),
            "./squall run --seed 1 --database-url 'postgres://me@localhost/db'"
        );
    }
}
