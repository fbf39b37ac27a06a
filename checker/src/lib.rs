//! Decides whether a recorded history kept its promises: a history in, a verdict out.
//!
//! For squall's own histories there are three steps: [`read_history`] turns lines into a [`History`],
//! [`check`] turns that into a [`Verdict`], and [`render`] turns the verdict into text for a person.
//! What is judged, and by which definitions, is written at the top of the module of each workload: see
//! [`mww`].
//!
//! Histories of other tools are read by [`formats`] and judged by the models of [`registers`].
//! [`generate`] makes histories to try both on; `squall bench checker` measures how long they take, and
//! `cargo bench -p squall-checker` the parts.
//!
//! The checker knows the history and nothing else: no clocks, no randomness, and the same history
//! always gives the same verdict. Malformed bytes give a [`HistoryError`]; a history that
//! contradicts itself gives a verdict that says so. Neither makes it panic.
//!
//! What is deliberately not here: files, sockets, and any knowledge of browsers or faults beyond
//! their names. The crate builds for wasm32 as it is.

#![forbid(unsafe_code)]

mod book;
mod by_model;
mod by_value;
mod clients;
mod collections;
pub mod counter;
mod evidence;
pub mod formats;
pub mod generate;
pub mod gset;
mod history;
pub mod ledger;
pub mod list_append;
pub mod mww;
mod one_copy;
pub mod online;
mod payload;
pub mod registers;
mod render;

pub use history::{Cut, History, HistoryError, read_history, write_history};
pub use render::{path, render};
pub use squall_protocol::verdict::Verdict;

use squall_protocol::history::Header;
use squall_protocol::plan::Workload;
use squall_protocol::verdict::Property;

/// Judges a history by the properties of its workload.
pub fn check(history: &History) -> Verdict {
    match history.header.workload {
        Workload::Mww => mww::check(history),
        Workload::Ledger => ledger::check(history),
        Workload::ListAppend => list_append::check(history),
        Workload::Gset => gset::check(history),
        Workload::Counter => counter::check(history),
    }
}

/// The properties that a history is judged by, in the order in which they are reported.
pub fn properties(header: &Header) -> impl Iterator<Item = Property> {
    let (all, more): (&[Property], &[Property]) = match header.workload {
        Workload::Mww => (&Property::ALL, &[]),
        Workload::Ledger => (&Property::ALL, &Property::LEDGER),
        Workload::ListAppend | Workload::Gset => (&Property::ALL, &Property::COLLECTIONS),
        Workload::Counter => (&counter::PROPERTIES, &[]),
    };
    let payload = header.payload.then_some(Property::PayloadIntact);
    let one_copy = one_copy::applies(header).then_some(Property::StrictSerializability);
    let all = all.iter().chain(more).copied();
    all.chain(payload).chain(one_copy)
}
