//! A client's life: what the coordinator asks for is done, what the SDK says of its database is told.
//!
//! Transactions, looks at the status and live queries take turns, so that what is sent says what was so when it
//! is sent: an emission never shows less than an answer that went before it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt;
use powersync::error::PowerSyncError;
use powersync::{CheckpointMode, PowerSyncDatabase, RequestsCheckpointMode, SyncOptions};
use squall_protocol::contract::{
    ClientConfig, ClientStatus, DownloadProgress, Execution, FromClient, ToClient,
};
use squall_protocol::plan;
use squall_protocol::sql::{Access, Call};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::connector::{Backend, Token, Uploads};
use crate::database;

/// How often the status is looked at; it is sent when it changed, and at least every second.
const STATUS_EVERY: Duration = Duration::from_millis(200);
const STATUS_AT_LEAST_EVERY: Duration = Duration::from_millis(800);

/// A client whose database is open.
pub struct Client {
    life: Arc<Life>,
    /// Whether it is to be connected.
    wanted: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What the tasks of a client share.
struct Life {
    database: PowerSyncDatabase,
    backend: Arc<Backend>,
    config: Arc<ClientConfig>,
    client_id: String,
    outgoing: UnboundedSender<FromClient>,
    /// Who holds it has the turn. In it are the calls of the live query.
    turn: Mutex<Vec<Call>>,
    /// The live query has to emit, whether anything changed or not.
    due: Notify,
    synced: AtomicBool,
}

impl Client {
    /// Opens the database, says so, and connects.
    pub async fn open(
        file: &Path,
        config: ClientConfig,
        outgoing: UnboundedSender<FromClient>,
    ) -> Result<Client, PowerSyncError> {
        let new_session = !file.exists();
        let database = database::open(file, &config.tables).await?;
        let client_id = database::client_id(&database).await?;
        let config = Arc::new(config);
        let life = Arc::new(Life {
            backend: Arc::new(Backend::new(config.clone())?),
            database,
            config,
            client_id: client_id.clone(),
            outgoing,
            turn: Mutex::default(),
            due: Notify::new(),
            synced: AtomicBool::new(false),
        });
        life.send(FromClient::Ready {
            session: client_id,
            new_session,
        });
        let (wanted, connect) = watch::channel(true);
        let mut tasks = JoinSet::new();
        tasks.spawn(life.clone().keep_connected(connect));
        tasks.spawn(life.clone().keep_reporting());
        tasks.spawn(life.clone().keep_emitting());
        Ok(Client {
            life,
            wanted,
            tasks,
        })
    }

    /// Does what the coordinator asks for.
    pub async fn handle(&self, message: ToClient) {
        let life = &self.life;
        match message {
            ToClient::Execute {
                operation,
                access,
                calls,
            } => {
                let _turn = life.turn.lock().await;
                let outcome = match life.has_synced() {
                    true => life.execute(access, &calls).await,
                    false => Execution::Failed("there was no complete sync yet".to_owned()),
                };
                life.send(FromClient::Completed { operation, outcome });
            }
            ToClient::Watch { calls, at_once } => {
                *life.turn.lock().await = calls;
                if at_once {
                    life.due.notify_one();
                }
            }
            ToClient::Connect => _ = self.wanted.send(true),
            ToClient::Disconnect => _ = self.wanted.send(false),
            ToClient::CheckIntegrity => {
                let report = database::integrity(&life.database).await;
                let report = report
                    .unwrap_or_else(|error| vec![format!("the check could not be done: {error}")]);
                life.send(FromClient::Integrity { report });
            }
            ToClient::Configure(_) => log::error!("a client takes its configuration once"),
            ToClient::Stop => {}
        }
    }

    /// Disconnects and closes the database.
    pub async fn close(mut self) {
        self.tasks.shutdown().await;
        self.life.database.disconnect().await;
    }
}

impl Life {
    fn send(&self, message: FromClient) {
        // The connection may be over.
        let _ = self.outgoing.send(message);
    }

    async fn execute(&self, access: Access, calls: &[Call]) -> Execution {
        database::execute(&self.database, &self.config.statements, access, calls).await
    }

    /// Whether transactions are welcome: once it has synced.
    fn has_synced(&self) -> bool {
        let synced = || self.database.status().has_synced();
        self.synced.load(Ordering::Relaxed)
            || (synced() && {
                self.synced.store(true, Ordering::Relaxed);
                true
            })
    }

    /// Connects and disconnects as it is told.
    async fn keep_connected(self: Arc<Self>, mut wanted: watch::Receiver<bool>) {
        loop {
            let connect = *wanted.borrow_and_update();
            if connect {
                let options = tokio::select! {
                    options = self.options() => options,
                    _ = wanted.changed() => continue,
                };
                self.database.connect(options).await;
            } else {
                self.database.disconnect().await;
            }
            if wanted.changed().await.is_err() {
                return;
            }
        }
    }

    /// The options to connect with, once the backend has said where the service is: the SDK wants to know that
    /// first.
    async fn options(&self) -> SyncOptions {
        let endpoint = loop {
            match self.backend.credentials().await {
                Ok(credentials) => break credentials.endpoint,
                Err(error) => log::warn!("no credentials: {error}"),
            }
            sleep(Duration::from_millis(self.config.retry_delay_ms)).await;
        };
        let uploads = Uploads {
            backend: self.backend.clone(),
            database: self.database.clone(),
            client_id: self.client_id.clone(),
        };
        let mut options = SyncOptions::new(&endpoint, Token(self.backend.clone()), uploads);
        if let Some(delay) = self.config.sdk.retry_delay_ms {
            options.with_retry_delay(Duration::from_millis(delay));
        }
        match self.config.sdk.checkpoint_mode {
            None => {}
            Some(plan::CheckpointMode::Legacy) => {
                options.with_checkpoint_mode(CheckpointMode::Legacy);
            }
            Some(plan::CheckpointMode::Requests) => {
                let requests = RequestsCheckpointMode::default();
                options.with_checkpoint_mode(CheckpointMode::Requests(requests));
            }
        }
        options
    }

    /// Emits the live query after every change of its tables.
    async fn keep_emitting(self: Arc<Self>) {
        let tables = self.config.tables.iter().map(|table| table.name.clone());
        let mut changes = self.database.watch_tables(false, tables).boxed();
        loop {
            tokio::select! {
                _ = changes.next() => {}
                () = self.due.notified() => {}
            }
            if !self.has_synced() {
                // The first sync is a change of the status too, after its last change of the tables.
                let statuses = self.database.watch_status();
                statuses.any(async |status| status.has_synced()).await;
            }
            let calls = self.turn.lock().await;
            if calls.is_empty() {
                continue;
            }
            match self.execute(Access::Read, &calls).await {
                Execution::Committed(results) => self.send(FromClient::Emission { results }),
                Execution::Failed(error) | Execution::Unknown(error) => {
                    log::error!("live query: {error}");
                    drop(calls);
                    sleep(STATUS_EVERY).await;
                    self.due.notify_one();
                }
            }
        }
    }

    /// Sends the status, whenever it changed and at least every second.
    async fn keep_reporting(self: Arc<Self>) {
        let mut sent: Option<(ClientStatus, Instant)> = None;
        loop {
            let turn = self.turn.lock().await;
            match self.status().await {
                Ok(status) => {
                    let known = sent.as_ref().is_some_and(|(last, at)| {
                        *last == status && at.elapsed() < STATUS_AT_LEAST_EVERY
                    });
                    if !known {
                        self.send(FromClient::Status(status.clone()));
                        sent = Some((status, Instant::now()));
                    }
                }
                Err(error) => log::error!("status: {error}"),
            }
            drop(turn);
            sleep(STATUS_EVERY).await;
        }
    }

    /// The SDK's status in the contract's words.
    async fn status(&self) -> Result<ClientStatus, PowerSyncError> {
        let (queue, reached) = database::uploads(&self.database).await?;
        let status = self.database.status();
        let progress = status.streams().filter_map(|stream| stream.progress);
        let download = progress.fold(None, |sum: Option<DownloadProgress>, stream| {
            let sum = sum.unwrap_or(DownloadProgress {
                downloaded: 0,
                total: 0,
            });
            Some(DownloadProgress {
                downloaded: sum.downloaded + stream.downloaded.unsigned_abs(),
                total: sum.total + stream.total.unsigned_abs(),
            })
        });
        let synced = status.last_synced_at();
        let synced = synced.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Ok(ClientStatus {
            connected: status.is_connected(),
            uploading: status.is_uploading(),
            downloading: status.is_downloading(),
            download,
            last_synced_at_ms: synced.map(|since| since.as_millis() as u64),
            queue,
            acknowledged: queue == 0 && reached,
            last_error: status.any_error().map(ToString::to_string),
            details: Some(format!("{status:?}")),
        })
    }
}
