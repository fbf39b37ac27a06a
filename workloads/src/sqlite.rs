//! A workload's tables in an ordinary SQLite file. (Clients that sync get theirs from powersync_core.)

use crate::workload::{Table, Workload};

/// The statements that make the tables and their indexes.
pub fn tables(workload: &dyn Workload) -> Vec<String> {
    workload.tables().iter().flat_map(table).collect()
}

fn table(table: &Table) -> Vec<String> {
    let name = table.name;
    let columns = table.columns.iter();
    let columns: String = columns
        .map(|(column, kind)| format!(", {column} {kind}"))
        .collect();
    let mut statements = vec![format!(
        "CREATE TABLE {name} (id TEXT PRIMARY KEY NOT NULL{columns})"
    )];
    if !table.index.is_empty() {
        statements.push(format!(
            "CREATE INDEX {name}_{} ON {name} ({})",
            table.index.join("_"),
            table.index.join(", ")
        ));
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    #[test]
    fn a_table_has_its_columns_and_its_index() {
        assert_eq!(
            tables(&Ledger { payload: false }),
            [
                "CREATE TABLE mww (id TEXT PRIMARY KEY NOT NULL, k INTEGER, v INTEGER)",
                "CREATE TABLE ledger (id TEXT PRIMARY KEY NOT NULL, client TEXT, seq INTEGER, writes TEXT, copies INTEGER)",
                "CREATE INDEX ledger_client_seq ON ledger (client, seq)",
            ]
        );
    }
}
