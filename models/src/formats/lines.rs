//! Reading text in large pieces that end with a line.

use std::io::{ErrorKind, Read};

use super::FormatError;
use super::error::Cut;

/// Reads this much at once: little enough for the processor's cache to hold it.
const PIECE: usize = 1 << 17;

/// Calls `piece` with one or more whole lines at a time, and with the number of the first of them.
///
/// The last line may lack its newline, if `is_whole` says of it, without space at its end, that it may be
/// a whole one. Otherwise it is left out, and the answer tells so.
pub(super) fn for_each_piece(
    mut reader: impl Read,
    is_whole: impl Fn(&[u8]) -> bool,
    mut piece: impl FnMut(&[u8], u64) -> Result<(), FormatError>,
) -> Result<Option<Cut>, FormatError> {
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
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
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
        line += newlines(&buffer[..end]);
        buffer.copy_within(end..filled, 0);
        filled -= end;
    }
    let last = buffer[..filled].trim_ascii_end();
    if last.is_empty() || is_whole(last) {
        piece(&buffer[..filled], line)?;
        return Ok(None);
    }
    Ok(Some(Cut {
        line: line as usize,
        bytes: filled,
    }))
}

/// How many newlines there are.
fn newlines(text: &[u8]) -> u64 {
    // So few at once that a byte can count them: many bytes are compared in one instruction then.
    let few = text.chunks(usize::from(u8::MAX));
    few.map(|few| few.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>())
        .map(u64::from)
        .sum()
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
    #[inline]
    pub fn number(&mut self) -> Result<u64, FormatError> {
        if let Some((eight, _)) = self.text[self.at..].split_first_chunk() {
            let (digits, number) = first_digits(u64::from_le_bytes(*eight));
            if 0 < digits && digits < 8 {
                self.at += digits;
                return Ok(number);
            }
        }
        self.any_number()
    }

    /// A number at the end of the text, or a long one.
    #[cold]
    fn any_number(&mut self) -> Result<u64, FormatError> {
        const EXPECTED: &str = "a number from 0 to 18446744073709551615";
        let begin = self.at;
        let mut number: u64 = 0;
        while let Some(byte) = self.peek()
            && byte.is_ascii_digit()
        {
            number = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(u64::from(byte - b'0')))
                .ok_or_else(|| self.malformed(EXPECTED))?;
            self.at += 1;
        }
        if self.at == begin {
            return Err(self.malformed(EXPECTED));
        }
        Ok(number)
    }

    /// Takes the text if it comes next.
    pub fn take_text(&mut self, text: &[u8]) -> bool {
        let here = self.rest().starts_with(text);
        self.at += if here { text.len() } else { 0 };
        here
    }

    /// The text since another place.
    pub fn since(&self, begin: &Cursor) -> &'t [u8] {
        &self.text[begin.at..self.at]
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
        let (line, column) = self.place();
        FormatError::Malformed {
            line,
            column,
            expected,
        }
    }

    /// The line and the column, in bytes, both from 1.
    pub fn place(&self) -> (u64, u64) {
        let before = &self.text[..self.at];
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let lines = before.iter().filter(|byte| **byte == b'\n').count() as u64;
        (self.first_line + lines, (self.at - line_start) as u64 + 1)
    }
}

/// How many of eight bytes, the first of which is the lowest, are decimal digits before anything else, and
/// the number that these are. Without branches, which the lengths of numbers would make unpredictable.
fn first_digits(eight: u64) -> (usize, u64) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // A digit becomes its value, anything else more than nine, which reaches the highest bit here.
    let values = eight ^ (EACH * u64::from(b'0'));
    let others = (((values & (EACH * 0x7f)) + EACH * (0x7f - 9)) | values) & (EACH * 0x80);
    let digits = others.trailing_zeros() as usize / 8;
    // The digits move to the end, with zeros before them; then neighbours are put together.
    let values = values.checked_shl(64 - 8 * digits as u32).unwrap_or(0);
    let pairs = (values * 10 + (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let number = (fours * 10_000 + (fours >> 32)) & 0xffff_ffff;
    (digits, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a few bytes at a time.
    struct Dribble<'t>(&'t [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let length = self.1.min(self.0.len()).min(out.len());
            let (now, later) = self.0.split_at(length);
            out[..length].copy_from_slice(now);
            self.0 = later;
            Ok(length)
        }
    }

    /// The text of all pieces, and what was left out. Lines that end with `)` are whole.
    fn pieces(reader: impl Read) -> (String, Option<Cut>) {
        let mut read = String::new();
        let cut = for_each_piece(
            reader,
            |line| line.ends_with(b")"),
            |piece, line| {
                assert_eq!(line, newlines(read.as_bytes()) + 1);
                read.push_str(std::str::from_utf8(piece).expect("it was text"));
                Ok(())
            },
        );
        (read, cut.expect("nothing fails here"))
    }

    #[test]
    fn only_a_last_line_without_end_is_left_out() {
        for (text, expected, cut) in [
            ("", "", None),
            ("a)\nbc)\n", "a)\nbc)\n", None),
            ("a)\nbc)", "a)\nbc)", None),
            ("a)\n\nbc", "a)\n\n", Some((3, 2))),
            ("bc\n", "bc\n", None),
            ("b", "", Some((1, 1))),
        ] {
            for step in [1, 2, 100] {
                let cut = cut.map(|(line, bytes)| Cut { line, bytes });
                let read = pieces(Dribble(text.as_bytes(), step));
                assert_eq!(read, (expected.to_owned(), cut), "{text:?}");
            }
        }
    }

    #[test]
    fn a_line_may_be_longer_than_the_buffer() {
        let text = format!("{}\n{}", "x".repeat(3 * PIECE), "y".repeat(2 * PIECE));
        let (read, cut) = pieces(text.as_bytes());
        assert_eq!(read.len(), 3 * PIECE + 1);
        assert_eq!(cut.map(|cut| cut.bytes), Some(2 * PIECE));
    }

    #[test]
    fn newlines_are_counted_in_long_texts() {
        let text = "\nx\n".repeat(10_000);
        assert_eq!(newlines(text.as_bytes()), 20_000);
    }

    #[test]
    fn numbers_of_every_length_end_where_their_digits_do() {
        for number in [
            0,
            7,
            10,
            4_711,
            9_999_999,
            10_000_000,
            123_456_789,
            u64::MAX,
        ] {
            for after in ["", "/", ":", ",1", "\u{b9}........", "x0000000"] {
                for before in ["", "000000"] {
                    let text = format!("{before}{number}{after}");
                    let mut cursor = Cursor::new(text.as_bytes(), 1);
                    assert_eq!(cursor.number().unwrap(), number, "{text:?}");
                    assert_eq!(cursor.rest(), after.as_bytes(), "{text:?}");
                }
            }
        }
        for text in [
            "",
            "x",
            "x1234567",
            "-1",
            "18446744073709551616",
            "99999999999999999999999",
        ] {
            assert!(
                Cursor::new(text.as_bytes(), 1).number().is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn any_eight_bytes_give_the_digits_that_they_begin_with() {
        let mut random = 1_u64;
        for _ in 0..100_000 {
            // Numerical Recipes' generator: any spread will do.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let mut eight = random.to_le_bytes();
            for byte in eight.iter_mut().take((random >> 60) as usize / 2 + 1) {
                *byte = b'0' + *byte % 10;
            }
            let digits = eight
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            let text = std::str::from_utf8(&eight[..digits]).expect("digits");
            let number = text.parse().unwrap_or(0);
            assert_eq!(first_digits(u64::from_le_bytes(eight)), (digits, number));
        }
    }
}
