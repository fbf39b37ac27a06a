//! The properties of the workload `ledger`, each in a file.

pub(crate) mod atomic_transactions;
pub(crate) mod durability;
pub(crate) mod gapless_prefix;
pub(crate) mod log;
pub(crate) mod no_duplicate_transaction;
pub(crate) mod no_thin_air_transaction;
