//! Short real storms, and what becomes of them when something dies that was not meant to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Generous: what is waited for is noticed at once, however long this is.
const PATIENCE: Duration = Duration::from_secs(120);

/// A `squall run` that is under way.
struct Run {
    folder: tempfile::TempDir,
    program: Child,
}

impl Run {
    fn start(arguments: &[&str]) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let program = Command::new(env!("CARGO_BIN_EXE_squall"))
            .args(["run", "--seed", "7", "--output"])
            .arg(folder.path())
            .args(arguments)
            .env_remove("SQUALL_DATABASE_URL")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Run { folder, program }
    }

    fn latest(&self) -> PathBuf {
        self.folder.path().join("latest")
    }

    /// Waits until the history says so.
    fn wait_for(&self, text: &str) {
        let history = self.latest().join("history.jsonl");
        wait(text, || {
            fs::read_to_string(&history).is_ok_and(|history| history.contains(text))
        });
    }

    /// All processes that descend from the run, with their command lines.
    fn descendants(&self) -> BTreeMap<u32, String> {
        let processes = processes();
        let mut found = BTreeMap::new();
        let mut parents = vec![self.program.id()];
        while let Some(parent) = parents.pop() {
            for (&pid, (ppid, command)) in &processes {
                if *ppid == parent {
                    found.insert(pid, command.clone());
                    parents.push(pid);
                }
            }
        }
        found
    }

    /// The id of the one process that descends from the run and whose command line has all of that.
    fn find(&self, parts: &[&str]) -> u32 {
        let descendants = self.descendants();
        let fits = |command: &str| parts.iter().all(|part| command.contains(part));
        let found = descendants.iter().find(|(_, command)| fits(command));
        *found
            .unwrap_or_else(|| panic!("no process {parts:?} among {descendants:#?}"))
            .0
    }

    /// Waits for the end of the run, and checks that nothing of it is left.
    fn finish(self, alive: &BTreeMap<u32, String>) -> (Output, tempfile::TempDir) {
        let output = self.program.wait_with_output().unwrap();
        wait("everything that the run started has ended", || {
            let now = processes();
            alive
                .iter()
                .all(|(pid, command)| now.get(pid).is_none_or(|(_, now)| now != command))
        });
        (output, self.folder)
    }
}

fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every living process: its parent and its command line.
fn processes() -> BTreeMap<u32, (u32, String)> {
    let mut processes = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // The second field is the command in parentheses, which may itself contain some.
        let mut fields = stat.rsplit(')').next().unwrap().split_whitespace();
        let (state, parent) = (fields.next().unwrap(), fields.next().unwrap());
        if state == "Z" {
            continue;
        }
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        processes.insert(pid, (parent.parse().unwrap(), command));
    }
    processes
}

fn signal(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// The stored verdict must be what `squall check` says from the history alone.
fn assert_checks_the_same(run_folder: &Path) {
    let stored = fs::read_to_string(run_folder.join("verdict.json")).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["check", "--json"])
        .arg(run_folder)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&checked.stdout), stored);
    for file in ["plan.json", "history.jsonl", "report.html", "junit.xml"] {
        assert!(run_folder.join(file).is_file(), "{file} is missing");
    }
    if stored.contains("\"reads-older-version\"") {
        let report = fs::read_to_string(run_folder.join("report.html")).unwrap();
        assert!(report.contains("-[reads-older-version"), "{report}");
    }
}

/// Starts a run, does something to it in the middle of the storm, and expects that exit code and
/// that text.
fn disturbed(arguments: &[&str], disturb: impl FnOnce(&Run), code: i32, says: &str) {
    let run = Run::start(arguments);
    run.wait_for("\"phase\":\"storm\"");
    run.wait_for("\"ok\":");
    let alive = run.descendants();
    disturb(&run);
    let (output, folder) = run.finish(&alive);
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}\n{errors}");
    assert!(text.contains(says), "no `{says}` in:\n{text}\n{errors}");
    assert_checks_the_same(&folder.path().join("latest"));
}

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
