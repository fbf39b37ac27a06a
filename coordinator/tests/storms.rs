//! Storms of every kind through the finished program, each for some seconds: what it exits with, and what it
//! says. What becomes of storms that something is done to is in `storm.rs`.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Does what the arguments say, with runs in that folder. The exit code must be that, and the output must have
/// each of these, where any white space is one space.
#[track_caller]
fn squall(arguments: &str, folder: &Path, code: i32, says: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(arguments.split(' '))
        .arg("--output")
        .arg(folder)
        .env_remove("SQUALL_DATABASE_URL")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}\n{errors}");
    let words: Vec<&str> = text.split_whitespace().collect();
    let words = words.join(" ");
    for says in says {
        assert!(words.contains(says), "no `{says}` in:\n{text}\n{errors}");
    }
}

#[track_caller]
fn storm(arguments: &str, code: i32, says: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    squall(&format!("run {arguments}"), folder.path(), code, says);
}

#[test]
fn one_seed_is_one_plan_over_the_whole_fleet() {
    let plans = [0; 2].map(|_| {
        let folder = tempfile::tempdir().unwrap();
        squall(
            "run --seed 1 --time 10s",
            folder.path(),
            0,
            &["verdict: ok"],
        );
        fs::read(folder.path().join("latest/plan.json")).unwrap()
    });
    assert!(plans[0] == plans[1]);
}

#[test]
fn maximum_write_wins_over_the_whole_fleet() {
    storm(
        "--seed 5 --time 6s --workload mww",
        0,
        &["strong-convergence ok"],
    );
}

#[test]
fn rows_come_and_go_in_every_length() {
    storm(
        "--seed 6 --time 6s --payload --fleet native=2,wasm=1,postgres=1 --reads read-transaction \
         --writes 0..8 --key-choice zipf --fault-interval 2s",
        0,
        &["durability ok", "payload-intact ok"],
    );
}

#[test]
fn lists_and_live_queries() {
    storm(
        "--seed 9 --time 5s --workload list-append --reads read-transaction,watch --writes 0..4",
        0,
        &["causal-consistency ok"],
    );
}

#[test]
fn sets_that_only_grow_and_live_queries() {
    storm(
        "--seed 10 --time 5s --workload gset --homogeneous --reads read-transaction,watch",
        0,
        &["durability ok"],
    );
}

#[test]
fn counters_and_live_queries() {
    storm(
        "--seed 11 --time 5s --workload counter --reads read-transaction,watch",
        0,
        &["durability ok", "no-duplicate-transaction ok"],
    );
}

#[test]
fn powersyncs_sdk_for_node_is_killed_and_cut_off() {
    storm(
        "--seed 13 --time 5s --fleet native=1,powersync-node=2 --fault-interval 1s \
         --faults client.kill,client.disconnect,net.partition --reads read-transaction,watch",
        0,
        &["strong-convergence ok", "durability ok"],
    );
}

#[test]
fn three_tabs_of_a_browser_work_on_one_database() {
    storm(
        "--seed 14 --time 5s --fleet native=1,powersync-web=1x3 --fault-interval 2s \
         --faults tab.reload,tab.close,net.partition --reads read-transaction,watch",
        0,
        &["read-your-writes ok", "monotonic-reads ok", "durability ok"],
    );
}

#[test]
#[ignore = "needs the SDK for Rust: ./squall self-test --sdks"]
fn all_sdks_are_in_one_fleet() {
    storm(
        "--seed 14 --time 10s --fleet native=1,powersync-node=1,powersync-web=1,powersync-rust=1,postgres=1 \
         --fault-interval 2s --reads read-transaction,watch",
        0,
        &[
            "strong-convergence ok",
            "durability ok",
            "powersync-rust-1: powersync (Rust) 0.2.0",
            "in its SDK's own words: SyncStatusData {",
        ],
    );
}

#[test]
#[ignore = "needs the SDK for Rust: ./squall self-test --sdks"]
fn the_sdk_for_rust_is_killed_and_cut_off_with_both_kinds_of_checkpoints() {
    for mode in ["legacy", "requests"] {
        storm(
            &format!(
                "--seed 15 --time 10s --fleet native=1,powersync-rust=2 --fault-interval 1s \
                 --faults client.kill,client.pause,client.disconnect,net.partition --sdk-checkpoint-mode {mode}"
            ),
            0,
            &["strong-convergence ok", "durability ok"],
        );
    }
}

#[test]
#[ignore = "needs the SDK for Rust: ./squall self-test --sdks"]
fn batches_of_the_sdk_for_rust_tear_transactions() {
    storm(
        "--seed 16 --time 5s --fleet native=1,powersync-rust=1 --faults none --uploader batch",
        1,
        &["atomic-visibility VIOLATION", "durability ok"],
    );
}

#[test]
fn reads_at_read_committed_are_fractured() {
    storm(
        "--seed 71 --time 3s --fleet postgres=6 --rate 600 --faults none --isolation read-committed",
        1,
        &["atomic-transactions VIOLATION"],
    );
}

#[test]
fn without_faults_everything_succeeds() {
    storm(
        "--seed 2 --time 10s --faults none --fleet native=5,postgres=1 --rate 100",
        0,
        &[" ok, 0 failed, 0 unknown;"],
    );
}

#[test]
fn servers_crash_and_answers_get_lost() {
    storm(
        "--seed 12 --time 15s --fault-interval 2s --faults service.kill,postgres.restart,backend.drop-ack",
        0,
        &["verdict: ok"],
    );
}

#[test]
fn tabs_reload_and_close_and_go_offline() {
    storm(
        "--seed 3 --time 20s --fleet wasm=2 --faults tab.reload,tab.close,tab.offline",
        0,
        &["verdict: ok"],
    );
}

#[test]
#[ignore = "needs Firefox: ./squall self-test --firefox"]
fn firefox_and_chromium_are_in_one_fleet() {
    storm(
        "--seed 13 --time 20s --fleet native=1,wasm=1,wasm@firefox=1,postgres=1 --fault-interval 2s",
        0,
        &["verdict: ok"],
    );
}

#[test]
fn the_ladder_is_climbed() {
    let folder = tempfile::tempdir().unwrap();
    let says = ["all as expected, up to rung 7"];
    squall("ladder --seed 6 --time 3s", folder.path(), 0, &says);
}
