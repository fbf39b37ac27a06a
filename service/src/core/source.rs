//! What the source database tells us.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A position in PostgreSQL's write-ahead log, in bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// The text is not of the form `16/B374D848`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a position in the write-ahead log (like 16/B374D848)")]
pub struct MalformedLsn(String);

impl FromStr for Lsn {
    type Err = MalformedLsn;

    fn from_str(text: &str) -> Result<Lsn, MalformedLsn> {
        let parse = || {
            let (high, low) = text.split_once('/')?;
            let high = u32::from_str_radix(high, 16).ok()?;
            let low = u32::from_str_radix(low, 16).ok()?;
            Some(Lsn(u64::from(high) << 32 | u64::from(low)))
        };
        parse().ok_or_else(|| MalformedLsn(text.into()))
    }
}

/// A table as the source describes it. Two equal descriptions mean that rows have the same form and
/// the same identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// The table's object id in the catalogue: another one after it was dropped and made again.
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// `pg_class.relreplident`: `d`, `n`, `f` or `i`.
    pub replica_identity: char,
    /// The columns in their order, without generated ones.
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// `pg_type.oid` of the type.
    pub type_oid: u32,
    /// Whether it is part of the replica identity, and so in the old row of updates and deletes.
    pub in_replica_identity: bool,
}

/// A column's value in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Null,
    /// In PostgreSQL's text format, with `DateStyle` ISO and `TimeZone` UTC.
    Text(String),
    /// A large value that an update left as it was; the source does not send it again.
    Unchanged,
    /// Bytes that are not UTF-8, as a database with the encoding `SQL_ASCII` may hold them.
    NotText,
}

/// The columns of a row, in the order of [`Relation::columns`].
pub type Row = Vec<Cell>;

/// What happens at the source, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// A new connection: what followed the last commit is void and comes again, relations too.
    Connected,
    /// Everything known so far is void; the rows of a consistent snapshot follow.
    SnapshotBegin(SnapshotBegin),
    /// A row of the snapshot.
    SnapshotRow {
        /// The [`Relation::oid`].
        relation: u32,
        row: Row,
    },
    /// The snapshot is complete. It shows the source as of this position.
    SnapshotEnd {
        lsn: Lsn,
    },
    /// A table's description, sent before its first change and after every change of its form.
    Relation(Relation),
    Begin {
        /// The position of the commit.
        commit: Lsn,
    },
    Insert {
        relation: u32,
        row: Row,
    },
    Update {
        relation: u32,
        /// The row before, if its replica identity changed or is `FULL`; otherwise none. Columns
        /// outside the replica identity are null.
        old: Option<Row>,
        new: Row,
    },
    Delete {
        relation: u32,
        /// The row before. Columns outside the replica identity are null.
        old: Row,
    },
    Truncate {
        relations: Vec<u32>,
    },
    Commit {
        /// The position after the commit.
        end: Lsn,
    },
    /// Everything that was committed before this position has been sent.
    Position(Lsn),
}

impl SourceEvent {
    /// Whether this makes changes visible.
    pub fn is_commit(&self) -> bool {
        matches!(
            self,
            SourceEvent::Commit { .. } | SourceEvent::SnapshotEnd { .. }
        )
    }
}

/// What a new snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotBegin {
    /// Makes the bucket names of this snapshot different from those of every other one, so that
    /// clients drop what they have and download again.
    pub version: String,
    /// PostgreSQL's system identifier: another one means another database cluster.
    pub system: String,
    pub tables: Vec<SnapshotTable>,
}

/// A table of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotTable {
    pub relation: Relation,
    pub row_identity: RowIdentity,
    /// Everything that decides which rows and values the source sends of the table: another text
    /// means that what is known of it is void. Opaque.
    pub definition: String,
}

/// What tells the rows of a table apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowIdentity {
    /// The columns, as indexes into [`Relation::columns`].
    pub columns: Vec<usize>,
    /// Whether no two rows can be equal in them at any moment, within a transaction too.
    pub unique: bool,
}
