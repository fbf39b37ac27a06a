//! Judges a history: reads it, checks it, and writes the verdict next to it.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use squall_checker::{History, HistoryError};
use squall_models::formats::{Format, FormatError, Input};
use squall_protocol::verdict::Verdict;

use crate::cli::CheckArgs;
use crate::commands::models::{self, HISTORY, Source, cannot_read};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::report;

const VERDICT: &str = "verdict.json";

/// Reads a history and judges it. `path` is a history or a run folder.
///
/// # Errors
///
/// When there is no history there, or it is malformed before its last line.
pub fn judge(path: &Path) -> Result<(History, Verdict), Failure> {
    let (name, input) = models::open(&history_file(path))?;
    let history = read(&name, input)?;
    let verdict = squall_checker::check(&history);
    Ok((history, verdict))
}

/// Reads one of squall's own histories.
///
/// # Errors
///
/// As for [`judge`].
pub fn read(name: &str, mut input: Input) -> Result<History, Failure> {
    input.text().map_err(|error| match error {
        FormatError::Io(error) => cannot_read(name, &error),
        error => Failure::MalformedInput(format!("{name}: {error}")),
    })?;
    let reader = BufReader::with_capacity(1 << 18, input);
    squall_checker::read_history(reader).map_err(|error| match error {
        HistoryError::Io(error) => cannot_read(name, &error),
        error => Failure::MalformedInput(format!("{name}: {error}")),
    })
}

/// The history that a path names: a history, or that of a run folder.
pub fn history_file(path: &Path) -> PathBuf {
    if path.is_dir() {
        let compressed = path.join(format!("{HISTORY}.gz"));
        if compressed.exists() && !path.join(HISTORY).exists() {
            return compressed;
        }
        path.join(HISTORY)
    } else {
        path.to_owned()
    }
}

/// The command `check`: our own histories by the properties of their workload, others, and those for
/// which a model is named, by models.
///
/// # Errors
///
/// As for [`judge`] and [`models::check`].
pub fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let format = args.format;
    let source = Source::find(&args.path, format)?;
    if source.format == Format::Squall && args.model.is_empty() {
        let (name, input) = source.stream()?;
        let verdict = squall_checker::check(&read(&name, input)?);
        if args.json {
            output::print(to_json(&verdict));
        } else {
            output::println(squall_checker::render(&verdict));
        }
        return Ok(exit(&verdict));
    }
    let judged = models::check(source, &args.model)?;
    if args.json {
        let text = serde_json::to_string_pretty(&judged).expect("reports are plain data");
        output::println(text);
    } else {
        output::print(judged.render());
    }
    Ok(judged.exit())
}

/// Judges the history of a run folder and writes `verdict.json`, `report.html` and `junit.xml`.
///
/// # Errors
///
/// When the history cannot be read or the files cannot be written.
pub fn judge_folder(folder: &Path) -> Result<Verdict, Failure> {
    let (history, verdict) = judge(folder)?;
    let written = (|| {
        std::fs::write(folder.join(VERDICT), to_json(&verdict))?;
        report::write(folder, &history, &verdict)
    })();
    if let Err(error) = written {
        // The verdict itself is worth more than its files.
        output::eprintln(format_args!(
            "cannot write the verdict to {}: {error}; free some space and run `squall check` on it",
            folder.display()
        ));
    }
    Ok(verdict)
}

/// The verdict as it is written to `verdict.json`.
pub fn to_json(verdict: &Verdict) -> String {
    let mut text = serde_json::to_string_pretty(verdict).expect("a verdict is plain data");
    text.push('\n');
    text
}

/// The exit code for a verdict.
pub fn exit(verdict: &Verdict) -> Exit {
    match verdict.exit_code() {
        0 => Exit::Ok,
        1 => Exit::SafetyViolation,
        3 => Exit::LivenessViolation,
        _ => Exit::Unknown,
    }
}
