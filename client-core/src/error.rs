//! What can go wrong with a client's database.

use squall_protocol::contract::Execution;
use squall_protocol::sql::SqlRows;

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
    /// A statement of a call failed.
    #[error("{source}, in: {sql}")]
    Statement {
        sql: String,
        source: rusqlite::Error,
    },
    /// A call names a statement that the run does not have.
    #[error("there is no statement {statement} among {statements}")]
    UnknownStatement { statement: usize, statements: usize },
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

/// How a transaction ended of which this came.
pub fn execution(done: Result<Vec<SqlRows>, ClientError>) -> Execution {
    match done {
        Ok(results) => Execution::Committed(results),
        Err(error @ ClientError::CommitUnknown(_)) => Execution::Unknown(error.to_string()),
        Err(error) => Execution::Failed(error.to_string()),
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
