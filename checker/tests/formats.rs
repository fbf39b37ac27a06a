//! The same small histories in every format, and bytes that are no history at all.

use proptest::prelude::*;
use squall_checker::formats::{Format, cobra};
use squall_checker::registers::{Model, Report};
use squall_protocol::verdict::Judgement;

fn check(format: Format, text: &str, model: Model) -> Report {
    assert_eq!(Format::detect(text.as_bytes()), Some(format), "{text}");
    let history = format
        .read(text.as_bytes(), true)
        .unwrap_or_else(|e| panic!("{e}: {text}"));
    history.check(model)
}

/// A write, then a read of it, then, in the same session, a read of the initial value.
const LOST: [(Format, &str); 6] = [
    (Format::Plume, "w(7,1,0,0)\nr(7,1,1,1)\nr(7,0,1,2)\n"),
    (
        Format::DbcopText,
        "// a comment\n[x:=1]\n---\n[x==1] [x==?]\n",
    ),
    (
        Format::DbcopJson,
        r#"{"params":{"id":0,"n_node":2},"info":"","data":[[{"events":[{"Write":{"variable":7,"version":1}}],"committed":true}],[{"events":[{"Read":{"variable":7,"version":1}}],"committed":true},{"events":[{"Read":{"variable":7,"version":null}}],"committed":true}]]}"#,
    ),
    (
        Format::Jepsen,
        "{:type :invoke, :f :txn, :value [[:w :x 1]], :process 0, :index 0}\n{:type :ok, :f :txn, :value [[:w :x 1]], :process 0, :index 1}\n{:type :ok, :f :txn, :value [[:r :x 1]], :process 1, :index 2}\n{:type :ok, :f :txn, :value [[:r :x nil]], :process 1, :index 3}\n",
    ),
    (
        Format::Jepsen,
        r#"[{"type":"ok","f":"txn","value":[["w","x",1]],"process":0,"index":0},{"type": "ok", "f": "txn", "value": [["r", "x", 1]], "process": 1, "index": 1}, {"type":"ok","f":"txn","value":[["r","x",null]],"process":1,"index":2}]"#,
    ),
    (
        Format::Jepsen,
        "#jepsen.history.Op{:type :ok, :process 0, :node \"n1\", :f :txn, :value [[:readAll nil {0 -1}] [:writeSome nil {0 1}]], :index 1, :time 1}\n{:type :ok, :process 1, :f :txn, :value [[:readAll nil {0 1}]], :index 2}\n{:type :ok, :process 1, :f :r-final, :value [[:readAll nil {0 -1}]], :final-read? true, :index 3}\n{:type :info, :process :nemesis, :f :kill, :value nil}",
    ),
];

#[test]
fn a_lost_write_is_found_in_every_format() {
    for (format, text) in LOST {
        for model in [Model::Causal, Model::CausalPerKey] {
            let report = check(format, text, model);
            let versions = !matches!(format, Format::DbcopText | Format::DbcopJson);
            let expected = match model {
                Model::CausalPerKey if !versions => Judgement::Unknown,
                _ => Judgement::Violation,
            };
            assert_eq!(
                report.judgement, expected,
                "{format:?} {model:?} {report:#?}"
            );
            assert_eq!(report.sessions, 2, "{format:?}");
        }
    }
}

#[test]
fn names_of_keys_are_kept() {
    let report = check(Format::Jepsen, LOST[3].1, Model::Causal);
    assert!(report.anomalies[0].summary.contains("key x"), "{report:#?}");
}

#[test]
fn good_histories_are_good_in_every_format() {
    for (format, text) in [
        (Format::Plume, "w(7,1,0,0)\nr(7,0,1,1)\nr(7,1,1,2)\n"),
        // dbcop itself refuses a transaction that reads the same value twice.
        (Format::DbcopText, "[x:=1]\n---\n[x==1 x==1]\n"),
        (Format::DbcopText, "[x:=1]! [y:=1]\n---\n[x==? y==1]"),
        (Format::Awdit, "w 0 1\n-----\nr 0 1\n=====\nr 0 1\n"),
        (
            Format::Jepsen,
            "{:type :ok, :value [[:w 1 2] [:r 1 2] [:r 2 nil]], :process 0}",
        ),
    ] {
        for model in Model::OF_TRANSACTIONS {
            let report = check(format, text, model);
            assert_eq!(report.judgement, Judgement::Ok, "{format:?} {report:#?}");
        }
    }
    let report = check(
        Format::Awdit,
        "w 0 1\nw 0 2\n=====\nr 0 1\n",
        Model::ReadCommitted,
    );
    assert_eq!(
        report.judgement,
        Judgement::Violation,
        "an intermediate read"
    );
}

#[test]
fn jepsen_operations_without_an_answer_may_have_happened() {
    let invoked = "{:type :invoke, :process 0, :value [[:w 1 2]]}";
    let read = "{:type :ok, :process 1, :value [[:r 1 2]]}";
    for (end, expected) in [
        ("", Judgement::Ok),
        ("{:type :info, :process 0, :value nil}", Judgement::Ok),
        ("{:type :ok, :process 0, :value [[:w 1 2]]}", Judgement::Ok),
        (
            "{:type :fail, :process 0, :value [[:w 1 2]]}",
            Judgement::Violation,
        ),
    ] {
        let report = check(
            Format::Jepsen,
            &format!("{invoked}{end}{read}"),
            Model::ReadCommitted,
        );
        assert_eq!(report.judgement, expected, "{end}");
    }
}

fn cobra_log(records: &[(u8, &[u64])]) -> Vec<u8> {
    let mut log = Vec::new();
    for (kind, numbers) in records {
        log.push(*kind);
        numbers
            .iter()
            .for_each(|number| log.extend(number.to_be_bytes()));
    }
    log
}

#[test]
fn cobra_logs() {
    let writer = cobra_log(&[(b'S', &[1]), (b'W', &[10, 7, 99]), (b'C', &[1])]);
    let read = |write: u64| (b'R', [1, write, 7, 99]);
    for (second, expected) in [(10, Judgement::Ok), (0xbebe_ebee, Judgement::Violation)] {
        let (one, two) = (read(10), read(second));
        let reader = cobra_log(&[
            (b'S', &[2]),
            (one.0, &one.1),
            (b'C', &[2]),
            (b'S', &[3]),
            (two.0, &two.1),
            (b'C', &[3]),
        ]);
        let history = cobra::read([&writer[..], &reader[..]]).unwrap();
        assert_eq!(history.check(Model::Causal).judgement, expected);
    }
    let error = cobra::read([&writer[..5]]).unwrap_err().to_string();
    assert_eq!(
        error,
        "byte 1: expected a number of 8 bytes, but the log ends"
    );
}

#[test]
fn errors_have_a_place() {
    let error =
        |format: Format, text: &str| format.read(text.as_bytes(), false).unwrap_err().to_string();
    insta::assert_snapshot!(error(Format::Awdit, "w 0 1\nw 0\n"), @"line 2, column 4: expected a space, and then the value");
    insta::assert_snapshot!(error(Format::DbcopText, "[x:=1]\n[x=1]"), @"line 2, column 4: expected =, as in x==1");
    insta::assert_snapshot!(error(Format::DbcopJson, "{\"data\":[[{}]]}"), @"expected a history of dbcop: missing field `events` at line 1 column 12");
    insta::assert_snapshot!(error(Format::Jepsen, "{:type :ok, :process 0,\n :value [[:r 1"), @"line 2, column 15: expected the end of a list");
    insta::assert_snapshot!(error(Format::Jepsen, "{:type :ok, :process 0, :value [[:append 1 2] [:w 1 3]]}"), @"line 1, column 57: expected a :value that is a list of operations such as [:r 1 7] and [:w 1 7], or [:r 1 [5 7]] and [:append 1 7]");
    insta::assert_snapshot!(error(Format::Jepsen, "{:process 0}"), @"line 1, column 13: expected an operation with :type :invoke, :ok, :fail or :info");
    let deep = "[".repeat(100_000);
    insta::assert_snapshot!(error(Format::Jepsen, &deep), @"line 1, column 65: expected values nested at most 64 deep");
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        Format::detect(&bytes);
        for format in Format::ALL {
            let _ = format.read(&bytes[..], true);
        }
        let _ = cobra::read([&bytes[..]]);
    }

    /// Histories in which some bytes were changed.
    #[test]
    fn damaged_histories_do_no_harm(
        which in 0..LOST.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (format, text) = LOST[which];
        let mut bytes = text.as_bytes().to_vec();
        for (place, byte) in damage {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(history) = format.read(&bytes[..], true) {
            for model in Model::ALL {
                history.check(model);
            }
        }
    }
}
