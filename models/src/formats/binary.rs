//! Reading numbers of a binary format, with the place of what is malformed.

use std::io::{self, Read};

use super::FormatError;

/// A stream of bytes, and how far it was read.
pub(super) struct Bytes<R> {
    reader: io::BufReader<R>,
    offset: u64,
}

impl<R: Read> Bytes<R> {
    pub fn new(reader: R) -> Self {
        Bytes {
            reader: io::BufReader::with_capacity(1 << 16, reader),
            offset: 0,
        }
    }

    /// The next byte; none at the end.
    pub fn next(&mut self) -> Result<Option<u8>, FormatError> {
        let mut byte = [0];
        match self.reader.read_exact(&mut byte) {
            Ok(()) => {
                self.offset += 1;
                Ok(Some(byte[0]))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The next eight bytes.
    pub fn eight(&mut self) -> Result<[u8; 8], FormatError> {
        let mut bytes = [0; 8];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) => {
                self.offset += 8;
                Ok(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.malformed("a number of 8 bytes, but the file ends"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Leaves bytes out.
    pub fn skip(&mut self, count: u64) -> Result<(), FormatError> {
        let skipped = io::copy(&mut (&mut self.reader).take(count), &mut io::sink())?;
        if skipped < count {
            return Err(self.malformed("a text of the length that is given here"));
        }
        self.offset += count;
        Ok(())
    }

    /// An error at this place.
    pub fn malformed(&self, expected: &'static str) -> FormatError {
        FormatError::MalformedAt {
            offset: self.offset,
            expected,
        }
    }
}
