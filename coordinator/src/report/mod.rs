//! The files that others read: `report.html` for people, `junit.xml` for build servers.

mod html;
mod junit;
mod timeline;

use std::path::Path;

use squall_checker::History;
use squall_protocol::verdict::Verdict;

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
