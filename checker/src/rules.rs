//! The properties, one a file, and what several of them share.

mod by_model;
pub(crate) mod collections;
pub(crate) mod counters;
pub(crate) mod judge;
pub(crate) mod ledger;
pub(crate) mod lists;
pub(crate) mod malformed;
pub(crate) mod payload_intact;
pub(crate) mod reads;
pub(crate) mod recovery;
mod rows;
pub(crate) mod sets;
pub(crate) mod storage_intact;
pub(crate) mod strict_serializability;
pub(crate) mod strong_convergence;
mod versions;
