//! The judges of a workload, event by event.

use squall_protocol::history::{Event, Header};
use squall_protocol::plan::Workload;
use squall_protocol::verdict::{Counts, Verdict};

use super::ledger::Ledger;
use super::{counter, gset, list_append, mww};
use crate::findings::Finding;
use crate::log::history::History;
use crate::log::index::Index;
use crate::log::known::Known;
use crate::log::operations::OperationLog;
use crate::rules::counters::Counters;
use crate::rules::judge::Judge;
use crate::rules::lists::Lists;
use crate::rules::reads::Reads;
use crate::rules::sets::Sets;
use crate::rules::{malformed, storage_intact, strict_serializability};

/// The judges of a workload, and the log that they go along with.
#[derive(Clone)]
pub(crate) struct Judges {
    log: OperationLog,
    of_reads: OfReads,
    ledger: Option<Box<Ledger>>,
}

/// Who judges what is read.
#[derive(Clone)]
enum OfReads {
    Rows(Box<Reads>),
    Lists(Box<Lists>),
    Sets(Box<Sets>),
    Counters(Box<Counters>),
}

impl OfReads {
    fn judge(&mut self) -> &mut dyn Judge {
        match self {
            OfReads::Rows(judge) => &mut **judge,
            OfReads::Lists(judge) => &mut **judge,
            OfReads::Sets(judge) => &mut **judge,
            OfReads::Counters(judge) => &mut **judge,
        }
    }

    /// Only who judges rows looks ahead: lists, sets and counters are told of by what was known when they were
    /// read.
    fn known<'k>(&self, log: &'k OperationLog, whole: Option<&'k Index>) -> Known<'k> {
        match (self, whole) {
            (OfReads::Rows(_), Some(index)) => Known::all(index),
            _ => Known::so_far(log),
        }
    }
}

impl Judges {
    pub fn new(header: &Header) -> Self {
        let is_ledger = header.workload == Workload::Ledger;
        Judges {
            log: OperationLog::new(header),
            of_reads: match header.workload {
                Workload::Mww | Workload::Ledger => OfReads::Rows(Box::new(Reads::new())),
                Workload::ListAppend => OfReads::Lists(Box::new(Lists::new())),
                Workload::Gset => OfReads::Sets(Box::new(Sets::new())),
                Workload::Counter => OfReads::Counters(Box::new(Counters::new())),
            },
            ledger: is_ledger.then(|| Box::new(Ledger::new(header))),
        }
    }

    /// Takes the next event, and tells the violations that are certain since then; those of reads only along with
    /// a run. `whole` is the index of the whole history, if there is one.
    pub fn push(&mut self, event: &Event, whole: Option<&Index>) -> Vec<Finding> {
        let update = self.log.push(event);
        let stored = storage_intact::found(event, update.lost_database.as_deref());
        let mut found: Vec<Finding> = stored.into_iter().chain(malformed::found(event)).collect();
        let known = self.of_reads.known(&self.log, whole);
        let judge = self.of_reads.judge();
        judge.take(known, &update);
        if whole.is_none() {
            found.extend(judge.report().take());
        }
        if let Some(ledger) = &mut self.ledger {
            found.extend(ledger.push(&self.log, &update));
        }
        found
    }

    /// Takes what was pushed for everything: nothing will end any more.
    pub fn settle(&mut self, whole: Option<&Index>) {
        let settled = self.log.settle();
        let known = self.of_reads.known(&self.log, whole);
        self.of_reads.judge().settle(known);
        if let Some(ledger) = &mut self.ledger {
            ledger.settle(&self.log, settled);
        }
    }

    /// Who judges lists, and the log.
    pub fn lists(&self) -> Option<(&Lists, &OperationLog)> {
        match &self.of_reads {
            OfReads::Lists(lists) => Some((lists, &self.log)),
            _ => None,
        }
    }

    /// The verdict on what has been pushed and settled. `kept` is that history, and `index` its index; of what
    /// was read before the heal they may tell nothing.
    pub fn verdict(self, mut index: Index, kept: &History, counts: Counts) -> Verdict {
        let Judges {
            log,
            mut of_reads,
            ledger,
        } = self;
        index.key_count = index.key_count.max(log.key_count() as usize);
        let found = of_reads.judge().report().take_findings();
        match of_reads {
            OfReads::Rows(_) => mww::verdict(found, index, counts, |end| {
                let ledger = ledger.map(|ledger| ledger.into_findings(&log, end));
                let mut findings = ledger.unwrap_or_default();
                findings.extend(strict_serializability::judge_whole(kept));
                findings
            }),
            OfReads::Lists(lists) => list_append::verdict(found, &lists, index, kept, counts),
            OfReads::Sets(_) => gset::verdict(found, index, kept, counts),
            OfReads::Counters(_) => counter::verdict(found, index, counts),
        }
    }
}
