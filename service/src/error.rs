use std::net::SocketAddr;

use crate::sqlite::SqliteError;

/// Why the service did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(
        "cannot listen on {address}: {source}; choose another address, or port 0 for a free port"
    )]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("the service's {what} is not usable: {problem}")]
    Config { what: &'static str, problem: String },
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Storage(#[from] SqliteError),
    #[error("the HTTP server ended: {0}")]
    Http(std::io::Error),
    #[error("the service's writer thread ended unexpectedly; its log has the reason")]
    WriterEnded,
}

/// What is wrong with the source database, or the way to it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(
        "the database URL is not usable: {0}; it has the form postgres://user:password@host:port/database"
    )]
    Url(String),
    #[error(
        "cannot reach PostgreSQL at {at}: {problem}; check the database URL and that the server runs"
    )]
    Unreachable { at: String, problem: String },
    #[error("PostgreSQL at {at} refuses the connection: {problem}; correct the database URL")]
    Refused { at: String, problem: String },
    #[error(
        "PostgreSQL's wal_level is `{0}`, logical replication needs `logical`: \
         run ALTER SYSTEM SET wal_level = logical and restart the server"
    )]
    WalLevel(String),
    #[error(
        "PostgreSQL at {at} is a standby: name the primary, or add target_session_attrs=read-write to the database URL"
    )]
    Standby { at: String },
    #[error("the list of tables is not usable: {0}")]
    Tables(String),
    #[error(
        "there is no table {0} in the database: create it before the service starts, or correct the list of tables"
    )]
    NoTable(String),
    #[error("the table {table} cannot be synced: {problem}")]
    Table { table: String, problem: String },
    #[error(
        "a value of {table}.{column} is not UTF-8, and clients get text as UTF-8 only: \
         correct the value, or use a database with the encoding UTF8"
    )]
    NotText { table: String, column: String },
    #[error("the publication {publication} does not fit: {problem}")]
    Publication {
        publication: String,
        problem: String,
    },
    #[error(
        "the replication slot {0} is in use by another connection: \
         end the other service, or give this one another slot name"
    )]
    SlotInUse(String),
    #[error(
        "the replication slot {slot} is not this service's: it is {what}; \
         give the service another slot name, or drop that slot if nobody needs it"
    )]
    ForeignSlot { slot: String, what: String },
    #[error("PostgreSQL said: {0}")]
    Query(String),
    #[error("the replication stream ended: {0}")]
    Stream(String),
    #[error("a new snapshot is needed: {0}")]
    SnapshotNeeded(String),
    #[error("the service is stopping")]
    Stopping,
}

impl From<tokio_postgres::Error> for SourceError {
    fn from(error: tokio_postgres::Error) -> Self {
        SourceError::Query(describe(&error))
    }
}

/// tokio-postgres's errors say little themselves; the server's message is their source.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(server) => format!("{} ({})", server.message(), server.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

impl SourceError {
    /// Whether the same attempt may succeed a little later without anyone doing anything.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            SourceError::Unreachable { .. }
                | SourceError::SlotInUse(_)
                | SourceError::Stream(_)
                | SourceError::SnapshotNeeded(_)
        )
    }

    /// Whether the source is in a state that cannot be served rightly, until someone changes it.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self,
            SourceError::WalLevel(_)
                | SourceError::Standby { .. }
                | SourceError::NoTable(_)
                | SourceError::Table { .. }
                | SourceError::NotText { .. }
                | SourceError::Publication { .. }
                | SourceError::ForeignSlot { .. }
        )
    }
}
