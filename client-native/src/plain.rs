//! The life of a client whose SQLite database nothing syncs, whatever does its statements: it answers
//! the coordinator as every client does, and sends no status, as there is nothing to sync.

use std::path::Path;

use futures_util::StreamExt;
use squall_protocol::contract::{
    Access, CONTRACT_VERSION, Capabilities, ClientConfig, Engine, Execution, FromClient, Hello,
    LogLevel, ToClient,
};
use squall_protocol::sql::{Call, Dialect};

use crate::control;
use crate::error::Error;
use crate::options::NativeOptions;

/// A database that transactions are done on.
pub(crate) trait Database: Sized {
    /// What it has to be told besides where it is.
    type Options;

    /// What does the statements.
    async fn engine(options: &Self::Options) -> Engine;

    /// Opens the database.
    async fn open(
        file: &Path,
        options: &Self::Options,
        config: ClientConfig,
    ) -> Result<Self, String>;

    /// The session's identity, and whether it began just now.
    fn session(&self) -> (String, bool);

    /// Does the calls in one transaction. An error is the end of the client.
    async fn execute(&mut self, access: Access, calls: &[Call]) -> Result<Execution, String>;

    /// The rows of SQLite's `PRAGMA integrity_check`.
    async fn integrity_check(&mut self) -> Result<Vec<String>, String>;

    /// Closes the database.
    async fn close(self) -> Result<(), String>;
}

/// Lives such a client's life: until the coordinator says stop, or is gone.
pub(crate) async fn run<D: Database>(
    options: NativeOptions,
    database_options: D::Options,
) -> Result<(), Error> {
    let connection = control::connect(&options.control_url).await?;
    let outgoing = connection.outgoing;
    let mut incoming = connection.incoming;
    let life = async move {
        let tell = |message| {
            // A closed channel means that the connection is lost, which `incoming` tells as well.
            let _ = outgoing.send(message);
        };
        let fatal = |error: String| {
            tell(FromClient::Fatal {
                error: error.clone(),
            });
            Error::Fatal(error)
        };
        tell(FromClient::Hello(Hello {
            client: options.client.clone(),
            contract: CONTRACT_VERSION,
            dialect: Dialect::Sqlite,
            engine: Some(D::engine(&database_options).await),
            runtime: None,
            capabilities: Capabilities {
                checks_integrity: true,
                shares_a_file: true,
                ..Capabilities::default()
            },
        }));
        let mut database: Option<D> = None;
        while let Some(message) = incoming.next().await {
            match (message, &mut database) {
                (ToClient::Configure(config), None) => {
                    let file = &options.database;
                    let opened = D::open(file, &database_options, *config).await;
                    let opened = opened.map_err(|error| {
                        let file = file.display();
                        fatal(format!("the database {file} can not be opened: {error}"))
                    })?;
                    let (session, new_session) = opened.session();
                    database = Some(opened);
                    tell(FromClient::Ready {
                        session,
                        new_session,
                    });
                }
                (
                    ToClient::Execute {
                        operation,
                        access,
                        calls,
                    },
                    Some(database),
                ) => {
                    let outcome = database.execute(access, &calls).await;
                    let outcome = outcome.map_err(fatal)?;
                    tell(FromClient::Completed { operation, outcome });
                }
                (ToClient::CheckIntegrity, Some(database)) => {
                    let report = database.integrity_check().await;
                    tell(FromClient::Integrity {
                        report: report.unwrap_or_else(|error| {
                            vec![format!("the check could not be done: {error}")]
                        }),
                    });
                }
                (ToClient::Stop, _) => {
                    return match database {
                        Some(database) => database.close().await.map_err(fatal),
                        None => Ok(()),
                    };
                }
                (other, _) => tell(FromClient::Log {
                    level: LogLevel::Error,
                    line: format!("a client that does not sync can not do this now: {other:?}"),
                }),
            }
        }
        Err(Error::ControlLost)
    };
    futures_util::future::join(life, connection.writer).await.0
}
