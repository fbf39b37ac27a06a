//! Reads of sets against their causal past, event by event. The definitions are in
//! [`workload::gset`](crate::workload::gset).

mod judge;
mod past;
mod session;

use squall_protocol::history::{Event, Header};
use squall_protocol::transaction::Reads as Asked;
use squall_protocol::verdict::{Property, Violation};

use super::collections::Read;
use super::storage_intact;
use crate::findings::{Finding, Findings, Report, explain};
use crate::log::operations::{FINAL_READ, OperationLog, Update};
use crate::log::trace::OperationIndex;
use past::Past;
use session::{Session, Waits};

/// Judges sets event by event.
#[derive(Clone)]
pub(crate) struct Sets {
    log: OperationLog,
    /// For each operation the number of its first element: each element has a number.
    elements: Vec<u32>,
    element_count: u32,
    /// In parallel to those of the log.
    sessions: Vec<Session>,
    report: Report,
    /// Reads that recorded no sets.
    without: u64,
    /// Whether nothing will end any more.
    settled: bool,
}

impl Sets {
    pub fn new(header: &Header) -> Self {
        Sets {
            log: OperationLog::new(header),
            elements: Vec::new(),
            element_count: 0,
            sessions: Vec::new(),
            report: Report::new(
                Property::OF_READS
                    .into_iter()
                    .chain([Property::CausalConsistency]),
            ),
            without: 0,
            settled: false,
        }
    }

    /// Takes the next event, and tells the violations that are certain since then.
    pub fn push(&mut self, event: &Event) -> Vec<Finding> {
        let Update {
            ended,
            read,
            lost_database,
            ..
        } = self.log.push(event);
        self.sessions
            .resize_with(self.log.sessions(), Session::default);
        for operation in &self.log.operations[self.elements.len()..] {
            self.elements.push(self.element_count);
            self.element_count += operation.written.len() as u32;
        }
        if let Some(violation) = storage_intact::found(event, lost_database) {
            self.report.report(Property::StorageIntact, violation);
        }
        // Before anything that waited for its end is judged: what it added is part of what is expected.
        if let Some(ended) = ended {
            let operation = &self.log.operations[ended as usize];
            if operation.committed() {
                self.sessions[operation.session].added(operation, ended);
            }
        }
        if let Some(read) = read {
            let session = read.session;
            self.sessions[session].open.push_back(Read::new(read));
            self.advance(session);
        }
        if let Some(ended) = ended {
            self.advance(self.log.operations[ended as usize].session);
            for session in 0..self.sessions.len() {
                if self.sessions[session].waits == Some(Waits::ForOperation(ended)) {
                    self.advance(session);
                }
            }
        }
        self.report.take()
    }

    /// What was found in all, as if what has been pushed were the whole history: the properties of reads, then
    /// causal consistency.
    pub fn into_findings(mut self) -> Vec<Findings> {
        self.settled = true;
        for session in 0..self.sessions.len() {
            self.advance(session);
        }
        if self.without > 0 {
            let doubt = format!("{} reads have recorded no sets", self.without);
            self.report.of(Property::NoThinAirRead).doubt(doubt);
        }
        self.report.into_findings()
    }

    /// Judges what can be judged of a session, and of those that waited for it.
    fn advance(&mut self, session: usize) {
        let mut ready = vec![session];
        while let Some(session) = ready.pop() {
            let mut judged = false;
            loop {
                let waits = self.waits(session);
                self.sessions[session].waits = waits;
                if waits.is_some() && !self.waits_for_itself(session) {
                    break;
                }
                self.sessions[session].waits = None;
                let Some(read) = self.sessions[session].open.pop_front() else {
                    break;
                };
                self.resolve(&read);
                judged = true;
            }
            if judged {
                let waiting = |session: &Session| session.waits;
                let sessions = self.sessions.iter().map(waiting).enumerate();
                let waiting = sessions.filter(|(_, w)| *w == Some(Waits::ForSession(session)));
                ready.extend(waiting.map(|(waiting, _)| waiting));
            }
        }
    }

    /// What keeps a session's first open read from being judged.
    fn waits(&self, session: usize) -> Option<Waits> {
        let read = self.sessions[session].open.front()?;
        if !self.settled
            && let Some(operation) = read.pending(&self.log)
        {
            return Some(Waits::ForOperation(operation));
        }
        let mut writers = read.writers(&self.log);
        writers.find_map(|writer| {
            let session = self.log.operations[writer as usize].session;
            let waits = session != read.session && self.is_open(writer);
            waits.then_some(Waits::ForSession(session))
        })
    }

    /// Whether what a transaction of another session had seen is not known yet.
    fn is_open(&self, writer: OperationIndex) -> bool {
        let of = &self.log.operations[writer as usize];
        !self.sessions[of.session].is_judged_up_to(of.order)
    }

    /// Whether sessions wait for each other in a cycle that the session is in.
    fn waits_for_itself(&self, session: usize) -> bool {
        let mut at = session;
        for _ in &self.sessions {
            // Not what it waited for when it was looked at last: that may be there by now.
            match self.waits(at) {
                Some(Waits::ForSession(next)) if next == session => return true,
                Some(Waits::ForSession(next)) => at = next,
                _ => return false,
            }
        }
        false
    }

    /// Finds the causal past of a read, and judges it.
    fn resolve(&mut self, read: &Read) {
        if read.collections.is_none() && read.asked != Asked::Nothing {
            self.without += 1;
        }
        let sources = read.sources(&self.log, &mut self.report);
        let mut shown: Vec<OperationIndex> = sources.iter().map(|(_, writer)| *writer).collect();
        shown.sort_unstable();
        shown.dedup();
        // Of each session the latest that is shown.
        let mut latest: Vec<Option<OperationIndex>> = vec![None; self.sessions.len()];
        for writer in &shown {
            let latest = &mut latest[self.log.operations[*writer as usize].session];
            if latest.is_none_or(|latest| self.log.order(latest) < self.log.order(*writer)) {
                *latest = Some(*writer);
            }
        }
        let past = self.past(read, &shown, &latest);
        if read.collections.is_some() {
            self.judge(read, sources, &shown, &latest, &past);
        }
        self.sessions[read.session].judged(read, past);
    }

    /// The causal past of a read that shows these.
    fn past(
        &mut self,
        read: &Read,
        shown: &[OperationIndex],
        latest: &[Option<OperationIndex>],
    ) -> Past {
        let mut past = self.sessions[read.session].past.clone();
        for writer in latest.iter().copied().flatten() {
            let of = &self.log.operations[writer as usize];
            if of.session == read.session {
                // What comes before is there, and what overlaps is not judged: see `mww`.
                continue;
            }
            if self.is_open(writer) {
                self.report
                    .violate(Property::CausalConsistency, read.completed, || {
                        in_a_cycle(&self.log, read, writer)
                    });
            } else if let Some(before) = self.sessions[of.session].past_at(of.order) {
                past.join(before);
            }
            let committed = of.committed();
            past.raise(of.session, of.order + usize::from(committed));
        }
        let unknown = |writer: &OperationIndex| !self.log.operations[*writer as usize].committed();
        past.add_unknown(shown.iter().copied().filter(unknown));
        if read.operation != FINAL_READ {
            past.limit(read.session, read.completed);
        }
        past
    }
}

/// A read from a transaction that has, in turn, read from it.
fn in_a_cycle(log: &OperationLog, read: &Read, writer: OperationIndex) -> Violation {
    let reader = read.step(log);
    let writer = log.operation_step(writer);
    let operations = [reader.operation, writer.operation];
    Violation {
        summary: format!(
            "{} read in {} what {} wrote in {}, and that in turn comes after it: each is in the \
             other's causal past (circular information flow, G1c).",
            reader.client,
            explain::place(&reader),
            writer.client,
            explain::place(&writer)
        ),
        operations: operations.into_iter().flatten().collect(),
        evidence: Vec::new(),
    }
}
