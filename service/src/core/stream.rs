//! One client's sync stream: which line comes next.
//!
//! A checkpoint that was announced is always completed before the next one is announced. Nothing is
//! ever compacted, so this ends however busy the source is, and it rules out the stalls of services
//! that interrupt a download for a newer checkpoint. The one exception: a new snapshot takes the old
//! buckets away, and then the next checkpoint replaces the announced one.

use std::collections::HashMap;
use std::sync::Arc;

use super::checkpoint::{Checkpoint, Operation};
use super::lines;
use super::source::Lsn;
use super::storage::Fetch;

/// The state of one stream. Its memory does not grow with what is sent.
#[derive(Debug)]
pub struct SyncStream {
    /// What the client has, by bucket name.
    positions: HashMap<String, u64>,
    raw_data: bool,
    /// The checkpoint of the last checkpoint or diff line.
    announced: Option<Arc<Checkpoint>>,
    /// Buckets of the announced checkpoint that may miss operations, the next one last.
    downloads: Vec<usize>,
    /// Whether the announced checkpoint still has to be completed.
    incomplete: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this line.
    Line(String),
    /// Fetch these operations and hand them to [`SyncStream::fetched`].
    Fetch(Fetch),
    /// Nothing to do until there is a newer checkpoint.
    Wait,
}

impl SyncStream {
    /// A stream for a client that has the named buckets up to the given operations. `raw_data`: rows
    /// are sent as strings that hold JSON, not as JSON.
    pub fn new(positions: impl IntoIterator<Item = (String, u64)>, raw_data: bool) -> Self {
        SyncStream {
            positions: positions.into_iter().collect(),
            raw_data,
            announced: None,
            downloads: Vec::new(),
            incomplete: false,
        }
    }

    /// The next step, given the newest checkpoint and the newest write checkpoint request of this
    /// client (see [`super::write_checkpoints`]).
    pub fn step(&mut self, newest: &Arc<Checkpoint>, requested: Lsn) -> Step {
        let Some(announced) = self.announced.clone() else {
            let line = lines::checkpoint(newest).to_json();
            self.announce(newest.clone());
            return Step::Line(line);
        };
        while let Some(index) = self.downloads.last() {
            let bucket = &announced.buckets[*index];
            let position = self.positions.get(&bucket.name).copied().unwrap_or(0);
            if position < bucket.last_op_id {
                return Step::Fetch(Fetch {
                    bucket: bucket.id,
                    after: position,
                    up_to: bucket.last_op_id,
                });
            }
            self.downloads.pop();
        }
        if self.incomplete {
            self.incomplete = false;
            return Step::Line(lines::checkpoint_complete(&announced).to_json());
        }
        // A request that was made before this position must be answered by a line after it, even if
        // nothing else changed.
        let request_reached = announced.lsn <= requested && requested < newest.lsn;
        if newest.buckets == announced.buckets && !request_reached {
            return Step::Wait;
        }
        let line = lines::checkpoint_diff(&announced, newest).to_json();
        self.announce(newest.clone());
        Step::Line(line)
    }

    /// Takes the operations of a [`Step::Fetch`] and gives the line to send; none if the bucket is
    /// no longer there.
    pub fn fetched(&mut self, fetch: &Fetch, operations: &[Operation]) -> Option<String> {
        let announced = self.announced.as_ref()?;
        let index = self.downloads.last()?;
        let bucket = &announced.buckets[*index];
        let Some(last) = operations.last() else {
            // The operations were there when the checkpoint was made, so a new snapshot is under way.
            // Its checkpoint replaces the announced one, which can not be completed.
            self.downloads.clear();
            self.incomplete = false;
            return None;
        };
        let line = lines::data(bucket, fetch.after, operations, self.raw_data).to_json();
        self.positions.insert(bucket.name.clone(), last.op_id);
        Some(line)
    }

    fn announce(&mut self, checkpoint: Arc<Checkpoint>) {
        self.positions
            .retain(|name, _| checkpoint.buckets.iter().any(|bucket| &bucket.name == name));
        let by_name = |index: &usize| -> &str { &checkpoint.buckets[*index].name };
        let mut downloads: Vec<usize> = (0..checkpoint.buckets.len()).collect();
        downloads.sort_by(|a, b| by_name(b).cmp(by_name(a)));
        self.downloads = downloads;
        self.incomplete = true;
        self.announced = Some(checkpoint);
    }
}
