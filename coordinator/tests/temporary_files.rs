//! A run with browsers leaves nothing in the temporary folder, however it ends.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Generous: what is waited for is noticed at once, however long this is.
const PATIENCE: Duration = Duration::from_secs(120);

fn start(folder: &Path, output: &str, time: &str) -> Child {
    let temporary = folder.join("tmp");
    std::fs::create_dir_all(&temporary).unwrap();
    let log = File::create(folder.join(output).with_extension("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["run", "--fleet", "native=1,wasm=1", "--faults", "none"])
        .args(["--time", time, "--output"])
        .arg(folder.join(output))
        .env_remove("SQUALL_DATABASE_URL")
        .env("TMPDIR", temporary)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// What the temporary folder holds of browsers.
fn left(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("tmp")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.collect()
}

/// Waits until the storm of that run has begun, and says what the run said if it does not come to that.
fn wait_for_storm(run: &mut Child, folder: &Path, output: &str) {
    let history = folder.join(output).join("latest/history.jsonl");
    let began = Instant::now();
    loop {
        let history = std::fs::read_to_string(&history).unwrap_or_default();
        if history.contains(r#""phase":"storm""#) {
            return;
        }
        let ended = run.try_wait().unwrap();
        if ended.is_some() || began.elapsed() > PATIENCE {
            let log = std::fs::read_to_string(folder.join(output).with_extension("log")).unwrap();
            panic!("no storm; the run ended: {ended:?}; it said:\n{log}\nits history:\n{history}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nothing_of_a_browser_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(start(folder, "whole", "1s").wait().unwrap().code(), Some(0));
    assert_eq!(left(folder), Vec::<String>::new());

    let mut interrupted = start(folder, "interrupted", "60s");
    wait_for_storm(&mut interrupted, folder, "interrupted");
    assert!(!left(folder).is_empty(), "the browser has files elsewhere");
    let pid = interrupted.id().to_string();
    let signalled = Command::new("kill").args(["-INT", &pid]).status();
    assert!(signalled.unwrap().success());
    assert_eq!(interrupted.wait().unwrap().code(), Some(2));
    assert_eq!(left(folder), Vec::<String>::new());

    let mut killed = start(folder, "killed", "60s");
    wait_for_storm(&mut killed, folder, "killed");
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!left(folder).is_empty());
    assert_eq!(start(folder, "next", "1s").wait().unwrap().code(), Some(0));
    assert_eq!(left(folder), Vec::<String>::new());
}
