//! The text format of Plume, which PolySI, IsoVista and AWDIT read too.
//!
//! One operation per line: `r(key,value,session,transaction)` for a read, `w(…)` for a write; all are
//! numbers. The order of the lines is program order and session order. The transaction -1 was aborted.
//! The value 0 is the initial one, unless a transaction that was not aborted writes it to the key: the
//! generators of PolySI and IsoVista begin with a transaction that writes 0 to all keys.

use std::collections::HashMap;
use std::io::{Read, Write};

use super::lines::{Cursor, for_each_piece};
use super::{FormatError, Reading};
use crate::registers::{Builder, Outcome, Registers};

/// The value that every key holds at first.
pub const INITIAL_VALUE: u64 = 0;

/// Reads a history whose version order is unknown. Every line must be whole.
pub fn read(reader: impl Read) -> Result<Registers, FormatError> {
    let builder = Builder::new(Some(INITIAL_VALUE));
    Ok(read_into(builder, reader, |_| true)?.registers)
}

/// Reads a history in which the higher value of a key always wins. Every line must be whole.
pub fn read_versions(reader: impl Read) -> Result<Registers, FormatError> {
    let mut builder = Builder::new(Some(INITIAL_VALUE));
    builder.values_are_versions();
    Ok(read_into(builder, reader, |_| true)?.registers)
}

/// Reads a history that may end too early.
pub(super) fn read_cut(builder: Builder, reader: impl Read) -> Result<Reading, FormatError> {
    read_into(builder, reader, |line| line.ends_with(b")"))
}

fn read_into(
    builder: Builder,
    reader: impl Read,
    is_whole: impl Fn(&[u8]) -> bool,
) -> Result<Reading, FormatError> {
    let mut parser = Parser {
        builder,
        sessions: HashMap::new(),
        unordered: HashMap::new(),
    };
    let cut = for_each_piece(reader, is_whole, |text, line| parser.piece(text, line))?;
    let Parser { builder, .. } = parser;
    Ok(Reading::new(builder.finish()?, cut))
}

struct Parser {
    builder: Builder,
    sessions: HashMap<u64, Session>,
    /// By session and label, the transactions that are not in [`Session::ascending`].
    unordered: HashMap<(u64, u64), u32>,
}

/// What is known of a session. Its transactions may be interleaved with each other.
#[derive(Default)]
struct Session {
    /// Those whose labels are higher than that of all before them: labels and numbers.
    ascending: Vec<(u64, u32)>,
    aborted: Option<u32>,
}

impl Parser {
    fn piece(&mut self, text: &[u8], line: u64) -> Result<(), FormatError> {
        let mut cursor = Cursor::new(text, line);
        // How the line before ended, from after its value on, and what that says: its transaction, and
        // whether it was aborted. Most lines end like the one before.
        let mut last: Option<(&[u8], u32, bool)> = None;
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
            let (transaction, aborted) = match last {
                Some((text, transaction, aborted)) if cursor.take_text(text) => {
                    (transaction, aborted)
                }
                _ => {
                    let begin = cursor.clone();
                    let (transaction, aborted) = self.end(&mut cursor)?;
                    last = Some((cursor.since(&begin), transaction, aborted));
                    (transaction, aborted)
                }
            };
            if write {
                self.builder.write(transaction, key, value);
            } else if !aborted {
                // What an aborted transaction has read does not matter.
                self.builder.read(transaction, key, value);
            }
        }
        Ok(())
    }

    /// What comes after the value: the number of the transaction, and whether it was aborted.
    fn end(&mut self, cursor: &mut Cursor) -> Result<(u32, bool), FormatError> {
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
        Ok((self.transaction(session, label), label.is_none()))
    }

    fn transaction(&mut self, name: u64, label: Option<u64>) -> u32 {
        let Parser {
            builder,
            sessions,
            unordered,
        } = self;
        let session = sessions.entry(name).or_default();
        let Some(label) = label else {
            let new = || builder.transaction(name, None, Outcome::Aborted);
            return *session.aborted.get_or_insert_with(new);
        };
        let mut new = || builder.transaction(name, Some(label), Outcome::Committed);
        if session.ascending.last().is_none_or(|last| last.0 < label) {
            let number = new();
            session.ascending.push((label, number));
            return number;
        }
        match session
            .ascending
            .binary_search_by_key(&label, |known| known.0)
        {
            Ok(at) => session.ascending[at].1,
            Err(_) => *unordered.entry((name, label)).or_insert_with(new),
        }
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
