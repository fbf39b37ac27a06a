//! The test format of AWDIT: `r key value` or `w key value` per line, a line of `-` between
//! transactions, a line of `=` between sessions. There is no initial value: what nobody wrote is a
//! thin-air read.

use std::io::Read;

use super::FormatError;
use super::error::Cut;
use super::lines::Cursor;
use crate::registers::{Builder, Outcome};

pub(super) fn read_into(
    builder: &mut Builder,
    mut reader: impl Read,
) -> Result<Option<Cut>, FormatError> {
    let mut text = Vec::new();
    reader.read_to_end(&mut text)?;
    let mut cursor = Cursor::new(&text, 1);
    let (mut session, mut label, mut open) = (0, 0, None);
    loop {
        space(&mut cursor);
        let begin = cursor.clone();
        match cursor.peek() {
            None => return Ok(None),
            Some(b'\n') => {
                cursor.next();
            }
            Some(byte @ (b'-' | b'=')) => {
                while cursor.take(byte) {}
                space(&mut cursor);
                cursor.end_of_line()?;
                open = None;
                session += u64::from(byte == b'=');
            }
            Some(_) => match operation(&mut cursor) {
                // The file ends in the line.
                Err(_) if cursor.rest().is_empty() => return Ok(Some(begin.cut())),
                Err(error) => return Err(error),
                Ok((write, key, value)) => {
                    let transaction = *open.get_or_insert_with(|| {
                        label += 1;
                        builder.transaction(session, Some(label), Outcome::Committed)
                    });
                    if write {
                        builder.write(transaction, key, value);
                    } else {
                        builder.read(transaction, key, value);
                    }
                }
            },
        }
    }
}

fn space(cursor: &mut Cursor) {
    while cursor.take(b' ') || cursor.take(b'\t') || cursor.take(b'\r') {}
}

/// Whether it is a write, the key, the value.
fn operation(cursor: &mut Cursor) -> Result<(bool, u64, u64), FormatError> {
    let write = cursor.take(b'w');
    if !write {
        cursor.expect(b'r', "r key value, w key value, or a line of - or =")?;
    }
    cursor.expect(b' ', "a space, and then the key")?;
    space(cursor);
    let key = cursor.number()?;
    cursor.expect(b' ', "a space, and then the value")?;
    space(cursor);
    let value = cursor.number()?;
    space(cursor);
    cursor.end_of_line()?;
    Ok((write, key, value))
}
