//! The formats of other checkers' histories.
//!
//! Each is read from a stream, without a copy of the text in memory. What is malformed is an error
//! with its place and with what was expected there.

mod lines;
pub mod plume;

use crate::registers::BuildError;

/// Why something could not be read as a history.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("the history could not be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("line {line}, column {column}: expected {expected}")]
    Malformed {
        /// From 1.
        line: u64,
        /// In bytes, from 1.
        column: u64,
        expected: &'static str,
    },
    #[error("the history can not be checked: {0}")]
    Build(#[from] BuildError),
}
