//! The way to PostgreSQL: replication in, positions and markers out.
//!
//! - [`source`]: where the database is, and what must be true of it, its publication and its slot.
//! - [`names`], [`tables`]: how tables are named, and what they are as the publication has them.
//! - [`replication`]: from a slot to source events, over snapshots, restarts and lost connections.
//! - [`head`]: the current end of the write-ahead log, for write checkpoints.
//! - [`pgoutput`]: what the replication's messages say.

pub mod head;
pub mod names;
pub mod pgoutput;
pub mod replication;
pub mod source;
pub mod tables;
