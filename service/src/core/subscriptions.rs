//! Which buckets a client gets, and why: sync streams, in PowerSync's sense.
//!
//! There is one stream per table, with the table's name and one bucket. It has no parameters, and a
//! client gets it unless it wants none but those that it names.

use serde::Serialize;

use super::checkpoint::{Bucket, Checkpoint};
use super::encoding::as_number;

/// The priority of what nobody gave another one; 0 is the most urgent.
pub const LOWEST_PRIORITY: u8 = 3;

/// What a client subscribes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriptions {
    /// Also the streams that it does not name.
    pub include_defaults: bool,
    /// The streams that it names, in its order. Names that there are not subscribe to nothing.
    pub explicit: Vec<Subscription>,
}

/// A stream that a client names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub stream: String,
    /// The priority of the stream's bucket, if another than usual.
    pub priority: Option<u8>,
}

/// A bucket that a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included<'a> {
    pub bucket: &'a Bucket,
    /// The bucket's index in the checkpoint.
    pub index: usize,
    pub priority: u8,
    pub reasons: Vec<Reason>,
}

/// Why a client gets a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// By the stream with this index among those of the checkpoint line.
    Default(#[serde(serialize_with = "as_number")] u32),
    /// By the subscription with this index in the request.
    Sub(#[serde(serialize_with = "as_number")] u32),
}

impl Default for Subscriptions {
    fn default() -> Self {
        Subscriptions {
            include_defaults: true,
            explicit: Vec::new(),
        }
    }
}

impl Subscriptions {
    /// The buckets that the client gets, in the checkpoint's order. The tables of a service never
    /// change, so the indexes are the same at every checkpoint.
    pub fn of<'a>(&self, checkpoint: &'a Checkpoint) -> Vec<Included<'a>> {
        let mut included = Vec::new();
        for (index, bucket) in checkpoint.buckets.iter().enumerate() {
            let named = || {
                let explicit = (0..).zip(&self.explicit);
                explicit.filter(|(_, named)| named.stream == bucket.object_type())
            };
            let mut reasons: Vec<Reason> = named().map(|(sub, _)| Reason::Sub(sub)).collect();
            let mut priorities: Vec<u8> = named()
                .map(|(_, named)| named.priority.unwrap_or(LOWEST_PRIORITY))
                .collect();
            if self.include_defaults {
                let stream = u32::try_from(included.len()).unwrap_or(u32::MAX);
                reasons.push(Reason::Default(stream));
                priorities.push(LOWEST_PRIORITY);
            }
            // The most urgent of the reasons counts.
            if let Some(priority) = priorities.into_iter().min() {
                included.push(Included {
                    bucket,
                    index,
                    priority,
                    reasons,
                });
            }
        }
        included
    }
}
