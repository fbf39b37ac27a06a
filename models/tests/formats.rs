//! The same small histories in every format, and bytes that are no history at all.

use proptest::prelude::*;
use squall_models::formats::Cut;
use squall_models::formats::{Format, cobra};
use squall_models::registers::Judgement;
use squall_models::registers::{Model, Report};

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
            assert_eq!(
                report.judgement,
                Judgement::Violation,
                "{format:?} {model:?} {report:#?}"
            );
            assert_eq!(report.sessions, 2, "{format:?}");
        }
    }
}

#[test]
fn names_of_keys_are_kept() {
    let report = check(Format::Jepsen, LOST[3].1, Model::Causal);
    assert!(
        report.anomalies[0].summary.contains("key :x"),
        "{report:#?}"
    );
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
        let history = cobra::read(
            [
                ("T0.log".to_owned(), &writer[..]),
                ("T1.log".to_owned(), &reader[..]),
            ],
            false,
        )
        .unwrap();
        assert_eq!(history.check(Model::Causal).judgement, expected);
    }
    let error = cobra::read([("T0.log".to_owned(), &writer[..5])], false)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "T0.log: byte 1: expected a number of 8 bytes, but the file ends"
    );
}

#[test]
fn errors_have_a_place() {
    let error =
        |format: Format, text: &str| format.read(text.as_bytes(), false).unwrap_err().to_string();
    insta::assert_snapshot!(error(Format::Awdit, "w 0 1\nw 0\n"), @"line 2, column 4: expected a space, and then the value");
    insta::assert_snapshot!(error(Format::DbcopText, "[x:=1]\n[x=1]"), @"line 2, column 4: expected =, as in x==1");
    insta::assert_snapshot!(error(Format::DbcopJson, "{\"data\":[[{}]]}"), @"expected a history of dbcop: missing field `events` at line 1 column 12");
    insta::assert_snapshot!(error(Format::Jepsen, "{:type :ok, :process 0,\n :value [[:r 1)"), @"line 2, column 15: expected a value");
    insta::assert_snapshot!(error(Format::Jepsen, "\n {:type :ok, :process 0, :value [[:append 1 2] [:w 1 3]]}"), @"line 2, column 2: expected here an operation with a :value that is a list of operations such as [:r 1 7] and [:w 1 7], or [:r 1 [5 7]] and [:append 1 7], or [:r 1 #{5 7}] and [:add 1 7]");
    // In a list, the operation that is wrong.
    insta::assert_snapshot!(error(Format::Jepsen, "[{:type :ok, :process 0, :value nil}\n {:process 0}]"), @"line 2, column 2: expected here an operation with :type :invoke, :ok, :fail or :info");
    insta::assert_snapshot!(error(Format::Jepsen, "[[:r 1 7]]"), @"line 1, column 2: expected here an operation with :type :invoke, :ok, :fail or :info");
    insta::assert_snapshot!(error(Format::Cobra, "S\0\0\0\0\0\0\0\u{1}C\0\0\0\0\0\0\0\u{2}"), @"byte 18: expected the number of the transaction before here");
    insta::assert_snapshot!(error(Format::Cobra, "W"), @"byte 1: expected S, R, W, C or A, the kind of a record; R, W, C and A only after S");
    insta::assert_snapshot!(error(Format::DbcopBincode, "short"), @"byte 0: expected a number of 8 bytes, but the file ends");
    insta::assert_snapshot!(error(Format::Squall, "short"), @"this is the history of a squall run: the program squall and the crate squall-checker read it");
    let deep = "[".repeat(100_000);
    insta::assert_snapshot!(error(Format::Jepsen, &deep), @"line 1, column 66: expected values nested at most 64 deep");
    let deep = "#_".repeat(100_000);
    insta::assert_snapshot!(error(Format::Jepsen, &deep), @"line 1, column 129: expected values nested at most 64 deep");
}

#[test]
fn a_last_line_without_its_end_is_left_out() {
    for (format, text, line, bytes) in [
        (Format::Plume, "w(7,1,0,0)\nr(7,0,1,1)\nr(7,", 3, 4),
        (Format::Awdit, "w 0 1\n-----\nr 0 1\nr 0", 4, 3),
        (Format::DbcopText, "[x:=1]\n---\n[x==1] [x==", 3, 4),
        (
            Format::Jepsen,
            "{:type :ok, :value [[:w 1 2]], :process 0}\n{:type :ok, :val",
            2,
            16,
        ),
        (
            Format::Jepsen,
            "[{\"type\":\"ok\",\"value\":[[\"w\",1,2]],\"process\":0},\n{\"type\":",
            2,
            8,
        ),
    ] {
        let reading = format.read(text.as_bytes(), false).unwrap();
        assert_eq!(reading.cut, Some(Cut { line, bytes }), "{format:?}");
        assert!(reading.registers.transactions() > 0);
        // What is missing may be wrong.
        assert_eq!(reading.check(Model::Causal).judgement, Judgement::Unknown);
    }
    // The writer may be in what is missing, but a stale read stays one.
    let reading = Format::Plume.read(&b"r(7,1,1,1)\nr(7,"[..], false).unwrap();
    assert_eq!(reading.check(Model::Causal).judgement, Judgement::Unknown);
    let reading = Format::Plume
        .read(&b"w(7,1,1,1)\nr(7,0,1,2)\nr(7,"[..], false)
        .unwrap();
    assert_eq!(reading.check(Model::Causal).judgement, Judgement::Violation);
}

#[test]
fn the_version_zero_of_dbcop_is_initial_unless_it_is_written() {
    for (text, expected) in [
        ("[x==0 x:=1]\n---\n[x==0 x:=2]", Judgement::Ok),
        ("[x:=1] [x==0]", Judgement::Violation),
        ("[x:=1]\n---\n[x:=0]\n---\n[x==1] [x==0]", Judgement::Ok),
        ("[x:=0]! \n---\n[x==0]", Judgement::Ok),
    ] {
        let report = check(Format::DbcopText, text, Model::Causal);
        assert_eq!(report.judgement, expected, "{text}");
    }
}

/// A history in the format of the original dbcop: sessions of transactions of events (write,
/// variable, value, success), with their success.
type Event = (u8, u64, u64, u8);

fn bincode(sessions: &[&[(&[Event], u8)]]) -> Vec<u8> {
    let mut file = Vec::new();
    let number = |file: &mut Vec<u8>, number: usize| file.extend((number as u64).to_le_bytes());
    for parameter in [0, sessions.len(), 1, 1, 1] {
        number(&mut file, parameter);
    }
    for text in ["a history", "2020-01-01T00:00:00Z", "2020-01-01T00:00:01Z"] {
        number(&mut file, text.len());
        file.extend(text.as_bytes());
    }
    number(&mut file, sessions.len());
    for session in sessions {
        number(&mut file, session.len());
        for (events, success) in *session {
            number(&mut file, events.len());
            for (write, variable, value, success) in *events {
                file.push(*write);
                file.extend(variable.to_le_bytes());
                file.extend(value.to_le_bytes());
                file.push(*success);
            }
            file.push(*success);
        }
    }
    file
}

#[test]
fn dbcop_bincode() {
    let writer: &[(&[Event], u8)] = &[(&[(1, 7, 1, 1)], 1)];
    let aborted: &[(&[Event], u8)] = &[(&[(1, 7, 1, 1)], 0)];
    let in_vain: &[(&[Event], u8)] = &[(&[(1, 7, 1, 0)], 1)];
    let reader: &[(&[Event], u8)] = &[(&[(0, 7, 1, 1)], 1)];
    let stale: &[(&[Event], u8)] = &[(&[(0, 7, 1, 1)], 1), (&[(0, 7, 0, 1)], 1)];
    let failed: &[(&[Event], u8)] = &[(&[(0, 7, 1, 1)], 1), (&[(0, 7, 0, 0)], 1)];
    for (sessions, expected) in [
        ([writer, reader], Judgement::Ok),
        ([aborted, reader], Judgement::Violation),
        ([in_vain, reader], Judgement::Violation),
        ([writer, stale], Judgement::Violation),
        ([writer, failed], Judgement::Ok),
    ] {
        let file = bincode(&sessions);
        assert_eq!(Format::detect(&file), Some(Format::DbcopBincode));
        let reading = Format::DbcopBincode.read(&file[..], false).unwrap();
        assert_eq!(reading.check(Model::Causal).judgement, expected);
        for end in 0..file.len() {
            assert!(Format::DbcopBincode.read(&file[..end], false).is_err());
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        Format::detect(&bytes);
        for &format in Format::ALL {
            let _ = format.read(&bytes[..], true);
        }
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
            for &model in Model::ALL {
                history.check(model);
            }
        }
    }
}
