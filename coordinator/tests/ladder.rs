//! Storms over the fleets of the ladder's lower rungs, and ladders that end with a surprise.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Generous: what is waited for is noticed at once, however long this is.
const PATIENCE: Duration = Duration::from_secs(120);

fn squall(arguments: &[&str], output: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command
        .args(arguments)
        .args(["--seed", "7", "--output"])
        .arg(output)
        .env_remove("SQUALL_DATABASE_URL");
    command
}

fn text(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    format!("{}{errors}", String::from_utf8_lossy(&output.stdout))
}

/// A storm over that fleet must violate nothing and be judged by those properties.
fn holds(fleet: &str, workload: &str, more: &[&str], properties: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "run",
        "--time",
        "4s",
        "--fleet",
        fleet,
        "--workload",
        workload,
    ];
    let faults = ["--faults", "all", "--fault-interval", "1s"];
    let arguments = [&arguments[..], &faults, more].concat();
    let output = squall(&arguments, folder.path()).output().unwrap();
    let text = text(&output);
    assert!(!text.contains("VIOLATION"), "{text}");
    for property in properties {
        let mut lines = text.lines().filter(|line| line.starts_with(property));
        assert!(
            lines.any(|line| line.contains(" ok ")),
            "{property}: {text}"
        );
    }
    assert!(text.contains("can suffer tab.reload"), "{text}");
    let history = fs::read_to_string(folder.path().join("latest/history.jsonl")).unwrap();
    assert!(
        history.contains("\"fault-begin\""),
        "no fault was caused:\n{text}"
    );
    assert!(
        history.contains("\"integrity\""),
        "no database was checked:\n{text}"
    );
    for absent in ["PostgreSQL and the sync service", "final-read-postgres"] {
        assert!(
            !text.contains(absent) && !history.contains(absent),
            "{absent}: {text}"
        );
    }
}

const STRICT: [&str; 3] = [
    "strict-serializability",
    "storage-intact",
    "recovered-in-time",
];

#[test]
fn one_client_has_a_file_of_its_own() {
    holds("sqlite=1", "list-append", &[], &STRICT);
}

#[test]
fn clients_of_both_kinds_share_a_file() {
    holds(
        "sqlite=2,sqlite3=2",
        "list-append",
        &["--keys", "10"],
        &STRICT,
    );
}

#[test]
fn the_shell_does_every_workload() {
    holds("sqlite3=2", "mww", &[], &STRICT);
    holds(
        "sqlite=1,sqlite3=1",
        "gset",
        &[],
        &["no-thin-air-read", "storage-intact"],
    );
    let ledger = ["durability", "gapless-prefix", "storage-intact"];
    holds("sqlite=1,sqlite3=1", "ledger", &["--payload"], &ledger);
}

#[test]
fn a_client_that_never_connects_has_its_rows() {
    holds("local=1", "list-append", &[], &STRICT);
}

/// Waits until a file has that text.
fn wait_for(file: &Path, part: &str) {
    let began = Instant::now();
    while !fs::read_to_string(file).is_ok_and(|text| text.contains(part)) {
        let file = file.display();
        assert!(
            began.elapsed() < PATIENCE,
            "waited in vain for {part} in {file}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Somebody else, who does that to the shared file in the middle of a storm, must be found out.
fn is_found(workload: &str, sabotage: &str, property: &str) {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "run",
        "--time",
        "6s",
        "--fleet",
        "sqlite=2",
        "--workload",
        workload,
    ];
    let arguments = [&arguments[..], &["--keys", "5", "--faults", "none"]].concat();
    let storm = squall(&arguments, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let latest = folder.path().join("latest");
    wait_for(&latest.join("history.jsonl"), "\"phase\":\"storm\"");
    // Enough operations that every row has been written.
    wait_for(&latest.join("history.jsonl"), "\"operation\":30,");
    let sabotaged = Command::new("sqlite3")
        .args(["-init", "/dev/null", "-cmd", ".timeout 10000"])
        .arg(latest.join("databases/shared.sqlite"))
        .arg(sabotage)
        .output()
        .unwrap();
    assert!(sabotaged.status.success(), "{}", text(&sabotaged));
    let output = storm.wait_with_output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let line = text.lines().find(|line| line.starts_with(property));
    assert!(
        line.is_some_and(|line| line.contains("VIOLATION")),
        "{property} in:\n{text}"
    );
}

#[test]
fn an_append_that_is_undone_in_the_shared_file_is_found() {
    is_found(
        "list-append",
        "UPDATE lists SET v = ''",
        "strict-serializability",
    );
}

#[test]
fn a_write_that_is_undone_in_the_shared_file_is_found() {
    is_found("mww", "UPDATE mww SET v = -1", "monotonic-reads");
}

/// Climbs a ladder of those rungs.
fn climb(rungs: &str, more: &[&str]) -> (tempfile::TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rungs.toml");
    fs::write(&file, rungs).unwrap();
    let output = folder.path().join("runs");
    let mut command = squall(&["ladder"], &output);
    command.arg("--rungs").arg(file);
    if !more.contains(&"--time") {
        command.args(["--time", "2s"]);
    }
    command.args(more);
    (folder, command)
}

const FINE: &str = "
    [[rung]]
    what = \"fine\"
    run = { fleet = \"sqlite=2\", workload = \"mww\", rate = 40, faults = \"none\" }
    holds = [\"storage-intact\"]
";

#[test]
fn a_ladder_without_a_surprise_goes_to_its_end() {
    let (folder, mut command) = climb(&FINE.repeat(2), &["--json"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    let written = fs::read_to_string(folder.path().join("runs/ladder.json")).unwrap();
    assert_eq!(printed, written);
    let rungs: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(rungs.as_array().unwrap().len(), 2);
    for rung in rungs.as_array().unwrap() {
        assert_eq!(
            (&rung["expected"], &rung["verdict"]),
            (&"ok".into(), &"ok".into())
        );
        assert!(rung["ok"].as_u64().unwrap() > 0, "{rung}");
        assert!(
            Path::new(rung["folder"].as_str().unwrap())
                .join("verdict.json")
                .is_file()
        );
    }
}

/// The fifth rung of the ladder, with an uploader that keeps transactions whole.
#[test]
fn a_negative_control_that_finds_nothing_is_a_surprise() {
    let control = "
        [[rung]]
        what = \"not torn\"
        run = { fleet = \"native=2\", workload = \"ledger\", uploader = \"transaction\", faults = \"none\" }
        violates = [\"atomic-visibility\"]
        holds = [\"strong-convergence\"]
    ";
    let (_folder, mut command) = climb(&format!("{FINE}{control}{FINE}"), &[]);
    let output = command.output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("a surprise on rung 2: atomic-visibility had to be found"),
        "{text}"
    );
    assert_eq!(text.matches("\n3 fine").count(), 0, "it went on:\n{text}");
}

#[test]
fn a_violation_on_an_ordinary_rung_is_a_surprise_with_its_code() {
    let torn = "
        [[rung]]
        what = \"torn\"
        run = { fleet = \"native=4\", rate = 4, uploader = \"batch\", batch-pause = \"100ms\", faults = \"none\" }
    ";
    let (_folder, mut command) = climb(torn, &["--time", "6s"]);
    let output = command.output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("a surprise on rung 1: violated: "), "{text}");
}

#[test]
fn an_interrupted_ladder_ends_with_its_rung() {
    let (_folder, mut command) = climb(&FINE.repeat(2), &["--time", "10m"]);
    let mut ladder = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(ladder.stderr.take().unwrap()).lines();
    let in_storm = |line: &String| line.contains("storm");
    assert!(
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| in_storm(&line))
    );
    let interrupted = Command::new("kill")
        .args(["-INT", &ladder.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    // Nobody must block for want of a reader.
    std::thread::spawn(move || lines.for_each(drop));
    let output = ladder.wait_with_output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("a surprise on rung 1: it was interrupted"),
        "{text}"
    );
}

#[test]
fn a_ladder_that_makes_no_sense_is_refused() {
    for (rungs, more, code, says) in [
        ("rung = 1", &[][..], 65, "rungs.toml"),
        (FINE, &["--from", "2"], 64, "the rungs are 1 to 1"),
        (
            &FINE.replace("sqlite=2", "sqlite=2,native=1"),
            &[],
            65,
            "never see their rows",
        ),
    ] {
        let (_folder, mut command) = climb(rungs, more);
        let output = command.output().unwrap();
        let text = text(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(says), "{text}");
    }
}
