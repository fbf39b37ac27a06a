//! The properties of reads of rows, event by event, each in a file of its own. What a run is told of them is in
//! [`crate::online`].
//!
//! # When a read is judged
//!
//! - Once every operation whose value it returned has ended (one that fails makes the value an aborted
//!   read, and the row is then not held against any other guarantee), and likewise for every operation
//!   before it in its session, those of siblings too. What has not ended comes after it. The read is then *resolved*:
//!   no-thin-air-read, read your writes, monotonic reads and atomic visibility are decided;
//! - once every session of which it shows a transaction is resolved up to that transaction. Then
//!   monotonic writes and writes follow reads are decided.
//!
//! Reading a value of an operation that is still under way is thus fine, and waits. An operation that
//! ended in `info` and was read is certain in the rows in which it was read; when another of its rows
//! is read later, the reads that lacked that row are found then.
//!
//! Of a whole history all ends are known beforehand, so no read waits to be resolved.
//!
//! # Memory
//!
//! A read's rows are dropped when it is judged. What stays, with *n* operations, *w* rows written,
//! *s* sessions and *k* rows: O(n) for who invoked what; O(w) for who wrote each value; for each
//! session, and row, the values that it wrote and those of others that it read, as far as they grew:
//! O(s · k) at least and O(s · w) at most, 16 bytes each. Old versions can not be forgotten: a read
//! may return one at any time, and naming the guarantee that this breaks takes knowing who had seen
//! what by then. For an operation that ended in `info` a counter per row and a few explanations stay.

mod atomic_visibility;
mod monotonic_reads;
mod monotonic_writes;
mod no_thin_air_read;
mod read_your_writes;
mod session;
mod writes_follow_reads;

use std::collections::HashMap;

use squall_protocol::verdict::Property;

use super::judge::Judge;
use crate::findings::Report;
use crate::log::known::Known;
use crate::log::operations::{OperationLog, Update};
use crate::log::trace::{OperationIndex, Source};
use atomic_visibility::AtomicVisibility;
use session::{Before, Read, Session, Unjudged};

/// Judges reads of rows event by event.
#[derive(Clone)]
pub(crate) struct Reads {
    /// In parallel to those of the log.
    sessions: Vec<Session>,
    /// The sessions whose next read returned a value of that operation, which has not ended.
    blocked: HashMap<OperationIndex, Vec<usize>>,
    atomic_visibility: AtomicVisibility,
    /// The place of the last read.
    place: usize,
    report: Report,
}

impl Reads {
    pub fn new() -> Self {
        Reads {
            sessions: Vec::new(),
            blocked: HashMap::new(),
            atomic_visibility: AtomicVisibility::default(),
            place: 0,
            report: Report::new(Property::OF_READS),
        }
    }

    /// Resolves what can be resolved of a session and of its siblings, and judges the reads that waited for that.
    fn advance(&mut self, known: Known, session: usize) {
        known.log.advance_with_siblings(session, |session| {
            let open = self.sessions[session].open.len();
            self.advance_alone(known, session);
            self.sessions[session].open.len() < open
        });
    }

    fn advance_alone(&mut self, known: Known, session: usize) {
        while let Some(read) = self.sessions[session].open.pop_front() {
            if self.late_sibling(known.log, session, read.began).is_some() {
                self.sessions[session].open.push_front(read);
                break;
            }
            if let Some(writer) = blocker(known.log, &read) {
                self.sessions[session].open.push_front(read);
                let sessions = self.blocked.entry(writer).or_default();
                if !sessions.contains(&session) {
                    sessions.push(session);
                }
                break;
            }
            self.resolve(known, read);
        }
        for unjudged in std::mem::take(&mut self.sessions[session].waiting) {
            self.judge_when_possible(known, unjudged);
        }
    }

    /// A sibling of a session with a read that had ended before that place and is not resolved.
    fn late_sibling(&self, log: &OperationLog, session: usize, began: usize) -> Option<usize> {
        log.late_sibling(session, began, |sibling, last| {
            self.is_resolved_up_to(sibling, last)
        })
    }

    /// Judges a read by its own session, and by the transactions that it shows.
    fn resolve(&mut self, known: Known, mut read: Read) {
        let (log, report) = (known.log, &mut self.report);
        read.sources = no_thin_air_read::judge(log, &read, report);
        let before = Before::new(log, &self.sessions, read.session, (usize::MAX, read.began));
        read_your_writes::judge(log, &read, &before, report);
        monotonic_reads::judge(log, &read, &before, report);
        self.sessions[read.session].take_in(log, &read);
        self.atomic_visibility.judge(log, &read, report);
        let shown = shown(log, &read);
        self.judge_when_possible(known, Unjudged { read, shown });
    }

    fn judge_when_possible(&mut self, known: Known, unjudged: Unjudged) {
        let log = known.log;
        let mut shown = unjudged.shown.iter();
        let late = shown.find_map(|(session, latest)| {
            if !self.is_resolved_up_to(*session, log.order(*latest)) {
                return Some(*session);
            }
            self.late_sibling(log, *session, log.began(*latest))
        });
        if let Some(session) = late {
            let waiting = &mut self.sessions[session].waiting;
            waiting.push(unjudged.into_owned());
            return;
        }
        let (read, report) = (&unjudged.read, &mut self.report);
        for (session, latest) in &unjudged.shown {
            let (order, began) = (log.order(*latest), log.began(*latest));
            let before = |own| Before::new(log, &self.sessions, *session, (own, began));
            monotonic_writes::judge(log, read, &before(order), *latest, report);
            writes_follow_reads::judge(known, read, &before(order + 1), *latest, report);
        }
    }

    /// Whether every read of a session is resolved up to that place.
    fn is_resolved_up_to(&self, session: usize, place: usize) -> bool {
        let mut open = self.sessions[session].open.iter();
        place <= self.place && open.next().is_none_or(|open| open.completed > place)
    }
}

impl Judge for Reads {
    fn take(&mut self, known: Known, update: &Update) {
        self.sessions
            .resize_with(known.log.sessions(), Session::default);
        if let Some(found) = &update.read {
            let read = Read::new(found, known.log.keys);
            let session = read.session;
            self.place = read.completed;
            let open = &mut self.sessions[session].open;
            let is_next = open.is_empty();
            let is_early = || self.late_sibling(known.log, session, read.began).is_some();
            if is_next && !is_early() && blocker(known.log, &read).is_none() {
                self.resolve(known, read);
            } else {
                self.sessions[session].open.push_back(read.into_owned());
            }
            self.advance(known, session);
        }
        if let Some(ended) = update.ended {
            for session in self.blocked.remove(&ended).unwrap_or_default() {
                self.advance(known, session);
            }
        }
    }

    fn settle(&mut self, known: Known) {
        self.place = usize::MAX;
        for session in 0..self.sessions.len() {
            self.advance(known, session);
        }
    }

    fn report(&mut self) -> &mut Report {
        &mut self.report
    }
}

/// An operation whose end decides where a value of the read comes from.
fn blocker(log: &OperationLog, read: &Read) -> Option<OperationIndex> {
    if !log.any_is_pending() {
        return None;
    }
    let mut rows = read.rows.iter();
    rows.find_map(
        |(key, value)| match log.trace((read.operation, read.completed), *key, *value) {
            Ok(Source::Operation(writer)) => log.is_pending(writer).then_some(writer),
            _ => None,
        },
    )
}

/// For each other session, siblings too, the latest of its operations that the read shows.
fn shown(log: &OperationLog, read: &Read) -> Vec<(usize, OperationIndex)> {
    let mut latest: Vec<Option<(usize, OperationIndex)>> = vec![None; log.sessions()];
    for source in &read.sources {
        if let Source::Operation(writer) = *source {
            let of = &log.operations[writer as usize];
            let latest = &mut latest[of.session];
            *latest = (*latest).max(Some((of.order, writer)));
        }
    }
    latest[read.session] = None;
    let latest = latest.into_iter().enumerate();
    latest
        .filter_map(|(session, latest)| Some((session, latest?.1)))
        .collect()
}
