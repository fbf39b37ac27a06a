//! The workloads: one file each, with its tables, the statements of its transactions, its merge rule
//! at the backend, and what it can prove.
//!
//! What is here is data and pure functions. The client in SQLite (`squall-client-core`), the client on
//! PostgreSQL (`squall-client-native`), the backend and the preparation of the database (`coordinator`)
//! take from here what to say to their databases; the checker has a module per workload.
//!
//! What is deliberately not here: connections, transactions' beginnings and ends, retries. A statement
//! works with SQLite and PostgreSQL alike unless its name says otherwise; parameters are `$1`, `$2`, …
//! and occur in this order, as SQLite takes these for names and numbers them as they occur.

#![forbid(unsafe_code)]

pub mod gset;
pub mod ledger;
pub mod list_append;
pub mod mww;
pub mod payload;
pub mod sqlite;

use squall_protocol::backend::{CrudEntry, CrudValue};
use squall_protocol::plan::Workload;

/// What a workload is made of.
#[derive(Debug)]
pub struct Definition {
    /// All are synced to every client.
    pub tables: &'static [Table],
    /// What the backend does with a row of an upload, or why such a row can not be.
    pub merge: fn(&CrudEntry) -> Result<Merge, String>,
}

/// A table, as PostgreSQL and as clients have it.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    /// Makes the table in PostgreSQL, with its indexes, if there is none.
    pub postgres: &'static str,
    /// Inserts into PostgreSQL a row of the id `$1` that no transaction could have written. It is there
    /// before the storm only, to see that rows of this table come to clients, and go.
    pub canary: &'static str,
    /// The columns that clients have beside `id`: name and SQLite type.
    pub columns: &'static [(&'static str, &'static str)],
    /// The columns of the clients' index, if they need one.
    pub index: &'static [&'static str],
}

/// A statement for PostgreSQL that merges a row of an upload.
#[derive(Debug, PartialEq, Eq)]
pub struct Merge {
    pub sql: &'static str,
    /// Texts, 64-bit integers and nulls.
    pub parameters: Vec<CrudValue>,
}

/// The workload's definition, with the payload table or without. Only `ledger` can have one.
pub fn definition(workload: Workload, payload: bool) -> &'static Definition {
    match workload {
        Workload::Mww => &mww::DEFINITION,
        Workload::Ledger if payload => &ledger::WITH_PAYLOAD,
        Workload::Ledger => &ledger::DEFINITION,
        Workload::ListAppend => &list_append::DEFINITION,
        Workload::Gset => &gset::DEFINITION,
    }
}

/// The clients' tables, in the form that `powersync_replace_schema` takes. What is written to a table
/// that is `local_only` is not queued for an upload.
pub fn client_schema(definition: &Definition, local_only: bool) -> serde_json::Value {
    let tables = definition.tables.iter();
    let tables: Vec<_> = tables
        .map(|table| client_table(table, local_only))
        .collect();
    serde_json::json!({ "tables": tables })
}

fn client_table(table: &Table, local_only: bool) -> serde_json::Value {
    let type_of = |name: &str| {
        let mut columns = table.columns.iter();
        columns
            .find(|(column, _)| *column == name)
            .map(|(_, kind)| *kind)
    };
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|(name, kind)| serde_json::json!({ "name": name, "type": kind }))
        .collect();
    let indexed: Vec<_> = table
        .index
        .iter()
        .map(|name| serde_json::json!({ "name": name, "ascending": true, "type": type_of(name) }))
        .collect();
    let indexes = match indexed.is_empty() {
        true => serde_json::json!([]),
        false => serde_json::json!([{ "name": table.index.join("_"), "columns": indexed }]),
    };
    serde_json::json!({
        "name": table.name,
        "local_only": local_only,
        "columns": columns,
        "indexes": indexes,
    })
}

/// A complaint about a row of an upload.
fn complaint(entry: &CrudEntry, what: &str) -> String {
    format!("row {} of table {}: {what}", entry.id, entry.table)
}

#[cfg(test)]
mod tests {
    use squall_protocol::backend::CrudOp;

    use super::*;

    #[test]
    fn clients_have_the_indexed_columns_of_the_ledger() {
        let schema = client_schema(&ledger::DEFINITION, false);
        let ledger = &schema["tables"][1];
        assert_eq!(ledger["name"], "ledger");
        assert_eq!(
            ledger["indexes"][0]["columns"][1],
            serde_json::json!({ "name": "seq", "ascending": true, "type": "INTEGER" })
        );
        assert_eq!(schema["tables"][0]["indexes"], serde_json::json!([]));
    }

    fn entry(table: &str, op: CrudOp, data: serde_json::Value) -> CrudEntry {
        CrudEntry {
            op,
            table: table.to_owned(),
            id: "7".to_owned(),
            data: serde_json::from_value(data).unwrap(),
        }
    }

    #[test]
    fn only_what_a_workload_does_is_merged() {
        let changed = entry("mww", CrudOp::Patch, serde_json::json!({ "v": 3 }));
        let inserted = entry(
            "ledger",
            CrudOp::Put,
            serde_json::json!({ "client": "native-1", "seq": 1, "writes": "[2]" }),
        );
        let merge = |workload, entry| (definition(workload, false).merge)(entry);
        assert!(merge(Workload::Mww, &changed).is_ok());
        assert!(merge(Workload::Ledger, &changed).is_ok());
        assert!(merge(Workload::Ledger, &inserted).is_ok());
        let texts = |workload, entry| merge(workload, entry).unwrap_err();
        assert_says(&texts(Workload::Mww, &inserted), "only changes rows of mww");
        let deleted = entry("ledger", CrudOp::Delete, serde_json::Value::Null);
        assert_says(&texts(Workload::Ledger, &deleted), "only inserts");
        let partial = entry("ledger", CrudOp::Put, serde_json::json!({ "seq": 1 }));
        assert_says(&texts(Workload::Ledger, &partial), "client must be a text");
    }

    fn assert_says(text: &str, part: &str) {
        assert!(text.contains(part), "{text}");
    }
}
