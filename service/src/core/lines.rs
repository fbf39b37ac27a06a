//! The lines of a sync stream: one JSON object with one key each.
//!
//! Numbers that can exceed 2^53 (operation ids, write checkpoints) are decimal strings; checksums of
//! buckets are signed, those of operations unsigned.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::checkpoint::{Bucket, Checkpoint, Operation};
use super::source::Lsn;

/// A line of a sync stream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line<'a> {
    Checkpoint(CheckpointLine<'a>),
    CheckpointDiff(CheckpointDiffLine<'a>),
    Data(DataLine<'a>),
    CheckpointComplete(CheckpointCompleteLine),
    /// Seconds. The stream ends after 0.
    TokenExpiresIn(u64),
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
    count: u64,
    priority: u8,
    subscriptions: [DefaultSubscription; 1],
}

/// That a bucket belongs to a stream that every client subscribes to, by its index in
/// [`CheckpointLine::streams`].
#[derive(Debug, Serialize)]
struct DefaultSubscription {
    default: usize,
}

/// A stream, in the sense of PowerSync's sync streams; there is one per table.
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

impl Line<'_> {
    /// The line as it is sent, with its line feed.
    pub fn to_json(&self) -> String {
        // All keys are strings and all values finite, so this cannot fail.
        let mut json = serde_json::to_string(self).unwrap_or_default();
        json.push('\n');
        json
    }
}

/// The line for a stream's first checkpoint.
pub fn checkpoint(checkpoint: &Checkpoint) -> Line<'_> {
    Line::Checkpoint(CheckpointLine {
        last_op_id: checkpoint.last_op_id,
        write_checkpoint: write_checkpoint(checkpoint.lsn),
        buckets: checkpoint.buckets.iter().enumerate().map(bucket).collect(),
        streams: checkpoint
            .buckets
            .iter()
            .map(|bucket| StreamLine {
                name: bucket.object_type(),
                is_default: true,
                errors: [],
            })
            .collect(),
    })
}

/// The line for a later checkpoint of a stream.
pub fn checkpoint_diff<'a>(before: &'a Checkpoint, now: &'a Checkpoint) -> Line<'a> {
    let is_in = |bucket: &Bucket, checkpoint: &Checkpoint| {
        checkpoint
            .buckets
            .iter()
            .any(|other| other.name == bucket.name)
    };
    Line::CheckpointDiff(CheckpointDiffLine {
        last_op_id: now.last_op_id,
        write_checkpoint: write_checkpoint(now.lsn),
        removed_buckets: before
            .buckets
            .iter()
            .filter(|bucket| !is_in(bucket, now))
            .map(|bucket| bucket.name.as_str())
            .collect(),
        updated_buckets: now
            .buckets
            .iter()
            .enumerate()
            .filter(|(_, bucket)| !before.buckets.contains(bucket))
            .map(self::bucket)
            .collect(),
    })
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

/// The line after the last operation of a checkpoint.
pub fn checkpoint_complete(checkpoint: &Checkpoint) -> Line<'static> {
    Line::CheckpointComplete(CheckpointCompleteLine {
        last_op_id: checkpoint.last_op_id,
    })
}

/// The id of the write checkpoint that is reached at a position: the position itself. So ids never
/// go back, even if the service loses its storage, and every client can be told the same number.
pub fn write_checkpoint(lsn: Lsn) -> u64 {
    lsn.0
}

fn row_data(data: Option<&str>, raw: bool) -> RowData<'_> {
    match data {
        None => RowData::None,
        Some(data) if raw => RowData::Raw(data),
        Some(data) => serde_json::from_str(data).map_or(RowData::None, RowData::Nested),
    }
}

fn bucket((index, bucket): (usize, &Bucket)) -> BucketLine<'_> {
    BucketLine {
        bucket: &bucket.name,
        checksum: bucket.checksum.cast_signed(),
        count: bucket.count,
        priority: 3,
        subscriptions: [DefaultSubscription { default: index }],
    }
}

fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}
