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
//! # Cost
//!
//! Time is linear in the elements read, plus, for each read, its sets times the sessions; memory linear
//! in the transactions times the sessions.

use std::collections::HashMap;

use squall_protocol::transaction::{Key, Value};
use squall_protocol::verdict::{Property, Verdict};

use crate::collections::{self, Element, Faulty, Past};
use crate::evidence::Findings;
use crate::history::History;
use crate::mww::explain;
use crate::mww::index::{Index, OperationIndex, Outcome, Read};
use crate::mww::recovery::{NotRead, Probes, Unseen};
use crate::mww::{self, MAX_KEYS, words};
use crate::one_copy;

/// Judges a history of the workload `gset`.
pub fn check(history: &History) -> Verdict {
    let counts = mww::counts(history);
    if history.header.keys > MAX_KEYS {
        return mww::too_large(&history.header, counts);
    }
    let index = Index::new(history);
    let mut findings = Reads::new(&index).judge();
    let causal = findings.pop();
    let (recovery, mut of_end) = collections::end(&index, &mut InSets(&index));
    findings.append(&mut of_end);
    let (convergence, durability) = collections::same_elements(&index, &recovery, |_, _| false);
    findings.insert(6, convergence);
    findings.extend(causal);
    findings.push(durability);
    findings.extend(one_copy::judge(history));
    mww::conclude(index, findings, counts)
}

/// A probe is seen when its elements are.
struct InSets<'i, 'h>(&'i Index<'h>);

impl Probes for InSets<'_, '_> {
    fn unseen(
        &mut self,
        read: &Read,
        probes: &[OperationIndex],
    ) -> Result<Option<Unseen>, NotRead> {
        collections::unseen(self.0, read, probes, |_, _| false)
    }
}

/// Judges the properties of reads.
struct Reads<'i, 'h> {
    index: &'i Index<'h>,
    past: Past<'i, 'h>,
    /// For each session and set the operations that committed and added to it, ascending.
    added: HashMap<(usize, Key), Vec<OperationIndex>>,
    /// For each session, by element, whether it has read it so far.
    seen: Vec<Vec<bool>>,
    /// For each session and set how many elements of others it has read so far.
    seen_count: HashMap<(usize, Key), u64>,
}

impl<'i, 'h> Reads<'i, 'h> {
    fn new(index: &'i Index<'h>) -> Self {
        let mut added: HashMap<(usize, Key), Vec<OperationIndex>> = HashMap::new();
        for (number, operation) in (0..).zip(&index.operations) {
            if let Outcome::Ok { .. } = operation.outcome {
                for key in index.possible_writes(number) {
                    added
                        .entry((operation.session, *key))
                        .or_default()
                        .push(number);
                }
            }
        }
        Reads {
            index,
            past: Past::new(index),
            added,
            seen: vec![Vec::new(); index.sessions.len()],
            seen_count: HashMap::new(),
        }
    }

    fn judge(mut self) -> Vec<Findings> {
        let mut findings = vec![
            Findings::new(Property::ReadYourWrites),
            Findings::new(Property::MonotonicReads),
            Findings::new(Property::MonotonicWrites),
            Findings::new(Property::WritesFollowReads),
            Findings::new(Property::AtomicVisibility),
            Findings::new(Property::NoThinAirRead),
            Findings::new(Property::CausalConsistency),
        ];
        self.past.tell_cycles(&mut findings[6]);
        for number in 0..self.index.reads.len() {
            self.read(number, &mut findings);
        }
        findings
    }

    fn read(&mut self, number: usize, findings: &mut [Findings]) {
        let index = self.index;
        let read = &index.reads[number];
        let Some(sets) = read.collections else {
            if *read.asked != squall_protocol::transaction::Reads::Nothing {
                findings[5].doubt("a read has recorded no sets".to_owned());
            }
            return;
        };
        let mut elements: Vec<Element> = Vec::new();
        collections::parse(index, read, sets, &mut findings[5], |element| {
            elements.push(element)
        });
        elements.sort_unstable();
        for pair in elements.windows(2).filter(|pair| pair[0] == pair[1]) {
            let (key, value) = (pair[0].key, index.value(pair[0].writer));
            findings[5].violate(read.completed, || {
                Faulty::new(index, read, key).twice(value)
            });
        }
        elements.dedup();
        let past = self.past.of(number);
        let mut shown: Vec<OperationIndex> = elements.iter().map(|e| e.writer).collect();
        shown.sort_unstable();
        shown.dedup();
        for writer in &shown {
            let asked = index.possible_writes(*writer).iter();
            let asked = asked.filter(|key| read.asked.contains(**key)).count() as u64;
            findings[4].exercise(asked.saturating_sub(1));
        }
        // Of each session the latest that committed and is shown.
        let mut latest: Vec<Option<OperationIndex>> = vec![None; index.sessions.len()];
        for writer in &shown {
            let operation = &index.operations[*writer as usize];
            if let Outcome::Ok { .. } = operation.outcome {
                latest[operation.session] = Some(*writer);
            }
        }
        let mut keys: Vec<Key> = sets.iter().map(|(key, _)| *key).collect();
        if let squall_protocol::transaction::Reads::Keys(asked) = read.asked {
            keys.extend(asked);
        } else if keys.len() < index.header.keys as usize {
            // A set that is not told of is empty.
            keys.extend(self.added.keys().map(|(_, key)| *key));
        }
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let from = elements.partition_point(|element| element.key < key);
            let to = elements.partition_point(|element| element.key <= key);
            let present = &elements[from..to];
            let held = present
                .iter()
                .filter(|e| past.contains(index, e.writer))
                .count();
            let mut expected = 0;
            for session in 0..index.sessions.len() {
                let Some(added) = self.added.get(&(session, key)) else {
                    continue;
                };
                let before = |limit: OperationIndex| added.partition_point(|o| *o < limit);
                let of_session = before(past.clock[session]);
                expected += of_session;
                if session == read.session {
                    findings[0].exercise(of_session as u64);
                } else if let Some(latest) = latest[session] {
                    findings[2].exercise(before(latest) as u64);
                    findings[3].exercise((of_session - before(latest).min(of_session)) as u64);
                } else if latest.iter().any(Option::is_some) {
                    findings[3].exercise(of_session as u64);
                }
            }
            let mut unknown = past.unknown.iter();
            expected += unknown
                .by_ref()
                .filter(|o| index.possible_writes(**o).binary_search(&key).is_ok())
                .count();
            let seen = self.seen_count.get(&(read.session, key)).copied();
            findings[1].exercise(seen.unwrap_or(0));
            findings[6].exercise(expected as u64);
            if held < expected {
                self.missing(read, key, present, &shown, &past, findings);
            }
        }
        self.remember(read, &elements);
    }

    fn remember(&mut self, read: &Read, elements: &[Element]) {
        let index = self.index;
        let seen = &mut self.seen[read.session];
        for element in elements {
            if index.is_own(element.writer, read.session) {
                continue;
            }
            let at = element.number as usize;
            if at >= seen.len() {
                seen.resize(at + 1, false);
            }
            if !std::mem::replace(&mut seen[at], true) {
                *self
                    .seen_count
                    .entry((read.session, element.key))
                    .or_default() += 1;
            }
        }
    }

    /// Names what each missing element of a set breaks.
    fn missing(
        &self,
        read: &Read,
        key: Key,
        present: &[Element],
        shown: &[OperationIndex],
        past: &collections::PastOf,
        findings: &mut [Findings],
    ) {
        let index = self.index;
        let sessions = 0..index.sessions.len();
        let committed = sessions.flat_map(|session| {
            let added = self
                .added
                .get(&(session, key))
                .map_or(&[][..], Vec::as_slice);
            &added[..added.partition_point(|o| *o < past.clock[session])]
        });
        let writes = |o: &&OperationIndex| index.possible_writes(**o).binary_search(&key).is_ok();
        let expected = committed.chain(past.unknown.iter().filter(writes));
        for missed in expected {
            if present.iter().any(|element| element.writer == *missed) {
                continue;
            }
            let place = self.broken(read, key, *missed, shown);
            findings[place.0].violate(read.completed, || {
                let text = Faulty::new(index, read, key);
                text.missing(*missed, place.1)
            });
        }
    }

    /// Which property a missing element breaks, as an index, and how the past leads to it.
    fn broken(
        &self,
        read: &Read,
        key: Key,
        missed: OperationIndex,
        shown: &[OperationIndex],
    ) -> (usize, String) {
        let index = self.index;
        let session = index.operations[missed as usize].session;
        let name = |operation: OperationIndex| {
            let step = words::step(index, operation);
            format!("{} of {}", explain::place(&step), step.client)
        };
        if index.is_own(missed, read.session) {
            return (0, "It does not see its own write.".to_owned());
        }
        let number = index.number_of_write(missed, key);
        let seen = |session: usize| {
            number.is_some_and(|at| self.seen[session].get(at).copied().unwrap_or(false))
        };
        if seen(read.session) {
            return (
                1,
                "The session had read it before: it has vanished.".to_owned(),
            );
        }
        if shown.contains(&missed) {
            let text = "The same read shows another element of that transaction: a fractured read.";
            return (4, text.to_owned());
        }
        let later = shown.iter().find(|later| {
            let operation = &index.operations[**later as usize];
            operation.session == session && session != read.session && **later > missed
        });
        if let Some(later) = later
            && matches!(
                index.operations[missed as usize].outcome,
                Outcome::Ok { .. }
            )
        {
            let text = format!("The same read shows the later {}.", name(*later));
            return (2, text);
        }
        let reader = shown.iter().find(|later| {
            let session = index.operations[**later as usize].session;
            session != read.session && self.had_read(session, **later, key, missed)
        });
        match reader {
            Some(reader) => {
                let text = format!(
                    "The same read shows {}, whose session had read it by then.",
                    name(*reader)
                );
                (3, text)
            }
            None => (6, "It is in the causal past of the read.".to_owned()),
        }
    }

    /// Whether the session had read an element before or in an operation of its own.
    fn had_read(
        &self,
        session: usize,
        by: OperationIndex,
        key: Key,
        element: OperationIndex,
    ) -> bool {
        let index = self.index;
        let value: Value = index.value(element);
        let mut reads = index.sessions[session]
            .reads
            .iter()
            .map(|read| &index.reads[*read]);
        reads.any(|read| {
            let unknown = !matches!(index.operations[by as usize].outcome, Outcome::Ok { .. });
            let in_time = read
                .operation
                .is_some_and(|o| o < by || (o == by && !unknown));
            in_time
                && read.collections.is_some_and(|sets| {
                    sets.iter().any(|(k, text)| {
                        *k == key && text.split(' ').any(|part| part.parse() == Ok(value))
                    })
                })
        })
    }
}
