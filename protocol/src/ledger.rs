//! What the workload `ledger` adds to an operation's effects. How it is made and merged is in the crate
//! `squall-workloads`, what it proves in `docs/workloads.md`.
//!
//! In a history rows are written as arrays, as there are many of them, and their texts are recorded as
//! they were read: whether they make sense is for the checker to say.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// What a session's history holds of the ledger, and so need not be read again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSeen {
    /// For each client (by name) the highest sequence number of its rows. A client that is not there
    /// has none: all its rows are to be read.
    pub highest: BTreeMap<String, i64>,
    /// If set, a client's rows are counted only above its highest sequence number less this; otherwise
    /// all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<i64>,
}

impl LedgerSeen {
    /// Nothing: everything is to be read and counted.
    pub fn nothing() -> Self {
        LedgerSeen::default()
    }

    /// Whether everything is to be read and counted.
    pub fn is_nothing(&self) -> bool {
        self.highest.is_empty() && self.window.is_none()
    }

    /// The sequence number above which that client's rows are to be counted.
    pub fn above(&self, client: &str) -> i64 {
        match (self.window, self.highest.get(client)) {
            (Some(window), Some(highest)) => (highest - window).max(0),
            _ => 0,
        }
    }

    /// Remembers what a read has shown.
    pub fn see(&mut self, read: &[ClientLedger]) {
        for of in read {
            if let Some(last) = of.rows.iter().map(|row| row.seq).max() {
                self.raise(&of.client, last);
            }
        }
    }

    /// Remembers what another has seen. How far rows are to be counted stays as it was.
    pub fn see_too(&mut self, other: &LedgerSeen) {
        for (client, highest) in &other.highest {
            self.raise(client, *highest);
        }
    }

    fn raise(&mut self, client: &str, to: i64) {
        match self.highest.get_mut(client) {
            Some(highest) => *highest = to.max(*highest),
            None => {
                self.highest.insert(client.to_owned(), to);
            }
        }
    }
}

/// What a transaction that committed did with the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEffects {
    /// What it read, before its own insert.
    pub reads: LedgerRead,
    /// The sequence number of the row that it inserted; none for a transaction that only reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
}

/// The ledger as one transaction read it: every client that has rows there, ordered by name.
pub type LedgerRead = Vec<ClientLedger>;

/// One client's rows as one transaction read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientLedger {
    /// The client that the rows name.
    pub client: String,
    /// How many rows it has whose sequence number is above [`ClientLedger::above`].
    pub count: i64,
    /// What the count begins after; 0 if all rows are counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub above: i64,
    /// Their highest sequence number.
    pub highest: i64,
    /// The rows that had not been seen ([`LedgerSeen`]), ordered by sequence number; in PostgreSQL's
    /// final read in the order in which PostgreSQL inserted them. If nothing had been, all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<LedgerRow>,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// A row of the ledger, without the client that it names; in a history `[seq, id, writes]`, followed
/// by `copies` if there is not exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "RowAsArray")]
pub struct LedgerRow {
    /// The position of the transaction among its client's, from 1.
    pub seq: i64,
    /// The row's id: the transaction's value, in decimal digits.
    pub id: String,
    /// The keys that the transaction wrote in `mww`, as a JSON array in ascending order.
    pub writes: String,
    /// How often the row was inserted at the backend; 1 while it is only in the local database.
    pub copies: i64,
}

#[derive(Clone, Serialize)]
#[serde(untagged)]
enum RowAsArray {
    Once(i64, String, String),
    Counted(i64, String, String, i64),
}

impl From<LedgerRow> for RowAsArray {
    fn from(row: LedgerRow) -> Self {
        match row.copies {
            1 => RowAsArray::Once(row.seq, row.id, row.writes),
            copies => RowAsArray::Counted(row.seq, row.id, row.writes, copies),
        }
    }
}

/// By hand, since most of a long history is rows, and an untagged enum would keep every one aside until
/// it knows which variant it is.
impl<'de> Deserialize<'de> for LedgerRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row;

        impl<'de> Visitor<'de> for Row {
            type Value = LedgerRow;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str(
                    "a row of the ledger, as [seq, id, writes] or [seq, id, writes, copies]",
                )
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<LedgerRow, A::Error> {
                let lacks = |length| Error::invalid_length(length, &self);
                Ok(LedgerRow {
                    seq: row.next_element()?.ok_or_else(|| lacks(0))?,
                    id: row.next_element()?.ok_or_else(|| lacks(1))?,
                    writes: row.next_element()?.ok_or_else(|| lacks(2))?,
                    copies: row.next_element()?.unwrap_or(1),
                })
            }
        }

        deserializer.deserialize_seq(Row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_row_is_an_error() {
        for text in [
            "[]",
            r#"[3]"#,
            r#"[3,"41"]"#,
            r#"[3,41,"[2,7]"]"#,
            r#"[3,"41","[2,7]",null]"#,
            r#"[3,"41","[2,7]",2,1]"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<LedgerRow>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rows_are_short_arrays() {
        let row = |copies| LedgerRow {
            seq: 3,
            id: "41".to_owned(),
            writes: "[2,7]".to_owned(),
            copies,
        };
        for (row, text) in [
            (row(1), r#"[3,"41","[2,7]"]"#),
            (row(2), r#"[3,"41","[2,7]",2]"#),
        ] {
            assert_eq!(serde_json::to_string(&row).unwrap(), text);
            assert_eq!(serde_json::from_str::<LedgerRow>(text).unwrap(), row);
        }
    }
}
