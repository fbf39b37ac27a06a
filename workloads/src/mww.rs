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

use crate::{Definition, Merge, Table, complaint};

/// The workload.
pub const DEFINITION: Definition = Definition {
    tables: &[TABLE],
    merge,
};

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
};

/// Fills the empty table in PostgreSQL with `$1` rows of the value `$2`.
pub const SEED_POSTGRES: &str =
    "INSERT INTO mww (id, k, v) SELECT k::text, k, $2 FROM generate_series(0, $1::bigint - 1) AS k";

/// Inserts the row that a key has at first: id, key, value. For databases that sync with nobody.
pub const SEED: &str = "INSERT INTO mww (id, k, v) VALUES ($1, $2, $3)";

/// Every row's id, key and value, in key order.
pub const READ: &str = "SELECT id, k, v FROM mww ORDER BY k";

/// Writes the value `$1` to the row of the id `$2`, which holds a lower one.
pub const WRITE: &str = "UPDATE mww SET v = $1 WHERE id = $2";

/// Every row's key and value, in key order, as 64-bit integers whatever the table was made with.
pub const READ_POSTGRES: &str = "SELECT k::int8, v::int8 FROM mww ORDER BY k";

/// As [`READ_POSTGRES`], of the key `$1`.
pub const READ_KEY_POSTGRES: &str = "SELECT k::int8, v::int8 FROM mww WHERE k = $1::int8";

/// Writes the value `$1` to the row of the key `$2`, unless that holds a higher one. The condition is
/// in the statement, so that it holds at READ COMMITTED too, where a row may change after it was read.
pub const WRITE_POSTGRES: &str = "UPDATE mww SET v = $1::int8 WHERE k = $2::int8 AND v < $1::int8";

/// Rows are only changed, and the greatest value wins.
pub(crate) fn merge(entry: &CrudEntry) -> Result<Merge, String> {
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
