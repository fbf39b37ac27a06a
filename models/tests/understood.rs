//! What is not understood is said, and makes nothing ok; what is legal is understood, however it is written.

use std::io::{Read, Write};

use proptest::prelude::*;
use squall_models::formats::{Format, Input, Reading, cobra};
use squall_models::registers::Judgement::{self, Ok, Unknown, Violation};
use squall_models::registers::Model;

fn jepsen(text: &str) -> Reading {
    let reading = Format::Jepsen.read(text.as_bytes(), false);
    reading.unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn judge(text: &str, model: Model) -> Judgement {
    jepsen(text).check(model).judgement
}

fn refused(text: &str) -> String {
    let read = Format::Jepsen.read(text.as_bytes(), false);
    read.expect_err(text).to_string()
}

const WROTE: &str = "{:type :ok, :process 0, :value [[:w 1 1]]}";
const READ: &str = "{:type :ok, :process 1, :value [[:r 1 1]]}";

#[test]
fn operations_that_are_not_understood_are_counted_and_nothing_is_ok() {
    for (operation, harmless) in [
        ("{:type :ok, :process 2, :f :acquire, :value nil}", false),
        ("{:type :ok, :process 2, :f :acquire}", false),
        ("{:type :ok, :process 2, :f :write, :value 7}", false),
        ("{:type :ok, :process 2, :f :cas, :value [7 8]}", false),
        ("{:type :ok, :process 2, :value [[:cas 1 2 3]]}", false),
        ("{:type :ok, :process 2, :value [[:inc 1 2]]}", false),
        ("{:type :ok, :process 2, :value [[:r 1]]}", false),
        ("{:type :info, :process 2, :f :drain, :value nil}", false),
        ("{:type :invoke, :process 2, :f :drain, :value nil}", false),
        ("{:type :fail, :process 2, :f :acquire, :value nil}", true),
    ] {
        let text = format!("{WROTE}\n{operation}\n{READ}");
        let reading = jepsen(&text);
        let [skipped] = &reading.skipped[..] else {
            panic!("{operation}: {:?}", reading.skipped);
        };
        assert_eq!(
            (skipped.count, skipped.harmless),
            (1, harmless),
            "{operation}"
        );
        assert_eq!(skipped.first, "line 2, column 1");
        let expected = if harmless { Ok } else { Unknown };
        let report = reading.check(Model::Causal);
        assert_eq!(report.judgement, expected, "{operation}");
        assert_eq!(report.note.is_some(), !harmless, "{operation}");
        // It may have written what nobody else did, or deleted something.
        for read in ["[:r 1 99]", "[:r 1 nil]"] {
            let text = format!("{text}{{:type :ok, :process 1, :value [{read}]}}");
            let expected = if harmless { Violation } else { Unknown };
            assert_eq!(judge(&text, Model::Causal), expected, "{operation} {read}");
        }
        // But nothing brings back what was overwritten.
        let stale = "{:type :ok, :process 3, :value [[:w 1 5]]} {:type :ok, :process 3, :value [[:r 1 5] [:w 1 6]]}
                     {:type :ok, :process 4, :value [[:r 1 6]]} {:type :ok, :process 4, :value [[:r 1 5]]}";
        let text = format!("{text}{stale}");
        assert_eq!(judge(&text, Model::Causal), Violation, "{operation}");
    }
    // What the nemesis does is no operation of a client.
    for nemesis in [":nemesis", "\"nemesis\""] {
        let reading = jepsen(&format!(
            "{WROTE}{{:type :info, :process {nemesis}, :f :kill, :value {{:n 1}}}}{READ}"
        ));
        assert_eq!(reading.skipped, []);
        assert_eq!(reading.check(Model::Causal).judgement, Ok);
    }
}

#[test]
fn what_puts_nothing_to_the_test_is_not_ok() {
    for text in [
        "",
        "[]",
        "{:history []}",
        "{:type :ok, :process 0, :value []}",
        WROTE,
        "{:type :ok, :process 0, :value [[:append 1 1]]}",
        "{:type :ok, :process 0, :value [[:add 1 1]]}",
        "{:type :ok, :process 0, :value [[:r 1 nil]]}",
        "{:type :fail, :process 0, :value [[:w 1 1]]}",
        "{:type :info, :process 0, :value [[:r 1 nil]]}",
        "{:type :invoke, :process 0, :value [[:w 1 1]]}",
        "{:type :fail, :process 0, :value [[:r 1 1]]}",
    ] {
        for &model in Model::ALL {
            let report = jepsen(text).check(model);
            assert_eq!(report.judgement, Unknown, "{text} {model:?}");
            assert!(report.note.is_some());
        }
    }
    for (format, text) in [
        (Format::Plume, "w(1,1,0,0)\nw(1,2,0,-1)\n"),
        (Format::Awdit, "w 1 1\n"),
        (Format::DbcopText, "[] --- [x:=1]"),
        (Format::DbcopJson, r#"{"data":[[]]}"#),
    ] {
        let reading = format.read(text.as_bytes(), false).unwrap();
        assert_eq!(reading.check(Model::Serializability).judgement, Unknown);
    }
}

#[test]
fn a_process_may_be_any_value() {
    for process in [
        "\"w3\"",
        ":c",
        "nil",
        "1.5",
        "99999999999999999999",
        "[1 2]",
        "\"0\"",
        "0.0",
    ] {
        let text = format!("{WROTE}{{:type :ok, :process {process}, :value [[:r 1 1]]}}");
        let reading = jepsen(&text);
        assert_eq!(reading.registers.sessions(), 2, "{process}");
        assert_eq!(reading.skipped, []);
        assert_eq!(reading.check(Model::Causal).judgement, Ok);
        // It is a session.
        let lost = format!("{text}{{:type :ok, :process {process}, :value [[:r 1 nil]]}}");
        let report = jepsen(&lost).check(Model::MonotonicReads);
        assert_eq!(report.judgement, Violation, "{process}");
        let called = format!("of session {process}");
        let summary = &report.anomalies[0].summary;
        assert!(summary.contains(&called), "{summary}");
    }
    let lost = "{\"type\":\"ok\",\"process\":\"w3\",\"value\":[[\"r\",1,99]]}";
    assert_eq!(judge(lost, Model::Causal), Violation);
}

#[test]
fn without_a_process_every_transaction_is_a_session_of_its_own() {
    let fine = "[{:type :ok, :value [[:append :x 1]]} {:type :ok, :value [[:r :x [1]]]} {:type :ok, :value [[:r :x nil]]}]";
    let reading = jepsen(fine);
    assert_eq!(reading.registers.sessions(), 3);
    assert_eq!(reading.check(Model::Causal).judgement, Ok);
    for model in [
        Model::ReadYourWrites,
        Model::MonotonicReads,
        Model::MonotonicWrites,
    ] {
        let report = reading.check(model);
        assert_eq!((report.judgement, report.exercised), (Unknown, false));
    }
    // As in Elle's introduction: the first one reads from the second, which appends after it.
    let cycle = "[{:type :ok, :value [[:append :x 1] [:r :y [1]]]} {:type :ok, :value [[:append :x 2] [:append :y 1]]} {:type :ok, :value [[:r :x [1 2]]]}]";
    let report = jepsen(cycle).check(Model::ReadCommitted);
    assert_eq!(report.judgement, Violation);
    let summary = &report.anomalies[0].summary;
    assert!(
        summary.contains("transaction 1 of a session of its own"),
        "{summary}"
    );
    assert!(refused("{:type :invoke, :value [[:w 1 1]]}").contains(":process"));
}

#[test]
fn values_are_equal_or_not_whatever_they_are() {
    let values = [
        "1",
        "\"1\"",
        ":1",
        "\\1",
        "1.0",
        "1.0M",
        "1/2",
        "[1 2]",
        "#{1 2}",
        "{:a 1}",
        "true",
        "-1",
        "##Inf",
        "9223372036854775808",
        "18446744073709551615",
        "99999999999999999999",
        "4611686018427387904",
        "#uuid \"1\"",
    ];
    let mut all = String::new();
    for (place, value) in values.iter().enumerate() {
        // One of each in a register, and in a list.
        for (write, read) in [
            (format!("[:w 1 {value}]"), format!("[:r 1 {value}]")),
            (format!("[:append 1 {value}]"), format!("[:r 1 [{value}]]")),
            (format!("[:add 1 {value}]"), format!("[:r 1 #{{{value}}}]")),
            (format!("[:append {value} 1]"), format!("[:r {value} [1]]")),
        ] {
            let history = |write: &str, read: &str| {
                format!(
                    "{{:type :ok, :process 0, :value [{write}]}}{{:type :ok, :process 1, :value [{read}]}}"
                )
            };
            assert_eq!(
                judge(&history(&write, &read), Model::Causal),
                Ok,
                "{write} {read}"
            );
        }
        let next = values[(place + 1) % values.len()];
        let report = jepsen(&format!(
            "{{:type :ok, :process 0, :value [[:w 1 {value}]]}}{{:type :ok, :process 1, :value [[:r 1 {next}]]}}"
        ));
        let report = report.check(Model::Causal);
        assert_eq!(report.judgement, Violation, "{value} {next}");
        let called = format!("the value {next},");
        assert!(report.anomalies[0].summary.contains(&called), "{report:#?}");
        all += &format!("{{:type :ok, :process 0, :value [[:w 1 {value}]]}}");
    }
    // They are all different from one another.
    jepsen(&all);
    let twice = refused(
        "{:type :ok, :process 0, :value [[:w \"k\" :a]]}{:type :ok, :process 1, :value [[:w \"k\" :a]]}",
    );
    assert!(
        twice.contains("key \"k\", value :a: written by two"),
        "{twice}"
    );
    // nil can be an element.
    let nil = "{:type :ok, :process 0, :value [[:append 1 nil]]}{:type :ok, :process 1, :value [[:r 1 [nil]]]}";
    assert_eq!(judge(nil, Model::Causal), Ok);
    // In a register it is what is there at first, too.
    let nil =
        "{:type :ok, :process 0, :value [[:w 1 nil]]}{:type :ok, :process 1, :value [[:r 1 nil]]}";
    let reading = jepsen(nil);
    assert_eq!(reading.skipped[0].count, 1);
    assert_eq!(reading.check(Model::Causal).judgement, Unknown);
}

#[test]
fn where_the_higher_value_wins_values_have_an_order() {
    let history = |value: &str| {
        format!(
            "{{:type :ok, :process 0, :value [[:w 1 {value}]]}}\n{{:type :ok, :process 1, :value [[:r 1 {value}]]}}"
        )
    };
    for value in ["\"a\"", "-1", "1.5", "18446744073709551616"] {
        let error = Format::Jepsen
            .read(history(value).as_bytes(), true)
            .unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("line 1") && error.contains("higher value"),
            "{error}"
        );
    }
    for value in ["0", "9223372036854775807", "18446744073709551614"] {
        let reading = Format::Jepsen
            .read(history(value).as_bytes(), true)
            .unwrap();
        assert_eq!(reading.check(Model::CausalPerKey).judgement, Ok, "{value}");
    }
}

#[test]
fn sets_that_are_read_have_no_order() {
    let history = |reads: [&str; 2]| {
        let appends = "{:type :ok, :process 0, :value [[:append 1 1] [:append 1 2]]}{:type :ok, :process 0, :value [[:append 1 3]]}";
        let read = |read: &str| format!("{{:type :ok, :process 1, :value [[:r 1 {read}]]}}");
        format!("{appends}\n{}\n{}", read(reads[0]), read(reads[1]))
    };
    for model in [Model::ReadCommitted, Model::Causal, Model::Serializability] {
        assert_eq!(judge(&history(["#{1 2}", "#{3 1 2}"]), model), Ok);
        assert_eq!(judge(&history(["nil", "#{3 2 1}"]), model), Ok);
        assert_eq!(judge(&history(["#{1 2 9}", "#{3 1 2}"]), model), Violation);
    }
    assert_eq!(judge(&history(["#{1 2}", "#{}"]), Model::Causal), Violation);
    let error = refused(&history(["#{1 2}", "[1 2 3]"]));
    assert!(
        error.starts_with("line 2, column 1") && error.contains("no order"),
        "{error}"
    );
}

#[test]
fn reads_of_what_did_not_end_may_lack_their_value() {
    let text = "{:process 0, :type :invoke, :f :txn, :value [[:r 3] [:append 3 2] [:r 3]]}
                {:process 0, :type :info, :f :txn, :value [[:r 3] [:append 3 2] [:r 3]], :error :timeout}
                {:process 1, :type :invoke, :f :txn, :value [[:r 3]]}
                {:process 1, :type :ok, :f :txn, :value [[:r 3 [2]]]}";
    let reading = jepsen(text);
    assert_eq!(reading.skipped, []);
    assert_eq!(reading.check(Model::StrictSerializability).judgement, Ok);
}

#[test]
fn a_history_may_be_in_a_map() {
    let operations = format!("{WROTE}\n{READ}");
    let json = r#"{"type":"ok","process":0,"value":[["w",1,1]]},{"type":"ok","process":1,"value":[["r",1,1]]}"#;
    for text in [
        format!("{{:name \"x\" :history [{operations}] :results {{:valid? true}}}}"),
        format!("{{:history #jepsen.history.History [{operations}]}}"),
        format!("#jepsen.history.History [{operations}]"),
        format!("({operations})"),
        operations.clone(),
        format!("{{\"name\":\"x\",\"history\":[{json}],\"n\":[1]}}"),
        format!("[{json}]"),
        json.to_owned(),
    ] {
        assert_eq!(
            Format::detect(text.as_bytes()),
            Some(Format::Jepsen),
            "{text}"
        );
        let reading = jepsen(&text);
        assert_eq!(reading.registers.transactions(), 2, "{text}");
        assert_eq!(
            (reading.cut, reading.check(Model::Causal).judgement),
            (None, Ok)
        );
    }
    let cut = jepsen(&format!("{{:history [{operations}"));
    assert!(cut.cut.is_some());
    assert_eq!(cut.registers.transactions(), 2);
    // A history is no key of an operation.
    let text = format!("{WROTE}{{:type :ok, :history [], :process 1, :value [[:r 1 1]]}}");
    assert_eq!(judge(&text, Model::Causal), Ok);
}

#[test]
fn escapes_are_decoded() {
    let text = r#"{"type":"ok","value":[["append","a\"b\\é😀",1]],"process":0}
                  {"type":"ok","value":[["r","a\u0022b\\\u00e9\ud83d\ude00",[1]]],"process":1}"#;
    assert_eq!(judge(text, Model::Causal), Ok);
    let text = r#"{"\u0074ype":"ok","value":[["w","k",1]],"process":0}"#;
    assert_eq!(jepsen(text).registers.transactions(), 1);
}

#[test]
fn marks_and_line_ends_do_not_matter() {
    for (format, text) in [
        (Format::Plume, "w(1,1,0,0)\nr(1,1,1,1)\n"),
        (Format::Awdit, "w 1 1\n=====\nr 1 1\n"),
        (Format::DbcopText, "[x:=1]\n---\n[x==1]\n"),
        (
            Format::DbcopJson,
            "{\"data\":[[{\"events\":[{\"Write\":{\"variable\":0,\"version\":1}}],\"committed\":true}],\n[{\"events\":[{\"Read\":{\"variable\":0,\"version\":1}}],\"committed\":true}]]}\n",
        ),
        (
            Format::Jepsen,
            "{:type :ok, :process 0, :value [[:w 1 1]]}\n{:type :ok, :process 1, :value [[:r 1 1]]}\n",
        ),
    ] {
        for mark in ["", "\u{feff}"] {
            for end in ["\n", "\r\n"] {
                let text = format!("{mark}{}", text.replace('\n', end));
                for compressed in [false, true] {
                    let bytes = if compressed {
                        gzip(text.as_bytes())
                    } else {
                        text.clone().into_bytes()
                    };
                    let mut input = Input::new(&bytes[..]).unwrap();
                    assert_eq!(input.detect("").unwrap(), Some(format), "{text:?}");
                    let reading = format.read(input, false).unwrap();
                    assert_eq!(reading.check(Model::Causal).judgement, Ok, "{text:?}");
                    assert_eq!(reading.cut, None);
                    let reading = format.read(&bytes[..], false).unwrap();
                    assert_eq!(reading.registers.transactions(), 2);
                }
            }
        }
        let utf_16: Vec<u8> = "\u{feff}"
            .encode_utf16()
            .chain(text.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        let error = format.read(&utf_16[..], false).unwrap_err().to_string();
        assert!(error.contains("UTF-16"), "{error}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_histories_that_are_cut_are_refused() {
    let text = "w(1,1,0,0)\nr(1,1,1,1)\n";
    let whole = gzip(text.as_bytes());
    for end in 2..whole.len() {
        let error = Format::Plume.read(&whole[..end], false);
        assert!(error.is_err(), "{end} of {}", whole.len());
    }
}

#[test]
fn detecting_takes_nothing_away_from_what_is_read() {
    for length in [0, 10, 4_096, 65_536, 200_000] {
        let text = format!("// {}\n[x:=1]\n---\n[x==1] [x==?]", "x".repeat(length));
        let mut input = Input::new(text.as_bytes()).unwrap();
        assert_eq!(input.detect("").unwrap(), Some(Format::DbcopText));
        let mut read = String::new();
        input.read_to_string(&mut read).unwrap();
        assert_eq!(read.len(), text.len());
        assert_eq!(read, text);
    }
}

#[test]
fn reads_of_cobras_garbage_collector_are_no_data() {
    let record = |kind: u8, numbers: &[u64]| {
        let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
        std::iter::once(kind).chain(numbers).collect::<Vec<u8>>()
    };
    let session = |number, operations: &[Vec<u8>]| {
        [
            &[record(b'S', &[number])],
            operations,
            &[record(b'C', &[number])],
        ]
        .concat()
        .concat()
    };
    let judge = |flag: &[u64]| {
        let one = session(1, &[record(b'W', &[10, 7, 9]), record(b'R', flag)]);
        let two = session(2, &[record(b'R', &[1, 10, 7, 9])]);
        let logs = [("a".to_owned(), &one[..]), ("b".to_owned(), &two[..])];
        cobra::read(logs, false)
            .unwrap()
            .check(Model::Causal)
            .judgement
    };
    assert_eq!(judge(&[0xbebe_ebee, 0x2333_2333, 5, 0]), Ok);
    assert_eq!(judge(&[0xbebe_ebee, 0x6666_6666, 5, 0]), Ok);
    assert_eq!(judge(&[3, 0x6666_6666, 5, 0]), Violation);
}

#[test]
fn json_of_dbcop_says_all_that_matters() {
    for events in [
        r#"{"Read":{"variable":1}}"#,
        r#"{"Read":{"variable":1,"version":1,"success":false}}"#,
        r#"{"Cas":{"variable":1,"version":1}}"#,
        r#"{"Read":{"variable":-1,"version":1}}"#,
    ] {
        let text = format!(r#"{{"data":[[{{"events":[{events}],"committed":true}}]]}}"#);
        assert!(
            Format::DbcopJson.read(text.as_bytes(), false).is_err(),
            "{events}"
        );
    }
    for end in ["", r#","committed":true,"aborted":true"#] {
        let text = format!(r#"[[{{"events":[]{end}}}]]"#);
        assert!(
            Format::DbcopJson.read(text.as_bytes(), false).is_err(),
            "{end}"
        );
    }
    assert!(Format::DbcopJson.read(&b"[[]] x"[..], false).is_err());
}

proptest! {
    /// A value reads as itself, however long and nested.
    #[test]
    fn any_text_is_a_key(key in ".{0,40}", other in ".{0,40}") {
        let json = |key: &str| serde_json::Value::from(key).to_string();
        let text = format!(
            "{{\"type\":\"ok\",\"process\":0,\"value\":[[\"w\",{},1]]}}{{\"type\":\"ok\",\"process\":1,\"value\":[[\"r\",{},1]]}}",
            json(&key), json(&other),
        );
        let expected = if key == other { Ok } else { Violation };
        prop_assert_eq!(judge(&text, Model::Causal), expected);
    }
}
