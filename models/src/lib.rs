//! Checks histories of transactions against consistency models: from read committed over causal consistency to
//! strict serializability, of registers, lists and sets.
//!
//! A history comes from a file in one of several [`formats`], or is built by a program: see [`recording`] for
//! transactions as they were recorded, and [`registers::Builder`] for a history operation by operation. It is
//! then checked against a [`registers::Model`], whose definitions are at the top of [`registers`]. What comes
//! back is a [`registers::Report`], which explains what it found. [`generate`] makes histories to try it on.
//!
//! ```
//! use squall_models::formats::Format;
//! use squall_models::registers::{Judgement, Model};
//!
//! // Two clients of a bank with two accounts: both see 100 in each, and each empties another one.
//! let history = "\
//!     w(1,100,0,0)\nw(2,100,0,0)\n\
//!     r(1,100,1,1)\nr(2,100,1,1)\nw(1,101,1,1)\n\
//!     r(1,100,2,2)\nr(2,100,2,2)\nw(2,102,2,2)\n";
//! let reading = Format::Plume.read(history.as_bytes(), false)?;
//! assert_eq!(reading.check(Model::SnapshotIsolation).judgement, Judgement::Ok);
//! let report = reading.check(Model::Serializability);
//! assert_eq!(report.judgement, Judgement::Violation);
//! println!("{}", report.anomalies[0].summary);
//! # Ok::<(), squall_models::formats::FormatError>(())
//! ```
//!
//! No clocks, no randomness: the same history always gives the same verdict. Malformed bytes give a
//! [`formats::FormatError`], and never a panic. What is deliberately not here: files, sockets, and any
//! knowledge of clients, faults or runs. The crate builds for wasm32 as it is.

#![forbid(unsafe_code)]

pub mod formats;
pub mod generate;
pub mod recording;
pub mod registers;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
