//! The durable storage: a SQLite file.
//!
//! One thread writes ([`SqliteStorage`]), any number read committed operations ([`Reader`]); the
//! write-ahead log keeps them from blocking each other.
//!
//! `synchronous` is NORMAL: a commit survives the end of this process at any moment, but not
//! certainly the end of the machine. That is enough, because what can be lost is only the end of the
//! log, and the source makes up for it: if it still has the lost transactions, they come again and
//! get the same operation ids; if it was told already that they are safe, [`crate::postgres`] sees
//! that its slot is ahead of us and takes a new snapshot under new bucket names.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::Semaphore;

use crate::core::checkpoint::{Checkpoint, Operation};
use crate::core::storage::{Fetch, MAX_BYTES_PER_FETCH, MAX_OPERATIONS_PER_FETCH, Storage};

/// Stored in the file's `application_id`: a file without it is somebody else's and not touched.
const APPLICATION_ID: u32 = u32::from_be_bytes(*b"sqsv");

/// Stored in the file's `user_version`: a file of another format is not touched.
const FORMAT: u32 = 2;

/// How many reads may run at once.
const MAX_READS: usize = 4;

/// What can go wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    #[error("storage file {}: {source}; check that the folder exists, is writable and has space", path.display())]
    Sqlite {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error(
        "storage file {} has format {found}, this version needs {FORMAT}: delete it, the service fills a new one \
         from PostgreSQL",
        path.display()
    )]
    Format { path: PathBuf, found: u32 },
    #[error(
        "storage file {} is {what}: it is left as it is; choose a file that does not exist yet",
        path.display()
    )]
    Foreign { path: PathBuf, what: String },
    #[error("storage file {}: {source}; check that it can be read", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("storage file {} is used by another process: give each service a file of its own", path.display())]
    Locked { path: PathBuf },
    #[error("storage file {} holds a checkpoint that cannot be read ({source}): delete it, the service fills a new one from PostgreSQL", path.display())]
    Checkpoint {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("lock file {}: {source}; check that the folder exists and is writable", path.display())]
    Lock {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("a read of the storage was aborted")]
    Aborted,
}

fn in_file(path: &Path) -> impl Fn(rusqlite::Error) -> SqliteError + Copy + '_ {
    move |source| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            SqliteError::Locked { path: path.into() }
        }
        _ => SqliteError::Sqlite {
            path: path.into(),
            source,
        },
    }
}

/// The writing side.
#[derive(Debug)]
pub struct SqliteStorage {
    path: PathBuf,
    connection: Connection,
    /// Locked as long as this lives; SQLite itself would let two services write in turns.
    _lock: File,
}

impl SqliteStorage {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    ///
    /// When it is not a storage of this version. Then neither it nor anything beside it is touched.
    pub fn open(path: &Path) -> Result<SqliteStorage, SqliteError> {
        check_owner(path)?;
        let lock = lock(path)?;
        // Once more: whoever held the lock may have made it.
        if check_owner(path)? == Owner::Nobody {
            create(path)?;
        }
        Ok(SqliteStorage {
            path: path.into(),
            connection: connect(path)?,
            _lock: lock,
        })
    }

    /// Runs a statement inside the current transaction, which begins with the first one.
    fn write(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), SqliteError> {
        let error = in_file(&self.path);
        if self.connection.is_autocommit() {
            self.connection
                .execute_batch("BEGIN IMMEDIATE")
                .map_err(error)?;
        }
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map_err(error)?;
        Ok(())
    }
}

/// Whose a file is.
#[derive(PartialEq, Eq)]
enum Owner {
    Us,
    /// It does not exist, or is empty.
    Nobody,
}

/// Reads from the header whose the file is, without SQLite, which would make files beside it. Both
/// numbers are there from the first transaction on, and that one does not go through a write-ahead
/// log.
fn check_owner(path: &Path) -> Result<Owner, SqliteError> {
    let foreign = |what: String| SqliteError::Foreign {
        path: path.into(),
        what,
    };
    let unreadable = |source| SqliteError::Unreadable {
        path: path.into(),
        source,
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Owner::Nobody),
        Err(error) => return Err(unreadable(error)),
        Ok(data) if data.is_dir() => return Err(foreign("a folder".into())),
        Ok(data) if !data.is_file() => return Err(foreign("no ordinary file".into())),
        Ok(data) if data.len() == 0 => return Ok(Owner::Nobody),
        Ok(_) => {}
    }
    let mut header = Vec::new();
    File::open(path)
        .and_then(|file| file.take(100).read_to_end(&mut header))
        .map_err(unreadable)?;
    let number = |offset: usize| {
        let bytes = header.get(offset..offset + 4).unwrap_or_default();
        bytes.try_into().map_or(0, u32::from_be_bytes)
    };
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(foreign("not a SQLite database".into()));
    }
    // The places of `user_version` and `application_id` in SQLite's file format.
    let (format, application_id) = (number(60), number(68));
    if application_id != APPLICATION_ID {
        return Err(foreign(format!(
            "a SQLite database that is no storage of this version of squall (its application_id is {application_id})"
        )));
    }
    if format != FORMAT {
        return Err(SqliteError::Format {
            path: path.into(),
            found: format,
        });
    }
    Ok(Owner::Us)
}

/// Makes the storage in one transaction.
fn create(path: &Path) -> Result<(), SqliteError> {
    let error = in_file(path);
    let connection = Connection::open(path).map_err(error)?;
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = DELETE;
             BEGIN IMMEDIATE;
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {FORMAT};
             CREATE TABLE checkpoint (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL);
             CREATE TABLE operations (
                 bucket INTEGER NOT NULL, op_id INTEGER NOT NULL, subkey TEXT NOT NULL,
                 object_id TEXT NOT NULL, data TEXT, checksum INTEGER NOT NULL,
                 PRIMARY KEY (bucket, op_id)) WITHOUT ROWID;
             CREATE TABLE current_rows (
                 bucket INTEGER NOT NULL, subkey TEXT NOT NULL, op_id INTEGER NOT NULL,
                 PRIMARY KEY (bucket, subkey)) WITHOUT ROWID;
             COMMIT;"
        ))
        .map_err(error)
}

/// Takes the lock of the file, which the end of the process releases.
fn lock(path: &Path) -> Result<File, SqliteError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let file_error = |source| SqliteError::Lock {
        path: lock_path.clone(),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(file_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SqliteError::Locked { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(file_error(source)),
    }
}

fn connect(path: &Path) -> Result<Connection, SqliteError> {
    let error = in_file(path);
    let connection = Connection::open(path).map_err(error)?;
    connection
        .execute_batch(
            "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             PRAGMA cache_size = -8000;",
        )
        .map_err(error)?;
    Ok(connection)
}

fn read_operation(row: &rusqlite::Row<'_>) -> rusqlite::Result<Operation> {
    Ok(Operation {
        op_id: row.get::<_, i64>(0)?.cast_unsigned(),
        subkey: row.get(1)?,
        object_id: row.get(2)?,
        data: row.get(3)?,
        checksum: row.get(4)?,
    })
}

impl Storage for SqliteStorage {
    type Error = SqliteError;

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, SqliteError> {
        let json: Option<String> = self
            .connection
            .query_row("SELECT json FROM checkpoint", [], |row| row.get(0))
            .optional()
            .map_err(in_file(&self.path))?;
        json.map(|json| serde_json::from_str(&json))
            .transpose()
            .map_err(|source| SqliteError::Checkpoint {
                path: self.path.clone(),
                source,
            })
    }

    fn current_row(&mut self, bucket: u64, subkey: &str) -> Result<Option<Operation>, SqliteError> {
        self.connection
            .prepare_cached(
                "SELECT op_id, o.subkey, object_id, data, checksum
                 FROM current_rows c JOIN operations o USING (bucket, op_id)
                 WHERE c.bucket = ? AND c.subkey = ?",
            )
            .and_then(|mut statement| {
                statement
                    .query_row(params![bucket.cast_signed(), subkey], read_operation)
                    .optional()
            })
            .map_err(in_file(&self.path))
    }

    fn first_current_rows(
        &mut self,
        bucket: u64,
        limit: usize,
    ) -> Result<Vec<Operation>, SqliteError> {
        self.connection
            .prepare_cached(
                "SELECT op_id, o.subkey, object_id, data, checksum
                 FROM current_rows c JOIN operations o USING (bucket, op_id)
                 WHERE c.bucket = ? ORDER BY c.subkey LIMIT ?",
            )
            .and_then(|mut statement| {
                statement
                    .query_map(
                        params![bucket.cast_signed(), limit.cast_signed()],
                        read_operation,
                    )?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .map_err(in_file(&self.path))
    }

    fn append(&mut self, bucket: u64, operation: &Operation) -> Result<(), SqliteError> {
        let (bucket, op_id) = (bucket.cast_signed(), operation.op_id.cast_signed());
        self.write(
            "INSERT INTO operations (bucket, op_id, subkey, object_id, data, checksum) VALUES (?, ?, ?, ?, ?, ?)",
            params![
                bucket,
                op_id,
                operation.subkey,
                operation.object_id,
                operation.data,
                operation.checksum
            ],
        )?;
        match operation.data {
            Some(_) => self.write(
                "INSERT OR REPLACE INTO current_rows (bucket, subkey, op_id) VALUES (?, ?, ?)",
                params![bucket, operation.subkey, op_id],
            ),
            None => self.write(
                "DELETE FROM current_rows WHERE bucket = ? AND subkey = ?",
                params![bucket, operation.subkey],
            ),
        }
    }

    fn clear(&mut self) -> Result<(), SqliteError> {
        self.write("DELETE FROM operations", [])?;
        self.write("DELETE FROM current_rows", [])
    }

    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), SqliteError> {
        let json = serde_json::to_string(checkpoint).map_err(|source| SqliteError::Checkpoint {
            path: self.path.clone(),
            source,
        })?;
        self.write(
            "INSERT OR REPLACE INTO checkpoint (id, json) VALUES (1, ?)",
            [json],
        )?;
        self.connection
            .execute_batch("COMMIT")
            .map_err(in_file(&self.path))
    }

    fn rollback(&mut self) -> Result<(), SqliteError> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection
            .execute_batch("ROLLBACK")
            .map_err(in_file(&self.path))
    }
}

/// The reading side, shared by all streams.
#[derive(Clone, Debug)]
pub struct Reader(Arc<ReaderPool>);

#[derive(Debug)]
struct ReaderPool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Reader {
    /// A reader of the file, which must exist.
    pub fn new(path: &Path) -> Reader {
        Reader(Arc::new(ReaderPool {
            path: path.into(),
            idle: Mutex::default(),
            permits: Semaphore::new(MAX_READS),
        }))
    }

    /// Reads operations: at most as many as fit one `data` line, in the order of their ids. Empty only
    /// if there is none.
    pub async fn fetch(&self, fetch: Fetch) -> Result<Vec<Operation>, SqliteError> {
        // Nobody waits for a client while holding a permit, so a slow client blocks no other.
        let _permit = self
            .0
            .permits
            .acquire()
            .await
            .map_err(|_| SqliteError::Aborted)?;
        let pool = self.0.clone();
        tokio::task::spawn_blocking(move || pool.fetch(&fetch))
            .await
            .map_err(|_| SqliteError::Aborted)?
    }
}

impl ReaderPool {
    fn fetch(&self, fetch: &Fetch) -> Result<Vec<Operation>, SqliteError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = idle.map_or_else(|| connect(&self.path), Ok)?;
        let operations = read_operations(&connection, fetch).map_err(in_file(&self.path))?;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        Ok(operations)
    }
}

fn read_operations(connection: &Connection, fetch: &Fetch) -> rusqlite::Result<Vec<Operation>> {
    let mut statement = connection.prepare_cached(
        "SELECT op_id, subkey, object_id, data, checksum FROM operations
         WHERE bucket = ? AND op_id > ? AND op_id <= ? ORDER BY op_id LIMIT ?",
    )?;
    let mut rows = statement.query(params![
        fetch.bucket.cast_signed(),
        i64::try_from(fetch.after).unwrap_or(i64::MAX),
        fetch.up_to.cast_signed(),
        MAX_OPERATIONS_PER_FETCH.cast_signed()
    ])?;
    let mut operations = Vec::new();
    let mut bytes = 0;
    while bytes < MAX_BYTES_PER_FETCH
        && let Some(row) = rows.next()?
    {
        let operation = read_operation(row)?;
        bytes += operation.data.as_ref().map_or(0, String::len);
        operations.push(operation);
    }
    Ok(operations)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Every file of the folder with its bytes.
    fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = std::fs::read_dir(folder).expect("listed");
        entries
            .map(|entry| entry.expect("listed").path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap_or_default()))
            .collect()
    }

    #[test]
    fn what_is_somebody_elses_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("made");
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("text"), "my diary").expect("written");
        std::fs::create_dir(file("folder")).expect("made");
        for (name, setup) in [
            ("plain", "CREATE TABLE t (x)"),
            ("log", "PRAGMA journal_mode = WAL; CREATE TABLE t (x)"),
            ("other", "PRAGMA application_id = 5; CREATE TABLE t (x)"),
            // The storage of an older version looks like somebody else's.
            (
                "old",
                "PRAGMA user_version = 1; CREATE TABLE checkpoint (x)",
            ),
        ] {
            let connection = Connection::open(file(name)).expect("opened");
            connection.execute_batch(setup).expect("set up");
        }
        let before = files(folder.path());
        for name in ["text", "folder", "plain", "log", "other", "old"] {
            let error = SqliteStorage::open(&file(name)).expect_err("refused");
            assert!(
                matches!(error, SqliteError::Foreign { .. }),
                "{name}: {error}"
            );
        }
        assert!(files(folder.path()) == before);
    }

    #[test]
    fn a_database_that_is_in_use_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("used");
        let connection = Connection::open(&path).expect("opened");
        connection
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
            .expect("set up");
        let before = files(folder.path());
        let error = SqliteStorage::open(&path).expect_err("refused");
        assert!(matches!(error, SqliteError::Foreign { .. }), "{error}");
        assert!(files(folder.path()) == before);
    }

    #[test]
    fn a_storage_of_another_format_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("newer");
        drop(SqliteStorage::open(&path).expect("made"));
        let connection = Connection::open(&path).expect("opened");
        connection
            .execute_batch("PRAGMA journal_mode = DELETE; PRAGMA user_version = 3")
            .expect("set up");
        drop(connection);
        let before = files(folder.path());
        let error = SqliteStorage::open(&path).expect_err("refused");
        assert!(
            matches!(error, SqliteError::Format { found: 3, .. }),
            "{error}"
        );
        assert!(files(folder.path()) == before);
    }

    #[test]
    fn an_empty_file_and_ones_own_are_taken() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("empty");
        File::create(&path).expect("made");
        drop(SqliteStorage::open(&path).expect("taken"));
        let mut storage = SqliteStorage::open(&path).expect("taken again");
        assert_eq!(storage.checkpoint().expect("read"), None);
    }
}
