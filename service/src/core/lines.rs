//! The lines of a sync stream: one object with one key each.
//!
//! Numbers that can exceed 2^53 (operation ids, write checkpoints) are decimal strings; checksums of
//! buckets are signed, those of operations unsigned.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::checkpoint::{Bucket, Checkpoint, Operation};
use super::encoding::as_number;
use super::subscriptions::{Included, Reason};

/// A line of a sync stream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line<'a> {
    Checkpoint(CheckpointLine<'a>),
    CheckpointDiff(CheckpointDiffLine<'a>),
    Data(DataLine<'a>),
    PartialCheckpointComplete(PartialCheckpointCompleteLine),
    CheckpointComplete(CheckpointCompleteLine),
    /// Seconds. The stream ends after 0.
    TokenExpiresIn(#[serde(serialize_with = "as_number")] u64),
}

/// The whole state, the first line of a stream.
#[derive(Debug, Serialize)]
pub struct CheckpointLine<'a> {
    #[serde(serialize_with = "as_text")]
    pub last_op_id: u64,
    #[serde(serialize_with = "as_text")]
    pub write_checkpoint: u64,
    pub buckets: Vec<BucketLine<'a>>,
    pub streams: Vec<StreamLine<'a>>,
}

/// What changed since the last checkpoint or diff line of the stream.
#[derive(Debug, Serialize)]
pub struct CheckpointDiffLine<'a> {
    #[serde(serialize_with = "as_text")]
    pub last_op_id: u64,
    #[serde(serialize_with = "as_text")]
    pub write_checkpoint: u64,
    pub removed_buckets: Vec<&'a str>,
    pub updated_buckets: Vec<BucketLine<'a>>,
}

/// Every operation up to the announced checkpoint has been sent, of buckets that are at least this
/// urgent.
#[derive(Debug, Serialize)]
pub struct PartialCheckpointCompleteLine {
    #[serde(serialize_with = "as_text")]
    pub last_op_id: u64,
    pub priority: u8,
}

/// Every operation up to the announced checkpoint has been sent.
#[derive(Debug, Serialize)]
pub struct CheckpointCompleteLine {
    #[serde(serialize_with = "as_text")]
    pub last_op_id: u64,
}

/// A bucket's state at a checkpoint.
#[derive(Debug, Serialize)]
pub struct BucketLine<'a> {
    bucket: &'a str,
    checksum: i32,
    #[serde(serialize_with = "as_number")]
    count: u64,
    priority: u8,
    subscriptions: Vec<Reason>,
}

/// A sync stream that the client subscribes to; there is one per table.
#[derive(Debug, Serialize)]
pub struct StreamLine<'a> {
    name: &'a str,
    is_default: bool,
    errors: [(); 0],
}

/// A part of a bucket's log.
#[derive(Debug, Serialize)]
pub struct DataLine<'a> {
    bucket: &'a str,
    #[serde(serialize_with = "as_text")]
    after: u64,
    has_more: bool,
    data: Vec<OperationLine<'a>>,
    #[serde(serialize_with = "as_text")]
    next_after: u64,
}

#[derive(Debug, Serialize)]
struct OperationLine<'a> {
    #[serde(serialize_with = "as_text")]
    op_id: u64,
    op: &'static str,
    object_type: &'a str,
    object_id: &'a str,
    #[serde(serialize_with = "as_number")]
    checksum: u32,
    subkey: &'a str,
    data: RowData<'a>,
}

/// A row, in one of the two forms that a client can ask for.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum RowData<'a> {
    /// A string that holds JSON.
    Raw(&'a str),
    /// The JSON itself, for old clients.
    Nested(&'a RawValue),
    None,
}

/// The line for a stream's first checkpoint.
pub fn checkpoint<'a>(
    checkpoint: &Checkpoint,
    write_checkpoint: u64,
    included: &[Included<'a>],
) -> Line<'a> {
    Line::Checkpoint(CheckpointLine {
        last_op_id: checkpoint.last_op_id,
        write_checkpoint,
        buckets: included.iter().map(bucket).collect(),
        streams: included
            .iter()
            .map(|included| StreamLine {
                name: included.bucket.object_type(),
                is_default: true,
                errors: [],
            })
            .collect(),
    })
}

/// The line for a later checkpoint of a stream, given what the client gets of the one before and of
/// this one.
pub fn checkpoint_diff<'a>(
    checkpoint: &Checkpoint,
    write_checkpoint: u64,
    before: &[Included<'a>],
    now: &[Included<'a>],
) -> CheckpointDiffLine<'a> {
    let is_in_now = |name: &str| now.iter().any(|included| included.bucket.name == name);
    let was_the_same = |bucket: &Bucket| before.iter().any(|included| included.bucket == bucket);
    CheckpointDiffLine {
        last_op_id: checkpoint.last_op_id,
        write_checkpoint,
        removed_buckets: before
            .iter()
            .map(|included| included.bucket.name.as_str())
            .filter(|name| !is_in_now(name))
            .collect(),
        updated_buckets: now
            .iter()
            .filter(|included| !was_the_same(included.bucket))
            .map(bucket)
            .collect(),
    }
}

impl CheckpointDiffLine<'_> {
    /// Whether no bucket changed.
    pub fn is_empty(&self) -> bool {
        self.removed_buckets.is_empty() && self.updated_buckets.is_empty()
    }
}

/// The line for operations of a bucket, and whether more of the checkpoint's follow.
pub fn data<'a>(
    bucket: &'a Bucket,
    after: u64,
    operations: &'a [Operation],
    raw: bool,
) -> Line<'a> {
    let next_after = operations.last().map_or(after, |operation| operation.op_id);
    Line::Data(DataLine {
        bucket: &bucket.name,
        after,
        has_more: next_after < bucket.last_op_id,
        data: operations
            .iter()
            .map(|operation| OperationLine {
                op_id: operation.op_id,
                op: if operation.data.is_some() {
                    "PUT"
                } else {
                    "REMOVE"
                },
                object_type: bucket.object_type(),
                object_id: &operation.object_id,
                checksum: operation.checksum,
                subkey: &operation.subkey,
                data: row_data(operation.data.as_deref(), raw),
            })
            .collect(),
        next_after,
    })
}

/// The line after the last operation of a priority, if others follow.
pub fn partial_checkpoint_complete(checkpoint: &Checkpoint, priority: u8) -> Line<'static> {
    Line::PartialCheckpointComplete(PartialCheckpointCompleteLine {
        last_op_id: checkpoint.last_op_id,
        priority,
    })
}

/// The line after the last operation of a checkpoint.
pub fn checkpoint_complete(checkpoint: &Checkpoint) -> Line<'static> {
    Line::CheckpointComplete(CheckpointCompleteLine {
        last_op_id: checkpoint.last_op_id,
    })
}

fn row_data(data: Option<&str>, raw: bool) -> RowData<'_> {
    match data {
        None => RowData::None,
        Some(data) if raw => RowData::Raw(data),
        Some(data) => serde_json::from_str(data).map_or(RowData::None, RowData::Nested),
    }
}

fn bucket<'a>(included: &Included<'a>) -> BucketLine<'a> {
    BucketLine {
        bucket: &included.bucket.name,
        checksum: included.bucket.checksum.cast_signed(),
        count: included.bucket.count,
        priority: included.priority,
        subscriptions: included.reasons.clone(),
    }
}

fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}
