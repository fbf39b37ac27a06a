//! The client contract: the messages between the coordinator and a client.
//!
//! **A client executes SQL and knows no workload.** It runs numbered statements in transactions of its
//! database and answers the rows that came, whatever they are; the coordinator compiles what is planned
//! into calls, and makes sense of the rows. A client never decides what is right.
//!
//! A client opens a WebSocket to the coordinator at `/control/TOKEN?client=NAME`; every message is one
//! JSON text frame. A client ignores fields and messages that it does not know. The client says [`FromClient::Hello`] first, the coordinator answers with
//! [`ToClient::Configure`], and the client answers that with [`FromClient::Ready`] once its database
//! is open. This connection is never disturbed by the fault proxies: it belongs to the experiment,
//! not to the system under test.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::{Isolation, SdkOptions, Uploader};
pub use crate::sql::Access;
use crate::sql::{Call, Dialect, SqlRows};

/// The version of the contract, which a client names in its [`FromClient::Hello`].
pub const CONTRACT_VERSION: u32 = 1;

/// What a client needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientConfig {
    /// The client's name in the plan.
    pub client: String,
    /// The tables that its database is to have.
    pub tables: Vec<TableSchema>,
    /// The statements of the run, in the client's dialect, which calls name by their index. Parameters are
    /// `$1`, `$2` and so on; one may occur more than once.
    pub statements: Vec<String>,
    /// What is done in a new database that syncs with nobody, once its tables are made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_database: Vec<Call>,
    /// What is done on every connection that a client opens to PostgreSQL, before anything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_connection: Vec<Call>,
    /// The isolation level of a client on PostgreSQL.
    #[serde(default)]
    pub isolation: Isolation,
    pub uploader: Uploader,
    /// What a client on one of PowerSync's SDKs is told beside that.
    #[serde(default, skip_serializing_if = "SdkOptions::are_defaults")]
    pub sdk: SdkOptions,
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

/// A table that is synced. Beside its columns it has `id`, a text and its primary key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TableSchema {
    pub name: String,
    pub columns: Vec<ColumnSchema>,
    /// The columns of its index, if it needs one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub index: Vec<String>,
    /// Whether an upload of a changed row carries what its columns held before (`trackPrevious` in
    /// PowerSync's SDKs).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub track_previous: bool,
}

/// A column: its name, and SQLite's word for its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ColumnSchema {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// From the coordinator to a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ToClient {
    Configure(Box<ClientConfig>),
    /// Do these calls in one transaction, in this order, and answer with [`FromClient::Completed`]. An
    /// error in any of them undoes all.
    Execute {
        operation: u64,
        access: Access,
        calls: Vec<Call>,
    },
    /// Keep these calls as a live query, in the place of the one before: do them in a read transaction
    /// after the tables have changed, and answer with [`FromClient::Emission`]. Many changes in a short
    /// time may be one emission; the last change has one.
    Watch {
        calls: Vec<Call>,
        /// Whether there is an emission at once, without waiting for a change. A client that has never
        /// synced waits for its first sync.
        at_once: bool,
    },
    /// Connect to the service (a client does so by itself after `Configure`).
    Connect,
    /// Disconnect from the service: end the stream, upload nothing, keep the database.
    Disconnect,
    /// Check the database file and answer with [`FromClient::Integrity`].
    CheckIntegrity,
    /// Finish in an orderly way: close the database, then the connection, then exit.
    Stop,
}

/// What a client is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hello {
    /// The name that it was started with.
    pub client: String,
    /// [`CONTRACT_VERSION`].
    pub contract: u32,
    pub dialect: Dialect,
    /// What it is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// What runs that, such as Node. Of a tab, its browser's driver is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Engine>,
    #[serde(default)]
    pub capabilities: Capabilities,
}

/// What a client is made of, or what runs it, for reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Engine {
    pub name: String,
    /// None if it is not known before the database is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(formatter, "{} {version}", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}

/// What a client can do beside transactions. It is not asked for what it cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Capabilities {
    /// It has a database of its own that it syncs by way of the sync service and the backend, and it sends
    /// [`FromClient::Status`].
    pub syncs: bool,
    /// It does [`ToClient::Watch`].
    pub watches: bool,
    /// It does [`ToClient::Disconnect`], and [`ToClient::Connect`] after that.
    pub disconnects: bool,
    /// It does [`ToClient::CheckIntegrity`].
    pub checks_integrity: bool,
    /// It works on a SQLite file that is there already and that other clients work on too.
    pub shares_a_file: bool,
    /// Several tabs of it may have its database open at once.
    pub several_tabs: bool,
}

/// From a client to the coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FromClient {
    /// The first message of an incarnation, before its database is opened.
    Hello(Hello),
    /// The database is open and transactions are welcome.
    Ready {
        /// The session's identity: it is made with the database and lives as long as it does.
        session: String,
        /// Whether the database was made by this incarnation.
        new_session: bool,
    },
    /// The answer to [`ToClient::Execute`].
    Completed { operation: u64, outcome: Execution },
    /// The live query emitted: the rows of each call.
    Emission { results: Vec<SqlRows> },
    /// The client's state, sent when it changed and at least every second.
    Status(ClientStatus),
    /// The answer to [`ToClient::CheckIntegrity`]: the rows of SQLite's `PRAGMA integrity_check`,
    /// which is the single row `ok` for an intact file.
    Integrity { report: Vec<String> },
    /// A person at the client asks for a transaction, of the coordinator's choice.
    TransactionWanted,
    /// A line for the client's log.
    Log { level: LogLevel, line: String },
    /// The client cannot go on; the coordinator takes this for infrastructure trouble.
    Fatal { error: String },
}

/// How a transaction ended, as far as its client knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Execution {
    /// It committed locally (on PostgreSQL, for a client there). The rows of each call.
    Committed(Vec<SqlRows>),
    /// It certainly did not happen. The text says why.
    Failed(String),
    /// It may or may not have happened. The text says why.
    Unknown(String),
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// How far the download of a checkpoint is, as powersync_core counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DownloadProgress {
    /// Operations of the service's history that have come.
    pub downloaded: u64,
    /// Operations that the service announced. It counts from before a compaction until it is
    /// restarted, so fewer may come.
    pub total: u64,
}

/// The states of a syncing client that a user would look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The state as the client's SDK itself says it, for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}
