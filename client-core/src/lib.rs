//! The portable client: a SQLite database, powersync_core in it, and the loops that keep it in sync.
//!
//! A [`Client`] executes SQL on its own database, downloads what the sync
//! service streams, and uploads its queue to the backend. Everything it needs of the system it runs
//! on is in [`Platform`]; [`agent`] connects it to the coordinator.
//!
//! The protocol with the service is PowerSync's; its state machine is the real powersync_core, the
//! extension inside every PowerSync SDK, called by `powersync_control`. The loops around it are
//! ours, with what PowerSync's SDKs learned about stalls: every request has a deadline, the stream
//! has one for silence, a failed upload is tried again by itself, and the write checkpoint is asked
//! for whenever it is missing, whatever happened before.
//!
//! What is deliberately not here: workloads, and whether rows are right; an async runtime, sockets, threads, files, faults. Futures are not
//! `Send`; everything happens on the thread that polls them.

pub mod agent;
mod client;
mod download;
mod error;
pub mod execute;
mod instruction;
mod lines;
pub mod platform;
mod request;
mod signal;
mod store;
mod upload;
mod watch;

pub use client::{Client, Log};
pub use error::{ClientError, execution};
pub use platform::Platform;
/// The SQLite binding in use, so that a shell opens connections with the very same.
pub use rusqlite;
