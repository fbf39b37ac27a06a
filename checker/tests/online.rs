//! The checker along with a run, which does not know what comes, against the same with the whole history.

#[path = "support/random_collections.rs"]
mod random_collections;
#[path = "support/random_history.rs"]
mod random_history;
#[path = "support/random_ledger.rs"]
mod random_ledger;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use random_history::history;
use squall_checker::generate::{Bug, Config, generate};
use squall_checker::online::Online;
use squall_checker::{History, Verdict, check};
use squall_protocol::history::Event;
use squall_protocol::ledger::{ClientLedger, LedgerEffects, LedgerRow};
use squall_protocol::plan::{ClientKind, Workload};
use squall_protocol::transaction::Collections;
use squall_protocol::verdict::{Judgement, Property, PropertyClass};
use support::Story;

/// The verdict without the explanations, whose words may differ in what is known meanwhile.
fn bare(mut verdict: Verdict) -> Verdict {
    for property in &mut verdict.properties {
        property.examples.clear();
    }
    verdict
}

/// After every event (or only the last one) the verdict is that of the history so far, and in the
/// end nothing that was told has been taken back.
fn agree(history: &History, always: bool) -> Result<BTreeMap<Property, u64>, TestCaseError> {
    agree_when(history, |_| always)
}

/// As [`agree`], after the events of some places and the last one.
fn agree_when(
    history: &History,
    compared: impl Fn(usize) -> bool,
) -> Result<BTreeMap<Property, u64>, TestCaseError> {
    let mut online = Online::new(&history.header);
    let mut told: BTreeMap<Property, u64> = BTreeMap::new();
    let mut so_far = History {
        records: Vec::new(),
        ..history.clone()
    };
    for (place, record) in history.records.iter().enumerate() {
        for finding in online.push(record) {
            *told.entry(finding.property).or_default() += 1;
        }
        so_far.records.push(record.clone());
        if compared(place) {
            prop_assert_eq!(bare(online.verdict()), bare(check(&so_far)));
        }
    }
    let verdict = check(history);
    let found = online.verdict();
    for (online, offline) in found.properties.iter().zip(&verdict.properties) {
        prop_assert_eq!(online.examples.len(), offline.examples.len());
    }
    prop_assert_eq!(bare(found), bare(verdict.clone()));
    prop_assert_eq!(online.violations(), told.values().sum::<u64>());
    for property in &verdict.properties {
        let told = told.get(&property.property).copied().unwrap_or(0);
        // Models do not judge a history in which a value is written twice; before that they may.
        let note = property.note.as_deref().unwrap_or_default();
        let declined = note.contains("written by two transactions");
        prop_assert!(
            told <= property.violations || declined,
            "{told} told: {property:?}"
        );
    }
    Ok(told)
}

/// The history with its first two clients as tabs on one database, if both sync.
fn with_tabs(mut history: History) -> History {
    let clients = &mut history.header.clients;
    if clients.len() > 1 && clients[..2].iter().all(|client| client.kind.syncs()) {
        for tab in &mut clients[..2] {
            tab.browser = Some("t".to_owned());
        }
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 5_000,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_ledgers_of_tabs(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
        agree(&with_tabs(random_ledger::history(&bytes)), true)?;
    }

    #[test]
    fn random_collections_of_tabs(bytes in proptest::collection::vec(any::<u8>(), 0..260), cut in 0..60_usize) {
        for workload in [Workload::ListAppend, Workload::Gset] {
            let history = with_tabs(random_collections::history(workload, &bytes));
            agree_when(&history, |place| place == cut)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_histories(bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
        agree(&history(&bytes), true)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_ledgers(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
        agree(&random_ledger::history(&bytes), true)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_lists(bytes in proptest::collection::vec(any::<u8>(), 0..260), cut in 0..60_usize) {
        let history = random_collections::history(Workload::ListAppend, &bytes);
        agree_when(&history, |place| place == cut)?;
    }

    #[test]
    fn random_sets(bytes in proptest::collection::vec(any::<u8>(), 0..260), cut in 0..60_usize) {
        let history = random_collections::history(Workload::Gset, &bytes);
        agree_when(&history, |place| place == cut)?;
    }
}

/// Of many random histories of collections, how many break each property, and how many are fine.
#[test]
fn random_collections_break_every_property() {
    for workload in [Workload::ListAppend, Workload::Gset] {
        let mut random = squall_models::generate::Random::new(1);
        let mut broken: BTreeMap<Property, u32> = BTreeMap::new();
        let mut told: BTreeMap<Property, u64> = BTreeMap::new();
        let mut fine = 0;
        for _ in 0..4_000 {
            let bytes: Vec<u8> = (0..260).map(|_| random.below(256) as u8).collect();
            let history = random_collections::history(workload, &bytes);
            let verdict = check(&history);
            for property in support::violated(&verdict) {
                *broken.entry(property).or_default() += 1;
            }
            fine += u32::from(support::violated(&verdict).is_empty());
            for (property, count) in agree(&history, false).unwrap() {
                *told.entry(property).or_default() += count.min(1);
            }
        }
        assert!(fine > 200, "{workload:?} {fine}");
        let mut header = random_collections::history(workload, &[0, 9]).header;
        header.workload = workload;
        for property in squall_checker::properties(&header) {
            let broken = broken.get(&property).copied().unwrap_or(0);
            // Clients always report empty queues in time here.
            assert!(
                broken > 0 || property.class() == PropertyClass::Liveness,
                "{property:?}"
            );
            let told = told.get(&property).copied().unwrap_or(0);
            let of_an_end = [Property::StrongConvergence, Property::Durability].contains(&property);
            let of_an_end = of_an_end || property.class() == PropertyClass::Liveness;
            assert_eq!(told > 0, !of_an_end, "{property:?}");
        }
    }
}

/// Every header that a plan can make, as far as properties depend on it.
#[test]
fn every_header_has_its_properties() {
    use squall_protocol::plan::Isolation;
    let fleets = ClientKind::ALL.into_iter().flat_map(|one| {
        let with = move |other| vec![one, other];
        let pairs = ClientKind::ALL.into_iter().map(with);
        pairs.chain([vec![one], vec![one; 3]])
    });
    let isolations = [
        Isolation::ReadCommitted,
        Isolation::RepeatableRead,
        Isolation::Serializable,
    ];
    let mut lists: Vec<Vec<Property>> = Vec::new();
    for fleet in fleets.chain([Vec::new()]) {
        for &workload in Workload::ALL {
            for (isolation, payload) in isolations.iter().flat_map(|i| [(*i, false), (*i, true)]) {
                let names = ["x", "y", "z"].into_iter().zip(fleet.iter().copied());
                let mut story = Story::with_clients(2, names);
                story.invoke("x", 1, &[0]);
                story.phase(squall_protocol::history::Phase::Heal);
                let mut history = story.history();
                history.header.workload = workload;
                history.header.isolation = isolation;
                // Elsewhere a plan has none.
                history.header.payload = payload && workload == Workload::Ledger;
                let mut online = Online::new(&history.header);
                for record in &history.records {
                    assert_eq!(online.push(record), []);
                }
                let verdict = online.verdict();
                assert_eq!(verdict, check(&history), "{:?}", history.header);
                let judged = verdict.properties.iter().map(|p| p.property);
                let judged: Vec<Property> = judged.collect();
                let listed: Vec<Property> = squall_checker::properties(&history.header).collect();
                assert_eq!(judged, listed, "{:?}", history.header);
                if !lists.contains(&judged) {
                    lists.push(judged);
                }
            }
        }
    }
    // Four workloads, the payload, and each of these with and without one copy, lists and sets alike; and
    // counters.
    assert_eq!(lists.len(), 9);
}

#[test]
fn contradictions_are_the_same() {
    let mut story = Story::new(2);
    story.read("b", &[1, -1]);
    story.write("a", &[-1, -1], 1, &[0, 1]);
    story.read("b", &[1, -1]);
    story.write("b", &[-1, -1], 1, &[0]);
    story.read("c", &[1, -1]);
    story.read("c", &[1, 1]);
    let twice = story.invoke("a", 2, &[0]);
    story.info("a", twice);
    story.ok("a", twice, support::rows(&[1, 1]), vec![(0, 2)]);
    story.ok("nobody", 99, Vec::new(), Vec::new());
    story.status("somebody", 0, true);
    story.final_read("a", &[1, 1]);
    let strange = story.invoke("a", 3, &[0, 7]);
    story.ok(
        "a",
        strange,
        support::rows(&[1, 1, 3]),
        vec![(0, 3), (1, 3)],
    );
    agree(&story.history(), true).unwrap();
    story.good_end(&[3, 1]);
    agree(&story.history(), true).unwrap();
}

#[test]
fn a_value_of_an_operation_that_is_under_way_waits_for_its_end() {
    for fails in [false, true] {
        let mut story = Story::new(2);
        let write = story.invoke("a", 5, &[0, 1]);
        story.read("b", &[5, -1]);
        if fails {
            story.fail("a", write);
        } else {
            story.ok("a", write, support::rows(&[-1, -1]), vec![(0, 5), (1, 5)]);
        }
        let history = story.history();
        let mut online = Online::new(&history.header);
        let found: Vec<Vec<Property>> = history
            .records
            .iter()
            .map(|record| online.push(record).iter().map(|f| f.property).collect())
            .collect();
        let expected = if fails {
            Property::NoThinAirRead
        } else {
            Property::AtomicVisibility
        };
        assert_eq!(found, [vec![], vec![], vec![], vec![expected]]);
    }
}

#[test]
fn an_operation_that_ended_in_info_is_certain_where_it_was_read() {
    let mut story = Story::new(2);
    let write = story.invoke("a", 5, &[0, 1]);
    story.info("a", write);
    for _ in 0..7 {
        story.read("b", &[5, -1]);
    }
    story.read("c", &[-1, 5]);
    let history = story.history();
    let mut online = Online::new(&history.header);
    let (last, before) = history.records.split_last().unwrap();
    assert!(before.iter().all(|record| online.push(record).is_empty()));
    // Now it is known that the other row was written too: b has seen a part only, and so has c.
    let found = online.push(last);
    let atomic = |f: &&squall_checker::online::Finding| f.property == Property::AtomicVisibility;
    assert_eq!(found.iter().filter(atomic).count(), TOLD_AT_ONCE);
    let verdict = online.verdict();
    let counted = support::of(&verdict, Property::AtomicVisibility).violations;
    assert_eq!(counted, 8);
    agree(&history, true).unwrap();
}

#[test]
fn a_row_of_an_operation_that_is_under_way_waits_for_its_end() {
    for fails in [false, true] {
        let mut story = Story::new(1);
        let write = story.invoke("a", 5, &[0]);
        let read = story.invoke("b", -1, &[]);
        story.ok("b", read, support::rows(&[5]), Vec::new());
        if fails {
            story.fail("a", write);
        } else {
            story.ok("a", write, support::rows(&[-1]), vec![(0, 5)]);
        }
        let mut history = story.history();
        history.header.workload = Workload::Ledger;
        let row = |writes: &str| LedgerRow {
            seq: 1,
            id: "5".to_owned(),
            writes: writes.to_owned(),
            copies: 1,
        };
        for record in &mut history.records {
            if let Event::Ok { effects, .. } = &mut record.event {
                let wrote = !effects.writes.is_empty();
                let part = ClientLedger {
                    client: "a".to_owned(),
                    above: 0,
                    count: 1,
                    highest: 1,
                    rows: vec![row("[]")],
                };
                effects.ledger = Some(LedgerEffects {
                    reads: if wrote { Vec::new() } else { vec![part] },
                    seq: wrote.then_some(1),
                });
            }
        }
        let mut online = Online::new(&history.header);
        let found: Vec<bool> = history
            .records
            .iter()
            .map(|record| {
                let found = online.push(record);
                let mut properties = found.iter().map(|found| found.property);
                properties.any(|property| property == Property::NoThinAirTransaction)
            })
            .collect();
        assert_eq!(found, [false, false, false, true], "{fails}");
        agree(&history, true).unwrap();
    }
}

#[test]
fn generated_runs() {
    for bug in Bug::ALL.map(Some).into_iter().chain([None]) {
        for seed in 0..40 {
            let config = Config {
                bug,
                keys: 1 + (seed % 7) as u32,
                writes_per_transaction: 1 + (seed % 3) as u32,
                percent_info: 10,
                percent_fail: 10,
                ..Config::new(seed, 20 + seed)
            };
            agree(&generate(&config), true).unwrap_or_else(|e| panic!("{bug:?}, {seed}: {e}"));
        }
        for seed in 0..3 {
            let history = generate(&Config {
                bug,
                percent_fail: 10,
                ..Config::new(seed, 600)
            });
            let told = agree(&history, false).unwrap_or_else(|e| panic!("{bug:?}, {seed}: {e}"));
            assert_eq!(bug.is_none(), told.is_empty(), "{bug:?}, {seed}");
            everything_is_told_before_the_final_reads(&history);
        }
    }
}

/// Of how many violations of a property that become certain at once a run is told.
const TOLD_AT_ONCE: usize = 5;

/// Where every operation has ended, nothing waits for the verdict.
fn everything_is_told_before_the_final_reads(history: &History) {
    let mut history = history.clone();
    history.records.retain(|record| {
        !matches!(
            record.event,
            Event::FinalReadPostgres { .. } | Event::Info { .. }
        )
    });
    let ended: BTreeSet<u64> = history
        .records
        .iter()
        .filter_map(|record| match record.event {
            Event::Ok { operation, .. } | Event::Fail { operation, .. } => Some(operation),
            _ => None,
        })
        .collect();
    history.records.retain(
        |record| !matches!(&record.event, Event::Invoke { operation, .. } if !ended.contains(operation)),
    );
    let mut online = Online::new(&history.header);
    let mut told: BTreeMap<Property, u64> = BTreeMap::new();
    let mut more: BTreeSet<Property> = BTreeSet::new();
    for record in &history.records {
        let mut at_once: BTreeMap<Property, usize> = BTreeMap::new();
        for finding in online.push(record) {
            *told.entry(finding.property).or_default() += 1;
            *at_once.entry(finding.property).or_default() += 1;
        }
        let full = at_once
            .into_iter()
            .filter(|(_, told)| *told == TOLD_AT_ONCE);
        more.extend(full.map(|(property, _)| property));
    }
    for property in check(&history).properties {
        let is_of_an_end = property.property == Property::StrongConvergence
            || property.property.class() == PropertyClass::Liveness;
        if is_of_an_end || property.property == Property::NoThinAirRead {
            continue;
        }
        let told = told.get(&property.property).copied().unwrap_or(0);
        let all = told == property.violations;
        assert!(
            all || more.contains(&property.property),
            "{told} told: {property:?}"
        );
    }
}

#[test]
fn an_enormous_claim_is_declined() {
    let mut story = Story::new(u32::MAX);
    story.read("a", &[-1]);
    let history = story.history();
    let mut online = Online::new(&history.header);
    for record in &history.records {
        online.push(record);
    }
    assert_eq!(online.verdict(), check(&history));
    assert_eq!(online.verdict().judgement, Judgement::Unknown);

    let mut of_ledger = history;
    of_ledger.header.workload = Workload::Ledger;
    let judged: Vec<Property> = check(&of_ledger)
        .properties
        .iter()
        .map(|verdict| verdict.property)
        .collect();
    assert_eq!(judged, [&Property::ALL[..], &Property::LEDGER[..]].concat());
}

/// Something is read before its writer is even invoked, who then fails: a search for an order along with
/// the run must not count on the write. Whenever the search takes place.
#[test]
fn a_search_does_not_count_on_what_is_under_way() {
    for pad in 0..40 {
        let mut story = Story::new(2);
        let lists = |lists: &[&str]| -> Collections {
            let texts = lists.iter().map(|text| (*text).to_owned());
            (0..).zip(texts).collect()
        };
        let read = |story: &mut Story, client: &str, found: &[&str]| {
            let operation = story.invoke(client, -1, &[]);
            let effects = support::of_collections(Some(lists(found)), Vec::new());
            story.committed(client, operation, effects);
        };
        for _ in 0..pad {
            read(&mut story, "a", &["", ""]);
        }
        read(&mut story, "b", &["6", ""]);
        let write = story.invoke("c", 6, &[0, 1]);
        for _ in 0..3 {
            read(&mut story, "a", &["", ""]);
        }
        story.fail("c", write);
        let mut history = story.history();
        history.header.workload = Workload::ListAppend;
        let told = agree(&history, false).unwrap_or_else(|e| panic!("{pad}: {e}"));
        assert_eq!(
            told.into_keys().collect::<Vec<_>>(),
            [Property::NoThinAirRead]
        );
    }
}

/// In one copy of the data a write may be read before its answer comes, which says what it left out.
#[test]
fn a_search_waits_for_what_is_read_of_an_operation_under_way() {
    for (pad, fails) in (0..40).flat_map(|pad| [(pad, false), (pad, true)]) {
        let clients = ["a", "b"].map(|name| (name, ClientKind::Sqlite));
        let mut story = Story::with_clients(2, clients);
        for _ in 0..pad {
            story.read("a", &[-1, -1]);
        }
        let write = story.invoke("b", 5, &[0, 1]);
        for _ in 0..3 {
            story.read("a", &[5, -1]);
        }
        match fails {
            true => story.fail("b", write),
            false => story.ok("b", write, support::rows(&[-1, -1]), vec![(0, 5)]),
        }
        story.read("a", &[5, -1]);
        let told = agree(&story.history(), false).unwrap_or_else(|e| panic!("{pad}: {e}"));
        assert_eq!(told.contains_key(&Property::NoThinAirRead), fails, "{pad}");
    }
}
