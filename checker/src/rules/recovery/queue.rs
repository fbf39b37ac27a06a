//! A client's upload queue after the heal, as its own reports tell of it.
//!
//! Where several tabs work on one database it is their queue, of which each reports: a write of any of them is in all
//! their queues.
//!
//! The clock runs from the heal, or from a later write, until a report says that the queue is empty and
//! everything is acknowledged. Whenever fewer rows are left than ever since, or more was downloaded than ever
//! since the heal (the acknowledgement comes with a download), there was progress, and the clock starts
//! over. So a queue that stands still for longer than the deadline is told from one
//! that is long: only the former is late.

use std::collections::HashMap;

use squall_protocol::history::Event;

use crate::log::index::Index;

/// What the reports say, in the order of the history.
#[derive(Default)]
pub(super) struct Queue {
    /// The record of the first report that nothing was left, after the client's last write.
    pub drained: Option<usize>,
    /// The record that ended the first pause that was longer than the deadline, and how long it was, in
    /// microseconds.
    pub late: Option<(usize, u64)>,
    /// When the queue made its last progress, in microseconds; before there was any, when it had to begin.
    pub progressed: u64,
    /// The lowest number of rows that was reported since the client wrote last.
    lowest: Option<u64>,
    /// The most that was downloaded of a checkpoint.
    downloaded: u64,
    /// The highest number of rows that was reported, and the last report.
    pub most: u64,
    pub last: Option<Report>,
    /// The times of the first and the last report of a queue that was not empty yet.
    pub from: u64,
    pub until: u64,
}

/// A report of a client.
#[derive(Clone, Copy)]
pub(super) struct Report {
    pub rows: u64,
    pub acknowledged: bool,
    /// The operations that were downloaded of the next checkpoint.
    downloaded: u64,
}

impl Report {
    fn is_drained(self) -> bool {
        self.rows == 0 && self.acknowledged
    }
}

/// What moves the clock of a client's queue.
#[derive(Clone, Copy)]
enum Step {
    Write,
    Report(Report),
}

impl Queue {
    /// The queues of all clients from the record of the heal on. Pauses are late after `deadline`
    /// microseconds. Linear in the records.
    pub fn all(index: &Index, healed: usize, deadline: u64) -> Vec<Queue> {
        let begin = index.time(healed);
        let mut queues: Vec<Queue> = Vec::new();
        queues.resize_with(index.clients.len(), || Queue {
            progressed: begin,
            ..Queue::default()
        });
        for (record, client, step) in steps(index, healed) {
            queues[client].take(record, index.time(record), step, deadline);
        }
        queues
    }

    fn take(&mut self, record: usize, time: u64, step: Step, deadline: u64) {
        let report = match step {
            Step::Write => {
                if self.drained.take().is_some() {
                    self.progressed = time;
                }
                self.lowest = None;
                return;
            }
            Step::Report(report) => report,
        };
        self.last = Some(report);
        if self.drained.is_some() {
            return;
        }
        let progress = self.lowest.is_some_and(|lowest| report.rows < lowest)
            || report.downloaded > self.downloaded
            || report.is_drained();
        self.downloaded = self.downloaded.max(report.downloaded);
        if progress {
            let pause = time.saturating_sub(self.progressed);
            if pause > deadline {
                self.late.get_or_insert((record, pause));
            }
            self.progressed = time;
        }
        if report.is_drained() {
            self.drained = Some(record);
        }
        let lowest = self.lowest.unwrap_or(report.rows);
        self.lowest = Some(lowest.min(report.rows));
        if self.most == 0 {
            self.from = time;
        }
        self.most = self.most.max(report.rows);
        self.until = time;
    }

    /// How many rows went, and how fast, for people. None where there was nothing to upload.
    pub fn speed(&self) -> Option<String> {
        let left = self.last.map_or(0, |report| report.rows);
        let gone = self.most.checked_sub(left).filter(|_| self.most > 0)?;
        let seconds = self.until.saturating_sub(self.from) as f64 / 1e6;
        let rate = gone as f64 / seconds.max(0.001);
        Some(format!(
            "{left} of {} rows are left, and {rate:.1} a second were uploaded",
            self.most
        ))
    }
}

/// The reports and committed writes of the clients from the heal on, in the order of the history.
fn steps(index: &Index, healed: usize) -> Vec<(usize, usize, Step)> {
    let names: HashMap<&str, usize> = (0..)
        .zip(&index.clients)
        .map(|(number, client)| (client.name.as_str(), number))
        .collect();
    // The clients on each database.
    let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
    for (number, client) in index.clients.iter().enumerate() {
        members.entry(client.database).or_default().push(number);
    }
    let mut steps: Vec<(usize, usize, Step)> = Vec::new();
    for (record, entry) in index.records.iter().enumerate().skip(healed) {
        if let Event::Status { client, status } = &entry.event {
            let report = Report {
                rows: status.queue,
                acknowledged: status.acknowledged,
                downloaded: status.download.map_or(0, |download| download.downloaded),
            };
            steps.push((record, names[client.as_str()], Step::Report(report)));
        }
    }
    for (_, operation) in index.operations() {
        if let Some(completion) = index.completion(operation)
            && operation.order >= healed
            && is_uploaded(completion)
            && index.sessions[operation.session].client.is_some()
        {
            let database = index.log.database(operation.session);
            for client in members.get(&database).into_iter().flatten() {
                steps.push((operation.order, *client, Step::Write));
            }
        }
    }
    steps.sort_by_key(|(record, ..)| *record);
    steps
}

/// Whether the operation has something to upload: a row of the ledger too, even when it wrote nothing else.
fn is_uploaded(completion: &Event) -> bool {
    let Event::Ok { effects, .. } = completion else {
        return false;
    };
    let inserted = effects.ledger.as_ref().and_then(|ledger| ledger.seq);
    !effects.writes.is_empty() || inserted.is_some()
}
