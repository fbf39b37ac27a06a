//! `junit.xml`: the verdict for build servers.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use squall_protocol::verdict::{Judgement, PropertyVerdict, Verdict};

/// One test case per property: a violation is a failure, `unknown` an error. How often faults were caused are
/// properties of the suite, in JUnit's sense.
pub fn render(run: &str, verdict: &Verdict) -> String {
    let mut suite = TestSuite::new(run);
    suite.add_test_cases(verdict.properties.iter().map(|property| {
        let mut case = TestCase::new(property.property.name(), status(property));
        case.set_classname("squall");
        case
    }));
    for (name, faults) in &verdict.counts.faults {
        suite.add_property((name.clone(), faults.to_string()));
    }
    let mut report = Report::new("squall");
    report.add_test_suite(suite);
    report.to_string().expect("a report is plain text")
}

fn status(property: &PropertyVerdict) -> TestCaseStatus {
    let kind = match property.judgement {
        Judgement::Ok => return TestCaseStatus::success(),
        Judgement::Violation => NonSuccessKind::Failure,
        Judgement::Unknown => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    let lines: Vec<&str> = property
        .examples
        .iter()
        .map(|example| example.summary.as_str())
        .chain(property.note.as_deref())
        .collect();
    if let Some(first) = lines.first() {
        status.set_message(*first);
    }
    status.set_description(lines.join("\n"));
    status
}
