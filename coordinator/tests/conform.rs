//! The conformance suite, on every kind of client that squall has, and on one that does things wrong.

#[path = "support/plain_client.rs"]
mod plain;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use plain::{MISDEED, MISDEEDS};
use serde_json::Value;
use squall_coordinator::system::javascript;

/// Not a test: what this program is when it is started as a client.
#[test]
#[ignore = "this is the client that the tests start"]
fn plain_client() {
    if std::env::var_os("SQUALL_CONTROL_URL").is_some() {
        let ended = plain::run();
        panic!("it ended before it was told to: {ended:?}");
    }
}

fn conform(arguments: &[&str], misdeed: Option<&str>) -> (Output, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(["conform", "--json"]).args(arguments);
    // The plain client panics at the end of its connection; a backtrace takes seconds on a busy machine.
    command.env("RUST_BACKTRACE", "0");
    match misdeed {
        Some(misdeed) => command.env(MISDEED, misdeed),
        None => command.env_remove(MISDEED),
    };
    let output = command.output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, report)
}

/// The names of the checks that ended so.
fn checks<'r>(report: &'r Value, result: &str) -> Vec<&'r str> {
    let checks = report["checks"].as_array().into_iter().flatten();
    checks
        .filter(|check| check["result"] == result)
        .filter_map(|check| check["check"].as_str())
        .collect()
}

/// What every client can be asked, and what only some can.
const SYNC: &[&str] = &["before-first-sync", "upload", "download", "disconnect"];
const WATCH: &[&str] = &["live-query", "last-change", "replaced-query"];

fn assert_conforms(arguments: &[&str], skipped: &[&[&str]]) {
    let (output, report) = conform(arguments, None);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{report:#}\n{errors}");
    assert_eq!(report["conforms"], true);
    let mut skipped = skipped.concat();
    let mut found = checks(&report, "skipped");
    skipped.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, skipped);
    assert_eq!(checks(&report, "passed").len() + skipped.len(), 28);
}

fn own(kind: &str) -> Vec<&str> {
    vec!["--", env!("CARGO_BIN_EXE_squall"), "client", "--kind", kind]
}

#[test]
fn the_native_client_conforms() {
    assert_conforms(&own("native"), &[&["first-rows", "new-connection"]]);
}

#[test]
fn the_schema_of_the_contract_takes_every_real_message() {
    let program = env!("CARGO_BIN_EXE_squall");
    let schema = Command::new(program)
        .args(["schema", "contract"])
        .output()
        .unwrap();
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    let (mut compiler, mut schemas) = (boon::Compiler::new(), boon::Schemas::new());
    compiler.add_resource("contract.json", schema).unwrap();
    let mut of = |name: &str| {
        let place = format!("contract.json#/$defs/{name}");
        compiler.compile(&place, &mut schemas).unwrap()
    };
    let (to_client, from_client) = (of("ToClient"), of("FromClient"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages");
    let mut kinds = std::collections::BTreeSet::new();
    for kind in ["native", "sqlite", "postgres"] {
        let mut arguments = vec!["--messages", file.to_str().unwrap()];
        arguments.extend(own(kind));
        let (output, report) = conform(&arguments, None);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let message = &line["message"];
            let expected = match line.get("to") {
                Some(_) => to_client,
                None => from_client,
            };
            if let Err(error) = schemas.validate(message, expected) {
                panic!("{error:#} in {line:#}");
            }
            let name = message.as_str().or_else(|| {
                let object = message.as_object()?;
                object.keys().next().map(String::as_str)
            });
            kinds.insert(name.unwrap().to_owned());
        }
    }
    // All but what only a page, or a client in trouble, says.
    for kind in [
        "configure",
        "execute",
        "watch",
        "connect",
        "disconnect",
        "check-integrity",
        "stop",
        "hello",
        "ready",
        "completed",
        "emission",
        "status",
        "integrity",
        "log",
    ] {
        assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
    }
    for wrong in [
        serde_json::json!({"completed": {"operation": 1}}),
        serde_json::json!({"completed": {"operation": 1, "outcome": {"committed": [[[{"blob": "0"}]]]}}}),
        serde_json::json!({"hello": {"client": "a", "contract": 1, "dialect": "mysql"}}),
        serde_json::json!("ready"),
    ] {
        assert!(schemas.validate(&wrong, from_client).is_err(), "{wrong}");
    }
}

#[test]
fn the_local_client_conforms() {
    assert_conforms(&own("local"), &[SYNC, &["new-connection"]]);
}

#[test]
fn clients_on_a_shared_file_conform() {
    for kind in ["sqlite", "sqlite3", "better-sqlite3"] {
        let others = &["new-database", "first-rows", "new-connection"];
        assert_conforms(&own(kind), &[SYNC, WATCH, others]);
    }
}

#[test]
fn the_client_on_postgres_conforms() {
    let others = &["new-database", "first-rows", "integrity"];
    assert_conforms(&own("postgres"), &[SYNC, WATCH, others]);
}

#[test]
fn the_browser_client_conforms() {
    let others = &["first-rows", "new-connection", "control-lost"];
    assert_conforms(&["--browser"], &[others]);
}

#[test]
fn the_client_in_the_kits_readme_conforms() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let kit = root.join("clients/kit-js");
    let readme = fs::read_to_string(kit.join("README.md")).unwrap();
    let code = readme.split("```js\n").nth(1).unwrap();
    let code = code.split("```").next().unwrap();
    assert!(
        code.lines().count() < 60,
        "it is {} lines",
        code.lines().count()
    );
    let folder = tempfile::tempdir().unwrap();
    let modules = folder.path().join("node_modules");
    fs::create_dir(&modules).unwrap();
    std::os::unix::fs::symlink(&kit, modules.join("squall-client-kit")).unwrap();
    let client = folder.path().join("my-client.mjs");
    fs::write(&client, code).unwrap();
    let node = javascript::node(Path::new(env!("CARGO_BIN_EXE_squall"))).unwrap();
    let command = ["--", node.to_str().unwrap(), client.to_str().unwrap()];
    assert_conforms(&command, &[SYNC, &["new-connection"]]);
}

/// The command of the plain client.
fn plain_command() -> Vec<String> {
    let this = std::env::current_exe().unwrap();
    let this = this.to_str().unwrap().to_owned();
    let words = [
        "--exact",
        "plain_client",
        "--ignored",
        "--nocapture",
        "--quiet",
    ];
    let words = words.map(str::to_owned);
    ["--".to_owned(), this].into_iter().chain(words).collect()
}

#[test]
fn a_client_that_knows_nothing_but_the_page_conforms() {
    let plain = plain_command();
    let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
    assert_conforms(&plain, &[SYNC, &["new-connection"]]);
}

#[test]
fn each_misdeed_fails_the_checks_that_it_has_to_and_no_others() {
    let plain = plain_command();
    let mut arguments = vec!["--deadline", "6s"];
    arguments.extend(plain.iter().map(String::as_str));
    let judge = |(misdeed, expected): &(&str, &[&str])| {
        let (output, report) = conform(&arguments, Some(misdeed));
        assert_eq!(output.status.code(), Some(1), "{misdeed}: {report:#}");
        let failed = checks(&report, "failed");
        assert_eq!(failed, *expected, "{misdeed}: {report:#}");
        for check in report["checks"].as_array().unwrap() {
            let told = |name: &str| check[name].as_str().is_some_and(|text| !text.is_empty());
            let all = told("sent") && told("expected") && told("came");
            assert_eq!(all, check["result"] == "failed", "{check:#}");
        }
    };
    // Most of the time they wait.
    std::thread::scope(|scope| {
        for some in MISDEEDS.chunks(MISDEEDS.len().div_ceil(5)) {
            scope.spawn(|| some.iter().for_each(&judge));
        }
    });
}

#[test]
fn a_command_that_is_not_there_is_69() {
    let (output, _) = conform(&["--", "./there-is-no-such-client"], None);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{errors}");
    assert!(errors.contains("there-is-no-such-client"), "{errors}");
}
