//! Short real storms, and what becomes of them when something dies that was not meant to.

#[path = "support/run.rs"]
mod run;

use std::fs;
use std::process::Command;

use run::{Run, disturbed, signal};

const NATIVE: [&str; 6] = [
    "--fleet",
    "native=2,postgres=1",
    "--faults",
    "none",
    "--time",
    "4s",
];

#[test]
fn an_undisturbed_storm_is_ok_and_leaves_nothing() {
    disturbed(&NATIVE, |_| {}, 0, "verdict: ok");
}

#[test]
fn a_service_that_dies_on_its_own_makes_the_verdict_unknown() {
    let kill = |run: &Run| signal(run.find(&["squall serve"]), "-KILL");
    disturbed(&NATIVE, kill, 2, "the sync service ended on its own");
}

#[test]
fn a_service_that_no_longer_answers_is_named_and_no_client_is_blamed() {
    let stop = |run: &Run| signal(run.find(&["squall serve"]), "-STOP");
    let arguments = [&NATIVE[..], &["--recovery-deadline", "3s"]].concat();
    disturbed(&arguments, stop, 2, "the sync service no longer answers");
}

#[test]
fn a_client_that_dies_on_its_own_makes_the_verdict_unknown() {
    let kill = |run: &Run| signal(run.find(&["squall client", "native-2"]), "-KILL");
    disturbed(&NATIVE, kill, 2, "native-2: its process ended on its own");
}

#[test]
fn a_postgresql_that_dies_on_its_own_makes_the_verdict_unknown() {
    let kill = |run: &Run| signal(run.find(&["bin/postgres", "-D"]), "-KILL");
    disturbed(&NATIVE, kill, 2, "PostgreSQL ended on its own");
}

#[test]
fn a_browser_that_dies_on_its_own_makes_the_verdict_unknown() {
    let arguments = [
        "--fleet",
        "native=1,wasm=1",
        "--faults",
        "none",
        "--time",
        "4s",
    ];
    let kill = |run: &Run| signal(run.find(&["chromium", "--user-data-dir"]), "-KILL");
    disturbed(&arguments, kill, 2, "wasm-1: its browser ended on its own");
}

#[test]
fn an_interrupted_run_leaves_a_readable_folder_and_nothing_else() {
    let arguments = ["--fleet", "native=2,wasm=1", "--time", "10m"];
    let interrupt = |run: &Run| signal(run.program.id(), "-INT");
    disturbed(&arguments, interrupt, 2, "verdict: unknown");
}

#[test]
fn a_run_that_is_killed_leaves_no_processes() {
    let run = Run::start(&[
        "--fleet",
        "native=2,wasm=1",
        "--faults",
        "none",
        "--time",
        "10m",
    ]);
    run.wait_for("\"phase\":\"storm\"");
    let alive = run.descendants();
    assert!(alive.len() > 5, "{alive:?}");
    signal(run.program.id(), "-KILL");
    let (_, folder) = run.finish(&alive);
    let checked = Command::new(env!("CARGO_BIN_EXE_squall"))
        .arg("check")
        .arg(folder.path().join("latest"))
        .output()
        .unwrap();
    assert_eq!(checked.status.code(), Some(2));
}

#[test]
fn torn_transactions_are_found() {
    let arguments = [
        "--fleet",
        "native=4",
        "--faults",
        "none",
        "--uploader",
        "batch",
        "--time",
        "10s",
    ];
    disturbed(&arguments, |_| {}, 1, "atomic-visibility");
}

#[test]
fn a_storm_of_rows_is_stopped_by_its_first_violation() {
    is_stopped("mww", "atomic-visibility");
}

#[test]
fn a_storm_of_lists_is_stopped_by_its_first_violation() {
    // Causal consistency may be the first to show it.
    is_stopped("list-append", "");
}

#[test]
fn a_storm_of_sets_is_stopped_by_its_first_violation() {
    // As with lists.
    is_stopped("gset", "");
}

#[test]
fn faults_that_a_stopped_storm_did_not_come_to_are_said() {
    let run = Run::start(&[
        "--fleet",
        "native=4",
        "--faults",
        "client.pause",
        "--fault-interval",
        "10m",
        "--uploader",
        "batch",
        "--time",
        "2h",
        "--stop-on-violation",
    ]);
    let folder = run.latest();
    run.wait_for("\"storm-stopped\"");
    let alive = run.descendants();
    let planned = fs::read_to_string(folder.join("plan.json")).unwrap();
    let planned: serde_json::Value = serde_json::from_str(&planned).unwrap();
    let (_, folder) = run.finish(&alive);
    let verdict = fs::read_to_string(folder.path().join("latest/verdict.json")).unwrap();
    let verdict: serde_json::Value = serde_json::from_str(&verdict).unwrap();
    let counts = &verdict["counts"]["faults"]["client.pause"];
    let count = |name: &str| counts[name].as_u64().unwrap_or(0);
    assert!(count("skipped") > 0, "{counts}");
    let all = planned["faults"].as_array().unwrap().len() as u64;
    assert_eq!(count("caused") + count("skipped"), all, "{counts}");
}

fn is_stopped(workload: &str, by: &str) {
    let arguments = [
        "--fleet",
        "native=4",
        "--faults",
        "none",
        "--uploader",
        "batch",
        "--workload",
        workload,
        // Far longer than anyone waits for this test.
        "--time",
        "2h",
        "--stop-on-violation",
    ];
    let stopped = |run: &Run| run.wait_for("\"storm-stopped\":{\"why\":\"");
    let why = format!("the storm was stopped before its time: {by}");
    disturbed(&arguments, stopped, 1, &why);
}

#[test]
fn a_plan_is_the_same_for_the_same_seed_and_can_be_repeated_from_its_file() {
    let run = Run::start(&["--fleet", "native=2", "--faults", "none", "--time", "2s"]);
    let alive = run.descendants();
    let latest = run.latest();
    run.wait_for("\"phase\":\"start\"");
    let plan = fs::read(latest.join("plan.json")).unwrap();
    let (_, folder) = run.finish(&alive);
    let file = folder.path().join("latest/plan.json");
    let again = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["run", "--plan"])
        .arg(&file)
        .arg("--output")
        .arg(folder.path().join("again"))
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(0));
    let repeated = fs::read(folder.path().join("again/latest/plan.json")).unwrap();
    assert_eq!(plan, repeated);
}
