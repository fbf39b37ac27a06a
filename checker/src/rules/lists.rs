//! Reads of lists against what their sessions and the transactions that they show had done, event by event. The
//! definitions are in [`workload::list_append`](crate::workload::list_append).

mod session;
mod tree;

use std::collections::{BTreeMap, HashMap, HashSet};

use squall_models::recording::Recording;
use squall_models::registers::Model;
use squall_protocol::transaction::{Key, Reads as Asked, Value};
use squall_protocol::verdict::{Property, Violation};

use super::collections::{Faulty, Part, Read};
use super::judge::Judge;
use super::{by_model, rows};
use crate::findings::{Findings, Report, explain};
use crate::log::known::Known;
use crate::log::operations::{FINAL_READ, OperationLog, Update};
use crate::log::trace::OperationIndex;
use crate::log::transactions;
use session::{Brought, Last, Session, Shown, Taken};
use tree::{Tree, Version};

/// Judges lists event by event.
#[derive(Clone)]
pub(crate) struct Lists {
    tree: Tree,
    /// In parallel to those of the log.
    sessions: Vec<Session>,
    /// The sessions whose next read holds an element of that operation, which has not ended.
    blocked: HashMap<OperationIndex, Vec<usize>>,
    /// By a version that nobody has read so far: comparisons with the version of that element, for which it
    /// has to be known.
    undecided: BTreeMap<Version, Vec<(Comparison, Value)>>,
    report: Report,
    /// Reads that recorded no lists.
    without: u64,
}

/// A list that was read, and a version that had to be visible.
#[derive(Clone)]
struct Comparison {
    property: Property,
    read: Taken,
    key: Key,
    /// The last element that was read; none of the empty list.
    last: Option<Value>,
    /// The session that knew the version, and the operation that brought it.
    session: usize,
    known: OperationIndex,
    /// The transaction that the read shows, if that is why the version had to be visible.
    shown: Option<OperationIndex>,
}

impl Lists {
    pub fn new() -> Self {
        Lists {
            tree: Tree::default(),
            sessions: Vec::new(),
            blocked: HashMap::new(),
            undecided: BTreeMap::new(),
            report: Report::new(Property::OF_READS),
            without: 0,
        }
    }

    /// Whether a later append may rightly have overwritten the element of that operation in a list that ends as
    /// that text.
    pub fn may_be_overwritten(&self, element: Version, text: &str) -> bool {
        self.tree.may_be_overwritten(element, text)
    }

    /// Causal consistency of whole transactions; `records` is the length of the history.
    pub fn causal(recording: &Recording, records: usize) -> Findings {
        by_model::judge(
            Property::CausalConsistency,
            Model::Causal,
            recording,
            records,
            // Reads out of thin air have no cycle, and are a property of their own.
            |anomaly| !anomaly.cycle.is_empty(),
        )
    }

    /// The lists as registers, each of which whoever appends to it has read; with the order of siblings.
    pub fn as_registers(&self, log: &OperationLog, recording: Recording) -> Recording {
        let mut recording = recording.into_registers();
        transactions::read_what_is_extended(&mut recording, |number, key| {
            let operation = log.operation(number)?;
            let value = log.operations[operation as usize].value;
            self.tree.before((key, value))
        });
        transactions::order_siblings(&mut recording, log);
        recording
    }

    /// Whether a read waits for the end of who appended to it.
    pub fn wait(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// What a writer says itself about what it has extended: that counts most.
    fn says(&mut self, log: &OperationLog, read: &Read) {
        for (key, parts) in read.collections.iter().flatten() {
            let operation = &log.operations[read.operation as usize];
            if operation.wrote(*key) {
                let before = match parts.last() {
                    None => None,
                    Some(Part::Element(last)) => Some(*last),
                    Some(Part::Garbled(_)) => continue,
                };
                let version = (*key, operation.value);
                self.tree.learn(version, before, parts.len() + 1);
                self.now_known(log, version);
            }
        }
    }

    /// Takes in what can be taken in of a session and of its siblings.
    fn advance(&mut self, log: &OperationLog, session: usize) {
        log.advance_with_siblings(session, |session| {
            let open = self.sessions[session].open.len();
            self.advance_alone(log, session);
            self.sessions[session].open.len() < open
        });
    }

    fn advance_alone(&mut self, log: &OperationLog, session: usize) {
        while let Some(read) = self.sessions[session].open.pop_front() {
            if self.late_sibling(log, read.session, read.began).is_some() {
                self.sessions[session].open.push_front(read);
                break;
            }
            if let Some(writer) = read.pending(log) {
                self.sessions[session].open.push_front(read);
                let sessions = self.blocked.entry(writer).or_default();
                if !sessions.contains(&session) {
                    sessions.push(session);
                }
                break;
            }
            self.take_in(log, read);
        }
        for taken in std::mem::take(&mut self.sessions[session].waiting) {
            self.compare_with_others(log, taken);
        }
    }

    /// A sibling of a session with a read that had ended before that place and is not taken in.
    fn late_sibling(&self, log: &OperationLog, session: usize, began: usize) -> Option<usize> {
        log.late_sibling(session, began, |sibling, last| {
            self.sessions[sibling].is_taken_in_up_to(last)
        })
    }

    /// What is before a place in a session: the sessions, each with the place before which it counts. Siblings count
    /// as far as they had ended it when the session's operation began.
    fn before(
        log: &OperationLog,
        session: usize,
        (own, began): (usize, usize),
    ) -> impl Iterator<Item = (usize, usize)> + '_ {
        let siblings = log.siblings(session).map(move |sibling| (sibling, began));
        [(session, own)].into_iter().chain(siblings)
    }

    fn take_in(&mut self, log: &OperationLog, read: Read) {
        let Some(lists) = &read.collections else {
            self.without += u64::from(read.asked != Asked::Nothing);
            return;
        };
        let found = lists.iter().map(|(key, _)| *key).collect();
        let reader = || read.step(log);
        let report = &mut self.report;
        let missing = rows::judge(report, log.keys, &read.asked, found, read.completed, reader);
        let thin_air = report.of(Property::NoThinAirRead);
        thin_air.exercise(lists.len() as u64 + missing);
        read.sources(log, &mut self.report);
        let mut taken = Taken::new(&read);
        for (key, parts) in lists {
            self.learn(log, &read, *key, parts);
            let last = match parts.last() {
                None => None,
                Some(Part::Element(last)) => Some(*last),
                Some(Part::Garbled(_)) => continue,
            };
            let writer = last.and_then(|last| read.writer(log, *key, last));
            taken.lists.push(Last { key: *key, last });
            taken.shown.extend(writer.map(|writer| Shown {
                session: log.operations[writer as usize].session,
                writer,
            }));
        }
        self.compare_with_own(log, &taken);
        self.atomic_visibility(log, &taken);
        self.sessions[read.session].read(&taken);
        taken.keep_latest(log);
        self.compare_with_others(log, taken);
    }

    /// Learns from a list that was read, and compares it with what is known.
    fn learn(&mut self, log: &OperationLog, read: &Read, key: Key, parts: &[Part]) {
        let mut before = Some(None);
        let mut met: HashSet<Value> = HashSet::new();
        for (at, part) in (1..).zip(parts) {
            let Part::Element(value) = part else {
                before = None;
                continue;
            };
            let value = *value;
            let before = before.replace(Some(value));
            if !met.insert(value) {
                self.report
                    .violate(Property::NoThinAirRead, read.completed, || {
                        read.faulty(log, key).twice(value)
                    });
            }
            let (Some(before), Some(writer)) = (before, read.writer(log, key, value)) else {
                continue;
            };
            match self.tree.before((key, value)) {
                None => {
                    self.tree.learn((key, value), before, at);
                    self.now_known(log, (key, value));
                }
                Some(known) if known != before => {
                    self.report.violate(Property::NoThinAirRead, read.completed, || {
                        let name = |element: Option<Value>| match element {
                            Some(element) => format!("after {element}"),
                            None => "at the beginning of the list".to_owned(),
                        };
                        let step = log.operation_step(writer);
                        let what = format!(
                            "It holds {value} {}, but {} appended it in {} {}: the list was garbled \
                             on its way.",
                            name(before),
                            step.client,
                            explain::place(&step),
                            name(known),
                        );
                        read.faulty(log, key).says(&what, step.operation)
                    });
                }
                Some(_) => {}
            }
        }
    }

    /// Decides what waited for that version.
    fn now_known(&mut self, log: &OperationLog, version: Version) {
        for (comparison, value) in self.undecided.remove(&version).unwrap_or_default() {
            self.decide(log, &comparison, Some(value));
        }
    }

    /// Read your writes, and monotonic reads.
    fn compare_with_own(&mut self, log: &OperationLog, taken: &Taken) {
        let before = || Self::before(log, taken.session, (taken.completed, taken.began));
        let with_own = taken.lists.iter();
        for (list, (number, place)) in with_own.flat_map(|list| before().map(move |s| (list, s))) {
            let session = &self.sessions[number];
            let written = session.written_before(list.key, place);
            let read = session.read_before(list.key, place);
            let comparison = |property, known| Comparison {
                property,
                read: taken.name(),
                key: list.key,
                last: list.last,
                session: number,
                known,
                shown: None,
            };
            if let Some(known) = written {
                self.compare(log, comparison(Property::ReadYourWrites, known));
            }
            if let Some(Brought {
                operation, last, ..
            }) = read
            {
                self.decide(log, &comparison(Property::MonotonicReads, operation), last);
            }
        }
    }

    /// What else the transactions have written whose versions a read shows.
    fn atomic_visibility(&mut self, log: &OperationLog, taken: &Taken) {
        let mut writers: Vec<OperationIndex> = taken.shown.iter().map(|s| s.writer).collect();
        writers.sort_unstable();
        writers.dedup();
        for writer in writers {
            let operation = &log.operations[writer as usize];
            let (session, value) = (operation.session, operation.value);
            let written = operation.written.iter();
            let is_there = |key: &&Key| taken.lists.binary_search_by_key(*key, |l| l.key).is_ok();
            let written: Vec<Key> = written.filter(is_there).copied().collect();
            let mut shows = false;
            for key in written {
                let Ok(at) = taken.lists.binary_search_by_key(&key, |list| list.key) else {
                    continue;
                };
                let last = taken.lists[at].last;
                if last == Some(value) && !std::mem::replace(&mut shows, true) {
                    // The one that shows it.
                    continue;
                }
                self.compare(
                    log,
                    Comparison {
                        property: Property::AtomicVisibility,
                        read: taken.name(),
                        key,
                        last,
                        session,
                        known: writer,
                        shown: Some(writer),
                    },
                );
            }
        }
    }

    /// Monotonic writes and writes follow reads, once the sessions that the read shows are taken in.
    fn compare_with_others(&mut self, log: &OperationLog, taken: Taken) {
        let late = taken.shown.iter().find_map(|shown| {
            let place = log.order(shown.writer);
            match self.sessions[shown.session].is_taken_in_up_to(place) {
                true => self.late_sibling(log, shown.session, log.began(shown.writer)),
                false => Some(shown.session),
            }
        });
        if let Some(session) = late {
            self.sessions[session].waiting.push(taken);
            return;
        }
        for shown in &taken.shown {
            let by = &log.operations[shown.writer as usize];
            let (place, committed, value) = (by.order, by.committed(), by.value);
            let others = taken.lists.iter();
            let others = others.filter(|list| list.last != Some(value));
            let before = || Self::before(log, shown.session, (place, by.began));
            for (list, (number, place)) in others.flat_map(|list| before().map(move |s| (list, s)))
            {
                let session = &self.sessions[number];
                let own_read = usize::from(committed && number == shown.session);
                let written = session.written_before(list.key, place);
                let read = session.read_before(list.key, place + own_read);
                let comparison = |property, known| Comparison {
                    property,
                    read: taken.name(),
                    key: list.key,
                    last: list.last,
                    session: number,
                    known,
                    shown: Some(shown.writer),
                };
                if let Some(known) = written {
                    self.compare(log, comparison(Property::MonotonicWrites, known));
                }
                if let Some(Brought {
                    operation, last, ..
                }) = read
                {
                    self.decide(
                        log,
                        &comparison(Property::WritesFollowReads, operation),
                        last,
                    );
                }
            }
        }
    }

    /// Compares with what an operation has written, once that was read.
    fn compare(&mut self, log: &OperationLog, comparison: Comparison) {
        let value = log.operations[comparison.known as usize].value;
        let version = (comparison.key, value);
        if self.tree.knows(version) {
            self.decide(log, &comparison, Some(value));
        } else {
            let undecided = self.undecided.entry(version).or_default();
            undecided.push((comparison, value));
        }
    }

    /// Compares with the version that ends with that element, none for the empty list.
    fn decide(&mut self, log: &OperationLog, comparison: &Comparison, version: Option<Value>) {
        let Comparison { key, last, .. } = *comparison;
        let is_older = version.map(|version| self.tree.is_older(key, last, version));
        if let (Some(version), Some(Err(missing))) = (version, is_older) {
            let undecided = self.undecided.entry(missing).or_default();
            undecided.push((comparison.clone(), version));
            return;
        }
        self.report.of(comparison.property).exercise(1);
        if let (Some(version), Some(Ok(true))) = (version, is_older) {
            let place = comparison.read.completed;
            self.report.violate(comparison.property, place, || {
                older(log, &self.tree, comparison, version)
            });
        }
    }
}

impl Judge for Lists {
    fn take(&mut self, known: Known, update: &Update) {
        let log = known.log;
        self.sessions.resize_with(log.sessions(), Session::default);
        // Before anything that waited for its end is judged: what it appended is part of what is expected.
        if let Some(ended) = update.ended {
            let operation = &log.operations[ended as usize];
            if operation.committed() {
                self.sessions[operation.session].wrote(operation, ended);
            }
        }
        if let Some(found) = &update.read {
            let read = Read::new(found);
            if read.operation != FINAL_READ {
                self.says(log, &read);
            }
            let session = read.session;
            self.sessions[session].open.push_back(read);
            self.advance(log, session);
        }
        if let Some(ended) = update.ended {
            self.advance(log, log.operations[ended as usize].session);
            for session in self.blocked.remove(&ended).unwrap_or_default() {
                self.advance(log, session);
            }
        }
    }

    fn settle(&mut self, known: Known) {
        let log = known.log;
        for session in 0..self.sessions.len() {
            self.advance(log, session);
        }
        if self.without > 0 {
            let doubt = format!("{} reads have recorded no lists", self.without);
            self.report.of(Property::NoThinAirRead).doubt(doubt);
        }
        let undecided = std::mem::take(&mut self.undecided).into_values().flatten();
        for (mut comparison, value) in undecided {
            if self.tree.knows((comparison.key, value)) {
                // Nobody tells the way to it.
                self.report.of(comparison.property).exercise(1);
                continue;
            }
            // The latest version before it that is known.
            while comparison.property != Property::AtomicVisibility {
                let place = log.order(comparison.known);
                let session = &self.sessions[comparison.session];
                let Some(before) = session.written_before(comparison.key, place) else {
                    break;
                };
                comparison.known = before;
                let value = log.operations[before as usize].value;
                if self.tree.knows((comparison.key, value)) {
                    self.decide(log, &comparison, Some(value));
                    break;
                }
            }
        }
    }

    fn report(&mut self) -> &mut Report {
        &mut self.report
    }
}

/// A read that is older than a version which its causal past holds.
fn older(log: &OperationLog, tree: &Tree, comparison: &Comparison, version: Value) -> Violation {
    let name = |operation: OperationIndex| {
        let step = log.operation_step(operation);
        format!("{} in {}", step.client, explain::place(&step))
    };
    let Comparison { key, read, .. } = comparison;
    let known = name(comparison.known);
    let shown = comparison.shown.map(name).unwrap_or_default();
    let why = match comparison.property {
        Property::ReadYourWrites => {
            format!("{known} had appended to it before: the read misses its own session's write")
        }
        Property::MonotonicReads => {
            format!("{known} had read more of it before: it has gone back in time")
        }
        Property::MonotonicWrites => format!(
            "the same read shows what {shown} appended, and that session had appended to this list \
             before, in {known}"
        ),
        Property::WritesFollowReads => format!(
            "the same read shows what {shown} appended, and that session had read more of this list, in \
             {known}"
        ),
        _ => format!(
            "the same read shows what {shown} appended to another list in the same transaction: a \
             fractured read"
        ),
    };
    let what = format!(
        "It returned [{}], older than [{}]: {why}.",
        tree.tail(*key, comparison.last),
        tree.tail(*key, Some(version))
    );
    let reader = log.step(read.session, read.operation);
    let shown = comparison.shown.unwrap_or(comparison.known);
    let number = |operation: OperationIndex| log.operations[operation as usize].number;
    let mut violation = Faulty::new(reader, *key).says(&what, Some(number(shown)));
    violation.operations.push(number(comparison.known));
    violation.operations.dedup();
    violation
}
