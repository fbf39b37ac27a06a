//! `gset`: sets to which elements are only added.
//!
//! *Rows*: `gset(id, k, v)`, none at first: the element `v` of the set `k`. `id` is `k` and `v` with a
//! slash between, so that an element has one row however often it is inserted.
//!
//! *A transaction* reads some sets whole, then adds its value, unique in the run, to some others or the
//! same. A set without elements is read too, and reported as such. As no row is there from the start,
//! a database that has never been synced can not be told from an empty one by its rows: a client that
//! syncs takes no transactions before its first complete checkpoint.
//!
//! *Merge*: an insert; a row that is already there is kept.
//!
//! *Proves* strong convergence, that nothing is read that was not written, that no element vanishes,
//! the session guarantees and atomic visibility, for inserts alone: no merge can excuse a loss.

use std::collections::BTreeMap;

use squall_protocol::backend::{CrudEntry, CrudOp, CrudValue};
use squall_protocol::transaction::{Collections, Effects, Key, Reads, Rows, Transaction, Value};

use crate::rows::{Malformed, Results};
use crate::workload::{
    Context, Merge, Probe, Shape, Statement, Step, Table, Workload, calls_of, collections_hold,
    complaint, empty_collections,
};

/// The workload.
pub struct Gset;

const TABLE: Table = Table {
    name: "gset",
    postgres: "CREATE TABLE IF NOT EXISTS gset (
            id text PRIMARY KEY,
            k bigint NOT NULL,
            v bigint NOT NULL
        );
        CREATE INDEX IF NOT EXISTS gset_k_v ON gset (k, v)",
    canary: "INSERT INTO gset (id, k, v) VALUES ($1, -1, -1)",
    columns: &[("k", "INTEGER"), ("v", "INTEGER")],
    index: &["k", "v"],
    track_previous: false,
};

/// Every element's key and value, in the order of both.
static READ: Statement = Statement::common("SELECT k, v FROM gset ORDER BY k, v");

/// As [`READ`], of the key `$1`.
static READ_KEY: Statement = Statement::common("SELECT k, v FROM gset WHERE k = $1 ORDER BY k, v");

/// Inserts an element: id, key, value.
static INSERT: Statement = Statement::common("INSERT INTO gset (id, k, v) VALUES ($1, $2, $3)");

impl Workload for Gset {
    fn tables(&self) -> &'static [Table] {
        const { &[TABLE] }
    }

    fn statements(&self) -> &'static [&'static Statement] {
        static STATEMENTS: &[&Statement] = &[&READ, &READ_KEY, &INSERT];
        STATEMENTS
    }

    fn shape(&self) -> Shape {
        Shape {
            reads_all: false,
            probe: Probe::OwnIfPossible,
        }
    }

    fn initial(&self, keys: u32) -> Effects {
        empty_collections(keys)
    }

    fn shows(&self, read: &Effects, written: &Rows) -> bool {
        collections_hold(read, written)
    }

    fn compile(&self, _: &Context, transaction: &Transaction) -> Vec<Step> {
        let mut steps = crate::workload::read(&READ, &READ_KEY, &transaction.reads);
        let value = transaction.value;
        let keys = transaction.written().into_iter();
        steps
            .extend(keys.map(|key| INSERT.with([id(key, value).into(), key.into(), value.into()])));
        steps
    }

    fn interpret(
        &self,
        context: &Context,
        transaction: &Transaction,
        results: &mut Results,
    ) -> Result<Effects, Malformed> {
        let elements = results.keys_and_integers(calls_of(&transaction.reads))?;
        let collections = match &transaction.reads {
            Reads::Nothing => None,
            Reads::Keys(keys) => Some(collections(keys.iter().copied(), elements)),
            Reads::All => Some(collections(0..context.keys, elements)),
        };
        let mut writes = Rows::new();
        for key in transaction.written() {
            results.rows(0)?;
            writes.push((key, transaction.value));
        }
        Ok(Effects {
            writes,
            collections,
            ..Effects::default()
        })
    }

    fn merge(&self, entry: &CrudEntry) -> Result<Merge, String> {
        if entry.table != TABLE.name || entry.op != CrudOp::Put {
            return Err(complaint(
                entry,
                "the workload gset only inserts rows of gset",
            ));
        }
        let integer = |name: &str| {
            let column = entry.data.as_ref().and_then(|data| data.get(name));
            match column {
                Some(value @ CrudValue::Integer(_)) => Ok(value.clone()),
                _ => Err(complaint(entry, &format!("{name} must be an integer"))),
            }
        };
        Ok(Merge {
            // Not `DO NOTHING`: a statement that changes no row is an error to the backend.
            sql: "INSERT INTO gset (id, k, v) VALUES ($1, $2, $3)
                  ON CONFLICT (id) DO UPDATE SET k = EXCLUDED.k, v = EXCLUDED.v",
            parameters: vec![
                CrudValue::Text(entry.id.clone()),
                integer("k")?,
                integer("v")?,
            ],
        })
    }
}

/// The sets of those keys, in key order, out of the elements that were read, in the order of [`READ`]. Elements of other keys make sets of their own: whether they may be is for the checker.
fn collections(
    keys: impl IntoIterator<Item = Key>,
    elements: impl IntoIterator<Item = (Key, Value)>,
) -> Collections {
    let mut sets: BTreeMap<Key, String> =
        keys.into_iter().map(|key| (key, String::new())).collect();
    for (key, value) in elements {
        let set = sets.entry(key).or_default();
        if !set.is_empty() {
            set.push(' ');
        }
        set.push_str(&value.to_string());
    }
    sets.into_iter().collect()
}

/// The id of an element's row.
fn id(key: Key, value: Value) -> String {
    format!("{key}/{value}")
}
