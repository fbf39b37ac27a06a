//! `squall bench checker`: how long the checker takes and how much memory, on histories of several
//! sizes, each check in a process of its own; and the same for another checker's binary, on the same
//! files in the same run.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use squall_checker::generate as mww;
use squall_models::generate::registers;
use squall_models::registers::Model;

use crate::cli::case::Case;
use crate::cli::{BenchCheckerArgs, BenchGenerateArgs};
use crate::exit::{Exit, Failure};
use crate::output;

impl Case {
    /// Writes the history to a file.
    fn generate(&self, seed: u64, planted: bool, file: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(file)?);
        match *self {
            Case::UnknownOrder(size) | Case::KnownOrder(size) => {
                let config = registers::Config {
                    seed,
                    planted,
                    highest_wins: matches!(self, Case::KnownOrder(_)),
                    ..registers::Config::new(size.transactions, size.operations, size.sessions)
                };
                registers::write_plume(&config, &mut out)?;
            }
            Case::Mww { transactions } => {
                let config = mww::Config {
                    native: 9,
                    postgres: 1,
                    bug: planted.then_some(mww::Bug::ALL[0]),
                    ..mww::Config::new(seed, transactions)
                };
                squall_checker::write_history(&mww::generate(&config), &mut out)?;
            }
        }
        out.flush()
    }

    /// The arguments of `squall` that check the file, by a model other than causal consistency if
    /// one is named.
    fn arguments(&self, file: &Path, model: Option<Model>) -> Vec<String> {
        let mut arguments = vec!["check".to_owned(), file.display().to_string()];
        let usual = match self {
            Case::UnknownOrder(_) => Model::Causal,
            Case::KnownOrder(_) => Model::CausalPerKey,
            Case::Mww { .. } => return arguments,
        };
        arguments.extend(words("--format plume --model"));
        arguments.push(model.unwrap_or(usual).name().to_owned());
        arguments
    }

    /// Reads and writes in the history.
    fn operations(&self) -> u64 {
        match self {
            Case::UnknownOrder(size) | Case::KnownOrder(size) => {
                size.transactions * u64::from(size.operations)
            }
            // 100 rows read and 4 written by each.
            Case::Mww { transactions } => transactions * 104,
        }
    }
}

/// What another checker said of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Violation,
    /// It gave no verdict: a signal ended it (a stack that overflows is one), or it failed.
    Died,
}

impl Verdict {
    /// A violation is told by the exit code 1, or by the text `violation_says` where the exit code is
    /// 0. Every other end is no verdict.
    fn of_other(status: ExitStatus, output: &[u8], violation_says: &str) -> Verdict {
        let text = String::from_utf8_lossy(output);
        match status.code() {
            Some(1) => Verdict::Violation,
            Some(0) if text.contains(violation_says) => Verdict::Violation,
            Some(0) => Verdict::Ok,
            _ => Verdict::Died,
        }
    }

    /// Squall's own exit codes; `unknown` is no verdict.
    fn of_squall(status: ExitStatus) -> Verdict {
        match status.code() {
            Some(0) => Verdict::Ok,
            Some(1) => Verdict::Violation,
            _ => Verdict::Died,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.pad(match self {
            Verdict::Ok => "ok",
            Verdict::Violation => "violation",
            Verdict::Died => "died",
        })
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

/// What a process took.
#[derive(Clone, Copy, Debug)]
struct Cost {
    wall: Duration,
    /// The most memory that it held at once.
    peak_bytes: u64,
    status: ExitStatus,
}

/// Writes the history of one case.
///
/// # Errors
///
/// When the file cannot be written.
pub fn generate(args: &BenchGenerateArgs) -> Result<Exit, Failure> {
    let written = args.case.generate(args.seed, args.planted, &args.file);
    written.map_err(|error| {
        Failure::unavailable(format!("cannot write {}", args.file.display()), error)
    })?;
    Ok(Exit::Ok)
}

/// Generates in a process of its own: what this process holds would count for every child that it
/// starts, since the kernel counts the memory of a process from before it became the program.
fn generate_in_child(
    own: &Path,
    case: &Case,
    args: &BenchCheckerArgs,
    file: &Path,
) -> io::Result<()> {
    let mut command = Command::new(own);
    command
        .args(["bench", "generate", &case.to_string()])
        .arg(file);
    command.args(["--seed", &args.seed.to_string()]);
    if args.planted {
        command.arg("--planted");
    }
    let status = command.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "generating {case} ended with {status}"
        )))
    }
}

/// Runs the benchmark and prints its table.
///
/// # Errors
///
/// When histories cannot be written or the other checker cannot be started.
pub fn checker(args: &BenchCheckerArgs) -> Result<Exit, Failure> {
    let cannot = |error| Failure::unavailable("cannot run the benchmark", error);
    let folder = tempfile::tempdir().map_err(cannot)?;
    let own = std::env::current_exe().map_err(cannot)?;
    output::println(format_args!(
        "{:>18}  {:>11}  {:>8}  {:>9}  {:>12}  {:>6}{}",
        "history",
        "operations",
        "wall s",
        "peak MB",
        "operations/s",
        "exit",
        if args.against.is_some() {
            "   other: wall s  peak MB    verdict   ratios: wall, memory"
        } else {
            ""
        }
    ));
    for case in &args.cases {
        let file = folder.path().join("history");
        generate_in_child(&own, case, args, &file).map_err(cannot)?;
        let cost = median(args.runs, || {
            measure(&own, &case.arguments(&file, args.model), None)
        })
        .map_err(cannot)?;
        let mut line = format!(
            "{:>18}  {:>11}  {:>8.3}  {:>9.1}  {:>12.0}  {:>6}",
            case.to_string(),
            case.operations(),
            cost.wall.as_secs_f64(),
            cost.peak_bytes as f64 / 1e6,
            case.operations() as f64 / cost.wall.as_secs_f64(),
            code(cost.status),
        );
        // Nobody else reads our own format.
        if let Some(other) = args
            .against
            .as_ref()
            .filter(|_| !matches!(case, Case::Mww { .. }))
        {
            let arguments: Vec<String> = words(&args.against_arguments)
                .map(|word| word.replace("{file}", &file.display().to_string()))
                .collect();
            let output = folder.path().join("output");
            let theirs = median(args.runs, || measure(other, &arguments, Some(&output))).map_err(
                |error| Failure::unavailable(format!("cannot run {}", other.display()), error),
            )?;
            let said = fs::read(&output).map_err(cannot)?;
            line += &compare(cost, theirs, &said, &args.against_violation);
        }
        output::println(line);
        if output::is_lost() {
            return Ok(Exit::Ok);
        }
        if let Some(keep) = &args.keep {
            fs::create_dir_all(keep).map_err(cannot)?;
            fs::copy(&file, keep.join(case.to_string().replace(':', "-"))).map_err(cannot)?;
        }
    }
    Ok(Exit::Ok)
}

/// The columns that tell of the other checker. One that died has no ratios: it did not do the work.
fn compare(ours: Cost, theirs: Cost, output: &[u8], violation_says: &str) -> String {
    let verdict = Verdict::of_other(theirs.status, output, violation_says);
    let mut line = format!(
        "   {:>13.3}  {:>7.1}  {verdict:>9}",
        theirs.wall.as_secs_f64(),
        theirs.peak_bytes as f64 / 1e6,
    );
    // Writing to a string cannot fail.
    let _ = if verdict == Verdict::Died {
        let last = String::from_utf8_lossy(output);
        let last = last.lines().rfind(|line| !line.trim().is_empty());
        write!(
            line,
            "   {}: {}",
            code(theirs.status),
            last.unwrap_or("it said nothing")
        )
    } else {
        write!(
            line,
            "   {:>5.1}x, {:.1}x{}",
            theirs.wall.as_secs_f64() / ours.wall.as_secs_f64(),
            theirs.peak_bytes as f64 / ours.peak_bytes as f64,
            if verdict == Verdict::of_squall(ours.status) {
                ""
            } else {
                "   THEY DISAGREE"
            },
        )
    };
    line
}

fn code(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => code.to_string(),
        None => format!("sig {}", status.signal().unwrap_or_default()),
    }
}

/// The run with the median time.
fn median(runs: u32, mut run: impl FnMut() -> io::Result<Cost>) -> io::Result<Cost> {
    let mut costs: Vec<Cost> = (0..runs).map(|_| run()).collect::<Result<_, _>>()?;
    costs.sort_by_key(|cost| cost.wall);
    Ok(costs[costs.len() / 2])
}

/// Runs a program to its end. What it says goes to the file, or nowhere. A program that it waits for
/// counts as its own, so that `timeout` or `env` may stand before a checker.
fn measure(program: &Path, arguments: &[String], output: Option<&Path>) -> io::Result<Cost> {
    let (stdout, stderr) = match output {
        Some(path) => {
            let file = File::create(path)?;
            (file.try_clone()?.into(), file.into())
        }
        None => (Stdio::null(), Stdio::null()),
    };
    let began = Instant::now();
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()?;
    let pid = child.id() as libc::pid_t;
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid one; it is plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `pid` is a child of ours that nobody else waits for, and both pointers are to locals.
    while unsafe { libc::wait4(pid, &mut status, 0, &mut usage) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(Cost {
        wall: began.elapsed(),
        // Linux counts it in KiB.
        peak_bytes: usage.ru_maxrss as u64 * 1024,
        status: ExitStatus::from_raw(status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_as_they_are_written() {
        for text in ["100000x8x10", "known:5x4x3", "mww:10"] {
            assert_eq!(text.parse::<Case>().unwrap().to_string(), text);
        }
        for bad in ["", "8", "1x2", "0x1x1", "unknown:1x1x1", "mww:x", "1x2x3x4"] {
            assert!(bad.parse::<Case>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_process_that_takes_memory_is_seen_to() {
        let arguments = |bytes: &str| {
            [
                "-c".to_owned(),
                format!(
                    "head -c {bytes} /dev/zero | tail -c 1 > /dev/null; x=$(head -c {bytes} /dev/zero | tr '\\0' x); exit 3"
                ),
            ]
        };
        let cost = measure(Path::new("/bin/bash"), &arguments("30000000"), None).unwrap();
        assert_eq!(cost.status.code(), Some(3));
        assert!(cost.peak_bytes > 30_000_000, "{}", cost.peak_bytes);
    }

    /// The columns for another checker, here a shell that says and does what is given.
    fn row(ours: &str, script: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("output");
        let run = |script: &str| {
            let arguments = ["-c".to_owned(), script.to_owned()];
            measure(Path::new("/bin/sh"), &arguments, Some(&output)).unwrap()
        };
        let ours = run(ours);
        let theirs = run(script);
        compare(ours, theirs, &fs::read(&output).unwrap(), "Inconsistent")
    }

    #[test]
    fn another_checker_is_told_by_what_it_says_and_how_it_ends() {
        for (script, verdict) in [
            ("echo Consistent.", "ok"),
            ("echo Inconsistent: a cycle", "violation"),
            ("echo Inconsistent >&2", "violation"),
            ("exit 1", "violation"),
        ] {
            let row = row(&format!("exit {}", u8::from(verdict != "ok")), script);
            assert!(row.contains(&format!(" {verdict}   ")), "{script}: {row}");
            assert!(row.contains("x, ") && !row.contains("DISAGREE"), "{row}");
        }
    }

    #[test]
    fn another_checker_that_disagrees_is_named() {
        assert!(row("exit 1", "echo Consistent").ends_with("THEY DISAGREE"));
        assert!(row("exit 0", "echo Inconsistent").ends_with("THEY DISAGREE"));
    }

    #[test]
    fn a_checker_that_died_has_no_ratios_but_its_last_words() {
        let overflow = "echo Done parsing; echo overflowed its stack >&2; kill -ABRT $$";
        for (script, words) in [
            (overflow, "died   sig 6: overflowed its stack"),
            ("exit 101", "died   101: it said nothing"),
        ] {
            let row = row("exit 0", script);
            assert!(row.contains(words), "{row}");
            assert!(!row.contains("x, "), "{row}");
        }
    }
}
