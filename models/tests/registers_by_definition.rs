//! The models over registers against their definitions, on random small histories.

#[path = "support/commit_order.rs"]
mod commit_order;

use commit_order::{
    By, Operation, Transaction, build, depends_on_order, exercises, history, holds,
    with_other_versions,
};
use proptest::prelude::*;
use squall_models::formats::plume;
use squall_models::registers::Judgement;
use squall_models::registers::{AnomalyKind, Builder, Merge, Model, Outcome, Registers};

fn agree(history: &[Transaction], merge: Merge, by: By) -> Result<(), TestCaseError> {
    let registers = build(history, merge);
    for &model in Model::ALL {
        if matches!(by, By::Saturation) && depends_on_order(model) {
            continue;
        }
        if model == Model::CausalPerKey && merge == Merge::Transaction {
            continue;
        }
        let report = registers.check(model);
        let expected = match holds(history, model, merge, by) {
            false => Judgement::Violation,
            true if exercises(history, model) => Judgement::Ok,
            true => Judgement::Unknown,
        };
        prop_assert_eq!(report.judgement, expected, "{:?} {:#?}", model, report);
        prop_assert_eq!(
            report.judgement == Judgement::Unknown,
            report.note.is_some()
        );
        prop_assert_eq!(
            report.judgement == Judgement::Violation,
            !report.anomalies.is_empty()
        );
        for anomaly in &report.anomalies {
            prop_assert!(!anomaly.summary.is_empty());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 50_000,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_histories(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        agree(&history(&bytes, 5), Merge::Transaction, By::Permutation)?;
    }

    #[test]
    fn random_histories_merged_by_key(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        step in prop_oneof![Just(1_u64), 1..97_u64],
    ) {
        let history = with_other_versions(history(&bytes, 5), step);
        agree(&history, Merge::PerKey, By::Permutation)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3_000,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn longer_random_histories(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        agree(&history(&bytes, 7), Merge::Transaction, By::Permutation)?;
        agree(&history(&bytes, 7), Merge::PerKey, By::Permutation)?;
    }
}

proptest! {
    /// The same history, through Plume's text with the lines of its sessions interleaved.
    #[test]
    fn the_same_through_plume(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        choices in proptest::collection::vec(any::<prop::sample::Index>(), 200),
    ) {
        let mut history = history(&bytes, 6);
        history.retain(|transaction| transaction.outcome != Outcome::Unknown);
        let mut queues: Vec<std::collections::VecDeque<(usize, Operation)>> = Vec::new();
        for session in 0..3 {
            queues.push(history.iter().enumerate()
                .filter(|(_, transaction)| transaction.session == session)
                .flat_map(|(label, transaction)| transaction.operations.iter().map(move |o| (label, *o)))
                .collect());
        }
        let mut text = Vec::new();
        let mut choices = choices.iter();
        while queues.iter().any(|queue| !queue.is_empty()) {
            let mut open: Vec<_> = queues.iter_mut().filter(|queue| !queue.is_empty()).collect();
            let at = choices.next().map_or(0, |choice| choice.index(open.len()));
            let (label, operation) = open[at].pop_front().unwrap();
            let (write, key, value) = match operation {
                Operation::Read(key, value) => (false, key, value),
                Operation::Write(key, value) => (true, key, value),
            };
            let aborted = history[label].outcome == Outcome::Aborted;
            plume::write(&mut text, plume::Line {
                write,
                key,
                value,
                session: history[label].session,
                transaction: (!aborted).then_some(label as u64),
            }).unwrap();
        }
        let read = plume::read(&text[..]).unwrap();
        for model in Model::OF_TRANSACTIONS {
            prop_assert_eq!(read.check(model).judgement, build(&history, Merge::Transaction).check(model).judgement);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_danger(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = plume::read(&bytes[..]);
    }

    #[test]
    fn arbitrary_lines_are_no_danger(text in "([rw]\\([0-9]{1,3},[0-3],[0-2],-?[0-3]\\)\n?){0,30}") {
        if let Ok(registers) = plume::read(text.as_bytes()) {
            for model in Model::OF_TRANSACTIONS {
                registers.check(model);
            }
        }
    }
}

fn judge(text: &str, model: Model) -> Judgement {
    plume::read(text.as_bytes()).unwrap().check(model).judgement
}

#[test]
fn an_initial_value_is_real() {
    // A session writes a row and then reads its initial value: its write is lost.
    for model in [Model::ReadAtomic, Model::Causal] {
        assert_eq!(
            judge("w(1,1,0,0)\nr(1,0,0,1)\n", model),
            Judgement::Violation
        );
    }
    // Nothing was read from the first transaction, so read committed has nothing to say.
    assert_eq!(
        judge("w(1,1,0,0)\nr(1,0,0,1)\n", Model::ReadCommitted),
        Judgement::Ok
    );
    assert_eq!(
        judge("w(1,1,0,0)\nr(1,0,1,1)\n", Model::Causal),
        Judgement::Ok
    );
}

#[test]
fn errors_have_a_place() {
    let error = |text: &str| plume::read(text.as_bytes()).unwrap_err().to_string();
    insta::assert_snapshot!(error("w(1,1,0,0)\nx(1)\n"), @"line 2, column 1: expected an operation such as r(1,7,0,3) or w(1,7,0,3): key, value, session, transaction");
    insta::assert_snapshot!(error("w(1,1,0,0)\nw(1,1\n"), @"line 2, column 6: expected a comma, and then the session");
    insta::assert_snapshot!(error("w(1,99999999999999999999,0,0)"), @"line 1, column 24: expected a number from 0 to 18446744073709551615");
    insta::assert_snapshot!(error("w(1,1,0,0)\nw(1,1,0,1)\n"), @"the history can not be checked: key 1, value 1: written by two transactions; writes must be unique, so that a read tells which write it saw");
    insta::assert_snapshot!(error("w(1,0,0,0)\nw(1,0,1,1)\n"), @"the history can not be checked: key 1, value 0: written by two transactions; writes must be unique, so that a read tells which write it saw");
}

fn explain(text: &str, model: Model) -> String {
    let report = plume::read_versions(text.as_bytes()).unwrap().check(model);
    let lines: Vec<String> = report.anomalies.into_iter().map(|a| a.summary).collect();
    lines.join("\n")
}

#[test]
fn explanations() {
    // Lost write, shown by the initial value.
    insta::assert_snapshot!(explain("w(1,1,0,0)\nr(1,0,0,1)\n", Model::Causal), @"Transaction 1 of session 0 read key 1 with its initial value, but its own session had overwritten that: it misses the write of transaction 0 of session 0. Transaction 0 of session 0 precedes transaction 1 of session 0.");
    // Causality through another session.
    insta::assert_snapshot!(explain("w(1,1,0,0)\nr(1,1,1,1)\nw(2,1,1,1)\nr(2,1,2,2)\nr(1,0,2,2)\n", Model::Causal), @"Transaction 2 of session 2 read key 1 with its initial value, but it also reads from a session that had read a later version before: it misses the write of transaction 0 of session 0. Transaction 1 of session 1 read key 1 from transaction 0 of session 0. Transaction 2 of session 2 read key 2 from transaction 1 of session 1.");
    // Two writes, seen in different orders by two sessions.
    insta::assert_snapshot!(explain("w(1,1,0,0)\nw(1,2,1,1)\nr(1,1,2,2)\nr(1,2,2,3)\nr(1,2,3,4)\nr(1,1,3,5)\n", Model::Causal), @"No order of commits is possible, since they would have to come one before the other in a circle. Transaction 5 of session 3 must see transaction 1 of session 1, but read key 1, which both write, from transaction 0 of session 0; so the former commits before the latter. Transaction 3 of session 2 must see transaction 0 of session 0, but read key 1, which both write, from transaction 1 of session 1; so the former commits before the latter.");
    // A fractured read.
    insta::assert_snapshot!(explain("w(1,1,0,0)\nw(2,1,0,0)\nw(1,2,0,1)\nw(2,2,0,1)\nr(1,2,1,2)\nr(2,1,1,2)\n", Model::ReadAtomic), @"No order of commits is possible, since they would have to come one before the other in a circle. Transaction 2 of session 1 must see transaction 1 of session 0, but read key 2, which both write, from transaction 0 of session 0; so the former commits before the latter. Transaction 0 of session 0 precedes transaction 1 of session 0.");
    // Read committed: first the new, then the old.
    insta::assert_snapshot!(explain("w(1,1,0,0)\nw(2,1,0,0)\nw(1,2,0,1)\nw(2,2,0,1)\nr(1,2,1,2)\nr(2,1,1,2)\n", Model::ReadCommitted), @"No order of commits is possible, since they would have to come one before the other in a circle. Transaction 2 of session 1 must see transaction 1 of session 0, but read key 2, which both write, from transaction 0 of session 0; so the former commits before the latter. Transaction 0 of session 0 precedes transaction 1 of session 0.");
    // Where rows are merged one by one, each guarantee has its name.
    let per_key = |text: &str| explain(text, Model::CausalPerKey);
    insta::assert_snapshot!(per_key("w(1,1,0,0)\nw(1,2,1,1)\nr(1,1,1,2)\n"), @"Transaction 2 of session 1 read key 1 as transaction 0 of session 0 wrote it, but its own session had overwritten that: it misses the write of transaction 1 of session 1. Transaction 1 of session 1 precedes transaction 2 of session 1.");
    insta::assert_snapshot!(per_key("w(1,1,0,0)\nw(1,2,0,1)\nr(1,2,1,2)\nr(1,1,1,3)\n"), @"Transaction 3 of session 1 read key 1 as transaction 0 of session 0 wrote it, but its session had read a later version before: it misses the write of transaction 1 of session 0. Transaction 2 of session 1 read key 1 from transaction 1 of session 0. Transaction 2 of session 1 precedes transaction 3 of session 1.");
    insta::assert_snapshot!(per_key("w(1,2,0,0)\nw(2,2,0,0)\nr(1,2,1,1)\nr(2,0,1,1)\n"), @"Transaction 1 of session 1 read key 2 with its initial value, but it also reads from the transaction that overwrote that (a fractured read): it misses the write of transaction 0 of session 0. Transaction 1 of session 1 read key 1 from transaction 0 of session 0.");
    insta::assert_snapshot!(per_key("w(1,2,0,0)\nw(2,2,0,1)\nr(2,2,1,2)\nr(1,0,1,2)\n"), @"Transaction 2 of session 1 read key 1 with its initial value, but it also reads a later write of the session that overwrote that: it misses the write of transaction 0 of session 0. Transaction 0 of session 0 precedes transaction 1 of session 0. Transaction 2 of session 1 read key 2 from transaction 1 of session 0.");
    insta::assert_snapshot!(per_key("w(1,2,0,0)\nr(1,2,1,1)\nw(2,2,1,1)\nr(2,2,2,2)\nr(1,0,2,2)\n"), @"Transaction 2 of session 2 read key 1 with its initial value, but it also reads from a session that had read a later version before: it misses the write of transaction 0 of session 0. Transaction 1 of session 1 read key 1 from transaction 0 of session 0. Transaction 2 of session 2 read key 2 from transaction 1 of session 1.");
    insta::assert_snapshot!(per_key("w(1,2,0,0)\nr(1,2,1,1)\nw(2,2,1,1)\nr(2,2,2,2)\nw(3,3,2,2)\nr(3,3,3,3)\nr(1,0,3,3)\n"), @"Transaction 3 of session 3 read key 1 with its initial value, but that was overwritten in its causal past: it misses the write of transaction 0 of session 0. Transaction 1 of session 1 read key 1 from transaction 0 of session 0. Transaction 2 of session 2 read key 2 from transaction 1 of session 1. Transaction 3 of session 3 read key 3 from transaction 2 of session 2.");
    // Two concurrent transactions may win one row each.
    insta::assert_snapshot!(per_key("w(1,1,0,0)\nw(2,20,0,0)\nw(1,10,1,1)\nw(2,2,1,1)\nr(1,10,2,2)\nr(2,20,2,2)\n"), @"");
    // Between one read and one write.
    insta::assert_snapshot!(explain("w(1,1,0,-1)\nw(2,1,0,0)\nw(2,2,0,0)\nr(1,1,1,1)\nr(2,1,1,2)\nr(3,9,1,3)\nr(4,4,1,4)\nw(4,4,1,4)\nw(5,1,1,5)\nr(5,0,1,5)\nr(2,2,1,6)\nr(2,0,1,6)\n", Model::ReadAtomic), @r"
    Transaction 3 of session 1 read key 3: the value 9, which nobody wrote (a thin-air read).
    Transaction 1 of session 1 read key 1: the value 1, of a transaction that was aborted (an aborted read, G1a). It was written by a transaction of session 0.
    Transaction 2 of session 1 read key 2: the value 1, which its transaction overwrote itself (an intermediate read, G1b). It was written by transaction 0 of session 0.
    Transaction 4 of session 1 read key 4: the value 4, which it wrote itself only later (a future read).
    Transaction 5 of session 1 read key 5: its initial value, although it had just written another value itself.
    Transaction 6 of session 1 read key 2: its initial value, although it had read another transaction's value before (a non-repeatable read).
    Transaction 6 of session 1 read key 2 with its initial value, but its session had read a later version before: it misses the write of transaction 0 of session 0. Transaction 6 of session 1 read key 2 from transaction 0 of session 0.
    ");
}

/// A larger history that is causal but for a few reads. The version order is that of arrival, so that
/// it takes several rounds to find.
fn larger(seed: u64, spoilt: usize) -> Vec<Transaction> {
    use squall_models::generate::registers::{Config, write_plume};
    let mut random = squall_models::generate::Random::new(seed);
    let mut text = Vec::new();
    let config = Config {
        seed,
        keys: 2 + random.below(6) as u64,
        lag: random.below(10) as u64,
        ..Config::new(60, 1 + random.below(4) as u32, 2 + random.below(5) as u32)
    };
    write_plume(&config, &mut text).unwrap();
    let mut history: Vec<Transaction> = Vec::new();
    let mut last = None;
    for line in std::str::from_utf8(&text).unwrap().lines() {
        let write = line.starts_with('w');
        let numbers: Vec<u64> = line[2..line.len() - 1]
            .split(',')
            .map(|n| n.parse().unwrap())
            .collect();
        if last != Some(numbers[3]) {
            last = Some(numbers[3]);
            history.push(Transaction {
                session: numbers[2],
                outcome: Outcome::Committed,
                operations: Vec::new(),
                times: (0, 0),
            });
        }
        let (key, value) = (numbers[0], numbers[1]);
        let operation = if write {
            Operation::Write(key, value)
        } else {
            Operation::Read(key, value)
        };
        history.last_mut().unwrap().operations.push(operation);
    }
    let written: Vec<(u64, u64)> = history
        .iter()
        .flat_map(|t| &t.operations)
        .filter_map(|o| match o {
            Operation::Write(k, v) => Some((*k, *v)),
            Operation::Read(..) => None,
        })
        .collect();
    for _ in 0..spoilt {
        let transaction = random.below(history.len());
        let operations = &mut history[transaction].operations;
        let at = random.below(operations.len());
        if let Operation::Read(key, _) = operations[at] {
            let values: Vec<u64> = written.iter().filter(|w| w.0 == key).map(|w| w.1).collect();
            if !values.is_empty() {
                operations[at] = Operation::Read(key, values[random.below(values.len())]);
            }
        }
    }
    history
}

#[test]
fn larger_histories() {
    let mut good = 0;
    for seed in 0..300 {
        let history = larger(seed, (seed % 3) as usize);
        agree(&history, Merge::PerKey, By::Saturation).unwrap_or_else(|e| panic!("{seed}: {e}"));
        let causal = build(&history, Merge::Transaction)
            .check(Model::Causal)
            .judgement
            == Judgement::Ok;
        assert!(
            causal || !seed.is_multiple_of(3),
            "{seed}: the simulation is causal"
        );
        good += i32::from(causal);
    }
    assert!((105..250).contains(&good), "{good} of 300");
}

proptest! {
    #[test]
    fn saturation_is_the_same_as_trying_every_order(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let history = history(&bytes, 6);
        for model in Model::OF_TRANSACTIONS.into_iter().filter(|model| !depends_on_order(*model)) {
            let by = |by| holds(&history, model, Merge::Transaction, by);
            prop_assert_eq!(by(By::Permutation), by(By::Saturation));
        }
    }
}

#[test]
fn random_histories_are_neither_all_good_nor_all_bad() {
    let mut random = squall_models::generate::Random::new(1);
    let mut good = [0; 7];
    let mut passes_weaker_only = 0;
    for _ in 0..2_000 {
        let bytes: Vec<u8> = (0..80).map(|_| random.below(256) as u8).collect();
        let registers = build(&history(&bytes, 6), Merge::Transaction);
        let judgements =
            Model::OF_TRANSACTIONS.map(|model| registers.check(model).judgement == Judgement::Ok);
        for (count, ok) in good.iter_mut().zip(judgements) {
            *count += i32::from(ok);
        }
        passes_weaker_only += i32::from(judgements[1] && !judgements[2]);
        assert!(judgements.is_sorted_by(|stronger, weaker| stronger >= weaker));
    }
    assert!(
        good.iter().all(|count| (100..1900).contains(count)),
        "{good:?}"
    );
    assert!(passes_weaker_only > 5, "{passes_weaker_only}");
}

/// The strongest model that a history satisfies, of those with one commit order.
fn strongest(text: &str) -> Option<Model> {
    let history = plume::read(text.as_bytes()).unwrap();
    let satisfied = |model: &&Model| history.check(**model).judgement == Judgement::Ok;
    Model::OF_TRANSACTIONS.iter().rev().find(satisfied).copied()
}

#[test]
fn the_well_known_anomalies_separate_the_models() {
    let one_after_the_other = "w(1,1,0,0)\nr(1,1,1,1)\nw(1,2,1,1)\nr(1,2,2,2)\n";
    assert_eq!(strongest(one_after_the_other), Some(Model::Serializability));
    // Each reads what the other overwrites.
    let write_skew = "r(1,0,0,0)\nw(2,1,0,0)\nr(2,0,1,1)\nw(1,1,1,1)\n";
    assert_eq!(strongest(write_skew), Some(Model::SnapshotIsolation));
    // Both increment the same row.
    let lost_update = "r(1,0,0,0)\nw(1,1,0,0)\nr(1,0,1,1)\nw(1,2,1,1)\n";
    assert_eq!(strongest(lost_update), Some(Model::PrefixConsistency));
    // Two readers see two writes in different orders.
    let long_fork = "w(1,1,0,0)\nw(2,1,1,1)\nr(1,1,2,2)\nr(2,0,2,2)\nr(1,0,3,3)\nr(2,1,3,3)\n";
    assert_eq!(strongest(long_fork), Some(Model::CausalConvergence));
    // A third session does not see what the second had seen.
    let causality = "w(1,1,0,0)\nr(1,1,1,1)\nw(2,1,1,1)\nr(2,1,2,2)\nr(1,0,2,2)\n";
    assert_eq!(strongest(causality), Some(Model::ReadAtomic));
    let fractured = "w(1,1,0,0)\nw(2,1,0,0)\nr(1,1,1,1)\nr(2,0,1,1)\n";
    assert_eq!(strongest(fractured), None);
    // In the other order it is only later that more is seen.
    let fractured = "w(1,1,0,0)\nw(2,1,0,0)\nr(2,0,1,1)\nr(1,1,1,1)\n";
    assert_eq!(strongest(fractured), Some(Model::ReadCommitted));
    let aborted = "w(1,1,0,-1)\nr(1,1,1,1)\n";
    assert_eq!(strongest(aborted), None);
}

fn kinds(text: &str, model: Model) -> Vec<AnomalyKind> {
    let report = plume::read(text.as_bytes()).unwrap().check(model);
    report
        .anomalies
        .iter()
        .map(|anomaly| anomaly.kind)
        .collect()
}

#[test]
fn cycles_have_their_names() {
    let write_skew = "r(1,0,0,0)\nw(2,1,0,0)\nr(2,0,1,1)\nw(1,1,1,1)\n";
    assert_eq!(
        kinds(write_skew, Model::Serializability),
        [AnomalyKind::WriteSkew]
    );
    let lost_update = "r(1,0,0,0)\nw(1,1,0,0)\nr(1,0,1,1)\nw(1,2,1,1)\n";
    assert_eq!(
        kinds(lost_update, Model::SnapshotIsolation),
        [AnomalyKind::LostUpdate]
    );
    assert_eq!(
        kinds(lost_update, Model::Serializability),
        [AnomalyKind::LostUpdate]
    );
    let circular = "r(1,1,0,0)\nw(2,1,0,0)\nr(2,1,1,1)\nw(1,1,1,1)\n";
    assert_eq!(
        kinds(circular, Model::Serializability),
        [AnomalyKind::CircularInformationFlow]
    );
    let long_fork = "w(1,1,0,0)\nw(2,1,1,1)\nr(1,1,2,2)\nr(2,0,2,2)\nr(1,0,3,3)\nr(2,1,3,3)\n";
    assert_eq!(
        kinds(long_fork, Model::PrefixConsistency),
        [AnomalyKind::AntiDependencyCycle]
    );
    // The reader sees one of two writes that were made one after the other.
    let skewed = "r(1,0,0,0)\nr(2,2,0,0)\nw(1,1,1,1)\nw(2,2,1,2)\n";
    assert_eq!(kinds(skewed, Model::Causal), [AnomalyKind::MonotonicWrites]);
}

#[test]
fn weak_causality_does_without_arbitration() {
    // Two readers see two concurrent writes in different orders, for ever.
    let text = "w(1,1,0,0)\nw(1,2,1,1)\nr(1,1,2,2)\nr(1,2,2,3)\nr(1,2,3,4)\nr(1,1,3,5)\n";
    assert_eq!(judge(text, Model::WeakCausal), Judgement::Ok);
    assert_eq!(judge(text, Model::CausalConvergence), Judgement::Violation);
    let stale = "w(1,1,0,0)\nr(1,1,1,1)\nw(1,2,1,1)\nr(1,2,2,2)\nr(1,1,2,3)\n";
    assert_eq!(judge(stale, Model::WeakCausal), Judgement::Violation);
}

#[test]
fn strict_serializability_needs_to_know_the_time() {
    let text = "w(1,1,0,0)\nr(1,1,1,1)\n";
    let report = plume::read(text.as_bytes())
        .unwrap()
        .check(Model::StrictSerializability);
    assert_eq!(report.judgement, Judgement::Unknown);
    assert!(report.note.unwrap().contains("began and ended"));

    // The second one begins after the first has ended, and does not see it.
    let stale = |begin| {
        let mut builder = Builder::new(Some(0));
        let writer = builder.transaction(0, Some(0), Outcome::Committed);
        builder.times(writer, 0, Some(10));
        builder.write(writer, 1, 1);
        let reader = builder.transaction(1, Some(1), Outcome::Committed);
        builder.times(reader, begin, Some(30));
        builder.read(reader, 1, 0);
        builder.finish().unwrap()
    };
    assert_eq!(
        stale(10).check(Model::StrictSerializability).judgement,
        Judgement::Ok
    );
    assert_eq!(
        stale(11).check(Model::Serializability).judgement,
        Judgement::Ok
    );
    let report = stale(11).check(Model::StrictSerializability);
    assert_eq!(report.judgement, Judgement::Violation);
    insta::assert_snapshot!(report.anomalies[0].summary, @"No order of commits is possible, since they would have to come one before the other in a circle. Transaction 0 of session 0 had ended before transaction 1 of session 1 began. Transaction 1 of session 1 read key 1 and did not see that transaction 0 of session 0 wrote it.");
}

/// Sessions that each increment their own row, and a write skew among them.
fn large_with_write_skew(sessions: u64, transactions: u64) -> String {
    let mut text = String::new();
    for place in 0..transactions {
        for session in 0..sessions {
            let (row, number) = (10 + session, session * 100_000 + place);
            text += &format!("r({row},{place},{session},{number})\n");
            text += &format!("w({row},{},{session},{number})\n", place + 1);
        }
    }
    text + "r(1,0,0,9000000)\nw(2,1,0,9000000)\nr(2,0,1,9000001)\nw(1,1,1,9000001)\n"
}

#[test]
fn thousands_of_transactions_are_decided() {
    let history = plume::read(large_with_write_skew(20, 200).as_bytes()).unwrap();
    assert_eq!(
        history.check(Model::SnapshotIsolation).judgement,
        Judgement::Ok
    );
    let report = history.check(Model::Serializability);
    assert_eq!(report.judgement, Judgement::Violation);
    assert_eq!(report.anomalies[0].kind, AnomalyKind::WriteSkew);
}

/// The clocks of short sessions are short numbers, so that there is a length from which they are not.
#[test]
fn a_session_may_be_of_any_length() {
    let long = |length: u64, last: Option<u64>, merge: Merge| {
        let mut builder = Builder::new(Some(0));
        if merge == Merge::PerKey {
            builder.values_are_versions();
        }
        let mut write = |session, key, version| {
            let number = builder.transaction(session, None, Outcome::Committed);
            builder.write(number, key, version);
        };
        write(0, 3, 1);
        for version in 1..length {
            write(1, 1, version);
        }
        let number = builder.transaction(1, None, Outcome::Committed);
        builder.read(number, 3, 1);
        builder.write(number, 2, length);
        // Who has seen the end of the session has seen all of it.
        let number = builder.transaction(2, None, Outcome::Committed);
        builder.read(number, 2, length);
        match last {
            Some(last) => builder.read(number, 1, last),
            None => builder.read_initial(number, 3),
        }
        builder.finish().unwrap()
    };
    for length in [32_765, 32_766, 32_767, 32_768, 32_769, 70_000] {
        for (merge, causal) in [
            (Merge::Transaction, Model::Causal),
            (Merge::PerKey, Model::CausalPerKey),
        ] {
            let judge = |last, model| long(length, last, merge).check(model).judgement;
            let (ok, violation) = (Judgement::Ok, Judgement::Violation);
            assert_eq!(judge(Some(length - 1), causal), ok, "{length}");
            assert_eq!(judge(Some(length - 2), causal), violation, "{length}");
            assert_eq!(judge(None, causal), violation, "{length}");
            let follow = Model::WritesFollowReads;
            assert_ne!(judge(Some(length - 1), follow), violation, "{length}");
            assert_eq!(judge(None, follow), violation, "{length}");
        }
    }
}

/// A puzzle that saturation does not decide: pairs of transactions with blind writes whose order is
/// left open, and readers that exclude some combinations. Each pair (2i, 2i + 1) writes row i.
fn puzzle(random: &mut squall_models::generate::Random, rows: u64, clauses: u64) -> Registers {
    let clauses: Vec<Clause> = (0..clauses).map(|_| clause(random, rows)).collect();
    build_puzzle(rows, &clauses)
}

/// Rows that are read at once, and their versions.
type Clause = Vec<(u64, u64)>;

fn clause(random: &mut squall_models::generate::Random, rows: u64) -> Clause {
    let mut read: Vec<u64> = (0..3).map(|_| random.below(rows as usize) as u64).collect();
    read.sort_unstable();
    read.dedup();
    let version = |row| (row, 1 + random.below(2) as u64);
    read.into_iter().map(version).collect()
}

fn build_puzzle(rows: u64, clauses: &[Clause]) -> Registers {
    let mut builder = Builder::new(Some(0));
    let mut session = 0;
    let mut begin = |builder: &mut Builder| {
        session += 1;
        builder.transaction(session, Some(session), Outcome::Committed)
    };
    for row in 0..rows {
        for version in 1..=2 {
            let writer = begin(&mut builder);
            builder.write(writer, row, version);
        }
    }
    for clause in clauses {
        let reader = begin(&mut builder);
        for (row, version) in clause {
            builder.read(reader, *row, *version);
        }
    }
    builder.finish().unwrap()
}

/// Whether there is an order, by trying all: what each row holds, which versions it has had, and which
/// clauses have held at some moment.
fn solve(rows: usize, clauses: &[Clause]) -> bool {
    let mut visited = std::collections::HashSet::new();
    let mut open = vec![(vec![(0_u64, 0_u64); rows], 0_u64)];
    while let Some((state, met)) = open.pop() {
        let holds = |clause: &Clause| clause.iter().all(|(row, v)| state[*row as usize].0 == *v);
        let now = clauses
            .iter()
            .enumerate()
            .filter(|(_, clause)| holds(clause));
        let met = now.fold(met, |met, (number, _)| met | 1 << number);
        if met == (1 << clauses.len()) - 1 {
            return true;
        }
        if !visited.insert((state.clone(), met)) {
            continue;
        }
        for row in 0..rows {
            for version in 1..=2 {
                if state[row].1 & version == 0 {
                    let mut next = state.clone();
                    next[row] = (version, state[row].1 | version);
                    open.push((next, met));
                }
            }
        }
    }
    false
}

#[test]
fn a_search_finds_an_order_if_there_is_one() {
    let mut random = squall_models::generate::Random::new(11);
    let mut solved = [0, 0];
    for number in 0..300 {
        let (rows, count) = (4, 5 + number % 8);
        let clauses: Vec<Clause> = (0..count).map(|_| clause(&mut random, rows)).collect();
        let expected = solve(rows as usize, &clauses);
        solved[usize::from(expected)] += 1;
        for model in [Model::PrefixConsistency, Model::Serializability] {
            let found = build_puzzle(rows, &clauses).check(model).judgement;
            let judgement = match expected {
                true => Judgement::Ok,
                false => Judgement::Violation,
            };
            assert_eq!(found, judgement, "{model:?} {clauses:?}");
        }
    }
    assert!(solved.iter().all(|count| *count > 30), "{solved:?}");
}

#[test]
fn a_search_that_gives_up_does_not_say_ok() {
    let mut random = squall_models::generate::Random::new(7);
    let (mut decided, mut given_up) = (0, 0);
    for _ in 0..200 {
        let history = puzzle(&mut random, 6, 6);
        for model in [Model::PrefixConsistency, Model::Serializability] {
            let with_all = history.check(model);
            assert_ne!(with_all.judgement, Judgement::Unknown);
            for steps in [10, 100, 1_000, 10_000] {
                let with_less = history.check_within(model, steps);
                if with_less.judgement == Judgement::Unknown {
                    given_up += 1;
                    assert!(with_less.note.unwrap().contains("limit"));
                } else {
                    decided += 1;
                    assert_eq!(with_less.judgement, with_all.judgement);
                }
            }
        }
    }
    assert!(given_up > 20 && decided > 20, "{given_up} {decided}");
}

/// For each of some models whether a history in Plume's text satisfies it.
fn satisfied<const N: usize>(text: &str, models: [Model; N]) -> [bool; N] {
    models.map(|model| judge(text, model) != Judgement::Violation)
}

#[test]
fn no_guarantee_of_sessions_implies_another_one() {
    // A session does not see its own write.
    let own = "w(1,1,0,0)\nr(1,0,0,1)\n";
    // What was read vanishes.
    let read = "w(1,1,0,0)\nr(1,1,1,1)\nr(1,0,1,2)\n";
    // The later write of a session is seen, the earlier one is not.
    let written = "w(1,1,0,0)\nw(2,1,0,1)\nr(2,1,1,2)\nr(1,0,1,2)\n";
    // An answer is seen without the question.
    let answered = "w(1,1,0,0)\nr(1,1,1,1)\nw(2,1,1,1)\nr(2,1,2,2)\nr(1,0,2,2)\n";
    for (broken, text) in [own, read, written, answered].into_iter().enumerate() {
        let mut expected = [true; 4];
        expected[broken] = false;
        let found = satisfied(text, Model::SESSION_GUARANTEES);
        assert_eq!(found, expected, "{text}");
        assert_eq!(judge(text, Model::Causal), Judgement::Violation);
        let kind = [
            AnomalyKind::ReadYourWrites,
            AnomalyKind::MonotonicReads,
            AnomalyKind::MonotonicWrites,
            AnomalyKind::WritesFollowReads,
        ][broken];
        assert_eq!(kinds(text, Model::SESSION_GUARANTEES[broken]), [kind]);
    }
    // The same with versions that follow one another, so that it takes a cycle to show it.
    let older = "w(1,1,0,0)\nr(1,1,1,1)\nw(1,2,1,1)\nr(1,1,1,2)\n";
    assert_eq!(
        kinds(older, Model::ReadYourWrites),
        [AnomalyKind::ReadYourWrites]
    );
    // Of a session the latest transaction counts that is read from, whichever is read first.
    for (earlier, later) in [(2, 3), (3, 2)] {
        let text = format!(
            "w(9,1,0,0)\nw({earlier},1,0,1)\nw(1,1,0,2)\nw({later},1,0,3)\n\
             r(2,1,1,4)\nr(3,1,1,4)\nr(1,0,1,4)\n"
        );
        assert_eq!(
            kinds(&text, Model::MonotonicWrites),
            [AnomalyKind::MonotonicWrites],
            "{text}"
        );
    }
    // All four hold, each for itself, but three steps away something is missing.
    let far = "w(1,1,0,0)\nw(2,1,0,1)\nr(2,1,1,2)\nw(3,1,1,3)\nr(3,1,2,4)\nr(1,0,2,4)\n";
    assert_eq!(satisfied(far, Model::SESSION_GUARANTEES), [true; 4]);
    assert_eq!(judge(far, Model::Causal), Judgement::Violation);
    // Answers to answers count.
    let chain =
        "w(1,1,0,0)\nr(1,1,1,1)\nw(2,1,1,1)\nr(2,1,2,2)\nw(3,1,2,2)\nr(3,1,3,3)\nr(1,0,3,3)\n";
    assert_eq!(
        satisfied(chain, Model::SESSION_GUARANTEES),
        [true, true, true, false]
    );
}

#[test]
fn a_stale_read_does_not_excuse_the_next_one() {
    // Of a row that only grows.
    let mut builder = Builder::new(Some(0));
    builder.values_are_versions();
    for (session, version) in [(0, 1), (0, 3), (2, 2)] {
        let number = builder.transaction(session, None, Outcome::Committed);
        builder.write(number, 7, version);
    }
    for version in [3, 1, 2] {
        let number = builder.transaction(1, None, Outcome::Committed);
        builder.read(number, 7, version);
    }
    let report = builder.finish().unwrap().check(Model::MonotonicReads);
    assert_eq!(report.violations, 2, "{report:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    /// Causal consistency implies each guarantee of sessions, and read atomic the one about writes.
    #[test]
    fn stronger_models_find_more(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
        for (merge, causal) in [(Merge::Transaction, Model::Causal), (Merge::PerKey, Model::CausalPerKey)] {
            let registers = build(&history(&bytes, 10), merge);
            let broken = |model| registers.check(model).judgement == Judgement::Violation;
            for guarantee in Model::SESSION_GUARANTEES {
                prop_assert!(!broken(guarantee) || broken(causal), "{:?} {:?}", merge, guarantee);
            }
            prop_assert!(merge == Merge::PerKey || !broken(Model::ReadYourWrites) || broken(Model::ReadAtomic));
        }
    }
}
