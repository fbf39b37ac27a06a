//! The client that reads and writes PostgreSQL itself: the same transactions, at the isolation level
//! that the configuration says.

mod gset;
pub mod ledger;
mod list_append;
mod mww;
pub mod operations;
mod payload;
pub mod session;

use std::cell::Cell;
use std::time::Duration;

use futures_util::StreamExt;
use squall_protocol::control::{ClientConfig, FromClient, LogLevel, ToClient};
use squall_protocol::ledger::LedgerSeen;
use squall_protocol::plan::{Isolation, Workload};
use squall_protocol::transaction::{Effects, Outcome, Transaction};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, IsolationLevel};

use crate::{Error, control};

/// The pause before the first retry of a transaction; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// What a PostgreSQL client has to be told from outside.
#[derive(Clone)]
pub struct PostgresOptions {
    /// The control connection's address without the query, such as `ws://127.0.0.1:4000/control`.
    pub control_url: String,
    /// The client's name in the plan.
    pub client: String,
    /// The database, as `postgres://user@host:port/database`.
    pub database_url: String,
}

/// How one attempt at a transaction ended.
enum Attempt {
    Committed(Effects),
    /// It certainly did not happen, and may succeed if tried again.
    Retry(String),
    /// It certainly did not happen, and would not the next time.
    Failed(String),
    /// It may or may not have happened.
    Unknown(String),
}

/// Lives the life of a client on PostgreSQL: until the coordinator says stop, or is gone.
///
/// It answers [`ToClient::Configure`] and [`ToClient::Transaction`] as every client does, and sends
/// no status, as it does not sync.
pub async fn run_postgres(options: PostgresOptions) -> Result<(), Error> {
    let connection = control::connect(&options.control_url, &options.client).await?;
    let outgoing = connection.outgoing;
    let mut incoming = connection.incoming;
    let life = async move {
        let tell = |message| {
            // A closed channel means that the connection is lost, which `incoming` tells as well.
            let _ = outgoing.send(message);
        };
        tell(FromClient::Hello {
            client: options.client.clone(),
        });
        let mut session: Option<Session> = None;
        while let Some(message) = incoming.next().await {
            match (message, &mut session) {
                (ToClient::Configure(config), None) => {
                    let mut new = Session {
                        options: options.clone(),
                        config,
                        client: None,
                    };
                    if let Err(error) = new.client(new.deadline()).await {
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
                    ToClient::Transaction {
                        operation,
                        transaction,
                        seen,
                    },
                    Some(session),
                ) => {
                    let outcome = session.transact(&transaction, &seen).await;
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
    client: Option<Client>,
}

impl Session {
    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.config.request_deadline_ms)
    }

    /// The connection, made anew if there is none.
    async fn client(&mut self, deadline: Instant) -> Result<&mut Client, String> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            let failed = |reason| format!("no connection to PostgreSQL: {reason}");
            let database = self.options.database_url.parse();
            let database = database.map_err(|error| failed(text(&error)))?;
            // The connection's error, if any, is told to whoever uses the client.
            let (client, _) = timeout_at(deadline, session::connect(&database))
                .await
                .map_err(|_| failed("no answer in time".to_owned()))?
                .map_err(|error| failed(text(&error)))?;
            if self.config.workload == Workload::Ledger {
                let alone = ledger::wait_until_alone(&client, &self.config.client);
                timeout_at(deadline, alone)
                    .await
                    .map_err(|_| failed("an earlier connection does not end".to_owned()))?
                    .map_err(|error| failed(text(&error)))?;
            }
            self.client = Some(client);
        }
        Ok(self.client.as_mut().expect("it has just been made"))
    }

    /// Does a transaction, again and again while PostgreSQL can not serialize it, until the deadline
    /// of a request.
    async fn transact(&mut self, transaction: &Transaction, seen: &LedgerSeen) -> Outcome {
        let keys = self.config.keys;
        if let Some(key) = transaction.unknown_key(keys) {
            return Outcome::Fail(format!("there is no key {key} among {keys}"));
        }
        let deadline = self.deadline();
        let mut pause = FIRST_PAUSE;
        loop {
            let reason = match self.attempt(transaction, seen, deadline).await {
                Attempt::Committed(effects) => return Outcome::Ok(effects),
                Attempt::Failed(reason) => return Outcome::Fail(reason),
                Attempt::Unknown(reason) => return Outcome::Info(reason),
                Attempt::Retry(reason) => reason,
            };
            if Instant::now() + pause >= deadline {
                return Outcome::Fail(format!("given up, as the time is over: {reason}"));
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn attempt(
        &mut self,
        transaction: &Transaction,
        seen: &LedgerSeen,
        deadline: Instant,
    ) -> Attempt {
        let config = self.config.clone();
        let client = match self.client(deadline).await {
            Ok(client) => client,
            Err(reason) => return Attempt::Retry(reason),
        };
        let committing = Cell::new(false);
        let attempt = timeout_at(
            deadline,
            read_and_write(client, transaction, seen, &config, &committing),
        );
        match attempt.await {
            Ok(Ok(effects)) => Attempt::Committed(effects),
            Ok(Err(operations::Error::Postgres(error))) => judge(&error, committing.get()),
            Ok(Err(error)) => Attempt::Failed(error.to_string()),
            Err(_) => {
                // Whatever is still going on there ends with the connection.
                self.client = None;
                match committing.get() {
                    true => Attempt::Unknown("COMMIT was not answered in time".to_owned()),
                    false => Attempt::Failed("PostgreSQL did not answer in time".to_owned()),
                }
            }
        }
    }
}

/// The transaction itself.
async fn read_and_write(
    client: &mut Client,
    transaction: &Transaction,
    seen: &LedgerSeen,
    config: &ClientConfig,
    committing: &Cell<bool>,
) -> Result<Effects, operations::Error> {
    let postgres = client
        .build_transaction()
        .isolation_level(match config.isolation {
            Isolation::ReadCommitted => IsolationLevel::ReadCommitted,
            Isolation::RepeatableRead => IsolationLevel::RepeatableRead,
            Isolation::Serializable => IsolationLevel::Serializable,
        })
        .read_only(!transaction.through.is_write_transaction())
        .start()
        .await?;
    let effects = operations::perform(&postgres, config, transaction, seen).await?;
    committing.set(true);
    postgres.commit().await?;
    Ok(effects)
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
