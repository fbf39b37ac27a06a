//! A `squall run` that something is done to while it goes on.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Generous: what is waited for is noticed at once, however long this is.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A `squall run` that is under way.
pub struct Run {
    folder: tempfile::TempDir,
    pub program: Child,
}

impl Run {
    pub fn start(arguments: &[&str]) -> Run {
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

    pub fn latest(&self) -> PathBuf {
        self.folder.path().join("latest")
    }

    /// Waits until the history says so.
    pub fn wait_for(&self, text: &str) {
        let history = self.latest().join("history.jsonl");
        wait(text, || {
            fs::read_to_string(&history).is_ok_and(|history| history.contains(text))
        });
    }

    /// All processes that descend from the run, with their command lines.
    pub fn descendants(&self) -> BTreeMap<u32, String> {
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
    pub fn find(&self, parts: &[&str]) -> u32 {
        let descendants = self.descendants();
        let fits = |command: &str| parts.iter().all(|part| command.contains(part));
        let found = descendants.iter().find(|(_, command)| fits(command));
        *found
            .unwrap_or_else(|| panic!("no process {parts:?} among {descendants:#?}"))
            .0
    }

    /// Waits for the end of the run, and checks that nothing of it is left.
    pub fn finish(self, alive: &BTreeMap<u32, String>) -> (Output, tempfile::TempDir) {
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

pub fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every living process: its parent and its command line.
pub fn processes() -> BTreeMap<u32, (u32, String)> {
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

pub fn signal(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// The stored verdict must be what `squall check` says from the history alone.
pub fn assert_checks_the_same(run_folder: &Path) {
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
pub fn disturbed(arguments: &[&str], disturb: impl FnOnce(&Run), code: i32, says: &str) {
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
