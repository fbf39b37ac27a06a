//! Decides whether a recorded history kept its promises: a history in, a verdict out.
//!
//! For squall's own histories there are three steps: [`read_history`] turns lines into a [`History`],
//! [`check`] turns that into a [`Verdict`], and [`render`] turns the verdict into text for a person.
//! What is judged, and by which definitions, is written at the top of the module of each workload: see
//! [`workload::mww`].
//!
//! It is made in layers, each of which imports only those before it (a test says so):
//!
//! | layer | what is there |
//! | --- | --- |
//! | `log` | one fold of a run's events into clients, sessions and operations, for a file and along with a run alike; and the way to the models |
//! | `findings` | violations and their evidence, how they are counted, named and put into words |
//! | `rules` | the properties, one a file |
//! | [`workload`] | which properties each workload is judged by, with their definitions |
//! | [`check()`], [`online`] | a whole history, and one along with a run |
//!
//! The models of transactions are those of the crate [`squall_models`], which knows no runs; [`transactions`]
//! is the way there. [`generate`] makes histories to try the checker on; `squall bench checker` measures how
//! long it takes, and `cargo bench -p squall-checker` the parts.
//!
//! The checker knows the history and nothing else: no clocks, no randomness, and the same history
//! always gives the same verdict. Malformed bytes give a [`HistoryError`]; a history that
//! contradicts itself gives a verdict that says so. Neither makes it panic.
//!
//! What is deliberately not here: files, sockets, and any knowledge of browsers or faults beyond
//! their names. The crate builds for wasm32 as it is.

#![forbid(unsafe_code)]

mod check;
mod findings;
pub mod generate;
mod log;
pub mod online;
mod render;
mod rules;
pub mod workload;

pub use check::check;
pub use log::history::{History, HistoryError, read_history, write_history};
pub use log::transactions;
pub use render::{path, render};
pub use squall_models::formats::Cut;
pub use squall_protocol::verdict::Verdict;
pub use workload::properties::properties;
