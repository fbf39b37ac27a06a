//! The program from outside: its exit codes and messages when something is wrong.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn squall(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(arguments)
        .env_remove("SQUALL_DATABASE_URL")
        .output()
        .unwrap()
}

/// Checks the exit code and that the message says all of that.
fn refuses(arguments: &[&str], code: i32, says: &[&str]) {
    let output = squall(arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    for text in says {
        assert!(
            message.contains(text),
            "{arguments:?}: no `{text}` in: {message}"
        );
    }
}

const HEADER: &str = r#"{"squall_history":1,"seed":1,"workload":"mww","keys":2,"clients":[{"name":"native-1","kind":"native"}],"recovery_deadline_ms":1000,"started_at_ms":0}"#;

fn check(history: &str, folder: &Path) -> Output {
    let file = folder.join("history.jsonl");
    fs::write(&file, history).unwrap();
    squall(&["check", file.to_str().unwrap()])
}

#[test]
fn bad_options_are_refused_with_the_right_ones() {
    refuses(
        &["run", "--fleet", "browser=2"],
        64,
        &["browser", "native, wasm"],
    );
    refuses(
        &["run", "--faults", "tab.relaod"],
        64,
        &["tab.relaod", "tab.reload"],
    );
    refuses(&["run", "--time", "soon"], 64, &["30s"]);
    refuses(&["run", "--keys", "3"], 64, &["--writes", "3"]);
    refuses(&["run", "--rate", "-1"], 64, &[]);
    refuses(&["run", "--rate=0"], 64, &["--rate"]);
    refuses(
        &["run", "--service-url", "http://localhost:1"],
        64,
        &["--database-url"],
    );
    refuses(&["storm"], 64, &[]);
    refuses(&["run", "--plan", "/no/such/plan"], 64, &["/no/such/plan"]);
}

#[test]
fn a_service_behind_https_is_refused() {
    let arguments = [
        "run",
        "--database-url",
        "postgres://localhost:1/x",
        "--service-url",
        "https://example.test",
        "--service-key",
        "c2VjcmV0",
    ];
    refuses(&arguments, 64, &["http://HOST:PORT"]);
}

#[test]
fn a_database_that_is_not_there_is_named_without_its_password() {
    let output = tempfile::tempdir().unwrap();
    let arguments = [
        "run",
        "--database-url",
        "postgres://me:secret@127.0.0.1:1/db",
        "--output",
        output.path().to_str().unwrap(),
    ];
    refuses(
        &arguments,
        69,
        &["postgres://me@127.0.0.1:1/db", "--database-url"],
    );
    let shown = squall(&arguments);
    assert!(!String::from_utf8_lossy(&shown.stderr).contains("secret"));
}

#[test]
fn a_demo_on_a_port_that_is_taken_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    refuses(&["demo", "--port", &port], 69, &[&port]);
}

#[test]
fn malformed_histories_are_refused_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let output = check("not a history\n", folder.path());
    assert_eq!(output.status.code(), Some(65));

    let output = check(
        &format!("{HEADER}\n{{\"time\":0,\"event\":7}}\n{{}}\n"),
        folder.path(),
    );
    assert_eq!(output.status.code(), Some(65));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("line 2"), "{message}");

    refuses(&["check", "/no/such/run"], 64, &["/no/such/run"]);
}

#[test]
fn a_history_that_is_cut_in_a_line_is_read_up_to_there_and_said_to_be_cut() {
    let folder = tempfile::tempdir().unwrap();
    let history =
        format!("{HEADER}\n{{\"time\":0,\"event\":{{\"phase\":\"start\"}}}}\n{{\"time\":5,\"ev");
    let output = check(&history, folder.path());
    assert_eq!(
        output.status.code(),
        Some(2),
        "a cut history proves nothing"
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("cut"), "{text}");
}
