//! The client whose database is PostgreSQL itself: calls in transactions at the isolation level that the
//! configuration says.

pub mod execute;
pub mod session;

use std::cell::Cell;
use std::time::Duration;

use futures_util::StreamExt;
use squall_protocol::contract::{
    Access, CONTRACT_VERSION, Capabilities, ClientConfig, Engine, Execution, FromClient, Hello,
    LogLevel, ToClient,
};
use squall_protocol::plan::Isolation;
use squall_protocol::sql::{Call, Dialect, SqlRows};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, IsolationLevel};

use crate::control;
use crate::error::Error;
use execute::Statements;

/// The pause before the first retry of a transaction; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How long PostgreSQL may be down when the client starts.
const FIRST_CONNECTION_DEADLINE: Duration = Duration::from_secs(30);

/// What a PostgreSQL client has to be told from outside.
#[derive(Clone)]
pub struct PostgresOptions {
    /// The control connection's address.
    pub control_url: String,
    /// The client's name in the plan.
    pub client: String,
    /// The database, as `postgres://user@host:port/database`. Nobody needs it before hello is said.
    pub database_url: Option<String>,
}

/// How one attempt at a transaction ended.
enum Attempt {
    Committed(Vec<SqlRows>),
    /// It certainly did not happen, and may succeed if tried again.
    Retry(String),
    /// It certainly did not happen, and would not the next time.
    Failed(String),
    /// It may or may not have happened.
    Unknown(String),
}

/// Lives the life of a client on PostgreSQL: until the coordinator says stop, or is gone.
///
/// It answers [`ToClient::Configure`] and [`ToClient::Execute`] as every client does, and sends
/// no status, as it does not sync.
pub async fn run_postgres(options: PostgresOptions) -> Result<(), Error> {
    let connection = control::connect(&options.control_url).await?;
    let outgoing = connection.outgoing;
    let mut incoming = connection.incoming;
    let life = async move {
        let tell = |message| {
            // A closed channel means that the connection is lost, which `incoming` tells as well.
            let _ = outgoing.send(message);
        };
        tell(FromClient::Hello(Hello {
            client: options.client.clone(),
            contract: CONTRACT_VERSION,
            dialect: Dialect::Postgres,
            engine: Some(Engine {
                name: "PostgreSQL".to_owned(),
                version: None,
            }),
            runtime: None,
            capabilities: Capabilities::default(),
        }));
        let mut session: Option<Session> = None;
        while let Some(message) = incoming.next().await {
            match (message, &mut session) {
                (ToClient::Configure(config), None) => {
                    let mut new = Session {
                        options: options.clone(),
                        config: *config,
                        connection: None,
                    };
                    if let Err(error) = new.first_connection().await {
                        tell(FromClient::Fatal {
                            error: error.clone(),
                        });
                        return Err(Error::Fatal(error));
                    }
                    session = Some(new);
                    tell(FromClient::Ready {
                        session: "postgres".to_owned(),
                        new_session: false,
                    });
                }
                (
                    ToClient::Execute {
                        operation,
                        access,
                        calls,
                    },
                    Some(session),
                ) => {
                    let outcome = session.execute(access, &calls).await;
                    tell(FromClient::Completed { operation, outcome });
                }
                (ToClient::Stop, _) => return Ok(()),
                (other, _) => tell(FromClient::Log {
                    level: LogLevel::Error,
                    line: format!("a postgres client can not do this now: {other:?}"),
                }),
            }
        }
        Err(Error::ControlLost)
    };
    futures_util::future::join(life, connection.writer).await.0
}

/// A configured client.
struct Session {
    options: PostgresOptions,
    config: ClientConfig,
    /// The connection; none before the first and after one was lost.
    connection: Option<Connection>,
}

struct Connection {
    client: Client,
    statements: Statements,
}

impl Session {
    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.config.request_deadline_ms)
    }

    /// Opens the first connection. PostgreSQL may be down just then.
    async fn first_connection(&mut self) -> Result<(), String> {
        let until = Instant::now() + FIRST_CONNECTION_DEADLINE;
        loop {
            match self.connection(self.deadline()).await {
                Ok(_) => return Ok(()),
                Err(reason) if Instant::now() > until => return Err(reason),
                Err(_) => sleep(LONGEST_PAUSE).await,
            }
        }
    }

    /// The connection, a new one if there is none.
    async fn connection(&mut self, deadline: Instant) -> Result<&mut Connection, String> {
        if self
            .connection
            .as_ref()
            .is_none_or(|c| c.client.is_closed())
        {
            self.connection = None;
            let failed = |reason| format!("no connection to PostgreSQL: {reason}");
            let database = self.options.database_url.as_ref();
            let database =
                database.ok_or_else(|| failed("it is not said where that is".to_owned()))?;
            let database = database.parse().map_err(|error| failed(text(&error)))?;
            // The connection's error, if any, is told to whoever uses the client.
            let (client, _) = timeout_at(deadline, session::connect(&database))
                .await
                .map_err(|_| failed("no answer in time".to_owned()))?
                .map_err(|error| failed(text(&error)))?;
            let mut statements = Statements::new(self.config.statements.clone());
            let first = statements.perform(&client, &self.config.new_connection);
            timeout_at(deadline, first)
                .await
                .map_err(|_| failed("what comes first on it does not end".to_owned()))?
                .map_err(|error| failed(error.to_string()))?;
            self.connection = Some(Connection { client, statements });
        }
        Ok(self.connection.as_mut().expect("it has just been made"))
    }

    /// Does the calls in a transaction, again and again while PostgreSQL can not serialize it, until the
    /// deadline of a request.
    async fn execute(&mut self, access: Access, calls: &[Call]) -> Execution {
        let deadline = self.deadline();
        let mut pause = FIRST_PAUSE;
        loop {
            let reason = match self.attempt(access, calls, deadline).await {
                Attempt::Committed(results) => return Execution::Committed(results),
                Attempt::Failed(reason) => return Execution::Failed(reason),
                Attempt::Unknown(reason) => return Execution::Unknown(reason),
                Attempt::Retry(reason) => reason,
            };
            if Instant::now() + pause >= deadline {
                return Execution::Failed(format!("given up, as the time is over: {reason}"));
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn attempt(&mut self, access: Access, calls: &[Call], deadline: Instant) -> Attempt {
        let isolation = isolation_level(self.config.isolation);
        let connection = match self.connection(deadline).await {
            Ok(connection) => connection,
            Err(reason) => return Attempt::Retry(reason),
        };
        let committing = Cell::new(false);
        let attempt = timeout_at(
            deadline,
            transact(connection, isolation, access, calls, &committing),
        );
        match attempt.await {
            Ok(Ok(results)) => Attempt::Committed(results),
            Ok(Err(execute::Error::Postgres(error))) => judge(&error, committing.get()),
            Ok(Err(error)) => Attempt::Failed(error.to_string()),
            Err(_) => {
                // Whatever is still going on there ends with the connection.
                self.connection = None;
                match committing.get() {
                    true => Attempt::Unknown("COMMIT was not answered in time".to_owned()),
                    false => Attempt::Failed("PostgreSQL did not answer in time".to_owned()),
                }
            }
        }
    }
}

fn isolation_level(isolation: Isolation) -> IsolationLevel {
    match isolation {
        Isolation::ReadCommitted => IsolationLevel::ReadCommitted,
        Isolation::RepeatableRead => IsolationLevel::RepeatableRead,
        Isolation::Serializable => IsolationLevel::Serializable,
    }
}

/// The transaction itself.
async fn transact(
    connection: &mut Connection,
    isolation: IsolationLevel,
    access: Access,
    calls: &[Call],
    committing: &Cell<bool>,
) -> Result<Vec<SqlRows>, execute::Error> {
    let postgres = connection
        .client
        .build_transaction()
        .isolation_level(isolation)
        .read_only(access == Access::Read)
        .start()
        .await?;
    let results = connection.statements.perform(&postgres, calls).await?;
    committing.set(true);
    postgres.commit().await?;
    Ok(results)
}

/// What an error means for the transaction.
fn judge(error: &tokio_postgres::Error, committing: bool) -> Attempt {
    let reason = text(error);
    match error.code() {
        Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED) => {
            Attempt::Retry(reason)
        }
        // Nothing but PostgreSQL's own refusal proves that a COMMIT did not happen, and a server that
        // is being shut down (class 57) may say so after the fact.
        Some(code) if committing && !matches!(&code.code()[..2], "23" | "40") => {
            Attempt::Unknown(reason)
        }
        None if committing => Attempt::Unknown(format!("COMMIT was not answered: {reason}")),
        Some(code) if code.code().starts_with("57P") => Attempt::Retry(reason),
        Some(_) => Attempt::Failed(reason),
        None => Attempt::Retry(reason),
    }
}

/// An error with its cause, which tokio-postgres leaves out of its text.
fn text(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
