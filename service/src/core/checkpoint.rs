//! Operations, buckets and checkpoints.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::source::{Lsn, Relation, RowIdentity};

/// One entry of a bucket's log: a row was put, or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Starts at 1 and grows with every operation of the service; never used twice under one bucket
    /// name.
    pub op_id: u64,
    /// The row's identity at the source, opaque to clients.
    pub subkey: String,
    /// The row's `id`, empty if it has none.
    pub object_id: String,
    /// The row as a JSON object; none for a removal.
    pub data: Option<String>,
    pub checksum: u32,
}

impl Operation {
    /// A PUT of a row of that type (table).
    pub fn put(
        op_id: u64,
        object_type: &str,
        subkey: String,
        object_id: String,
        data: String,
    ) -> Self {
        let checksum = hash(&["put.", object_type, ".", &object_id, ".", &data]);
        Operation {
            op_id,
            subkey,
            object_id,
            data: Some(data),
            checksum,
        }
    }

    /// A REMOVE of a row.
    pub fn remove(op_id: u64, subkey: String, object_id: String) -> Self {
        let checksum = hash(&["delete.", &subkey]);
        Operation {
            op_id,
            subkey,
            object_id,
            data: None,
            checksum,
        }
    }
}

/// PowerSync's checksum: the first four bytes of the SHA-256 as a little-endian number. Clients only
/// add these up (modulo 2^32), they never compute them.
fn hash(parts: &[&str]) -> u32 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    let digest = hasher.finalize();
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// A bucket at a checkpoint: all rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The key of the bucket's operations in the storage.
    pub id: u64,
    /// What clients call it.
    pub name: String,
    /// The source table as it was when the snapshot was taken.
    pub relation: Relation,
    pub row_identity: RowIdentity,
    /// [`SnapshotTable::definition`][super::source::SnapshotTable::definition] of the snapshot.
    pub definition: String,
    /// The sum of the operations' checksums modulo 2^32.
    pub checksum: u32,
    /// The number of operations.
    pub count: u64,
    /// The newest operation, 0 if there is none.
    pub last_op_id: u64,
}

impl Bucket {
    /// The name of the type of the bucket's rows: the table's, without its schema.
    pub fn object_type(&self) -> &str {
        &self.relation.name
    }
}

/// A state of the source that clients may see: everything that was committed before a position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Every transaction that was committed before this position is contained, and no other.
    pub lsn: Lsn,
    /// The newest operation of the service.
    pub last_op_id: u64,
    /// PostgreSQL's system identifier.
    pub system: String,
    pub buckets: Vec<Bucket>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first two are the vectors of PowerSync's own tests, the third was sent by a real service.
    #[test]
    fn checksums_are_those_of_powersync() {
        let put = |kind: &str, id: &str, data: &str| {
            Operation::put(1, kind, String::new(), id.into(), data.into()).checksum
        };
        assert_eq!(
            put("test", "t1", r#"{"id":"t1","description":"Test 1"}"#),
            920_318_466
        );
        assert_eq!(
            put("test", "t1", r#"{"id":"t1","description":"Test 1b"}"#),
            1_859_363_232
        );
        assert_eq!(
            put("mww", "99", r#"{"id":"99","k":99,"v":5}"#),
            3_872_611_580
        );
    }
}
