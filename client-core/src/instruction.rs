//! What powersync_core tells its client to do: the answers of `powersync_control`.
//!
//! The names and shapes are those of `Instruction` in powersync_core's `sync/interface.rs`; only
//! what this client acts on is kept.

use serde::Deserialize;
use serde_json::value::RawValue;

/// One instruction.
#[derive(Debug, Deserialize)]
pub(crate) enum Instruction {
    LogLine {
        severity: Severity,
        line: String,
    },
    UpdateSyncStatus {
        status: SyncStatus,
    },
    /// Open a stream with that request as the body.
    EstablishSyncStream {
        request: Box<RawValue>,
    },
    /// Get a new token: now if the old one has expired, otherwise soon.
    FetchCredentials {
        did_expire: bool,
    },
    /// Close the stream; if the disconnect is to be hidden, open the next one without a pause.
    CloseSyncStream {
        hide_disconnect: bool,
    },
    /// A complete checkpoint was applied.
    DidCompleteSync {},
    /// A complete checkpoint waits until the upload queue is empty and acknowledged.
    CheckpointDelayedDueToLocalData {},
    HandleDiagnostics(serde::de::IgnoredAny),
}

/// How much a line of the core's log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Severity {
    Debug,
    Info,
    Warning,
}

/// The core's view of the stream.
#[derive(Debug, Deserialize)]
pub(crate) struct SyncStatus {
    pub(crate) connected: bool,
    /// Something, with the progress in it, from a checkpoint's line until it is applied.
    downloading: Option<serde::de::IgnoredAny>,
}

impl SyncStatus {
    pub(crate) fn downloading(&self) -> bool {
        self.downloading.is_some()
    }
}
