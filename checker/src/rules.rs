//! The properties, one a file, and what several of them share.

pub(crate) mod atomic_visibility;
mod by_model;
pub(crate) mod collections;
pub(crate) mod counters;
mod floor;
pub(crate) mod ledger;
pub(crate) mod lists;
pub(crate) mod malformed;
pub(crate) mod monotonic_reads;
pub(crate) mod monotonic_writes;
pub(crate) mod no_thin_air_read;
pub(crate) mod payload_intact;
pub(crate) mod read_your_writes;
pub(crate) mod reads;
pub(crate) mod recovery;

pub(crate) mod sets;
pub(crate) mod shown;
pub(crate) mod storage_intact;
pub(crate) mod strict_serializability;
pub(crate) mod strong_convergence;
pub(crate) mod writes_follow_reads;
