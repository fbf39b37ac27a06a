//! The plan of a run: everything that will be tried, decided before anything is started.
//!
//! A plan is a value: the same seed and options give the same plan, byte for byte. It is written to
//! `plan.json` in the run folder, and a run can be repeated from it. Real browsers and real
//! networks are not deterministic, so a repeated run repeats the schedule, not the interleaving.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::fault::{Fault, Victim};
use crate::sql::Dialect;
use crate::transaction::Transaction;

/// The version of the plan's format.
pub const PLAN_VERSION: u32 = 2;

/// The rows, the transactions and the merge rule that a run uses.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Workload {
    /// Maximum write wins: rows `mww(id, k unique, v)`, merged by `GREATEST(v)`.
    Mww,
    /// As `mww`, and every transaction that writes inserts one row `ledger(id, client, seq, writes)`.
    Ledger,
    /// Rows `lists(id, k unique, v)` whose texts are appended to; the last write wins.
    ListAppend,
    /// Rows `gset(id, k, v)` that are only inserted.
    Gset,
    /// Rows `counter(id, k unique, v)` to which is added; what was added is merged by addition.
    Counter,
}

impl Workload {
    /// Every workload, in the order in which they are documented.
    pub const ALL: &'static [Workload] = Workload::VARIANTS;

    /// The workload's name, as on the command line and in every file.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The kinds of clients.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ClientKind {
    /// A process with a SQLite file and powersync_core.
    Native,
    /// A tab of Chromium with SQLite in WebAssembly on OPFS and powersync_core.
    Wasm,
    /// As `wasm`, in Firefox.
    #[serde(rename = "wasm@firefox")]
    #[strum(serialize = "wasm@firefox")]
    WasmFirefox,
    /// A process that reads and writes PostgreSQL itself.
    Postgres,
    /// A process with SQLite alone; all of them share one file.
    Sqlite,
    /// As `sqlite`, by way of the `sqlite3` command-line shell.
    Sqlite3,
    /// A process with a SQLite file and powersync_core that never connects.
    Local,
    /// As `sqlite`, by way of the package better-sqlite3 in Node.
    BetterSqlite3,
    /// A process on PowerSync's SDK for Node.
    PowersyncNode,
    /// A browser tab on PowerSync's SDK for the web.
    PowersyncWeb,
    /// As `powersync-web`, in Firefox.
    #[serde(rename = "powersync-web@firefox")]
    #[strum(serialize = "powersync-web@firefox")]
    PowersyncWebFirefox,
    /// A process on PowerSync's SDK for Rust.
    PowersyncRust,
    /// A process of somebody's that speaks the client contract, with its rows there.
    External(Store),
}

/// Where the rows of a client live, and who else works on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    /// In a database of its own that syncs with PostgreSQL.
    Synced,
    /// In PostgreSQL itself.
    Postgres,
    /// In the one SQLite file that all such clients work on.
    SharedFile,
    /// In a database of its own that nothing syncs.
    Alone,
}

impl ClientKind {
    /// Every kind of squall's own, in the order in which they are documented.
    pub const ALL: [ClientKind; 12] = [
        ClientKind::Native,
        ClientKind::Wasm,
        ClientKind::WasmFirefox,
        ClientKind::Postgres,
        ClientKind::Sqlite,
        ClientKind::Sqlite3,
        ClientKind::Local,
        ClientKind::BetterSqlite3,
        ClientKind::PowersyncNode,
        ClientKind::PowersyncWeb,
        ClientKind::PowersyncWebFirefox,
        ClientKind::PowersyncRust,
    ];

    /// The kind's name, as on the command line and in client names; those of somebody's clients have others
    /// there, see [`ClientSpec::kind_name`].
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Where the rows of its clients live. What follows from it is asked below.
    pub fn store(self) -> Store {
        match self {
            ClientKind::Native
            | ClientKind::Wasm
            | ClientKind::WasmFirefox
            | ClientKind::PowersyncNode
            | ClientKind::PowersyncWeb
            | ClientKind::PowersyncWebFirefox
            | ClientKind::PowersyncRust => Store::Synced,
            ClientKind::Postgres => Store::Postgres,
            ClientKind::Sqlite | ClientKind::Sqlite3 | ClientKind::BetterSqlite3 => {
                Store::SharedFile
            }
            ClientKind::Local => Store::Alone,
            ClientKind::External(store) => store,
        }
    }

    /// Whether clients of this kind have a SQLite database, which can be lost.
    pub fn has_database(self) -> bool {
        self.store() != Store::Postgres
    }

    /// Whether clients of this kind have a local database that is synced.
    pub fn syncs(self) -> bool {
        self.store() == Store::Synced
    }

    /// Whether what clients of this kind write ends up in PostgreSQL. The others need neither it nor
    /// the sync service.
    pub fn meets_in_postgres(self) -> bool {
        matches!(self.store(), Store::Synced | Store::Postgres)
    }

    /// The SQL that the databases of this kind speak.
    pub fn dialect(self) -> Dialect {
        match self.store() {
            Store::Postgres => Dialect::Postgres,
            _ => Dialect::Sqlite,
        }
    }

    /// Whether all clients of this kind work on the one file.
    pub fn shares_a_file(self) -> bool {
        self.store() == Store::SharedFile
    }
}

/// A client of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSpec {
    /// The name, such as `wasm-2`: the kind and a number that counts from 1 within the kind. Of several tabs of a
    /// browser the name of that, and a number that counts from 1 within it: `powersync-web-2.1`.
    pub name: String,
    /// What runs it.
    pub kind: ClientKind,
    /// The browser that it is one of several tabs of, such as `powersync-web-2`. They have one database: one
    /// session, in which they work at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<String>,
}

impl ClientSpec {
    /// A client that has its database, if it has one, for itself.
    pub fn new(name: impl Into<String>, kind: ClientKind) -> ClientSpec {
        ClientSpec {
            name: name.into(),
            kind,
            browser: None,
        }
    }

    /// The name of what it runs on and shares with no other device: its browser if that has several tabs, and its
    /// own otherwise.
    pub fn device(&self) -> &str {
        self.browser.as_deref().unwrap_or(&self.name)
    }

    /// The name of its kind, which somebody's clients have from the command line.
    pub fn kind_name(&self) -> &str {
        self.name
            .rsplit_once('-')
            .map_or(&self.name, |(kind, _)| kind)
    }
}

/// How a client turns its upload queue into uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Uploader {
    /// One local transaction is one upload (the counterpart of `getNextCrudTransaction`).
    Transaction,
    /// The oldest `size` rows of the queue are one upload, wherever transactions begin and end (the
    /// counterpart of `getCrudBatch`). Breaks atomicity: a negative control.
    /// It pauses after each upload, as SDKs throttle theirs (10 ms in Dart, 1,000 ms in JavaScript).
    Batch {
        /// Rows of the queue in one upload, at least 1.
        size: u32,
        /// The pause after an upload, in milliseconds: for so long at least, a transaction that was
        /// split is torn for everyone to see.
        pause_ms: u32,
    },
}

/// What clients on PowerSync's SDKs are told beside that. What is not there is as the SDK has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct SdkOptions {
    /// The virtual file system of SQLite in a browser, by the SDK's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vfs: Option<String>,
    /// How long local changes are gathered before an upload, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_throttle_ms: Option<u64>,
    /// The pause before a failed upload or a lost stream is tried again, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_delay_ms: Option<u64>,
    /// How it asks for the write checkpoint after its uploads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_mode: Option<CheckpointMode>,
}

/// The ways in which PowerSync's SDKs ask for a write checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointMode {
    /// The service counts them: `GET /write-checkpoint2.json`.
    Legacy,
    /// The client counts them: `POST /sync/checkpoint-request`.
    Requests,
}

impl SdkOptions {
    /// Whether all is as the SDK has it.
    pub fn are_defaults(&self) -> bool {
        *self == SdkOptions::default()
    }
}

/// A number that is drawn for each transaction, uniformly from a range with both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Length {
    pub min: u32,
    pub max: u32,
}

/// How keys are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyChoice {
    /// All alike.
    Uniform,
    /// By Zipf's law: the key of rank r (from 1) has a probability proportional to r to the power of
    /// minus the exponent, which is above 0.
    Zipf { exponent: f64 },
}

/// What a client may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    #[default]
    ReadWrite,
    ReadOnly,
    WriteOnly,
}

/// What clients may do, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// Clients with a SQLite database.
    pub powersync: Role,
    /// Clients on PostgreSQL.
    pub postgres: Role,
}

/// How a transaction that only reads is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadMode {
    WriteTransaction,
    ReadTransaction,
    /// Clients with a SQLite database also keep a live query open, each of whose emissions is a read.
    Watch,
}

/// PostgreSQL's isolation levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    ReadCommitted,
    #[default]
    RepeatableRead,
    Serializable,
}

/// What the seed and the options decided; together with the seed they determine the whole plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanOptions {
    pub workload: Workload,
    /// The number of rows.
    pub keys: u32,
    /// Whether there is the payload table as well, in the workload `ledger`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payload: bool,
    /// How many distinct keys a transaction writes.
    pub writes_per_transaction: Length,
    /// How a transaction's keys are chosen.
    pub key_choice: KeyChoice,
    /// Whether a transaction either only reads or only writes.
    pub homogeneous: bool,
    /// What the clients do.
    pub roles: Roles,
    /// How transactions that only read are done.
    pub reads_through: Vec<ReadMode>,
    /// The isolation level of clients on PostgreSQL.
    pub isolation: Isolation,
    /// Transactions per second, over all clients.
    pub rate: f64,
    /// The length of the storm in milliseconds.
    pub duration_ms: u64,
    /// The mean pause between faults of one kind and their mean duration, in milliseconds. Each is
    /// drawn uniformly from zero to twice this.
    pub fault_interval_ms: u64,
    /// The names of the kinds of faults, in the order in which they are documented.
    pub faults: Vec<String>,
    pub uploader: Uploader,
    #[serde(default, skip_serializing_if = "SdkOptions::are_defaults")]
    pub sdk: SdkOptions,
    /// How long after the heal every client may take to recover, in milliseconds.
    pub recovery_deadline_ms: u64,
}

/// A transaction with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTransaction {
    /// Milliseconds since the storm began.
    pub at_ms: u64,
    /// An index into [`Plan::clients`].
    pub client: usize,
    pub transaction: Transaction,
}

/// A fault with its time and its victim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// Milliseconds since the storm began.
    pub at_ms: u64,
    /// How long it lasts, in milliseconds. A reload takes as long as it takes and has 0 here.
    pub duration_ms: u64,
    /// In the file a field `client` or `browser` (an index) or `server`.
    #[serde(flatten)]
    pub victim: Victim,
    pub fault: Fault,
}

/// Everything that a run will try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub squall_plan: u32,
    pub seed: u64,
    pub options: PlanOptions,
    pub clients: Vec<ClientSpec>,
    /// The commands of somebody's clients, as a shell takes them, by the name of their kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, String>,
    /// Ordered by time.
    pub transactions: Vec<PlannedTransaction>,
    /// Ordered by time; faults of one victim do not overlap.
    pub faults: Vec<PlannedFault>,
    /// One transaction per client, done after the heal: the proof that everyone recovered. Their
    /// values are higher than all values of the storm.
    pub probes: Vec<Transaction>,
}

impl Plan {
    /// The name of a fault's victim, as in the history.
    ///
    /// # Panics
    ///
    /// When the plan has no such client.
    pub fn victim_name(&self, victim: Victim) -> &str {
        match victim {
            Victim::Client(client) => &self.clients[client].name,
            Victim::Browser(client) => self.clients[client].device(),
            Victim::Server(server) => server.name(),
        }
    }
}
