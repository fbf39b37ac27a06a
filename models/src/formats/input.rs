//! What a history is read from: a stream that is read once, so that it may be a pipe. What was looked at
//! to see the format is kept, and given to whoever reads the history. What is compressed by gzip, as its
//! first bytes tell, is decompressed.

use std::io::{self, Cursor, ErrorKind, Read};

use flate2::read::MultiGzDecoder;

use super::error::FormatError;

const GZIP: [u8; 2] = [0x1f, 0x8b];
pub(super) const UTF_8_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
const UTF_16_MARKS: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];

/// A stream of which the beginning was looked at.
pub struct Input<'r> {
    pub(super) beginning: Vec<u8>,
    /// How much of the beginning was read.
    at: usize,
    rest: Box<dyn Read + 'r>,
}

impl<'r> Input<'r> {
    /// # Errors
    ///
    /// When the stream cannot be read.
    pub fn new(reader: impl Read + 'r) -> io::Result<Input<'r>> {
        let mut input = Input {
            beginning: Vec::new(),
            at: 0,
            rest: Box::new(reader),
        };
        input.look(GZIP.len() as u64)?;
        if input.beginning != GZIP {
            return Ok(input);
        }
        let compressed = Cursor::new(input.beginning).chain(input.rest);
        Ok(Input {
            beginning: Vec::new(),
            at: 0,
            rest: Box::new(MultiGzDecoder::new(compressed)),
        })
    }

    /// Looks further. Answers whether there was more.
    pub(super) fn look(&mut self, bytes: u64) -> io::Result<bool> {
        let mut more = self.rest.by_ref().take(bytes);
        Ok(more.read_to_end(&mut self.beginning)? > 0)
    }

    /// Whether there is nothing at all.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read.
    pub fn is_empty(&mut self) -> io::Result<bool> {
        Ok(self.beginning.is_empty() && !self.look(1)?)
    }

    /// Takes what it holds for text: a byte order mark at its beginning is left out.
    ///
    /// # Errors
    ///
    /// When it is in UTF-16, or the stream cannot be read.
    pub fn text(&mut self) -> Result<(), FormatError> {
        if self.beginning.len() < UTF_8_MARK.len() {
            self.look((UTF_8_MARK.len() - self.beginning.len()) as u64)?;
        }
        let beginning = &self.beginning[self.at..];
        if UTF_16_MARKS.iter().any(|mark| beginning.starts_with(mark)) {
            return Err(FormatError::Utf16);
        }
        if beginning.starts_with(UTF_8_MARK) {
            self.at += UTF_8_MARK.len();
        }
        Ok(())
    }
}

impl Read for Input<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.beginning.len() {
            return self.rest.read(out);
        }
        let beginning = &self.beginning[self.at..];
        let length = beginning.len().min(out.len());
        out[..length].copy_from_slice(&beginning[..length]);
        self.at += length;
        Ok(length)
    }
}

/// Whether an error of reading is one of what was read: compressed data that are damaged or cut.
pub fn is_malformed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof
    )
}
