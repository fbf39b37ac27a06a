//! The history of a run: everything that happened, in the order in which the coordinator saw it.
//!
//! A history is a file of JSON lines. The first is the [`Header`], every other one a [`Record`].
//! A field that is not known is refused: what it says might decide. Lines are appended and flushed as
//! things happen, so a history that was cut short (a crash, a full disk) is still readable up to its last
//! complete line.
//!
//! An operation's `invoke` is recorded before the client can have started it, and its completion
//! after it ended; in real time the operation took effect between the two, if it did. An operation
//! whose answer never came is completed by `info`: it may or may not have happened.
//!
//! A client's final read is the operation that reads everything in the phase [`Phase::FinalRead`]
//! ([`Transaction::reads_everything`]). Where that did not commit, the final read could not be had.

use serde::{Deserialize, Serialize};

use crate::contract::{ClientStatus, Engine};
use crate::fault::Fault;
use crate::plan::{ClientSpec, Isolation, Workload};
use crate::transaction::{Effects, Transaction};

/// The version of the history's format.
pub const HISTORY_VERSION: u32 = 2;

/// The first line: what a checker needs to know to judge the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`HISTORY_VERSION`]. Also what tells a squall history from other JSON lines.
    pub squall_history: u32,
    pub seed: u64,
    pub workload: Workload,
    /// The number of keys; in `mww` and `ledger` all hold [`crate::transaction::INITIAL_VALUE`] at first.
    pub keys: u32,
    /// Whether there is the payload table as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payload: bool,
    /// The isolation level of clients on PostgreSQL.
    #[serde(default)]
    pub isolation: Isolation,
    pub clients: Vec<ClientSpec>,
    /// How long after the heal every client may take to recover, in milliseconds.
    pub recovery_deadline_ms: u64,
    /// When the run began, in milliseconds since 1970.
    pub started_at_ms: u64,
}

/// Every other line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Microseconds since the run began, never decreasing.
    pub time: u64,
    pub event: Event,
}

/// The phases of a run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// PostgreSQL, the service, the backend and the fleet start and sync for the first time.
    Start,
    /// Operations and faults.
    Storm,
    /// Every fault ends; clients that are down are started. The recovery deadline counts from here.
    Heal,
    /// Every client does its probe, and everyone reads until all probes are seen by all.
    Probe,
    /// Everyone's last reads, and the databases are checked.
    FinalRead,
    /// The history is complete: nothing follows.
    Complete,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// A phase began.
    Phase(Phase),
    /// A client is being told to do a transaction.
    Invoke {
        client: String,
        /// Unique in the history.
        operation: u64,
        transaction: Transaction,
    },
    /// The operation committed.
    Ok {
        client: String,
        operation: u64,
        effects: Effects,
    },
    /// The operation committed, but what its client answered makes no sense: what it has read is not known,
    /// and its writes are possible writes.
    Malformed {
        client: String,
        operation: u64,
        error: String,
    },
    /// The operation did not happen.
    Fail {
        client: String,
        operation: u64,
        error: String,
    },
    /// The operation may or may not have happened; its writes are possible writes.
    Info {
        client: String,
        operation: u64,
        error: String,
    },
    /// A client's incarnation is ready for transactions.
    IncarnationStart {
        client: String,
        /// Counts from 1 within the client.
        incarnation: u32,
        /// The identity of the database; a change means that the old one was lost.
        session: String,
        /// What the client says it is made of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        engine: Option<Engine>,
        /// What runs that: Node, a browser.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        runtime: Option<Engine>,
    },
    /// A client's incarnation is over.
    IncarnationEnd {
        client: String,
        incarnation: u32,
        reason: String,
    },
    /// A fault is about to be caused.
    FaultBegin {
        /// The index in the plan's faults.
        number: usize,
        /// The name of a client, or of a server.
        victim: String,
        fault: Fault,
    },
    /// A fault is over: what it broke works again, as far as the nemesis can do that.
    FaultEnd { number: usize, victim: String },
    /// A fault of the plan was not caused, and why.
    FaultSkipped {
        number: usize,
        victim: String,
        fault: Fault,
        reason: String,
    },
    /// A fault that had begun had to be given up: it could not be caused, or not be ended as planned. Its
    /// end follows, once what it may have broken has been restored by force.
    FaultGivenUp {
        number: usize,
        victim: String,
        fault: Fault,
        reason: String,
    },
    /// A syncing client's state.
    Status {
        client: String,
        status: ClientStatus,
    },
    /// PostgreSQL's final read, by the coordinator itself: all that it holds, or why that could not be had.
    FinalReadPostgres {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        effects: Option<Effects>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// What SQLite's `PRAGMA integrity_check` said of a client's database, `["ok"]` if intact.
    Integrity { client: String, report: Vec<String> },
    /// Something of the infrastructure failed that no fault of the plan explains: the run can prove
    /// violations, but no longer their absence.
    Trouble { what: String },
    /// The storm was ended before its time, since a violation was found: `why`. What comes after a
    /// storm follows as always.
    StormStopped { why: String },
    /// A person ended the run.
    Interrupted,
}
