//! Reads of sets against their causal past, event by event. The definitions are in
//! [`workload::gset`](crate::workload::gset).

mod judge;
mod past;
mod session;

use squall_protocol::transaction::Reads as Asked;
use squall_protocol::verdict::{Property, Violation};

use super::collections::Read;
use super::judge::Judge;
use crate::findings::{Report, explain};
use crate::log::known::Known;
use crate::log::operations::{FINAL_READ, OperationLog, Update};
use crate::log::trace::OperationIndex;
use past::Past;
use session::{Session, Shown, Waits};

/// Judges sets event by event.
#[derive(Clone)]
pub(crate) struct Sets {
    /// For each operation the number of its first element: each element has a number.
    elements: Vec<u32>,
    element_count: u32,
    /// In parallel to those of the log.
    sessions: Vec<Session>,
    report: Report,
    /// Reads that recorded no sets.
    without: u64,
}

impl Sets {
    pub fn new() -> Self {
        Sets {
            elements: Vec::new(),
            element_count: 0,
            sessions: Vec::new(),
            report: Report::new(
                Property::OF_READS
                    .into_iter()
                    .chain([Property::CausalConsistency]),
            ),
            without: 0,
        }
    }

    /// Judges what can be judged of a session, and of those that waited for it.
    fn advance(&mut self, log: &OperationLog, session: usize) {
        let mut ready = vec![session];
        while let Some(session) = ready.pop() {
            let mut judged = false;
            loop {
                let waits = self.waits(log, session);
                self.sessions[session].waits = waits;
                if waits.is_some() && !self.waits_for_itself(log, session) {
                    break;
                }
                self.sessions[session].waits = None;
                let Some(read) = self.sessions[session].open.pop_front() else {
                    break;
                };
                self.resolve(log, &read);
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
    fn waits(&self, log: &OperationLog, session: usize) -> Option<Waits> {
        let read = self.sessions[session].open.front()?;
        if let Some(operation) = read.pending(log) {
            return Some(Waits::ForOperation(operation));
        }
        if let Some(sibling) = self.open_sibling(log, read) {
            return Some(Waits::ForSession(sibling));
        }
        let mut writers = read.writers(log);
        writers.find_map(|writer| {
            let session = log.operations[writer as usize].session;
            let waits = session != read.session && self.is_open(log, writer);
            waits.then_some(Waits::ForSession(session))
        })
    }

    /// A sibling with a read that is before this one in their session and is not judged.
    fn open_sibling(&self, log: &OperationLog, read: &Read) -> Option<usize> {
        log.late_sibling(read.session, read.began, |sibling, last| {
            self.sessions[sibling].is_judged_up_to(last)
        })
    }

    /// Whether what a transaction of another session had seen is not known yet.
    fn is_open(&self, log: &OperationLog, writer: OperationIndex) -> bool {
        let of = &log.operations[writer as usize];
        !self.sessions[of.session].is_judged_up_to(of.order)
    }

    /// Whether sessions wait for each other in a cycle that the session is in.
    fn waits_for_itself(&self, log: &OperationLog, session: usize) -> bool {
        let mut at = session;
        for _ in &self.sessions {
            // Not what it waited for when it was looked at last: that may be there by now.
            match self.waits(log, at) {
                Some(Waits::ForSession(next)) if next == session => return true,
                Some(Waits::ForSession(next)) => at = next,
                _ => return false,
            }
        }
        false
    }

    /// Finds the causal past of a read, and judges it.
    fn resolve(&mut self, log: &OperationLog, read: &Read) {
        if read.collections.is_none() && read.asked != Asked::Nothing {
            self.without += 1;
        }
        let sources = read.sources(log, &mut self.report);
        let shown = Shown::new(log, &sources);
        let past = self.past(log, read, &shown);
        if read.collections.is_some() {
            self.judge(log, read, sources, &shown, &past);
        }
        self.sessions[read.session].judged(read, past);
    }

    /// The causal past of a read that shows these.
    fn past(&mut self, log: &OperationLog, read: &Read, shown: &Shown) -> Past {
        let mut past = self.sessions[read.session].past.clone();
        if let Some(sibling) = self.open_sibling(log, read) {
            self.report
                .violate(Property::CausalConsistency, read.completed, || {
                    let earlier = &self.sessions[sibling].open[0];
                    before_itself(log, read, earlier)
                });
        }
        self.add_siblings(log, &mut past, read.session, read.began);
        for writer in shown.latest.iter().copied().flatten() {
            let of = &log.operations[writer as usize];
            if of.session == read.session {
                // What comes before is there, and what overlaps is not judged: see `mww`.
                continue;
            }
            if self.is_open(log, writer) {
                self.report
                    .violate(Property::CausalConsistency, read.completed, || {
                        in_a_cycle(log, read, writer)
                    });
            } else if let Some(before) = self.sessions[of.session].past_at(of.order) {
                past.join(before);
            }
            let committed = of.committed();
            past.raise(of.session, of.order + usize::from(committed));
            if !committed {
                // It has not told its own past.
                self.add_siblings(log, &mut past, of.session, of.began);
            }
        }
        let unknown = |writer: &OperationIndex| !log.operations[*writer as usize].committed();
        past.add_unknown(shown.all.iter().copied().filter(unknown));
        if read.operation != FINAL_READ {
            past.limit(read.session, read.completed);
        }
        past
    }

    /// Adds what the siblings of a session had ended before that place, and its past.
    fn add_siblings(&self, log: &OperationLog, past: &mut Past, session: usize, began: usize) {
        let Some(last) = began.checked_sub(1) else {
            return;
        };
        for sibling in log.siblings(session) {
            if let Some(before) = self.sessions[sibling].past_at(last) {
                past.join(before);
            }
            past.raise(sibling, began);
        }
    }
}

impl Judge for Sets {
    fn take(&mut self, known: Known, update: &Update) {
        let log = known.log;
        self.sessions.resize_with(log.sessions(), Session::default);
        for operation in &log.operations[self.elements.len()..] {
            self.elements.push(self.element_count);
            self.element_count += operation.written.len() as u32;
        }
        // Before anything that waited for its end is judged: what it added is part of what is expected.
        if let Some(ended) = update.ended {
            let operation = &log.operations[ended as usize];
            if operation.committed() {
                self.sessions[operation.session].added(operation, ended);
            }
        }
        if let Some(read) = &update.read {
            let session = read.session;
            self.sessions[session].open.push_back(Read::new(read));
            self.advance(log, session);
        }
        if let Some(ended) = update.ended {
            self.advance(log, log.operations[ended as usize].session);
            for session in 0..self.sessions.len() {
                if self.sessions[session].waits == Some(Waits::ForOperation(ended)) {
                    self.advance(log, session);
                }
            }
        }
    }

    fn settle(&mut self, known: Known) {
        for session in 0..self.sessions.len() {
            self.advance(known.log, session);
        }
        if self.without > 0 {
            let doubt = format!("{} reads have recorded no sets", self.without);
            self.report.of(Property::NoThinAirRead).doubt(doubt);
        }
    }

    fn report(&mut self) -> &mut Report {
        &mut self.report
    }
}

/// A read of a tab that began when another tab's had ended, and that this in turn comes after.
fn before_itself(log: &OperationLog, read: &Read, earlier: &Read) -> Violation {
    let (reader, earlier) = (read.step(log), earlier.step(log));
    Violation {
        summary: format!(
            "{} began {} after {} of {}, a tab on the same database, had ended, and yet that shows what comes \
             after it: each is in the other's causal past (circular information flow, G1c).",
            reader.client,
            explain::place(&reader),
            explain::place(&earlier),
            earlier.client,
        ),
        operations: [reader.operation, earlier.operation]
            .into_iter()
            .flatten()
            .collect(),
        evidence: Vec::new(),
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
