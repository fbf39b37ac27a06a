//! `list-append`: lists to which transactions append.
//!
//! *Rows*: `lists(id, k unique, v)` for the keys 0 to n − 1; `v` is a text, empty at first: the elements
//! in decimal digits, each followed by a space but for the last. Never inserted or deleted.
//!
//! *A transaction* reads some lists whole, then appends its value, unique in the run, to some others or
//! the same: it reads the list and writes it back one element longer.
//!
//! *Merge*: per upload, the last write wins. Two clients that append to one list without knowing of one
//! another write two texts, and the one that is uploaded first is overwritten: by the rule of the
//! merge, not by mistake. Where there is only one copy of the data, no append may be lost.
//!
//! *Proves* causal consistency without clocks or an order of versions that is known beforehand: every
//! list names its writers in their order (Elle's list-append), and the last element names the
//! transaction that it is read from. With one copy it proves strict serializability.

use squall_protocol::backend::{CrudEntry, CrudOp, CrudValue};
use squall_protocol::transaction::{Collections, Effects, Key, Reads, Rows, Transaction};

use crate::rows::{Malformed, Results};
use crate::workload::{
    Context, Merge, Probe, Shape, Statement, Step, Table, Workload, calls_of, collections_hold,
    complaint, empty_collections, seed,
};

/// The workload.
pub struct ListAppend;

const TABLE: Table = Table {
    name: "lists",
    postgres: "CREATE TABLE IF NOT EXISTS lists (
        id text PRIMARY KEY,
        k integer NOT NULL UNIQUE,
        v text NOT NULL
    )",
    canary: "INSERT INTO lists (id, k, v) VALUES ($1, -1, '')",
    columns: &[("k", "INTEGER"), ("v", "TEXT")],
    // Transactions read a few lists of many, and lists grow long.
    index: &["k"],
    track_previous: false,
};

/// Fills the empty table with `$1` rows.
static SEED: Statement = seed!("lists", "''");

/// Every row's key and list, in key order.
static READ: Statement = Statement::common("SELECT k, v FROM lists ORDER BY k");

/// As [`READ`], of the key `$1`.
static READ_KEY: Statement = Statement::common("SELECT k, v FROM lists WHERE k = $1");

/// Appends the element `$1` to the list in the row of the id `$2`; answers its key. In PostgreSQL the list
/// is deliberately read by another part of the statement than the one that writes it, and without a lock:
/// whether an append that comes between is lost is the isolation level's business.
static APPEND: Statement = Statement {
    sqlite: "UPDATE lists SET v = CASE v WHEN '' THEN $1 ELSE v || ' ' || $1 END WHERE id = $2 RETURNING k",
    postgres: "UPDATE lists SET v = (
            SELECT CASE v WHEN '' THEN $1 ELSE v || ' ' || $1 END FROM lists AS before WHERE before.id = $2
        ) WHERE id = $2 RETURNING k",
};

impl Workload for ListAppend {
    fn tables(&self) -> &'static [Table] {
        const { &[TABLE] }
    }

    fn statements(&self) -> &'static [&'static Statement] {
        static STATEMENTS: &[&Statement] = &[&SEED, &READ, &READ_KEY, &APPEND];
        STATEMENTS
    }

    fn first_rows(&self, keys: u32) -> Vec<Step> {
        vec![SEED.with([keys.into()])]
    }

    fn shape(&self) -> Shape {
        Shape {
            reads_all: false,
            probe: Probe::Own,
        }
    }

    fn initial(&self, keys: u32) -> Effects {
        empty_collections(keys)
    }

    fn shows(&self, read: &Effects, written: &Rows) -> bool {
        collections_hold(read, written)
    }

    fn compile(&self, _: &Context, transaction: &Transaction) -> Vec<Step> {
        let element = transaction.value.to_string();
        let append = |key: Key| APPEND.with([element.clone().into(), key.to_string().into()]);
        let mut steps = crate::workload::read(&READ, &READ_KEY, &transaction.reads);
        steps.extend(transaction.written().into_iter().map(append));
        steps
    }

    fn interpret(
        &self,
        _: &Context,
        transaction: &Transaction,
        results: &mut Results,
    ) -> Result<Effects, Malformed> {
        let mut lists = Collections::new();
        for _ in 0..calls_of(&transaction.reads) {
            for mut row in results.rows(2)? {
                lists.push((row.key(0)?, row.text(1)?));
            }
        }
        Ok(Effects {
            writes: results.written(transaction)?,
            collections: (transaction.reads != Reads::Nothing).then_some(lists),
            ..Effects::default()
        })
    }

    fn merge(&self, entry: &CrudEntry) -> Result<Merge, String> {
        if entry.table != TABLE.name || entry.op != CrudOp::Patch {
            return Err(complaint(
                entry,
                "the workload list-append only changes rows of lists",
            ));
        }
        match entry.data.as_ref().and_then(|data| data.get("v")) {
            Some(list @ CrudValue::Text(_)) => Ok(Merge {
                sql: "UPDATE lists SET v = $1 WHERE id = $2",
                parameters: vec![list.clone(), CrudValue::Text(entry.id.clone())],
            }),
            _ => Err(complaint(entry, "v must be a text")),
        }
    }
}
