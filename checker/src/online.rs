//! The same rules along with a run: events in, violations out as soon as nothing can excuse them.
//!
//! # What is told when
//!
//! A finding is never taken back. So a read is judged once everything that could excuse it is known;
//! when that is, is written at the top of the modules that judge reads. [`Online::verdict`] takes what
//! has been pushed for the whole history: what has not ended is unknown, and nothing waits any more.
//! Convergence and recovery, which are properties of an end, are judged only there.
//!
//! # What takes an order of everything
//!
//! Strict serializability, and the causal consistency of lists, search for an order of all transactions.
//! They are re-evaluated whenever the history has grown by an eighth: in all this takes some nine times as
//! long as once at the end, and a violation is told when at most an eighth has followed it. A history that
//! has such an order has one after each of its events too, as far as what has ended by then goes: how
//! an operation that is under way ends is not known (it may fail, or leave out rows), so it is left out, and
//! nothing is judged while something that was read may be its work. So this is not taken back either
//! (unless the history then breaks the rules, and writes a value twice); only the first violation of each is
//! told.
//!
//! # Memory
//!
//! Of most reads nothing is kept; what the judges do keep is written at the top of their modules
//! ([`crate::workload::ledger`] for the ledger, [`crate::workload::gset`] and [`crate::workload::list_append`] for collections). Besides,
//! everything from the heal on is kept, for the properties of the end, and of what came before who did
//! what, without what was read; of lists the last elements. Where there is one copy of the data everything
//! is kept but the ledger and the payload.

use squall_protocol::history::{Event, Header, Phase, Record};
use squall_protocol::ledger::LedgerEffects;
use squall_protocol::plan::Workload;
use squall_protocol::transaction::{Collections, Effects};
use squall_protocol::verdict::{Counts, Property, Verdict};

use crate::log::history::History;
use crate::log::index::Index;
use crate::log::transactions;
use crate::rules::lists::Lists;
use crate::rules::strict_serializability;
use crate::workload::conclude::{MAX_KEYS, too_large};
use crate::workload::counts::count;
use crate::workload::judges::Judges;

pub use crate::findings::Finding;

/// Judges a history event by event.
#[derive(Clone)]
pub struct Online {
    /// What the properties of the end are judged by, and those that take an order of everything.
    kept: History,
    judges: Judges,
    /// Whether everything that was read is kept.
    keeps_reads: bool,
    reevaluation: Reevaluation,
    counts: Counts,
    healed: bool,
    /// The time of the last event.
    end: u64,
    found: u64,
}

/// When to re-evaluate what takes an order of everything.
#[derive(Clone, Default)]
struct Reevaluation {
    /// Once there are so many records.
    next: usize,
    /// The properties of which a violation was reported.
    reported: Vec<Property>,
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
            judges: Judges::new(header),
            keeps_reads: strict_serializability::applies(header),
            reevaluation: Reevaluation::default(),
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
            self.healed |= phase >= Phase::Heal;
        }
        self.keep(record);
        let mut found = self.judges.push(&record.event, None);
        found.extend(self.reevaluate());
        self.found += found.len() as u64;
        found
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
        let mut index = Index::new(&self.kept);
        index.end = self.end;
        let mut judges = self.judges.clone();
        judges.settle(None);
        judges.verdict(index, &self.kept, counts)
    }

    /// Re-evaluates what takes an order of everything, if the history has grown enough.
    fn reevaluate(&mut self) -> Vec<Finding> {
        /// So much more at least.
        const STEP: usize = 16;
        let length = self.kept.records.len();
        let reported = |property| self.reevaluation.reported.contains(&property);
        let single_copy = self.keeps_reads && !reported(Property::StrictSerializability);
        let lists = self.judges.lists();
        let wait = lists.is_some_and(|(lists, _)| lists.wait());
        let lists = lists.filter(|_| !reported(Property::CausalConsistency));
        if length < self.reevaluation.next || wait || !(single_copy || lists.is_some()) {
            return Vec::new();
        }
        let rows = single_copy.then(|| transactions::recording(&self.kept).of_what_ended());
        let registers = lists.map(|(lists, log)| {
            let recording = lists.as_registers(log, transactions::recording(&self.kept));
            recording.of_what_ended()
        });
        if matches!(rows, Some(None)) || matches!(registers, Some(None)) {
            // How what is under way ends decides, which is soon; looking at every event would be dear.
            self.reevaluation.next = length + length / 64 + STEP;
            return Vec::new();
        }
        self.reevaluation.next = length + length / 8 + STEP;
        let mut found: Vec<Finding> = Vec::new();
        if let Some(recording) = rows.flatten() {
            found.extend(strict_serializability::judge(&recording, length).first());
        }
        if let Some(recording) = registers.flatten() {
            found.extend(Lists::causal(&recording, length).first());
        }
        let properties = found.iter().map(|finding| finding.property);
        self.reevaluation.reported.extend(properties);
        found
    }

    fn keep(&mut self, record: &Record) {
        let all = self.healed || self.keeps_reads;
        let event = match &record.event {
            Event::Ok {
                client,
                operation,
                effects,
            } => Event::Ok {
                client: client.clone(),
                operation: *operation,
                effects: Effects {
                    reads: if all {
                        effects.reads.clone()
                    } else {
                        Vec::new()
                    },
                    writes: effects.writes.clone(),
                    // That a row was inserted matters for the upload queue.
                    ledger: effects.ledger.as_ref().map(|ledger| LedgerEffects {
                        reads: Vec::new(),
                        seq: ledger.seq,
                    }),
                    collections: match self.kept.header.workload {
                        _ if all => effects.collections.clone(),
                        Workload::ListAppend => effects.collections.as_ref().map(last_elements),
                        _ => None,
                    },
                    payload: None,
                },
            },
            Event::Status { client, .. } => {
                // A client that the header does not name exists from its first mention on.
                let mut specs = self.kept.header.clients.iter();
                if !self.healed && specs.any(|spec| spec.name == *client) {
                    return;
                }
                record.event.clone()
            }
            Event::FaultBegin { .. }
            | Event::FaultEnd { .. }
            | Event::FaultSkipped { .. }
            | Event::FaultGivenUp { .. } => {
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

/// Of each list its last element.
fn last_elements(lists: &Collections) -> Collections {
    let last = |text: &String| match text.rsplit(' ').next() {
        // What is garbled stays garbled.
        Some("") if !text.is_empty() => " ".to_owned(),
        last => last.unwrap_or_default().to_owned(),
    };
    lists.iter().map(|(key, text)| (*key, last(text))).collect()
}
