//! The summary of a matrix: a page for people, and JUnit for build servers.

use std::path::{Path, PathBuf};

use maud::html;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use serde::{Deserialize, Serialize, Serializer};

use super::page::{judgement, page};

/// How a run of a matrix ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixResult {
    /// What tells the run from the others.
    pub name: String,
    /// The exit code of `squall run`; none if it was ended by a signal.
    pub exit: Option<i32>,
    /// The run folder, if the run came that far; within the matrix's folder if it is there.
    #[serde(serialize_with = "lossy")]
    pub folder: Option<PathBuf>,
    pub seconds: u64,
    /// What the run said last on standard error, when it could not be started.
    pub message: Option<String>,
}

impl MatrixResult {
    /// The verdict in a word.
    pub fn word(&self) -> &'static str {
        match self.exit {
            Some(0) => "ok",
            Some(1) => "violation",
            Some(3) => "not recovered",
            Some(2) => "unknown",
            _ => "failed",
        }
    }
}

/// A path in JSON, which has only text.
fn lossy<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref()
        .map(Path::to_string_lossy)
        .serialize(serializer)
}

/// The page. Links to reports are relative to `folder`, where the page will be.
pub fn html(folder: &Path, title: &str, results: &[MatrixResult]) -> String {
    let ok = results.iter().filter(|result| result.exit == Some(0));
    let report = |run: &Path| {
        let run = run.strip_prefix(folder).unwrap_or(run);
        run.join("report.html").to_string_lossy().into_owned()
    };
    page(
        title,
        html! {
            h1 { (title) }
            p { (ok.count()) " of " (results.len()) " runs ok" }
        },
        html! {
            table {
                thead { tr { th { "run" } th { "judgement" } th.number { "seconds" } th { "report" } } }
                tbody {
                    @for result in results {
                        tr {
                            td { (result.name) }
                            td { (judgement(result.word())) }
                            td.number { (result.seconds) }
                            td {
                                @match &result.folder {
                                    Some(run) => a href=(report(run)) { "report" },
                                    None => (result.message.as_deref().unwrap_or_default()),
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// One test case per run.
pub fn junit(title: &str, results: &[MatrixResult]) -> String {
    let mut suite = TestSuite::new(title);
    suite.add_test_cases(results.iter().map(|result| {
        let mut status = match result.exit {
            Some(0) => TestCaseStatus::success(),
            Some(1 | 3) => TestCaseStatus::non_success(NonSuccessKind::Failure),
            _ => TestCaseStatus::non_success(NonSuccessKind::Error),
        };
        if result.exit != Some(0) {
            status.set_message(result.message.as_deref().unwrap_or(result.word()));
        }
        let mut case = TestCase::new(result.name.as_str(), status);
        case.set_classname("squall");
        case.set_time(std::time::Duration::from_secs(result.seconds));
        case
    }));
    let mut report = Report::new("squall");
    report.add_test_suite(suite);
    report.to_string().expect("a report is plain text")
}
