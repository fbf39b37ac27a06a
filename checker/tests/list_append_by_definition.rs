//! The named guarantees of `list-append` by their definitions, with whole lists instead of a tree: where
//! nothing is out of thin air, since there every version has one list.

#[path = "support/random_collections.rs"]
mod random_collections;
mod support;
#[path = "support/world.rs"]
mod world;

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use squall_checker::{History, check};
use squall_protocol::plan::Workload;
use squall_protocol::transaction::{Key, Value};
use squall_protocol::verdict::Property;
use world::{Read, World};

const JUDGED: [Property; 5] = [
    Property::ReadYourWrites,
    Property::MonotonicReads,
    Property::MonotonicWrites,
    Property::WritesFollowReads,
    Property::AtomicVisibility,
];

/// A list that was read, or the one that a transaction wrote.
type List = Vec<Value>;

struct Lists {
    world: World,
    /// The list that each operation wrote to a key, where any read tells.
    written: HashMap<(usize, Key), List>,
}

fn list(text: &str) -> List {
    text.split(' ')
        .filter_map(|part| part.parse().ok())
        .collect()
}

/// The lists of a read.
fn lists(read: &Read) -> Vec<(Key, List)> {
    let told = read.told.iter().flatten();
    told.map(|(key, text)| (*key, list(text))).collect()
}

/// Whether the other list goes on where this one ends.
fn is_older(list: &[Value], other: &[Value]) -> bool {
    other.len() > list.len() && other.starts_with(list)
}

impl Lists {
    fn new(history: &History) -> Lists {
        let world = World::new(history);
        let mut written = HashMap::new();
        for read in &world.reads {
            for (key, list) in lists(read) {
                // What its writer says, and every list that begins with it.
                for (operation, of) in world.operations.iter().enumerate() {
                    let at = list.iter().position(|value| *value == of.value);
                    if let Some(at) = at.filter(|_| read.elements.contains(&(key, operation))) {
                        written.insert((operation, key), list[..=at].to_vec());
                    } else if read.operation == Some(operation) && of.written.contains(&key) {
                        let own = list.iter().copied().chain([of.value]);
                        written.insert((operation, key), own.collect());
                    }
                }
            }
        }
        Lists { world, written }
    }

    /// The latest version that a session has written to a list before that place and that is known.
    fn wrote(&self, session: usize, key: Key, place: usize) -> Option<&List> {
        let (_, committed) = self.world.before(session, place);
        let known = committed.into_iter().filter_map(|operation| {
            let place = self.world.operations[operation].place();
            Some((place, self.written.get(&(operation, key))?))
        });
        known.max_by_key(|(place, _)| *place).map(|(_, list)| list)
    }

    /// What an operation of a session has read last of a list before that place.
    fn read(&self, session: usize, key: Key, place: usize) -> Option<List> {
        let (reads, _) = self.world.before(session, place);
        let reads = reads.into_iter().map(|read| &self.world.reads[read]);
        let by_operations = reads.filter(|read| read.operation.is_some());
        let of_key = by_operations.filter_map(|read| {
            let of_key = lists(read).into_iter().find(|(other, _)| *other == key);
            Some((read.completed, of_key?.1))
        });
        of_key.max_by_key(|(place, _)| *place).map(|(_, list)| list)
    }

    fn judge(&self) -> BTreeMap<Property, u64> {
        let mut violations: BTreeMap<Property, u64> = BTreeMap::new();
        for read in &self.world.reads {
            let lists = lists(read);
            // The transactions whose versions it returned.
            let shown = |of: &usize| {
                lists.iter().any(|(key, list)| {
                    list.last() == Some(&self.world.operations[*of].value)
                        && read.elements.contains(&(*key, *of))
                })
            };
            let shown: Vec<usize> = (0..self.world.operations.len()).filter(shown).collect();
            // Of each other session the latest.
            let latest = shown.iter().copied().filter(|of| {
                let of = &self.world.operations[*of];
                let later = |other: &usize| {
                    let other = &self.world.operations[*other];
                    other.session == of.session && other.place() > of.place()
                };
                of.session != read.session && !shown.iter().any(later)
            });
            let latest: Vec<usize> = latest.collect();
            let mut count = |property: Property, list: &[Value], known: Option<&List>| {
                if known.is_some_and(|known| is_older(list, known)) {
                    *violations.entry(property).or_default() += 1;
                }
            };
            for (key, list) in &lists {
                let own = self.wrote(read.session, *key, read.completed);
                count(Property::ReadYourWrites, list, own);
                let own = self.read(read.session, *key, read.completed);
                count(Property::MonotonicReads, list, own.as_ref());
                for of in &shown {
                    let version = self.written.get(&(*of, *key));
                    count(Property::AtomicVisibility, list, version);
                }
                for of in &latest {
                    let by = &self.world.operations[*of];
                    if list.last() == Some(&by.value) {
                        continue;
                    }
                    let version = self.wrote(by.session, *key, by.place());
                    count(Property::MonotonicWrites, list, version);
                    let after = by.place() + usize::from(by.committed.is_some());
                    let version = self.read(by.session, *key, after);
                    count(Property::WritesFollowReads, list, version.as_ref());
                }
            }
        }
        violations
    }
}

/// Whether the history was compared.
fn agree(history: &History) -> Result<Option<BTreeMap<Property, u64>>, TestCaseError> {
    let verdict = check(history);
    let breaks_rules = verdict
        .notes
        .iter()
        .any(|note| note.contains("contradicts"));
    if breaks_rules || support::of(&verdict, Property::NoThinAirRead).violations > 0 {
        return Ok(None);
    }
    let expected = Lists::new(history).judge();
    for property in JUDGED {
        let found = support::of(&verdict, property).violations;
        let expected = expected.get(&property).copied().unwrap_or(0);
        prop_assert_eq!(found, expected, "{:?} {:#?}", property, verdict);
    }
    Ok(Some(expected))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_lists(bytes in proptest::collection::vec(any::<u8>(), 0..260)) {
        agree(&random_collections::history(Workload::ListAppend, &bytes))?;
    }
}

#[test]
fn many_random_histories_are_compared_and_every_property_is_broken() {
    let mut random = squall_models::generate::Random::new(3);
    let mut compared = 0;
    let mut broken: BTreeMap<Property, u64> = BTreeMap::new();
    for _ in 0..4_000 {
        let bytes: Vec<u8> = (0..260).map(|_| random.below(256) as u8).collect();
        let history = random_collections::history(Workload::ListAppend, &bytes);
        let violations = agree(&history).unwrap();
        compared += u32::from(violations.is_some());
        for (property, count) in violations.into_iter().flatten() {
            *broken.entry(property).or_default() += count;
        }
    }
    assert!(compared > 800, "{compared}");
    assert_eq!(broken.len(), JUDGED.len(), "{broken:?}");
}
