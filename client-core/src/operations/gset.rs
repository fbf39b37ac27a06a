//! `gset` on SQLite.

use rusqlite::Connection;
use squall_protocol::transaction::{Collections, Effects, Key, Reads, Rows, Transaction, Value};
use squall_workloads::gset;

/// Reads and reports the sets that are asked for, then adds an element to some.
pub(super) fn perform(
    sqlite: &Connection,
    keys: u32,
    transaction: &Transaction,
) -> rusqlite::Result<Effects> {
    let collections = read(sqlite, keys, &transaction.reads)?;
    let mut writes = Rows::new();
    let mut insert = sqlite.prepare_cached(gset::INSERT)?;
    for key in transaction.written() {
        let value = transaction.value;
        insert.execute((gset::id(key, value), key, value))?;
        writes.push((key, value));
    }
    Ok(Effects {
        writes,
        collections,
        ..Effects::default()
    })
}

fn read(sqlite: &Connection, keys: u32, reads: &Reads) -> rusqlite::Result<Option<Collections>> {
    let elements = |sql, key: Option<Key>| -> rusqlite::Result<Vec<(Key, Value)>> {
        sqlite
            .prepare_cached(sql)?
            .query_map(rusqlite::params_from_iter(key), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect()
    };
    Ok(match reads {
        Reads::All => Some(gset::collections(0..keys, elements(gset::READ_ALL, None)?)),
        Reads::Keys(chosen) => {
            let mut found = Vec::new();
            for key in chosen {
                found.extend(elements(gset::READ_KEY, Some(*key))?);
            }
            Some(gset::collections(chosen.iter().copied(), found))
        }
        Reads::Nothing => None,
    })
}
