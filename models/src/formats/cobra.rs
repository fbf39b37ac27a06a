//! The format of Cobra: one binary log per session, all numbers big-endian.
//!
//! `S` and a transaction's number begin it; `C` and the number commit it, `A` and the number abort
//! it. `W` is followed by the write's identity and the hashes of key and value, `R` by the identities
//! of the transaction and the write that were read and the same hashes; 8 bytes each. A transaction
//! that is not committed may have been. The write identities 0xbebeebee and 0xdeadbeef stand for
//! initial values. Cobra's own transactions read the flag of its garbage collector, which nobody in the
//! logs writes: the transaction read from is 0xbebeebee, the write 0x23332333 or 0x66666666. That is no data.

use std::io::Read;

use super::binary::Bytes;
use super::{FormatError, Input, Reading};
use crate::registers::{Builder, Outcome};

const INITIAL: [u64; 2] = [0xbebe_ebee, 0xdead_beef];
const COLLECTOR: [u64; 2] = [0x2333_2333, 0x6666_6666];

/// Reads a history from the logs of its sessions, with their names.
pub fn read<R: Read>(
    logs: impl IntoIterator<Item = (String, R)>,
    values_are_versions: bool,
) -> Result<Reading, FormatError> {
    let mut builder = Builder::new(None);
    if values_are_versions {
        builder.values_are_versions();
    }
    for (session, (log, reader)) in (0..).zip(logs) {
        let read = Input::new(reader).map_err(FormatError::from);
        let read = read.and_then(|input| read_into(&mut builder, session, input));
        read.map_err(|error| FormatError::InLog {
            log,
            error: Box::new(error),
        })?;
    }
    Ok(Reading::new(builder.finish()?, None))
}

/// Whether it begins like a log: a transaction begins, and then there is a record.
pub fn looks_like(beginning: &[u8]) -> bool {
    beginning.first() == Some(&b'S')
        && matches!(beginning.get(9), Some(b'R' | b'W' | b'C' | b'A'))
        && beginning[1..9].contains(&0)
}

pub(super) fn read_into(
    builder: &mut Builder,
    session: u64,
    reader: impl Read,
) -> Result<(), FormatError> {
    const RECORD: &str = "S, R, W, C or A, the kind of a record; R, W, C and A only after S";
    let mut log = Log(Bytes::new(reader));
    let mut open = None;
    while let Some(kind) = log.0.next()? {
        match (kind, open) {
            (b'S', _) => {
                let label = log.number()?;
                let transaction = builder.transaction(session, Some(label), Outcome::Unknown);
                open = Some((transaction, label));
            }
            (b'C' | b'A', Some((transaction, label))) => {
                if log.number()? != label {
                    return Err(log.0.malformed("the number of the transaction before here"));
                }
                let outcome = match kind {
                    b'C' => Outcome::Committed,
                    _ => Outcome::Aborted,
                };
                builder.set_outcome(transaction, outcome);
                open = None;
            }
            (b'W', Some((transaction, _))) => {
                let write = log.number()?;
                let key = log.number()?;
                log.number()?;
                builder.write(transaction, key, write);
            }
            (b'R', Some((transaction, _))) => {
                let writer = log.number()?;
                let write = log.number()?;
                let key = log.number()?;
                log.number()?;
                if INITIAL.contains(&writer) && COLLECTOR.contains(&write) {
                    continue;
                }
                if INITIAL.contains(&write) {
                    builder.read_initial(transaction, key);
                } else {
                    builder.read(transaction, key, write);
                }
            }
            _ => return Err(log.0.malformed(RECORD)),
        }
    }
    Ok(())
}

struct Log<R>(Bytes<R>);

impl<R: Read> Log<R> {
    fn number(&mut self) -> Result<u64, FormatError> {
        self.0.eight().map(u64::from_be_bytes)
    }
}
