//! What squall exports, other checkers can read: here, our own readers of their formats.

mod support;

use std::collections::BTreeSet;

use proptest::prelude::*;
use squall_checker::generate::{Bug, Config, generate};
use squall_checker::transactions;
use squall_checker::{Cut, History, read_history, write_history};
use squall_models::formats::export::Target;
use squall_models::formats::{Format, Reading};
use squall_models::generate::Random;
use squall_models::recording::{Operation, Recording};
use squall_models::registers::{AnomalyKind, Judgement, Model, Outcome, Registers};
use squall_protocol::history::Event;
use squall_protocol::plan::Workload;
use squall_protocol::transaction::Collections;
use squall_protocol::verdict::Property;
use support::{Story, of_collections, rows};

fn registers(recording: &Recording) -> Registers {
    recording.build(true).unwrap()
}

fn export(target: Target, recording: &Recording) -> (String, Vec<String>) {
    let mut file = Vec::new();
    let losses = target.write(recording, &mut file).unwrap();
    (String::from_utf8(file).unwrap(), losses)
}

fn import(target: Target, text: &str) -> Reading {
    let format = match target {
        Target::Plume => Format::Plume,
        Target::DbcopJson => Format::DbcopJson,
        Target::ElleEdn | Target::JepsenJson => Format::Jepsen,
    };
    assert_eq!(Format::detect(text.as_bytes()), Some(format), "{text}");
    format.read(text.as_bytes(), true).unwrap()
}

/// Judgement, how many violations, and of which kinds they are. Where there are several cycles, it may
/// depend on the order of the sessions which one is told.
fn verdict(registers: &Registers, model: Model) -> (Judgement, u64, BTreeSet<AnomalyKind>) {
    let report = registers.check(model);
    let kinds = report.anomalies.iter().map(|anomaly| {
        if anomaly.cycle.is_empty() {
            anomaly.kind
        } else {
            AnomalyKind::CommitOrderCycle
        }
    });
    (report.judgement, report.violations, kinds.collect())
}

/// The models that derive everything that they demand. The others stop at the first contradiction, and
/// which one that is depends on the numbers of the transactions.
const TELLS_EVERYTHING: [Model; 7] = [
    Model::ReadCommitted,
    Model::ReadAtomic,
    Model::ReadYourWrites,
    Model::MonotonicReads,
    Model::MonotonicWrites,
    Model::WeakCausal,
    Model::CausalPerKey,
];

fn history(seed: u64, bug: Option<Bug>, percent_info: u32) -> History {
    generate(&Config {
        keys: 2 + (seed % 5) as u32,
        writes_per_transaction: 2,
        percent_info,
        percent_fail: 10,
        bug,
        ..Config::new(seed, 20 + seed % 40)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_exported_is_imported_unchanged(
        seed in any::<u64>(),
        bug in proptest::option::of(proptest::sample::select(Bug::ALL.to_vec())),
        percent_info in prop_oneof![Just(0_u32), Just(25)],
    ) {
        let recording = transactions::recording(&history(seed, bug, percent_info));
        for &target in Target::ALL {
            let (text, _) = export(target, &recording);
            let imported = import(target, &text).registers;
            let expected = match target {
                Target::ElleEdn | Target::JepsenJson => registers(&recording),
                Target::Plume | Target::DbcopJson => registers(&recording.without_unknown().0),
            };
            for (imported, expected) in imported.description().iter().zip(expected.description()) {
                prop_assert_eq!(imported, &expected, "{:?}", target);
            }
            prop_assert_eq!(imported.transactions(), expected.transactions());
            // These have no times.
            let timeless = matches!(target, Target::Plume | Target::DbcopJson);
            let told = |model: &Model| !timeless || *model != Model::StrictSerializability;
            for model in Model::ALL.iter().copied().filter(told) {
                let (mut left, mut right) = (verdict(&imported, model), verdict(&expected, model));
                if target == Target::DbcopJson && !TELLS_EVERYTHING.contains(&model) {
                    // It lists transactions by session, so the first order that is tried is another.
                    (left.1, right.1) = (0, 0);
                }
                prop_assert_eq!(left, right, "{:?} {:?}", target, model);
            }
            // What is lost can hide a violation, but makes none.
            let original = registers(&recording);
            for &model in Model::ALL {
                let (before, after) = (original.check(model), imported.check(model));
                prop_assert!(before.judgement == Judgement::Violation || after.judgement != Judgement::Violation);
            }
        }
    }

    /// Squall's own check of the history, and that of its registers, agree.
    #[test]
    fn registers_are_judged_as_the_workload_is(
        seed in any::<u64>(),
        bug in proptest::option::of(proptest::sample::select(Bug::ALL.to_vec())),
        percent_info in prop_oneof![Just(0_u32), Just(25)],
    ) {
        let history = history(seed, bug, percent_info);
        let mut lines = Vec::new();
        write_history(&history, &mut lines).unwrap();
        prop_assert_eq!(Format::detect(&lines), Some(Format::Squall));
        let registers = transactions::read(Format::Squall, &lines[..], true).unwrap();
        let verdict = squall_checker::check(&history);
        // A missing row is a thin-air read there, and nothing at all here.
        if bug != Some(Bug::VanishedRow) {
            let violated = verdict.properties.iter().any(|property| {
                property.violations > 0 && Property::OF_READS.contains(&property.property)
            });
            let report = registers.check(Model::CausalPerKey);
            prop_assert_eq!(violated, report.judgement == Judgement::Violation, "{:#?}", report);
        }
    }
}

/// `a` writes and its answer is lost; `b` sees the write.
fn with_an_unknown_write() -> History {
    let mut story = Story::new(2);
    let lost = story.invoke("a", 5, &[0]);
    story.info("a", lost);
    let unseen = story.invoke("a", 6, &[1]);
    story.info("a", unseen);
    let read = story.invoke("b", -1, &[]);
    story.ok("b", read, rows(&[5, -1]), vec![]);
    story.history()
}

#[test]
fn what_a_format_can_not_hold_is_said() {
    let recording = transactions::recording(&with_an_unknown_write());
    let (plume, losses) = export(Target::Plume, &recording);
    assert_eq!(plume, "w(0,5,2,1)\nr(0,5,1,3)\nr(1,0,1,3)\n");
    insta::assert_snapshot!(losses.join("\n"), @"
    1 transactions of unknown outcome were read from; they are written as committed, each in a session of its own, so that what their sessions had done before no longer counts as their past
    1 transactions of unknown outcome were read by nobody; they are left out
    times and the names of clients are left out
    ");
    let (edn, losses) = export(Target::ElleEdn, &recording);
    assert!(losses.is_empty());
    insta::assert_snapshot!(edn, @r#"
    {:index 0, :time 1000000, :type :invoke, :process 0, :client "a", :f :txn, :value [[:w 0 5]]}
    {:index 1, :time 2000000, :type :info, :process 0, :client "a", :f :txn, :value [[:w 0 5]]}
    {:index 2, :time 3000000, :type :invoke, :process 0, :client "a", :f :txn, :value [[:w 1 6]]}
    {:index 3, :time 4000000, :type :info, :process 0, :client "a", :f :txn, :value [[:w 1 6]]}
    {:index 4, :time 5000000, :type :invoke, :process 1, :client "b", :f :txn, :value [[:r 0 nil] [:r 1 nil]]}
    {:index 5, :time 6000000, :type :ok, :process 1, :client "b", :f :txn, :value [[:r 0 5] [:r 1 nil]]}
    "#);
    let (json, losses) = export(Target::JepsenJson, &recording);
    assert!(losses.is_empty());
    insta::assert_snapshot!(json.lines().last().unwrap(), @r#"{"client":"b","f":"txn","index":5,"process":1,"time":6000000,"type":"ok","value":[["r",0,5],["r",1,null]]}"#);
    let (dbcop, _) = export(Target::DbcopJson, &recording);
    insta::assert_snapshot!(dbcop, @r#"{"data":[[],[{"committed":true,"events":[{"Read":{"variable":0,"version":5}},{"Read":{"variable":1,"version":null}}]}],[{"committed":true,"events":[{"Write":{"variable":0,"version":5}}]}]],"end":"1970-01-01T00:00:00Z","info":"squall","params":{"id":0,"n_event":2,"n_node":3,"n_transaction":1,"n_variable":2},"start":"1970-01-01T00:00:00Z"}"#);
}

#[test]
fn the_value_zero_is_not_taken_for_the_initial_one() {
    let mut story = Story::new(1);
    let zero = story.invoke("a", 0, &[0]);
    story.ok("a", zero, rows(&[-1]), vec![(0, 0)]);
    let lost = story.invoke("a", -1, &[]);
    story.ok("a", lost, rows(&[-1]), vec![]);
    let recording = transactions::recording(&story.history());
    for &target in Target::ALL {
        let (text, losses) = export(target, &recording);
        let report = import(target, &text).check(Model::Causal);
        assert_eq!(report.judgement, Judgement::Violation, "{text}");
        let zero_is_special = matches!(target, Target::Plume | Target::DbcopJson);
        let said = losses.iter().any(|loss| loss.contains("initial"));
        assert_eq!(said, zero_is_special, "{losses:?}");
    }
}

#[test]
fn operations_that_overlap_in_a_session_are_told_one_after_the_other() {
    let mut story = Story::new(1);
    let first = story.invoke("a", 1, &[0]);
    let never = story.invoke("a", 2, &[0]);
    let last = story.invoke("a", -1, &[]);
    story.ok("a", last, rows(&[2]), vec![]);
    story.ok("a", first, rows(&[-1]), vec![(0, 1)]);
    let _ = never;
    let recording = transactions::recording(&story.history());
    let (text, _) = export(Target::ElleEdn, &recording);
    let kinds: Vec<&str> = text
        .lines()
        .map(|line| {
            line.split(":type :")
                .nth(1)
                .unwrap()
                .split(',')
                .next()
                .unwrap()
        })
        .collect();
    assert_eq!(kinds, ["invoke", "ok", "invoke", "info", "invoke", "ok"]);
    assert_eq!(
        import(Target::ElleEdn, &text).registers.description(),
        registers(&recording).description()
    );
}

#[test]
fn a_cut_history_stays_cut() {
    let mut lines = Vec::new();
    write_history(&history(1, None, 0), &mut lines).unwrap();
    lines.truncate(lines.len() - 20);
    let reading = transactions::read(Format::Squall, &lines[..], true).unwrap();
    assert!(matches!(reading.cut, Some(Cut { .. })));
    assert_eq!(reading.check(Model::Causal).judgement, Judgement::Unknown);
    assert!(read_history(&lines[..]).unwrap().cut.is_some());
}

#[test]
fn the_tests_see_what_they_are_about() {
    let (mut observed, mut aborted, mut violated) = (0, 0, 0);
    for seed in 0..100 {
        let recording =
            transactions::recording(&history(seed, Some(Bug::ALL[seed as usize % 8]), 25));
        let (known, losses) = recording.without_unknown();
        observed += usize::from(losses.iter().any(|loss| loss.contains("read from")));
        let mut transactions = known.transactions.iter();
        aborted += usize::from(transactions.any(|t| {
            t.outcome == Outcome::Aborted
                && matches!(t.operations.first(), Some(Operation::Write { .. }))
        }));
        let report = registers(&recording).check(Model::CausalPerKey);
        violated += usize::from(report.judgement == Judgement::Violation);
    }
    assert!(observed > 20 && aborted > 20, "{observed} {aborted}");
    assert!((20..95).contains(&violated), "{violated}");
}

const COLLECTIONS: [Workload; 2] = [Workload::ListAppend, Workload::Gset];

/// Lists or sets of the keys 0, 1 and so on.
fn texts(texts: &[&str]) -> Option<Collections> {
    let texts = texts.iter().map(|text| (*text).to_owned());
    Some((0..).zip(texts).collect())
}

/// A transaction that reads and then writes.
fn done(story: &mut Story, client: &str, read: &[&str], value: i64, keys: &[u32]) {
    let operation = story.invoke(client, value, keys);
    story.record(ok(client, operation, texts(read), value, keys));
}

fn ok(
    client: &str,
    operation: u64,
    collections: Option<Collections>,
    value: i64,
    keys: &[u32],
) -> Event {
    let writes = keys.iter().map(|key| (*key, value)).collect();
    Event::Ok {
        client: client.to_owned(),
        operation,
        effects: of_collections(collections, writes),
    }
}

fn final_read(story: &mut Story, client: &str, collections: Option<Collections>) {
    story.final_read_of(client, of_collections(collections, Vec::new()));
}

fn of(workload: Workload, story: &Story) -> History {
    let mut history = story.history();
    history.header.workload = workload;
    history
}

/// What `squall check --model` says of our own history.
fn judged(history: &History, model: Model) -> Judgement {
    let mut lines = Vec::new();
    write_history(history, &mut lines).unwrap();
    let reading = transactions::read(Format::Squall, &lines[..], true).unwrap();
    reading.check(model).judgement
}

/// Elle's forms say of every model what the recording itself says.
#[track_caller]
fn assert_same_verdicts(history: &History) {
    let recording = transactions::recording(history);
    let expected = registers(&recording);
    for target in [Target::ElleEdn, Target::JepsenJson] {
        let (text, losses) = export(target, &recording);
        assert!(losses.is_empty(), "{losses:?}");
        let imported = import(target, &text).registers;
        assert_eq!(
            imported.description(),
            expected.description(),
            "{target:?}\n{text}"
        );
        for &model in Model::ALL {
            assert_eq!(
                verdict(&imported, model),
                verdict(&expected, model),
                "{target:?} {model:?}\n{text}"
            );
        }
    }
}

/// `b` reads what `a` wrote and writes too; `c` reads `seen`, and so does everyone at the end.
fn seen_by_c(workload: Workload, seen: &str) -> History {
    let mut story = Story::new(2);
    done(&mut story, "a", &["", ""], 1, &[0, 1]);
    done(&mut story, "b", &["1", "1"], 2, &[0]);
    done(&mut story, "c", &[seen, "1"], -1, &[]);
    final_read(&mut story, "a", texts(&[seen, "1"]));
    of(workload, &story)
}

#[test]
fn lists_and_sets_are_written_in_the_forms_of_elle() {
    let history = seen_by_c(Workload::ListAppend, "1 2");
    let (edn, _) = export(Target::ElleEdn, &transactions::recording(&history));
    insta::assert_snapshot!(edn, @r#"
    {:index 0, :time 1000000, :type :invoke, :process 0, :client "a", :f :txn, :value [[:r 0 nil] [:r 1 nil] [:append 0 1] [:append 1 1]]}
    {:index 1, :time 2000000, :type :ok, :process 0, :client "a", :f :txn, :value [[:r 0 []] [:r 1 []] [:append 0 1] [:append 1 1]]}
    {:index 2, :time 3000000, :type :invoke, :process 1, :client "b", :f :txn, :value [[:r 0 nil] [:r 1 nil] [:append 0 2]]}
    {:index 3, :time 4000000, :type :ok, :process 1, :client "b", :f :txn, :value [[:r 0 [1]] [:r 1 [1]] [:append 0 2]]}
    {:index 4, :time 5000000, :type :invoke, :process 2, :client "c", :f :txn, :value [[:r 0 nil] [:r 1 nil]]}
    {:index 5, :time 6000000, :type :ok, :process 2, :client "c", :f :txn, :value [[:r 0 [1 2]] [:r 1 [1]]]}
    {:index 6, :time 8000000, :type :invoke, :process 0, :client "a", :f :txn, :value [[:r 0 nil] [:r 1 nil]], :final-read? true}
    {:index 7, :time 9000000, :type :ok, :process 0, :client "a", :f :txn, :value [[:r 0 [1 2]] [:r 1 [1]]], :final-read? true}
    "#);
    let history = seen_by_c(Workload::Gset, "1 2");
    let (edn, _) = export(Target::ElleEdn, &transactions::recording(&history));
    insta::assert_snapshot!(edn.lines().nth(3).unwrap(), @r#"{:index 3, :time 4000000, :type :ok, :process 1, :client "b", :f :txn, :value [[:r 0 #{1}] [:r 1 #{1}] [:add 0 2]]}"#);
    let (json, _) = export(Target::JepsenJson, &transactions::recording(&history));
    insta::assert_snapshot!(json.lines().nth(3).unwrap(), @r#"{"client":"b","f":"txn","index":3,"process":1,"time":4000000,"type":"ok","value":[["r",0,[1]],["r",1,[1]],["add",0,2]]}"#);
}

#[test]
fn lists_and_sets_that_are_fine_are_fine_for_every_model() {
    for workload in COLLECTIONS {
        let history = seen_by_c(workload, "1 2");
        assert_same_verdicts(&history);
        for &model in Model::ALL {
            let found = judged(&history, model);
            // The history is too small to put every guarantee to the test.
            let expected = match model {
                Model::CausalPerKey => Judgement::Unknown,
                model if Model::SESSION_GUARANTEES.contains(&model) => {
                    assert_ne!(found, Judgement::Violation, "{workload:?} {model:?}");
                    continue;
                }
                _ => Judgement::Ok,
            };
            assert_eq!(found, expected, "{workload:?} {model:?}");
        }
    }
}

#[test]
fn what_lists_and_sets_lack_or_never_held_is_seen_by_the_models() {
    // Without what the writer of 2 had read; garbled; out of thin air.
    for seen in ["2", "1 2 x", "1 2 9"] {
        for workload in COLLECTIONS {
            let history = seen_by_c(workload, seen);
            let causal = judged(&history, Model::Causal);
            assert_eq!(causal, Judgement::Violation, "{workload:?} {seen}");
            if seen != "1 2 x" {
                assert_same_verdicts(&history);
            }
        }
    }
    // As registers these are fine: only a list tells that it is not what was extended.
    let list = transactions::recording(&seen_by_c(Workload::ListAppend, "2")).into_registers();
    let judgement = list.build(false).unwrap().check(Model::Causal).judgement;
    assert_eq!(judgement, Judgement::Ok);
}

#[test]
fn a_final_read_tells_of_missing_lists_and_sets() {
    for workload in COLLECTIONS {
        let mut story = Story::new(2);
        done(&mut story, "a", &["", ""], 1, &[0, 1]);
        // The second key is missing.
        final_read(&mut story, "a", texts(&["1"]));
        let lost = of(workload, &story);
        assert_same_verdicts(&lost);
        let judgement = judged(&lost, Model::ReadYourWrites);
        assert_eq!(judgement, Judgement::Violation, "{workload:?}");
        // A final read that was not had tells nothing.
        let mut story = Story::new(2);
        done(&mut story, "a", &["", ""], 1, &[0, 1]);
        let failed = story.invoke_final_read("a");
        story.fail("a", failed);
        let judgement = judged(&of(workload, &story), Model::ReadYourWrites);
        assert_eq!(judgement, Judgement::Unknown, "{workload:?}");
    }
}

#[test]
fn what_elle_can_not_tell_of_lists_and_sets_is_said() {
    let said = |workload, seen, target| {
        let recording = transactions::recording(&seen_by_c(workload, seen));
        let (text, losses) = export(target, &recording);
        (import(target, &text), losses.join("\n"))
    };
    for workload in COLLECTIONS {
        let (reading, losses) = said(workload, "1 2 x", Target::ElleEdn);
        assert!(losses.contains("2 texts that were read are no elements"));
        let judgement = reading.check(Model::ReadCommitted).judgement;
        assert_eq!(judgement, Judgement::Violation);
    }
    let (_, losses) = said(Workload::Gset, "1 1 2", Target::ElleEdn);
    assert!(losses.contains("2 elements were read from a set"));
    for target in [Target::Plume, Target::DbcopJson] {
        let (_, losses) = said(Workload::ListAppend, "1 2", target);
        assert!(losses.contains("holds its last element"));
        let sets = transactions::recording(&seen_by_c(Workload::Gset, "1 2"));
        let error = target.write(&sets, Vec::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{} has no word for sets; export to elle-edn or jepsen-json",
                target.name()
            )
        );
    }
}

/// A random history of three clients with one copy of the data, of which they may read an old state, and
/// now and then something that never was.
fn random_collections(workload: Workload, seed: u64) -> History {
    let mut random = Random::new(seed);
    let mut story = Story::new(2);
    let clients = ["a", "b", "c"];
    let mut states: Vec<[Vec<i64>; 2]> = vec![Default::default()];
    // An answer that is on its way.
    let mut late: Option<(usize, Event)> = None;
    let faulty = random.chance(50);
    let read = |random: &mut Random, states: &[[Vec<i64>; 2]]| {
        let age = if faulty { random.below(3) } else { 0 };
        let mut state = states[states.len() - 1 - age.min(states.len() - 1)].clone();
        let list = &mut state[random.below(2)];
        match random.below(20) {
            0 if faulty && workload == Workload::ListAppend => list.reverse(),
            1 if faulty => list.truncate(1),
            2 if faulty => list.push(99),
            _ => {}
        }
        let texts = state.map(|list| {
            list.iter()
                .map(i64::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        });
        let texts = (0..).zip(texts);
        // Whatever is empty may be left out.
        let told: Collections = texts.filter(|(_, text)| !text.is_empty()).collect();
        told
    };
    for value in 0..4 + random.below(12) as i64 {
        let mut client = random.below(3);
        if late.as_ref().is_some_and(|(other, _)| *other == client) {
            client = (client + 1) % 3;
        }
        let keys: Vec<u32> = (0..2).filter(|_| random.chance(50)).collect();
        let found = read(&mut random, &states);
        let operation = story.invoke(clients[client], value, &keys);
        let outcome = random.below(8);
        if outcome > 1 || random.chance(50) {
            let mut state = states.last().unwrap().clone();
            for key in &keys {
                state[*key as usize].push(value);
            }
            if outcome != 0 {
                states.push(state);
            }
        }
        let answer = match outcome {
            0 => Event::Fail {
                client: clients[client].to_owned(),
                operation,
                error: "constraint".to_owned(),
            },
            1 => Event::Info {
                client: clients[client].to_owned(),
                operation,
                error: "no answer".to_owned(),
            },
            _ => ok(clients[client], operation, Some(found), value, &keys),
        };
        if let Some((_, event)) = late.take() {
            story.record(event);
        }
        if random.chance(30) {
            late = Some((client, answer));
        } else {
            story.record(answer);
        }
    }
    if let Some((_, event)) = late {
        story.record(event);
    }
    for client in clients {
        let found = read(&mut random, &states);
        final_read(&mut story, client, Some(found));
    }
    of(workload, &story)
}

#[test]
fn random_lists_and_sets_keep_their_verdicts() {
    for workload in COLLECTIONS {
        let (mut fine, mut violated) = (0, 0);
        for seed in 0..200 {
            let history = random_collections(workload, seed);
            assert_same_verdicts(&history);
            match judged(&history, Model::Serializability) {
                Judgement::Ok => fine += 1,
                Judgement::Violation => violated += 1,
                Judgement::Unknown => {}
            }
        }
        assert!(fine > 40 && violated > 40, "{workload:?} {fine} {violated}");
    }
}
