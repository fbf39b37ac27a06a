//! The file that plain SQLite clients share, and the client that works on it with our own library.

use std::path::Path;
use std::time::Duration;

use squall_client_core::rusqlite::{self, Connection, TransactionBehavior};
use squall_client_core::{ClientError, execute, execution};
use squall_protocol::contract::{Access, ClientConfig, Engine, Execution};
use squall_protocol::sql::Call;

use crate::database;
use crate::error::Error;
use crate::options::NativeOptions;
use crate::plain;
use crate::plain::Database;

/// Makes the table that holds the file's identity.
const IDENTITY_TABLE: &str = "CREATE TABLE squall_database (identity TEXT NOT NULL)";
const NEW_IDENTITY: &str = "INSERT INTO squall_database VALUES (lower(hex(randomblob(16))))";

/// The identity that the file was made with.
pub(crate) const READ_IDENTITY: &str = "SELECT identity FROM squall_database";

/// Makes the file that plain SQLite clients share: its tables, by these statements, and what it holds at
/// first, as the configuration says.
///
/// Clients do not make it themselves: they all begin at once, and a file that is gone in the middle of
/// a run must not come back empty.
///
/// # Errors
///
/// SQLite's own, as text; also when there is such a file already.
pub fn create(file: &Path, tables: &[String], config: &ClientConfig) -> Result<(), String> {
    let connection = database::open(file)?;
    let made = fill(connection, tables, config);
    made.map_err(|error| format!("{}: {error}", file.display()))
}

fn fill(
    mut connection: Connection,
    tables: &[String],
    config: &ClientConfig,
) -> Result<(), ClientError> {
    let failed = |source| ClientError::Sqlite {
        doing: "making the shared file",
        source,
    };
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let statements = tables.iter().map(String::as_str);
    for statement in statements.chain([IDENTITY_TABLE, NEW_IDENTITY]) {
        transaction.execute(statement, []).map_err(failed)?;
    }
    execute::perform(&transaction, &config.statements, &config.new_database)?;
    transaction.commit().map_err(failed)
}

/// A connection to the shared file.
pub(crate) struct Sqlite {
    connection: Connection,
    config: ClientConfig,
    session: String,
}

impl Database for Sqlite {
    type Options = ();

    async fn engine((): &()) -> Engine {
        Engine {
            name: "SQLite".to_owned(),
            version: Some(rusqlite::version().to_owned()),
        }
    }

    async fn open(file: &Path, (): &(), config: ClientConfig) -> Result<Self, String> {
        let connection = database::open(file)?;
        connection
            .busy_timeout(Duration::from_millis(config.request_deadline_ms))
            .map_err(|error| error.to_string())?;
        let identity: String = connection
            .query_row(READ_IDENTITY, [], |row| row.get(0))
            .map_err(|error| format!("it is not a file that squall made: {error}"))?;
        Ok(Sqlite {
            session: format!("{identity}/{}", config.client),
            connection,
            config,
        })
    }

    fn session(&self) -> (String, bool) {
        (self.session.clone(), false)
    }

    async fn execute(&mut self, access: Access, calls: &[Call]) -> Result<Execution, String> {
        let statements = &self.config.statements;
        let results = execute::execute(&mut self.connection, statements, access, calls);
        Ok(execution(results))
    }

    async fn integrity_check(&mut self) -> Result<Vec<String>, String> {
        self.connection
            .prepare("PRAGMA integrity_check")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .map_err(|error| error.to_string())
    }

    async fn close(self) -> Result<(), String> {
        let closed = self.connection.close();
        closed.map_err(|(_, error)| error.to_string())
    }
}

/// Lives the life of a client on the file that plain SQLite clients share.
pub async fn run(options: NativeOptions) -> Result<(), Error> {
    plain::run::<Sqlite>(options, ()).await
}
