//! The test format of AWDIT: `r key value` or `w key value` per line, a line of `-` between
//! transactions, a line of `=` between sessions. There is no initial value: what nobody wrote is a
//! thin-air read.

use std::io::Read;

use super::FormatError;
use super::lines::Cursor;
use crate::registers::{Builder, Outcome, Registers};

/// Reads a history.
pub fn read(mut reader: impl Read) -> Result<Registers, FormatError> {
    const LINE: &str = "r key value, w key value, or a line of - or =";
    let mut text = Vec::new();
    reader.read_to_end(&mut text)?;
    let mut cursor = Cursor::new(&text, 1);
    let mut builder = Builder::new(None);
    let (mut session, mut label, mut open) = (0, 0, None);
    while let Some(byte) = cursor.peek() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                cursor.next();
            }
            b'-' | b'=' => {
                while cursor.take(byte) {}
                cursor.end_of_line()?;
                open = None;
                session += u64::from(byte == b'=');
            }
            b'r' | b'w' => {
                cursor.next();
                cursor.expect(b' ', "a space, and then the key")?;
                let key = cursor.number()?;
                cursor.expect(b' ', "a space, and then the value")?;
                let value = cursor.number()?;
                cursor.end_of_line()?;
                let transaction = *open.get_or_insert_with(|| {
                    label += 1;
                    builder.transaction(session, Some(label), Outcome::Committed)
                });
                if byte == b'w' {
                    builder.write(transaction, key, value);
                } else {
                    builder.read(transaction, key, value);
                }
            }
            _ => return Err(cursor.malformed(LINE)),
        }
    }
    Ok(builder.finish()?)
}
