//! Judges a history: reads it, checks it, and writes the verdict next to it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use squall_checker::{History, HistoryError};
use squall_models::formats::{FormatError, Input, is_malformed};
use squall_protocol::verdict::Verdict;

use crate::exit::{Exit, Failure};
use crate::output;
use crate::report;

/// The history's name in a run folder.
pub const HISTORY: &str = "history.jsonl";
const VERDICT: &str = "verdict.json";

/// Reads a history and judges it. `path` is a history or a run folder.
///
/// # Errors
///
/// When there is no history there, or it is malformed before its last line.
pub fn judge(path: &Path) -> Result<(History, Verdict), Failure> {
    let (name, input) = open(&history_file(path))?;
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

/// Opens a history: its name for messages, and the stream.
///
/// # Errors
///
/// When it cannot be opened or read.
pub fn open(path: &Path) -> Result<(String, Input<'static>), Failure> {
    let (name, reader): (String, Box<dyn Read>) = if path == Path::new("-") {
        ("standard input".to_owned(), Box::new(io::stdin()))
    } else {
        let file = File::open(path).map_err(|error| cannot_open(path, &error))?;
        (path.display().to_string(), Box::new(file))
    };
    let input = Input::new(reader).map_err(|error| cannot_read(&name, &error))?;
    Ok((name, input))
}

/// There is no history to open.
pub fn cannot_open(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!(
        "cannot open {}: {error}; give a run folder or a history file",
        path.display()
    ))
}

/// A history can be opened, and not be read to its end: the file is damaged, or the disk is.
pub fn cannot_read(name: &str, error: &std::io::Error) -> Failure {
    if is_malformed(error) {
        let why = "compressed data that are damaged or end too early";
        return Failure::MalformedInput(format!("{name}: {error}: {why}"));
    }
    Failure::Usage(format!("cannot read {name}: {error}"))
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
