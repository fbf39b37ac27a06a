//! A run's history, and what it tells of: clients and their sessions, operations, and who wrote what was read.

pub(crate) mod by_value;
pub(crate) mod history;
pub(crate) mod index;
pub(crate) mod known;
pub(crate) mod operations;
pub(crate) mod sessions;
pub(crate) mod trace;
pub mod transactions;
