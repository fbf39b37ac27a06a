//! The text format of Plume, which PolySI, IsoVista and AWDIT read too.
//!
//! One operation per line: `r(key,value,session,transaction)` for a read, `w(…)` for a write; all are
//! numbers. The order of the lines is program order and session order. The transaction -1 was aborted.
//! The value 0 is the initial one.

use std::collections::HashMap;
use std::io::{Read, Write};

use super::FormatError;
use super::lines::{Cursor, for_each_piece};
use crate::registers::{Builder, Outcome, Registers};

/// The value that every key holds at first.
pub const INITIAL_VALUE: u64 = 0;

/// Reads a history whose version order is unknown.
pub fn read(reader: impl Read) -> Result<Registers, FormatError> {
    read_into(Builder::new(Some(INITIAL_VALUE)), reader)
}

/// Reads a history in which the higher value of a key always wins.
pub fn read_versions(reader: impl Read) -> Result<Registers, FormatError> {
    let mut builder = Builder::new(Some(INITIAL_VALUE));
    builder.values_are_versions();
    read_into(builder, reader)
}

fn read_into(builder: Builder, reader: impl Read) -> Result<Registers, FormatError> {
    let mut parser = Parser {
        builder,
        last: None,
        known: HashMap::new(),
    };
    for_each_piece(reader, |text, line| parser.piece(text, line))?;
    Ok(parser.builder.finish()?)
}

struct Parser {
    builder: Builder,
    /// The transaction of the line before: its session, its label (none if aborted), its number.
    last: Option<(u64, Option<u64>, u32)>,
    /// Transactions may be interleaved.
    known: HashMap<(u64, Option<u64>), u32>,
}

impl Parser {
    fn piece(&mut self, text: &[u8], line: u64) -> Result<(), FormatError> {
        let mut cursor = Cursor::new(text, line);
        while let Some(byte) = cursor.peek() {
            let write = match byte {
                b'r' => false,
                b'w' => true,
                b'\n' | b'\r' => {
                    cursor.end_of_line()?;
                    continue;
                }
                _ => {
                    return Err(cursor.malformed(
                        "an operation such as r(1,7,0,3) or w(1,7,0,3): key, value, session, \
                         transaction",
                    ));
                }
            };
            cursor.next();
            cursor.expect(b'(', "(")?;
            let key = cursor.number()?;
            cursor.expect(b',', "a comma, and then the value")?;
            let value = cursor.number()?;
            cursor.expect(b',', "a comma, and then the session")?;
            let session = cursor.number()?;
            cursor.expect(b',', "a comma, and then the transaction")?;
            let label = if cursor.take(b'-') {
                cursor.expect(b'1', "-1, an aborted transaction")?;
                None
            } else {
                Some(cursor.number()?)
            };
            cursor.expect(b')', ")")?;
            cursor.end_of_line()?;
            let transaction = self.transaction(session, label);
            match (write, label) {
                (true, _) => self.builder.write(transaction, key, value),
                (false, Some(_)) => self.builder.read(transaction, key, value),
                // What an aborted transaction has read does not matter.
                (false, None) => {}
            }
        }
        Ok(())
    }

    fn transaction(&mut self, session: u64, label: Option<u64>) -> u32 {
        if let Some((last_session, last_label, number)) = self.last
            && last_session == session
            && last_label == label
        {
            return number;
        }
        let builder = &mut self.builder;
        let number = *self.known.entry((session, label)).or_insert_with(|| {
            let outcome = match label {
                Some(_) => Outcome::Committed,
                None => Outcome::Aborted,
            };
            builder.transaction(session, label, outcome)
        });
        self.last = Some((session, label, number));
        number
    }
}

/// One operation of a history in this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub write: bool,
    pub key: u64,
    pub value: u64,
    pub session: u64,
    /// None if it was aborted.
    pub transaction: Option<u64>,
}

/// Writes one operation.
pub fn write(mut writer: impl Write, line: Line) -> std::io::Result<()> {
    let kind = if line.write { 'w' } else { 'r' };
    let Line {
        key,
        value,
        session,
        ..
    } = line;
    match line.transaction {
        Some(transaction) => writeln!(writer, "{kind}({key},{value},{session},{transaction})"),
        None => writeln!(writer, "{kind}({key},{value},{session},-1)"),
    }
}
