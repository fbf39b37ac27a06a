//! The files that others read: `report.html` for people, `junit.xml` for build servers.

mod drawing;
mod html;
mod junit;
mod matrix;
mod page;
mod timeline;

use std::path::Path;

use squall_checker::History;
use squall_protocol::verdict::Verdict;

pub use matrix::MatrixResult;

/// Writes both into a run folder.
///
/// # Errors
///
/// When they cannot be written.
pub fn write(folder: &Path, history: &History, verdict: &Verdict) -> std::io::Result<()> {
    let run = folder.file_name().unwrap_or_default().to_string_lossy();
    std::fs::write(
        folder.join("report.html"),
        html::render(&run, history, verdict),
    )?;
    std::fs::write(folder.join("junit.xml"), junit::render(&run, verdict))
}

/// Writes `summary.html` and `junit.xml` of a matrix into its folder.
///
/// # Errors
///
/// When they cannot be written.
pub fn write_matrix(folder: &Path, title: &str, results: &[MatrixResult]) -> std::io::Result<()> {
    let absolute = std::fs::canonicalize(folder)?;
    std::fs::write(
        folder.join("summary.html"),
        matrix::html(&absolute, title, results),
    )?;
    std::fs::write(folder.join("junit.xml"), matrix::junit(title, results))
}
