//! The service against a real PostgreSQL.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "cargo shows what a failed test said"
)]

mod checkpoint_requests;
mod harness;
mod life;
mod load;
mod powersync_core;
mod requests;
#[path = "../simulated_client/mod.rs"]
mod simulated_client;
mod source;
mod streams;
mod sync;
mod tables;
mod time;
mod websocket;
mod write_checkpoints;
