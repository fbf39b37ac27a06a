//! A run with browsers leaves nothing in the temporary folder, however it ends.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Generous: what is waited for is noticed at once, however long this is.
const PATIENCE: Duration = Duration::from_secs(120);

fn start(folder: &Path, output: &str, time: &str) -> Child {
    let temporary = folder.join("tmp");
    std::fs::create_dir_all(&temporary).unwrap();
    Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["run", "--fleet", "native=1,wasm=1", "--faults", "none"])
        .args(["--time", time, "--output"])
        .arg(folder.join(output))
        .env_remove("SQUALL_DATABASE_URL")
        .env("TMPDIR", temporary)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the temporary folder holds of browsers.
fn left(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("tmp")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.collect()
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn wait_for_storm(output: &Path) {
    let history = output.join("latest/history.jsonl");
    wait_for("the storm", || {
        std::fs::read_to_string(&history)
            .is_ok_and(|history| history.contains(r#""phase":"storm""#))
    });
}

#[test]
fn nothing_of_a_browser_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(start(folder, "whole", "1s").wait().unwrap().code(), Some(0));
    assert_eq!(left(folder), Vec::<String>::new());

    let mut interrupted = start(folder, "interrupted", "60s");
    wait_for_storm(&folder.join("interrupted"));
    assert!(!left(folder).is_empty(), "the browser has files elsewhere");
    let pid = interrupted.id().to_string();
    let signalled = Command::new("kill").args(["-INT", &pid]).status();
    assert!(signalled.unwrap().success());
    assert_eq!(interrupted.wait().unwrap().code(), Some(2));
    assert_eq!(left(folder), Vec::<String>::new());

    let mut killed = start(folder, "killed", "60s");
    wait_for_storm(&folder.join("killed"));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!left(folder).is_empty());
    assert_eq!(start(folder, "next", "1s").wait().unwrap().code(), Some(0));
    assert_eq!(left(folder), Vec::<String>::new());
}
