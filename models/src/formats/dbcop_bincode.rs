//! The binary format of the original dbcop, `history.bincode`: bincode 1, all numbers little-endian.
//!
//! Five numbers (identity, nodes, variables, transactions, events); three texts (information, start,
//! end), each as its length and its bytes; the number of sessions, and for each the number of its
//! transactions, and for each the number of its events, the events, and a byte that says whether it
//! succeeded. An event is a byte that says whether it is a write, the variable, the value, and a byte
//! that says whether it succeeded. The value 0 is the initial one.

use std::io::Read;

use super::FormatError;
use super::binary::Bytes;
use crate::registers::{Builder, Outcome};

/// The value that every key holds at first.
pub(super) const INITIAL_VALUE: u64 = 0;

/// Whether it begins like a history: five numbers that are not large, and a text.
pub(super) fn looks_like(beginning: &[u8]) -> bool {
    beginning.len() >= 48
        && beginning[8..48]
            .chunks(8)
            .all(|number| number[5..].iter().all(|byte| *byte == 0))
}

pub(super) fn read_into(builder: &mut Builder, reader: impl Read) -> Result<(), FormatError> {
    let mut file = File(Bytes::new(reader));
    for _ in 0..5 {
        file.number()?;
    }
    for _ in 0..3 {
        let length = file.number()?;
        file.0.skip(length)?;
    }
    // The file may claim any number of anything; nothing is allotted before it is there.
    for session in 0..file.number()? {
        for label in 0..file.number()? {
            let transaction = builder.transaction(session, Some(label), Outcome::Committed);
            // What it tried to write in vain; made when there is something.
            let mut failed = None;
            for _ in 0..file.number()? {
                let write = file.flag()?;
                let (variable, value) = (file.number()?, file.number()?);
                match (write, file.flag()?) {
                    (true, true) => builder.write(transaction, variable, value),
                    (true, false) => {
                        let failed = *failed.get_or_insert_with(|| {
                            builder.transaction(session, Some(label), Outcome::Aborted)
                        });
                        builder.write(failed, variable, value);
                    }
                    (false, true) => builder.read(transaction, variable, value),
                    (false, false) => {}
                }
            }
            if !file.flag()? {
                builder.set_outcome(transaction, Outcome::Aborted);
            }
        }
    }
    match file.0.next()? {
        None => Ok(()),
        Some(_) => Err(file.0.malformed("the end of the file before here")),
    }
}

struct File<R>(Bytes<R>);

impl<R: Read> File<R> {
    fn number(&mut self) -> Result<u64, FormatError> {
        self.0.eight().map(u64::from_le_bytes)
    }

    fn flag(&mut self) -> Result<bool, FormatError> {
        match self.0.next()? {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(self.0.malformed("a byte 0 or 1 before here")),
        }
    }
}
