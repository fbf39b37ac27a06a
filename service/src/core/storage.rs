//! What the core needs of the durable storage, and one in memory for tests and simulations.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::checkpoint::{Checkpoint, Operation};

/// Durable storage of operations and the newest checkpoint.
///
/// Everything between two calls of [`Storage::commit`] becomes durable together or not at all.
/// Reads see what was written before them. A bucket is named by its [id][super::checkpoint::Bucket::id].
pub trait Storage {
    type Error: std::error::Error;

    /// The newest committed checkpoint.
    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, Self::Error>;

    /// The PUT that holds the row's current state, none if the row does not exist.
    fn current_row(&mut self, bucket: u64, subkey: &str) -> Result<Option<Operation>, Self::Error>;

    /// Some of the PUTs that hold the bucket's current rows (at most `limit`), the first by subkey.
    fn first_current_rows(
        &mut self,
        bucket: u64,
        limit: usize,
    ) -> Result<Vec<Operation>, Self::Error>;

    /// Adds an operation to the bucket's log. A PUT becomes the row's current state, a REMOVE leaves
    /// the row without one.
    fn append(&mut self, bucket: u64, operation: &Operation) -> Result<(), Self::Error>;

    /// Removes the operations and current rows of all buckets.
    fn clear(&mut self) -> Result<(), Self::Error>;

    /// Makes everything since the last commit durable, together with the checkpoint.
    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), Self::Error>;

    /// Forgets everything since the last commit.
    fn rollback(&mut self) -> Result<(), Self::Error>;
}

/// A part of a bucket's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub bucket: u64,
    /// Operations after this one,
    pub after: u64,
    /// and up to this one.
    pub up_to: u64,
}

/// The most operations in one `data` line.
pub const MAX_OPERATIONS_PER_FETCH: usize = 1000;

/// The size of the operations' data after which a `data` line ends, in bytes.
pub const MAX_BYTES_PER_FETCH: usize = 1024 * 1024;

/// Storage that is as durable as the value is.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    committed: Contents,
    working: Contents,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    checkpoint: Option<Checkpoint>,
    operations: BTreeMap<(u64, u64), Operation>,
    current: BTreeMap<(u64, String), u64>,
}

impl MemoryStorage {
    /// Reads committed operations, as [`crate::sqlite`] does.
    pub fn fetch(&self, fetch: &Fetch) -> Vec<Operation> {
        self.committed
            .operations
            .range((fetch.bucket, fetch.after + 1)..=(fetch.bucket, fetch.up_to))
            .map(|(_, operation)| operation.clone())
            .take(MAX_OPERATIONS_PER_FETCH)
            .collect()
    }
}

impl Storage for MemoryStorage {
    type Error = Infallible;

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, Infallible> {
        Ok(self.committed.checkpoint.clone())
    }

    fn current_row(&mut self, bucket: u64, subkey: &str) -> Result<Option<Operation>, Infallible> {
        let op_id = self.working.current.get(&(bucket, subkey.to_owned()));
        Ok(op_id.and_then(|op_id| self.working.operations.get(&(bucket, *op_id)).cloned()))
    }

    fn first_current_rows(
        &mut self,
        bucket: u64,
        limit: usize,
    ) -> Result<Vec<Operation>, Infallible> {
        let current = self
            .working
            .current
            .range((bucket, String::new())..(bucket + 1, String::new()));
        Ok(current
            .take(limit)
            .map(|(_, op_id)| self.working.operations[&(bucket, *op_id)].clone())
            .collect())
    }

    fn append(&mut self, bucket: u64, operation: &Operation) -> Result<(), Infallible> {
        let row = (bucket, operation.subkey.clone());
        match operation.data {
            Some(_) => self.working.current.insert(row, operation.op_id),
            None => self.working.current.remove(&row),
        };
        self.working
            .operations
            .insert((bucket, operation.op_id), operation.clone());
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Infallible> {
        self.working.operations.clear();
        self.working.current.clear();
        Ok(())
    }

    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), Infallible> {
        self.working.checkpoint = Some(checkpoint.clone());
        self.committed = self.working.clone();
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), Infallible> {
        self.working = self.committed.clone();
        Ok(())
    }
}
