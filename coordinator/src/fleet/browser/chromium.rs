//! Chromium: its driver, its flags, and how to attach to it.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Command;

use fantoccini::Client;
use fantoccini::wd::{Capabilities, WindowHandle};
use serde_json::{Value, json};
use squall_owned_process::OwnedProcess;

use super::BrowserError;
use super::bidi::Bidi;
use super::start::{BrowserOptions, attach, remove_files, spawn, start_driver, started_port};
use crate::system::{port, programs};

/// How many ports chromedriver is offered.
const PORT_ATTEMPTS: usize = 20;

/// The chromedriver process, which serves any number of browsers.
#[derive(Debug)]
pub struct Chromedriver {
    process: OwnedProcess,
    pub(super) url: String,
}

impl Chromedriver {
    /// Starts chromedriver on a free port; what it says goes to `chromedriver.log` in `logs`.
    ///
    /// # Errors
    /// It is not installed, or did not say within a minute that it listens.
    pub async fn start(logs: &Path, temporary: &Path) -> Result<Self, BrowserError> {
        let mut ports = std::iter::repeat_with(port::free);
        Self::start_on(&mut ports, logs, temporary).await
    }

    /// Tries one port after another, as they may be taken between the choice and its use.
    /// (chromedriver's own choice is worse: it takes one that is free on `::1` and gives up if it is taken
    /// on 127.0.0.1, and without IPv6 it says that it listens on port 0.)
    pub(super) async fn start_on(
        ports: &mut impl Iterator<Item = io::Result<u16>>,
        logs: &Path,
        temporary: &Path,
    ) -> Result<Self, BrowserError> {
        let program = programs::CHROMEDRIVER.find()?;
        let log = logs.join("chromedriver.log");
        for port in ports.take(PORT_ATTEMPTS) {
            let port = port.map_err(BrowserError::NoPort)?;
            let mut command = Command::new(&program);
            command
                .arg(format!("--port={port}"))
                .env("TMPDIR", temporary);
            let says = |line: &str| startup(line, port);
            let started = start_driver("chromedriver", program.clone(), command, &log, says);
            let (process, startup) = started.await?;
            if startup == Startup::Started {
                let url = format!("http://127.0.0.1:{port}/");
                return Ok(Self { process, url });
            }
        }
        Err(BrowserError::PortsTaken)
    }

    /// Ends chromedriver. Browsers that still run are not affected.
    ///
    /// # Errors
    /// [`BrowserError::Leftover`].
    pub async fn stop(self) -> Result<(), BrowserError> {
        self.process.kill().await.map_err(BrowserError::Leftover)
    }
}

/// What chromedriver says of the port that it shall listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Startup {
    Started,
    PortIsTaken,
}

/// It begins with "Starting ChromeDriver … on port 40123", which says nothing yet; then it "was started
/// successfully on port 40123." (older versions do not name the port), or the "IPv4 port not available".
pub(super) fn startup(line: &str, port: u16) -> Option<Startup> {
    if line.contains("port not available") {
        return Some(Startup::PortIsTaken);
    }
    let rest = line.split_once("was started successfully")?.1;
    let named = rest.strip_prefix(" on port ");
    let ours = named.is_none_or(|named| named.trim_end_matches('.') == port.to_string());
    ours.then_some(Startup::Started)
}

/// Starts Chromium and attaches chromedriver to it, by BiDi too if the tab is going to be taken offline.
pub(super) async fn start(
    chromedriver: &Chromedriver,
    temporary: &Path,
    options: &BrowserOptions,
) -> Result<(OwnedProcess, Client, Option<Bidi>), BrowserError> {
    let program = programs::CHROMIUM.find()?;
    // What a killed browser left behind: the port that it listened on, and the lock that keeps a second browser
    // off the profile (it names a pid, and that may be somebody else's by now).
    remove_files(
        &options.profile,
        &[
            "DevToolsActivePort",
            "SingletonLock",
            "SingletonSocket",
            "SingletonCookie",
        ],
    )?;
    let mut command = Command::new(&program);
    command.args(flags(options)).env("TMPDIR", temporary);
    let process = spawn(program, command, &options.log)?;
    let file = options.profile.join("DevToolsActivePort");
    let port = started_port("Chromium", &process, options, &file, debugging_port).await?;
    let client = attach(
        &process,
        &chromedriver.url,
        capabilities(port, options.offline),
    )
    .await?;
    let bidi = match options.offline {
        true => Some(connect_bidi(&client).await?),
        false => None,
    };
    Ok((process, client, bidi))
}

/// Chromium writes its debugging port into the first line of that file, and the socket's path into the second. It
/// may be seen half written.
fn debugging_port(text: &str) -> Option<u16> {
    let (port, path) = text.split_once('\n')?;
    let port = port.parse().ok()?;
    (port != 0 && !path.is_empty()).then_some(port)
}

fn flags(options: &BrowserOptions) -> Vec<OsString> {
    let mut flags: Vec<OsString> = [
        "--remote-debugging-port=0",
        // Only squall's own pages are ever loaded, and as root or in a container the sandbox does
        // not come up.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        // Console lines go to the log too.
        "--enable-logging=stderr",
        // Nothing may reach beyond loopback.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost",
        "--no-proxy-server",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-quic",
        "--disable-sync",
        // No questions, no bubbles, no keyrings.
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-hang-monitor",
        "--disable-popup-blocking",
        "--hide-crash-restore-bubble",
        "--password-store=basic",
        // What chromedriver gives to browsers that it starts itself: a tab in the background goes
        // on at full speed.
        "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows",
        "--disable-renderer-backgrounding",
    ]
    .map(OsString::from)
    .to_vec();
    if !options.headed {
        flags.push("--headless".into());
        // Nobody watches, and to fade the colours of changed rows takes a tenth of a processor a tab.
        flags.push("--force-prefers-reduced-motion".into());
    }
    let mut profile = OsString::from("--user-data-dir=");
    profile.push(&options.profile);
    flags.push(profile);
    flags.push("about:blank".into());
    flags
}

/// See [`super::Browser::set_offline`].
pub(super) async fn set_offline(
    bidi: Option<&Bidi>,
    tab: WindowHandle,
    offline: bool,
) -> Result<(), BrowserError> {
    let conditions = offline.then(|| json!({"type": "offline"}));
    let method = "emulation.setNetworkConditions";
    let bidi = bidi.ok_or_else(|| BrowserError::Bidi {
        method,
        message: "the browser was started without BiDi".to_owned(),
    })?;
    let parameters = json!({"networkConditions": conditions, "contexts": [String::from(tab)]});
    bidi.call(method, parameters).await.map(drop)
}

async fn connect_bidi(client: &Client) -> Result<Bidi, BrowserError> {
    let url = client
        .capabilities()
        .and_then(|given| given.get("webSocketUrl"))
        .and_then(Value::as_str)
        .ok_or(BrowserError::Bidi {
            method: "connect",
            message: "chromedriver offered no webSocketUrl: a newer one is needed".to_owned(),
        })?;
    Bidi::connect(url).await
}

fn capabilities(port: u16, bidi: bool) -> Capabilities {
    let Value::Object(capabilities) = json!({
        "browserName": "chrome",
        "webSocketUrl": bidi,
        "goog:chromeOptions": {"debuggerAddress": format!("127.0.0.1:{port}")},
    }) else {
        unreachable!("the literal is an object")
    };
    capabilities
}
