//! The judges of `list-append` and `gset` against the definitions, on random small histories.

#[path = "support/collections_definition.rs"]
mod collections_definition;
#[path = "support/random_replicas.rs"]
mod random_replicas;
#[path = "../../models/tests/support/seed.rs"]
mod seed;
mod support;

use std::collections::BTreeMap;

use collections_definition::{Definition, Violations};
use random_replicas::history;
use seed::random_seed;
use squall_checker::{History, check};
use squall_protocol::plan::Workload;
use squall_protocol::verdict::{Judgement, Property};

const OF_READS: [Property; 7] = [
    Property::ReadYourWrites,
    Property::MonotonicReads,
    Property::MonotonicWrites,
    Property::WritesFollowReads,
    Property::AtomicVisibility,
    Property::NoThinAirRead,
    Property::CausalConsistency,
];

/// How many of each workload are compared.
const HISTORIES: u64 = 100_000;

/// How many histories were found `ok`, `violation` and `unknown`, by property.
type Counts = BTreeMap<Property, [u64; 3]>;

/// Compares every property of a history with its definition.
fn agree(seed: u64, history: &History, counts: &mut Counts) {
    let verdict = check(history);
    let of_lists = history.header.workload == Workload::ListAppend;
    let definition = Definition::new(history);
    let context = || format!("seed {seed}\n{}\n{verdict:#?}", text(history));
    for property in &verdict.properties {
        let count = counts.entry(property.property).or_default();
        count[property.judgement as usize] += 1;
    }
    let mut found: Violations = verdict
        .properties
        .iter()
        .filter(|p| p.violations > 0)
        .map(|p| (p.property, p.violations))
        .collect();
    // On one copy, of which the models of registers are the judges.
    found.remove(&Property::StrictSerializability);
    let thin_air = found.contains_key(&Property::NoThinAirRead);
    for (property, violated) in definition.of_the_end() {
        let violations = found.remove(&property).unwrap_or_default();
        // What was lost of lists that are garbled is not defined.
        if !(of_lists && thin_air && property == Property::Durability) {
            assert_eq!(violations > 0, violated, "{property:?}, {}", context());
        }
    }
    let expected = match of_lists {
        true => Some(definition.of_lists()),
        false => definition.of_sets(),
    };
    let Some(expected) = expected else {
        let causal = found.contains_key(&Property::CausalConsistency);
        assert!(causal, "causality has a cycle, {}", context());
        return;
    };
    if of_lists {
        // What is garbled shows in several reads, and everything else is about lists that are not.
        let expected = expected.contains_key(&Property::NoThinAirRead);
        assert_eq!(thin_air, expected, "{}", context());
        if thin_air {
            return;
        }
        if let Some(count) = found.get_mut(&Property::CausalConsistency) {
            *count = 1;
        }
    }
    assert_eq!(found, expected, "{}", context());
}

/// The history as somebody would note it down.
fn text(history: &History) -> String {
    let mut lines = Vec::new();
    squall_checker::write_history(history, &mut lines).expect("writing to memory");
    String::from_utf8(lines).expect("JSON is text")
}

fn random_histories(workload: Workload) {
    let mut counts = Counts::new();
    let first = random_seed().wrapping_mul(HISTORIES);
    for seed in (0..HISTORIES).map(|number| first.wrapping_add(number)) {
        agree(seed, &history(seed, workload), &mut counts);
    }
    // A comparison is worth nothing if the answer is always the same.
    for property in OF_READS.into_iter().chain([
        Property::StrongConvergence,
        Property::StorageIntact,
        Property::QueueDrained,
        Property::RecoveredInTime,
        Property::Durability,
    ]) {
        let found = counts[&property];
        let (ok, violations) = (
            found[Judgement::Ok as usize],
            found[Judgement::Violation as usize],
        );
        assert!(ok >= 200 && violations >= 200, "{counts:#?}");
    }
}

#[test]
fn random_lists() {
    random_histories(Workload::ListAppend);
}

#[test]
fn random_sets() {
    random_histories(Workload::Gset);
}
