//! The judges of a workload, event by event.

use squall_protocol::history::{Event, Header};
use squall_protocol::plan::Workload;
use squall_protocol::verdict::{Counts, Verdict};

use super::ledger::Ledger;
use super::{counter, gset, list_append, mww};
use crate::findings::Finding;
use crate::log::history::History;
use crate::log::index::Index;
use crate::rules::counters::Counters;
use crate::rules::lists::Lists;
use crate::rules::reads::Reads;
use crate::rules::sets::Sets;
use crate::rules::strict_serializability;

/// The judges of a workload.
#[derive(Clone)]
pub(crate) enum Judges {
    Rows(Box<Reads>, Option<Box<Ledger>>),
    Lists(Box<Lists>),
    Sets(Box<Sets>),
    Counters(Box<Counters>),
}

impl Judges {
    pub fn new(header: &Header) -> Self {
        match header.workload {
            Workload::Mww => Judges::Rows(Box::new(Reads::new(header)), None),
            Workload::Ledger => Judges::Rows(
                Box::new(Reads::new(header)),
                Some(Box::new(Ledger::new(header))),
            ),
            Workload::ListAppend => Judges::Lists(Box::new(Lists::new(header))),
            Workload::Gset => Judges::Sets(Box::new(Sets::new(header))),
            Workload::Counter => Judges::Counters(Box::new(Counters::new(header))),
        }
    }

    pub fn push(&mut self, event: &Event) -> Vec<Finding> {
        match self {
            Judges::Rows(reads, ledger) => {
                let update = reads.push(event);
                let mut found = reads.take_found();
                if let Some(ledger) = ledger {
                    found.extend(ledger.push(&reads.log, event, &update));
                }
                found
            }
            Judges::Lists(lists) => lists.push(event),
            Judges::Sets(sets) => sets.push(event),
            Judges::Counters(counters) => counters.push(event),
        }
    }

    /// Whether a list that was read waits for the end of who appended to it.
    pub fn wait(&self) -> bool {
        matches!(self, Judges::Lists(lists) if lists.wait())
    }

    /// The verdict on what has been pushed, as if it were the whole history. `kept` is that history, and `index`
    /// its index; of what was read before the heal they may tell nothing.
    pub fn verdict(self, index: Index, kept: &History, counts: Counts) -> Verdict {
        match self {
            Judges::Rows(reads, ledger) => mww::verdict(*reads, index, counts, |end, log| {
                let ledger = ledger.map(|ledger| ledger.into_findings(log, end));
                let mut findings = ledger.unwrap_or_default();
                findings.extend(strict_serializability::judge_whole(kept));
                findings
            }),
            Judges::Lists(lists) => list_append::verdict(*lists, index, kept, counts),
            Judges::Sets(sets) => gset::verdict(*sets, index, kept, counts),
            Judges::Counters(counters) => counter::verdict(*counters, index, counts),
        }
    }
}
