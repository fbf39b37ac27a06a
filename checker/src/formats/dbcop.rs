//! The formats of dbcop: JSON, and the text of its `.hist` files.
//!
//! JSON: `{"data": [session, …], …}` or just the array of sessions. A session is an array of
//! transactions `{"events": […], "committed": true}`, and an event is
//! `{"Write": {"variable": 1, "version": 2}}` or `{"Read": {"variable": 1, "version": 2}}`; the
//! version null is the initial one.
//!
//! Text: a line per session or several, `---` between sessions, with transactions such as
//! `[x:=1 y==2]`; `x==?` reads the initial value, `[…]!` did not commit, `//` begins a comment.

use std::io::Read;

use serde::Deserialize;

use super::edn::Value;
use super::lines::Cursor;
use super::{FormatError, Names};
use crate::registers::{Builder, Outcome, Registers};

#[derive(Deserialize)]
struct Document {
    data: Vec<Vec<Transaction>>,
}

#[derive(Deserialize)]
struct Transaction {
    events: Vec<Event>,
    committed: bool,
}

#[derive(Deserialize)]
enum Event {
    Read { variable: u64, version: Option<u64> },
    Write { variable: u64, version: u64 },
}

/// Reads JSON.
pub fn read_json(mut reader: impl Read) -> Result<Registers, FormatError> {
    let mut text = Vec::new();
    reader.read_to_end(&mut text)?;
    let data = if text.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice(&text)
    } else {
        serde_json::from_slice(&text).map(|document: Document| document.data)
    };
    let data: Vec<Vec<Transaction>> = data.map_err(FormatError::Json)?;
    let mut builder = Builder::new(None);
    for (session, transactions) in (0..).zip(&data) {
        for (label, transaction) in (0..).zip(transactions) {
            let outcome = match transaction.committed {
                true => Outcome::Committed,
                false => Outcome::Aborted,
            };
            let number = builder.transaction(session, Some(label), outcome);
            for event in &transaction.events {
                match event {
                    Event::Write { variable, version } => {
                        builder.write(number, *variable, *version);
                    }
                    Event::Read {
                        variable,
                        version: Some(version),
                    } => builder.read(number, *variable, *version),
                    Event::Read { variable, .. } => builder.read_initial(number, *variable),
                }
            }
        }
    }
    Ok(builder.finish()?)
}

/// Reads the text of a `.hist` file.
pub fn read_text(mut reader: impl Read) -> Result<Registers, FormatError> {
    let mut text = Vec::new();
    reader.read_to_end(&mut text)?;
    let mut cursor = Cursor::new(&text, 1);
    let mut builder = Builder::new(None);
    let mut names = Names::default();
    let (mut session, mut label) = (0, 0);
    loop {
        space(&mut cursor);
        match cursor.peek() {
            None => return Ok(builder.finish()?),
            Some(b'-') => {
                while cursor.take(b'-') {}
                session += 1;
                label = 0;
            }
            Some(b'[') => {
                cursor.next();
                let transaction = builder.transaction(session, Some(label), Outcome::Committed);
                label += 1;
                while !cursor.take(b']') {
                    event(&mut cursor, transaction, &mut builder, &mut names)?;
                    space(&mut cursor);
                }
                if cursor.take(b'!') {
                    builder.set_outcome(transaction, Outcome::Aborted);
                }
            }
            Some(_) => {
                return Err(cursor.malformed("a transaction such as [x:=1 y==2], or ---"));
            }
        }
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
    transaction: u32,
    builder: &mut Builder,
    names: &mut Names,
) -> Result<(), FormatError> {
    const EVENT: &str = "an event such as x:=1, x==1 or x==?, or ] at the end of the transaction";
    space(cursor);
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
        Err(_) => Value::Text(name),
    };
    let key = names.key(&key, |key, name| builder.name_key(key, name));
    if cursor.take(b':') {
        cursor.expect(b'=', "=, as in x:=1")?;
        let value = cursor.number()?;
        builder.write(transaction, key, value);
    } else if cursor.take(b'=') {
        cursor.expect(b'=', "=, as in x==1")?;
        if cursor.take(b'?') {
            builder.read_initial(transaction, key);
        } else {
            let value = cursor.number()?;
            builder.read(transaction, key, value);
        }
    } else {
        return Err(cursor.malformed(EVENT));
    }
    Ok(())
}
