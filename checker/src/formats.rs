//! The formats of histories: squall's own, and those of other checkers.
//!
//! Each is read from a stream, in linear time. What is malformed is an error with its place and with
//! what was expected there; nothing makes a reader panic. Where a format is a sequence of lines or of
//! values, a last one that lacks its end is left out and remembered as a [`Cut`], because whoever
//! writes a history may be killed while doing so.
//!
//! A history is read once, and may come from a pipe: see [`Input`]. What a reader does not understand it
//! counts, and tells where it was first: see [`Skipped`].
//!
//! What comes out are [`Registers`]: transactions over registers, to be checked by a model. `docs/formats.md`
//! describes every format. The way back, for squall's own histories, is [`export`].

pub mod awdit;
mod binary;
pub mod cobra;
pub mod dbcop;
pub mod dbcop_bincode;
mod detect;
pub mod edn;
pub mod export;
mod input;
pub mod jepsen;
mod lines;
mod names;
pub mod plume;
pub mod recording;
mod skipped;

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use squall_protocol::verdict::Judgement;

use crate::history::{Cut, HistoryError, read_history};
use crate::registers::{
    AnomalyKind, BuildError, Builder, Dependencies, Model, Registers, Report, TransactionName,
};
use detect::Seen;
use recording::Recording;

pub use input::{Input, is_malformed};
pub use skipped::Skipped;

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

    /// The format that a whole history looks like. None if it looks like no format. See [`Input::detect`].
    pub fn detect(history: &[u8]) -> Option<Format> {
        match detect::detect(history, "", true) {
            Seen::Format(format) => Some(format),
            Seen::More | Seen::Nothing => None,
        }
    }

    /// Whether it is text.
    fn is_text(self) -> bool {
        !matches!(self, Format::DbcopBincode | Format::Cobra)
    }

    /// Whether it is known of registers in this format that the higher value of a key wins.
    pub fn values_are_versions(self) -> bool {
        self == Format::Squall
    }

    /// Reads a history in this format, also if it is compressed by gzip. With `values_are_versions`, of two
    /// values of a key the higher one is taken to win, and the history is fit for
    /// [`CausalPerKey`](crate::registers::Model::CausalPerKey).
    pub fn read(
        self,
        reader: impl Read,
        values_are_versions: bool,
    ) -> Result<Reading, FormatError> {
        let mut reader = Input::new(reader)?;
        if self.is_text() {
            reader.text()?;
        }
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
                let recording = Recording::new(&history);
                return Ok(Reading {
                    skipped: recording.skipped.clone(),
                    ..Reading::new(recording.build(values_are_versions)?, history.cut)
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
        Ok(Reading::new(builder.finish()?, cut))
    }
}

/// A history that was read.
#[derive(Debug)]
pub struct Reading {
    pub registers: Registers,
    /// Where it ends too early, if it does.
    pub cut: Option<Cut>,
    /// What was not understood.
    pub skipped: Vec<Skipped>,
    /// How sessions are called in the history that have no number there; explanations call them so too.
    pub session_names: BTreeMap<u64, String>,
}

impl Reading {
    fn new(registers: Registers, cut: Option<Cut>) -> Reading {
        Reading {
            registers,
            cut,
            skipped: Vec::new(),
            session_names: BTreeMap::new(),
        }
    }

    /// Checks the history against a model, as [`Registers::check`] does. If it is cut, or something was not
    /// understood that may have had an effect, nothing is ok, since what is missing may be wrong; and a
    /// value that nobody wrote proves nothing, since its writer may be missing.
    pub fn check(&self, model: Model) -> Report {
        let mut report = self.registers.check(model);
        let what = match self.skipped.iter().any(|skipped| !skipped.harmless) {
            _ if self.cut.is_some() => "the history is cut",
            true => "not everything in the history was understood",
            false => "",
        };
        let proves = |kind| kind != AnomalyKind::ThinAirRead;
        let proven = report.anomalies.iter().any(|anomaly| proves(anomaly.kind));
        if !what.is_empty() && !proven {
            report.judgement = Judgement::Unknown;
            let thin_air = match report.anomalies.is_empty() {
                true => "",
                false => ", and who wrote these values may be in what is missing",
            };
            report.note = Some(format!("{what}{thin_air}"));
        }
        for anomaly in &mut report.anomalies {
            self.name_sessions(&anomaly.transactions, &mut anomaly.summary);
        }
        report
    }

    /// As [`Registers::dependencies`].
    pub fn dependencies(&self) -> Option<Dependencies> {
        let mut dependencies = self.registers.dependencies()?;
        for cycle in &mut dependencies.cycles {
            self.name_sessions(&cycle.transactions, &mut cycle.summary);
        }
        Some(dependencies)
    }

    /// Puts the names of sessions in the place of their numbers, which are like no others.
    fn name_sessions(&self, transactions: &[TransactionName], text: &mut String) {
        for transaction in transactions {
            if let Some(name) = self.session_names.get(&transaction.session) {
                *text = text.replace(&format!("session {}", transaction.session), name);
            }
        }
    }
}
