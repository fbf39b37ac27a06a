//! What can go wrong with a client's database.

use squall_protocol::transaction::{Effects, Outcome};

/// An operation on a client's database that was not done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// SQLite, or powersync_core within it, refused.
    #[error("{doing}: {source}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        source: rusqlite::Error,
    },
    /// The COMMIT of a transaction failed, so it may or may not be in the database.
    #[error("COMMIT failed, the transaction may or may not have happened: {0}")]
    CommitUnknown(rusqlite::Error),
    /// No complete checkpoint has ever been applied.
    #[error("the database has never been synced: wait for the first sync")]
    NeverSynced,
    /// The database does not hold all rows that the workload has from the start.
    #[error("the database holds {rows} of {keys} rows: it was made or synced incompletely")]
    NotSynced { rows: usize, keys: u32 },
    /// A transaction names a key that the workload does not have.
    #[error("there is no key {key}: the workload has the keys 0 to {keys} (exclusive)")]
    UnknownKey { key: u32, keys: u32 },
    /// A row of the upload queue, or an answer of powersync_core, is not what it should be.
    #[error("{what} is malformed: {source}")]
    Malformed {
        what: &'static str,
        source: serde_json::Error,
    },
    /// The client has been closed.
    #[error("the client is closed")]
    Closed,
}

/// How a transaction ended for which a client answers this.
pub fn outcome(done: Result<Effects, ClientError>) -> Outcome {
    match done {
        Ok(effects) => Outcome::Ok(effects),
        Err(error @ ClientError::CommitUnknown(_)) => Outcome::Info(error.to_string()),
        Err(error) => Outcome::Fail(error.to_string()),
    }
}

/// Names what was being done when SQLite refused.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, ClientError>;
}

impl<T> Doing<T> for Result<T, rusqlite::Error> {
    fn doing(self, doing: &'static str) -> Result<T, ClientError> {
        self.map_err(|source| ClientError::Sqlite { doing, source })
    }
}
