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

use std::collections::BTreeMap;

use squall_protocol::backend::{CrudEntry, CrudOp, CrudValue};
use squall_protocol::ledger::{ClientLedger, LedgerEffects, LedgerRead, LedgerRow};
use squall_protocol::sql::SqlValue;
use squall_protocol::transaction::{Effects, Reads, Rows, Transaction};

use crate::rows::{Malformed, Results};
use crate::workload::{Context, Merge, Shape, Statement, Step, Table, Workload, complaint};
use crate::{mww, payload};

/// The workload.
pub struct Ledger {
    /// Whether there is the payload table as well.
    pub payload: bool,
}

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
    track_previous: false,
};

/// How many of each client's latest rows are counted by a transaction that does not count all.
pub const WINDOW: i64 = 256;

/// Of all rows, per client its name, the count of its rows, what the count begins after, and their highest
/// `seq`.
static TOTALS: Statement = Statement::common(
    "SELECT coalesce(client, ''), count(*), 0, coalesce(max(seq), 0) FROM ledger GROUP BY client ORDER BY client",
);

/// The number that the JSON object `$1` has for a name.
macro_rules! number_of_name {
    (sqlite) => {
        "SELECT value FROM json_each($1) WHERE key = names.client"
    };
    (postgres) => {
        "SELECT value::bigint FROM json_each_text($1::text::json) WHERE key = names.client"
    };
}

/// The names of the clients that have rows, found one after the other in the index.
macro_rules! names {
    () => {
        "WITH RECURSIVE names (client) AS (
            SELECT min(client) FROM ledger
            UNION ALL
            SELECT (SELECT min(client) FROM ledger WHERE ledger.client > names.client)
            FROM names WHERE client IS NOT NULL
        )"
    };
}

macro_rules! totals_above {
    ($dialect:ident) => {
        concat!(
            names!(),
            ", bounds (client, above) AS MATERIALIZED (
                SELECT client, coalesce((",
            number_of_name!($dialect),
            "), 0) FROM names WHERE client IS NOT NULL
            )
            SELECT client,
                (SELECT count(*) FROM ledger WHERE ledger.client = bounds.client AND seq > above), above,
                (SELECT coalesce(max(seq), 0) FROM ledger WHERE ledger.client = bounds.client AND seq > above)
            FROM bounds ORDER BY client"
        )
    };
}

macro_rules! rows {
    ($dialect:ident, $join:literal) => {
        concat!(
            names!(),
            " SELECT ledger.client, seq, id, coalesce(writes, ''), coalesce(copies, 1) FROM names ",
            $join,
            " ledger ON ledger.client = names.client AND seq > coalesce((",
            number_of_name!($dialect),
            "), -9223372036854775807) ORDER BY names.client, seq"
        )
    };
}

/// As [`TOTALS`], of each client's rows above the `seq` that the JSON object `$1` has for it, or all of them.
static TOTALS_ABOVE: Statement = Statement {
    sqlite: totals_above!(sqlite),
    postgres: totals_above!(postgres),
};

/// Each client's rows above the `seq` that the JSON object `$1` has for it, or all of them: client, seq, id,
/// writes, copies. SQLite takes a cross join to look for names first.
static ROWS: Statement = Statement {
    sqlite: rows!(sqlite, "CROSS JOIN"),
    postgres: rows!(postgres, "JOIN"),
};

/// All rows as [`ROWS`] has them, in PostgreSQL in the order of insertion.
static ROWS_AS_INSERTED: Statement = Statement {
    sqlite: "SELECT client, seq, id, coalesce(writes, ''), coalesce(copies, 1) FROM ledger ORDER BY client, seq",
    postgres: "SELECT client, seq, id, coalesce(writes, ''), coalesce(copies, 1) FROM ledger ORDER BY position",
};

/// The highest `seq` of the client `$1`, 0 if it has none.
static HIGHEST: Statement =
    Statement::common("SELECT coalesce(max(seq), 0) FROM ledger WHERE client = $1");

/// Inserts the row of the client `$2`'s next transaction, of the id `$1`, which has written the value `$3` to
/// some of the rows whose ids are the JSON array `$4`; answers its `seq`.
static INSERT: Statement = Statement {
    sqlite: "INSERT INTO ledger (id, client, seq, writes)
        SELECT $1, $2, 1 + coalesce(max(seq), 0), (
            SELECT '[' || coalesce(group_concat(k, ','), '') || ']'
            FROM (SELECT k FROM mww WHERE v = $3 AND id IN (SELECT value FROM json_each($4)) ORDER BY k)
        ) FROM ledger WHERE client = $2 RETURNING seq",
    postgres: "INSERT INTO ledger (id, client, seq, writes)
        SELECT $1::text, $2::text, 1 + coalesce(max(seq), 0), (
            SELECT '[' || coalesce(string_agg(k::text, ',' ORDER BY k), '') || ']' FROM mww
            WHERE v = $3 AND id IN (SELECT json_array_elements_text($4::text::json))
        ) FROM ledger WHERE client = $2 RETURNING seq",
};

/// On a client's own connection to PostgreSQL, before anything else: waits until no other connection
/// of the client `$1` is left. The client may have been killed while its COMMIT was on the way; only
/// then is it known whether that transaction has used up a number.
static LOCK_CLIENT: Statement =
    Statement::common("SELECT pg_advisory_lock(hashtextextended($1::text, 0))");

static STATEMENTS: [&Statement; 15] = [
    mww::STATEMENTS[0],
    mww::STATEMENTS[1],
    mww::STATEMENTS[2],
    mww::STATEMENTS[3],
    &TOTALS,
    &TOTALS_ABOVE,
    &ROWS,
    &ROWS_AS_INSERTED,
    &HIGHEST,
    &INSERT,
    &LOCK_CLIENT,
    &payload::READ,
    &payload::INSERT,
    &payload::CHANGE,
    &payload::DELETE,
];

impl Workload for Ledger {
    fn tables(&self) -> &'static [Table] {
        const TABLES: &[Table] = &[mww::TABLE, TABLE, payload::TABLE];
        match self.payload {
            true => TABLES,
            false => &TABLES[..2],
        }
    }

    fn statements(&self) -> &'static [&'static Statement] {
        match self.payload {
            true => &STATEMENTS,
            false => &STATEMENTS[..11],
        }
    }

    fn first_rows(&self, keys: u32) -> Vec<Step> {
        mww::Mww.first_rows(keys)
    }

    fn new_connection(&self, client: &str) -> Vec<Step> {
        vec![LOCK_CLIENT.with([client.into()])]
    }

    fn last_seq(&self, client: &str) -> Option<Step> {
        self.payload.then(|| HIGHEST.with([client.into()]))
    }

    fn shape(&self) -> Shape {
        mww::SHAPE
    }

    fn initial(&self, keys: u32) -> Effects {
        Effects {
            ledger: Some(LedgerEffects::default()),
            payload: self.payload.then(Vec::new),
            ..mww::Mww.initial(keys)
        }
    }

    fn shows(&self, read: &Effects, written: &Rows) -> bool {
        mww::Mww.shows(read, written)
    }

    fn compile(&self, context: &Context, transaction: &Transaction) -> Vec<Step> {
        let mut steps = Vec::new();
        if transaction.reads != Reads::Nothing {
            steps.extend(read(context));
            if self.payload {
                steps.push(payload::READ.with([]));
            }
        }
        steps.extend(mww::read(context, &transaction.reads));
        if !transaction.is_read_only() {
            steps.extend(mww::write(transaction));
            let ids = transaction.written().into_iter();
            let ids: Vec<String> = ids.map(|key| key.to_string()).collect();
            steps.push(INSERT.with([
                transaction.value.to_string().into(),
                context.client.into(),
                transaction.value.into(),
                serde_json::json!(ids).to_string().into(),
            ]));
            if self.payload {
                steps.push(payload::act(context.client, context.last_seq + 1));
            }
        }
        steps
    }

    fn interpret(
        &self,
        context: &Context,
        transaction: &Transaction,
        results: &mut Results,
    ) -> Result<Effects, Malformed> {
        let mut ledger = LedgerEffects::default();
        let mut payload = None;
        if transaction.reads != Reads::Nothing {
            ledger.reads = ledger_read(results)?;
            if self.payload {
                payload = Some(payload::rows_read(results)?);
            }
        }
        let reads = mww::rows_read(context, &transaction.reads, results)?;
        let mut writes = Vec::new();
        if !transaction.is_read_only() {
            writes = results.written(transaction)?;
            let inserted = results.rows(1)?.next();
            let inserted =
                inserted.ok_or_else(|| Malformed("the insert answered no row".to_owned()))?;
            ledger.seq = Some(inserted.integer(0)?);
            if self.payload {
                results.rows(0)?;
            }
        }
        Ok(Effects {
            reads,
            writes,
            ledger: Some(ledger),
            payload,
            ..Effects::default()
        })
    }

    fn merge(&self, entry: &CrudEntry) -> Result<Merge, String> {
        match &entry.table {
            table if table == TABLE.name => merge(entry),
            table if self.payload && table == payload::TABLE.name => payload::merge(entry),
            _ => mww::Mww.merge(entry),
        }
    }
}

/// The totals, and the rows that have not been seen.
fn read(context: &Context) -> [Step; 2] {
    let seen = context.seen;
    let totals = match seen.window {
        None => TOTALS.with([]),
        Some(_) => {
            let names = seen.highest.keys();
            let above = names.map(|client| (client, seen.above(client)));
            TOTALS_ABOVE.with([json(above)])
        }
    };
    let rows = match context.as_inserted {
        true => ROWS_AS_INSERTED.with([]),
        false => ROWS.with([json(
            seen.highest.iter().map(|(client, seq)| (client, *seq)),
        )]),
    };
    [totals, rows]
}

/// A JSON object as a parameter.
fn json<'n>(numbers: impl Iterator<Item = (&'n String, i64)>) -> SqlValue {
    let numbers: BTreeMap<&String, i64> = numbers.collect();
    serde_json::json!(numbers).to_string().into()
}

fn ledger_read(results: &mut Results) -> Result<LedgerRead, Malformed> {
    let mut read = LedgerRead::new();
    for mut row in results.rows(4)? {
        read.push(ClientLedger {
            client: row.text(0)?,
            count: row.integer(1)?,
            above: row.integer(2)?,
            highest: row.integer(3)?,
            rows: Vec::new(),
        });
    }
    for mut row in results.rows(5)? {
        let client = row.text(0)?;
        let row = LedgerRow {
            seq: row.integer(1)?,
            id: row.text(2)?,
            writes: row.text(3)?,
            copies: row.integer(4)?,
        };
        match read.binary_search_by(|of| of.client.cmp(&client)) {
            Ok(of) => read[of].rows.push(row),
            // At READ COMMITTED its first row may have come since the totals were read.
            Err(at) => read.insert(
                at,
                ClientLedger {
                    client,
                    count: 0,
                    above: 0,
                    highest: 0,
                    rows: vec![row],
                },
            ),
        }
    }
    Ok(read)
}

/// Rows are only inserted, and repeats are counted.
fn merge(entry: &CrudEntry) -> Result<Merge, String> {
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
