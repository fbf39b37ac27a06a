//! What the order of the records says about real time, in Jepsen's histories.

use squall_models::formats::Format;
use squall_models::registers::Judgement;
use squall_models::registers::Judgement::{Ok, Unknown, Violation};
use squall_models::registers::{EdgeKind, Model, Report};

/// A record: its type, process and only operation, in JSON's notation.
type Record = (&'static str, u32, &'static str);

/// The history in EDN and in JSON.
fn notations(records: &[Record]) -> [String; 2] {
    let edn = records.iter().map(|(kind, process, operation)| {
        let operation = operation.replace("null", "nil").replace(',', " ");
        let operation = operation
            .replace("\"r\"", ":r")
            .replace("\"w\"", ":w")
            .replace("\"append\"", ":append");
        format!("{{:type :{kind}, :process {process}, :value [{operation}]}}\n")
    });
    let json = records.iter().map(|(kind, process, operation)| {
        format!(r#"{{"type": "{kind}", "process": {process}, "value": [{operation}]}}"#)
    });
    let json: Vec<String> = json.collect();
    [edn.collect(), format!("[{}]", json.join(",\n"))]
}

fn check(text: &str, model: Model) -> Report {
    assert_eq!(Format::detect(text.as_bytes()), Some(Format::Jepsen));
    let reading = Format::Jepsen.read(text.as_bytes(), false).unwrap();
    assert_eq!(reading.cut, None);
    reading.check(model)
}

/// The judgements of serializability and of strict serializability.
fn judge(records: &[Record]) -> (Judgement, Judgement) {
    let judgements = notations(records).map(|text| {
        let judge = |model| check(&text, model).judgement;
        (
            judge(Model::Serializability),
            judge(Model::StrictSerializability),
        )
    });
    assert_eq!(judgements[0], judgements[1], "{records:?}");
    judgements[0]
}

const STALE_REGISTER: &[Record] = &[
    ("invoke", 0, r#"["w", 1, 7]"#),
    ("ok", 0, r#"["w", 1, 7]"#),
    ("invoke", 1, r#"["r", 1, null]"#),
    ("ok", 1, r#"["r", 1, null]"#),
];

const STALE_LIST: &[Record] = &[
    ("invoke", 0, r#"["append", 1, 7]"#),
    ("ok", 0, r#"["append", 1, 7]"#),
    ("invoke", 1, r#"["r", 1, null]"#),
    ("ok", 1, r#"["r", 1, []]"#),
];

#[test]
fn what_has_ended_is_seen_by_what_begins() {
    assert_eq!(judge(STALE_REGISTER), (Ok, Violation));
    assert_eq!(judge(STALE_LIST), (Ok, Violation));
    for text in notations(STALE_REGISTER) {
        let report = check(&text, Model::StrictSerializability);
        let kinds = report.anomalies[0].cycle.iter().map(|edge| edge.kind);
        assert!(kinds.into_iter().any(|kind| kind == EdgeKind::RealTime));
    }
}

#[test]
fn what_overlaps_has_no_order() {
    for history in [STALE_REGISTER, STALE_LIST] {
        let [invoked, ended, reads, read] = history else {
            panic!("four records");
        };
        assert_eq!(judge(&[*invoked, *reads, *ended, *read]), (Ok, Ok));
        assert_eq!(judge(&[*reads, *invoked, *ended, *read]), (Ok, Ok));
    }
}

#[test]
fn what_may_have_happened_never_ends() {
    let late = &[
        ("invoke", 0, r#"["append", 1, 7]"#),
        ("info", 0, r#"["append", 1, 7]"#),
        ("invoke", 1, r#"["r", 1, null]"#),
        ("ok", 1, r#"["r", 1, []]"#),
        ("invoke", 1, r#"["r", 1, null]"#),
        ("ok", 1, r#"["r", 1, [7]]"#),
    ];
    assert_eq!(judge(late), (Ok, Ok));
    let without_completion: Vec<Record> = late.iter().filter(|r| r.0 != "info").copied().collect();
    assert_eq!(judge(&without_completion), (Ok, Ok));
    // But it can not have happened before it was invoked.
    let too_early = &[
        ("invoke", 1, r#"["r", 1, null]"#),
        ("ok", 1, r#"["r", 1, [7]]"#),
        ("invoke", 0, r#"["append", 1, 7]"#),
        ("info", 0, r#"["append", 1, 7]"#),
    ];
    assert_eq!(judge(too_early), (Ok, Violation));
}

#[test]
fn without_invocations_nothing_is_known_of_real_time() {
    let completions: Vec<Record> = STALE_LIST.iter().filter(|r| r.0 == "ok").copied().collect();
    assert_eq!(judge(&completions), (Ok, Unknown));
}
