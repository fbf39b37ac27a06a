//! The demo, clicked through as a person would: the real program, in a real headless browser.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use squall_coordinator::fleet::browser::{Browser, BrowserOptions, Driver};
use squall_coordinator::plan::kinds::BrowserName;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Generous: a condition that holds is noticed at once, however long this is.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a write that must not come through gets to come through.
const QUARANTINE: Duration = Duration::from_secs(2);

const AGREED: &str = "return document.getElementById('agreement').textContent.startsWith('All 4')";

struct Demo {
    _program: Child,
    _driver: Driver,
    browser: Browser,
    screenshots: PathBuf,
}

impl Demo {
    async fn open(folder: &Path) -> Demo {
        let mut program = Command::new(env!("CARGO_BIN_EXE_squall"))
            .args(["demo", "--output"])
            .arg(folder.join("demo"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .expect("the demo did not say its address in time")
            .unwrap()
            .expect("the demo ended before it said its address");
        let address = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap_or_else(|| panic!("no address in `{line}`"));
        let driver = Driver::new(folder).unwrap();
        let options = BrowserOptions {
            browser: BrowserName::Chromium,
            profile: folder.join("profile"),
            headed: false,
            offline: false,
            log: folder.join("console.log"),
        };
        let mut browser = Browser::start(&driver, options).await.unwrap();
        browser.open_tab(address).await.unwrap();
        // Looked at by whoever changes the page; kept beside the other outputs of tests.
        let screenshots = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        Demo {
            _program: program,
            _driver: driver,
            browser,
            screenshots,
        }
    }

    async fn evaluate(&mut self, script: &str) -> Value {
        self.browser.evaluate(script).await.unwrap()
    }

    async fn wait(&mut self, what: &str, script: &str) {
        let waiting = async {
            while self.browser.evaluate(script).await.unwrap() != Value::Bool(true) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            self.screenshot("demo-stuck").await;
            panic!("waited {PATIENCE:?} in vain until {what}");
        }
    }

    async fn click(&mut self, id: &str) {
        self.browser.click(&format!("#{id}")).await.unwrap();
    }

    /// The rows of a column of the page, by key.
    async fn rows(&mut self, column: &str) -> Vec<String> {
        let script = format!(
            "return [...document.querySelectorAll('[id^=\"row-{column}-\"]')].map(cell => cell.dataset.value)"
        );
        let values = self.evaluate(&script).await;
        let values = values.as_array().unwrap().iter();
        values
            .map(|value| value.as_str().unwrap().to_owned())
            .collect()
    }

    async fn wait_for_other_rows(&mut self, column: &str, before: &[String]) {
        let before = serde_json::to_string(before).unwrap();
        let script = format!(
            "return JSON.stringify([...document.querySelectorAll('[id^=\"row-{column}-\"]')].map(cell => cell.dataset.value)) != JSON.stringify({before})"
        );
        self.wait(&format!("{column} shows a write"), &script).await;
    }

    async fn screenshot(&mut self, name: &str) {
        let image = self.browser.screenshot().await.unwrap();
        std::fs::write(self.screenshots.join(format!("{name}.png")), image).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_reaches_the_other_pane_unless_its_writer_is_offline() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Demo::open(folder.path()).await;
    demo.wait("all four show the same rows", AGREED).await;
    let seeded = demo.rows("postgres").await;
    assert_eq!(seeded, vec!["-1"; 20]);

    // What one pane writes shows up in PostgreSQL and in the other pane.
    demo.click("write-wasm-1").await;
    demo.wait_for_other_rows("postgres", &seeded).await;
    demo.wait("the write is everywhere", AGREED).await;
    let written = demo.rows("postgres").await;
    demo.screenshot("demo-written").await;

    // Offline, a write stays where it is.
    demo.click("offline-wasm-1").await;
    let offline =
        "return document.getElementById('offline-wasm-1').getAttribute('aria-pressed') == 'true'";
    demo.wait("the first pane is offline", offline).await;
    demo.click("write-wasm-1").await;
    let differs = "return document.getElementById('agreement').textContent.includes('wasm-1')";
    demo.wait("the first pane differs from PostgreSQL", differs)
        .await;
    tokio::time::sleep(QUARANTINE).await;
    assert_eq!(demo.rows("postgres").await, written);
    demo.screenshot("demo-offline").await;

    // A reload keeps what was written offline.
    demo.click("reload-wasm-1").await;
    let open = "return document.getElementById('agreement').textContent.includes('wasm-1')";
    demo.wait("the reloaded pane shows its write again", open)
        .await;
    assert_eq!(demo.rows("postgres").await, written);

    // Back online, everyone gets it.
    demo.click("offline-wasm-1").await;
    demo.wait_for_other_rows("postgres", &written).await;
    demo.wait("the offline write is everywhere", AGREED).await;
    let trouble = "return document.getElementById('trouble').hidden";
    demo.wait("the page shows no trouble", trouble).await;

    // A pane that was closed has missed something, and catches up.
    demo.click("close-wasm-2").await;
    let before = demo.rows("postgres").await;
    demo.click("write-native-1").await;
    demo.wait_for_other_rows("postgres", &before).await;
    let three = "return document.getElementById('agreement').textContent.startsWith('All 3')";
    demo.wait("the three that are open agree", three).await;
    demo.click("close-wasm-2").await;
    demo.wait("the reopened pane has caught up", AGREED).await;
    demo.screenshot("demo-reopened").await;
    demo.browser.stop().await.unwrap();
}
