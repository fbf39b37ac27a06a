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

use super::names::quote;
use super::source::{LATER_SETTINGS, SESSION_SETTINGS, Source};
use super::tables::{self, PublishedTable};
use super::{head, pgoutput};
use crate::core::checkpoint::Checkpoint;
use crate::core::replicator::SnapshotNeeded;
use crate::core::source::{Cell, Lsn, SnapshotBegin, SnapshotTable, SourceEvent};
use crate::core::values::{RowError, check_text};
use crate::core::write_checkpoints::WriteCheckpoints;
use crate::error::SourceError;
use crate::writer::Published;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How often the server is told what is durable. A server that shuts down waits for it.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// How often the catalogue is asked for changes that the stream does not tell of.
const CATALOGUE_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the events coming.
#[derive(Debug)]
pub struct Replication {
    pub source: Source,
    pub events: mpsc::Sender<SourceEvent>,
    pub published: Published,
    pub refused: mpsc::Receiver<SnapshotNeeded>,
    pub write_checkpoints: Arc<Mutex<WriteCheckpoints>>,
    /// How long trouble that may pass is borne before the first session has begun; and after that, how
    /// long a source that cannot be served rightly.
    pub start_deadline: Duration,
    /// Told when the first session has begun.
    pub started: Option<oneshot::Sender<()>>,
}

impl Replication {
    /// Runs sessions one after the other; once the first one has begun, until the source is no longer
    /// one that can be served.
    pub async fn run(mut self) -> SourceError {
        let deadline = Instant::now() + self.start_deadline;
        let mut pause = FIRST_PAUSE;
        let mut snapshot_needed = None;
        let mut refused_since: Option<Instant> = None;
        loop {
            let (error, ran) = self.session(snapshot_needed.clone()).await;
            let starting = self.started.is_some();
            if ran {
                snapshot_needed = None;
                refused_since = None;
            }
            // Someone may be in the middle of changing several things.
            let refused = error.is_refusal()
                && refused_since.get_or_insert_with(Instant::now).elapsed() >= self.start_deadline;
            if matches!(error, SourceError::Stopping)
                || refused
                || starting && (!error.may_pass() || Instant::now() >= deadline)
            {
                return error;
            }
            if ran && !matches!(error, SourceError::SnapshotNeeded(_)) {
                pause = FIRST_PAUSE;
            }
            tracing::warn!(%error, retry_in_ms = pause.as_millis(), "replication was interrupted");
            match error {
                SourceError::SnapshotNeeded(reason) => snapshot_needed = Some(reason),
                // Only a snapshot gets past the transaction that wrote the value.
                SourceError::NotText { .. } => snapshot_needed = Some(error.to_string()),
                _ => {}
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
        let error = self.stream(&client, &mut replication).await;
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
        let described = describe(&self.source, &client).await?;
        let system = self.source.system(&client).await?;
        let checkpoint = self.published.borrow().clone();
        let reason = match snapshot_needed {
            Some(reason) => Err(reason),
            None => {
                self.can_resume(&client, &system, checkpoint.as_deref(), &described)
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
        described: &[PublishedTable],
    ) -> Result<Result<Lsn, String>, SourceError> {
        // Somebody else's is refused, whatever else there is.
        let slot = self.source.slot(client).await?;
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
        let listed = self.source.tables.iter();
        if !stored.eq(listed.map(|table| (&table.schema, &table.name))) {
            return Ok(Err("the list of tables has changed".into()));
        }
        if let Some(reason) = changed(checkpoint, described) {
            return Ok(Err(reason));
        }
        Ok(match slot {
            None => Err("the replication slot is gone".into()),
            Some(slot) if slot.lost => Err("the replication slot has lost its log".into()),
            Some(slot) if slot.confirmed > checkpoint.lsn => Err(format!(
                "the replication slot is at {}, after the storage's {}",
                slot.confirmed, checkpoint.lsn
            )),
            Some(_) => Ok(checkpoint.lsn),
        })
    }

    /// Opens a replication connection that has not started streaming.
    async fn connect_replication(&self, from: Lsn) -> Result<ReplicationClient, SourceError> {
        let (database, (host, port)) = self.source.current_database();
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
        config.options = Some(database.get_options().unwrap_or(SESSION_SETTINGS).into());
        config.application_name = Some("squall".into());
        let mut replication = ReplicationClient::connect_gated(config)
            .await
            .map_err(|error| self.stream_error(error))?;
        replication
            .simple_query(LATER_SETTINGS)
            .await
            .map_err(|error| self.stream_error(error))?;
        Ok(replication)
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
        let described = describe(&self.source, client).await?;
        let version = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
        self.send(SourceEvent::SnapshotBegin(SnapshotBegin {
            version,
            system,
            tables: described
                .iter()
                .map(|published| published.table.clone())
                .collect(),
        }))
        .await?;
        for published in &described {
            self.snapshot_table(client, published).await?;
        }
        client.batch_execute("COMMIT").await?;
        // A part of the catalogue is only to be had as it is now, not as it was in the snapshot.
        if describe(&self.source, client).await? != described {
            return Err(SourceError::SnapshotNeeded(
                "a table or the publication was altered while its rows were read".into(),
            ));
        }
        self.send(SourceEvent::SnapshotEnd { lsn }).await
    }

    async fn snapshot_table(
        &self,
        client: &Client,
        published: &PublishedTable,
    ) -> Result<(), SourceError> {
        let relation = &published.table.relation;
        let name = format!("{}.{}", quote(&relation.schema), quote(&relation.name));
        client
            .batch_execute(&format!("LOCK TABLE ONLY {name} IN ACCESS SHARE MODE"))
            .await?;
        // A table that was rewritten is empty in the eyes of older snapshots.
        let same_file = client
            .query_one(
                "SELECT relfilenode = pg_relation_filenode(oid) FROM pg_class WHERE oid = $1",
                &[&relation.oid],
            )
            .await?
            .get::<_, Option<bool>>(0);
        if same_file != Some(true) {
            return Err(SourceError::SnapshotNeeded(format!(
                "the table {name} was rewritten or emptied while its rows were about to be read"
            )));
        }
        let mut rows = pin!(client.simple_query_raw(&published.rows()).await?);
        while let Some(message) = rows.try_next().await? {
            if let SimpleQueryMessage::Row(row) = message {
                let row = (0..row.len())
                    .map(|index| match row.try_get(index) {
                        Ok(Some(text)) => Cell::Text(text.into()),
                        Ok(None) => Cell::Null,
                        Err(_) => Cell::NotText,
                    })
                    .collect();
                check_text(relation, &row).map_err(not_text)?;
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
    async fn stream(
        &mut self,
        client: &Client,
        replication: &mut ReplicationClient,
    ) -> SourceError {
        let (source, published) = (self.source.clone(), self.published.clone());
        // Beside the stream: a lock that somebody has on a table may hold up the catalogue's answer.
        let mut catalogue = pin!(watch_catalogue(client, &source, &published));
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
                error = &mut catalogue => return error,
                reason = self.refused.recv() => {
                    return match reason {
                        Some(SnapshotNeeded::Row(error @ RowError::NotText { .. })) => not_text(error),
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

/// The tables as the publication has them now.
async fn describe(source: &Source, client: &Client) -> Result<Vec<PublishedTable>, SourceError> {
    let mut described = Vec::with_capacity(source.tables.len());
    for table in &source.tables {
        described.push(tables::describe(client, &source.publication, table).await?);
    }
    Ok(described)
}

/// Compares what is served with what the catalogue says, again and again until it differs.
async fn watch_catalogue(client: &Client, source: &Source, published: &Published) -> SourceError {
    loop {
        tokio::time::sleep(CATALOGUE_INTERVAL).await;
        let described = match describe(source, client).await {
            Ok(described) => described,
            Err(_) if client.is_closed() => {
                return SourceError::Stream("the connection to the catalogue was lost".into());
            }
            Err(error) => return error,
        };
        let checkpoint = published.borrow().clone();
        if let Some(reason) = checkpoint.and_then(|checkpoint| changed(&checkpoint, &described)) {
            return SourceError::SnapshotNeeded(reason);
        }
    }
}

/// What is different in the catalogue since the checkpoint's snapshot.
fn changed(checkpoint: &Checkpoint, described: &[PublishedTable]) -> Option<String> {
    let mut tables = checkpoint.buckets.iter().zip(described);
    tables.find_map(|(bucket, published)| {
        let SnapshotTable {
            relation,
            row_identity,
            definition,
        } = &published.table;
        let same = (&bucket.relation, &bucket.row_identity, &bucket.definition)
            == (relation, row_identity, definition);
        (!same).then(|| {
            format!(
                "the table {}, or what the publication has of it, was altered",
                relation.name
            )
        })
    })
}

fn not_text(error: RowError) -> SourceError {
    match error {
        RowError::NotText { table, column } => SourceError::NotText { table, column },
        error => SourceError::SnapshotNeeded(error.to_string()),
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
