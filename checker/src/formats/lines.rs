//! Reading text in large pieces that end with a line.

use std::io::Read;

use super::FormatError;
use crate::history::Cut;

/// Reads this much at once.
const PIECE: usize = 1 << 18;

/// Calls `piece` with one or more whole lines at a time, and with the number of the first of them.
/// The last line may lack its newline.
pub(super) fn for_each_piece(
    mut reader: impl Read,
    mut piece: impl FnMut(&[u8], u64) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let mut buffer = vec![0; PIECE];
    let mut filled = 0;
    let mut line = 1;
    loop {
        if filled == buffer.len() {
            // A line longer than the buffer.
            buffer.resize(2 * filled, 0);
        }
        let read = match reader.read(&mut buffer[filled..]) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if read == 0 {
            break;
        }
        let newest = filled;
        filled += read;
        let Some(end) = buffer[newest..filled].iter().rposition(|b| *b == b'\n') else {
            continue;
        };
        let end = newest + end + 1;
        piece(&buffer[..end], line)?;
        line += buffer[..end].iter().filter(|byte| **byte == b'\n').count() as u64;
        buffer.copy_within(end..filled, 0);
        filled -= end;
    }
    if filled > 0 {
        piece(&buffer[..filled], line)?;
    }
    Ok(())
}

/// A place in a piece of text.
#[derive(Clone)]
pub(super) struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
    first_line: u64,
}

impl<'t> Cursor<'t> {
    pub fn new(text: &'t [u8], first_line: u64) -> Self {
        Cursor {
            text,
            at: 0,
            first_line,
        }
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub fn peek_second(&self) -> Option<u8> {
        self.text.get(self.at + 1).copied()
    }

    /// The text from here on.
    pub fn rest(&self) -> &'t [u8] {
        &self.text[self.at..]
    }

    pub fn next(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.at += usize::from(byte.is_some());
        byte
    }

    /// Takes the byte if it comes next.
    pub fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    pub fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), FormatError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.malformed(expected))
        }
    }

    /// A decimal number.
    pub fn number(&mut self) -> Result<u64, FormatError> {
        const EXPECTED: &str = "a number from 0 to 18446744073709551615";
        let begin = self.at;
        let mut number: u64 = 0;
        while let Some(byte) = self.peek()
            && byte.is_ascii_digit()
        {
            let digit = u64::from(byte - b'0');
            // Up to nineteen digits always fit.
            number = if self.at - begin < 19 {
                number * 10 + digit
            } else {
                number
                    .checked_mul(10)
                    .and_then(|number| number.checked_add(digit))
                    .ok_or_else(|| self.malformed(EXPECTED))?
            };
            self.at += 1;
        }
        if self.at == begin {
            return Err(self.malformed(EXPECTED));
        }
        Ok(number)
    }

    /// The end of a line, or of the text.
    pub fn end_of_line(&mut self) -> Result<(), FormatError> {
        self.take(b'\r');
        match self.peek() {
            None => Ok(()),
            Some(b'\n') => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.malformed("the end of the line")),
        }
    }

    /// The text from here on, as something that ends too early.
    pub fn cut(&self) -> Cut {
        let lines = self.text[..self.at].iter().filter(|byte| **byte == b'\n');
        Cut {
            line: self.first_line as usize + lines.count(),
            bytes: self.text.len() - self.at,
        }
    }

    /// An error at this place.
    pub fn malformed(&self, expected: &'static str) -> FormatError {
        let before = &self.text[..self.at];
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let lines = before.iter().filter(|byte| **byte == b'\n').count() as u64;
        FormatError::Malformed {
            line: self.first_line + lines,
            column: (self.at - line_start) as u64 + 1,
            expected,
        }
    }
}
