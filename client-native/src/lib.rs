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
mod error;
mod http;
mod options;
mod plain;
mod postgres;
mod powersync;
mod shell;
mod sqlite;
mod sqlite3;

pub use error::Error;
pub use http::{NativePlatform, NoAnswer};
pub use options::NativeOptions;
pub use postgres::{PostgresOptions, execute, run_postgres, session};
pub use powersync::{run_local, run_native};
pub use sqlite::{create as create_shared_file, run as run_sqlite};
pub use sqlite3::run as run_sqlite3;
