//! Somebody's clients in a fleet: `--client NAME=COMMAND`.

#[path = "support/plain_client.rs"]
#[allow(dead_code, reason = "what it does wrong is for the conformance suite")]
mod plain;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Not a test: what this program is when it is started as a client.
#[test]
#[ignore = "this is the client that the tests start"]
fn plain_client() {
    if std::env::var_os("SQUALL_CONTROL_URL").is_some() {
        let ended = plain::run();
        panic!("it ended before it was told to: {ended:?}");
    }
}

fn run(output: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_squall"))
        .arg("run")
        .args(arguments)
        .arg("--output")
        .arg(output)
        .env_remove("SQUALL_DATABASE_URL")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let streams = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&streams).into_owned()
}

#[test]
fn somebodys_clients_sync_in_a_storm_with_faults_and_the_plan_repeats_it() {
    let folder = tempfile::tempdir().unwrap();
    // squall's own client stands for somebody's: it is started as any command is.
    let client = format!(
        "mine='{}' client --kind native",
        env!("CARGO_BIN_EXE_squall")
    );
    let first = run(
        folder.path(),
        &[
            "--seed=3",
            "--time=6s",
            "--fleet=native=1,mine=2",
            "--client",
            &client,
            "--faults=client.kill,client.pause,client.disconnect,net.partition",
            "--fault-interval=1s",
        ],
    );
    assert_eq!(first.status.code(), Some(0), "{}", text(&first));
    let latest = folder.path().join("latest");
    let history = fs::read_to_string(latest.join("history.jsonl")).unwrap();
    let header: Value = serde_json::from_str(history.lines().next().unwrap()).unwrap();
    let mine = &header["clients"][1];
    assert_eq!(mine["name"], "mine-1", "{header}");
    assert_eq!(mine["kind"]["external"], "synced", "{header}");
    let has = |event: &str, client: &str| {
        let parts = [format!("\"{event}\""), format!("\"client\":\"{client}\"")];
        history
            .lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    };
    for client in ["mine-1", "mine-2"] {
        assert!(has("ok", client), "{client} did nothing");
        assert!(has("status", client), "{client} told nothing");
    }
    let killed = |line: &&str| line.contains("mine-") && line.contains("\"reason\":\"killed\"");
    assert!(
        history.lines().any(|line| killed(&line)),
        "no client was killed"
    );

    let plan = fs::canonicalize(latest.join("plan.json")).unwrap();
    let plan = plan.to_str().unwrap();
    let again = run(folder.path(), &["--plan", plan]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    let repeated = fs::read_to_string(folder.path().join("latest/plan.json")).unwrap();
    assert_eq!(repeated, fs::read_to_string(plan).unwrap());
    assert!(repeated.contains(r#""programs":{"mine":"#), "{repeated}");
}

#[test]
fn a_client_that_syncs_with_nobody_is_judged_alone() {
    let folder = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    let client = format!(
        "plain='{}' --exact plain_client --ignored --nocapture --quiet",
        this.display()
    );
    for workload in ["mww", "ledger", "list-append", "gset", "counter"] {
        let done = run(
            folder.path(),
            &[
                "--seed=4",
                "--time=4s",
                "--workload",
                workload,
                "--reads=read-transaction,watch",
                "--fleet=plain=1",
                "--client",
                &client,
                "--fault-interval=500ms",
                "--faults=client.kill",
            ],
        );
        let text = text(&done);
        // What only several clients could break was not put to the test; counters have nothing of the kind.
        let code = if workload == "counter" { 0 } else { 2 };
        assert_eq!(done.status.code(), Some(code), "{workload}: {text}");
        assert!(text.contains("client.kill"), "{workload}: {text}");
        let verdict = fs::read_to_string(folder.path().join("latest/verdict.json")).unwrap();
        let verdict: Value = serde_json::from_str(&verdict).unwrap();
        let properties = verdict["properties"].as_array().unwrap();
        let judged = |property: &str| {
            let mut properties = properties.iter();
            let found = properties.find(|judged| judged["property"] == property);
            found.map(|judged| judged["judgement"].clone())
        };
        assert!(verdict["counts"]["ok"].as_u64() > Some(40), "{verdict:#}");
        let violated = properties
            .iter()
            .any(|judged| judged["judgement"] == "violation");
        assert!(!violated, "{workload}: {verdict:#}");
        assert_eq!(
            judged("storage-intact").unwrap(),
            "ok",
            "{workload}: {verdict:#}"
        );
        if workload != "counter" {
            assert_eq!(
                judged("strict-serializability").unwrap(),
                "ok",
                "{workload}: {verdict:#}"
            );
        }
    }
}

#[test]
fn what_cannot_be_is_said_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let client = format!(
        "mine='{}' client --kind native",
        env!("CARGO_BIN_EXE_squall")
    );
    let local = format!(
        "mine='{}' client --kind local",
        env!("CARGO_BIN_EXE_squall")
    );
    for (fleet, client, code, says) in [
        ("mine=1", None, 64, "--client mine='COMMAND'"),
        (
            "firefox=1",
            None,
            64,
            "native, wasm, wasm@firefox, postgres",
        ),
        ("native=1", Some(&client[..]), 64, "add mine=1 to --fleet"),
        ("mine=1", Some("mine="), 64, "the command is empty"),
        ("mine=1", Some("mine='x"), 64, "ends within quotes"),
        ("native=1", Some("native=x"), 64, "a kind of squall's own"),
        (
            "mine=1",
            Some("mine=./no-such-program --x"),
            69,
            "no-such-program",
        ),
        ("mine=1", Some("mine=false"), 69, "a control connection"),
        ("native=1,mine=1", Some(&local[..]), 64, "it must be alone"),
    ] {
        let mut arguments = vec!["--time=1s", "--faults=none", "--fleet", fleet];
        arguments.extend(client.iter().flat_map(|client| ["--client", client]));
        let output = run(folder.path(), &arguments);
        let text = text(&output);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{fleet} {client:?}: {text}"
        );
        assert!(text.contains(says), "{fleet} {client:?}: {text}");
    }
    let made: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
}
