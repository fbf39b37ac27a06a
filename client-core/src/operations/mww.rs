//! `mww` on SQLite.

use rusqlite::Connection;
use squall_protocol::transaction::{Effects, INITIAL_VALUE, Key, Rows, Transaction, Value};
use squall_workloads::mww;

use crate::error::{ClientError, Doing};

/// Reads every row, since they tell whether the database is complete and which rows are higher;
/// reports those that are asked for.
pub(super) fn perform(
    sqlite: &Connection,
    keys: u32,
    transaction: &Transaction,
) -> Result<Effects, ClientError> {
    let rows: Vec<(String, Key, Value)> = sqlite
        .prepare_cached(mww::READ)
        .and_then(|mut statement| {
            statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })
        .doing("reading the rows")?;
    if rows.len() != keys as usize {
        let rows = rows.len();
        return Err(ClientError::NotSynced { rows, keys });
    }
    let mut writes = Rows::new();
    for (id, key, value) in &rows {
        if transaction.keys.contains(key) && *value < transaction.value {
            sqlite
                .prepare_cached(mww::WRITE)
                .and_then(|mut statement| statement.execute((transaction.value, id)))
                .doing("writing a row")?;
            writes.push((*key, transaction.value));
        }
    }
    let reported = |(_, key, value): (String, Key, Value)| {
        transaction.reads.contains(key).then_some((key, value))
    };
    Ok(Effects {
        reads: rows.into_iter().filter_map(reported).collect(),
        writes,
        ..Effects::default()
    })
}

pub(super) fn seed(sqlite: &Connection, keys: u32) -> rusqlite::Result<()> {
    let mut statement = sqlite.prepare(mww::SEED)?;
    (0..keys).try_for_each(|key| {
        statement
            .execute((key.to_string(), key, INITIAL_VALUE))
            .map(|_| ())
    })
}
