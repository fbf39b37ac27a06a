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
use squall_protocol::transaction::Value;

use crate::{Definition, Merge, Table, complaint};

/// The workload.
pub const DEFINITION: Definition = Definition {
    tables: &[TABLE],
    merge,
};

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
};

/// Fills the empty table in PostgreSQL with `$1` rows.
pub const SEED_POSTGRES: &str = "INSERT INTO lists (id, k, v) SELECT k::text, k, '' FROM generate_series(0, $1::bigint - 1) AS k";

/// Inserts the row that a key has at first: id, key, list. For databases that sync with nobody.
pub const SEED: &str = "INSERT INTO lists (id, k, v) VALUES ($1, $2, $3)";

/// Every row's id, key and list, in key order.
pub const READ: &str = "SELECT id, k, v FROM lists ORDER BY k";

/// As [`READ`], of the key `$1`.
pub const READ_KEY: &str = "SELECT id, k, v FROM lists WHERE k = $1";

/// As [`READ`], with the key as a 64-bit integer.
pub const READ_POSTGRES: &str = "SELECT id, k::int8, v FROM lists ORDER BY k";

/// As [`READ_POSTGRES`], of the key `$1`.
pub const READ_KEY_POSTGRES: &str = "SELECT id, k::int8, v FROM lists WHERE k = $1::int8";

/// Writes the list `$1` to the row of the id `$2`.
pub const WRITE: &str = "UPDATE lists SET v = $1 WHERE id = $2";

/// The list with one more element.
pub fn append(list: &str, element: Value) -> String {
    match list.is_empty() {
        true => element.to_string(),
        false => format!("{list} {element}"),
    }
}

fn merge(entry: &CrudEntry) -> Result<Merge, String> {
    if entry.table != TABLE.name || entry.op != CrudOp::Patch {
        return Err(complaint(
            entry,
            "the workload list-append only changes rows of lists",
        ));
    }
    match entry.data.as_ref().and_then(|data| data.get("v")) {
        Some(list @ CrudValue::Text(_)) => Ok(Merge {
            sql: WRITE,
            parameters: vec![list.clone(), CrudValue::Text(entry.id.clone())],
        }),
        _ => Err(complaint(entry, "v must be a text")),
    }
}
