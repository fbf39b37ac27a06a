//! The workload `gset`, sets to which elements are only added: definitions first.
//!
//! # The history
//!
//! A transaction reads some sets whole, then adds its value, unique in the history, to some sets. So an
//! *element*, a value in a set, names the one transaction that added it, and is never removed. Sessions
//! and operations that ended in `info` are as in [`mww`](crate::mww).
//!
//! # The properties of reads
//!
//! A read has to hold every element, of the sets that it was to read, that is in its *causal past*: that
//! can be reached from it along session order and reads-from, backwards. An element that is missing
//! breaks one property, the first of these that fits:
//!
//! | property | the element was … |
//! | --- | --- |
//! | read your writes | added by the session itself before |
//! | monotonic reads | read by the session before |
//! | atomic visibility | added by a transaction of which the same read shows another element |
//! | monotonic writes | added by a session of which the same read shows a later transaction |
//! | writes follow reads | read by a session before or in a transaction that the same read shows |
//! | causal consistency | further back in the past |
//!
//! A transaction whose answer was lost has added all its elements or none: if one was read, all count.
//!
//! *No thin-air read*: every element was added to that set by a transaction that did not fail and was
//! invoked before the read ended; no set holds one twice.
//!
//! # The properties of the end
//!
//! *Strong convergence*: all final reads of those who share their data hold the same elements.
//! *Durability*: every element that a recovered client's transaction has added is in all of them. A client
//! has *recovered* when it reads every probe's elements. The others are as in `mww`.
//!
//! # Along with a run
//!
//! There is one judge, event by event; a whole history is judged just so. A read is judged once every
//! transaction that it shows has ended, and once the reads of its causal past are judged: then its past
//! is known whole, and no finding is ever taken back. What has not ended when a verdict is asked for may
//! have happened. Where reads wait for each other in a circle each is in the other's past (circular
//! information flow, Adya's G1c): a violation of causal consistency. The properties of the end, and
//! strict serializability (see [`one_copy`](crate::one_copy)), are decided at the end.
//!
//! # Cost
//!
//! Time is linear in the elements read, plus, for each read, the sessions times the sessions and, if it
//! was of some sets only, those sets times the sessions; where elements are missing, also in the elements
//! that had to be there. Reads are forgotten when they are judged. With *n* transactions, *e* elements and
//! *s* sessions, memory is O(n · s) for the causal pasts and O(e · s) for who has read what, four bytes
//! each at most.

mod judge;
mod past;
mod session;

use squall_protocol::history::{Event, Header};
use squall_protocol::transaction::Reads as Asked;
use squall_protocol::verdict::{Counts, Property, Verdict, Violation};

use crate::book::{Book, FINAL_READ, News, OperationIndex};
use crate::collections::Read;
use crate::collections::end::{self, InCollections};
use crate::evidence::Told;
use crate::history::History;
use crate::mww::index::Index;
use crate::mww::{self, MAX_KEYS, explain};
use crate::one_copy;
use crate::online::Finding;
use past::Past;
use session::Session;

/// Judges a history of the workload `gset`.
pub fn check(history: &History) -> Verdict {
    let counts = mww::counts(history);
    if history.header.keys > MAX_KEYS {
        return mww::too_large(&history.header, counts);
    }
    let mut sets = Sets::new(&history.header);
    for record in &history.records {
        sets.push(&record.event);
    }
    sets.verdict(Index::new(history), history, counts)
}

/// Judges sets event by event.
#[derive(Clone)]
pub(crate) struct Sets {
    book: Book,
    /// For each operation the number of its first element: each element has a number.
    elements: Vec<u32>,
    element_count: u32,
    /// In parallel to those of the book.
    sessions: Vec<Session>,
    told: Told,
    /// Reads that recorded no sets.
    without: u64,
    /// Whether nothing will end any more.
    settled: bool,
}

/// Why a read is not judged yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// For an operation that it shows to end.
    ForOperation(OperationIndex),
    /// For the reads of a session that it shows.
    ForSession(usize),
}

impl Sets {
    pub fn new(header: &Header) -> Self {
        Sets {
            book: Book::new(header),
            elements: Vec::new(),
            element_count: 0,
            sessions: Vec::new(),
            told: Told::new(
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
        let News {
            ended,
            read,
            broken,
        } = self.book.push(event);
        self.sessions
            .resize_with(self.book.sessions(), Session::default);
        for operation in &self.book.operations[self.elements.len()..] {
            self.elements.push(self.element_count);
            self.element_count += operation.written.len() as u32;
        }
        if let Some(violation) = broken {
            self.told.tell(Property::StorageIntact, violation);
        }
        // Before anything that waited for its end is judged: what it added is part of what is expected.
        if let Some(ended) = ended {
            let operation = &self.book.operations[ended as usize];
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
            self.advance(self.book.operations[ended as usize].session);
            for session in 0..self.sessions.len() {
                if self.sessions[session].waits == Some(Waits::ForOperation(ended)) {
                    self.advance(session);
                }
            }
        }
        self.told.take()
    }

    /// The verdict on what has been pushed, as if it were the whole history. `kept` is that history, and
    /// `index` its index; of the reads before the heal they may tell nothing.
    pub fn verdict(mut self, index: Index, kept: &History, counts: Counts) -> Verdict {
        self.settled = true;
        for session in 0..self.sessions.len() {
            self.advance(session);
        }
        if self.without > 0 {
            let doubt = format!("{} reads have recorded no sets", self.without);
            self.told.of(Property::NoThinAirRead).doubt(doubt);
        }
        let mut findings = self.told.into_findings();
        let causal = findings.pop();
        let (recovery, of_end) = end::judge(&index, &mut InCollections::of_sets(&index));
        let (convergence, durability) = end::same_elements(&index, &recovery, |_, _| false);
        findings.push(convergence);
        findings.extend(of_end);
        findings.extend(causal);
        findings.push(durability);
        findings.extend(one_copy::judge_whole(kept));
        mww::conclude(index, findings, counts)
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
            && let Some(operation) = read.pending(&self.book)
        {
            return Some(Waits::ForOperation(operation));
        }
        let mut writers = read.writers(&self.book);
        writers.find_map(|writer| {
            let session = self.book.operations[writer as usize].session;
            let waits = session != read.session && self.is_open(writer);
            waits.then_some(Waits::ForSession(session))
        })
    }

    /// Whether what a transaction of another session had seen is not known yet.
    fn is_open(&self, writer: OperationIndex) -> bool {
        let of = &self.book.operations[writer as usize];
        !self.sessions[of.session].is_judged_up_to(of.order)
    }

    /// Whether sessions wait for each other in a circle that the session is in.
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
        let sources = read.sources(&self.book, &mut self.told);
        let mut shown: Vec<OperationIndex> = sources.iter().map(|(_, writer)| *writer).collect();
        shown.sort_unstable();
        shown.dedup();
        // Of each session the latest that is shown.
        let mut latest: Vec<Option<OperationIndex>> = vec![None; self.sessions.len()];
        for writer in &shown {
            let latest = &mut latest[self.book.operations[*writer as usize].session];
            if latest.is_none_or(|latest| self.book.order(latest) < self.book.order(*writer)) {
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
            let of = &self.book.operations[writer as usize];
            if of.session == read.session {
                // What comes before is there, and what overlaps is not judged: see `mww`.
                continue;
            }
            if self.is_open(writer) {
                self.told
                    .violate(Property::CausalConsistency, read.completed, || {
                        in_a_circle(&self.book, read, writer)
                    });
            } else if let Some(before) = self.sessions[of.session].past_at(of.order) {
                past.join(before);
            }
            let committed = of.committed();
            past.raise(of.session, of.order + usize::from(committed));
        }
        let unknown = |writer: &OperationIndex| !self.book.operations[*writer as usize].committed();
        past.add_unknown(shown.iter().copied().filter(unknown));
        if read.operation != FINAL_READ {
            past.limit(read.session, read.completed);
        }
        past
    }
}

/// A read from a transaction that has, in turn, read from it.
fn in_a_circle(book: &Book, read: &Read, writer: OperationIndex) -> Violation {
    let reader = read.step(book);
    let writer = book.operation_step(writer);
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
