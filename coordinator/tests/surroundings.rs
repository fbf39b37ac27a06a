//! The program in surroundings that are not as they should be: streams that are closed or full,
//! variables that are set to nothing, names that are no text, terminals that go away.

#![allow(clippy::print_stderr, reason = "what is skipped must be seen")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Nothing that is waited for here takes as long, even on a machine with much else to do.
const DEADLINE: Duration = Duration::from_secs(120);

fn squall(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(arguments).stdin(Stdio::null());
    for name in [
        "SQUALL_DATABASE_URL",
        "SQUALL_SERVICE_KEY",
        "SQUALL_LOG",
        "NO_COLOR",
        "CLICOLOR_FORCE",
    ] {
        command.env_remove(name);
    }
    command
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// A pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_code(output: &Output, code: i32) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert_eq!(output.status.code(), Some(code), "{}", text(&said));
}

/// A history that proves nothing: `check` exits with 2.
const HISTORY: &str = r#"{"squall_history":1,"seed":1,"workload":"mww","keys":2,"clients":[{"name":"native-1","kind":"native"}],"recovery_deadline_ms":1000,"started_at_ms":0}
"#;

fn history(folder: &Path) -> PathBuf {
    let file = folder.join("history.jsonl");
    fs::write(&file, HISTORY).unwrap();
    file
}

/// A short run of clients that need no servers.
fn run_in(folder: &Path) -> Command {
    let mut command = squall(&["run", "--seed", "1", "--time", "1s", "--fleet", "sqlite=2"]);
    command.args(["--faults", "none", "--output"]).arg(folder);
    command
}

#[test]
fn a_run_whose_output_nobody_can_take_keeps_its_verdict() {
    let streams: [fn() -> Stdio; 2] = [|| full().into(), unread];
    for stream in streams {
        let folder = tempfile::tempdir().unwrap();
        let status = run_in(folder.path())
            .stdout(stream())
            .stderr(stream())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(0));
        let verdict = fs::read_to_string(folder.path().join("latest/verdict.json")).unwrap();
        let verdict: serde_json::Value = serde_json::from_str(&verdict).unwrap();
        assert_eq!(verdict["judgement"], "ok");
    }
}

#[test]
fn output_that_is_not_wanted_any_more_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = history(folder.path());
    let file = file.to_str().unwrap();
    for (arguments, code) in [
        (&["check", file][..], 2),
        (&["check", file, "--json"], 2),
        (&["export", file, "--format", "plume"], 0),
        (&["bench", "checker", "100x2x2", "--runs", "1"], 0),
        (&["run", "--help"], 0),
        (&["--version"], 0),
    ] {
        let output = squall(arguments).stdout(unread()).output().unwrap();
        assert_code(&output, code);
        let said = text(&output.stderr);
        assert!(
            !said.contains("output") && !said.contains("panicked"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn output_that_cannot_be_written_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = history(folder.path());
    let file = file.to_str().unwrap();
    let generated =
        squall_checker::generate::generate(&squall_checker::generate::Config::new(1, 50));
    let own = folder.path().join("own.jsonl");
    squall_checker::write_history(&generated, File::create(&own).unwrap()).unwrap();
    for arguments in [
        &["check", file][..],
        &["export", own.to_str().unwrap(), "--format", "plume"],
        &["bench", "checker", "100x2x2", "--runs", "1"],
        &["run", "--help"],
        &["--version"],
    ] {
        let output = squall(arguments).stdout(full()).output().unwrap();
        assert_code(&output, 69);
        let said = text(&output.stderr);
        let times = said
            .matches("cannot write the standard output: No space left")
            .count();
        assert_eq!(times, 1, "{arguments:?}: {said}");
    }
}

#[test]
fn errors_that_cannot_be_said_leave_the_exit_code_as_it_is() {
    let streams: [fn() -> Stdio; 2] = [|| full().into(), unread];
    for stream in streams {
        for (arguments, code) in [(&["check", "/no/such/run"][..], 64), (&["storm"], 64)] {
            let status = squall(arguments).stderr(stream()).status().unwrap();
            assert_eq!(status.code(), Some(code), "{arguments:?}");
        }
        // What is told on the way by the log cannot be said either.
        let folder = tempfile::tempdir().unwrap();
        let mut run = run_in(folder.path());
        let status = run
            .env("SQUALL_LOG", "trace")
            .stdout(Stdio::null())
            .stderr(stream())
            .status();
        assert_eq!(status.unwrap().code(), Some(0));
    }
}

#[test]
fn variables_that_are_set_to_nothing_are_not_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = run_in(folder.path());
    for name in [
        "SQUALL_DATABASE_URL",
        "SQUALL_SERVICE_KEY",
        "SQUALL_LOG",
        "SQUALL_BUNDLE",
        "SQUALL_SQLITE3",
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "TMPDIR",
    ] {
        run.env(name, "");
    }
    assert_code(&run.output().unwrap(), 0);
    // Needed, and set to nothing.
    let mut serve = squall(&["serve", "--storage", "s", "--key", "a2V5"]);
    let output = serve.env("SQUALL_DATABASE_URL", "").output().unwrap();
    assert_code(&output, 64);
    assert!(
        text(&output.stderr).contains("--database-url"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_log_level_that_makes_no_sense_is_refused() {
    let output = squall(&["check"])
        .env("SQUALL_LOG", "squall=loud")
        .output()
        .unwrap();
    assert_code(&output, 64);
    assert!(text(&output.stderr).contains("SQUALL_LOG=squall=loud"));
}

#[test]
fn names_of_files_need_not_be_text() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join(OsStr::from_bytes(b"odd \xff name"));
    let output = run_in(&odd).output().unwrap();
    assert_code(&output, 0);
    assert!(
        text(&output.stdout).contains(r"odd \xff name'"),
        "{}",
        text(&output.stdout)
    );
    assert!(odd.join("latest/verdict.json").is_file());

    let output = squall(&["check"]).arg(odd.join("latest")).output().unwrap();
    assert_code(&output, 0);

    let ladder = folder.path().join(OsStr::from_bytes(b"ladder \xfe"));
    let rungs = folder.path().join("rungs.toml");
    let rung = "[[rung]]\nwhat = \"files\"\nholds = []\n[rung.run]\nfleet = \"sqlite=2\"\nfaults = \"none\"\n";
    fs::write(&rungs, rung).unwrap();
    let mut command = squall(&["ladder", "--time", "1s", "--rungs"]);
    let output = command
        .arg(&rungs)
        .arg("--output")
        .arg(&ladder)
        .output()
        .unwrap();
    assert_code(&output, 0);
    assert!(ladder.join("ladder.json").is_file() && ladder.join("latest").exists());

    let runs = folder.path().join(OsStr::from_bytes(b"matrix \xfd"));
    let matrix = folder.path().join("matrix.toml");
    fs::write(
        &matrix,
        "[run]\nfleet = \"sqlite=2\"\nfaults = \"none\"\ntime = \"1s\"\n",
    )
    .unwrap();
    let mut command = squall(&["matrix"]);
    let output = command
        .arg(&matrix)
        .arg("--output")
        .arg(&runs)
        .output()
        .unwrap();
    assert_code(&output, 0);
    let summary = fs::read_to_string(runs.join("summary.html")).unwrap();
    assert!(summary.contains("href=\"runs/"), "{summary}");

    // Where text is needed, it is said which argument is not.
    let mut command = squall(&["run", "--fleet"]);
    let output = command
        .arg(OsStr::from_bytes(b"native=\xff"))
        .output()
        .unwrap();
    assert_code(&output, 64);
}

#[test]
fn there_are_no_colours_where_there_is_no_terminal() {
    for forced in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut run = run_in(folder.path());
        if forced {
            run.env("CLICOLOR_FORCE", "1");
        }
        let output = run.env("SQUALL_LOG", "debug").output().unwrap();
        assert_code(&output, 0);
        let said = text(&output.stderr);
        assert!(said.contains("DEBUG"), "{said}");
        assert_eq!(said.contains('\x1b'), forced, "{said}");
        let logs = fs::read_dir(folder.path().join("latest/logs")).unwrap();
        let mut lines = 0;
        for log in logs {
            let log = text(&fs::read(log.unwrap().path()).unwrap());
            assert!(!log.contains('\x1b'), "{log}");
            lines += log.lines().count();
        }
        assert!(lines > 0, "the clients said nothing");
    }
}

/// The text of a stream up to a line that contains that.
fn wait_for(stream: &mut impl BufRead, what: &str) -> String {
    let mut seen = String::new();
    loop {
        let before = seen.len();
        assert!(
            stream.read_line(&mut seen).unwrap() > 0,
            "no `{what}` in: {seen}"
        );
        if seen[before..].contains(what) {
            return seen;
        }
    }
}

fn wait(mut child: Child) -> std::process::ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > DEADLINE {
            let _ = child.kill();
            panic!("it did not end within {DEADLINE:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn send(child: &Child, signal: i32) {
    // SAFETY: kill(2) has no memory effects, and the pid is that of a child that nobody waited for.
    unsafe { libc::kill(child.id() as i32, signal) };
}

/// The processes that carry this mark in their environment.
fn marked(mark: &str) -> Vec<String> {
    let mark = format!("SQUALL_TEST_MARK={mark}");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let is_marked = |folder: &PathBuf| {
        let variables = fs::read(folder.join("environ")).unwrap_or_default();
        variables
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
    };
    entries
        .map(|entry| entry.path())
        .filter(is_marked)
        .map(|path| path.display().to_string())
        .collect()
}

/// Starts a long run, sends it those signals in the middle of its storm, and looks at what is left.
fn interrupted_by(signals: &[i32], mark: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = squall(&["run", "--seed", "1", "--time", "10m", "--fleet", "sqlite=2"]);
    command
        .args(["--faults", "none", "--output"])
        .arg(folder.path());
    command
        .env("SQUALL_TEST_MARK", mark)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0);
    // The tests themselves may have been started by nohup.
    // SAFETY: signal(2) is async-signal-safe, and SIG_DFL is no function of ours.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
            Ok(())
        })
    };
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    wait_for(&mut stderr, "storm");
    for signal in signals {
        send(&child, *signal);
    }
    // Nobody reads what it says from here on, as when a terminal goes away.
    drop(stderr);
    let status = wait(child);
    assert_eq!(
        status.code(),
        Some(2),
        "{signals:?}: {status}, signal {:?}",
        status.signal()
    );
    let verdict = fs::read_to_string(folder.path().join("latest/verdict.json")).unwrap();
    assert!(verdict.contains("interrupted"), "{verdict}");
    let history = fs::read_to_string(folder.path().join("latest/history.jsonl")).unwrap();
    assert!(history.ends_with('\n'), "the history is cut");
    let checked = squall(&["check"])
        .arg(folder.path().join("latest"))
        .output()
        .unwrap();
    assert_code(&checked, 2);
    assert_eq!(marked(mark), Vec::<String>::new());
}

#[test]
fn a_run_whose_terminal_goes_away_ends_with_a_verdict() {
    interrupted_by(&[libc::SIGHUP], "hangup");
}

/// `timeout` tells the process and its group, a shell and then the kernel tell of a hangup.
#[test]
fn a_request_to_end_that_comes_twice_is_one_request() {
    interrupted_by(&[libc::SIGTERM, libc::SIGTERM], "term");
    interrupted_by(
        &[libc::SIGHUP, libc::SIGCONT, libc::SIGHUP, libc::SIGTERM],
        "all",
    );
}

#[test]
fn a_run_that_shall_outlive_its_terminal_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = squall(&["run", "--seed", "1", "--time", "8s", "--fleet", "sqlite=2"]);
    command
        .args(["--faults", "none", "--output"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // SAFETY: signal(2) is async-signal-safe, and SIG_IGN is no function of ours.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        })
    };
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    wait_for(&mut stderr, "storm");
    send(&child, libc::SIGHUP);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(wait(child).code(), Some(0), "{rest}");
}

#[test]
fn only_what_is_started_is_said_to_be_started() {
    let folder = tempfile::tempdir().unwrap();
    let said = text(&run_in(folder.path()).output().unwrap().stderr);
    assert!(said.contains("starting 2 clients"), "{said}");
    assert!(
        !said.contains("PostgreSQL") && !said.contains("service"),
        "{said}"
    );

    let url = "postgres://me@127.0.0.1:1/db";
    for (arguments, starts) in [
        (
            &["--database-url", url][..],
            Some("starting the sync service"),
        ),
        (
            &[
                "--database-url",
                url,
                "--service-url",
                "http://127.0.0.1:1",
                "--service-key",
                "a2V5",
            ],
            None,
        ),
    ] {
        let mut run = squall(&["run", "--fleet", "native=1", "--output"]);
        let output = run.arg(folder.path()).args(arguments).output().unwrap();
        assert_code(&output, 69);
        let said = text(&output.stderr);
        let told: Vec<&str> = said
            .lines()
            .filter(|line| line.starts_with("starting"))
            .collect();
        assert_eq!(told, Vec::from_iter(starts), "{said}");
        // The reason is said once, and not by the log as well.
        assert_eq!(said.matches("127.0.0.1:1/db").count(), 1, "{said}");
    }
}

/// Runs the doctor (PostgreSQL with replication, a browser under chromedriver with a page and a worker) and
/// checks that those two work. None if the shell's preparations, which end with 77 then, are not permitted.
fn doctor_after(preparations: &str) -> Option<String> {
    let script = format!("{preparations}\n\"$1\" doctor");
    let output = squall(&[]);
    let mut unshared = Command::new("unshare");
    unshared.args(["--net", "bash", "-c", &script, "bash"]);
    let output = unshared
        .arg(output.get_program())
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) if ![Some(77), Some(1)].contains(&output.status.code()) => output,
        refused => {
            eprintln!("SKIPPED: no network namespace to try this in: {refused:?}");
            return None;
        }
    };
    let said = text(&[&output.stdout[..], &output.stderr[..]].concat());
    for part in ["PostgreSQL", "OPFS in worker"] {
        assert!(said.contains(&format!("✓ {part}")), "{said}");
    }
    Some(said)
}

#[test]
fn without_ipv6_everything_starts() {
    doctor_after(
        "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 || exit 77
         echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6 || exit 77
         ip link set lo up || exit 77",
    );
}

/// What listens on a port without an address of its own is picked from the odd ones, and those are all
/// taken on 127.0.0.1: a port that is free on `::1` is of no use.
#[test]
fn with_half_of_the_ports_taken_everything_starts() {
    doctor_after(
        "ip link set lo up || exit 77
         echo 40000 41999 >/proc/sys/net/ipv4/ip_local_port_range || exit 77
         ulimit -n 8192
         exec python3 -c '
import socket, subprocess, sys
held = [socket.socket() for port in range(40001, 42000, 2)]
for number, holder in enumerate(held):
    holder.bind((\"127.0.0.1\", 40001 + 2 * number))
    holder.listen()
sys.exit(subprocess.call([sys.argv[1], \"doctor\"]))
' \"$1\"",
    );
}
