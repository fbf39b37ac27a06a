//! The payload table on SQLite.

use rusqlite::Connection;
use squall_protocol::payload::{PayloadRead, PayloadRow};
use squall_workloads::payload::{self, Action};

/// Every row, with the digest of its body.
pub(super) fn read(sqlite: &Connection) -> rusqlite::Result<PayloadRead> {
    sqlite
        .prepare_cached(payload::READ)?
        .query_map([], |row| {
            let body = row.get_ref(2)?.as_str_or_null()?;
            Ok(PayloadRow {
                id: row.get(0)?,
                version: row.get(1)?,
                body: body.map(payload::digest),
            })
        })?
        .collect()
}

/// Does what belongs to the client's transaction of that sequence number.
pub(super) fn act(sqlite: &Connection, client: &str, seq: i64) -> rusqlite::Result<()> {
    match payload::action(client, seq) {
        Action::Insert { id, body } => sqlite
            .prepare_cached(payload::INSERT)?
            .execute((id, seq, body)),
        Action::Update { id, body } => sqlite
            .prepare_cached(payload::CHANGE)?
            .execute((seq, body, id)),
        Action::Delete { id } => sqlite.prepare_cached(payload::DELETE)?.execute([id]),
    }
    .map(|_| ())
}
