//! SQLite on the origin private file system (OPFS).
//!
//! The database of a client lives in a pool of OPFS files of its own (the VFS `sahpool` of
//! sqlite-wasm-vfs, a port of the one in SQLite's own WebAssembly build). The pool holds a
//! synchronous access handle on each of its files, and a browser gives out one handle per file: one
//! worker at a time can have the database open, and the browser itself sees to that.

use std::time::Duration;

use gloo_timers::future::TimeoutFuture;
use js_sys::Date;
use sqlite_wasm_rs::WasmOsCallback;
use sqlite_wasm_vfs::sahpool::{
    OpfsSAHError, OpfsSAHPoolCfgBuilder, OpfsSAHPoolUtil, install as install_pool,
};
use squall_client_core::rusqlite::{self, Connection, OpenFlags};
use thiserror::Error;

/// How long the first pause between two attempts is; every next one is twice as long.
const FIRST_PAUSE_MS: u32 = 10;
/// The longest pause between two attempts.
const LONGEST_PAUSE_MS: u32 = 320;

/// Why the database could not be opened.
#[derive(Debug, Error)]
pub enum StorageError {
    /// Somebody else, such as a second tab of the same client, still held the files at the deadline.
    #[error(
        "the database of {client} is in use by another tab or worker and was not released within \
         {waited_ms} ms: close the other tab of this client and reload this one"
    )]
    InUse { client: String, waited_ms: u64 },
    /// The browser has no OPFS, or not here.
    #[error(
        "this browser gives no synchronous access to the origin private file system: use a current \
         Chromium or Firefox, not in a private window, and an address on localhost or https"
    )]
    NotSupported,
    /// Anything else that OPFS reported.
    #[error("the origin private file system failed: {0}")]
    Opfs(OpfsSAHError),
    #[error("SQLite's journal mode is {mode} instead of wal: this build of SQLite is not squall's")]
    NoWal { mode: String },
    #[error("SQLite could not open the database in the origin private file system: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// A client's pool of OPFS files, held by this worker until [`Storage::release`] or its end.
pub struct Storage {
    pool: OpfsSAHPoolUtil,
    vfs: String,
}

impl Storage {
    /// Takes hold of the files of `client`, which are made if there are none.
    ///
    /// A browser releases the files of a closed or reloaded tab some time after it started the next
    /// one, so files that are held by somebody else are tried again until `deadline`.
    ///
    /// # Errors
    /// [`StorageError::InUse`] at the deadline; everything else at once.
    pub async fn acquire(client: &str, deadline: Duration) -> Result<Storage, StorageError> {
        let vfs = format!("opfs-{client}");
        let config = OpfsSAHPoolCfgBuilder::new()
            .vfs_name(&vfs)
            .directory(&format!("squall/{client}"))
            .build();
        let started = Date::now();
        let mut pause = FIRST_PAUSE_MS;
        loop {
            let error = match take_hold(&config).await {
                Ok(pool) => return Ok(Storage { pool, vfs }),
                Err(error) => error,
            };
            match error {
                OpfsSAHError::NotSupported => return Err(StorageError::NotSupported),
                error if !is_held_elsewhere(&error) => return Err(StorageError::Opfs(error)),
                _ => {}
            }
            let waited = Date::now() - started;
            let left = deadline.as_millis() as f64 - waited;
            if left <= 0.0 {
                return Err(StorageError::InUse {
                    client: client.to_owned(),
                    waited_ms: waited as u64,
                });
            }
            TimeoutFuture::new(pause.min(left.ceil() as u32)).await;
            pause = (pause * 2).min(LONGEST_PAUSE_MS);
        }
    }

    /// Opens the database. There may be one connection at a time: the VFS has no locks between
    /// connections of the same worker.
    ///
    /// # Errors
    /// What SQLite reports, as [`StorageError::Sqlite`].
    pub fn open(&self) -> Result<Connection, StorageError> {
        let connection = Connection::open_with_flags_and_vfs(
            "client.db",
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            self.vfs.as_str(),
        )?;
        // The VFS has no shared memory; with the only connection there may be, SQLite keeps a WAL's index
        // in its own memory. A commit then is one flush instead of three, each some milliseconds.
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode != "wal" {
            return Err(StorageError::NoWal { mode });
        }
        connection.pragma_update(None, "synchronous", "full")?;
        Ok(connection)
    }

    /// Lets go of the files, so that another worker can have them. The connection must be closed.
    ///
    /// # Errors
    /// [`StorageError::Opfs`] if the connection is still open.
    pub fn release(self) -> Result<(), StorageError> {
        self.pool.pause().map_err(StorageError::Opfs)
    }
}

/// One attempt to have every file of the pool.
async fn take_hold(
    config: &sqlite_wasm_vfs::sahpool::OpfsSAHPoolCfg,
) -> Result<OpfsSAHPoolUtil, OpfsSAHError> {
    let pool = install_pool::<WasmOsCallback>(config, false).await?;
    // A pool that this worker had released before is still installed, and is woken up.
    pool.resume().await?;
    Ok(pool)
}

/// Whether somebody else has an access handle on one of the files.
fn is_held_elsewhere(error: &OpfsSAHError) -> bool {
    match error {
        OpfsSAHError::Opfs { value, .. } => js_sys::Reflect::get(value, &"name".into())
            .is_ok_and(|name| name == "NoModificationAllowedError"),
        _ => false,
    }
}
