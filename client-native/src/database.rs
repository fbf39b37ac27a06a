//! Opens the database file in the way that keeps what was committed.

use std::path::Path;

use squall_client_core::rusqlite::Connection;

/// Opens or makes the file: write-ahead log, and a COMMIT returns only when it is on the disk.
pub(crate) fn open(path: &Path) -> Result<Connection, String> {
    let in_file = |error| format!("{}: {error}", path.display());
    let connection = Connection::open(path).map_err(in_file)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(in_file)?;
    if mode != "wal" {
        return Err(format!(
            "{}: SQLite's journal mode is {mode} instead of wal; use a file on a local disk",
            path.display()
        ));
    }
    connection
        .pragma_update(None, "synchronous", "full")
        .map_err(in_file)?;
    Ok(connection)
}
