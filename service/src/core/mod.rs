//! The service without its surroundings: source events in; operations, checkpoints and lines out.
//!
//! Nothing in here does IO, reads a clock or draws a random number; what is needed of those comes in
//! as a value or through [`storage::Storage`]. So a test, or a simulation of a whole system, can
//! drive it in virtual time.
//!
//! The way of a change: [`replicator::Replicator`] takes [`source::SourceEvent`]s, turns rows into
//! operations of buckets (one bucket per table), and at commit boundaries makes a
//! [`checkpoint::Checkpoint`]. A [`stream::SyncStream`] per connected client compares checkpoints
//! with what its client has, and says which lines to send and which operations to fetch.

pub mod checkpoint;
pub mod encoding;
pub mod lines;
pub mod replicator;
pub mod request;
pub mod rsocket;
pub mod source;
pub mod storage;
pub mod stream;
pub mod subscriptions;
pub mod token;
pub mod values;
pub mod write_checkpoints;
