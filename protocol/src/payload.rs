//! What the payload table of `ledger --payload` adds to reads: rows that are inserted, updated and
//! deleted, some with nulls, any Unicode, or 100 KB of text. How they are made is in the crate
//! `squall-workloads`.

use serde::{Deserialize, Serialize};

/// Every row of the payload table, ordered by id.
pub type PayloadRead = Vec<PayloadRow>;

/// A row of the payload table; in a history `[id, version, bytes, digest]`, or `[id, version]`
/// if the body is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "RowAsArray", into = "RowAsArray")]
pub struct PayloadRow {
    /// The row's id: the client that owns it, a slash, and its number.
    pub id: String,
    /// The sequence number of the transaction that wrote it last, among its client's in the ledger.
    pub version: i64,
    /// The body, unless it is null: its length in bytes of UTF-8 and its digest.
    pub body: Option<PayloadBody>,
}

/// A text too long to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PayloadBody {
    /// Its length in bytes of UTF-8.
    pub bytes: u64,
    /// Its 64-bit FNV-1a hash.
    pub digest: u64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum RowAsArray {
    Null(String, i64),
    Text(String, i64, u64, u64),
}

impl From<RowAsArray> for PayloadRow {
    fn from(row: RowAsArray) -> Self {
        match row {
            RowAsArray::Null(id, version) => PayloadRow {
                id,
                version,
                body: None,
            },
            RowAsArray::Text(id, version, bytes, digest) => PayloadRow {
                id,
                version,
                body: Some(PayloadBody { bytes, digest }),
            },
        }
    }
}

impl From<PayloadRow> for RowAsArray {
    fn from(row: PayloadRow) -> Self {
        match row.body {
            None => RowAsArray::Null(row.id, row.version),
            Some(body) => RowAsArray::Text(row.id, row.version, body.bytes, body.digest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_short_arrays() {
        let row = |body| PayloadRow {
            id: "native-1/3".to_owned(),
            version: 12,
            body,
        };
        let body = PayloadBody {
            bytes: 4,
            digest: 9,
        };
        for (row, text) in [
            (row(None), r#"["native-1/3",12]"#),
            (row(Some(body)), r#"["native-1/3",12,4,9]"#),
        ] {
            assert_eq!(serde_json::to_string(&row).unwrap(), text);
            assert_eq!(serde_json::from_str::<PayloadRow>(text).unwrap(), row);
        }
    }
}
