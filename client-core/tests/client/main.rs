//! The client against a scripted server, for the situations that a real one can not be brought into
//! at will: answers that hang, break off, come too late or contradict each other.
//!
//! The database is a real file with the real powersync_core, the lines of the stream are PowerSync's
//! with true checksums, and time is tokio's paused clock: a deadline of 45 s passes at once when
//! nothing else is left to do, and the outcome does not depend on the machine's load.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "cargo shows what a failed test said"
)]

mod agent;
mod server;
mod streams;
mod sync;
mod uploads;
mod watch;
mod workloads;
