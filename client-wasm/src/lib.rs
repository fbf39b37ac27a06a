#![cfg(target_family = "wasm")]
//! The browser client: client-core in a dedicated worker.
//!
//! What is here: the browser as client-core's [`platform`], the database on OPFS ([`storage`]), the
//! [`control`] connection, and the messages to and from the [`page`] that shows the client to a
//! person; the worker's script calls [`start`]. What is deliberately not here: the sync loops and
//! the schema (client-core), and any code for faults (they act from outside).

pub mod control;
pub mod page;
pub mod platform;
pub mod storage;
mod worker;

pub use worker::start;
