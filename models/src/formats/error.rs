//! What can be wrong with a history that is read.

use crate::registers::BuildError;

/// A last line or value that is not whole, and was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The number of the line, from 1.
    pub line: usize,
    /// How many bytes of it there are.
    pub bytes: usize,
}

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
    #[error("byte {offset}: expected {expected}")]
    MalformedAt {
        /// Bytes before the place.
        offset: u64,
        expected: &'static str,
    },
    /// In one of several files.
    #[error("{log}: {error}")]
    InLog {
        log: String,
        error: Box<FormatError>,
    },
    #[error("the text is in UTF-16; save it in UTF-8, for instance with iconv -f UTF-16 -t UTF-8")]
    Utf16,
    #[error("expected a history of dbcop: {0}")]
    Json(serde_json::Error),
    /// [`Format::Squall`](super::Format::Squall) is recognized here, and read elsewhere.
    #[error(
        "this is the history of a squall run: the program squall and the crate squall-checker read it"
    )]
    OfARun,
    #[error("the history can not be checked: {0}")]
    Build(#[from] BuildError),
}
