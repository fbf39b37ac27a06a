//! The one thread that writes: it feeds source events to the core and publishes checkpoints.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::core::checkpoint::Checkpoint;
use crate::core::replicator::{Replicator, ReplicatorError, SnapshotNeeded};
use crate::core::source::SourceEvent;
use crate::core::storage::Storage;

/// The newest durable checkpoint, none before the first snapshot. Publishing never waits and a
/// reader never misses the newest one.
pub type Published = watch::Receiver<Option<Arc<Checkpoint>>>;

/// The most events that become durable together.
const MAX_CHUNK: usize = 1024;

/// The way to the writer.
#[derive(Debug)]
pub struct Writer<E> {
    /// Where source events go, in their order.
    pub events: mpsc::Sender<SourceEvent>,
    /// Every checkpoint once it is durable.
    pub published: Published,
    /// Says why events are not applied any more; a new [`SourceEvent::Connected`] must follow.
    pub refused: mpsc::Receiver<SnapshotNeeded>,
    /// The storage failed; the writer has ended.
    pub failed: oneshot::Receiver<E>,
}

impl<E: Send + 'static> Writer<E> {
    /// Starts the thread, which ends when all senders of events are gone.
    pub fn start<S>(storage: S) -> Result<Writer<E>, E>
    where
        S: Storage<Error = E> + Send + 'static,
        E: std::error::Error,
    {
        let replicator = Replicator::open(storage)?;
        let (events, receiver) = mpsc::channel(MAX_CHUNK);
        let (publisher, published) = watch::channel(replicator.checkpoint());
        let (refuse, refused) = mpsc::channel(1);
        let (fail, failed) = oneshot::channel();
        std::thread::spawn(move || {
            if let Err(error) = run(replicator, receiver, &publisher, &refuse) {
                let _ = fail.send(error);
            }
        });
        Ok(Writer {
            events,
            published,
            refused,
            failed,
        })
    }
}

fn run<S: Storage>(
    mut replicator: Replicator<S>,
    mut events: mpsc::Receiver<SourceEvent>,
    publisher: &watch::Sender<Option<Arc<Checkpoint>>>,
    refuse: &mpsc::Sender<SnapshotNeeded>,
) -> Result<(), S::Error> {
    let mut chunk = Vec::with_capacity(MAX_CHUNK);
    let mut refused = false;
    while events.blocking_recv_many(&mut chunk, MAX_CHUNK) > 0 {
        // All transactions that have arrived by now become durable together; the beginning of a
        // transaction whose end is still to come waits for it.
        let last_commit = chunk.iter().rposition(SourceEvent::is_commit);
        let last = chunk.len() - 1;
        for (index, event) in chunk.drain(..).enumerate() {
            refused &= event != SourceEvent::Connected;
            if refused {
                continue;
            }
            match replicator.apply(event) {
                Ok(()) => {}
                Err(ReplicatorError::Storage(error)) => return Err(error),
                Err(ReplicatorError::SnapshotNeeded(reason)) => {
                    refused = true;
                    let _ = refuse.try_send(reason);
                }
            }
            if (Some(index) == last_commit || index == last)
                && !refused
                && let Some(checkpoint) = replicator.commit()?
            {
                publisher.send_replace(Some(checkpoint));
            }
        }
    }
    Ok(())
}
