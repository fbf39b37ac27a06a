//! The formats of histories of other checkers; and squall's own, to be told apart from them.
//!
//! Each is read from a stream, in linear time. What is malformed is an error with its place and with
//! what was expected there; nothing makes a reader panic. Where a format is a sequence of lines or of
//! values, a last one that lacks its end is left out and remembered as a [`Cut`], because whoever
//! writes a history may be killed while doing so.
//!
//! A history is read once, and may come from a pipe: see [`Input`]. What a reader does not understand it
//! counts, and tells where it was first: see [`Skipped`].
//!
//! What comes out are [`Registers`](crate::registers::Registers): transactions over registers, to be checked by a model. `docs/formats.md`
//! describes every format. The way back, for a [`Recording`](crate::recording::Recording), is [`export`].

pub mod awdit;
mod binary;
pub mod cobra;
pub mod dbcop;
pub mod dbcop_bincode;
mod detect;
pub mod edn;
mod error;
pub mod export;
mod format;
mod input;
pub mod jepsen;
mod lines;
mod names;
pub mod plume;
mod read;
mod reading;
mod skipped;

pub use error::{Cut, FormatError};
pub use format::Format;
pub use input::{Input, is_malformed};
pub use reading::Reading;
pub use skipped::{Skipped, skip};
