//! `mww`, maximum write wins: the shape of the seed suite.
//!
//! *Rows*: `mww(id, k unique, v)` for the keys 0 to n − 1, all -1 at first; never inserted or deleted.
//!
//! *A transaction* reads every row, or some, or none, then writes one value, unique in the run, to some
//! of them; it leaves out those that hold a higher value, whether it reports what it reads or not.
//!
//! *Merge*: per row, the greatest value wins.
//!
//! *Proves* the session guarantees, atomic visibility and strong convergence. *Can not see* a write
//! that is lost and then overwritten by a higher one: [`crate::ledger`] can.

use squall_protocol::backend::{CrudEntry, CrudOp, CrudValue};
use squall_protocol::sql::Dialect;
use squall_protocol::transaction::{Effects, INITIAL_VALUE, Reads, Rows, Transaction};

use crate::rows::{Malformed, Results};
use crate::workload::{
    Context, Merge, Probe, Shape, Statement, Step, Table, Workload, all_rows, calls_of, complaint,
    rows_reach, seed,
};

/// The workload.
pub struct Mww;

pub(crate) const TABLE: Table = Table {
    name: "mww",
    postgres: "CREATE TABLE IF NOT EXISTS mww (
        id text PRIMARY KEY,
        k integer NOT NULL UNIQUE,
        v bigint NOT NULL
    )",
    canary: "INSERT INTO mww (id, k, v) VALUES ($1, -1, -1)",
    columns: &[("k", "INTEGER"), ("v", "INTEGER")],
    index: &[],
    track_previous: false,
};

/// Fills the empty table with `$1` rows.
static SEED: Statement = seed!("mww", "-1");

/// Every row's key and value, in key order.
static READ: Statement = Statement::common("SELECT k, v FROM mww ORDER BY k");

/// As [`READ`], of the key `$1`.
static READ_KEY: Statement = Statement::common("SELECT k, v FROM mww WHERE k = $1");

/// Writes the value `$1` to the row of the id `$2`, unless that holds a higher one; answers its key if it
/// does not. The condition is in the statement, so that it holds at READ COMMITTED too, where a row may
/// change after it was read.
static WRITE: Statement =
    Statement::common("UPDATE mww SET v = $1 WHERE id = $2 AND v < $1 RETURNING k");

impl Workload for Mww {
    fn tables(&self) -> &'static [Table] {
        const { &[TABLE] }
    }

    fn statements(&self) -> &'static [&'static Statement] {
        STATEMENTS
    }

    fn first_rows(&self, keys: u32) -> Vec<Step> {
        vec![SEED.with([keys.into()])]
    }

    fn shape(&self) -> Shape {
        SHAPE
    }

    fn initial(&self, keys: u32) -> Effects {
        Effects {
            reads: all_rows(keys, INITIAL_VALUE),
            ..Effects::default()
        }
    }

    fn shows(&self, read: &Effects, written: &Rows) -> bool {
        rows_reach(read, written)
    }

    fn compile(&self, context: &Context, transaction: &Transaction) -> Vec<Step> {
        let mut steps = read(context, &transaction.reads);
        steps.extend(write(transaction));
        steps
    }

    fn interpret(
        &self,
        context: &Context,
        transaction: &Transaction,
        results: &mut Results,
    ) -> Result<Effects, Malformed> {
        Ok(Effects {
            reads: rows_read(context, &transaction.reads, results)?,
            writes: results.written(transaction)?,
            ..Effects::default()
        })
    }

    fn merge(&self, entry: &CrudEntry) -> Result<Merge, String> {
        if entry.table != TABLE.name || entry.op != CrudOp::Patch {
            return Err(complaint(
                entry,
                "the workload mww only changes rows of mww",
            ));
        }
        match entry.data.as_ref().and_then(|data| data.get("v")) {
            Some(value @ CrudValue::Integer(_)) => Ok(Merge {
                sql: "UPDATE mww SET v = GREATEST(v, $2) WHERE id = $1",
                parameters: vec![CrudValue::Text(entry.id.clone()), value.clone()],
            }),
            _ => Err(complaint(entry, "v must be an integer")),
        }
    }
}

pub(crate) const SHAPE: Shape = Shape {
    reads_all: true,
    probe: Probe::Any,
};

pub(crate) static STATEMENTS: &[&Statement] = &[&SEED, &READ, &READ_KEY, &WRITE];

/// What the statements read. In PostgreSQL chosen rows come in a statement each, so that at READ COMMITTED
/// they need not belong together; in SQLite, where the key has no index, they come with all others.
fn in_statements<'r>(context: &Context, reads: &'r Reads) -> &'r Reads {
    match (reads, context.dialect) {
        (Reads::Keys(_), Dialect::Sqlite) => &Reads::All,
        _ => reads,
    }
}

/// Reads what is asked for.
pub(crate) fn read(context: &Context, reads: &Reads) -> Vec<Step> {
    crate::workload::read(&READ, &READ_KEY, in_statements(context, reads))
}

pub(crate) fn rows_read(
    context: &Context,
    reads: &Reads,
    results: &mut Results,
) -> Result<Rows, Malformed> {
    let mut read = Rows::new();
    for _ in 0..calls_of(in_statements(context, reads)) {
        for row in results.rows(2)? {
            let key = row.key(0)?;
            if reads.contains(key) {
                read.push((key, row.integer(1)?));
            }
        }
    }
    Ok(read)
}

/// Writes to the rows that are to be written.
pub(crate) fn write(transaction: &Transaction) -> impl Iterator<Item = Step> {
    let value = transaction.value;
    let keys = transaction.written().into_iter();
    keys.map(move |key| WRITE.with([value.into(), key.to_string().into()]))
}
