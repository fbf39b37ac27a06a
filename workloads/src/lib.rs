//! The workloads: one file each, with its tables and first rows, the statements of its transactions, what
//! the rows that come back mean, its merge rule at the backend, and what it can prove.
//!
//! What is here is data and pure functions. A [`Compiler`] makes the calls of a planned transaction for one
//! client and makes sense of what it answers; whoever does the calls knows no workload. The checker has a
//! module per workload.
//!
//! What is deliberately not here: connections, transactions' beginnings and ends, retries. In a statement
//! parameters are `$1`, `$2`, … and first occur in this order, as SQLite takes these for names and numbers
//! them as they occur.

#![forbid(unsafe_code)]

mod compiler;
pub mod counter;
pub mod gset;
mod known;
pub mod ledger;
pub mod list_append;
pub mod mww;
pub mod payload;
mod registry;
pub mod rows;
pub mod sqlite;
mod workload;

pub use compiler::Compiler;
pub use known::{Emitted, Known};
pub use registry::{has_payload, workload};
pub use workload::{Context, Merge, Probe, Shape, Statement, Step, Table, Workload};
