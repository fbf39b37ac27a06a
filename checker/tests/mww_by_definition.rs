//! The checker against the definitions, on random small histories.

#[allow(dead_code)]
#[path = "support/by_definition.rs"]
mod by_definition;
mod support;

use by_definition::{Definition, Violations};
use proptest::prelude::*;
use squall_checker::generate::mww::{Bug, Config, generate};
use squall_checker::{History, check};
use squall_protocol::plan::ClientKind;
use squall_protocol::transaction::{Key, Rows, Value};
use squall_protocol::verdict::{Judgement, Property};
use support::Story;

const OF_READS: [Property; 6] = [
    Property::ReadYourWrites,
    Property::MonotonicReads,
    Property::MonotonicWrites,
    Property::WritesFollowReads,
    Property::AtomicVisibility,
    Property::NoThinAirRead,
];

/// Bytes that decide about a history, one after the other. They shrink well.
struct Choices<'b>(std::slice::Iter<'b, u8>);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte) % bound)
    }
}

/// A random history in which most reads are plausible: rows hold what somebody wrote there.
fn history(bytes: &[u8]) -> History {
    let mut choices = Choices(bytes.iter());
    let keys = 1 + choices.below(3) as Key;
    let names = ["a", "b", "c"];
    let kinds = [ClientKind::Native, ClientKind::Native, ClientKind::Postgres];
    let mut story = Story::with_clients(keys, names.into_iter().zip(kinds));
    let count = 2 + choices.below(5);
    // For each row what could be read from it.
    let mut offers: Vec<Vec<Value>> = vec![vec![-1]; keys as usize];
    let mut open: Vec<Open> = Vec::new();
    for value in (0..).take(count) {
        let client = names[choices.below(3)];
        if choices.below(12) == 0 {
            story.start(client, 1, ["x", "y"][choices.below(2)]);
        }
        let mut rows = Vec::new();
        for key in 0..keys {
            let offered = &offers[key as usize];
            match choices.below(40) {
                0 => {}
                1 => rows.extend([(key, -1), (key, offered[offered.len() - 1])]),
                2 => rows.push((key, 99)),
                3 => rows.push((key, value)),
                _ => rows.push((
                    key,
                    offered[offered.len() - 1 - choices.below(offered.len())],
                )),
            }
        }
        let mut written: Vec<Key> = Vec::new();
        for key in 0..keys {
            if choices.below(2) == 0 {
                written.push(key);
            }
        }
        let operation = story.invoke(client, value, &written);
        let end = choices.below(10);
        for key in &written {
            // What failed is hardly ever offered.
            if end != 0 || choices.below(4) == 0 {
                offers[*key as usize].push(value);
            }
        }
        match end {
            0 => story.fail(client, operation),
            1 | 2 => story.info(client, operation),
            3 => open.push((operation, client, value, written, rows)),
            _ => complete(&mut story, (operation, client, value, written, rows)),
        }
        if choices.below(2) == 0
            && let Some(operation) = open.pop()
        {
            complete(&mut story, operation);
        }
    }
    for client in names.into_iter().take(choices.below(3)) {
        let values: Vec<Value> = offers
            .iter()
            .map(|offered| offered[offered.len() - 1 - choices.below(offered.len())])
            .collect();
        if choices.below(4) == 0 {
            story.postgres(&values);
        } else {
            story.final_read(client, &values);
        }
    }
    story.history()
}

/// An operation that has not ended: its number, client, value, keys, and what it will have read.
type Open = (u64, &'static str, Value, Vec<Key>, Rows);

fn complete(story: &mut Story, (operation, client, value, keys, rows): Open) {
    let lower = |key: &&Key| !rows.iter().any(|row| row.0 == **key && row.1 > value);
    let writes = keys.iter().filter(lower).map(|key| (*key, value)).collect();
    story.ok(client, operation, rows, writes);
}

fn found(history: &History) -> Violations {
    check(history)
        .properties
        .into_iter()
        .filter(|verdict| OF_READS.contains(&verdict.property) && verdict.violations > 0)
        .map(|verdict| (verdict.property, verdict.violations))
        .collect()
}

/// Compares a history with the definitions; returns whether it was causal.
fn agree(history: &History) -> Result<bool, TestCaseError> {
    let definition = Definition::new(history);
    let found = found(history);
    prop_assert_eq!(&found, &definition.violations());
    // What the module says about causal consistency, where every row was read once.
    if !found.contains_key(&Property::NoThinAirRead) {
        prop_assert_eq!(found.is_empty(), definition.is_causal());
    }
    Ok(found.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100_000,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_histories(bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
        agree(&history(&bytes))?;
    }
}

fn small(seed: u64, bug: Option<Bug>) -> History {
    generate(&Config {
        native: 1 + (seed % 3) as u32,
        postgres: (seed / 3 % 2) as u32,
        keys: 1 + (seed / 6 % 4) as u32,
        writes_per_transaction: 1 + (seed / 24 % 2) as u32,
        percent_info: 10,
        percent_fail: 10,
        bug,
        ..Config::new(seed, 4 + seed % 12)
    })
}

#[test]
fn a_correct_system_is_never_accused() {
    for seed in 0..3_000 {
        let history = small(seed, None);
        let verdict = check(&history);
        assert_ne!(
            verdict.judgement,
            Judgement::Violation,
            "{seed}: {verdict:#?}"
        );
        // Small enough that now and then nothing tests a guarantee; never anything else.
        for property in &verdict.properties {
            assert!(
                property.judgement == Judgement::Ok || property.exercised == 0,
                "{seed}: {property:?}"
            );
        }
    }
    for seed in 0..20 {
        let verdict = check(&generate(&Config::new(seed, 400)));
        assert_eq!(verdict.judgement, Judgement::Ok, "{seed}: {verdict:#?}");
    }
}

#[test]
fn a_broken_system_is_accused_of_what_it_does() {
    for bug in Bug::ALL {
        let mut accused = 0;
        for seed in 0..400 {
            let history = small(seed, Some(bug));
            let causal = agree(&history).unwrap_or_else(|e| panic!("{bug:?}, {seed}: {e}"));
            accused += u32::from(!causal);
        }
        assert!(accused > 10, "{bug:?} was found {accused} times");
        // In a run of some length each is always found.
        let expected = match bug {
            Bug::TornUpload => Property::AtomicVisibility,
            Bug::ReorderedUpload => Property::MonotonicWrites,
            Bug::LostQueue => Property::ReadYourWrites,
            Bug::StaleDownload => Property::MonotonicReads,
            Bug::VanishedRow | Bug::InventedValue | Bug::AppliedFailure => Property::NoThinAirRead,
            Bug::SkippedRow => Property::WritesFollowReads,
        };
        for seed in 0..5 {
            let config = Config {
                bug: Some(bug),
                percent_fail: 10,
                ..Config::new(seed, 600)
            };
            let verdict = check(&generate(&config));
            let judgement = support::of(&verdict, expected).judgement;
            assert_eq!(
                judgement,
                Judgement::Violation,
                "{bug:?}, {seed}: {verdict:#?}"
            );
        }
    }
}
