//! `list-append` on SQLite.

use rusqlite::{Connection, OptionalExtension, Row};
use squall_protocol::transaction::{Collections, Effects, Key, Reads, Rows, Transaction};
use squall_workloads::list_append;

use crate::error::{ClientError, Doing};

/// A row of the table.
struct List {
    id: String,
    key: Key,
    elements: String,
}

impl List {
    fn of(row: &Row) -> rusqlite::Result<List> {
        Ok(List {
            id: row.get(0)?,
            key: row.get(1)?,
            elements: row.get(2)?,
        })
    }
}

/// Reads and reports the lists that are asked for, then writes some back, one element longer.
pub(super) fn perform(
    sqlite: &Connection,
    keys: u32,
    transaction: &Transaction,
) -> Result<Effects, ClientError> {
    let lists = match &transaction.reads {
        Reads::All => all(sqlite, keys)?,
        Reads::Keys(chosen) => {
            let mut chosen = chosen.clone();
            chosen.sort_unstable();
            let lists = chosen.into_iter().map(|key| one(sqlite, keys, key));
            lists.collect::<Result<_, _>>()?
        }
        Reads::Nothing => Vec::new(),
    };
    let mut writes = Rows::new();
    for key in transaction.written() {
        let list = one(sqlite, keys, key)?;
        let longer = list_append::append(&list.elements, transaction.value);
        sqlite
            .prepare_cached(list_append::WRITE)
            .and_then(|mut statement| statement.execute((longer, list.id)))
            .doing("writing a list")?;
        writes.push((key, transaction.value));
    }
    let collections = || -> Collections {
        let lists = lists.into_iter();
        lists.map(|list| (list.key, list.elements)).collect()
    };
    Ok(Effects {
        writes,
        collections: (transaction.reads != Reads::Nothing).then(collections),
        ..Effects::default()
    })
}

fn all(sqlite: &Connection, keys: u32) -> Result<Vec<List>, ClientError> {
    let lists = whatever_is_there(sqlite)?;
    match lists.len() {
        rows if rows == keys as usize => Ok(lists),
        rows => Err(ClientError::NotSynced { rows, keys }),
    }
}

fn whatever_is_there(sqlite: &Connection) -> Result<Vec<List>, ClientError> {
    sqlite
        .prepare_cached(list_append::READ)
        .and_then(|mut statement| statement.query_map([], List::of)?.collect())
        .doing("reading the lists")
}

fn one(sqlite: &Connection, keys: u32, key: Key) -> Result<List, ClientError> {
    let list = sqlite
        .prepare_cached(list_append::READ_KEY)
        .and_then(|mut statement| statement.query_row([key], List::of).optional())
        .doing("reading a list")?;
    match list {
        Some(list) => Ok(list),
        None => {
            let rows = whatever_is_there(sqlite)?.len();
            Err(ClientError::NotSynced { rows, keys })
        }
    }
}

pub(super) fn seed(sqlite: &Connection, keys: u32) -> rusqlite::Result<()> {
    let mut statement = sqlite.prepare(list_append::SEED)?;
    (0..keys).try_for_each(|key| statement.execute((key.to_string(), key, "")).map(|_| ()))
}
