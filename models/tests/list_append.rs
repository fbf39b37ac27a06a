//! Lists: the well-known anomalies by name. (That the models are right is for `lists_by_definition.rs`.)

use squall_models::formats::Format;
use squall_models::registers::Judgement;
use squall_models::registers::{AnomalyKind, ListBuilder, Model, Outcome, Registers};

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
            "an append in the causal past lost, without an order that all agree on",
            ok(0, "[:append 1 1]") + &ok(0, "[:append 1 2]") + &ok(1, "[:r 1 [2]]"),
            Model::WeakCausal,
            vec![CausalityViolation],
        ),
        (
            "half of a transaction lost, which the session guarantees allow",
            ok(0, "[:append 1 1] [:append 2 1]") + &ok(1, "[:r 1 [1]] [:r 2 []]"),
            Model::WritesFollowReads,
            vec![],
        ),
        (
            "overtaken by what others have appended since",
            ok(0, "[:append 1 1]")
                + &ok(0, "[:append 1 2]")
                + &ok(1, "[:append 1 3]")
                + &ok(1, "[:append 1 4]")
                + &ok(2, "[:r 1 [3 4 2]]"),
            Model::ReadCommitted,
            vec![LostAppend],
        ),
        (
            "not in the list that counts, but in one that contradicts it",
            ok(0, "[:append 1 8]")
                + &ok(1, "[:r 1 [8]]")
                + &ok(2, "[:append 1 1]")
                + &ok(2, "[:r 1 [1]]"),
            Model::Causal,
            vec![IncompatibleOrder],
        ),
        (
            "a circle beside an unread append",
            ok(0, "[:append 1 1] [:r 2 [1]] [:append 3 1]")
                + &ok(1, "[:append 2 1] [:r 1 [1]]")
                + &ok(2, "[:r 3 []]"),
            Model::Causal,
            vec![CircularInformationFlow],
        ),
        (
            "a fractured read by way of an element that is not the last",
            ok(0, "[:append 1 1] [:append 2 1]")
                + &ok(1, "[:append 1 2]")
                + &ok(2, "[:r 1 [1 2]] [:r 2 []]")
                + &ok(3, "[:r 2 [1]]"),
            Model::ReadAtomic,
            vec![FracturedRead],
        ),
        (
            "the same, within the transaction's order of reads",
            ok(0, "[:append 1 1] [:append 2 1]")
                + &ok(1, "[:append 1 2]")
                + &ok(2, "[:r 1 [1 2]] [:r 2 []]")
                + &ok(3, "[:r 2 [1]]"),
            Model::ReadCommitted,
            vec![FracturedRead],
        ),
        (
            "an answer without its question, by way of an element that is not the last",
            ok(0, "[:append 1 1]")
                + &ok(1, "[:r 1 [1]] [:append 2 1]")
                + &ok(2, "[:append 2 2]")
                + &ok(3, "[:r 2 [1 2]] [:r 1 []]"),
            Model::WritesFollowReads,
            vec![WritesFollowReads],
        ),
        (
            "the same is not causal",
            ok(0, "[:append 1 1]")
                + &ok(1, "[:r 1 [1]] [:append 2 1]")
                + &ok(2, "[:append 2 2]")
                + &ok(3, "[:r 2 [1 2]] [:r 1 []]"),
            Model::Causal,
            vec![WritesFollowReads],
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

/// Appends to one list and a read that does not show them; each with its session, and its begin and end.
fn unread(appends: &[(u64, u64, u64)], (session, begin, end): (u64, u64, u64)) -> Registers {
    let mut builder = ListBuilder::default();
    for (element, (session, begin, end)) in (1..).zip(appends) {
        let number = builder.transaction(*session, Some(element), Outcome::Committed);
        builder.append(number, 1, element);
        builder.registers().times(number, *begin, Some(*end));
    }
    let number = builder.transaction(session, Some(0), Outcome::Committed);
    builder.read(number, 1, &[]);
    builder.registers().times(number, begin, Some(end));
    builder.finish().unwrap()
}

#[test]
fn an_append_that_had_ended_is_lost_in_real_time() {
    // The appends, the read, and whose appends are lost.
    type Case<'a> = (&'a [(u64, u64, u64)], (u64, u64, u64), &'a [u64]);
    let cases: [Case; 5] = [
        (&[(0, 1, 2)], (1, 3, 4), &[1]),
        (&[(0, 1, 3)], (1, 3, 4), &[]),
        (&[(0, 1, 9)], (1, 3, 4), &[]),
        // The one that began first goes on.
        (&[(0, 1, 9), (1, 1, 2)], (2, 3, 4), &[2]),
        (&[(0, 1, 2), (1, 1, 2)], (2, 3, 4), &[1, 2]),
    ];
    for (appends, read, expected) in cases {
        let registers = unread(appends, read);
        let report = registers.check(Model::StrictSerializability);
        let kinds = report.anomalies.iter().map(|anomaly| anomaly.kind);
        assert!(
            kinds.eq(vec![AnomalyKind::LostAppend; expected.len()]),
            "{report:#?}"
        );
        let all = report
            .anomalies
            .iter()
            .flat_map(|anomaly| &anomaly.transactions);
        let mut lost: Vec<u64> = all
            .filter_map(|t| t.label)
            .filter(|label| *label > 0)
            .collect();
        lost.sort_unstable();
        assert_eq!(lost, expected);
        let report = registers.check(Model::Serializability);
        assert_eq!(report.judgement, Judgement::Ok, "{appends:?}");
    }
}

/// Nothing in a report depends on how a hash map is laid out.
#[test]
fn the_same_history_always_gives_the_same_report() {
    let mut text = String::new();
    for key in 0..20 {
        text += &ok(key, &format!("[:append {key} 1]"));
        text += &ok(20 + key, &format!("[:append {key} 2]"));
        text += &ok(40, &format!("[:r {key} [1 2 1]]"));
        text += &ok(41, &format!("[:r {key} [2]]"));
        text += &ok(key, &format!("[:append {key} 3] [:r {key} []]"));
    }
    let report = || format!("{:?}", read(&text).check(Model::ReadCommitted));
    let first = report();
    for _ in 0..5 {
        assert_eq!(report(), first);
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
    insta::assert_snapshot!(explain(&dirty_write, Model::ReadCommitted), @"No order of commits is possible, since they would have to come one before the other in a circle. Transaction 1 of session 1 wrote key :y before transaction 0 of session 0 did. Transaction 0 of session 0 wrote key :x before transaction 1 of session 1 did.");
    let lost_append = ok(0, "[:append :x 1]")
        + &ok(0, "[:append :y 2]")
        + &ok(1, "[:r :y [2]] [:append :x 3]")
        + &ok(2, "[:r :x [3]]");
    insta::assert_snapshot!(explain(&lost_append, Model::ReadCommitted), @"Transaction 0 of session 0 appended 1 to key :x, which is in no list that another transaction read (a lost append): transaction 2 of session 1, which comes after it, has its own element in the list that was read, without this one before it. Transaction 0 of session 0 precedes transaction 1 of session 0. Transaction 2 of session 1 read key :y from transaction 1 of session 0.");
    let lost_update = ok(0, "[:r :x []] [:append :x 1]")
        + &ok(1, "[:r :x []] [:append :x 2]")
        + &ok(2, "[:r :x [1 2]]");
    insta::assert_snapshot!(explain(&lost_update, Model::Serializability), @"No order of commits is possible, since they would have to come one before the other in a circle. Transaction 0 of session 0 wrote key :x before transaction 1 of session 1 did. Transaction 1 of session 1 read key :x and did not see that transaction 0 of session 0 wrote it.");
    let incompatible = ok(0, "[:append :x 1]")
        + &ok(1, "[:append :x 2]")
        + &ok(2, "[:r :x [1 2]]")
        + &ok(3, "[:r :x [2]]");
    insta::assert_snapshot!(explain(&incompatible, Model::Causal), @"Transaction 3 of session 3 read key :x: the value 2, in an order that another read contradicts.");
}
