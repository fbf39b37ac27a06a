//! Judges a history: reads it, checks it, and writes the verdict next to it.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use squall_checker::History;
use squall_protocol::verdict::Verdict;

use crate::exit::{Exit, Failure};
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
    let file = history_file(path);
    let reader = File::open(&file).map_err(|error| {
        Failure::Usage(format!(
            "cannot open {}: {error}; give a run folder or a history file",
            file.display()
        ))
    })?;
    let history = squall_checker::read_history(BufReader::new(reader))
        .map_err(|error| Failure::MalformedInput(format!("{}: {error}", file.display())))?;
    let verdict = squall_checker::check(&history);
    Ok((history, verdict))
}

fn history_file(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join(HISTORY)
    } else {
        path.to_owned()
    }
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
        eprintln!(
            "cannot write the verdict to {}: {error}; free some space and run `squall check` on it",
            folder.display()
        );
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
