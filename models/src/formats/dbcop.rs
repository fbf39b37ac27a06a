//! The formats of dbcop: JSON, and the text of its `.hist` files. (For the original one's binary
//! format see [`dbcop_bincode`](super::dbcop_bincode).)
//!
//! JSON: `{"data": [session, …], …}` or just the array of sessions. A session is an array of
//! transactions `{"events": […], "committed": true}`, and an event is
//! `{"Write": {"variable": 1, "version": 2}}` or `{"Read": {"variable": 1, "version": 2}}`; the
//! version null is the initial one.
//!
//! Text: a line per session or several, `---` between sessions, with transactions such as
//! `[x:=1 y==2]`; `x==?` reads the initial value, `[…]!` did not commit, `//` begins a comment.
//!
//! In both, the version 0 is the initial one too, unless a committed transaction writes it.

use std::collections::HashSet;
use std::io::Read;

use serde::Deserialize;

use super::FormatError;
use super::edn::Value;
use super::error::Cut;
use super::lines::Cursor;
use super::names::Names;
use crate::registers::{Builder, Outcome};

#[derive(Deserialize)]
struct Document {
    data: Vec<Vec<Transaction>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transaction {
    events: Vec<Event>,
    committed: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
enum Event {
    Read {
        variable: u64,
        /// A read without one is not one of the initial version.
        #[serde(deserialize_with = "Option::deserialize")]
        version: Option<u64>,
    },
    Write {
        variable: u64,
        version: u64,
    },
}

/// Reads JSON.
pub(super) fn read_json_into(
    builder: &mut Builder,
    mut reader: impl Read,
) -> Result<(), FormatError> {
    let mut text = Vec::new();
    reader.read_to_end(&mut text)?;
    let data = if text.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice(&text)
    } else {
        serde_json::from_slice(&text).map(|document: Document| document.data)
    };
    build(builder, &data.map_err(FormatError::Json)?);
    Ok(())
}

fn build(builder: &mut Builder, sessions: &[Vec<Transaction>]) {
    let transactions = sessions.iter().flatten();
    let events = transactions.filter(|t| t.committed).flat_map(|t| &t.events);
    let writes_zero: HashSet<u64> = events
        .filter_map(|event| match event {
            Event::Write {
                variable,
                version: 0,
            } => Some(*variable),
            _ => None,
        })
        .collect();
    for (session, transactions) in (0..).zip(sessions) {
        for (label, transaction) in (0..).zip(transactions) {
            let outcome = match transaction.committed {
                true => Outcome::Committed,
                false => Outcome::Aborted,
            };
            let number = builder.transaction(session, Some(label), outcome);
            for event in &transaction.events {
                match *event {
                    Event::Write { variable, version } => builder.write(number, variable, version),
                    Event::Read {
                        variable,
                        version: Some(version),
                    } if version > 0 || writes_zero.contains(&variable) => {
                        builder.read(number, variable, version);
                    }
                    Event::Read { variable, .. } => builder.read_initial(number, variable),
                }
            }
        }
    }
}

/// Reads the text of a `.hist` file.
pub(super) fn read_text_into(
    builder: &mut Builder,
    mut reader: impl Read,
) -> Result<Option<Cut>, FormatError> {
    let mut text = Vec::new();
    reader.read_to_end(&mut text)?;
    let mut cursor = Cursor::new(&text, 1);
    let mut names = Names::default();
    let mut sessions = vec![Vec::new()];
    let cut = loop {
        space(&mut cursor);
        let begin = cursor.clone();
        match cursor.peek() {
            None => break None,
            Some(b'-') => {
                while cursor.take(b'-') {}
                sessions.push(Vec::new());
            }
            Some(b'[') => match transaction(&mut cursor, builder, &mut names) {
                Ok(transaction) => sessions.last_mut().expect("never empty").push(transaction),
                // The file ends in the transaction.
                Err(_) if cursor.rest().is_empty() => break Some(begin.cut()),
                Err(error) => return Err(error),
            },
            Some(_) => {
                return Err(cursor.malformed("a transaction such as [x:=1 y==2], or ---"));
            }
        }
    };
    build(builder, &sessions);
    Ok(cut)
}

fn transaction(
    cursor: &mut Cursor,
    builder: &mut Builder,
    names: &mut Names,
) -> Result<Transaction, FormatError> {
    cursor.next();
    let mut events = Vec::new();
    loop {
        space(cursor);
        if cursor.take(b']') {
            let committed = !cursor.take(b'!');
            return Ok(Transaction { events, committed });
        }
        events.push(event(cursor, builder, names)?);
    }
}

fn space(cursor: &mut Cursor) {
    loop {
        match cursor.peek() {
            Some(b' ' | b'\t' | b'\r' | b'\n') => {
                cursor.next();
            }
            Some(b'/') if cursor.peek_second() == Some(b'/') => {
                while cursor.peek().is_some_and(|byte| byte != b'\n') {
                    cursor.next();
                }
            }
            _ => return,
        }
    }
}

fn event(
    cursor: &mut Cursor,
    builder: &mut Builder,
    names: &mut Names,
) -> Result<Event, FormatError> {
    const EVENT: &str = "an event such as x:=1, x==1 or x==?, or ] at the end of the transaction";
    let mut name = String::new();
    while let Some(byte) = cursor.peek()
        && (byte.is_ascii_alphanumeric() || byte == b'_')
    {
        name.push(byte as char);
        cursor.next();
    }
    if name.is_empty() {
        return Err(cursor.malformed(EVENT));
    }
    let key = match name.parse() {
        Ok(number) => Value::Integer(number),
        Err(_) => Value::Symbol(name),
    };
    let variable = names.number(&key, |key, name| builder.name_key(key, name));
    if cursor.take(b':') {
        cursor.expect(b'=', "=, as in x:=1")?;
        let version = cursor.number()?;
        Ok(Event::Write { variable, version })
    } else if cursor.take(b'=') {
        cursor.expect(b'=', "=, as in x==1")?;
        let version = match cursor.take(b'?') {
            true => None,
            false => Some(cursor.number()?),
        };
        Ok(Event::Read { variable, version })
    } else {
        Err(cursor.malformed(EVENT))
    }
}
