//! Grow-only sets: every model against its definition and against registers that are read one by one,
//! and the anomalies by name.

#[path = "support/commit_order.rs"]
mod commit_order;

use commit_order::{By, Operation as Single, Transaction as OfSingles, holds};
use proptest::prelude::*;
use squall_models::registers::Judgement;
use squall_models::registers::{
    AnomalyKind, BuildError, Merge, Model, Outcome, Registers, SetBuilder,
};

#[derive(Clone, Debug)]
enum Operation {
    Add(u64, u64),
    Read(u64, Vec<u64>),
}

#[derive(Clone, Debug)]
struct Transaction {
    session: u64,
    outcome: Outcome,
    operations: Vec<Operation>,
    times: (u64, u64),
}

/// A history out of bytes. A read shows what was added before to its set, but for some; or anything.
fn history(bytes: &[u8], most_transactions: usize) -> Vec<Transaction> {
    let mut bytes = bytes.iter();
    let mut below = |bound: usize| bytes.next().map_or(0, |byte| usize::from(*byte) % bound);
    let sets = 1 + below(2) as u64;
    let sessions = 1 + below(3) as u64;
    let mut added: Vec<(u64, u64)> = Vec::new();
    let mut element = 10;
    let mut history = Vec::new();
    for at in 0..1 + below(most_transactions) as u64 {
        let mut operations = Vec::new();
        let mut own: Vec<(u64, u64)> = Vec::new();
        for _ in 0..1 + below(3) {
            let set = below(sets as usize) as u64;
            if below(2) == 0 {
                element += 1;
                own.push((set, element));
                operations.push(Operation::Add(set, element));
                continue;
            }
            let all = added.iter().chain(&own).filter(|(of, _)| *of == set);
            let mut shown: Vec<u64> = all.map(|(_, element)| *element).collect();
            match below(12) {
                0 => shown.retain(|_| below(2) == 0),
                1 => shown.truncate(below(4)),
                2 if !shown.is_empty() => {
                    shown.remove(below(shown.len()));
                }
                3 if below(4) == 0 => shown.push(element + 1),
                _ => {}
            }
            operations.push(Operation::Read(set, shown));
        }
        let outcome = match below(14) {
            0 => Outcome::Aborted,
            1 | 2 => Outcome::Unknown,
            _ => Outcome::Committed,
        };
        let seen = match outcome {
            Outcome::Committed => true,
            Outcome::Unknown => below(2) == 0,
            Outcome::Aborted => below(6) == 0,
        };
        if seen {
            added.extend(own);
        }
        let begin = 3 * at + below(6) as u64;
        history.push(Transaction {
            session: below(sessions as usize) as u64,
            outcome,
            operations,
            times: (begin, begin + below(8) as u64),
        });
    }
    history
}

fn build(history: &[Transaction]) -> Registers {
    let mut builder = SetBuilder::default();
    for (label, transaction) in (0..).zip(history) {
        let number = builder.transaction(transaction.session, Some(label), transaction.outcome);
        let (begin, end) = transaction.times;
        builder.times(number, begin, Some(end));
        for operation in &transaction.operations {
            match operation {
                Operation::Add(set, element) => builder.add(number, *set, *element),
                Operation::Read(set, shown) => builder.read(number, *set, shown),
            }
        }
    }
    builder.finish().unwrap()
}

/// The history with every element read one by one: what is shown, then all else that is ever added.
fn one_by_one(history: &[Transaction]) -> Vec<OfSingles> {
    let adds = history.iter().flat_map(|t| &t.operations);
    let all: Vec<(u64, u64)> = adds
        .filter_map(|operation| match operation {
            Operation::Add(set, element) => Some((*set, *element)),
            Operation::Read(..) => None,
        })
        .collect();
    let key = |set: u64, element: u64| 1_000 * set + element;
    let singles = |operation: &Operation| match operation {
        Operation::Add(set, element) => vec![Single::Write(key(*set, *element), *element)],
        Operation::Read(set, shown) => {
            let absent = all
                .iter()
                .filter(|(of, element)| of == set && !shown.contains(element));
            let shown = shown.iter().map(|element| (*element, *element));
            shown
                .chain(absent.map(|(_, element)| (*element, 0)))
                .map(|(element, value)| Single::Read(key(*set, element), value))
                .collect()
        }
    };
    history
        .iter()
        .map(|transaction| OfSingles {
            session: transaction.session,
            outcome: transaction.outcome,
            operations: transaction.operations.iter().flat_map(singles).collect(),
            times: transaction.times,
        })
        .collect()
}

/// Whether a read of a committed transaction shows a part of what another one added to the set.
fn shows_a_part(history: &[Transaction]) -> bool {
    let added = |t: &Transaction, set: u64| -> Vec<u64> {
        let adds = t.operations.iter();
        adds.filter_map(|operation| match operation {
            Operation::Add(of, element) if *of == set => Some(*element),
            _ => None,
        })
        .collect()
    };
    history.iter().enumerate().any(|(reader, t)| {
        t.outcome == Outcome::Committed
            && t.operations.iter().any(|operation| {
                let Operation::Read(set, shown) = operation else {
                    return false;
                };
                history.iter().enumerate().any(|(adder, other)| {
                    let added = added(other, *set);
                    let count = added.iter().filter(|e| shown.contains(e)).count();
                    adder != reader && 0 < count && count < added.len()
                })
            })
    })
}

fn agree(history: &[Transaction]) -> Result<(), TestCaseError> {
    let registers = build(history);
    let singles = one_by_one(history);
    let all = commit_order::build(&singles, Merge::Transaction);
    let committed = history.iter().any(|t| t.outcome == Outcome::Committed);
    for &model in Model::ALL {
        if model == Model::CausalPerKey || !committed {
            continue;
        }
        let report = registers.check(model);
        let expected = !shows_a_part(history) && all.check(model).anomalies.is_empty();
        prop_assert_eq!(
            report.judgement != Judgement::Violation,
            expected,
            "{:?} {:#?}",
            model,
            report
        );
        if singles.len() <= 5 {
            let fine = !shows_a_part(history)
                && holds(&singles, model, Merge::Transaction, By::Permutation);
            prop_assert_eq!(fine, expected, "{:?} by definition", model);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn sets_are_registers_for_elements(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        agree(&history(&bytes, 6))?;
    }

    #[test]
    fn longer_histories(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        agree(&history(&bytes, 20))?;
    }
}

#[test]
fn random_histories_are_neither_all_good_nor_all_bad() {
    let mut random = squall_models::generate::Random::new(1);
    let mut good = [0; 3];
    for _ in 0..500 {
        let bytes: Vec<u8> = (0..200).map(|_| random.below(256) as u8).collect();
        let registers = build(&history(&bytes, 6));
        let models = [Model::ReadCommitted, Model::Causal, Model::Serializability];
        for (count, model) in good.iter_mut().zip(models) {
            *count += i32::from(registers.check(model).judgement == Judgement::Ok);
        }
    }
    assert!(
        good.iter().all(|count| (50..450).contains(count)),
        "{good:?}"
    );
    assert!(good[0] > good[1] && good[1] > good[2], "{good:?}");
}

/// The set, and what is added to it, or else what it shows.
type ByHand<'a> = (u64, Option<u64>, &'a [u64]);

/// A history by hand: each transaction's session, and its operations.
fn by_hand(transactions: &[(u64, &[ByHand])]) -> Registers {
    let mut builder = SetBuilder::default();
    for (label, (session, operations)) in (0..).zip(transactions) {
        let number = builder.transaction(*session, Some(label), Outcome::Committed);
        for (set, added, shown) in *operations {
            match added {
                Some(element) => builder.add(number, *set, *element),
                None => builder.read(number, *set, shown),
            }
        }
    }
    builder.finish().unwrap()
}

#[test]
fn anomalies_have_their_names() {
    use AnomalyKind::*;
    let kinds = |registers: &Registers, model: Model| -> Vec<AnomalyKind> {
        let report = registers.check(model);
        report
            .anomalies
            .iter()
            .map(|anomaly| anomaly.kind)
            .collect()
    };
    let add = |element| (1, Some(element), &[][..]);
    for (name, registers, model, expected) in [
        (
            "nobody added",
            by_hand(&[(0, &[(1, None, &[9])])]),
            Model::ReadCommitted,
            ThinAirRead,
        ),
        (
            "twice",
            by_hand(&[(0, &[add(9)]), (1, &[(1, None, &[9, 9])])]),
            Model::ReadCommitted,
            DuplicateElement,
        ),
        (
            "twice, with others between",
            by_hand(&[
                (0, &[add(8), add(9)]),
                (1, &[(1, None, &[8, 9])]),
                (1, &[(1, None, &[9, 8, 9])]),
            ]),
            Model::ReadCommitted,
            DuplicateElement,
        ),
        (
            "vanishes",
            by_hand(&[
                (0, &[add(9)]),
                (1, &[(1, None, &[9])]),
                (1, &[(1, None, &[])]),
            ]),
            Model::MonotonicReads,
            MonotonicReads,
        ),
        (
            "vanishes, causally",
            by_hand(&[
                (0, &[add(9)]),
                (1, &[(1, None, &[9])]),
                (1, &[(1, None, &[])]),
            ]),
            Model::Causal,
            MonotonicReads,
        ),
        (
            "own, later",
            by_hand(&[(0, &[add(9)]), (0, &[(1, None, &[])])]),
            Model::ReadYourWrites,
            ReadYourWrites,
        ),
        (
            "own, at once",
            by_hand(&[(0, &[add(9), (1, None, &[])])]),
            Model::ReadCommitted,
            NotOwnWrite,
        ),
        (
            "own, too early",
            by_hand(&[(0, &[(1, None, &[9]), add(9)])]),
            Model::ReadCommitted,
            FutureRead,
        ),
        (
            "a part",
            by_hand(&[(0, &[add(8), add(9)]), (1, &[(1, None, &[9])])]),
            Model::ReadCommitted,
            IntermediateRead,
        ),
        (
            "one set of two",
            by_hand(&[
                (0, &[add(8), (2, Some(9), &[])]),
                (1, &[(1, None, &[8]), (2, None, &[])]),
            ]),
            Model::ReadAtomic,
            FracturedRead,
        ),
        (
            "twice differently",
            by_hand(&[(0, &[add(9)]), (1, &[(1, None, &[]), (1, None, &[9])])]),
            Model::ReadAtomic,
            NonRepeatableRead,
        ),
        (
            "a gap",
            by_hand(&[(0, &[add(8)]), (0, &[add(9)]), (1, &[(1, None, &[9])])]),
            Model::MonotonicWrites,
            MonotonicWrites,
        ),
        (
            "without the question",
            by_hand(&[
                (0, &[add(8)]),
                (1, &[(1, None, &[8]), add(9)]),
                (2, &[(1, None, &[9])]),
            ]),
            Model::WritesFollowReads,
            WritesFollowReads,
        ),
        (
            "long fork",
            by_hand(&[
                (0, &[add(8)]),
                (1, &[add(9)]),
                (2, &[(1, None, &[8])]),
                (3, &[(1, None, &[9])]),
            ]),
            Model::PrefixConsistency,
            AntiDependencyCycle,
        ),
        (
            // Of what the third session did not see at first, the earlier element counts.
            "long fork, with elements shown in any order",
            by_hand(&[
                (0, &[add(8)]),
                (0, &[add(9)]),
                (1, &[add(7)]),
                (2, &[(1, None, &[7])]),
                (2, &[(1, None, &[9, 8, 7])]),
                (3, &[(1, None, &[8])]),
            ]),
            Model::PrefixConsistency,
            AntiDependencyCycle,
        ),
        (
            "write skew",
            by_hand(&[
                (0, &[(1, None, &[]), (2, Some(8), &[])]),
                (1, &[(2, None, &[]), add(9)]),
            ]),
            Model::Serializability,
            WriteSkew,
        ),
        (
            "circle",
            by_hand(&[
                (0, &[add(8), (1, None, &[8, 9])]),
                (1, &[(1, None, &[8, 9]), add(9)]),
            ]),
            Model::ReadCommitted,
            FutureRead,
        ),
    ] {
        let found = kinds(&registers, model);
        assert!(found.contains(&expected), "{name}: {found:?}");
    }
    let fine = by_hand(&[
        (0, &[add(8), (1, None, &[8])]),
        (1, &[(1, None, &[8]), add(9)]),
        (1, &[(1, None, &[8, 9])]),
        (1, &[add(7)]),
        (2, &[(1, None, &[7, 9, 8])]),
    ]);
    for &model in Model::ALL {
        let expected = match model {
            Model::CausalPerKey | Model::StrictSerializability => Judgement::Unknown,
            _ => Judgement::Ok,
        };
        assert_eq!(fine.check(model).judgement, expected, "{model:?}");
    }
}

#[test]
fn explanations_speak_of_elements() {
    let vanished = by_hand(&[
        (0, &[(1, Some(9), &[])]),
        (1, &[(1, None, &[9])]),
        (1, &[(1, None, &[])]),
    ]);
    let report = vanished.check(Model::MonotonicReads);
    insta::assert_snapshot!(report.anomalies[0].summary, @"Transaction 2 of session 1 read key 1 (element 9) with its initial value, but its session had read a later version before: it misses the write of transaction 0 of session 0. Transaction 1 of session 1 read key 1 (element 9) from transaction 0 of session 0. Transaction 1 of session 1 precedes transaction 2 of session 1.");
    let mut builder = SetBuilder::default();
    for session in 0..2 {
        let number = builder.transaction(session, None, Outcome::Committed);
        builder.add(number, 1, 9);
    }
    assert_eq!(
        builder.finish().unwrap_err(),
        BuildError::NotUnique {
            key: "1".to_owned(),
            value: "9".to_owned()
        }
    );
}

/// Many reads of a growing set do not make the history much larger than what they show.
#[test]
fn what_is_absent_costs_little() {
    let mut builder = SetBuilder::default();
    let mut shown = Vec::new();
    for step in 0..300 {
        let number = builder.transaction(step % 10, Some(step), Outcome::Committed);
        builder.read(number, 1, &shown);
        builder.add(number, 1, step);
        shown.push(step);
    }
    let registers = builder.finish().unwrap();
    assert_eq!(
        registers.check(Model::Serializability).judgement,
        Judgement::Ok
    );
    let shown: u64 = (0..300).sum();
    let absent = registers.operations() - 300 - shown;
    assert!(absent < 10 * 300, "{absent}");
}

/// Several sessions at once: what a transaction does may be told after what a later one does.
#[test]
fn operations_of_several_transactions_may_be_mixed() {
    let mut builder = SetBuilder::default();
    let first = builder.transaction(0, Some(0), Outcome::Committed);
    let second = builder.transaction(1, Some(1), Outcome::Committed);
    let third = builder.transaction(1, Some(2), Outcome::Committed);
    builder.read(third, 1, &[]);
    builder.read(second, 1, &[9]);
    builder.add(first, 1, 9);
    // What it sees of its own depends on the order in which it did things, and on that alone.
    builder.read(first, 1, &[9]);
    let registers = builder.finish().unwrap();
    for (model, expected) in [
        (Model::ReadAtomic, Judgement::Ok),
        (Model::MonotonicReads, Judgement::Violation),
        (Model::Causal, Judgement::Violation),
        (Model::Serializability, Judgement::Violation),
    ] {
        assert_eq!(registers.check(model).judgement, expected, "{model:?}");
    }
}

/// What is absent in the middle of a session counts, in whatever order its transactions are told.
#[test]
fn reads_of_a_session_may_be_told_backwards() {
    let mut builder = SetBuilder::default();
    let mut begin = |session| builder.transaction(session, Some(session), Outcome::Committed);
    let [nine, seven, first, second, third, other] = [0, 1, 2, 2, 2, 3].map(&mut begin);
    builder.read(other, 1, &[9]);
    builder.read(third, 1, &[7, 9]);
    builder.read(second, 1, &[7]);
    builder.read(first, 1, &[]);
    builder.add(seven, 1, 7);
    builder.add(nine, 1, 9);
    let registers = builder.finish().unwrap();
    let judge = |model| registers.check(model).judgement;
    assert_eq!(judge(Model::Causal), Judgement::Ok);
    assert_eq!(judge(Model::PrefixConsistency), Judgement::Violation);
}

#[test]
fn a_transaction_may_add_an_element_twice() {
    let registers = by_hand(&[
        (0, &[(1, Some(9), &[]), (1, Some(9), &[])]),
        (1, &[(1, None, &[9])]),
    ]);
    assert_eq!(registers.check(Model::Causal).judgement, Judgement::Ok);
}

#[test]
fn a_part_of_a_transaction_is_told_once() {
    let add = |element| (1, Some(element), &[][..]);
    let registers = by_hand(&[
        (0, &[add(7), add(8), add(9)]),
        (1, &[(1, None, &[7, 9])]),
        (2, &[(1, None, &[9])]),
    ]);
    let report = registers.check(Model::ReadCommitted);
    let parts = report.anomalies.iter();
    let parts = parts.filter(|anomaly| anomaly.kind == AnomalyKind::IntermediateRead);
    assert_eq!(parts.count(), 2);
}

/// Of what one session added, one element is read as absent for all.
#[test]
fn of_what_a_session_added_the_first_element_is_absent() {
    let mut builder = SetBuilder::default();
    let shown: Vec<u64> = (0..100).collect();
    for element in &shown {
        let number = builder.transaction(0, Some(*element), Outcome::Committed);
        builder.add(number, 1, *element);
    }
    for elements in [&[][..], &shown] {
        let number = builder.transaction(1, None, Outcome::Committed);
        builder.read(number, 1, elements);
    }
    let registers = builder.finish().unwrap();
    assert_eq!(registers.operations(), 100 + 100 + 1);
}

#[test]
fn sets_have_names() {
    let mut builder = SetBuilder::default();
    builder.name_key(1, "basket".to_owned());
    let number = builder.transaction(0, None, Outcome::Committed);
    builder.read(number, 1, &[9]);
    let report = builder.finish().unwrap().check(Model::Causal);
    let summary = &report.anomalies[0].summary;
    assert!(summary.contains("basket (element 9)"), "{summary}");
}
