//! Checks a history in any format against consistency models.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use squall_checker::transactions::{self, ReadError};
use squall_models::formats::{Cut, Format, FormatError, Input, Reading, Skipped, cobra};
use squall_models::registers::{Dependencies, Judgement, Model, Report};

use crate::exit::{Exit, Failure};
use crate::run::judge::{HISTORY, cannot_open, cannot_read, open};

/// The names that a history may have in a folder; each may have the ending `.gz` too.
const NAMES: [&str; 5] = [
    HISTORY,
    "history.edn",
    "history.json",
    "history.bincode",
    "history.txt",
];

/// A history that was found, and its format. It is read once.
pub struct Source {
    pub format: Format,
    /// The file's name, for messages.
    pub name: String,
    data: Data,
}

enum Data {
    Stream(Input<'static>),
    /// Cobra's logs, one per session.
    Logs(Vec<PathBuf>),
}

impl Source {
    /// Finds the history: a file, a pipe, `-` for the standard input, a folder with a history in it, or a
    /// folder of Cobra's logs. The format is seen from the file's name and the content if it is not given.
    ///
    /// # Errors
    ///
    /// When there is no history, or it looks like no format.
    pub fn find(path: &Path, format: Option<Format>) -> Result<Source, Failure> {
        let mut file = path.to_owned();
        if path.is_dir() {
            let names = NAMES
                .iter()
                .flat_map(|name| [(*name).to_owned(), format!("{name}.gz")]);
            let mut there = names.map(|name| path.join(name));
            match there.find(|file| file.exists()) {
                Some(found) => file = found,
                None => {
                    let logs = cobra_logs(path).map_err(|error| cannot_open(path, &error))?;
                    if logs.is_empty() {
                        return Err(Failure::Usage(format!(
                            "no history in the folder {}: neither {} nor logs of Cobra; give a run folder or a \
                             history file",
                            path.display(),
                            NAMES.join(", "),
                        )));
                    }
                    return Ok(Source {
                        format: format.unwrap_or(Format::Cobra),
                        name: path.display().to_string(),
                        data: Data::Logs(logs),
                    });
                }
            }
        }
        let (name, mut input) = open(&file)?;
        let format = match format {
            Some(format) => Some(format),
            None => {
                let detected = input.detect(&name);
                detected.map_err(|error| cannot_read(&name, &error))?
            }
        };
        match format {
            Some(format) => Ok(Source {
                format,
                name,
                data: Data::Stream(input),
            }),
            None => Err(Failure::MalformedInput(format!(
                "{name}: {}, or name its format with --format ({})",
                match (input.is_empty(), input.text()) {
                    (Ok(true), _) => "there is nothing in it; give a history".to_owned(),
                    (_, Err(error)) => error.to_string(),
                    _ => "looks like no history that squall knows; give one".to_owned(),
                },
                Format::ALL
                    .iter()
                    .copied()
                    .map(Format::name)
                    .collect::<Vec<_>>()
                    .join(", "),
            ))),
        }
    }

    /// The stream that the history is read from.
    ///
    /// # Errors
    ///
    /// When the history is several files.
    pub fn stream(self) -> Result<(String, Input<'static>), Failure> {
        match self.data {
            Data::Stream(input) => Ok((self.name, input)),
            Data::Logs(_) => Err(Failure::Usage(format!(
                "{}: only Cobra's histories are a folder of logs; name a file",
                self.name
            ))),
        }
    }

    fn read(self, values_are_versions: bool) -> Result<Reading, Failure> {
        let format = self.format;
        if format == Format::Cobra
            && let Data::Logs(files) = &self.data
        {
            let mut logs = Vec::new();
            for file in files {
                let opened = File::open(file).map_err(|error| cannot_open(file, &error))?;
                logs.push((file.display().to_string(), opened));
            }
            let read = cobra::read(logs, values_are_versions);
            return read.map_err(|error| Failure::MalformedInput(error.to_string()));
        }
        let (name, input) = self.stream()?;
        transactions::read(format, input, values_are_versions).map_err(|error| match error {
            ReadError::Format(FormatError::Io(error)) => cannot_read(&name, &error),
            error => Failure::MalformedInput(format!("{name}: {error}")),
        })
    }
}

/// The logs of Cobra's sessions: what begins like one, and what is called one and is not empty.
fn cobra_logs(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    let mut found = false;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        let mut beginning = Vec::new();
        Input::new(File::open(&path)?)?
            .take(10)
            .read_to_end(&mut beginning)?;
        let is_log = cobra::looks_like(&beginning);
        found |= is_log;
        let called = path.extension().is_some_and(|ending| ending == "log");
        // A log that was cut in its first record.
        let cut = beginning.starts_with(b"S") && beginning.contains(&0);
        if is_log || cut || called && !beginning.is_empty() {
            logs.push(path);
        }
    }
    logs.sort();
    if !found {
        logs.clear();
    }
    Ok(logs)
}

/// What a history is worth, model by model.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// The worst judgement: a violation, else unknown, else ok. If no model was named, those that were not put
    /// to the test do not count, unless that is all of them.
    pub judgement: Judgement,
    pub format: &'static str,
    /// Where the history ends too early, if it does: the line, and how many bytes of it there are.
    pub cut: Option<(usize, usize)>,
    /// What of the history was not understood.
    pub skipped: Vec<Skipped>,
    /// How sessions are called in the history that have no number there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub session_names: BTreeMap<u64, String>,
    pub reports: Vec<Report>,
    /// The cycles of dependencies, where the order of the versions is known and no model was named.
    pub dependencies: Option<Dependencies>,
}

/// Checks a history against models, or against all that make sense for it.
///
/// # Errors
///
/// When the history cannot be read.
pub fn check(source: Source, models: &[Model]) -> Result<Judged, Failure> {
    // That the higher value wins is known of our own histories; of others, whoever names the model says so.
    let format = source.format;
    let known = format.values_are_versions();
    let versions = known || models.contains(&Model::CausalPerKey);
    let reading = source.read(versions)?;
    let all: Vec<Model> = Model::ALL
        .iter()
        .copied()
        .filter(|model| known || *model != Model::CausalPerKey)
        .filter(|model| reading.registers.has_times() || *model != Model::StrictSerializability)
        .collect();
    // They take longer than most models: whoever names models wants those.
    let dependencies = models.is_empty().then(|| reading.dependencies());
    let named = !models.is_empty();
    let models = if named { models } else { &all };
    let reports: Vec<Report> = models.iter().map(|model| reading.check(*model)).collect();
    // One that is nobody else's has no name.
    let mut session_names = reading.session_names;
    session_names.retain(|_, name| name.starts_with("session "));
    let mut counts: Vec<&Report> = reports.iter().filter(|r| named || r.exercised).collect();
    if counts.is_empty() {
        counts = reports.iter().collect();
    }
    let any = |judgement| counts.iter().any(|report| report.judgement == judgement);
    let judgement = if any(Judgement::Violation) {
        Judgement::Violation
    } else if any(Judgement::Unknown) {
        Judgement::Unknown
    } else {
        Judgement::Ok
    };
    Ok(Judged {
        judgement,
        format: format.name(),
        cut: reading.cut.map(|Cut { line, bytes }| (line, bytes)),
        skipped: reading.skipped,
        session_names,
        reports,
        dependencies: dependencies.flatten(),
    })
}

impl Judged {
    pub fn exit(&self) -> Exit {
        match self.judgement {
            Judgement::Ok => Exit::Ok,
            Judgement::Violation => Exit::SafetyViolation,
            Judgement::Unknown => Exit::Unknown,
        }
    }

    /// As text for a person: a line per model, then what was found.
    pub fn render(&self) -> String {
        let mut lines = Vec::new();
        if let Some(report) = self.reports.first() {
            lines.push(format!(
                "format {}: {} transactions, {} operations, {} sessions",
                self.format, report.transactions, report.operations, report.sessions
            ));
        }
        if let Some((line, bytes)) = self.cut {
            lines.push(format!(
                "the history is cut: line {line} ends after {bytes} bytes and was not read, so \
                 nothing is ok, and a value that nobody wrote proves nothing"
            ));
        }
        for skipped in &self.skipped {
            lines.push(format!(
                "not understood, and left out: {} {} (the first in {}){}",
                skipped.count,
                skipped.what,
                skipped.first,
                match skipped.harmless {
                    true => "; they failed, so that nothing depends on them",
                    false =>
                        "; they may have had any effect, so nothing is ok, and a value that nobody wrote \
                         proves nothing",
                }
            ));
        }
        lines.push(String::new());
        lines.push(format!(
            "{:<22}  {:<9}  {:>10}",
            "model", "judgement", "violations"
        ));
        for report in &self.reports {
            lines.push(format!(
                "{:<22}  {:<9}  {:>10}",
                report.model.name(),
                word(report.judgement),
                report.violations
            ));
        }
        let notes: Vec<(String, &str)> = self.notes();
        if !notes.is_empty() {
            lines.push(String::new());
        }
        for (models, note) in notes {
            lines.push(format!("unknown: {models}: {note}"));
        }
        for (models, report) in self.findings() {
            lines.push(String::new());
            lines.push(format!("{models}: {}", word(report.judgement)));
            let anomalies = report.anomalies.iter();
            lines.extend(anomalies.map(|anomaly| format!("- {}", anomaly.summary)));
            let shown = report.anomalies.len() as u64;
            if report.violations > shown {
                lines.push(format!("- and so on: {} in all", report.violations));
            }
        }
        let dependencies = self.dependencies.as_ref().map(Dependencies::render);
        if let Some(text) = dependencies.filter(|text| !text.is_empty()) {
            lines.push(String::new());
            lines.push(text.trim_end().to_owned());
        }
        lines.join("\n") + "\n"
    }

    /// Why models are unknown, each reason once.
    fn notes(&self) -> Vec<(String, &str)> {
        let mut notes: Vec<(String, &str)> = Vec::new();
        for report in &self.reports {
            let Some(note) = report.note.as_deref() else {
                continue;
            };
            match notes.iter_mut().find(|(_, known)| *known == note) {
                Some((models, _)) => {
                    models.push_str(", ");
                    models.push_str(report.model.name());
                }
                None => notes.push((report.model.name().to_owned(), note)),
            }
        }
        notes
    }

    /// What was found, and by which models: a stronger one often finds the very same.
    fn findings(&self) -> Vec<(String, &Report)> {
        let same = |one: &Report, other: &Report| {
            let (a, b) = (&one.anomalies, &other.anomalies);
            (one.judgement, one.violations) == (other.judgement, other.violations)
                && a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| a.summary == b.summary)
        };
        let mut findings: Vec<(String, &Report)> = Vec::new();
        let found = |report: &&Report| !report.anomalies.is_empty();
        for report in self.reports.iter().filter(found) {
            match findings.iter_mut().find(|(_, other)| same(report, other)) {
                Some((models, _)) => {
                    models.push_str(", ");
                    models.push_str(report.model.name());
                }
                None => findings.push((report.model.name().to_owned(), report)),
            }
        }
        findings
    }
}

fn word(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Ok => "ok",
        Judgement::Violation => "VIOLATION",
        Judgement::Unknown => "unknown",
    }
}
