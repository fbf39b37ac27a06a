//! Source events in, operations and checkpoints out.

use std::collections::HashMap;
use std::sync::Arc;

use super::checkpoint::{Bucket, Checkpoint, Operation};
use super::source::{Cell, Lsn, Relation, Row, SnapshotBegin, SnapshotTable, SourceEvent};
use super::storage::Storage;
use super::values::{RowError, check_text, object_id, row_identity, row_to_json};

/// Why an event could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ReplicatorError<E> {
    /// The storage failed; nothing can go on.
    #[error(transparent)]
    Storage(E),
    /// What we hold no longer describes the source: only a new snapshot helps.
    #[error("{0}")]
    SnapshotNeeded(SnapshotNeeded),
}

/// Why only a new snapshot helps.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotNeeded {
    #[error("the table {0} was altered or recreated")]
    TableChanged(String),
    #[error("a change of the unknown relation {0} arrived")]
    UnknownRelation(u32),
    #[error("a row of {0} arrived without its identity")]
    NoIdentity(String),
    #[error(transparent)]
    Row(#[from] RowError),
    #[error("changes arrived before any snapshot")]
    NoSnapshot,
}

/// Turns the source's events into operations in the storage.
///
/// The caller hands in events and may call [`Replicator::commit`] at any time, best after a
/// [commit of the source][SourceEvent::is_commit]; calling it less often makes fewer, larger
/// checkpoints. After a
/// crash the same transactions may be handed in again: those that a committed checkpoint contains are
/// ignored, and the others get the same operation ids as before.
#[derive(Debug)]
pub struct Replicator<S> {
    storage: S,
    /// The newest state that is durable.
    committed: Option<Arc<Checkpoint>>,
    /// The state after the last event.
    working: Option<Checkpoint>,
    /// Which bucket a relation of this connection belongs to; none if it is not synced.
    relations: HashMap<u32, Option<usize>>,
    in_transaction: bool,
    /// Inside a transaction that the state contains already.
    skipping: bool,
}

impl<S: Storage> Replicator<S> {
    /// Goes on from what the storage holds.
    pub fn open(mut storage: S) -> Result<Self, S::Error> {
        let working = storage.checkpoint()?;
        Ok(Replicator {
            storage,
            committed: working.clone().map(Arc::new),
            working,
            relations: HashMap::new(),
            in_transaction: false,
            skipping: false,
        })
    }

    /// The newest durable checkpoint.
    pub fn checkpoint(&self) -> Option<Arc<Checkpoint>> {
        self.committed.clone()
    }

    /// The storage, for reading.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// Gives the storage back; what was not committed is still in it.
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Applies one event. After an error the replicator waits for [`SourceEvent::Connected`].
    pub fn apply(&mut self, event: SourceEvent) -> Result<(), ReplicatorError<S::Error>> {
        match event {
            SourceEvent::Connected => {
                self.storage.rollback().map_err(ReplicatorError::Storage)?;
                self.working = self.committed.as_deref().cloned();
                self.relations.clear();
                self.in_transaction = false;
                self.skipping = false;
            }
            SourceEvent::SnapshotBegin(begin) => self.begin_snapshot(begin)?,
            SourceEvent::SnapshotRow { relation, row } => {
                if let Some(index) = self.bucket_of(relation)? {
                    self.put(index, None, &row)?;
                }
            }
            SourceEvent::SnapshotEnd { lsn } | SourceEvent::Commit { end: lsn } => {
                self.in_transaction = false;
                self.skipping = false;
                self.advance(lsn);
            }
            SourceEvent::Position(lsn) => {
                if !self.in_transaction {
                    self.advance(lsn);
                }
            }
            SourceEvent::Relation(relation) => self.describe(relation)?,
            SourceEvent::Begin { commit } => {
                self.in_transaction = true;
                // The commit's own end is after it, so a position after it contains it.
                self.skipping = self
                    .working
                    .as_ref()
                    .is_some_and(|working| commit < working.lsn);
            }
            _ if self.skipping => {}
            SourceEvent::Insert { relation, row } => {
                if let Some(index) = self.bucket_of(relation)? {
                    self.put(index, None, &row)?;
                }
            }
            SourceEvent::Update { relation, old, new } => {
                if let Some(index) = self.bucket_of(relation)? {
                    self.put(index, old.as_ref(), &new)?;
                }
            }
            SourceEvent::Delete { relation, old } => {
                if let Some(index) = self.bucket_of(relation)? {
                    let identity = self.identity(index, &old)?;
                    if let Some(row) = self.last_copy(index, &identity)?.row {
                        self.remove(index, row)?;
                    }
                }
            }
            SourceEvent::Truncate { relations } => {
                for relation in relations {
                    if let Some(index) = self.bucket_of(relation)? {
                        self.truncate(index)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes everything so far durable and gives the new checkpoint; none if nothing changed. Does
    /// nothing inside a transaction.
    pub fn commit(&mut self) -> Result<Option<Arc<Checkpoint>>, S::Error> {
        if self.in_transaction || self.working.as_ref() == self.committed.as_deref() {
            return Ok(None);
        }
        let Some(working) = &self.working else {
            return Ok(None);
        };
        self.storage.commit(working)?;
        self.committed = Some(Arc::new(working.clone()));
        Ok(self.committed.clone())
    }

    fn begin_snapshot(&mut self, begin: SnapshotBegin) -> Result<(), ReplicatorError<S::Error>> {
        self.storage.clear().map_err(ReplicatorError::Storage)?;
        let before = self.working.take();
        let first_id = before
            .iter()
            .flat_map(|before| &before.buckets)
            .map(|bucket| bucket.id + 1)
            .max();
        let buckets: Vec<Bucket> = begin
            .tables
            .into_iter()
            .zip(first_id.unwrap_or(1)..)
            .map(
                |(
                    SnapshotTable {
                        relation,
                        row_identity,
                        definition,
                    },
                    id,
                )| Bucket {
                    id,
                    name: format!("{}#{}[]", begin.version, relation.name),
                    relation,
                    row_identity,
                    definition,
                    checksum: 0,
                    count: 0,
                    last_op_id: 0,
                },
            )
            .collect();
        self.relations = buckets
            .iter()
            .enumerate()
            .map(|(index, bucket)| (bucket.relation.oid, Some(index)))
            .collect();
        self.working = Some(Checkpoint {
            lsn: Lsn(0),
            last_op_id: before.map_or(0, |before| before.last_op_id),
            system: begin.system,
            buckets,
        });
        self.in_transaction = true;
        Ok(())
    }

    fn describe(&mut self, relation: Relation) -> Result<(), ReplicatorError<S::Error>> {
        let buckets = self.working.iter().flat_map(|working| &working.buckets);
        let index = buckets.clone().position(|bucket| {
            (&bucket.relation.schema, &bucket.relation.name) == (&relation.schema, &relation.name)
                || bucket.relation.oid == relation.oid
        });
        let changed = index
            .and_then(|index| buckets.clone().nth(index))
            .is_some_and(|bucket| bucket.relation != relation);
        if changed {
            return Err(ReplicatorError::SnapshotNeeded(
                SnapshotNeeded::TableChanged(relation.name),
            ));
        }
        self.relations.insert(relation.oid, index);
        Ok(())
    }

    /// The bucket of a relation, none if the change does not concern us.
    fn bucket_of(&self, relation: u32) -> Result<Option<usize>, ReplicatorError<S::Error>> {
        self.relations
            .get(&relation)
            .copied()
            .ok_or(ReplicatorError::SnapshotNeeded(
                SnapshotNeeded::UnknownRelation(relation),
            ))
    }

    fn bucket(&self, index: usize) -> Result<&Bucket, ReplicatorError<S::Error>> {
        self.working
            .as_ref()
            .and_then(|working| working.buckets.get(index))
            .ok_or(ReplicatorError::SnapshotNeeded(SnapshotNeeded::NoSnapshot))
    }

    fn identity(&self, index: usize, row: &Row) -> Result<String, ReplicatorError<S::Error>> {
        let bucket = self.bucket(index)?;
        check_text(&bucket.relation, row)
            .map_err(|error| ReplicatorError::SnapshotNeeded(error.into()))?;
        row_identity(&bucket.row_identity.columns, row).ok_or_else(|| {
            ReplicatorError::SnapshotNeeded(SnapshotNeeded::NoIdentity(
                bucket.relation.name.clone(),
            ))
        })
    }

    fn current_row(
        &mut self,
        index: usize,
        subkey: &str,
    ) -> Result<Option<Operation>, ReplicatorError<S::Error>> {
        let bucket = self.bucket(index)?.id;
        self.storage
            .current_row(bucket, subkey)
            .map_err(ReplicatorError::Storage)
    }

    /// The last of the rows with that identity. Where there can be several they are numbered from 1
    /// without a gap: they are equal, so it is always the last one that goes.
    fn last_copy(
        &mut self,
        index: usize,
        identity: &str,
    ) -> Result<LastCopy, ReplicatorError<S::Error>> {
        let mut last = LastCopy {
            number: 0,
            row: self.current_row(index, identity)?,
        };
        if last.row.is_none() {
            return Ok(last);
        }
        last.number = 1;
        if self.bucket(index)?.row_identity.unique {
            return Ok(last);
        }
        let mut none = 2;
        while let Some(row) = self.current_row(index, &copy(identity, none))? {
            last = LastCopy {
                number: none,
                row: Some(row),
            };
            none *= 2;
        }
        while none - last.number > 1 {
            let middle = last.number.midpoint(none);
            match self.current_row(index, &copy(identity, middle))? {
                None => none = middle,
                row => {
                    last = LastCopy {
                        number: middle,
                        row,
                    };
                }
            }
        }
        Ok(last)
    }

    /// Writes the new state of a row, and removes the old one if it had another identity.
    fn put(
        &mut self,
        index: usize,
        old: Option<&Row>,
        new: &Row,
    ) -> Result<(), ReplicatorError<S::Error>> {
        let bucket = self.bucket(index)?;
        let unique = bucket.row_identity.unique;
        // What was not sent again is in the row before, as far as that was sent.
        let merged = old.map(|old| merge(&bucket.relation, old, new));
        let new = merged.as_ref().unwrap_or(new);
        let identity = self.identity(index, new)?;
        let (before, subkey) = match old {
            None if unique => (self.current_row(index, &identity)?, identity),
            // Where rows can be equal, an update comes with the row before, so this is an insert.
            None => {
                let copies = self.last_copy(index, &identity)?.number;
                (None, copy(&identity, copies + 1))
            }
            Some(old) => {
                let old_identity = self.identity(index, old)?;
                let last = self.last_copy(index, &old_identity)?;
                let number = if old_identity == identity {
                    last.number.max(1)
                } else if unique {
                    1
                } else {
                    self.last_copy(index, &identity)?.number + 1
                };
                (last.row, copy(&identity, number))
            }
        };
        let bucket = self.bucket(index)?;
        let before_data = before.as_ref().and_then(|before| before.data.as_deref());
        let data = row_to_json(&bucket.relation, new, before_data)
            .map_err(|error| ReplicatorError::SnapshotNeeded(error.into()))?;
        let before_id = before.as_ref().map(|before| before.object_id.as_str());
        let id = object_id(&bucket.relation, new, before_id);
        let object_type = bucket.object_type().to_owned();
        // Clients know a row by its type, its id and its subkey together.
        if let Some(before) = before
            && (before.object_id != id || before.subkey != subkey)
        {
            self.remove(index, before)?;
        }
        let op_id = self.next_op_id();
        self.append(index, Operation::put(op_id, &object_type, subkey, id, data))
    }

    fn remove(&mut self, index: usize, row: Operation) -> Result<(), ReplicatorError<S::Error>> {
        let op_id = self.next_op_id();
        self.append(index, Operation::remove(op_id, row.subkey, row.object_id))
    }

    fn truncate(&mut self, index: usize) -> Result<(), ReplicatorError<S::Error>> {
        loop {
            let bucket = self.bucket(index)?.id;
            let rows = self
                .storage
                .first_current_rows(bucket, 1000)
                .map_err(ReplicatorError::Storage)?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                self.remove(index, row)?;
            }
        }
    }

    fn next_op_id(&self) -> u64 {
        self.working
            .as_ref()
            .map_or(0, |working| working.last_op_id)
            + 1
    }

    fn append(
        &mut self,
        index: usize,
        operation: Operation,
    ) -> Result<(), ReplicatorError<S::Error>> {
        let Some(working) = &mut self.working else {
            return Err(ReplicatorError::SnapshotNeeded(SnapshotNeeded::NoSnapshot));
        };
        let bucket = &mut working.buckets[index];
        self.storage
            .append(bucket.id, &operation)
            .map_err(ReplicatorError::Storage)?;
        bucket.checksum = bucket.checksum.wrapping_add(operation.checksum);
        bucket.count += 1;
        bucket.last_op_id = operation.op_id;
        working.last_op_id = operation.op_id;
        Ok(())
    }

    fn advance(&mut self, lsn: Lsn) {
        if let Some(working) = &mut self.working {
            working.lsn = working.lsn.max(lsn);
        }
    }
}

/// The newest of the rows with one identity.
struct LastCopy {
    /// How many there are.
    number: u64,
    row: Option<Operation>,
}

/// The subkey of the row with that number among those with one identity, which ends with `]`.
fn copy(identity: &str, number: u64) -> String {
    match number {
        1 => identity.to_owned(),
        _ => format!("{identity}{number}"),
    }
}

/// The new row, with the values that were not sent again taken from the row before. That one has
/// only the columns of the replica identity.
fn merge(relation: &Relation, old: &Row, new: &Row) -> Row {
    let columns = relation.columns.iter();
    let cells = new.iter().zip(old).zip(columns);
    let merged = cells.map(|((new, old), column)| match new {
        Cell::Unchanged if column.in_replica_identity => old.clone(),
        _ => new.clone(),
    });
    // A row of another width is not made to fit.
    if new.len() == old.len() && new.len() == relation.columns.len() {
        merged.collect()
    } else {
        new.clone()
    }
}
