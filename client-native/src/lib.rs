//! The native client process, in several kinds.
//!
//! [`run_native`] is the portable client of `squall-client-core` on tokio: HTTP with reqwest, one
//! SQLite file; [`run_local`] the same without ever connecting. [`run_postgres`] is a client that reads
//! and writes PostgreSQL itself. [`run_sqlite`] and [`run_sqlite3`] have nothing but an ordinary SQLite
//! file, which several processes may share. All take their orders from the coordinator over one
//! WebSocket and end when it does, so that no client outlives its run.
//!
//! What is deliberately not here: the client's behaviour (`squall-client-core`), the command line
//! (the coordinator's binary has a subcommand for it), and faults.

mod control;
mod database;
mod http;
mod plain;
mod postgres;
mod shell;
mod sqlite;
mod sqlite3;

use std::path::PathBuf;

use squall_client_core::agent::{AgentEnd, Mode, run_agent};
use squall_protocol::contract::FromClient;

pub use http::{NativePlatform, NoAnswer};
pub use postgres::{PostgresOptions, execute, run_postgres, session};
pub use sqlite::create as create_shared_file;

/// What a native client has to be told from outside; everything else it is told by the coordinator.
#[derive(Clone, Debug)]
pub struct NativeOptions {
    /// The control connection's address.
    pub control_url: String,
    /// The client's name in the plan.
    pub client: String,
    /// The database file, which is made if it does not exist. Its folder must exist.
    pub database: PathBuf,
}

/// Why a client's process ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The coordinator was not reached.
    #[error("no control connection to {url}: {reason}; is the coordinator running?")]
    Control { url: String, reason: String },
    /// The coordinator is gone, and the client with it.
    #[error("the control connection was lost, so the run is over")]
    ControlLost,
    /// The coordinator has been told the same.
    #[error("{0}")]
    Fatal(String),
}

/// Lives a native client's life: until the coordinator says stop, or is gone.
///
/// Its future is not `Send`: it is for a current-thread runtime, or the main future of any other.
pub async fn run_native(options: NativeOptions) -> Result<(), Error> {
    run_with_powersync(options, Mode::Syncing).await
}

/// As [`run_native`], for the client that never connects.
pub async fn run_local(options: NativeOptions) -> Result<(), Error> {
    run_with_powersync(options, Mode::Local).await
}

async fn run_with_powersync(options: NativeOptions, mode: Mode) -> Result<(), Error> {
    let connection = control::connect(&options.control_url).await?;
    let platform = NativePlatform::new().map_err(Error::Fatal)?;
    let outgoing = connection.outgoing;
    let agent = run_agent(
        &options.client,
        mode,
        platform,
        async |_| database::open(&options.database),
        |_| (),
        connection.incoming,
        move |message: FromClient| {
            // A closed channel means that the connection is lost, which `incoming` tells as well.
            let _ = outgoing.send(message);
        },
    );
    // The writer ends when the agent has dropped its end of the channel, and everything is sent.
    match futures_util::future::join(agent, connection.writer).await.0 {
        Ok(AgentEnd::Stopped) => Ok(()),
        Ok(AgentEnd::Disconnected) => Err(Error::ControlLost),
        Err(error) => Err(Error::Fatal(error)),
    }
}

/// Lives the life of a client on the file that plain SQLite clients share.
pub async fn run_sqlite(options: NativeOptions) -> Result<(), Error> {
    plain::run::<sqlite::Sqlite>(options, ()).await
}

/// As [`run_sqlite`], by way of the `sqlite3` command-line shell, which is that program.
pub async fn run_sqlite3(options: NativeOptions, shell: PathBuf) -> Result<(), Error> {
    plain::run::<sqlite3::Sqlite3>(options, shell).await
}
