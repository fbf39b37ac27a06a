//! The payload table of `ledger --payload`: rows of every kind that an application may have.
//!
//! *Rows*: `payload(id, version, body)`, none at first. A row belongs to a client; `id` is the client's
//! name, a slash and the row's number among the client's, from 0. `version` is the `seq` of the client's
//! transaction that wrote it last. `body` is null, or a text of any Unicode, up to 100 KB.
//!
//! *A transaction* that writes does one thing here, which follows from its client and its `seq` in the
//! ledger alone: it inserts the client's next row, changes one that is there, or deletes its oldest. So
//! whoever sees of a client the transactions 1 to n has to see exactly the rows of [`rows_after`].
//!
//! *Merge*: the last write wins; a row belongs to one client, so there are no others.
//!
//! *Proves* that inserts, changes and deletions travel whole and with their transaction, with every byte.

use squall_protocol::backend::{CrudEntry, CrudOp, CrudValue};
use squall_protocol::payload::{PayloadBody, PayloadRead, PayloadRow};

use crate::rows::{Malformed, Results};
use crate::workload::{Merge, Statement, Step, Table, complaint};

pub(crate) const TABLE: Table = Table {
    name: "payload",
    postgres: "CREATE TABLE IF NOT EXISTS payload (
        id text PRIMARY KEY,
        version bigint NOT NULL,
        body text
    )",
    canary: "INSERT INTO payload (id, version) VALUES ($1, -1)",
    columns: &[("version", "INTEGER"), ("body", "TEXT")],
    index: &[],
    track_previous: false,
};

/// Every row's id, version and body, ordered by id: by its bytes, as SQLite does by itself.
pub(crate) static READ: Statement = Statement {
    sqlite: "SELECT id, version, body FROM payload ORDER BY id",
    postgres: "SELECT id, version, body FROM payload ORDER BY id COLLATE \"C\"",
};

/// Inserts a row: id, version, body.
pub(crate) static INSERT: Statement =
    Statement::common("INSERT INTO payload (id, version, body) VALUES ($1, $2, $3)");

/// Changes a row: version, body, id.
pub(crate) static CHANGE: Statement =
    Statement::common("UPDATE payload SET version = $1, body = $2 WHERE id = $3");

/// Deletes the row of the id `$1`.
pub(crate) static DELETE: Statement = Statement::common("DELETE FROM payload WHERE id = $1");

/// What belongs to the client's transaction of that sequence number.
pub(crate) fn act(client: &str, seq: i64) -> Step {
    match action(client, seq) {
        Action::Insert { id, body } => INSERT.with([id.into(), seq.into(), body.into()]),
        Action::Update { id, body } => CHANGE.with([seq.into(), body.into(), id.into()]),
        Action::Delete { id } => DELETE.with([id.into()]),
    }
}

/// Every row, with the digest of its body.
pub(crate) fn rows_read(results: &mut Results) -> Result<PayloadRead, Malformed> {
    let mut read = PayloadRead::new();
    for mut row in results.rows(3)? {
        read.push(PayloadRow {
            id: row.text(0)?,
            version: row.integer(1)?,
            body: row.text_or_null(2)?.as_deref().map(digest),
        });
    }
    Ok(read)
}

/// What a transaction does with the payload table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Insert { id: String, body: Option<String> },
    Update { id: String, body: Option<String> },
    Delete { id: String },
}

/// A client's transactions go in rounds of this many: insert, change, change, delete.
const ROUND: i64 = 4;
/// So many rounds lie between a row's insertion and its deletion.
const LIFE: i64 = 3;

/// What the client's transaction of that `seq` (from 1) does. Round r (from 0) inserts row r, changes
/// it, changes row r − 1, and deletes row r − 3; what is not there yet is inserted or changed as row r.
pub fn action(client: &str, seq: i64) -> Action {
    let round = (seq - 1) / ROUND;
    let id = |row: i64| format!("{client}/{row}");
    let body = body(client, seq);
    match (seq - 1) % ROUND {
        0 => Action::Insert {
            id: id(round),
            body,
        },
        2 if round >= 1 => Action::Update {
            id: id(round - 1),
            body,
        },
        3 if round >= LIFE => Action::Delete {
            id: id(round - LIFE),
        },
        _ => Action::Update {
            id: id(round),
            body,
        },
    }
}

/// The client's rows when exactly its transactions 1 to `seq` are visible, ordered by id.
pub fn rows_after(client: &str, seq: i64) -> Vec<PayloadRow> {
    let mut rows = std::collections::BTreeMap::new();
    // What an earlier round wrote is deleted or changed since.
    let first = (seq - ROUND * (LIFE + 2)).max(0) / ROUND * ROUND + 1;
    for seq in first..=seq {
        match action(client, seq) {
            Action::Insert { id, body } => {
                rows.insert(id, (seq, body));
            }
            Action::Update { id, body } => {
                if let Some(row) = rows.get_mut(&id) {
                    *row = (seq, body);
                }
            }
            Action::Delete { id } => {
                rows.remove(&id);
            }
        }
    }
    let row = |(id, (version, body)): (String, (i64, Option<String>))| PayloadRow {
        id,
        version,
        body: body.as_deref().map(digest),
    };
    rows.into_iter().map(row).collect()
}

/// A body's length and 64-bit FNV-1a hash (Fowler, Noll and Vo; draft-eastlake-fnv).
pub fn digest(body: &str) -> PayloadBody {
    let hash = body.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    PayloadBody {
        bytes: body.len() as u64,
        digest: hash,
    }
}

/// The texts that bodies are made of: what databases, JSON and drivers are known to stumble over.
const PIECES: [&str; 12] = [
    "plain",
    "",
    "it's \"quoted\" \\ and \\u0041 {json: [null]}",
    "tab\t newline\n carriage\r return",
    "\u{1}\u{7f}\u{85}\u{2028} control",
    "Grüße, ñandú, Ελληνικά, Кириллица",
    "e\u{301} is not \u{e9}",
    "日本語 한국어 中文",
    "עברית العربية \u{202e}right to left",
    "👩‍👩‍👧‍👦 🏳️‍🌈 𝒳 \u{10ffff}",
    "\u{fffd}\u{feff}\u{fffe}\u{200b}",
    "'; DROP TABLE payload; -- %s $1 ?1 :a",
];

/// Bytes of the largest body.
pub const LARGEST: usize = 100_000;

/// The body that the client's transaction of that `seq` writes: null, a short text, or in one of 16 a
/// text of [`LARGEST`] bytes.
fn body(client: &str, seq: i64) -> Option<String> {
    // FNV-1a alone differs little between names that differ little.
    let number = digest(&format!("{client}/{seq}")).digest;
    let number = (number ^ (number >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = number ^ (number >> 32);
    let piece = PIECES[(number % PIECES.len() as u64) as usize];
    match (number >> 40) % 16 {
        0 | 1 => None,
        2 => {
            let mut body = String::with_capacity(LARGEST);
            let start = format!("{client}/{seq} ");
            body.push_str(&start);
            let mut pieces = PIECES.iter().cycle().skip((number % 12) as usize);
            while let Some(piece) = pieces.next()
                && body.len() + piece.len() < LARGEST
            {
                body.push_str(piece);
            }
            body.extend(std::iter::repeat_n('.', LARGEST - body.len()));
            Some(body)
        }
        _ => Some(format!("{piece}{}", number % 1000)),
    }
}

/// What the backend does with a row of an upload.
pub(crate) fn merge(entry: &CrudEntry) -> Result<Merge, String> {
    let id = CrudValue::Text(entry.id.clone());
    if entry.op == CrudOp::Delete {
        return Ok(Merge {
            sql: DELETE.postgres,
            parameters: vec![id],
        });
    }
    let column = |name: &str| entry.data.as_ref().and_then(|data| data.get(name).cloned());
    let Some(version @ CrudValue::Integer(_)) = column("version") else {
        return Err(complaint(entry, "version must be an integer"));
    };
    // A PUT leaves out columns that are null; a PATCH leaves out columns that have not changed.
    let body = column("body");
    match (entry.op, body) {
        (_, Some(CrudValue::Integer(_) | CrudValue::Real(_))) => {
            Err(complaint(entry, "body must be a text or null"))
        }
        (CrudOp::Put, body) => Ok(Merge {
            sql: "INSERT INTO payload (id, version, body) VALUES ($1, $2, $3)
                  ON CONFLICT (id) DO UPDATE SET version = EXCLUDED.version, body = EXCLUDED.body",
            parameters: vec![id, version, body.unwrap_or(CrudValue::Null)],
        }),
        (_, Some(body)) => Ok(Merge {
            sql: CHANGE.postgres,
            parameters: vec![version, body, id],
        }),
        (_, None) => Ok(Merge {
            sql: "UPDATE payload SET version = $2 WHERE id = $1",
            parameters: vec![id, version],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows by playing all actions from the first.
    fn played(client: &str, seq: i64) -> Vec<PayloadRow> {
        let mut rows: Vec<PayloadRow> = Vec::new();
        for seq in 1..=seq {
            let (id, new) = match action(client, seq) {
                Action::Delete { id } => (id, None),
                Action::Insert { id, body } => {
                    assert!(
                        rows.iter().all(|row| row.id != id),
                        "{id} is inserted twice"
                    );
                    (id, Some(body))
                }
                Action::Update { id, body } => {
                    assert!(rows.iter().any(|row| row.id == id), "{id} is not there");
                    (id, Some(body))
                }
            };
            rows.retain(|row| row.id != id);
            rows.extend(new.map(|body| PayloadRow {
                id,
                version: seq,
                body: body.as_deref().map(digest),
            }));
        }
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        rows
    }

    #[test]
    fn the_rows_follow_from_the_sequence_number_alone() {
        for seq in 0..120 {
            assert_eq!(
                rows_after("native-1", seq),
                played("native-1", seq),
                "{seq}"
            );
        }
    }

    #[test]
    fn there_are_nulls_short_texts_and_the_largest() {
        let bodies: Vec<_> = (1..200).map(|seq| body("wasm-1", seq)).collect();
        assert!(bodies.iter().any(Option::is_none));
        let longest = |body: &Option<String>| body.as_ref().is_some_and(|b| b.len() == LARGEST);
        assert!(bodies.iter().any(longest));
        for piece in PIECES {
            let starts =
                |body: &Option<String>| body.as_ref().is_some_and(|b| b.starts_with(piece));
            assert!(bodies.iter().any(starts), "{piece}");
        }
    }
}
