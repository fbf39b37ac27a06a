//! One client's sync stream: which line comes next.
//!
//! A checkpoint that was announced is always completed before the next one is announced. Nothing is
//! ever compacted, so this ends however busy the source is, and it rules out the stalls of services
//! that interrupt a download for a newer checkpoint. The one exception: a new snapshot takes the old
//! buckets away, and then the next checkpoint replaces the announced one.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::checkpoint::{Checkpoint, Operation};
use super::encoding::Encoding;
use super::lines::{self, Line};
use super::request::StreamRequest;
use super::storage::Fetch;
use super::subscriptions::{Included, Subscriptions};
use super::write_checkpoints::Requested;

/// The state of one stream. Its memory does not grow with what is sent.
#[derive(Debug)]
pub struct SyncStream {
    /// What the client has, by bucket name.
    positions: HashMap<String, u64>,
    encoding: Encoding,
    raw_data: bool,
    subscriptions: Subscriptions,
    /// The checkpoint of the last checkpoint or diff line, and the write checkpoint in it.
    announced: Option<Arc<Checkpoint>>,
    write_checkpoint: u64,
    /// Buckets of the announced checkpoint that may miss operations, the next one last.
    downloads: Vec<Download>,
    /// Whether the announced checkpoint still has to be completed.
    incomplete: bool,
}

#[derive(Clone, Copy, Debug)]
struct Download {
    /// The bucket's index in the announced checkpoint.
    bucket: usize,
    priority: u8,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this line.
    Line(Bytes),
    /// Fetch these operations and hand them to [`SyncStream::fetched`].
    Fetch(Fetch),
    /// Nothing to do until there is a newer checkpoint.
    Wait,
}

impl SyncStream {
    /// A stream for the client that says this. In BSON, rows are strings that hold JSON whatever it
    /// says.
    pub fn new(request: &StreamRequest, encoding: Encoding) -> Self {
        SyncStream {
            positions: request.positions.iter().cloned().collect(),
            encoding,
            raw_data: request.raw_data || encoding == Encoding::Bson,
            subscriptions: request.subscriptions.clone(),
            announced: None,
            write_checkpoint: 0,
            downloads: Vec::new(),
            incomplete: false,
        }
    }

    /// The next step, given the newest checkpoint and what this client has asked for (see
    /// [`super::write_checkpoints`]).
    pub fn step(&mut self, newest: &Arc<Checkpoint>, requested: Requested) -> Step {
        let Some(announced) = self.announced.clone() else {
            self.announce(newest, requested);
            let included = self.subscriptions.of(newest);
            let line = lines::checkpoint(newest, self.write_checkpoint, &included);
            return self.line(&line);
        };
        while let Some(download) = self.downloads.last().copied() {
            let bucket = &announced.buckets[download.bucket];
            let position = self.positions.get(&bucket.name).copied().unwrap_or(0);
            if position < bucket.last_op_id {
                return Step::Fetch(Fetch {
                    bucket: bucket.id,
                    after: position,
                    up_to: bucket.last_op_id,
                });
            }
            self.downloads.pop();
            let next = self.downloads.last();
            if next.is_some_and(|next| next.priority != download.priority) {
                let line = lines::partial_checkpoint_complete(&announced, download.priority);
                return self.line(&line);
            }
        }
        if self.incomplete {
            self.incomplete = false;
            return self.line(&lines::checkpoint_complete(&announced));
        }
        let reached = self.reached(newest, requested);
        let before = self.subscriptions.of(&announced);
        let now = self.subscriptions.of(newest);
        let diff = lines::checkpoint_diff(newest, reached, &before, &now);
        // A request that was made before this position must be answered by a line after it, even if
        // nothing else changed.
        let answers_request = requested.position < newest.lsn
            && (announced.lsn <= requested.position || self.write_checkpoint < requested.id);
        if diff.is_empty() && !answers_request {
            return Step::Wait;
        }
        let step = self.line(&Line::CheckpointDiff(diff));
        self.announce(newest, requested);
        step
    }

    /// Takes the operations of a [`Step::Fetch`] and gives the line to send; none if the bucket is
    /// no longer there.
    pub fn fetched(&mut self, fetch: &Fetch, operations: &[Operation]) -> Option<Bytes> {
        let announced = self.announced.as_ref()?;
        let bucket = &announced.buckets[self.downloads.last()?.bucket];
        let Some(last) = operations.last() else {
            // The operations were there when the checkpoint was made, so a new snapshot is under way.
            // Its checkpoint replaces the announced one, which can not be completed.
            self.downloads.clear();
            self.incomplete = false;
            return None;
        };
        let line = lines::data(bucket, fetch.after, operations, self.raw_data);
        let line = self.encoding.encode(&line);
        self.positions.insert(bucket.name.clone(), last.op_id);
        Some(line)
    }

    fn line(&self, line: &Line<'_>) -> Step {
        Step::Line(self.encoding.encode(line))
    }

    /// The write checkpoint that the client is told of at the newest checkpoint: the position in the
    /// log, which is all clients' id, or a greater one that this client has chosen itself.
    fn reached(&self, newest: &Checkpoint, requested: Requested) -> u64 {
        let chosen = if requested.position <= newest.lsn {
            requested.id
        } else {
            0
        };
        newest.lsn.0.max(chosen).max(self.write_checkpoint)
    }

    fn announce(&mut self, checkpoint: &Arc<Checkpoint>, requested: Requested) {
        self.write_checkpoint = self.reached(checkpoint, requested);
        let included = self.subscriptions.of(checkpoint);
        self.positions.retain(|name, _| {
            included
                .iter()
                .any(|included| &included.bucket.name == name)
        });
        let before = self.announced.iter().flat_map(|before| &before.buckets);
        let mut changed: Vec<&Included> = included
            .iter()
            .filter(|included| !before.clone().any(|before| before == included.bucket))
            .collect();
        changed.sort_by_key(|included| Reverse((included.priority, &included.bucket.name)));
        self.downloads = changed
            .iter()
            .map(|included| Download {
                bucket: included.index,
                priority: included.priority,
            })
            .collect();
        self.incomplete = true;
        self.announced = Some(checkpoint.clone());
    }
}
