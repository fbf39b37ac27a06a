//! What powersync_core tells its client to do: the answers of `powersync_control`.
//!
//! The names and shapes are those of `Instruction` in powersync_core's `sync/interface.rs`; only
//! what this client acts on is kept.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use squall_protocol::contract::DownloadProgress;

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
    /// The progress, from a checkpoint's line until it is applied.
    downloading: Option<Downloading>,
}

/// The progress of each priority.
#[derive(Debug, Deserialize)]
struct Downloading {
    buckets: BTreeMap<String, Counts>,
}

/// What was there before the checkpoint, what has come since, and what there is to be.
#[derive(Debug, Deserialize)]
struct Counts {
    at_last: i64,
    since_last: i64,
    target_count: i64,
}

impl SyncStatus {
    /// How much has come of the checkpoint that is being downloaded, over all priorities.
    pub(crate) fn download(&self) -> Option<DownloadProgress> {
        let priorities = self.downloading.as_ref()?.buckets.values();
        let sums = priorities.fold((0, 0), |(downloaded, total), of| {
            (
                downloaded + of.since_last,
                total + of.target_count - of.at_last,
            )
        });
        // Counts go below what was there when the service has compacted a bucket in between.
        let count = |sum: i64| u64::try_from(sum).unwrap_or(0);
        Some(DownloadProgress {
            downloaded: count(sums.0),
            total: count(sums.1),
        })
    }
}
