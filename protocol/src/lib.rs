//! The words that squall's parts share.
//!
//! What is here: the values that cross a boundary between two parts of squall, as serde types: the
//! [`plan`] of a run, the [`transaction`] that a client is told to do, the [`fault`]s, the
//! [`contract`] between coordinator and client and the [`sql`] in it, the [`backend`] API that clients upload to, the
//! parts of the [`ledger`] and the [`payload`] in what they read, the [`history`] of a run, and the
//! [`verdict`] over it.
//!
//! What is deliberately not here: behaviour. No IO, no clocks, no randomness; a newcomer can read
//! this crate from top to bottom and know every file and message of squall.

pub mod backend;
pub mod contract;
pub mod fault;
pub mod history;
pub mod ledger;
pub mod payload;
pub mod plan;
pub mod sql;
pub mod transaction;
pub mod verdict;
