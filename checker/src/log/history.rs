//! Reading a history from its JSON lines, and writing it.
//!
//! The format is defined in [`squall_protocol::history`]. Lines are read one at a time, so that
//! memory holds the history but not its text. Whoever writes a history appends to it, and may be
//! killed while doing so: a last line that lacks its end is therefore not an error, but is remembered
//! as a [`Cut`], and the verdict says that the history is not whole. Any other malformed line is an
//! error with its place. Histories of older versions are turned into the present one line by line.

mod version_1;

use std::io::{self, BufRead, Write};

use serde::Deserialize;
use squall_models::formats::Cut;
use squall_protocol::history::{Event, HISTORY_VERSION, Header, Record};

/// A history, as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    pub header: Header,
    /// In the order in which they were recorded.
    pub records: Vec<Record>,
    /// Where the history ends too early, if it does.
    pub cut: Option<Cut>,
}

/// Why something could not be read as a history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the history could not be read: {0}")]
    Io(#[from] std::io::Error),
    #[error(
        "the history is empty: its first line must be a header such as \
         {{\"squall_history\":{HISTORY_VERSION},…}}; is this the history.jsonl of a run folder?"
    )]
    Empty,
    #[error(
        "this is not a squall history: line 1, column {column}: expected a header such as \
         {{\"squall_history\":{HISTORY_VERSION},…}}, but: {problem}"
    )]
    NotAHistory { column: usize, problem: String },
    #[error(
        "the history has version {found}, and this checker reads the versions 1 to {HISTORY_VERSION}; \
         check it with the squall that recorded it, or a newer one"
    )]
    Version { found: u64 },
    #[error(
        "line {line}, column {column}: expected a record such as {{\"time\":0,\"event\":{{…}}}}, \
         but: {problem}"
    )]
    Malformed {
        line: usize,
        column: usize,
        problem: String,
    },
}

/// Reads a history from its JSON lines.
///
/// A last line that is cut off in its middle is left out, and [`History::cut`] says where; a
/// malformed line anywhere else is an error. Empty lines are skipped.
pub fn read_history(mut reader: impl BufRead) -> Result<History, HistoryError> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let (version, header) = read_header(line.trim_ascii_end())?;

    let mut records = Vec::new();
    let mut cut = None;
    for number in 2.. {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let finished = line.pop_if(|last| *last == b'\n').is_some();
        let read = match version {
            1 => version_1::read_record(&line, &mut records),
            _ => serde_json::from_slice(&line).map(|record| records.push(record)),
        };
        match read {
            Ok(()) => {
                // Most of the memory is for rows, and a vector that grew may be half empty.
                let last = records.last_mut().map(|record| &mut record.event);
                if let Some(Event::Ok { effects, .. }) = last {
                    effects.reads.shrink_to_fit();
                    if let Some(ledger) = &mut effects.ledger {
                        ledger.reads.shrink_to_fit();
                        let clients = ledger.reads.iter_mut();
                        clients.for_each(|client| client.rows.shrink_to_fit());
                    }
                }
            }
            Err(_) if !finished => {
                cut = Some(Cut {
                    line: number,
                    bytes: line.len(),
                });
            }
            Err(error) => {
                return Err(HistoryError::Malformed {
                    line: number,
                    column: error.column(),
                    problem: problem(&error),
                });
            }
        }
    }
    Ok(History {
        header,
        records,
        cut,
    })
}

/// Writes a history as JSON lines. A cut is not repeated: the lines that were read are written.
pub fn write_history(history: &History, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, &history.header)?;
    writeln!(out)?;
    for record in &history.records {
        serde_json::to_writer(&mut out, record)?;
        writeln!(out)?;
    }
    Ok(())
}

/// The version that was recorded, and the header as it is in the present one.
fn read_header(line: &[u8]) -> Result<(u64, Header), HistoryError> {
    /// The part of the header that every version has.
    #[derive(Deserialize)]
    struct Version {
        squall_history: u64,
    }

    if line.trim_ascii().is_empty() {
        return Err(HistoryError::Empty);
    }
    let not_a_history = |error: serde_json::Error| HistoryError::NotAHistory {
        column: error.column(),
        problem: problem(&error),
    };
    let version: Version = serde_json::from_slice(line).map_err(not_a_history)?;
    let found = version.squall_history;
    if !(1..=u64::from(HISTORY_VERSION)).contains(&found) {
        return Err(HistoryError::Version { found });
    }
    let mut header: Header = serde_json::from_slice(line).map_err(not_a_history)?;
    header.squall_history = HISTORY_VERSION;
    Ok((found, header))
}

/// What serde_json has to say, without its own idea of the place: it saw one line only.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
