//! The properties of reads of `gset` by their definitions, the long way: causal pasts are sets of
//! operations that grow until nothing changes.

#[path = "support/random_collections.rs"]
mod random_collections;
mod support;
#[path = "support/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use squall_checker::{History, check};
use squall_protocol::plan::Workload;
use squall_protocol::transaction::Key;
use squall_protocol::verdict::Property;
use world::{Read, World};

impl World {
    /// The reads that a read comes after, and the operations that it or they show or have done.
    fn direct(&self, read: &Read) -> (BTreeSet<usize>, BTreeSet<usize>) {
        let (reads, mut operations) = self.all_before(read.session, read.completed, read.began);
        let mut reads: BTreeSet<usize> = reads.into_iter().collect();
        for (_, writer) in &read.elements {
            let of = &self.operations[*writer];
            if of.session == read.session {
                if of.committed.is_none() {
                    operations.insert(*writer);
                }
                continue;
            }
            let after = usize::from(of.committed.is_some());
            let (more, done) = self.all_before(of.session, of.place() + after, of.began);
            reads.extend(more);
            operations.extend(done);
            operations.insert(*writer);
        }
        (reads, operations)
    }

    /// How often each property is violated; none where reads are in each other's past.
    fn judge(&self) -> Option<BTreeMap<Property, u64>> {
        let direct: Vec<_> = self.reads.iter().map(|read| self.direct(read)).collect();
        let mut reads: Vec<BTreeSet<usize>> = direct.iter().map(|d| d.0.clone()).collect();
        loop {
            let more = |before: &BTreeSet<usize>| {
                let further = before.iter().flat_map(|read| &reads[*read]);
                before.iter().chain(further).copied().collect()
            };
            let next: Vec<BTreeSet<usize>> = reads.iter().map(more).collect();
            if next == reads {
                break;
            }
            reads = next;
        }
        if reads
            .iter()
            .enumerate()
            .any(|(read, past)| past.contains(&read))
        {
            return None;
        }
        let mut violations = BTreeMap::new();
        for (number, read) in self.reads.iter().enumerate() {
            let mut past = direct[number].1.clone();
            for before in &reads[number] {
                past.extend(&direct[*before].1);
            }
            // What overlaps with it in its session is not before it.
            past.retain(|operation| {
                let of = &self.operations[*operation];
                of.session != read.session || of.place() < read.completed
            });
            for (key, missed) in self.missing(read, &past) {
                *violations
                    .entry(self.broken(read, key, missed))
                    .or_default() += 1;
            }
        }
        Some(violations)
    }

    fn missing(&self, read: &Read, past: &BTreeSet<usize>) -> Vec<(Key, usize)> {
        if read.told.is_none() {
            return Vec::new();
        }
        let elements = past.iter().flat_map(|operation| {
            let written = self.operations[*operation].written.iter();
            written.map(|key| (*key, *operation))
        });
        elements
            .filter(|(key, _)| read.is_in_scope(*key))
            .filter(|element| !read.elements.contains(element))
            .collect()
    }

    fn broken(&self, read: &Read, key: Key, missed: usize) -> Property {
        let of = &self.operations[missed];
        let showed = |session: usize, before: usize| {
            let (reads, _) = self.before(session, before);
            let mut reads = reads.into_iter();
            reads.any(|read| self.reads[read].elements.contains(&(key, missed)))
        };
        let shown = || (0..self.operations.len()).filter(|operation| read.shows(*operation));
        if of.session == read.session && of.committed.is_some() {
            Property::ReadYourWrites
        } else if showed(read.session, read.completed) {
            Property::MonotonicReads
        } else if read.shows(missed) {
            Property::AtomicVisibility
        } else if of.committed.is_some()
            && of.session != read.session
            && shown().any(|later| {
                let later = &self.operations[later];
                later.session == of.session && later.place() > of.place()
            })
        {
            Property::MonotonicWrites
        } else if shown().any(|by| {
            let by = &self.operations[by];
            let after = usize::from(by.committed.is_some());
            by.session != read.session && showed(by.session, by.place() + after)
        }) {
            Property::WritesFollowReads
        } else {
            Property::CausalConsistency
        }
    }
}

const JUDGED: [Property; 6] = [
    Property::ReadYourWrites,
    Property::MonotonicReads,
    Property::MonotonicWrites,
    Property::WritesFollowReads,
    Property::AtomicVisibility,
    Property::CausalConsistency,
];

/// Whether the history was compared: one that breaks its own rules proves nothing.
fn agree(history: &History) -> Result<bool, TestCaseError> {
    let verdict = check(history);
    if verdict
        .notes
        .iter()
        .any(|note| note.contains("contradicts"))
    {
        return Ok(false);
    }
    let expected = World::new(history).judge();
    for property in JUDGED {
        let found = support::of(&verdict, property).violations;
        match &expected {
            Some(expected) => {
                let expected = expected.get(&property).copied().unwrap_or(0);
                prop_assert_eq!(found, expected, "{:?} {:#?}", property, verdict);
            }
            None if property == Property::CausalConsistency => prop_assert!(found > 0),
            None => {}
        }
    }
    Ok(true)
}

/// As [`agree`], of two tabs on one database: how many violations there are. Which property each breaks is told by the
/// latest transaction of a tab, and these tabs may do several at a time.
fn agree_about_tabs(history: &mut History) -> Result<Option<u64>, TestCaseError> {
    let clients = &mut history.header.clients;
    if clients.len() < 2 || !clients[..2].iter().all(|client| client.kind.syncs()) {
        return Ok(None);
    }
    for tab in &mut clients[..2] {
        tab.browser = Some("t".to_owned());
    }
    let verdict = check(history);
    let contradicts = |note: &String| note.contains("contradicts");
    if verdict.notes.iter().any(contradicts) {
        return Ok(None);
    }
    let found = JUDGED.map(|property| support::of(&verdict, property).violations);
    let found: u64 = found.into_iter().sum();
    match World::new(history).judge() {
        Some(expected) => {
            let expected: u64 = expected.into_values().sum();
            prop_assert_eq!(found, expected, "{:#?}", verdict);
        }
        None => {
            let cycles = support::of(&verdict, Property::CausalConsistency);
            prop_assert!(cycles.violations > 0);
        }
    }
    Ok(Some(found))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_sets_of_tabs(bytes in proptest::collection::vec(any::<u8>(), 0..260)) {
        agree_about_tabs(&mut random_collections::history(Workload::Gset, &bytes))?;
    }

    #[test]
    fn random_sets(bytes in proptest::collection::vec(any::<u8>(), 0..260)) {
        agree(&random_collections::history(Workload::Gset, &bytes))?;
    }
}

/// What waited for the end of an operation was judged before that had been taken in, so that what it lacked was
/// made up for by the operation's own element: a fractured read was `ok`.
#[test]
fn what_an_operation_adds_counts_before_what_waited_for_it_is_judged() {
    let bytes = [
        8, 59, 96, 122, 177, 0, 5, 0, 19, 73, 90, 0, 207, 0, 58, 0, 56, 189, 0, 5, 180, 162, 6, 47,
        0, 30, 0, 10, 0, 30, 0, 0, 0, 0, 0, 0, 90, 32, 67, 0, 118, 43, 0, 0, 0, 19, 0, 8, 65, 92,
        47, 0, 0, 0, 0, 0, 0, 17, 104, 11, 0, 5, 4, 12, 61, 19, 0, 20, 0, 0, 0, 0, 0, 30, 0, 0, 0,
        0, 182, 94, 16, 88, 128, 0, 73, 20, 84, 0, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0, 5, 19, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60,
    ];
    let history = random_collections::history(Workload::Gset, &bytes);
    assert!(agree(&history).unwrap());
    let verdict = check(&history);
    let fractured = support::of(&verdict, Property::AtomicVisibility);
    assert_eq!(fractured.violations, 1, "{verdict:#?}");
}

#[test]
fn most_random_histories_are_compared_and_every_property_is_broken() {
    let mut random = squall_models::generate::Random::new(3);
    let mut compared = 0;
    let mut cycles = 0;
    let mut broken: BTreeSet<Property> = BTreeSet::new();
    for _ in 0..2_000 {
        let bytes: Vec<u8> = (0..260).map(|_| random.below(256) as u8).collect();
        let history = random_collections::history(Workload::Gset, &bytes);
        compared += u32::from(agree(&history).unwrap());
        match World::new(&history).judge() {
            Some(violations) => broken.extend(violations.into_keys()),
            None => cycles += 1,
        }
    }
    assert!(compared > 1_200, "{compared}");
    assert!(cycles > 0, "no cycle");
    assert_eq!(broken.len(), JUDGED.len(), "{broken:?}");
}
