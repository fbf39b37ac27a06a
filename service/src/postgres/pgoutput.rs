//! The messages of the output plugin `pgoutput`, protocol version 1, values as text.
//!
//! Formats: PostgreSQL's documentation, "Logical Replication Message Formats". Begin, Commit and
//! Message are decoded by pgwire-replication already.

use bytes::{Buf, Bytes, TryGetError};

use crate::core::source::{Cell, Column, Relation, Row, SourceEvent};

/// A message that is not as documented.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("a replication message ended early")]
    Short(#[from] TryGetError),
    #[error("a replication message holds text that is not UTF-8")]
    NotText,
    #[error("a replication message has the unknown {what} `{}`", *byte as char)]
    Unknown { what: &'static str, byte: u8 },
}

/// Decodes a message; none for those that do not concern us (types, origins).
pub fn decode(mut message: Bytes) -> Result<Option<SourceEvent>, DecodeError> {
    let kind = message.try_get_u8()?;
    let event = match kind {
        b'R' => SourceEvent::Relation(relation(&mut message)?),
        b'I' => {
            let relation = message.try_get_u32()?;
            message.try_get_u8()?; // always N, a new row
            SourceEvent::Insert {
                relation,
                row: row(&mut message)?,
            }
        }
        b'U' => {
            let relation = message.try_get_u32()?;
            match message.try_get_u8()? {
                b'K' | b'O' => {
                    let old = Some(row(&mut message)?);
                    message.try_get_u8()?;
                    SourceEvent::Update {
                        relation,
                        old,
                        new: row(&mut message)?,
                    }
                }
                b'N' => SourceEvent::Update {
                    relation,
                    old: None,
                    new: row(&mut message)?,
                },
                byte => {
                    return Err(DecodeError::Unknown {
                        what: "row kind",
                        byte,
                    });
                }
            }
        }
        b'D' => {
            let relation = message.try_get_u32()?;
            message.try_get_u8()?; // K or O, the old row's key or the whole old row
            SourceEvent::Delete {
                relation,
                old: row(&mut message)?,
            }
        }
        b'T' => {
            let count = message.try_get_u32()?;
            message.try_get_u8()?; // CASCADE and RESTART IDENTITY do not concern us
            let relations = (0..count)
                .map(|_| message.try_get_u32())
                .collect::<Result<_, _>>()?;
            SourceEvent::Truncate { relations }
        }
        b'Y' | b'O' => return Ok(None),
        byte => return Err(DecodeError::Unknown { what: "kind", byte }),
    };
    Ok(Some(event))
}

fn relation(message: &mut Bytes) -> Result<Relation, DecodeError> {
    let oid = message.try_get_u32()?;
    let schema = text_until_nul(message)?;
    let name = text_until_nul(message)?;
    let replica_identity = message.try_get_u8()? as char;
    let count = message.try_get_u16()?;
    let mut columns = Vec::with_capacity(count.into());
    for _ in 0..count {
        let flags = message.try_get_u8()?;
        let name = text_until_nul(message)?;
        let type_oid = message.try_get_u32()?;
        message.try_get_u32()?; // the type's modifier
        columns.push(Column {
            name,
            type_oid,
            in_replica_identity: flags & 1 != 0,
        });
    }
    Ok(Relation {
        oid,
        schema,
        name,
        replica_identity,
        columns,
    })
}

fn row(message: &mut Bytes) -> Result<Row, DecodeError> {
    let count = message.try_get_u16()?;
    let mut row = Vec::with_capacity(count.into());
    for _ in 0..count {
        row.push(match message.try_get_u8()? {
            b'n' => Cell::Null,
            b'u' => Cell::Unchanged,
            b't' => {
                let length = message.try_get_u32()? as usize;
                match text(message, length) {
                    Ok(text) => Cell::Text(text),
                    // Who knows the names of table and column says so.
                    Err(DecodeError::NotText) => Cell::NotText,
                    Err(error) => return Err(error),
                }
            }
            byte => {
                return Err(DecodeError::Unknown {
                    what: "value kind",
                    byte,
                });
            }
        });
    }
    Ok(row)
}

fn text_until_nul(message: &mut Bytes) -> Result<String, DecodeError> {
    let length = message
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(message.len());
    let value = text(message, length)?;
    message.try_get_u8()?;
    Ok(value)
}

fn text(message: &mut Bytes, length: usize) -> Result<String, DecodeError> {
    if message.len() < length {
        return Err(TryGetError {
            requested: length,
            available: message.len(),
        }
        .into());
    }
    String::from_utf8(message.split_to(length).into()).map_err(|_| DecodeError::NotText)
}
