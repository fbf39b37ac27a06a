//! The client's database: its tables, the upload queue, and powersync_core in it.
//!
//! Every method is one SQLite transaction, or none. The tables whose names begin with `ps_` are
//! powersync_core's; what is done with them here is what PowerSync's own SDKs do.

use rusqlite::{Connection, OptionalExtension, ToSql, TransactionBehavior};
use squall_protocol::backend::CrudEntry;
use squall_protocol::contract::{Access, ClientConfig, TableSchema};
use squall_protocol::plan::Uploader;
use squall_protocol::sql::{Call, SqlRows};

use crate::error::{ClientError, Doing};
use crate::execute;
use crate::instruction::Instruction;

/// The key in `ps_kv` of the gate: downloaded checkpoints are applied only when the service has
/// announced this write checkpoint.
const TARGET: &str = "target_checkpoint_request_id";

/// The target from a local write until the write checkpoint after its upload is known.
const PENDING: i64 = i64::MAX;

/// An open database.
pub(crate) struct Store {
    connection: Connection,
    /// The names of the tables that are synced.
    tables: Vec<String>,
    /// Whether the database is known to hold what its transactions need: it has been synced, or
    /// never will be. Rows alone do not tell: a table may be empty.
    complete: bool,
    /// The identity that powersync_core gave the database.
    session: String,
    new_session: bool,
}

/// A piece of the upload queue that makes one upload.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) upload_id: String,
    pub(crate) crud: Vec<CrudEntry>,
    first: i64,
    last: i64,
}

/// Where the uploads stand.
pub(crate) struct QueueState {
    /// Rows in the queue.
    pub(crate) queue: u64,
    /// Whether the queue is empty and the last write checkpoint has been reached.
    pub(crate) acknowledged: bool,
    /// When the last complete checkpoint was applied, in milliseconds since 1970.
    pub(crate) last_synced_at_ms: Option<u64>,
}

impl Store {
    /// Prepares a database, making its tables if there are none. A `local` database syncs with nobody: it is
    /// filled here.
    pub(crate) fn open(
        mut connection: Connection,
        config: &ClientConfig,
        local: bool,
    ) -> Result<Self, ClientError> {
        load_powersync(&connection)?;
        // In one transaction, so that a database is a session or nothing: a crash in between leaves
        // no tables without an identity.
        let sqlite = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing("beginning the transaction that prepares the database")?;
        let new_session = !sqlite
            .prepare("SELECT 1 FROM sqlite_schema WHERE name = 'ps_kv'")
            .and_then(|mut statement| statement.exists([]))
            .doing("looking for PowerSync's tables")?;
        sqlite
            .query_row("SELECT powersync_init()", [], |_| Ok(()))
            .doing("making PowerSync's tables")?;
        sqlite
            .query_row(
                "SELECT powersync_replace_schema(?1)",
                [schema(&config.tables, local).to_string()],
                |_| Ok(()),
            )
            .doing("making the tables")?;
        if local && new_session {
            execute::perform(&sqlite, &config.statements, &config.new_database)?;
        }
        let session = sqlite
            .query_row("SELECT powersync_client_id()", [], |row| row.get(0))
            .doing("reading the database's identity")?;
        sqlite.commit().doing("preparing the database")?;
        Ok(Store {
            connection,
            tables: config
                .tables
                .iter()
                .map(|table| table.name.clone())
                .collect(),
            complete: local,
            session,
            new_session,
        })
    }

    pub(crate) fn session(&self) -> &str {
        &self.session
    }

    pub(crate) fn new_session(&self) -> bool {
        self.new_session
    }

    /// Does the calls in one transaction.
    pub(crate) fn execute(
        &mut self,
        statements: &[String],
        access: Access,
        calls: &[Call],
    ) -> Result<Vec<SqlRows>, ClientError> {
        if !self.complete && last_synced_at(&self.connection)?.is_none() {
            return Err(ClientError::NeverSynced);
        }
        self.complete = true;
        execute::execute(&mut self.connection, statements, access, calls)
    }

    /// The rows of a query of which no statement of the run is made.
    pub(crate) fn query(&self, sql: &str) -> Result<SqlRows, ClientError> {
        if !self.complete && last_synced_at(&self.connection)?.is_none() {
            return Err(ClientError::NeverSynced);
        }
        execute::rows(&self.connection, sql, &[]).doing("reading what is shown")
    }

    /// Lets [`Store::take_changes`] know what changes from now on.
    pub(crate) fn watch_changes(&self) -> Result<(), ClientError> {
        self.connection
            .query_row("SELECT powersync_update_hooks('install')", [], |_| Ok(()))
            .doing("installing the hooks of the live query")
    }

    /// Whether anything was committed to the tables since the last call. Only after
    /// [`Store::watch_changes`].
    pub(crate) fn take_changes(&self) -> Result<bool, ClientError> {
        let changed: String = self
            .connection
            .prepare_cached("SELECT powersync_update_hooks('get')")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .doing("asking what has changed")?;
        let changed: Vec<String> =
            serde_json::from_str(&changed).map_err(|source| ClientError::Malformed {
                what: "the answer of powersync_update_hooks",
                source,
            })?;
        // The tables behind the views: those that are uploaded, and those of a local database.
        let table = |name: &String| {
            let mut prefixes = ["ps_data__", "ps_data_local__"].into_iter();
            prefixes.find_map(|prefix| name.strip_prefix(prefix).map(str::to_owned))
        };
        let mut names = changed.iter().filter_map(table);
        Ok(names.any(|name| self.tables.contains(&name)))
    }

    /// Calls `powersync_control` in a transaction of its own. If that fails, neither the database
    /// nor powersync_core's state has changed.
    pub(crate) fn control(
        &mut self,
        command: &str,
        payload: impl ToSql,
    ) -> Result<Vec<Instruction>, ClientError> {
        let sqlite = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing("beginning a transaction for powersync_core")?;
        let instructions = control(&sqlite, command, payload)?;
        sqlite
            .commit()
            .doing("committing what powersync_core did")?;
        Ok(instructions)
    }

    /// Gives powersync_core lines of a stream, in one transaction, up to the line after which it wants
    /// the stream to be closed. If that fails, the database has not changed, but powersync_core may have
    /// moved on in its memory: the iteration has to be stopped.
    pub(crate) fn lines(&mut self, lines: &[String]) -> Result<Vec<Instruction>, ClientError> {
        let sqlite = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing("beginning a transaction for lines of the stream")?;
        let mut instructions = Vec::new();
        for line in lines {
            let said = control(&sqlite, "line_text", line)?;
            let closes = |said: &Instruction| matches!(said, Instruction::CloseSyncStream { .. });
            let closed = said.iter().any(closes);
            instructions.extend(said);
            if closed {
                break;
            }
        }
        sqlite.commit().doing("committing lines of the stream")?;
        Ok(instructions)
    }

    /// The oldest piece of the queue, if there is any.
    pub(crate) fn next_upload(&self, uploader: Uploader) -> Result<Option<Pending>, ClientError> {
        let (sql, limit) = match uploader {
            Uploader::Transaction => (
                "SELECT id, tx_id, data FROM ps_crud
                 WHERE tx_id = (SELECT tx_id FROM ps_crud ORDER BY id LIMIT 1)
                 ORDER BY id LIMIT ?1",
                -1,
            ),
            Uploader::Batch { size, .. } => (
                "SELECT id, tx_id, data FROM ps_crud ORDER BY id LIMIT ?1",
                i64::from(size.max(1)),
            ),
        };
        let rows: Vec<(i64, i64, String)> = self
            .connection
            .prepare(sql)
            .and_then(|mut statement| {
                statement
                    .query_map([limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect()
            })
            .doing("reading the upload queue")?;
        let (Some((first, tx_id, _)), Some((last, _, _))) = (rows.first(), rows.last()) else {
            return Ok(None);
        };
        let crud = rows
            .iter()
            .map(|(_, _, data)| serde_json::from_str(data))
            .collect::<Result<_, _>>()
            .map_err(|source| ClientError::Malformed {
                what: "a row of the upload queue",
                source,
            })?;
        let upload_id = match uploader {
            Uploader::Transaction => format!("transaction-{tx_id}"),
            Uploader::Batch { .. } => format!("batch-{first}-{last}"),
        };
        Ok(Some(Pending {
            upload_id,
            crud,
            first: *first,
            last: *last,
        }))
    }

    /// Takes an upload that the backend has committed out of the queue. The gate, which powersync_core
    /// shut at the write, stays shut: only a write checkpoint that is requested from now on covers the
    /// upload.
    pub(crate) fn complete_upload(&mut self, pending: &Pending) -> Result<(), ClientError> {
        // All rows of an upload follow one another, as there is one writer.
        self.connection
            .execute(
                "DELETE FROM ps_crud WHERE id BETWEEN ?1 AND ?2",
                (pending.first, pending.last),
            )
            .map(|_| ())
            .doing("taking an upload out of the queue")
    }

    /// Whether a write checkpoint has to be requested: everything is uploaded and the gate does not
    /// know yet what to wait for. The answer is the sequence of local writes, which
    /// [`Store::set_write_checkpoint`] takes.
    pub(crate) fn lacks_write_checkpoint(&self) -> Result<Option<i64>, ClientError> {
        if queue_length(&self.connection)? > 0 || target(&self.connection)? != Some(PENDING) {
            return Ok(None);
        }
        sequence(&self.connection).map(Some)
    }

    /// Lets the gate wait for that write checkpoint, unless something was written since: then the
    /// write checkpoint does not cover it, and the answer is false.
    pub(crate) fn set_write_checkpoint(
        &mut self,
        write_checkpoint: i64,
        since: i64,
    ) -> Result<bool, ClientError> {
        let sqlite = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing("beginning the transaction that stores a write checkpoint")?;
        if queue_length(&sqlite)? > 0 || sequence(&sqlite)? != since {
            return Ok(false);
        }
        set_target(&sqlite, write_checkpoint)?;
        sqlite.commit().doing("storing a write checkpoint")?;
        Ok(true)
    }

    pub(crate) fn queue_state(&self) -> Result<QueueState, ClientError> {
        let queue = queue_length(&self.connection)?;
        let reached = match target(&self.connection)? {
            None => true,
            Some(target) => read_kv(&self.connection, "last_applied_checkpoint_request_id")?
                .is_some_and(|applied| applied >= target),
        };
        let last_synced_at = last_synced_at(&self.connection)?;
        Ok(QueueState {
            queue,
            acknowledged: queue == 0 && reached,
            last_synced_at_ms: last_synced_at.and_then(|at| u64::try_from(at / 1000).ok()),
        })
    }

    /// The rows of SQLite's `PRAGMA integrity_check`: the single row `ok` for an intact file.
    pub(crate) fn integrity_check(&self) -> Result<Vec<String>, ClientError> {
        self.connection
            .prepare("PRAGMA integrity_check")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .doing("checking the database file")
    }

    pub(crate) fn close(self) -> Result<(), ClientError> {
        self.connection
            .close()
            .map_err(|(_, source)| ClientError::Sqlite {
                doing: "closing the database",
                source,
            })
    }
}

/// The version of powersync_core, and the SQLite that it is on: `0.5.4 on SQLite 3.50.4`.
pub(crate) fn versions() -> Result<String, ClientError> {
    let connection = Connection::open_in_memory().doing("opening a database in memory")?;
    load_powersync(&connection)?;
    let (core, sqlite): (String, String) = connection
        .query_row(
            "SELECT powersync_rs_version(), sqlite_version()",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .doing("asking for the versions")?;
    // The version, a slash, and where it was built from.
    let core = core.split('/').next().unwrap_or_default();
    Ok(format!("{core} on SQLite {sqlite}"))
}

/// The tables in the form that `powersync_replace_schema` takes. What is written to a table that is
/// `local_only` is not queued for an upload.
fn schema(tables: &[TableSchema], local_only: bool) -> serde_json::Value {
    let table = |table: &TableSchema| {
        let type_of = |name: &String| {
            let mut columns = table.columns.iter();
            columns
                .find(|column| column.name == *name)
                .map(|column| &column.kind)
        };
        let indexed = table.index.iter();
        let indexed: Vec<_> = indexed
            .map(|name| serde_json::json!({ "name": name, "ascending": true, "type": type_of(name) }))
            .collect();
        let indexes = match indexed.is_empty() {
            true => serde_json::json!([]),
            false => serde_json::json!([{ "name": table.index.join("_"), "columns": indexed }]),
        };
        serde_json::json!({
            "name": table.name,
            "local_only": local_only,
            "columns": table.columns,
            "indexes": indexes,
            "include_old": table.track_previous,
        })
    };
    serde_json::json!({ "tables": tables.iter().map(table).collect::<Vec<_>>() })
}

/// Calls `powersync_control`, to be done within a transaction.
fn control(
    sqlite: &Connection,
    command: &str,
    payload: impl ToSql,
) -> Result<Vec<Instruction>, ClientError> {
    let answer: String = sqlite
        .prepare("SELECT powersync_control(?1, ?2)")
        .and_then(|mut statement| statement.query_row((command, payload), |row| row.get(0)))
        .doing("calling powersync_core")?;
    serde_json::from_str(&answer).map_err(|source| ClientError::Malformed {
        what: "the answer of powersync_control",
        source,
    })
}

/// Puts powersync_core into this connection. Its own way in is SQLite's list of automatic
/// extensions, which would change every connection of the process.
fn load_powersync(connection: &Connection) -> Result<(), ClientError> {
    let mut message = std::ptr::null_mut();
    // SAFETY: the connection is open and stays so during the call. powersync_core is linked
    // statically (its feature `static`), so that it calls SQLite directly and needs no table of
    // SQLite's functions. Its own registrations are undone by SQLite when the connection closes.
    let code = unsafe {
        powersync_core::sqlite3_powersync_init(
            connection.handle().cast(),
            &mut message,
            std::ptr::null_mut(),
        )
    };
    if code == rusqlite::ffi::SQLITE_OK {
        return Ok(());
    }
    // The message, if any, is leaked: this happens once and is the end of the process.
    let text = (!message.is_null()).then(|| {
        // SAFETY: powersync_core stores a C string there, or nothing.
        unsafe { std::ffi::CStr::from_ptr(message) }
            .to_string_lossy()
            .into_owned()
    });
    Err(ClientError::Sqlite {
        doing: "loading powersync_core",
        source: rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), text),
    })
}

/// When the last complete checkpoint was applied, in microseconds since 1970.
fn last_synced_at(connection: &Connection) -> Result<Option<i64>, ClientError> {
    // Complete checkpoints are kept under the highest priority number.
    connection
        .prepare("SELECT last_synced_at FROM ps_sync_state WHERE priority = 2147483647")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)).optional())
        .doing("reading the time of the last sync")
}

fn queue_length(connection: &Connection) -> Result<u64, ClientError> {
    connection
        .prepare("SELECT count(*) FROM ps_crud")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map(i64::unsigned_abs)
        .doing("counting the upload queue")
}

/// The highest id that `ps_crud` has ever given out. The schema is named since a temporary table
/// could bring a second `sqlite_sequence`.
fn sequence(connection: &Connection) -> Result<i64, ClientError> {
    connection
        .prepare("SELECT seq FROM main.sqlite_sequence WHERE name = 'ps_crud'")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)).optional())
        .map(|sequence| sequence.unwrap_or(0))
        .doing("reading the sequence of local writes")
}

fn target(connection: &Connection) -> Result<Option<i64>, ClientError> {
    read_kv(connection, TARGET)
}

fn read_kv(connection: &Connection, key: &str) -> Result<Option<i64>, ClientError> {
    connection
        .prepare("SELECT CAST(value AS INTEGER) FROM ps_kv WHERE key = ?1")
        .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
        .doing("reading PowerSync's state")
}

fn set_target(connection: &Connection, target: i64) -> Result<(), ClientError> {
    connection
        .prepare("SELECT powersync_control('target_checkpoint_request_id', ?1)")
        .and_then(|mut statement| statement.query_row([target], |_| Ok(())))
        .doing("setting the write checkpoint to wait for")
}

#[cfg(test)]
mod tests {
    use squall_protocol::plan::Workload;
    use squall_protocol::sql::Dialect;
    use squall_workloads::{Compiler, Table};

    use super::*;

    #[test]
    fn clients_have_the_indexed_columns_of_the_ledger() {
        let compiler = Compiler::new(Workload::Ledger, false, 1, "native-1", Dialect::Sqlite);
        let tables: Vec<TableSchema> = compiler.tables().iter().map(Table::schema).collect();
        let schema = schema(&tables, false);
        let ledger = &schema["tables"][1];
        assert_eq!(ledger["name"], "ledger");
        assert_eq!(
            ledger["indexes"][0]["columns"][1],
            serde_json::json!({ "name": "seq", "ascending": true, "type": "INTEGER" })
        );
        assert_eq!(schema["tables"][0]["indexes"], serde_json::json!([]));
    }
}
