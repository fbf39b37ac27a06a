//! The format of Cobra: one binary log per session, all numbers big-endian.
//!
//! `S` and a transaction's number begin it; `C` and the number commit it. `W` is followed by the
//! write's identity and the hashes of key and value, `R` by the identities of the transaction and the
//! write that were read and the same hashes; 8 bytes each. A transaction that is not committed may
//! have been. The write identities 0xbebeebee and 0xdeadbeef stand for initial values.

use std::io::{self, Read};

use super::FormatError;
use crate::registers::{Builder, Outcome, Registers};

const INITIAL: [u64; 2] = [0xbebe_ebee, 0xdead_beef];

/// Reads a history from the logs of its sessions.
pub fn read<R: Read>(logs: impl IntoIterator<Item = R>) -> Result<Registers, FormatError> {
    let mut builder = Builder::new(None);
    for (session, log) in (0..).zip(logs) {
        let mut log = Log {
            reader: io::BufReader::new(log),
            offset: 0,
        };
        let mut open = None;
        while let Some(kind) = log.byte()? {
            match (kind, open) {
                (b'S', _) => {
                    let label = log.number()?;
                    open = Some(builder.transaction(session, Some(label), Outcome::Unknown));
                }
                (b'C', Some(transaction)) => {
                    log.number()?;
                    builder.set_outcome(transaction, Outcome::Committed);
                    open = None;
                }
                (b'W', Some(transaction)) => {
                    let write = log.number()?;
                    let key = log.number()?;
                    log.number()?;
                    builder.write(transaction, key, write);
                }
                (b'R', Some(transaction)) => {
                    log.number()?;
                    let write = log.number()?;
                    let key = log.number()?;
                    log.number()?;
                    if INITIAL.contains(&write) {
                        builder.read_initial(transaction, key);
                    } else {
                        builder.read(transaction, key, write);
                    }
                }
                (b'C' | b'W' | b'R', None) => {
                    return Err(log.malformed("S, the beginning of a transaction"));
                }
                _ => return Err(log.malformed("S, R, W or C, the kind of a record")),
            }
        }
    }
    Ok(builder.finish()?)
}

struct Log<R> {
    reader: io::BufReader<R>,
    offset: u64,
}

impl<R: Read> Log<R> {
    fn byte(&mut self) -> Result<Option<u8>, FormatError> {
        let mut byte = [0];
        let read = loop {
            match self.reader.read(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.offset += read as u64;
        Ok((read == 1).then_some(byte[0]))
    }

    fn number(&mut self) -> Result<u64, FormatError> {
        let mut bytes = [0; 8];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) => {
                self.offset += 8;
                Ok(u64::from_be_bytes(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.malformed("a number of 8 bytes, but the log ends"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn malformed(&self, expected: &'static str) -> FormatError {
        FormatError::MalformedAt {
            offset: self.offset,
            expected,
        }
    }
}
