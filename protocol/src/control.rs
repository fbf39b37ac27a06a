//! The messages between the coordinator and a client.
//!
//! A client opens a WebSocket to the coordinator at `/control?client=NAME`; every message is one
//! JSON text frame. The client says [`FromClient::Hello`] first, the coordinator answers with
//! [`ToClient::Configure`], and the client answers that with [`FromClient::Ready`] once its database
//! is open. This connection is never disturbed by the fault proxies: it belongs to the experiment,
//! not to the system under test.

use serde::{Deserialize, Serialize};

use crate::ledger::LedgerSeen;
use crate::plan::{Isolation, Uploader, Workload};
use crate::transaction::{Effects, Outcome, Transaction};

/// What a client needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientConfig {
    /// The client's name in the plan.
    pub client: String,
    pub workload: Workload,
    /// The number of keys.
    pub keys: u32,
    /// Whether there is the payload table as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payload: bool,
    /// Whether a live query is kept open, each of whose emissions is told with
    /// [`FromClient::Emission`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watch: bool,
    /// The isolation level of a client on PostgreSQL.
    #[serde(default)]
    pub isolation: Isolation,
    pub uploader: Uploader,
    /// Where the backend is, without a trailing slash; clients get the service's address and their
    /// token from it (see [`crate::backend`]). It leads through the client's fault proxy. Empty for
    /// a client that does not sync.
    pub backend_url: String,
    /// The pause before a failed upload or a lost stream is tried again, in milliseconds.
    pub retry_delay_ms: u64,
    /// The deadline of every request other than the stream, in milliseconds.
    pub request_deadline_ms: u64,
    /// How long a stream may be silent before the client takes it for dead, in milliseconds.
    pub stream_idle_deadline_ms: u64,
}

/// From the coordinator to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToClient {
    Configure(ClientConfig),
    /// Do a transaction and answer with [`FromClient::Completed`].
    Transaction {
        operation: u64,
        transaction: Transaction,
        /// What of the ledger need not be read again.
        #[serde(default, skip_serializing_if = "LedgerSeen::is_nothing")]
        seen: LedgerSeen,
    },
    /// Connect to the service (a client does so by itself after `Configure`).
    Connect,
    /// Disconnect from the service: end the stream, upload nothing, keep the database.
    Disconnect,
    /// Check the database file and answer with [`FromClient::Integrity`].
    CheckIntegrity,
    /// Look for the row of that id in every table of the workload and answer with
    /// [`FromClient::Found`].
    FindRow {
        id: String,
    },
    /// Finish in an orderly way: close the database, then the connection, then exit.
    Stop,
}

/// From a client to the coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromClient {
    /// The first message of an incarnation.
    Hello { client: String },
    /// The database is open and transactions are welcome.
    Ready {
        /// The session's identity: it is made with the database and lives as long as it does.
        session: String,
        /// Whether the database was made by this incarnation.
        new_session: bool,
    },
    /// The answer to [`ToClient::Transaction`].
    Completed { operation: u64, outcome: Outcome },
    /// The live query emitted: these rows changed. Nothing was written.
    Emission(Effects),
    /// The client's state, sent when it changed and at least every second.
    Status(ClientStatus),
    /// The answer to [`ToClient::CheckIntegrity`]: the rows of SQLite's `PRAGMA integrity_check`,
    /// which is the single row `ok` for an intact file.
    Integrity { report: Vec<String> },
    /// The answer to [`ToClient::FindRow`]: the tables that have it.
    Found { tables: Vec<String> },
    /// A line for the client's log.
    Log { level: LogLevel, line: String },
    /// The client cannot go on; the coordinator takes this for infrastructure trouble.
    Fatal { error: String },
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// How far the download of a checkpoint is, as powersync_core counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadProgress {
    /// Operations of the service's history that have come.
    pub downloaded: u64,
    /// Operations that the service announced. It counts from before a compaction until it is
    /// restarted, so fewer may come.
    pub total: u64,
}

/// The states of a syncing client that a user would look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientStatus {
    /// A sync stream is established.
    pub connected: bool,
    /// An upload, or the write checkpoint request after it, is under way.
    pub uploading: bool,
    /// A checkpoint has been announced and is not applied yet.
    pub downloading: bool,
    /// How much of that checkpoint has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download: Option<DownloadProgress>,
    /// When the last complete checkpoint was applied, in milliseconds since 1970; none before the
    /// first one.
    pub last_synced_at_ms: Option<u64>,
    /// Rows in the upload queue (`ps_crud`).
    pub queue: u64,
    /// Whether the server has acknowledged all uploads: the queue is empty and the write checkpoint
    /// of the last upload has been reached.
    pub acknowledged: bool,
    /// The last thing that went wrong, until something succeeded.
    pub last_error: Option<String>,
}
