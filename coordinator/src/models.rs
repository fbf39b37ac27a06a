//! Checks a history in any format against consistency models.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use squall_checker::Cut;
use squall_checker::formats::{Format, FormatError, Reading, cobra};
use squall_checker::registers::{Dependencies, Model, Report};
use squall_protocol::verdict::Judgement;

use crate::check::{HISTORY, cannot_open};
use crate::exit::{Exit, Failure};

/// How much of a file is enough to see its format.
const BEGINNING: u64 = 4096;

/// The names that a history may have in a folder.
const NAMES: [&str; 5] = [
    HISTORY,
    "history.edn",
    "history.json",
    "history.bincode",
    "history.txt",
];

/// Where a history is, and its format.
pub struct Source {
    pub format: Format,
    /// The file, or Cobra's logs.
    pub files: Vec<PathBuf>,
}

impl Source {
    /// Finds the history: a file, a folder with a history in it, or a folder of Cobra's logs. The format is
    /// seen from the content if it is not given.
    ///
    /// # Errors
    ///
    /// When there is no history, or it looks like no format.
    pub fn find(path: &Path, format: Option<Format>) -> Result<Source, Failure> {
        let mut file = path.to_owned();
        if path.is_dir() {
            let mut there = NAMES.iter().map(|name| path.join(name));
            match there.find(|file| file.exists()) {
                Some(found) => file = found,
                None => {
                    let files = cobra_logs(path).map_err(|error| cannot_open(path, &error))?;
                    if !files.is_empty() {
                        let format = format.unwrap_or(Format::Cobra);
                        return Ok(Source { format, files });
                    }
                    file = path.join(HISTORY);
                }
            }
        }
        let mut beginning = Vec::new();
        let opened = File::open(&file);
        let read = opened.and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning));
        read.map_err(|error| cannot_open(&file, &error))?;
        let is_own = file.extension().is_some_and(|ending| ending == "jsonl");
        let format = format
            .or_else(|| Format::detect(&beginning))
            .or(is_own.then_some(Format::Squall));
        match format {
            Some(format) => Ok(Source {
                format,
                files: vec![file],
            }),
            None => Err(Failure::MalformedInput(format!(
                "{}: looks like no history that squall knows; name its format with --format ({})",
                file.display(),
                Format::ALL.map(Format::name).join(", "),
            ))),
        }
    }

    fn read(&self, values_are_versions: bool) -> Result<Reading, Failure> {
        let open = |file: &PathBuf| File::open(file).map_err(|error| cannot_open(file, &error));
        let read = match (self.format, &self.files[..]) {
            (Format::Cobra, files) => {
                let mut logs = Vec::new();
                for file in files {
                    logs.push((file.display().to_string(), open(file)?));
                }
                cobra::read(logs, values_are_versions)
            }
            (format, [file, ..]) => format.read(open(file)?, values_are_versions),
            (_, []) => unreachable!("a source has a file"),
        };
        read.map_err(|error| match error {
            FormatError::InLog { .. } => Failure::MalformedInput(error.to_string()),
            error => Failure::MalformedInput(format!("{}: {error}", self.files[0].display())),
        })
    }
}

/// The logs of Cobra's sessions, `T1.log` and so on.
fn cobra_logs(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('T') && name.ends_with(".log") {
            logs.push(path);
        }
    }
    logs.sort();
    Ok(logs)
}

/// What a history is worth, model by model.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// The worst judgement: a violation, else unknown, else ok.
    pub judgement: Judgement,
    pub format: &'static str,
    /// Where the history ends too early, if it does: the line, and how many bytes of it there are.
    pub cut: Option<(usize, usize)>,
    pub reports: Vec<Report>,
    /// The cycles of dependencies, where the order of the versions is known and no model was named.
    pub dependencies: Option<Dependencies>,
}

/// Checks a history against models, or against all that make sense for it.
///
/// # Errors
///
/// When the history cannot be read.
pub fn check(source: &Source, models: &[Model]) -> Result<Judged, Failure> {
    // That the higher value wins is known of our own histories; of others, whoever names the model says so.
    let known = source.format.values_are_versions();
    let versions = known || models.contains(&Model::CausalPerKey);
    let reading = source.read(versions)?;
    let all: Vec<Model> = Model::ALL
        .into_iter()
        .filter(|model| known || *model != Model::CausalPerKey)
        .filter(|model| reading.registers.has_times() || *model != Model::StrictSerializability)
        .collect();
    // They take longer than most models: whoever names models wants those.
    let dependencies = models.is_empty().then(|| reading.registers.dependencies());
    let models = if models.is_empty() { &all } else { models };
    let reports: Vec<Report> = models.iter().map(|model| reading.check(*model)).collect();
    let any = |judgement| reports.iter().any(|report| report.judgement == judgement);
    let judgement = if any(Judgement::Violation) {
        Judgement::Violation
    } else if any(Judgement::Unknown) {
        Judgement::Unknown
    } else {
        Judgement::Ok
    };
    Ok(Judged {
        judgement,
        format: source.format.name(),
        cut: reading.cut.map(|Cut { line, bytes }| (line, bytes)),
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
