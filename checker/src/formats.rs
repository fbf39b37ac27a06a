//! The formats of other checkers' histories.
//!
//! Each is read from a stream. What is malformed is an error with its place and with what was expected
//! there.

pub mod awdit;
pub mod cobra;
pub mod dbcop;
pub mod edn;
pub mod jepsen;
mod lines;
pub mod plume;

use std::collections::HashMap;
use std::io::Read;

use crate::registers::{BuildError, Registers};
use edn::Value;

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
    #[error("expected a history of dbcop: {0}")]
    Json(serde_json::Error),
    #[error("the history can not be checked: {0}")]
    Build(#[from] BuildError),
}

/// A format of one file. (Cobra's has a file for every session: see [`cobra::read`].)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Plume,
    Awdit,
    DbcopText,
    DbcopJson,
    /// Jepsen's and Elle's, EDN or JSON.
    Jepsen,
}

impl Format {
    pub const ALL: [Format; 5] = [
        Format::Plume,
        Format::Awdit,
        Format::DbcopText,
        Format::DbcopJson,
        Format::Jepsen,
    ];

    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Plume => "plume",
            Format::Awdit => "awdit",
            Format::DbcopText => "dbcop-text",
            Format::DbcopJson => "dbcop-json",
            Format::Jepsen => "jepsen",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The format of a text, by its beginning (a few hundred bytes are enough). None if it looks like
    /// no format, and so also for squall's own histories.
    pub fn detect(beginning: &[u8]) -> Option<Format> {
        let text = String::from_utf8_lossy(beginning);
        let text = text.trim_start();
        let contains = |word: &str| text.contains(word);
        if text.starts_with("r(") || text.starts_with("w(") {
            Some(Format::Plume)
        } else if text.starts_with("r ") || text.starts_with("w ") {
            Some(Format::Awdit)
        } else if contains("squall_history") {
            None
        } else if contains(":=") || contains("==") {
            Some(Format::DbcopText)
        } else if contains("\"events\"") || contains("\"data\"") || contains("\"params\"") {
            Some(Format::DbcopJson)
        } else if contains(":type") || contains("\"type\"") || contains("#jepsen") {
            Some(Format::Jepsen)
        } else {
            None
        }
    }

    /// Reads a history in this format. With `values_are_versions` it is fit for
    /// [`CausalPerKey`](crate::registers::Model::CausalPerKey), if the format has values that can be
    /// versions: Plume's and Jepsen's.
    pub fn read(
        self,
        reader: impl Read,
        values_are_versions: bool,
    ) -> Result<Registers, FormatError> {
        match self {
            Format::Plume if values_are_versions => plume::read_versions(reader),
            Format::Plume => plume::read(reader),
            Format::Awdit => awdit::read(reader),
            Format::DbcopText => dbcop::read_text(reader),
            Format::DbcopJson => dbcop::read_json(reader),
            Format::Jepsen => jepsen::read(reader, values_are_versions),
        }
    }
}

/// Numbers for keys that are not numbers.
#[derive(Default)]
struct Names {
    known: HashMap<String, u64>,
}

/// Numbers that are given to names start here, far above the keys that histories use.
const FIRST_NAME: u64 = 1 << 62;

impl Names {
    /// The number of a key; the name of a new one is told to `name_key`.
    fn key(&mut self, key: &Value, name_key: impl FnOnce(u64, String)) -> u64 {
        let name = match key {
            Value::Integer(number) if (0..FIRST_NAME as i64).contains(number) => {
                return *number as u64;
            }
            Value::Text(text) => text.clone(),
            other => format!("{other:?}"),
        };
        let next = FIRST_NAME + self.known.len() as u64;
        *self.known.entry(name).or_insert_with_key(|name| {
            name_key(next, name.clone());
            next
        })
    }
}
