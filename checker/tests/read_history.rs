//! Reading histories: whole, cut, malformed, and arbitrary bytes.

mod support;

use proptest::prelude::*;
use squall_checker::generate::{Config, generate};
use squall_checker::{Cut, History, HistoryError, check, read_history, render, write_history};
use squall_protocol::verdict::Judgement;

/// A history as a coordinator writes it.
fn lines(history: &History) -> Vec<u8> {
    let mut text = Vec::new();
    write_history(history, &mut text).unwrap();
    text
}

fn sample() -> History {
    generate(&Config {
        keys: 5,
        writes_per_transaction: 2,
        ..Config::new(7, 10)
    })
}

#[test]
fn what_was_written_is_read() {
    let history = sample();
    assert_eq!(read_history(&lines(&history)[..]).unwrap(), history);
}

#[test]
fn a_history_may_be_cut_anywhere_after_its_header() {
    let history = sample();
    let text = lines(&history);
    let header = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for end in header..text.len() {
        let cut = read_history(&text[..end]).unwrap();
        let whole_lines = text[..end].iter().filter(|byte| **byte == b'\n').count();
        // A line that lacks nothing but its newline is whole.
        assert!([whole_lines - 1, whole_lines].contains(&cut.records.len()));
        assert_eq!(cut.records, history.records[..cut.records.len()]);
        let rest = text[..end].rsplit(|byte| *byte == b'\n').next().unwrap();
        if cut.records.len() == whole_lines - 1 && !rest.is_empty() {
            let expected = Cut {
                line: whole_lines + 1,
                bytes: rest.len(),
            };
            assert_eq!(cut.cut, Some(expected));
            let verdict = check(&cut);
            assert_ne!(verdict.judgement, Judgement::Ok);
            assert!(verdict.notes.iter().any(|note| note.contains("is cut")));
        } else {
            assert_eq!(cut.cut, None);
        }
    }
}

#[test]
fn an_incomplete_history_is_unknown() {
    let mut history = sample();
    history.records.pop();
    let verdict = check(&history);
    assert_eq!(verdict.judgement, Judgement::Unknown);
    assert!(verdict.notes[0].contains("ends before the run was complete"));
}

fn error(text: &str) -> String {
    read_history(text.as_bytes()).unwrap_err().to_string()
}

const HEADER: &str = r#"{"squall_history":2,"seed":1,"workload":"mww","keys":2,"clients":[],"recovery_deadline_ms":1,"started_at_ms":0}"#;

#[test]
fn errors_have_a_place_and_an_expectation() {
    insta::assert_snapshot!(error(""), @r#"the history is empty: its first line must be a header such as {"squall_history":2,…}; is this the history.jsonl of a run folder?"#);
    insta::assert_snapshot!(error("hello\n"), @r#"this is not a squall history: line 1, column 1: expected a header such as {"squall_history":2,…}, but: expected value"#);
    insta::assert_snapshot!(error("{\"squall_history\":3}\n"), @"the history has version 3, and this checker reads the versions 1 to 2; check it with the squall that recorded it, or a newer one");
    insta::assert_snapshot!(error("{\"squall_history\":2}\n"), @r#"this is not a squall history: line 1, column 20: expected a header such as {"squall_history":2,…}, but: missing field `seed`"#);
    insta::assert_snapshot!(error(&format!("{HEADER}\n{{\"time\":1}}\n")), @r#"line 2, column 10: expected a record such as {"time":0,"event":{…}}, but: missing field `event`"#);
    insta::assert_snapshot!(error(&format!("{HEADER}\n{{\"time\":1,\"event\":{{\"ok\":{{\"client\":\"a\",\"operation\":1,\"effects\":{{\"reads\":[[0,\"x\"]],\"writes\":[]}}}}}}}}\n")), @r#"line 2, column 78: expected a record such as {"time":0,"event":{…}}, but: invalid type: string "x", expected i64"#);
    insta::assert_snapshot!(error(&format!("{HEADER}\n{{\"time\":1,\"event\":\"interrupted\"}}\n{{\"time\":2,\n")), @r#"line 3, column 10: expected a record such as {"time":0,"event":{…}}, but: EOF while parsing a value"#);
}

/// What a field says that this checker does not know might decide.
#[test]
fn a_field_that_is_not_known_is_refused() {
    let record = |event: &str| error(&format!("{HEADER}\n{{\"time\":1,\"event\":{event}}}\n"));
    let misspelt =
        r#"{"ok":{"client":"a","operation":1,"effects":{"reads":[],"writes":[],"ledgr":null}}}"#;
    assert!(record(misspelt).contains("unknown field `ledgr`"));
    let beside = r#"{"ok":{"client":"a","operation":1,"reads":[],"effects":{"writes":[]}}}"#;
    assert!(record(beside).contains("unknown field `reads`"));
    assert!(record(r#""interrupted","more":1"#).contains("unknown field `more`"));
    let header = HEADER.replace("\"seed\"", "\"merge\":\"lww\",\"seed\"");
    assert!(error(&format!("{header}\n")).contains("unknown field `merge`"));
}

#[test]
fn a_reader_that_fails_is_an_error() {
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let error = read_history(std::io::BufReader::new(Failing)).unwrap_err();
    assert!(matches!(error, HistoryError::Io(_)));
}

#[test]
fn faults_are_counted_by_name_and_one_that_was_given_up_is_not_caused() {
    let events = [
        r#"{"fault-begin":{"number":3,"victim":"service","fault":"service.kill"}}"#,
        r#"{"fault-given-up":{"number":3,"victim":"service","fault":"service.kill","reason":"it survived"}}"#,
        r#"{"fault-end":{"number":3,"victim":"service"}}"#,
        r#"{"fault-begin":{"number":4,"victim":"service","fault":"service.kill"}}"#,
        r#"{"fault-skipped":{"number":5,"victim":"postgres","fault":{"postgres.restart":{"shutdown":"fast"}},"reason":"not ours"}}"#,
        r#"{"fault-given-up":{"number":6,"victim":"backend","fault":"backend.drop-ack","reason":"cut"}}"#,
    ];
    let lines = events.map(|event| format!("{{\"time\":0,\"event\":{event}}}\n"));
    let history = read_history(format!("{HEADER}\n{}", lines.concat()).as_bytes()).unwrap();
    let text = render(&check(&history));
    let faults = text.lines().find(|line| line.starts_with("faults: "));
    insta::assert_snapshot!(faults.unwrap(), @"faults: backend.drop-ack 0 (1 given up), postgres.restart 0 (1 skipped), service.kill 1 (1 given up)");
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_history(&bytes[..]);
        let mut text = format!("{HEADER}\n").into_bytes();
        text.extend(bytes);
        let _ = read_history(&text[..]);
    }

    /// A true history in which some bytes were overwritten: whatever can still be read is judged.
    #[test]
    fn a_damaged_history_does_no_harm(
        seed in 0_u64..20,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut text = lines(&generate(&Config { keys: 3, ..Config::new(seed, 6) }));
        for (place, byte) in damage {
            let at = place.index(text.len());
            // Digits keep the line readable more often than not.
            text[at] = if text[at].is_ascii_digit() { b'0' + byte % 10 } else { byte };
        }
        if let Ok(history) = read_history(&text[..]) {
            render(&check(&history));
        }
        // The same damage to digits only is nearly always readable.
        let mut text = lines(&generate(&Config { keys: 3, ..Config::new(seed, 6) }));
        let digits: Vec<usize> = (120..text.len()).filter(|at| text[*at].is_ascii_digit()).collect();
        for at in digits.iter().step_by(7 + seed as usize) {
            text[*at] = b'0' + (text[*at] + 3) % 10;
        }
        if let Ok(history) = read_history(&text[..]) {
            render(&check(&history));
        }
    }
}
