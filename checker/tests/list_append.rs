//! Lists: the well-known anomalies by name, and serializability against running the transactions one
//! after the other.

use proptest::prelude::*;
use squall_checker::formats::Format;
use squall_checker::registers::{AnomalyKind, ListBuilder, Model, Outcome, Registers};
use squall_protocol::verdict::Judgement;

fn read(text: &str) -> Registers {
    let reading = Format::Jepsen.read(text.as_bytes(), false).unwrap();
    assert_eq!(reading.cut, None);
    reading.registers
}

/// The anomalies that a model finds, by kind.
fn kinds(text: &str, model: Model) -> Vec<AnomalyKind> {
    let report = read(text).check(model);
    report
        .anomalies
        .iter()
        .map(|anomaly| anomaly.kind)
        .collect()
}

fn ok(process: u32, value: &str) -> String {
    format!("{{:type :ok, :process {process}, :value [{value}]}}\n")
}

#[test]
fn anomalies_have_their_usual_names() {
    use AnomalyKind::*;
    let aborted = "{:type :fail, :process 0, :value [[:append 1 1]]}".to_owned();
    for (name, text, model, expected) in [
        (
            "fine",
            ok(0, "[:append 1 1] [:r 1 [1]]") + &ok(1, "[:append 1 2]") + &ok(2, "[:r 1 [1 2]]"),
            Model::Serializability,
            vec![],
        ),
        (
            // Its own element is on top of what it has read, before the other's is below it.
            "own append over an older list",
            ok(0, "[:append 1 1] [:r 1 [1]]") + &ok(1, "[:append 1 2]") + &ok(2, "[:r 1 [2 1]]"),
            Model::Causal,
            vec![],
        ),
        (
            "G0",
            ok(0, "[:append 1 1] [:append 2 1]")
                + &ok(1, "[:append 1 2] [:append 2 2]")
                + &ok(2, "[:r 1 [1 2]] [:r 2 [2 1]]"),
            Model::ReadCommitted,
            vec![WriteCycle],
        ),
        (
            "G1a",
            aborted.clone() + &ok(1, "[:r 1 [1]]"),
            Model::ReadCommitted,
            vec![AbortedRead],
        ),
        (
            "G1a in the middle",
            aborted + &ok(1, "[:append 1 2]") + &ok(2, "[:r 1 [1 2]]"),
            Model::ReadCommitted,
            vec![AbortedRead],
        ),
        (
            "G1b",
            ok(0, "[:append 1 1] [:append 1 2]") + &ok(1, "[:r 1 [1]]"),
            Model::ReadCommitted,
            vec![IntermediateRead],
        ),
        (
            "torn",
            ok(0, "[:append 1 1] [:append 1 2]")
                + &ok(1, "[:append 1 3]")
                + &ok(2, "[:r 1 [1 3 2]]"),
            Model::ReadCommitted,
            vec![IntermediateRead, WriteCycle],
        ),
        (
            "G1c",
            ok(0, "[:append 1 1] [:r 2 [1]]") + &ok(1, "[:append 2 1] [:r 1 [1]]"),
            Model::ReadCommitted,
            vec![CircularInformationFlow],
        ),
        (
            "thin air",
            ok(0, "[:r 1 [7]]"),
            Model::ReadCommitted,
            vec![ThinAirRead],
        ),
        (
            "incompatible",
            ok(0, "[:append 1 1]")
                + &ok(1, "[:append 1 2]")
                + &ok(2, "[:r 1 [1 2]]")
                + &ok(3, "[:r 1 [2]]"),
            Model::ReadCommitted,
            vec![IncompatibleOrder],
        ),
        (
            "duplicate",
            ok(0, "[:append 1 1]") + &ok(2, "[:r 1 [1 1]]"),
            Model::ReadCommitted,
            vec![DuplicateElement],
        ),
        (
            "not own",
            ok(0, "[:append 1 1] [:r 1 []]"),
            Model::ReadCommitted,
            vec![NotOwnWrite],
        ),
        (
            "G-single",
            ok(0, "[:append 1 1] [:append 2 1]")
                + &ok(1, "[:r 1 []] [:r 2 [1]]")
                + &ok(2, "[:r 1 [1]]"),
            Model::Serializability,
            vec![SingleAntiDependencyCycle],
        ),
        (
            "G2",
            ok(0, "[:r 1 []] [:append 2 1]")
                + &ok(1, "[:r 2 []] [:append 1 1]")
                + &ok(2, "[:r 1 [1]]")
                + &ok(3, "[:r 2 [1]]"),
            Model::Serializability,
            vec![WriteSkew],
        ),
        (
            "G2 is snapshot isolation",
            ok(0, "[:r 1 []] [:append 2 1]") + &ok(1, "[:r 2 []] [:append 1 1]"),
            Model::SnapshotIsolation,
            vec![],
        ),
        (
            "lost update",
            ok(0, "[:r 1 []] [:append 1 1]")
                + &ok(1, "[:r 1 []] [:append 1 2]")
                + &ok(2, "[:r 1 [1 2]]"),
            Model::Serializability,
            vec![LostUpdate],
        ),
    ] {
        let mut found = kinds(&text, model);
        found.dedup();
        assert_eq!(found, expected, "{name}\n{text}");
    }
}

#[test]
fn explanations() {
    let explain = |text: &str, model| {
        let report = read(text).check(model);
        let lines: Vec<String> = report.anomalies.into_iter().map(|a| a.summary).collect();
        lines.join("\n")
    };
    let dirty_write = ok(0, "[:append :x 1] [:append :y 1]")
        + &ok(1, "[:append :x 2] [:append :y 2]")
        + &ok(2, "[:r :x [1 2]] [:r :y [2 1]]");
    insta::assert_snapshot!(explain(&dirty_write, Model::ReadCommitted), @"No order of commits is possible, since they would have to come one before the other in a circle. Transaction 1 of session 1 wrote key y before transaction 0 of session 0 did. Transaction 0 of session 0 wrote key x before transaction 1 of session 1 did.");
    let lost_update = ok(0, "[:r :x []] [:append :x 1]")
        + &ok(1, "[:r :x []] [:append :x 2]")
        + &ok(2, "[:r :x [1 2]]");
    insta::assert_snapshot!(explain(&lost_update, Model::Serializability), @"No order of commits is possible, since they would have to come one before the other in a circle. Transaction 1 of session 1 read key x and did not see that transaction 0 of session 0 wrote it. Transaction 0 of session 0 wrote key x before transaction 1 of session 1 did.");
    let incompatible = ok(0, "[:append :x 1]")
        + &ok(1, "[:append :x 2]")
        + &ok(2, "[:r :x [1 2]]")
        + &ok(3, "[:r :x [2]]");
    insta::assert_snapshot!(explain(&incompatible, Model::Causal), @"Transaction 3 of session 3 read key x: the value 2, in an order that another read contradicts.");
}

#[derive(Clone, Debug)]
enum Operation {
    Append(usize, u64),
    Read(usize, Vec<u64>),
}

#[derive(Clone, Debug)]
struct Transaction {
    session: u64,
    outcome: Outcome,
    operations: Vec<Operation>,
}

/// A random history. Transactions run one after the other, but a read may miss the last elements of
/// others, and appends may be swapped.
fn history(bytes: &[u8]) -> Vec<Transaction> {
    let mut bytes = bytes.iter();
    let mut below = |bound: usize| bytes.next().map_or(0, |byte| usize::from(*byte) % bound);
    let mut state: Vec<Vec<u64>> = vec![Vec::new(); 2];
    let mut element = 0;
    let mut history = Vec::new();
    for _ in 0..2 + below(4) {
        let outcome = match below(12) {
            0 => Outcome::Aborted,
            1 | 2 => Outcome::Unknown,
            _ => Outcome::Committed,
        };
        let mut own: Vec<Vec<u64>> = vec![Vec::new(); 2];
        let mut operations = Vec::new();
        for _ in 0..1 + below(3) {
            let key = below(2);
            if below(2) == 0 {
                element += 1;
                own[key].push(element);
                operations.push(Operation::Append(key, element));
            } else {
                let missed = [0, 0, 0, 0, 0, 1, 2, 0][below(8)];
                let mut list = state[key].clone();
                list.truncate(list.len().saturating_sub(missed));
                match below(24) {
                    0 => list.push(99),
                    1 => list.reverse(),
                    _ => list.extend(&own[key]),
                }
                operations.push(Operation::Read(key, list));
            }
        }
        // What was aborted is hardly ever seen, and what is unknown half of the time.
        let applied = match outcome {
            Outcome::Committed => true,
            Outcome::Aborted => below(8) == 0,
            Outcome::Unknown => below(2) == 0,
        };
        for (list, own) in state.iter_mut().zip(own) {
            if applied {
                list.extend(own);
                if below(8) == 0 && list.len() > 1 {
                    let last = list.len() - 1;
                    list.swap(last, last - 1);
                }
            }
        }
        history.push(Transaction {
            session: below(3) as u64,
            outcome,
            operations,
        });
    }
    history
}

/// Whether the transactions can have run one after the other.
fn serializable(history: &[Transaction]) -> bool {
    let seen = |element: &u64| {
        history
            .iter()
            .filter(|t| t.outcome == Outcome::Committed)
            .any(|t| {
                t.operations.iter().any(|operation| match operation {
                    Operation::Read(_, list) => list.contains(element),
                    Operation::Append(..) => false,
                })
            })
    };
    let observed = |transaction: &Transaction| {
        transaction
            .operations
            .iter()
            .any(|operation| match operation {
                Operation::Append(_, element) => seen(element),
                Operation::Read(..) => false,
            })
    };
    let nodes: Vec<usize> = (0..history.len())
        .filter(|t| match history[*t].outcome {
            Outcome::Committed => true,
            Outcome::Aborted => false,
            Outcome::Unknown => observed(&history[*t]),
        })
        .collect();
    run(history, &nodes, &mut Vec::new(), &vec![Vec::new(); 2])
}

/// Whether the rest of the transactions can run from a state.
fn run(
    history: &[Transaction],
    nodes: &[usize],
    done: &mut Vec<usize>,
    state: &[Vec<u64>],
) -> bool {
    if done.len() == nodes.len() {
        return true;
    }
    for node in nodes
        .iter()
        .filter(|node| !done.contains(node))
        .copied()
        .collect::<Vec<_>>()
    {
        let transaction = &history[node];
        let ready = nodes.iter().all(|before| {
            *before >= node
                || done.contains(before)
                || history[*before].session != transaction.session
                || history[*before].outcome != Outcome::Committed
        });
        let mut state = state.to_vec();
        let runs = transaction
            .operations
            .iter()
            .all(|operation| match operation {
                Operation::Append(key, element) => {
                    state[*key].push(*element);
                    true
                }
                // What an operation without an answer has read is not known.
                Operation::Read(key, list) => {
                    transaction.outcome != Outcome::Committed || state[*key] == *list
                }
            });
        if ready && runs {
            done.push(node);
            if run(history, nodes, done, &state) {
                return true;
            }
            done.pop();
        }
    }
    false
}

fn build(history: &[Transaction]) -> Registers {
    let mut builder = ListBuilder::default();
    for (label, transaction) in (0..).zip(history) {
        let number = builder.transaction(transaction.session, Some(label), transaction.outcome);
        for operation in &transaction.operations {
            match operation {
                Operation::Append(key, element) => builder.append(number, *key as u64, *element),
                Operation::Read(key, list) => builder.read(number, *key as u64, list),
            }
        }
    }
    builder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn serializable_is_what_can_run_one_after_the_other(
        bytes in proptest::collection::vec(any::<u8>(), 0..70),
    ) {
        let history = history(&bytes);
        if !history.iter().any(|t| t.outcome == Outcome::Committed) {
            return Ok(());
        }
        let registers = build(&history);
        let report = registers.check(Model::Serializability);
        let expected = if serializable(&history) { Judgement::Ok } else { Judgement::Violation };
        prop_assert_eq!(report.judgement, expected, "{:#?}", report);
        // A weaker model never finds more.
        let mut holds = false;
        for model in Model::OF_TRANSACTIONS.into_iter().rev() {
            let weaker = registers.check(model).judgement == Judgement::Ok;
            prop_assert!(weaker || !holds, "{:?}", model);
            holds = weaker;
        }
    }
}

#[test]
fn random_histories_are_neither_all_good_nor_all_bad() {
    let mut random = squall_checker::generate::Random::new(1);
    let mut good = 0;
    for _ in 0..1_000 {
        let bytes: Vec<u8> = (0..70).map(|_| random.below(256) as u8).collect();
        good += i32::from(serializable(&history(&bytes)));
    }
    assert!((100..900).contains(&good), "{good}");
}
