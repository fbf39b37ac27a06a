//! Histories of version 1 are still read, as what they are now.

mod support;

use std::fs;
use std::path::Path;

use squall_checker::{History, check, read_history, render, write_history};
use squall_protocol::history::{Event, Phase};
use squall_protocol::transaction::Transaction;
use squall_protocol::verdict::{Judgement, Property};
use support::{effects, of, rows, violated};

/// In `version_1/` are histories that a squall of that version has recorded, one of each workload, and the
/// same in version 2.
#[test]
fn recorded_histories_mean_what_stands_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/version_1");
    for workload in ["mww", "ledger", "list-append", "gset", "counter"] {
        let lines = |version| fs::read(folder.join(format!("{workload}.{version}.jsonl"))).unwrap();
        let history = read_history(&lines(1)[..]).unwrap();
        let mut now = Vec::new();
        write_history(&history, &mut now).unwrap();
        let expected = String::from_utf8(lines(2)).unwrap();
        assert_eq!(String::from_utf8(now).unwrap(), expected, "{workload}");
        assert_eq!(read_history(expected.as_bytes()).unwrap(), history);
        let verdict = check(&history);
        assert_eq!(verdict.judgement, Judgement::Ok, "{verdict:#?}");
        for client in &history.header.clients {
            let mut records = history.records.iter();
            let reads_everything = |event: &Event| match event {
                Event::Invoke {
                    client: of,
                    transaction,
                    ..
                } => *of == client.name && transaction.reads_everything(),
                _ => false,
            };
            records.find(|record| record.event == Event::Phase(Phase::FinalRead));
            let count = records
                .filter(|record| reads_everything(&record.event))
                .count();
            assert_eq!(count, 1, "{workload}: final reads of {}", client.name);
        }
    }
}

const HEADER: &str = r#"{"squall_history":1,"seed":1,"workload":"mww","keys":2,"clients":[{"name":"a","kind":"native"},{"name":"b","kind":"native"}],"recovery_deadline_ms":1,"started_at_ms":0}"#;

fn lines(events: &[&str]) -> String {
    let line = |event: &&str| format!("{{\"time\":1,\"event\":{event}}}\n");
    format!("{HEADER}\n{}", events.iter().map(line).collect::<String>())
}

fn history(events: &[&str]) -> History {
    read_history(lines(events).as_bytes()).unwrap()
}

const PHASE: &str = r#"{"phase":"final-read"}"#;
const INVOKE: &str =
    r#"{"invoke":{"client":"a","operation":7,"transaction":{"value":-1,"keys":[]}}}"#;

/// What follows on the beginning of the phase.
fn events(history: History) -> Vec<Event> {
    let events = history.records.into_iter().map(|record| record.event);
    events.skip(1).collect()
}

#[test]
fn a_final_read_that_tells_what_its_operation_tells_is_left_out() {
    for (ok, final_read) in [
        (
            r#"{"ok":{"client":"a","operation":7,"reads":[[0,1],[1,-1]],"writes":[]}}"#,
            r#"{"final-read":{"client":"a","rows":[[0,1],[1,-1]],"error":null}}"#,
        ),
        (
            r#"{"ok":{"client":"a","operation":7,"writes":[],"ledger-v1":{"reads":[]},"collections":[[0,"1"]],"payload-v1":[["a/0",1]]}}"#,
            r#"{"final-read":{"client":"a","rows":[],"ledger-v1":[],"collections":[[0,"1"]],"payload-v1":[["a/0",1]],"error":null}}"#,
        ),
        (
            r#"{"info":{"client":"a","operation":7,"error":"no answer"}}"#,
            r#"{"final-read":{"client":"a","rows":null,"error":"the last read did not succeed"}}"#,
        ),
    ] {
        let events = events(history(&[PHASE, INVOKE, ok, final_read]));
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(matches!(events[1], Event::Ok { .. } | Event::Info { .. }));
    }
}

#[test]
fn a_final_read_that_tells_something_else_is_an_operation_of_its_own() {
    let read = r#"{"final-read":{"client":"a","rows":[[0,1],[1,-1]],"error":null}}"#;
    let other = r#"{"ok":{"client":"a","operation":7,"reads":[[0,1],[1,1]],"writes":[]}}"#;
    let emission = r#"{"invoke":{"client":"a","operation":7,"transaction":{"value":-1,"keys":[],"through":"watch"}}}"#;
    let same = r#"{"ok":{"client":"a","operation":7,"reads":[[0,1],[1,-1]],"writes":[]}}"#;
    for before in [
        &[PHASE][..],
        &[PHASE, INVOKE, other],
        &[PHASE, emission, same],
    ] {
        let events = events(history(&[before, &[read]].concat()));
        let [
            ..,
            Event::Invoke {
                operation,
                transaction,
                ..
            },
            ok,
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(*transaction, Transaction::read_all());
        assert_ne!(*operation, 7);
        let expected = Event::Ok {
            client: "a".to_owned(),
            operation: *operation,
            effects: effects(rows(&[1, -1]), Vec::new()),
        };
        assert_eq!(*ok, expected);
    }
    // Both are judged.
    let verdict = check(&history(&[PHASE, INVOKE, other, read]));
    assert_eq!(violated(&verdict), [Property::NoThinAirRead]);
    assert_eq!(of(&verdict, Property::NoThinAirRead).violations, 3);
}

#[test]
fn why_a_final_read_could_not_be_had_is_kept() {
    let history = history(&[
        PHASE,
        r#"{"final-read":{"client":"a","rows":null,"error":"it is down"}}"#,
        r#"{"final-read-postgres":{"rows":null,"error":"it is gone"}}"#,
    ]);
    let note = of(&check(&history), Property::StrongConvergence)
        .note
        .unwrap();
    for why in [
        "the final read of a is missing (it is down)",
        "PostgreSQL's final read is missing (it is gone)",
    ] {
        assert!(note.contains(why), "{note}");
    }
}

#[test]
fn the_victim_of_a_fault_may_be_called_a_client() {
    let history = history(&[
        r#"{"fault-begin":{"number":0,"client":"native-1","fault":"client.kill"}}"#,
        r#"{"fault-end":{"number":0,"client":"native-1"}}"#,
        r#"{"fault-begin":{"number":1,"client":"native-1","fault":{"net.partition":{"target":"both","direction":"in","manner":"drop"}}}}"#,
        r#"{"fault-skipped":{"number":2,"client":"native-1","fault":"client.kill","reason":"down"}}"#,
        r#"{"fault-begin":{"number":3,"victim":"service","fault":"service.kill"}}"#,
        r#"{"fault-given-up":{"number":3,"victim":"service","fault":"service.kill","reason":"it survived"}}"#,
    ]);
    let text = render(&check(&history));
    let faults = text.lines().find(|line| line.starts_with("faults: "));
    insta::assert_snapshot!(faults.unwrap(), @"faults: client.kill 1 (1 skipped), net.partition 1, service.kill 0 (1 given up)");
}

#[test]
fn what_version_1_does_not_know_is_refused_with_its_place() {
    let error = |event| {
        read_history(lines(&[PHASE, event]).as_bytes())
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(error(r#"{"ok":{"client":"a","operation":1,"reads":[[0,"x"]],"writes":[]}}"#), @r#"line 3, column 67: expected a record such as {"time":0,"event":{…}}, but: invalid type: string "x", expected i64"#);
    for (event, unknown) in [
        (
            r#"{"ok":{"client":"a","operation":1,"writes":[],"ledger":null}}"#,
            "ledger",
        ),
        (
            r#"{"ok":{"client":"a","operation":1,"effects":{"writes":[]}}}"#,
            "effects",
        ),
        (
            r#"{"final-read":{"client":"a","rows":null,"why":"it is down"}}"#,
            "why",
        ),
        (
            r#"{"final-read-postgres":{"client":"a","rows":null}}"#,
            "client",
        ),
        (
            r#"{"fault-end":{"number":0,"client":"a","fault":"client.kill"}}"#,
            "fault",
        ),
        (
            r#"{"integrity":{"client":"a","report":[],"more":1}}"#,
            "more",
        ),
    ] {
        let error = error(event);
        let says = format!("unknown field `{unknown}`");
        assert!(
            error.starts_with("line 3, column") && error.contains(&says),
            "{error}"
        );
    }
    assert!(error(r#"{"final-reed":{}}"#).contains("unknown variant `final-reed`"));
    assert!(error(r#""interrupted","more":1"#).contains("unknown field `more`"));
}
