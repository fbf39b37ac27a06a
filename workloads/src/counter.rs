//! `counter`: counters to which transactions add, as a CRDT counter is or a column of which applications
//! say `balance = balance + x`.
//!
//! *Rows*: `counter(id, k unique, v)` for the keys 0 to n − 1, all 0 at first; never inserted or deleted.
//!
//! *A transaction* reads every row, or none, then adds to some of them: its value plus one, so that what it
//! adds is positive and unique in the run.
//!
//! *Merge*: addition. An upload carries the row's old and new value ([`squall_protocol::contract::TableSchema`]
//! `track_previous`), and the backend adds the difference.
//!
//! *Proves* that no increment is lost or applied twice: in the end every counter is the sum of what was
//! added to it. Counters only grow, so a session that reads less than it had read or added has gone back;
//! and nobody can read more than was ever added. *Can not see* which increments a read shows: a sum does
//! not tell, so neither a torn transaction nor an order of others' writes.

use std::collections::BTreeMap;

use squall_protocol::backend::{CrudEntry, CrudOp, CrudValue};
use squall_protocol::transaction::{Effects, Rows, Transaction, increment};

use crate::rows::{Malformed, Results};
use crate::workload::{
    Context, Merge, Probe, Shape, Statement, Step, Table, Workload, all_rows, calls_of, complaint,
    rows_reach, seed,
};

/// The workload.
pub struct Counter;

const TABLE: Table = Table {
    name: "counter",
    postgres: "CREATE TABLE IF NOT EXISTS counter (
        id text PRIMARY KEY,
        k integer NOT NULL UNIQUE,
        v bigint NOT NULL
    )",
    canary: "INSERT INTO counter (id, k, v) VALUES ($1, -1, 0)",
    columns: &[("k", "INTEGER"), ("v", "INTEGER")],
    index: &[],
    track_previous: true,
};

/// Fills the empty table with `$1` rows.
static SEED: Statement = seed!("counter", "0");

/// Every row's key and value, in key order.
static READ: Statement = Statement::common("SELECT k, v FROM counter ORDER BY k");

/// As [`READ`], of the key `$1`.
static READ_KEY: Statement = Statement::common("SELECT k, v FROM counter WHERE k = $1");

/// Adds `$1` to the row of the id `$2`; answers its key.
static ADD: Statement =
    Statement::common("UPDATE counter SET v = v + $1 WHERE id = $2 RETURNING k");

impl Workload for Counter {
    fn tables(&self) -> &'static [Table] {
        const { &[TABLE] }
    }

    fn statements(&self) -> &'static [&'static Statement] {
        static STATEMENTS: &[&Statement] = &[&SEED, &READ, &READ_KEY, &ADD];
        STATEMENTS
    }

    fn first_rows(&self, keys: u32) -> Vec<Step> {
        vec![SEED.with([keys.into()])]
    }

    fn shape(&self) -> Shape {
        Shape {
            reads_all: true,
            // Whether a sum shows a probe can be said where nothing else is added.
            probe: Probe::Reserved,
        }
    }

    fn initial(&self, keys: u32) -> Effects {
        Effects {
            reads: all_rows(keys, 0),
            ..Effects::default()
        }
    }

    fn shows(&self, read: &Effects, written: &Rows) -> bool {
        let reached = written.iter().map(|&(key, value)| (key, increment(value)));
        rows_reach(read, &reached.collect())
    }

    fn compile(&self, _: &Context, transaction: &Transaction) -> Vec<Step> {
        let added = increment(transaction.value);
        let keys = transaction.written().into_iter();
        let mut steps = crate::workload::read(&READ, &READ_KEY, &transaction.reads);
        steps.extend(keys.map(|key| ADD.with([added.into(), key.to_string().into()])));
        steps
    }

    fn interpret(
        &self,
        _: &Context,
        transaction: &Transaction,
        results: &mut Results,
    ) -> Result<Effects, Malformed> {
        Ok(Effects {
            reads: results.keys_and_integers(calls_of(&transaction.reads))?,
            writes: results.written(transaction)?,
            ..Effects::default()
        })
    }

    fn merge(&self, entry: &CrudEntry) -> Result<Merge, String> {
        if entry.table != TABLE.name || entry.op != CrudOp::Patch {
            return Err(complaint(
                entry,
                "the workload counter only changes rows of counter",
            ));
        }
        let value = |columns: &Option<BTreeMap<String, CrudValue>>| match columns
            .as_ref()
            .and_then(|columns| columns.get("v"))
        {
            Some(CrudValue::Integer(value)) => Ok(*value),
            _ => Err(complaint(
                entry,
                "v must be an integer, and so must its previous value",
            )),
        };
        let added = value(&entry.data)?.checked_sub(value(&entry.previous)?);
        let added = added.ok_or_else(|| complaint(entry, "v has changed by too much"))?;
        Ok(Merge {
            sql: "UPDATE counter SET v = v + $1 WHERE id = $2",
            parameters: vec![CrudValue::Integer(added), CrudValue::Text(entry.id.clone())],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(columns: serde_json::Value) -> CrudEntry {
        let mut entry = serde_json::json!({ "op": "PATCH", "type": "counter", "id": "3" });
        let entries = columns.as_object().unwrap().clone();
        entry.as_object_mut().unwrap().extend(entries);
        serde_json::from_value(entry).unwrap()
    }

    #[test]
    fn the_difference_is_added() {
        let merged = Counter.merge(&entry(
            serde_json::json!({ "data": { "v": 12 }, "old": { "v": 5 } }),
        ));
        assert_eq!(merged.unwrap().parameters[0], CrudValue::Integer(7));
    }

    #[test]
    fn an_upload_without_the_previous_value_is_refused() {
        let refused = Counter.merge(&entry(serde_json::json!({ "data": { "v": 12 } })));
        let refused = refused.unwrap_err();
        assert!(refused.contains("previous value"), "{refused}");
    }
}
