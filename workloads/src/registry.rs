//! All workloads.

use squall_protocol::plan;

use crate::workload::Workload;
use crate::{counter, gset, ledger, list_append, mww};

/// The workload of that name, with the payload table or without; see [`has_payload`].
pub fn workload(name: plan::Workload, payload: bool) -> &'static dyn Workload {
    match name {
        plan::Workload::Mww => &mww::Mww,
        plan::Workload::Ledger if payload => &ledger::Ledger { payload: true },
        plan::Workload::Ledger => &ledger::Ledger { payload: false },
        plan::Workload::Counter => &counter::Counter,
        plan::Workload::ListAppend => &list_append::ListAppend,
        plan::Workload::Gset => &gset::Gset,
    }
}

/// Whether the workload of that name can have the payload table.
pub fn has_payload(name: plan::Workload) -> bool {
    workload(name, true).tables().len() > workload(name, false).tables().len()
}

#[cfg(test)]
mod tests {
    use squall_protocol::backend::{CrudEntry, CrudOp};
    use squall_protocol::plan::Workload;

    fn entry(table: &str, op: CrudOp, data: serde_json::Value) -> CrudEntry {
        CrudEntry {
            op,
            table: table.to_owned(),
            id: "7".to_owned(),
            data: serde_json::from_value(data).unwrap(),
            previous: None,
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
        let merge = |workload, entry| super::workload(workload, false).merge(entry);
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
