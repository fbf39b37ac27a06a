//! Writes the history: every event is on its way to the disk before anything depends on it. What is
//! written can be judged at once, too, as far as that is possible before the end.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use serde::Serialize;
use squall_checker::online::{Finding, Online};
use squall_protocol::history::{Event, Header, Record};
use tokio_util::sync::CancellationToken;

/// Appends events to a history file. Cheap to clone; all clones write to the same file.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Mutex<Inner>>,
    broken: CancellationToken,
    violated: CancellationToken,
}

struct Inner {
    path: PathBuf,
    began: Instant,
    file: File,
    line: Vec<u8>,
    counts: OperationCounts,
    next_operation: u64,
    troubles: Vec<String>,
    /// Judges what is recorded as it comes, if that is wanted.
    online: Option<Online>,
    first_violation: Option<Finding>,
}

/// How many operations ended in which way so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationCounts {
    pub ok: u64,
    pub fail: u64,
    pub info: u64,
}

impl Recorder {
    /// A history of nobody, of that workload with one row, in that folder.
    #[cfg(test)]
    pub fn of_nobody(folder: &Path, workload: squall_protocol::plan::Workload) -> Recorder {
        let header = Header {
            squall_history: squall_protocol::history::HISTORY_VERSION,
            seed: 0,
            workload,
            keys: 1,
            payload: false,
            isolation: squall_protocol::plan::Isolation::default(),
            clients: Vec::new(),
            recovery_deadline_ms: 0,
            started_at_ms: 0,
        };
        Recorder::create(&folder.join("history.jsonl"), &header, false).expect("it can be written")
    }

    /// Starts a history with its header. Judging it as it comes takes memory for every operation
    /// (see [`Online`]); without, a recorder stays as small as it is.
    ///
    /// # Errors
    ///
    /// When the file cannot be created or written.
    pub fn create(path: &Path, header: &Header, judged: bool) -> std::io::Result<Recorder> {
        let mut inner = Inner {
            path: path.to_owned(),
            began: Instant::now(),
            file: File::create(path)?,
            line: Vec::new(),
            counts: OperationCounts::default(),
            next_operation: 0,
            troubles: Vec::new(),
            online: judged.then(|| Online::new(header)),
            first_violation: None,
        };
        inner.write_line(header)?;
        Ok(Recorder {
            inner: Arc::new(Mutex::new(inner)),
            broken: CancellationToken::new(),
            violated: CancellationToken::new(),
        })
    }

    /// Appends an event with the present time. A history that cannot be written any more (a full
    /// disk) is trouble: it is told once, and [`Recorder::broken`] is cancelled.
    pub fn record(&self, event: Event) {
        let mut inner = self.lock();
        match &event {
            Event::Ok { .. } | Event::Malformed { .. } => inner.counts.ok += 1,
            Event::Fail { .. } => inner.counts.fail += 1,
            Event::Info { .. } => inner.counts.info += 1,
            _ => {}
        }
        if self.broken.is_cancelled() {
            return;
        }
        let record = Record {
            time: inner.began.elapsed().as_micros() as u64,
            event,
        };
        if let Err(error) = inner.write_line(&record) {
            self.broken.cancel();
            let what = format!(
                "the history {} cannot be written any more: {error}; free some space and repeat the run",
                inner.path.display()
            );
            tracing::error!("{what}");
            inner.troubles.push(what);
        }
        let online = inner.online.as_mut();
        let found = online.map_or_else(Vec::new, |online| online.push(&record));
        if let Some(first) = found.into_iter().next()
            && inner.first_violation.is_none()
        {
            inner.first_violation = Some(first);
            self.violated.cancel();
        }
    }

    /// Records infrastructure trouble, and tells it to the person who watches.
    pub fn trouble(&self, what: impl Into<String>) {
        let what = what.into();
        tracing::warn!("trouble: {what}");
        self.lock().troubles.push(what.clone());
        self.record(Event::Trouble { what });
    }

    /// All trouble so far.
    pub fn troubles(&self) -> Vec<String> {
        self.lock().troubles.clone()
    }

    /// Cancelled when the history cannot be written any more.
    pub fn broken(&self) -> &CancellationToken {
        &self.broken
    }

    /// Cancelled when the first violation of safety is certain.
    pub fn violated(&self) -> &CancellationToken {
        &self.violated
    }

    /// The first violation of safety that became certain.
    pub fn first_violation(&self) -> Option<Finding> {
        self.lock().first_violation.clone()
    }

    /// How many violations of safety are certain so far, where that is judged.
    pub fn violations(&self) -> u64 {
        self.lock().online.as_ref().map_or(0, Online::violations)
    }

    /// A number for a new operation.
    pub fn new_operation(&self) -> u64 {
        let mut inner = self.lock();
        inner.next_operation += 1;
        inner.next_operation - 1
    }

    /// How many operations ended in which way so far.
    pub fn counts(&self) -> OperationCounts {
        self.lock().counts
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no one panics while recording")
    }
}

impl Inner {
    /// One `write` per line, so that a crash can only cut the last line.
    fn write_line(&mut self, value: &impl Serialize) -> std::io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)?;
        self.line.push(b'\n');
        self.file.write_all(&self.line)
    }
}
