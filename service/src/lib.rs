//! The embedded sync service: PostgreSQL's logical replication in, PowerSync's protocol out.
//!
//! One global bucket per table, with all rows and columns that the publication has of it (`SELECT *
//! FROM table`). [`serve`] is the whole service; `squall serve` is a thin wrapper around it.
//!
//! A bird's eye view: [`postgres`] reads the write-ahead log and sends events to the one thread of
//! [`writer`], which has the [`core`] turn them into operations and makes them durable in [`sqlite`];
//! then the new checkpoint is published, the [open streams][open_stream] of [`http`] and [`socket`]
//! wake up and send what is new, and PostgreSQL may forget the log up to there.
//!
//! What is deliberately not here: anything about workloads, plans or faults, and of the protocol
//! compression, compaction, streams with parameters, custom write checkpoints and the administration
//! API.
//!
//! A client's database must not outlive the PostgreSQL cluster: write checkpoints are positions in
//! its write-ahead log, and those start over with a new cluster.

pub mod core;
mod error;
mod failure;
mod http;
mod open_stream;
mod postgres;
mod shared;
mod socket;
mod sqlite;
mod writer;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::core::token::Verifier;
use crate::core::write_checkpoints::WriteCheckpoints;
pub use crate::error::{ServiceError, SourceError};
use crate::postgres::head::Head;
use crate::postgres::replication::Replication;
use crate::postgres::source::Source;
use crate::shared::Shared;
pub use crate::sqlite::SqliteError;
use crate::sqlite::{Reader, SqliteStorage};
use crate::writer::Writer;

/// What a service needs to know.
#[derive(Clone)]
pub struct Config {
    /// `postgres://user:password@host:port/database`, or several `host:port` with commas between them,
    /// of which the first that answers is taken. The user may replicate and, if there is no
    /// publication yet, make one.
    pub database_url: String,
    /// The SQLite file with the operations; made if missing. Its folder must exist.
    pub storage: PathBuf,
    /// Where to listen; port 0 for a free one.
    pub listen: SocketAddr,
    /// The tables to sync, as `name` (in the schema `public`) or `schema.name`, just as they are
    /// written in the database; a part with a dot in it in double quotes. No two of the same name.
    pub tables: Vec<String>,
    /// The publication to replicate; made for the tables if missing. One that no service made is never
    /// altered. Letters, digits and `_`.
    pub publication: String,
    /// The replication slot, for this service alone; made if missing. Lower-case letters, digits, `_`.
    pub slot: String,
    /// The secret of HS256 tokens, in base64url.
    pub key: String,
    /// The tokens' `kid`.
    pub key_id: String,
    /// The tokens' `aud`.
    pub audience: String,
    /// How often an idle stream gets a line.
    pub keepalive_interval: Duration,
    /// How long to wait at the start for a server that cannot be reached or a slot that is in use, and
    /// later for a source that can no longer be served rightly.
    pub start_deadline: Duration,
}

/// Without its secrets.
impl std::fmt::Debug for Config {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Config")
            .field("storage", &self.storage)
            .field("listen", &self.listen)
            .field("tables", &self.tables)
            .field("publication", &self.publication)
            .field("slot", &self.slot)
            .field("key_id", &self.key_id)
            .field("audience", &self.audience)
            .field("keepalive_interval", &self.keepalive_interval)
            .field("start_deadline", &self.start_deadline)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// A configuration for the table `mww` with the usual names and intervals, on a free port of
    /// 127.0.0.1.
    pub fn new(
        database_url: String,
        storage: PathBuf,
        key: String,
        key_id: String,
        audience: String,
    ) -> Config {
        Config {
            database_url,
            storage,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tables: vec!["mww".into()],
            publication: "powersync".into(),
            slot: "squall".into(),
            key,
            key_id,
            audience,
            keepalive_interval: Duration::from_secs(20),
            start_deadline: Duration::from_secs(10),
        }
    }
}

/// Runs the service until it fails, or until the returned future is dropped. `on_ready` is called
/// once, with the address it listens on, when the first checkpoint can be synced.
///
/// Before that, trouble with the database ends the service with an error; after that, it is logged
/// and the replication goes on when it can, while clients go on with what there is. Only a source that
/// can no longer be served rightly, and stays so for [`Config::start_deadline`], ends it then.
///
/// The process may be killed at any moment: the next service on the same storage file goes on where
/// this one was, and clients notice no more than a lost connection.
pub async fn serve(config: Config, on_ready: impl FnOnce(SocketAddr)) -> Result<(), ServiceError> {
    let unusable = |what, problem| ServiceError::Config { what, problem };
    let verifier = Verifier::new(&config.key, &config.key_id, &config.audience)
        .map_err(|problem| unusable("key", problem))?;
    check_name(&config.publication, true).map_err(|problem| unusable("publication", problem))?;
    check_name(&config.slot, false).map_err(|problem| unusable("slot", problem))?;
    if config.tables.is_empty() {
        return Err(unusable("list of tables", "it is empty".into()));
    }
    let source = Source::new(
        &config.database_url,
        &config.tables,
        &config.publication,
        &config.slot,
    )?;
    let listen_error = |source| ServiceError::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;

    let Writer {
        events,
        mut published,
        refused,
        failed,
    } = Writer::start(open_storage(&config).await?)?;
    let write_checkpoints = Arc::new(Mutex::new(WriteCheckpoints::default()));
    let router = http::router(Arc::new(Shared {
        verifier,
        published: published.clone(),
        reader: Reader::new(&config.storage),
        head: Head::new(source.clone()),
        write_checkpoints: write_checkpoints.clone(),
        keepalive_interval: config.keepalive_interval,
    }));
    let (started, has_started) = oneshot::channel();
    let replication = Replication {
        source,
        events,
        published: published.clone(),
        refused,
        write_checkpoints,
        start_deadline: config.start_deadline,
        started: Some(started),
    };
    // Without this, every line would wait for the acknowledgement of the one before.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let ready = async {
        if has_started.await.is_ok() && published.wait_for(Option::is_some).await.is_ok() {
            tracing::info!(%address, "ready");
            on_ready(address);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // First, so that a failed storage is not reported as whatever it led to.
        biased;
        error = failed => Err(error.map_or(ServiceError::WriterEnded, ServiceError::Storage)),
        error = replication.run() => Err(error.into()),
        result = async { axum::serve(listener, router).await } => result.map_err(ServiceError::Http),
        () = ready => Ok(()),
    }
}

/// Opens the storage; a service that is just ending may hold it for a moment longer.
async fn open_storage(config: &Config) -> Result<SqliteStorage, SqliteError> {
    let deadline = Instant::now() + config.start_deadline;
    loop {
        match SqliteStorage::open(&config.storage) {
            Err(SqliteError::Locked { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
}

/// Slots and, in replication commands, publications have names of these characters.
fn check_name(name: &str, upper_case: bool) -> Result<(), String> {
    let fits = |character: char| {
        character.is_ascii_lowercase()
            || character.is_ascii_digit()
            || character == '_'
            || upper_case && character.is_ascii_uppercase()
    };
    if !name.is_empty() && name.len() <= 63 && name.chars().all(fits) {
        Ok(())
    } else {
        let letters = if upper_case {
            "letters"
        } else {
            "lower-case letters"
        };
        Err(format!(
            "`{name}` must be made of {letters}, digits and `_`, at most 63 of them"
        ))
    }
}
