//! From a replication slot to source events.
//!
//! A session either goes on from the newest durable checkpoint, or takes a snapshot: it makes a new
//! slot, which exports a snapshot of exactly the position where its changes begin, and reads the
//! tables in that snapshot. So snapshot and changes neither overlap nor miss anything, and no
//! checkpoint can exist before the snapshot is whole.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use pgwire_replication::{PgWireError, ReplicationClient, ReplicationConfig, ReplicationEvent};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::source::{SESSION_SETTINGS, Source, quote};
use super::{head, pgoutput};
use crate::core::checkpoint::Checkpoint;
use crate::core::replicator::SnapshotNeeded;
use crate::core::source::{Cell, Lsn, Relation, SnapshotBegin, SourceEvent};
use crate::core::write_checkpoints::WriteCheckpoints;
use crate::error::SourceError;
use crate::writer::Published;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How often the server is told what is durable. A server that shuts down waits for it.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// Keeps the events coming.
#[derive(Debug)]
pub struct Replication {
    pub source: Source,
    pub events: mpsc::Sender<SourceEvent>,
    pub published: Published,
    pub refused: mpsc::Receiver<SnapshotNeeded>,
    pub write_checkpoints: Arc<Mutex<WriteCheckpoints>>,
    /// How long trouble that may pass is borne before the first session has begun.
    pub start_deadline: Duration,
    /// Told when the first session has begun.
    pub started: Option<oneshot::Sender<()>>,
}

impl Replication {
    /// Runs sessions one after the other, for ever once the first one has begun.
    pub async fn run(mut self) -> SourceError {
        let deadline = Instant::now() + self.start_deadline;
        let mut pause = FIRST_PAUSE;
        let mut snapshot_needed = None;
        loop {
            let (error, ran) = self.session(snapshot_needed.take()).await;
            let starting = self.started.is_some();
            if matches!(error, SourceError::Stopping)
                || starting && (!error.may_pass() || Instant::now() >= deadline)
            {
                return error;
            }
            if ran && !matches!(error, SourceError::SnapshotNeeded(_)) {
                pause = FIRST_PAUSE;
            }
            tracing::warn!(%error, retry_in_ms = pause.as_millis(), "replication was interrupted");
            if let SourceError::SnapshotNeeded(reason) = error {
                snapshot_needed = Some(reason);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One session: why it ended, and whether its stream had begun.
    async fn session(&mut self, snapshot_needed: Option<String>) -> (SourceError, bool) {
        let (client, mut replication) = match self.begin(snapshot_needed).await {
            Ok(begun) => begun,
            Err(error) => return (error, false),
        };
        if let Some(started) = self.started.take() {
            let _ = started.send(());
        }
        let error = self.stream(&mut replication).await;
        drop(client);
        (error, true)
    }

    /// Begins to stream, from the newest checkpoint or from a new snapshot.
    async fn begin(
        &mut self,
        snapshot_needed: Option<String>,
    ) -> Result<(Client, ReplicationClient), SourceError> {
        let client = self.source.connect().await?;
        self.source.prepare(&client).await?;
        let system = self.source.system(&client).await?;
        let checkpoint = self.published.borrow().clone();
        let reason = match snapshot_needed {
            Some(reason) => Err(reason),
            None => {
                self.can_resume(&client, &system, checkpoint.as_deref())
                    .await?
            }
        };
        while self.refused.try_recv().is_ok() {}
        self.send(SourceEvent::Connected).await?;
        let mut replication = match reason {
            Ok(position) => {
                tracing::info!(%position, "resuming replication");
                self.connect_replication(position).await?
            }
            Err(reason) => {
                tracing::info!(reason, "taking a new snapshot");
                self.source.drop_slot(&client).await?;
                // The position is that of the slot.
                let mut replication = self.connect_replication(Lsn(0)).await?;
                self.snapshot(&client, &mut replication, system).await?;
                replication
            }
        };
        replication
            .start()
            .await
            .map_err(|error| self.stream_error(error))?;
        replication
            .wait_started()
            .await
            .map_err(|error| self.stream_error(error))?;
        // Clients may still wait for write checkpoints of an earlier life of this service, or for
        // markers that a crash of the source swallowed; both are before this position.
        let position = head::position(&client).await?;
        self.write_checkpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .request_for_all(position);
        head::write_marker(&client).await?;
        Ok((client, replication))
    }

    /// The position to go on from, or why a snapshot is needed.
    async fn can_resume(
        &self,
        client: &Client,
        system: &str,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Result<Lsn, String>, SourceError> {
        let Some(checkpoint) = checkpoint else {
            return Ok(Err("the storage is new".into()));
        };
        if checkpoint.system != system {
            return Ok(Err("the storage is of another PostgreSQL cluster".into()));
        }
        let stored = checkpoint
            .buckets
            .iter()
            .map(|bucket| (&bucket.relation.schema, &bucket.relation.name));
        if !stored.eq(self
            .source
            .tables
            .iter()
            .map(|(schema, name)| (schema, name)))
        {
            return Ok(Err("the list of tables has changed".into()));
        }
        for (table, bucket) in self.source.tables.iter().zip(&checkpoint.buckets) {
            let (relation, _) = self.source.describe(client, table).await?;
            if relation != bucket.relation {
                return Ok(Err(format!(
                    "the table {} was altered or made anew",
                    table.1
                )));
            }
        }
        Ok(match self.source.slot(client).await? {
            None => Err("the replication slot is gone".into()),
            Some(slot) if !slot.usable => Err("the replication slot has lost its log".into()),
            Some(slot) if slot.confirmed > checkpoint.lsn => Err(format!(
                "the replication slot is at {}, after the storage's {}",
                slot.confirmed, checkpoint.lsn
            )),
            Some(_) => Ok(checkpoint.lsn),
        })
    }

    /// Opens a replication connection that has not started streaming.
    async fn connect_replication(&self, from: Lsn) -> Result<ReplicationClient, SourceError> {
        let database = &self.source.database;
        let (host, port) = self.source.address();
        let password =
            String::from_utf8_lossy(database.get_password().unwrap_or_default()).into_owned();
        let user = database.get_user().unwrap_or("postgres").to_owned();
        let name = database
            .get_dbname()
            .map_or_else(|| user.clone(), str::to_owned);
        let mut config = ReplicationConfig::new(
            host,
            user,
            password,
            name,
            self.source.slot.clone(),
            self.source.publication.clone(),
        );
        config.port = port;
        config.start_lsn = pgwire_replication::Lsn(from.0);
        config.status_interval = STATUS_INTERVAL;
        config.buffer_events = 1024;
        config.options = Some(SESSION_SETTINGS.into());
        config.application_name = Some("squall".into());
        ReplicationClient::connect_gated(config)
            .await
            .map_err(|error| self.stream_error(error))
    }

    /// Makes the slot and hands over the tables' rows as of its position.
    async fn snapshot(
        &self,
        client: &Client,
        replication: &mut ReplicationClient,
        system: String,
    ) -> Result<(), SourceError> {
        let create = format!(
            "CREATE_REPLICATION_SLOT {} LOGICAL pgoutput",
            quote(&self.source.slot)
        );
        let rows = replication
            .simple_query(&create)
            .await
            .map_err(|error| self.stream_error(error))?;
        let answer = |index: usize| {
            let value = rows.first().and_then(|row| row.get(index)?.as_deref());
            value.and_then(|value| std::str::from_utf8(value).ok())
        };
        let (Some(position), Some(snapshot)) = (answer(1), answer(2)) else {
            return Err(SourceError::Query(
                "CREATE_REPLICATION_SLOT gave no snapshot".into(),
            ));
        };
        let lsn: Lsn = position
            .parse()
            .map_err(|error| SourceError::Query(format!("{error}")))?;
        client
            .batch_execute(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
                snapshot.replace('\'', "''")
            ))
            .await?;
        let mut tables = Vec::new();
        for table in &self.source.tables {
            tables.push(self.source.describe(client, table).await?);
        }
        let version = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
        self.send(SourceEvent::SnapshotBegin(SnapshotBegin {
            version,
            system,
            tables: tables.clone(),
        }))
        .await?;
        for (relation, identity) in &tables {
            self.snapshot_table(client, relation, identity).await?;
        }
        client.batch_execute("COMMIT").await?;
        self.send(SourceEvent::SnapshotEnd { lsn }).await
    }

    async fn snapshot_table(
        &self,
        client: &Client,
        relation: &Relation,
        identity: &[usize],
    ) -> Result<(), SourceError> {
        let names: Vec<String> = relation
            .columns
            .iter()
            .map(|column| quote(&column.name))
            .collect();
        let order: Vec<&str> = identity
            .iter()
            .map(|index| names[*index].as_str())
            .collect();
        let query = format!(
            "SELECT {} FROM {}.{} ORDER BY {}",
            names.join(", "),
            quote(&relation.schema),
            quote(&relation.name),
            order.join(", ")
        );
        let mut rows = pin!(client.simple_query_raw(&query).await?);
        while let Some(message) = rows.try_next().await? {
            if let SimpleQueryMessage::Row(row) = message {
                let row = (0..row.len())
                    .map(|index| {
                        row.get(index)
                            .map_or(Cell::Null, |text| Cell::Text(text.into()))
                    })
                    .collect();
                self.send(SourceEvent::SnapshotRow {
                    relation: relation.oid,
                    row,
                })
                .await?;
            }
        }
        Ok(())
    }

    /// Hands over changes until something ends that.
    async fn stream(&mut self, replication: &mut ReplicationClient) -> SourceError {
        loop {
            tokio::select! {
                event = replication.recv() => {
                    let event = match event {
                        Ok(Some(event)) => translate(event),
                        Ok(None) => return SourceError::Stream("by the server".into()),
                        Err(error) => return self.stream_error(error),
                    };
                    let sent = match event {
                        Ok(Some(event)) => self.send(event).await,
                        Ok(None) => Ok(()),
                        Err(error) => Err(SourceError::SnapshotNeeded(error.to_string())),
                    };
                    if let Err(error) = sent {
                        return error;
                    }
                }
                changed = self.published.changed() => {
                    if changed.is_err() {
                        return SourceError::Stopping;
                    }
                    // Only now is it durable, so only now may the server forget it.
                    if let Some(checkpoint) = &*self.published.borrow_and_update() {
                        replication.update_applied_lsn(pgwire_replication::Lsn(checkpoint.lsn.0));
                    }
                }
                reason = self.refused.recv() => {
                    return match reason {
                        Some(reason) => SourceError::SnapshotNeeded(reason.to_string()),
                        None => SourceError::Stopping,
                    };
                }
            }
        }
    }

    async fn send(&self, event: SourceEvent) -> Result<(), SourceError> {
        self.events
            .send(event)
            .await
            .map_err(|_| SourceError::Stopping)
    }

    fn stream_error(&self, error: PgWireError) -> SourceError {
        let text = error.to_string();
        if text.contains("is active for PID") {
            SourceError::SlotInUse(self.source.slot.clone())
        } else if text.contains("can no longer get changes from replication slot")
            || text.contains("requested WAL segment")
            // The slot is older than the publication, which it will never see.
            || text.contains("publication") && text.contains("does not exist")
        {
            SourceError::SnapshotNeeded(text)
        } else if error.is_server() || error.is_auth() {
            SourceError::Query(text)
        } else {
            SourceError::Stream(text)
        }
    }
}

fn translate(event: ReplicationEvent) -> Result<Option<SourceEvent>, pgoutput::DecodeError> {
    Ok(Some(match event {
        ReplicationEvent::Begin { final_lsn, .. } => SourceEvent::Begin {
            commit: Lsn(final_lsn.0),
        },
        ReplicationEvent::Commit { end_lsn, .. } => SourceEvent::Commit {
            end: Lsn(end_lsn.0),
        },
        ReplicationEvent::KeepAlive { wal_end, .. } => SourceEvent::Position(Lsn(wal_end.0)),
        ReplicationEvent::XLogData { data, .. } => return pgoutput::decode(data),
        // The marker's commit is what counts.
        ReplicationEvent::Message { .. } | ReplicationEvent::StoppedAt { .. } => return Ok(None),
    }))
}
