//! The summary of a matrix: a page for people, and JUnit for build servers.

use std::fmt::Write;
use std::path::Path;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::html::{escape, open_page};
use crate::commands::matrix::MatrixResult;

/// The page. Links to reports are relative to `folder`, where the page will be.
pub fn html(folder: &Path, title: &str, results: &[MatrixResult]) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, folder, title, results);
    page
}

fn write_page(
    page: &mut String,
    folder: &Path,
    title: &str,
    results: &[MatrixResult],
) -> std::fmt::Result {
    let title = escape(title);
    let ok = results
        .iter()
        .filter(|result| result.exit == Some(0))
        .count();
    open_page(page, &title)?;
    write!(
        page,
        r#"<header><h1>{title}</h1><p>{ok} of {} runs ok</p></header>
<main>
<table>
<thead><tr><th>run</th><th>judgement</th><th class="number">seconds</th><th>report</th></tr></thead>
<tbody>
"#,
        results.len()
    )?;
    for result in results {
        let word = result.word();
        let class = word.split(' ').next().unwrap_or_default();
        let report = match &result.folder {
            Some(run) => {
                let run = run.strip_prefix(folder).unwrap_or(run).join("report.html");
                format!("<a href=\"{}\">report</a>", escape(&run.to_string_lossy()))
            }
            None => escape(result.message.as_deref().unwrap_or_default()),
        };
        writeln!(
            page,
            "<tr><td>{}</td><td><span class=\"judgement {class}\">{word}</span></td>\
             <td class=\"number\">{}</td><td>{report}</td></tr>",
            escape(&result.name),
            result.seconds
        )?;
    }
    page.push_str("</tbody>\n</table>\n</main>\n</body>\n</html>\n");
    Ok(())
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
