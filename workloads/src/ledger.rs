//! `ledger`: `mww`, and a book of every transaction.
//!
//! *Rows*: those of [`crate::mww`], and `ledger(id, client, seq, writes)`, to which rows are only
//! added. `id` is the transaction's value, so that a row names its transaction; `client` is who did it;
//! `seq` counts the client's transactions from 1; `writes` are the keys it wrote in `mww`, as a JSON
//! array.
//!
//! *A transaction* reads rows as in `mww`. If it reads any, it also reads, per client, the count and the
//! highest `seq` of its rows in the ledger, and the rows that its session's history does not hold yet.
//! Counting all rows every time would take ever longer, so most transactions count only a [`WINDOW`] of
//! the latest; all are counted whenever there are a sixteenth more than at the last time, which takes
//! constant time per row. One that writes does as in `mww`, and inserts its row in the ledger: `seq` is
//! 1 plus the client's highest in that very transaction. So only transactions that happened use up a
//! number, even when their answer is lost or they write nothing to `mww`, because all its rows were
//! higher. One that only reads inserts nothing; one that only writes reads of the ledger its own highest
//! `seq` alone, which it does not report.
//!
//! What a session has read is remembered by the coordinator, which holds its history: it tells the
//! client with each transaction ([`LedgerSeen`]). So a client has nothing to remember, an incarnation
//! can not forget, and a row whose answer was lost on the way is simply read again. The final read asks
//! for all rows, seen or not.
//!
//! *Merge*: an insert, counting repeats. A row of that id which is already there is kept, and its
//! `copies` counts one more: a transaction applied twice is not hidden, does not hold up its uploader's
//! queue, and shows everywhere, since clients see `copies` too (null, which reads as 1, until the row
//! comes back from the backend). `position` is PostgreSQL's own count of insertions; it shows the order
//! in which a client's transactions arrived and is not for clients.
//!
//! *Proves* all that `mww` does, and of every single transaction that it is visible as a whole or not
//! at all, in its client's order, once, and in the end everywhere.

use squall_protocol::backend::{CrudEntry, CrudOp, CrudValue};
use squall_protocol::ledger::{ClientLedger, LedgerSeen};
use squall_protocol::transaction::{Key, Rows};

use crate::{Definition, Merge, Table, complaint, mww, payload};

/// The workload.
pub const DEFINITION: Definition = Definition {
    tables: &[mww::TABLE, TABLE],
    merge,
};

/// The workload with the payload table.
pub const WITH_PAYLOAD: Definition = Definition {
    tables: &[mww::TABLE, TABLE, payload::TABLE],
    merge: merge_with_payload,
};

const TABLE: Table = Table {
    name: "ledger",
    postgres: "CREATE TABLE IF NOT EXISTS ledger (
            id text PRIMARY KEY,
            client text NOT NULL,
            seq bigint NOT NULL,
            writes text NOT NULL,
            copies bigint NOT NULL DEFAULT 1,
            position bigserial
        );
        CREATE INDEX IF NOT EXISTS ledger_client_seq ON ledger (client, seq)",
    canary: "INSERT INTO ledger (id, client, seq, writes) VALUES ($1, '', -1, '')",
    columns: &[
        ("client", "TEXT"),
        ("seq", "INTEGER"),
        ("writes", "TEXT"),
        ("copies", "INTEGER"),
    ],
    // Every transaction counts rows: from the index alone.
    index: &["client", "seq"],
};

/// How many of each client's latest rows are counted by a transaction that does not count all.
pub const WINDOW: i64 = 256;

/// Of all rows, per client its name, the count of its rows and their highest `seq`.
pub const READ_TOTALS: &str = "SELECT coalesce(client, ''), count(*), coalesce(max(seq), 0) FROM ledger GROUP BY client ORDER BY client";

/// The first client after `$1` in the order of names, or null.
pub const NEXT_CLIENT: &str = "SELECT min(client) FROM ledger WHERE client > $1";

/// Of the rows of the client `$1` above the `seq` `$2`: their count and highest `seq`, or 0.
pub const READ_TOTALS_ABOVE: &str =
    "SELECT count(*), coalesce(max(seq), 0) FROM ledger WHERE client = $1 AND seq > $2";

/// The highest `seq` of the client `$1`, 0 if it has none: one less than that of its next transaction.
pub const READ_HIGHEST: &str = "SELECT coalesce(max(seq), 0) FROM ledger WHERE client = $1";

/// The rows of the client `$1` above the `seq` `$2`: seq, id, writes, copies.
pub const READ_ROWS: &str = "SELECT seq, id, coalesce(writes, ''), coalesce(copies, 1) FROM ledger WHERE client = $1 AND seq > $2 ORDER BY seq";

/// As [`READ_ROWS`], in the order of insertion.
pub const READ_ROWS_AS_INSERTED_POSTGRES: &str = "SELECT seq, id, coalesce(writes, ''), coalesce(copies, 1) FROM ledger WHERE client = $1 AND seq > $2 ORDER BY position";

/// Inserts the row of a transaction: id, client, seq, writes.
pub const INSERT: &str = "INSERT INTO ledger (id, client, seq, writes) VALUES ($1, $2, $3, $4)";

/// On a client's own connection to PostgreSQL, before anything else: waits until no other connection
/// of the client `$1` is left. The client may have been killed while its COMMIT was on the way; only
/// then is it known whether that transaction has used up a number.
pub const LOCK_CLIENT_POSTGRES: &str = "SELECT pg_advisory_lock(hashtextextended($1::text, 0))";

/// The `seq` above which rows are to be read of that client, if it has any such.
pub fn unread_above(totals: &ClientLedger, seen: &LedgerSeen) -> Option<i64> {
    match seen.highest.get(&totals.client) {
        None => Some(i64::MIN),
        Some(seen) => (totals.highest > *seen).then_some(*seen),
    }
}

/// The column `writes` for what a transaction wrote to `mww`, in key order.
pub fn writes_column(writes: &Rows) -> String {
    let keys: Vec<Key> = writes.iter().map(|(key, _)| *key).collect();
    serde_json::json!(keys).to_string()
}

fn merge_with_payload(entry: &CrudEntry) -> Result<Merge, String> {
    match entry.table == payload::TABLE.name {
        true => payload::merge(entry),
        false => merge(entry),
    }
}

fn merge(entry: &CrudEntry) -> Result<Merge, String> {
    if entry.table != TABLE.name {
        return mww::merge(entry);
    }
    if entry.op != CrudOp::Put {
        return Err(complaint(
            entry,
            "the workload ledger only inserts rows there",
        ));
    }
    let column = |name: &str| entry.data.as_ref().and_then(|data| data.get(name).cloned());
    let text = |name: &str| match column(name) {
        Some(text @ CrudValue::Text(_)) => Ok(text),
        _ => Err(complaint(entry, &format!("{name} must be a text"))),
    };
    let seq = match column("seq") {
        Some(seq @ CrudValue::Integer(_)) => seq,
        _ => return Err(complaint(entry, "seq must be an integer")),
    };
    Ok(Merge {
        sql: "INSERT INTO ledger (id, client, seq, writes) VALUES ($1, $2, $3, $4)
              ON CONFLICT (id) DO UPDATE SET copies = ledger.copies + 1",
        parameters: vec![
            CrudValue::Text(entry.id.clone()),
            text("client")?,
            seq,
            text("writes")?,
        ],
    })
}
