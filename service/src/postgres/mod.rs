//! The way to PostgreSQL: replication in, positions and markers out.
//!
//! - [`source`]: what must be true of the database, and what its tables and slot are.
//! - [`replication`]: from a slot to source events, over snapshots, restarts and lost connections.
//! - [`head`]: the current end of the write-ahead log, for write checkpoints.
//! - [`pgoutput`]: what the replication's messages say.

pub mod head;
pub mod pgoutput;
pub mod replication;
pub mod source;
