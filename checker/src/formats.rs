//! The formats of histories: squall's own, and those of other checkers.
//!
//! Each is read from a stream, in linear time. What is malformed is an error with its place and with
//! what was expected there; nothing makes a reader panic. Where a format is a sequence of lines or of
//! values, a last one that lacks its end is left out and remembered as a [`Cut`], because whoever
//! writes a history may be killed while doing so.
//!
//! What comes out are [`Registers`]: transactions over registers, to be checked by a model. `docs/formats.md`
//! describes every format. The way back, for squall's own histories, is [`export`].

pub mod awdit;
mod binary;
pub mod cobra;
pub mod dbcop;
pub mod dbcop_bincode;
pub mod edn;
pub mod export;
pub mod jepsen;
mod lines;
pub mod plume;
pub mod recording;

use std::collections::HashMap;
use std::io::{BufReader, Read};

use squall_protocol::verdict::Judgement;

use crate::history::{Cut, HistoryError, read_history};
use crate::registers::{AnomalyKind, BuildError, Builder, Model, Registers, Report};
use edn::Value;
use recording::Recording;

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
    #[error("expected a history of dbcop: {0}")]
    Json(serde_json::Error),
    #[error(transparent)]
    Squall(#[from] HistoryError),
    #[error("the history can not be checked: {0}")]
    Build(#[from] BuildError),
}

/// A format of histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Squall's own `history.jsonl`.
    Squall,
    Plume,
    Awdit,
    DbcopText,
    DbcopJson,
    /// The original dbcop's `history.bincode`.
    DbcopBincode,
    /// A binary log for every session; one such log is a history too. See [`cobra::read`].
    Cobra,
    /// Jepsen's and Elle's, EDN or JSON.
    Jepsen,
}

impl Format {
    pub const ALL: [Format; 8] = [
        Format::Squall,
        Format::Plume,
        Format::Awdit,
        Format::DbcopText,
        Format::DbcopJson,
        Format::DbcopBincode,
        Format::Cobra,
        Format::Jepsen,
    ];

    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Squall => "squall",
            Format::Plume => "plume",
            Format::Awdit => "awdit",
            Format::DbcopText => "dbcop-text",
            Format::DbcopJson => "dbcop-json",
            Format::DbcopBincode => "dbcop-bincode",
            Format::Cobra => "cobra",
            Format::Jepsen => "jepsen",
        }
    }

    /// The format of that name. Jepsen's has the names of its two notations too, `edn` and `json`.
    pub fn from_name(name: &str) -> Option<Format> {
        match name {
            "edn" | "json" => Some(Format::Jepsen),
            name => Format::ALL.into_iter().find(|format| format.name() == name),
        }
    }

    /// The format, by its beginning (a few hundred bytes are enough). None if it looks like no format.
    pub fn detect(beginning: &[u8]) -> Option<Format> {
        if cobra::looks_like(beginning) {
            return Some(Format::Cobra);
        }
        if dbcop_bincode::looks_like(beginning) {
            return Some(Format::DbcopBincode);
        }
        let text = String::from_utf8_lossy(beginning);
        let text = text.trim_start();
        let contains = |word: &str| text.contains(word);
        if text.starts_with("r(") || text.starts_with("w(") {
            Some(Format::Plume)
        } else if text.starts_with("r ") || text.starts_with("w ") {
            Some(Format::Awdit)
        } else if contains("\"squall_history\"") {
            Some(Format::Squall)
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

    /// Whether it is known of registers in this format that the higher value of a key wins.
    pub fn values_are_versions(self) -> bool {
        self == Format::Squall
    }

    /// Reads a history in this format. With `values_are_versions`, of two values of a key the higher
    /// one is taken to win, and the history is fit for
    /// [`CausalPerKey`](crate::registers::Model::CausalPerKey).
    pub fn read(
        self,
        reader: impl Read,
        values_are_versions: bool,
    ) -> Result<Reading, FormatError> {
        let mut builder = Builder::new(match self {
            Format::Plume => Some(plume::INITIAL_VALUE),
            Format::DbcopBincode => Some(dbcop_bincode::INITIAL_VALUE),
            _ => None,
        });
        if values_are_versions {
            builder.values_are_versions();
        }
        let cut = match self {
            Format::Squall => {
                let history = read_history(BufReader::with_capacity(1 << 18, reader))?;
                return Ok(Reading {
                    registers: Recording::new(&history).build(values_are_versions)?,
                    cut: history.cut,
                });
            }
            Format::Plume => return plume::read_cut(builder, reader),
            Format::Awdit => awdit::read_into(&mut builder, reader)?,
            Format::DbcopText => dbcop::read_text_into(&mut builder, reader)?,
            Format::DbcopJson => {
                dbcop::read_json_into(&mut builder, reader)?;
                None
            }
            Format::DbcopBincode => {
                dbcop_bincode::read_into(&mut builder, reader)?;
                None
            }
            Format::Cobra => {
                cobra::read_into(&mut builder, 0, reader)?;
                None
            }
            Format::Jepsen => return jepsen::read(reader, values_are_versions),
        };
        Ok(Reading {
            registers: builder.finish()?,
            cut,
        })
    }
}

/// A history that was read.
#[derive(Debug)]
pub struct Reading {
    pub registers: Registers,
    /// Where it ends too early, if it does.
    pub cut: Option<Cut>,
}

impl Reading {
    /// Checks the history against a model, as [`Registers::check`] does. Of a history that is cut,
    /// nothing is ok, since what is missing may be wrong; and a value that nobody wrote proves
    /// nothing, since its writer may be missing.
    pub fn check(&self, model: Model) -> Report {
        let mut report = self.registers.check(model);
        let proves = |kind| kind != AnomalyKind::ThinAirRead;
        let proven = report.anomalies.iter().any(|anomaly| proves(anomaly.kind));
        if self.cut.is_some() && !proven {
            report.judgement = Judgement::Unknown;
        }
        report
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
            Value::Integer(number) => number.to_string(),
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
