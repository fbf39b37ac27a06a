//! Lists: the well-known anomalies by name. (That the models are right is for `lists_by_definition.rs`.)

use squall_checker::formats::Format;
use squall_checker::registers::{AnomalyKind, Model, Registers};

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
            "an overtaken append of the same session",
            ok(0, "[:append 1 1]") + &ok(0, "[:append 1 2]") + &ok(1, "[:r 1 [2]]"),
            Model::ReadCommitted,
            vec![LostAppend],
        ),
        (
            "own append lost",
            ok(0, "[:append 1 1]") + &ok(0, "[:r 1 []]"),
            Model::ReadAtomic,
            vec![LostAppend],
        ),
        (
            "own append lost, for which nobody has to care",
            ok(0, "[:append 1 1]") + &ok(0, "[:r 1 []]"),
            Model::ReadCommitted,
            vec![],
        ),
        (
            "half of a transaction lost",
            ok(0, "[:append 1 1] [:append 2 1]") + &ok(1, "[:r 1 [1]] [:r 2 []]"),
            Model::ReadAtomic,
            vec![LostAppend],
        ),
        (
            "an append in the causal past lost",
            ok(0, "[:append 1 1]")
                + &ok(0, "[:append 2 1]")
                + &ok(1, "[:r 2 [1]] [:append 3 1]")
                + &ok(2, "[:r 3 [1]]")
                + &ok(2, "[:r 1 []]"),
            Model::Causal,
            vec![LostAppend],
        ),
        (
            "an append further back than read atomic looks",
            ok(0, "[:append 1 1]")
                + &ok(0, "[:append 2 1]")
                + &ok(1, "[:r 2 [1]] [:append 3 1]")
                + &ok(2, "[:r 3 [1]]")
                + &ok(2, "[:r 1 []]"),
            Model::ReadAtomic,
            vec![],
        ),
        (
            "stale, but not lost",
            ok(0, "[:append 1 1]") + &ok(0, "[:r 1 []]") + &ok(1, "[:r 1 [1]]"),
            Model::Serializability,
            vec![SingleAntiDependencyCycle],
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
    let lost_append = ok(0, "[:append :x 1]")
        + &ok(0, "[:append :y 2]")
        + &ok(1, "[:r :y [2]] [:append :x 3]")
        + &ok(2, "[:r :x [3]]");
    insta::assert_snapshot!(explain(&lost_append, Model::ReadCommitted), @"Transaction 0 of session 0 appended 1 to key x, which is in no list that another transaction read (a lost append): transaction 2 of session 1, which comes after it, has its own element in the list that was read, without this one before it. Transaction 0 of session 0 precedes transaction 1 of session 0. Transaction 2 of session 1 read key y from transaction 1 of session 0.");
    let lost_update = ok(0, "[:r :x []] [:append :x 1]")
        + &ok(1, "[:r :x []] [:append :x 2]")
        + &ok(2, "[:r :x [1 2]]");
    insta::assert_snapshot!(explain(&lost_update, Model::Serializability), @"No order of commits is possible, since they would have to come one before the other in a circle. Transaction 0 of session 0 wrote key x before transaction 1 of session 1 did. Transaction 1 of session 1 read key x and did not see that transaction 0 of session 0 wrote it.");
    let incompatible = ok(0, "[:append :x 1]")
        + &ok(1, "[:append :x 2]")
        + &ok(2, "[:r :x [1 2]]")
        + &ok(3, "[:r :x [2]]");
    insta::assert_snapshot!(explain(&incompatible, Model::Causal), @"Transaction 3 of session 3 read key x: the value 2, in an order that another read contradicts.");
}
