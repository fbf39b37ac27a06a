//! The same rules along with a run: events in, violations out as soon as nothing can excuse them.
//!
//! # What is told when
//!
//! A finding is never taken back. So a read is judged once everything that could excuse it is known;
//! when that is, is written at the top of the modules that judge reads. Final reads of rows wait for
//! [`Online::verdict`], which takes what has been pushed for the whole history: what has not ended is
//! unknown, and nothing waits any more. Convergence and recovery, which are properties of an end,
//! are judged only there.
//!
//! # Memory
//!
//! Of most reads nothing is kept; what the judges do keep is written at the top of their modules
//! ([`crate::ledger`] for the ledger). Besides, everything from the heal on is kept, for the properties
//! of the end, and of what came before who did what, without the rows that were read.

use squall_protocol::history::{Event, Header, Phase, Record};
use squall_protocol::ledger::LedgerEffects;
use squall_protocol::plan::Workload;
use squall_protocol::verdict::{Counts, Property, Verdict, Violation};

use crate::history::History;
use crate::ledger::Ledger;
use crate::mww::online::Reads;
use crate::mww::{MAX_KEYS, count, not_judged, too_large};
use crate::one_copy;

/// A violation that was found while the run went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub property: Property,
    pub violation: Violation,
}

/// Judges a history of the workloads `mww` and `ledger` event by event. Of the others it tells nothing:
/// they are judged as a whole, by [`crate::check`].
#[derive(Clone)]
pub struct Online {
    /// What the properties of the end are judged by: without the rows read before the heal.
    kept: History,
    reads: Reads,
    /// In the workload of that name.
    ledger: Option<Ledger>,
    counts: Counts,
    healed: bool,
    /// The time of the last event.
    end: u64,
    found: u64,
}

impl Online {
    /// Begins with nothing but the header.
    pub fn new(header: &Header) -> Self {
        Online {
            kept: History {
                header: header.clone(),
                records: Vec::new(),
                cut: None,
            },
            reads: Reads::new(header),
            ledger: (header.workload == Workload::Ledger).then(|| Ledger::new(header)),
            counts: Counts::default(),
            healed: false,
            end: 0,
            found: 0,
        }
    }

    /// Takes the next event, and tells the violations of safety that are certain since then. Of a
    /// great number that become certain at once only the first few are told.
    pub fn push(&mut self, record: &Record) -> Vec<Finding> {
        self.end = record.time;
        count(&mut self.counts, &record.event);
        if self.kept.header.keys > MAX_KEYS {
            return Vec::new();
        }
        if let Event::Phase(phase) = record.event {
            self.healed |= phase == Phase::Heal;
        }
        if !self.is_judged() {
            return Vec::new();
        }
        self.reads.push(&record.event);
        self.keep(record);
        let mut found = self.reads.take_found();
        if let Some(ledger) = &mut self.ledger {
            found.extend(ledger.push(&record.event));
        }
        self.found += found.len() as u64;
        found
    }

    /// Whether the workload can be judged along with a run.
    fn is_judged(&self) -> bool {
        matches!(self.kept.header.workload, Workload::Mww | Workload::Ledger)
    }

    /// How many violations have been told so far.
    pub fn violations(&self) -> u64 {
        self.found
    }

    /// The verdict on what has been pushed, as if it were the whole history: the same as that of
    /// [`check`](crate::check), but for the words of explanations.
    pub fn verdict(&self) -> Verdict {
        let counts = self.counts.clone();
        if self.kept.header.keys > MAX_KEYS {
            return too_large(&self.kept.header, counts);
        }
        if !self.is_judged() {
            let workload = self.kept.header.workload.name();
            let why = format!("the workload {workload} is judged as a whole only");
            return not_judged(&self.kept.header, counts, &why);
        }
        self.reads
            .verdict(&self.kept, self.end, counts, |end| {
                let ledger = self.ledger.clone();
                let of_ledger = ledger.map(|ledger| ledger.into_findings(end));
                let mut findings = of_ledger.unwrap_or_default();
                findings.extend(one_copy::judge(&self.kept));
                findings
            })
    }

    fn keep(&mut self, record: &Record) {
        let event = match &record.event {
            Event::Ok {
                client,
                operation,
                reads,
                writes,
                ledger,
                ..
            } => Event::Ok {
                client: client.clone(),
                operation: *operation,
                reads: if self.healed {
                    reads.clone()
                } else {
                    Vec::new()
                },
                writes: writes.clone(),
                // That a row was inserted matters for the upload queue.
                ledger: ledger.as_ref().map(|ledger| LedgerEffects {
                    reads: Vec::new(),
                    seq: ledger.seq,
                }),
                collections: None,
                payload: None,
            },
            Event::Status { client, .. } => {
                // A client that the header does not name exists from its first mention on.
                let mut specs = self.kept.header.clients.iter();
                if !self.healed && specs.any(|spec| spec.name == *client) {
                    return;
                }
                record.event.clone()
            }
            Event::FaultBegin { .. } | Event::FaultEnd { .. } | Event::FaultSkipped { .. } => {
                return;
            }
            event => event.clone(),
        };
        self.kept.records.push(Record {
            time: record.time,
            event,
        });
    }
}
