//! A read against its causal past.

use squall_protocol::transaction::{Key, Reads as Asked};
use squall_protocol::verdict::Property;

use super::Sets;
use super::past::Past;
use super::session::{Scope, Shown};
use crate::findings::explain;
use crate::log::operations::OperationLog;
use crate::log::trace::OperationIndex;
use crate::rules::collections::Read;

impl Sets {
    /// Judges a read by its past.
    pub(super) fn judge(
        &mut self,
        log: &OperationLog,
        read: &Read,
        mut elements: Vec<(Key, OperationIndex)>,
        shown: &Shown,
        past: &Past,
    ) {
        elements.sort_unstable();
        for pair in elements.windows(2).filter(|pair| pair[0] == pair[1]) {
            let (key, writer) = pair[0];
            let value = log.operations[writer as usize].value;
            self.report
                .violate(Property::NoThinAirRead, read.completed, || {
                    read.faulty(log, key).twice(value)
                });
        }
        elements.dedup();
        let scope = scope(read);
        for writer in &shown.all {
            let written = &log.operations[*writer as usize].written;
            let asked = written.iter().filter(|key| read.asked.contains(**key));
            let others = (asked.count() as u64).saturating_sub(1);
            self.report.of(Property::AtomicVisibility).exercise(others);
        }
        let of_others = shown.latest.iter().any(Option::is_some);
        let mut expected = 0;
        for (number, session) in self.sessions.iter().enumerate() {
            let in_past = session.count_before(&scope, past.of_session(number));
            expected += in_past;
            if log.database(number) == log.database(read.session) {
                self.report.of(Property::ReadYourWrites).exercise(in_past);
            } else if let Some(latest) = shown.latest[number] {
                let before = session.count_before(&scope, log.order(latest));
                self.report.of(Property::MonotonicWrites).exercise(before);
                let beyond = in_past.saturating_sub(before);
                self.report.of(Property::WritesFollowReads).exercise(beyond);
            } else if of_others {
                self.report
                    .of(Property::WritesFollowReads)
                    .exercise(in_past);
            }
        }
        for unknown in past.unknown() {
            let written = &log.operations[unknown as usize].written;
            let written = written.iter().filter(|key| scope.contains(**key));
            expected += written.count() as u64;
        }
        let seen = self.sessions[read.session].seen_count(&scope);
        self.report.of(Property::MonotonicReads).exercise(seen);
        self.report
            .of(Property::CausalConsistency)
            .exercise(expected);
        let held = elements.iter();
        let held = held.filter(|(_, writer)| past.contains(log, *writer));
        if (held.count() as u64) < expected {
            self.missing(log, read, &scope, &elements, shown, past);
        }
        for (key, writer) in elements {
            let operation = &log.operations[writer as usize];
            let own = operation.session == read.session && operation.committed();
            if let Some(element) = self.element(log, writer, key).filter(|_| !own) {
                self.sessions[read.session].see(element, key, read.completed);
            }
        }
    }

    /// Names what each missing element breaks.
    fn missing(
        &mut self,
        log: &OperationLog,
        read: &Read,
        scope: &Scope,
        present: &[(Key, OperationIndex)],
        shown: &Shown,
        past: &Past,
    ) {
        let sessions = self.sessions.iter().enumerate();
        let committed = sessions.flat_map(|(number, session)| {
            let added = session.added_before(past.of_session(number));
            added.iter().map(|(operation, _)| *operation)
        });
        let mut missing: Vec<(OperationIndex, Key)> = Vec::new();
        for operation in committed.chain(past.unknown()) {
            let written = &log.operations[operation as usize].written;
            let keys = written.iter().copied();
            let keys = keys.filter(|key| scope.contains(*key));
            let lacks = |key: &Key| present.binary_search(&(*key, operation)).is_err();
            missing.extend(keys.filter(lacks).map(|key| (operation, key)));
        }
        for (missed, key) in missing {
            let (property, why) = self.broken(log, read, key, missed, shown);
            let value = log.operations[missed as usize].value;
            self.report.violate(property, read.completed, || {
                let writer = log.operation_step(missed);
                let text = read.faulty(log, key);
                let why = why.says(|operation| {
                    let step = log.operation_step(operation);
                    format!("{} of {}", explain::place(&step), step.client)
                });
                text.missing(value, &writer, &why)
            });
        }
    }

    /// Which property a missing element breaks, and how the past leads to it.
    fn broken(
        &self,
        log: &OperationLog,
        read: &Read,
        key: Key,
        missed: OperationIndex,
        shown: &Shown,
    ) -> (Property, Why) {
        let of = &log.operations[missed as usize];
        // Whether the sessions are siblings, and the first had ended something at that place before the other began.
        let ended = |session: usize, place: usize, other: usize, began: usize| {
            log.database(session) == log.database(other) && session != other && place < began
        };
        let own =
            of.session == read.session || ended(of.session, of.order, read.session, read.began);
        if own && of.committed() {
            return (Property::ReadYourWrites, Why::Own);
        }
        let element = self.element(log, missed, key);
        let seen_at = |session: usize| self.sessions[session].seen_at(element?);
        let seen_before = |session: usize, began: usize| {
            let mut siblings = log.siblings(session);
            siblings.any(|sibling| seen_at(sibling).is_some_and(|place| place < began))
        };
        if seen_at(read.session).is_some() || seen_before(read.session, read.began) {
            return (Property::MonotonicReads, Why::Vanished);
        }
        if shown.all.binary_search(&missed).is_ok() {
            return (Property::AtomicVisibility, Why::Fractured);
        }
        let of_others = shown.latest.iter().copied().enumerate();
        let of_others = of_others.filter(|(session, _)| *session != read.session);
        let of_others = of_others.filter_map(|(session, latest)| Some((session, latest?)));
        let later = of_others.clone().find(|(session, latest)| {
            let is_later = *session == of.session && log.order(*latest) > of.order;
            is_later || ended(of.session, of.order, *session, log.began(*latest))
        });
        if let Some((_, later)) = later.filter(|_| of.committed()) {
            return (Property::MonotonicWrites, Why::Later(later));
        }
        let mut of_others = of_others;
        let reader = of_others.find_map(|(session, latest)| {
            let by = &log.operations[latest as usize];
            let until = by.order + usize::from(by.committed());
            let had_read = seen_at(session).is_some_and(|place| place < until);
            (had_read || seen_before(session, by.began)).then_some(latest)
        });
        match reader {
            Some(reader) => (Property::WritesFollowReads, Why::HadRead(reader)),
            None => (Property::CausalConsistency, Why::Past),
        }
    }

    /// The number of an element.
    fn element(&self, log: &OperationLog, writer: OperationIndex, key: Key) -> Option<u32> {
        let written = &log.operations[writer as usize].written;
        let at = written.binary_search(&key).ok()?;
        Some(self.elements[writer as usize] + at as u32)
    }
}

/// How the past leads to an element.
enum Why {
    Own,
    Vanished,
    Fractured,
    Later(OperationIndex),
    HadRead(OperationIndex),
    Past,
}

impl Why {
    fn says(self, name: impl Fn(OperationIndex) -> String) -> String {
        match self {
            Why::Own => "It does not see its own write.".to_owned(),
            Why::Vanished => "The session had read it before: it has vanished.".to_owned(),
            Why::Fractured => {
                "The same read shows another element of that transaction: a fractured read."
                    .to_owned()
            }
            Why::Later(later) => format!("The same read shows the later {}.", name(later)),
            Why::HadRead(reader) => format!(
                "The same read shows {}, whose session had read it by then.",
                name(reader)
            ),
            Why::Past => "It is in the causal past of the read.".to_owned(),
        }
    }
}

/// The sets that a read tells of. One that it was to read and does not name is empty.
fn scope(read: &Read) -> Scope {
    let returned = read.collections.iter().flatten().map(|(key, _)| *key);
    let mut keys: Vec<Key> = match &read.asked {
        Asked::All => return Scope::All,
        Asked::Keys(keys) => returned.chain(keys.iter().copied()).collect(),
        Asked::Nothing => returned.collect(),
    };
    keys.sort_unstable();
    keys.dedup();
    Scope::Keys(keys)
}
