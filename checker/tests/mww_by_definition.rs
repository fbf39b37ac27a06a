//! The checker against the definitions, on random small histories.

#[allow(dead_code)]
#[path = "support/by_definition.rs"]
mod by_definition;
#[path = "support/random_history.rs"]
mod random_history;
mod support;

use by_definition::{Definition, Violations};
use proptest::prelude::*;
use random_history::history;
use squall_checker::generate::{Bug, Config, generate};
use squall_checker::{History, check};
use squall_protocol::verdict::{Judgement, Property};

fn found(history: &History) -> Violations {
    check(history)
        .properties
        .into_iter()
        .filter(|verdict| Property::OF_READS.contains(&verdict.property) && verdict.violations > 0)
        .map(|verdict| (verdict.property, verdict.violations))
        .collect()
}

/// Compares a history with the definitions; returns whether it was causal.
fn agree(history: &History) -> Result<bool, TestCaseError> {
    let definition = Definition::new(history);
    let found = found(history);
    prop_assert_eq!(&found, &definition.violations());
    // What the module says about causal consistency, where every row was read once.
    if !found.contains_key(&Property::NoThinAirRead) && !definition.sees_its_own_future() {
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
