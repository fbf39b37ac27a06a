//! Which properties each workload is judged by; the definitions are at the top of its file.

pub(crate) mod conclude;
pub mod counter;
pub(crate) mod counts;
pub mod gset;
pub mod judges;
pub mod ledger;
pub mod list_append;
pub mod mww;
pub(crate) mod properties;
