//! Many runs, one after another: the product of lists of options.
//!
//! A matrix is a TOML file. Every key of its table `[run]` is the name of an option of `squall run`
//! and holds a value or a list of values; the product of all lists is run. So a matrix can say
//! everything that the command line can, and is checked by the same rules before anything starts.
//!
//! ```toml
//! repeats = 2            # how often each combination is run, each time with a seed of its own
//! seed = 1               # the first seed
//! [run]
//! fleet = ["native=5", "native=5,postgres=1"]
//! rate = [10, 50]
//! faults = ["none", "client.kill"]
//! time = "100s"
//! ```
//!
//! Each run is a process of its own, so that nothing of one can leak into the next. Finished runs
//! are remembered in `results.jsonl`; a matrix that is started again on the same folder goes on
//! where it was cut.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use squall_owned_process::OwnedProcess;
use tokio_util::sync::CancellationToken;

use crate::cli::{self, Command, MatrixArgs};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::report::{self, MatrixResult};
use crate::run::interruption;

const RESULTS: &str = "results.jsonl";
/// How long a run may take to stop after it was asked to.
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MatrixFile {
    #[serde(default = "one")]
    repeats: u32,
    #[serde(default = "one_seed")]
    seed: u64,
    run: BTreeMap<String, toml::Value>,
}

fn one() -> u32 {
    1
}

fn one_seed() -> u64 {
    1
}

/// One run of a matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Combination {
    seed: u64,
    /// Pairs of option and value, in the order of their names.
    options: Vec<(String, String)>,
}

impl Combination {
    /// What tells it from the others, such as `fleet=native=5 rate=10 seed=3`.
    fn name(&self) -> String {
        let options = self.options.iter();
        let mut words: Vec<String> = options
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        words.push(format!("seed={}", self.seed));
        words.join(" ")
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["run".to_owned(), format!("--seed={}", self.seed)];
        for (name, value) in &self.options {
            match value.as_str() {
                // Options without a value are there or not.
                "true" => arguments.push(format!("--{name}")),
                "false" => {}
                value => arguments.push(format!("--{name}={value}")),
            }
        }
        arguments
    }
}

/// Runs a matrix, or a share of it, and writes its summary.
///
/// # Errors
///
/// When the file cannot be read or makes no sense, or the results cannot be written.
pub async fn run(args: MatrixArgs) -> Result<Exit, Failure> {
    let interrupted = interruption::listen();
    let combinations = read(&args.file)?;
    let all = combinations.len();
    let mine: Vec<Combination> = match args.shard {
        None => combinations,
        Some(shard) => combinations
            .into_iter()
            .enumerate()
            .filter(|(index, _)| shard.has(*index))
            .map(|(_, combination)| combination)
            .collect(),
    };
    if args.list {
        for combination in &mine {
            output::println(combination.arguments().join(" "));
        }
        return Ok(Exit::Ok);
    }
    let cannot_write = |error| {
        Failure::unavailable(
            format!("cannot write the results to {}", args.output.display()),
            error,
        )
    };
    fs::create_dir_all(&args.output).map_err(cannot_write)?;
    let mut results = remembered(&args.output.join(RESULTS))?;
    let todo: Vec<&Combination> = mine
        .iter()
        .filter(|combination| !results.iter().any(|r| r.name == combination.name()))
        .collect();
    output::println(format_args!(
        "{} runs of {all}, {} of them still to do, in {}",
        mine.len(),
        todo.len(),
        args.output.display()
    ));
    let began = Instant::now();
    for (done, combination) in todo.iter().enumerate() {
        output::print(format_args!(
            "[{}/{}] {} … ",
            done + 1,
            todo.len(),
            combination.name()
        ));
        let Some(result) = one_run(combination, &args.output, &interrupted).await? else {
            output::println("interrupted");
            break;
        };
        let left = began.elapsed() / (done as u32 + 1) * (todo.len() - done - 1) as u32;
        output::println(format_args!(
            "{} ({} s), about {} left",
            result.word(),
            result.seconds,
            humantime::format_duration(Duration::from_secs(left.as_secs()))
        ));
        remember(&args.output.join(RESULTS), &result).map_err(cannot_write)?;
        results.push(result);
    }
    results.retain(|result| {
        mine.iter()
            .any(|combination| combination.name() == result.name)
    });
    let title = args.file.file_stem().unwrap_or_default().to_string_lossy();
    report::write_matrix(&args.output, &title, &results).map_err(cannot_write)?;
    output::println(format_args!("\n{}", table(&results)));
    output::println_path("summary", &args.output.join("summary.html"));
    Ok(worst(&results, results.len() < mine.len()))
}

/// The product of the file's lists. Every combination is checked as a command line would be.
fn read(file: &Path) -> Result<Vec<Combination>, Failure> {
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::Usage(format!(
            "cannot read the matrix {}: {error}",
            file.display()
        ))
    })?;
    let matrix: MatrixFile = toml::from_str(&text)
        .map_err(|error| Failure::MalformedInput(format!("{}: {error}", file.display())))?;
    let malformed =
        |problem: String| Failure::MalformedInput(format!("{}: {problem}", file.display()));
    let mut products: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for (name, value) in &matrix.run {
        if ["seed", "output", "plan"].contains(&name.as_str()) {
            return Err(malformed(format!(
                "run.{name}: a matrix decides this itself"
            )));
        }
        let values = match value {
            toml::Value::Array(values) if values.is_empty() => {
                return Err(malformed(format!("run.{name}: the list is empty")));
            }
            toml::Value::Array(values) => values.iter().map(word).collect(),
            value => word(value).map(|word| vec![word]),
        };
        let values = values.ok_or_else(|| {
            malformed(format!(
                "run.{name}: must be texts, numbers or booleans, or a list of them"
            ))
        })?;
        products = products
            .iter()
            .flat_map(|product| {
                values.iter().map(|value| {
                    let mut product = product.clone();
                    product.push((name.clone(), value.clone()));
                    product
                })
            })
            .collect();
    }
    let mut seed = matrix.seed;
    let mut combinations = Vec::new();
    for _ in 0..matrix.repeats {
        for options in &products {
            combinations.push(Combination {
                seed,
                options: options.clone(),
            });
            seed += 1;
        }
    }
    for combination in &combinations {
        let words = ["squall".to_owned()].into_iter();
        let nonsense = |error| malformed(format!("{}: {error}", combination.name()));
        let cli = cli::parse(words.chain(combination.arguments()))
            .map_err(|error| nonsense(error.to_string()))?;
        if let Command::Run(args) = cli.command {
            args.clients(&BTreeMap::new())
                .and_then(|clients| args.plan_options(&clients))
                .map_err(|error| nonsense(error.to_string()))?;
        }
    }
    Ok(combinations)
}

/// The value of an option as the command line has it.
pub fn word(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// One run as a process of its own. None if it was interrupted.
async fn one_run(
    combination: &Combination,
    output: &Path,
    interrupted: &CancellationToken,
) -> Result<Option<MatrixResult>, Failure> {
    let cannot_start = |error| Failure::unavailable("cannot start a run", error);
    let runs = output.join("runs");
    let logs = output.join("logs");
    fs::create_dir_all(&logs).map_err(cannot_start)?;
    let log = |kind: &str| logs.join(format!("{}.{kind}.log", combination.seed));
    let mut command = process::Command::new(std::env::current_exe().map_err(cannot_start)?);
    command
        .args(combination.arguments())
        .arg("--output")
        .arg(&runs)
        .stdin(Stdio::null())
        .stdout(fs::File::create(log("out")).map_err(cannot_start)?)
        .stderr(fs::File::create(log("err")).map_err(cannot_start)?);
    let began = Instant::now();
    let (process, _) = OwnedProcess::spawn(command).map_err(cannot_start)?;
    let status = tokio::select! {
        status = process.exited() => status,
        () = interrupted.cancelled() => {
            process.signal(libc::SIGTERM);
            let _ = process.end_within(STOP_DEADLINE).await;
            return Ok(None);
        }
    };
    let said = fs::read(log("out")).unwrap_or_default();
    let folder = said
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"run folder "))
        .map(|path| within(output, Path::new(OsStr::from_bytes(path))));
    let message = match status.code() {
        Some(0..=3) => None,
        _ => {
            let errors = fs::read(log("err")).unwrap_or_default();
            let errors = String::from_utf8_lossy(&errors);
            errors.lines().last().map(str::to_owned)
        }
    };
    Ok(Some(MatrixResult {
        name: combination.name(),
        exit: status.code(),
        folder,
        seconds: began.elapsed().as_secs(),
        message,
    }))
}

/// The path relative to the folder, if it is in it.
fn within(folder: &Path, path: &Path) -> PathBuf {
    let folder = fs::canonicalize(folder);
    let relative = folder
        .iter()
        .find_map(|folder| path.strip_prefix(folder).ok());
    relative.unwrap_or(path).to_owned()
}

/// The results of an earlier start. A line that was cut is no result.
fn remembered(file: &Path) -> Result<Vec<MatrixResult>, Failure> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Failure::unavailable(
            format!("cannot read {}", file.display()),
            error,
        )),
    }
}

fn remember(file: &Path, result: &MatrixResult) -> std::io::Result<()> {
    let mut line = serde_json::to_string(result)?;
    line.push('\n');
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(line.as_bytes())
}

fn table(results: &[MatrixResult]) -> String {
    let width = results.iter().map(|r| r.name.len()).max().unwrap_or(0);
    let lines = results.iter().map(|result| {
        format!(
            "{:<width$}  {:<13}  {:>5} s",
            result.name,
            result.word(),
            result.seconds
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The most telling exit code: a violation before one of liveness, that before the unknown.
fn worst(results: &[MatrixResult], incomplete: bool) -> Exit {
    let any = |code| results.iter().any(|result| result.exit == Some(code));
    if any(1) {
        Exit::SafetyViolation
    } else if any(3) {
        Exit::LivenessViolation
    } else if incomplete || results.iter().any(|result| result.exit != Some(0)) {
        Exit::Unknown
    } else {
        Exit::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Combination>, Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn a_matrix_is_the_product_of_its_lists() {
        let combinations = read_text(
            "repeats = 2\nseed = 5\n[run]\nfleet = [\"native=1\", \"native=2\"]\nrate = [10, 2.5]\ntime = \"3s\"",
        )
        .unwrap();
        let names: Vec<String> = combinations.iter().map(Combination::name).collect();
        assert_eq!(names.len(), 8);
        assert_eq!(names[0], "fleet=native=1 rate=10 time=3s seed=5");
        assert_eq!(names[3], "fleet=native=2 rate=2.5 time=3s seed=8");
        assert_eq!(names[7], "fleet=native=2 rate=2.5 time=3s seed=12");
    }

    #[test]
    fn nonsense_is_refused_before_anything_starts() {
        for (text, says) in [
            ("[run]\nfleet = [\"browser=1\"]", "browser"),
            ("[run]\nspeed = 3", "speed"),
            ("[run]\nrate = []", "empty"),
            ("[run]\nroles = \"ps-ro-pg-ro\"", "nobody writes"),
            ("[run]\nseed = 3", "seed"),
            ("[run]\nrate = {a = 1}", "rate"),
            ("repeat = 2\n[run]", "repeat"),
            ("run = ", "line 1"),
        ] {
            let error = read_text(text).unwrap_err();
            assert_eq!(error.exit(), Exit::MalformedInput, "{text}");
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn options_without_a_value_are_there_or_not() {
        let combinations = read_text("[run]\nhomogeneous = [true, false]").unwrap();
        assert_eq!(combinations[0].arguments()[2..], ["--homogeneous"]);
        assert!(combinations[1].arguments()[2..].is_empty());
        assert_ne!(combinations[0].name(), combinations[1].name());
    }
}
