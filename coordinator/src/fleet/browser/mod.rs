//! Browsers: owned as processes, driven through WebDriver.
//!
//! squall starts every browser itself and lets chromedriver attach to it, so that a browser's life
//! and death do not depend on the driver: killing the process group leaves nothing behind, and a
//! driver that hangs or dies can be got round. One chromedriver serves all browsers; every browser
//! has a profile of its own, because the profile is the device, and holds at most one client tab,
//! besides a spare one that keeps the WebDriver session open while there is no client tab.
//!
//! WebDriver is a control plane here: open, close, reload, go offline, look. What clients do and
//! see travels over their own WebSocket. Not here: which fault happens when, and the cut of the
//! network (browsers' offline emulation leaves streams that are already open alone, so the fault
//! proxy has to cut those).

mod bidi;
mod error;
mod temporary;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use fantoccini::error::CmdError;
use fantoccini::wd::{TimeoutConfiguration, WindowHandle};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use squall_owned_process::OwnedProcess;
use squall_throwaway_postgres::Temporary;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::system::{port, programs};
use bidi::Bidi;
pub use error::BrowserError;

/// A browser starts in about a second; twenty at once on two cores took 43 s.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How many ports chromedriver is offered.
const PORT_ATTEMPTS: usize = 20;
/// chromedriver gives up on a script after this long.
const SCRIPT_LIMIT: Duration = Duration::from_secs(2);
/// chromedriver gives up on loading a page, and on a renderer that does not answer, after this.
const PAGE_LOAD_LIMIT: Duration = Duration::from_secs(10);
/// Our own limit for a command, above chromedriver's, for a driver that does not answer itself.
const COMMAND_DEADLINE: Duration = Duration::from_secs(15);
/// How long to wait for a browser's end to be seen when the driver hints at it.
const END_NOTICE_LIMIT: Duration = Duration::from_secs(2);

/// The chromedriver process, which serves any number of browsers.
#[derive(Debug)]
pub struct Driver {
    process: OwnedProcess,
    url: String,
    /// For the temporary files of the driver and of its browsers; last, so that it goes last.
    temporary: Temporary,
}

impl Driver {
    /// Starts chromedriver on a free port; what it says goes to `chromedriver.log` in `log_dir`.
    ///
    /// # Errors
    /// It is not installed, or did not say within a minute that it listens.
    pub async fn start(log_dir: &Path) -> Result<Self, BrowserError> {
        let mut ports = std::iter::repeat_with(port::free);
        Self::start_on(&mut ports, log_dir).await
    }

    /// Tries one port after another, as they may be taken between the choice and its use.
    /// (chromedriver's own choice is worse: it takes one that is free on `::1` and gives up if it is taken
    /// on 127.0.0.1, and without IPv6 it says that it listens on port 0.)
    async fn start_on(
        ports: &mut impl Iterator<Item = io::Result<u16>>,
        log_dir: &Path,
    ) -> Result<Self, BrowserError> {
        for port in ports.take(PORT_ATTEMPTS) {
            let port = port.map_err(BrowserError::NoPort)?;
            if let Some(driver) = Self::try_start(port, log_dir).await? {
                return Ok(driver);
            }
        }
        Err(BrowserError::PortsTaken)
    }

    /// None if the port is taken.
    async fn try_start(port: u16, log_dir: &Path) -> Result<Option<Self>, BrowserError> {
        let program = programs::CHROMEDRIVER.find()?;
        let log_path = log_dir.join("chromedriver.log");
        let log = open_log(&log_path)?;
        let temporary = temporary::make().map_err(BrowserError::Temporary)?;
        let mut command = Command::new(&program);
        command
            .arg(format!("--port={port}"))
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(clone_log(&log, &log_path)?);
        let (process, stdout) = OwnedProcess::spawn(command)
            .map_err(|source| BrowserError::Spawn { program, source })?;
        let failed = |reason: String| BrowserError::Start {
            what: "chromedriver",
            reason,
            log: log_path.clone(),
        };
        let mut lines = BufReader::new(stdout.expect("standard output is piped")).lines();
        let mut log = tokio::fs::File::from_std(log);
        let startup = async {
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = log.write_all(format!("{line}\n").as_bytes()).await;
                if let Some(startup) = startup(&line, port) {
                    return Some(startup);
                }
            }
            None
        };
        let startup = tokio::time::timeout(START_DEADLINE, startup)
            .await
            .map_err(|_| failed(format!("it did not start within {START_DEADLINE:?}")))?
            .ok_or_else(|| failed("it ended without having started".to_owned()))?;
        if startup == Startup::PortIsTaken {
            let _ = log.flush().await;
            return Ok(None);
        }
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = log.write_all(format!("{line}\n").as_bytes()).await;
            }
            let _ = log.flush().await;
        });
        Ok(Some(Self {
            process,
            url: format!("http://127.0.0.1:{port}/"),
            temporary,
        }))
    }

    /// chromedriver's process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Waits until chromedriver ends. Browsers live on without it, but can not be driven.
    pub async fn exited(&self) -> ExitStatus {
        self.process.exited().await
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
enum Startup {
    Started,
    PortIsTaken,
}

/// It begins with "Starting ChromeDriver … on port 40123", which says nothing yet; then it "was started
/// successfully on port 40123." (older versions do not name the port), or the "IPv4 port not available".
fn startup(line: &str, port: u16) -> Option<Startup> {
    if line.contains("port not available") {
        return Some(Startup::PortIsTaken);
    }
    let rest = line.split_once("was started successfully")?.1;
    let named = rest.strip_prefix(" on port ");
    let ours = named.is_none_or(|named| named.trim_end_matches('.') == port.to_string());
    ours.then_some(Startup::Started)
}

/// How to start a [`Browser`].
#[derive(Debug, Clone)]
pub struct BrowserOptions {
    /// The profile folder: the device's storage. Made if missing, kept when the browser ends.
    pub profile: PathBuf,
    /// With a window to watch, instead of headless.
    pub headed: bool,
    /// Whether the tab is going to be taken offline. That takes WebDriver BiDi, whose mapper between
    /// chromedriver and Chromium grows by some megabytes a second under load, so that it is left
    /// out where nobody needs it.
    pub offline: bool,
    /// Where the browser's own messages and the console lines of its pages and workers go (appended).
    pub log: PathBuf,
}

/// One browser process with one profile and at most one client tab.
///
/// Dropping it kills the process group. A command that ran into its deadline leaves the session
/// unusable, see [`BrowserError::Deadline`].
#[derive(Debug)]
pub struct Browser {
    process: OwnedProcess,
    client: Client,
    bidi: Option<Bidi>,
    spare: WindowHandle,
    tab: Option<WindowHandle>,
}

impl Browser {
    /// Starts a browser and attaches `driver` to it. No client tab is open yet.
    ///
    /// # Errors
    /// It is not installed, did not open its debugging port within a minute, or could not be
    /// attached to.
    pub async fn start(driver: &Driver, options: BrowserOptions) -> Result<Self, BrowserError> {
        let program = programs::CHROMIUM.find()?;
        let profile_error = |source| BrowserError::Profile {
            path: options.profile.clone(),
            source,
        };
        prepare_profile(&options.profile).map_err(profile_error)?;
        let log = open_log(&options.log)?;
        let mut command = Command::new(&program);
        command
            .args(flags(&options))
            .env("TMPDIR", driver.temporary.path())
            .stdin(Stdio::null())
            .stdout(clone_log(&log, &options.log)?)
            .stderr(log);
        let (process, _) = OwnedProcess::spawn(command)
            .map_err(|source| BrowserError::Spawn { program, source })?;

        let port_file = options.profile.join("DevToolsActivePort");
        let port = tokio::select! {
            port = debugging_port(&port_file) => Ok(port),
            status = process.exited() => Err(format!("it ended at once ({status})")),
            () = tokio::time::sleep(START_DEADLINE) => {
                Err(format!("it opened no debugging port within {START_DEADLINE:?}"))
            }
        }
        .map_err(|reason| BrowserError::Start {
            what: "Chromium",
            reason,
            log: options.log.clone(),
        })?;

        let client = within(&process, "attach to the browser", START_DEADLINE, async {
            ClientBuilder::new(HttpConnector::new())
                .capabilities(capabilities(port, options.offline))
                .connect(&driver.url)
                .await
                .map_err(|error| BrowserError::from(Box::new(error)))
        })
        .await?;
        let bidi = match options.offline {
            true => Some(connect_bidi(&client).await?),
            false => None,
        };
        let spare = command_within(&process, "find the first tab", client.window()).await?;
        command_within(
            &process,
            "set the timeouts",
            client.update_timeouts(TimeoutConfiguration::new(
                Some(SCRIPT_LIMIT),
                Some(PAGE_LOAD_LIMIT),
                Some(Duration::ZERO),
            )),
        )
        .await?;
        Ok(Self {
            process,
            client,
            bidi,
            spare,
            tab: None,
        })
    }

    /// Opens the client tab at `url`, online, and waits until the page has loaded.
    ///
    /// The tab counts as open even if loading failed, so that it can be reloaded or closed.
    ///
    /// # Errors
    /// [`BrowserError::TabIsOpen`], or the tab or the page could not be opened.
    pub async fn open_tab(&mut self, url: &str) -> Result<(), BrowserError> {
        if self.tab.is_some() {
            return Err(BrowserError::TabIsOpen);
        }
        let opened = self.command("open a tab", self.client.new_window(true));
        let handle = opened.await?.handle;
        self.tab = Some(handle.clone());
        self.command("switch to the tab", self.client.switch_to_window(handle))
            .await?;
        self.command("load the page", self.client.goto(url)).await
    }

    /// Reloads the client tab and waits until the page has loaded.
    ///
    /// # Errors
    /// There is no tab, or the page did not load. (Offline, Chromium shows its error page, and that
    /// is not an error here.)
    pub async fn reload_tab(&mut self) -> Result<(), BrowserError> {
        self.needs_tab("reload the tab")?;
        self.command("reload the tab", self.client.refresh()).await
    }

    /// Closes the client tab, as a person would; page and workers are gone, the storage stays.
    ///
    /// # Errors
    /// There is no tab, or it could not be closed.
    pub async fn close_tab(&mut self) -> Result<(), BrowserError> {
        self.needs_tab("close the tab")?;
        self.command("close the tab", self.client.close_window())
            .await?;
        self.tab = None;
        let spare = self.client.switch_to_window(self.spare.clone());
        self.command("switch to the spare tab", spare).await
    }

    /// Whether a client tab is open.
    pub fn has_tab(&self) -> bool {
        self.tab.is_some()
    }

    /// Takes the client tab offline, as the browser's own "offline" switch does, or back online.
    ///
    /// New requests of the page and of its workers fail and `navigator.onLine` is false; only the
    /// page gets `offline` and `online` events, and streams that are open flow on. Belongs to the
    /// tab: it outlives a reload, and ends when the tab is closed.
    ///
    /// # Errors
    /// There is no tab, the browser refused, or [`BrowserOptions::offline`] was not set.
    pub async fn set_offline(&mut self, offline: bool) -> Result<(), BrowserError> {
        let context = String::from(self.needs_tab("set the tab offline")?.clone());
        let conditions = offline.then(|| json!({"type": "offline"}));
        let method = "emulation.setNetworkConditions";
        let bidi = self.bidi.as_ref().ok_or_else(|| BrowserError::Bidi {
            method,
            message: "the browser was started without BiDi".to_owned(),
        })?;
        let call = bidi.call(
            method,
            json!({"networkConditions": conditions, "contexts": [context]}),
        );
        within(&self.process, "set the tab offline", COMMAND_DEADLINE, call)
            .await
            .map(drop)
    }

    /// Runs a function body in the client tab (`return 1 + 1`) and gives what it returns; a promise
    /// is waited for, up to two seconds.
    ///
    /// # Errors
    /// There is no tab, the script threw, or it took too long.
    pub async fn evaluate(&mut self, script: &str) -> Result<Value, BrowserError> {
        self.needs_tab("run a script")?;
        self.command("run a script", self.client.execute(script, Vec::new()))
            .await
    }

    /// Whether there is a client tab, by what the driver says of the browser's windows.
    ///
    /// # Errors
    /// The driver does not say.
    pub async fn shows_tab(&self) -> Result<bool, BrowserError> {
        let windows = self.command("list the tabs", self.client.windows()).await?;
        Ok(windows.iter().any(|window| *window != self.spare))
    }

    /// Clicks the first element that the CSS selector matches.
    ///
    /// # Errors
    /// There is no tab or no such element, or it can not be clicked.
    pub async fn click(&mut self, css: &str) -> Result<(), BrowserError> {
        self.needs_tab("click")?;
        let found = self.command("find what to click", self.client.find(Locator::Css(css)));
        let element = found.await?;
        self.command("click", element.click()).await
    }

    /// The visible text of the first element that the CSS selector matches.
    ///
    /// # Errors
    /// There is no tab or no such element.
    pub async fn text(&mut self, css: &str) -> Result<String, BrowserError> {
        self.needs_tab("read a text")?;
        let found = self.command("find the text", self.client.find(Locator::Css(css)));
        let element = found.await?;
        self.command("read a text", element.text()).await
    }

    /// What the client tab shows, as a PNG.
    ///
    /// # Errors
    /// There is no tab, or it could not be drawn.
    pub async fn screenshot(&mut self) -> Result<Vec<u8>, BrowserError> {
        self.needs_tab("take a screenshot")?;
        self.command("take a screenshot", self.client.screenshot())
            .await
    }

    /// The process id of the browser, which is its process group's id too.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Whether the browser process has not ended. A stopped (SIGSTOP) browser is alive.
    pub fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    /// Waits until the browser process ends, by itself or by [`Browser::kill`]. Cancel safe.
    pub fn exited(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        self.process.exited()
    }

    /// SIGKILL to the browser and all its processes, as the system's memory killer does. Returns
    /// when they are gone; the profile stays, and a new [`Browser::start`] may use it at once.
    ///
    /// # Errors
    /// [`BrowserError::Leftover`].
    pub async fn kill(&mut self) -> Result<(), BrowserError> {
        self.tab = None;
        self.process.kill().await.map_err(BrowserError::Leftover)
    }

    /// Ends the browser for good: its tab is closed first, so that the page can end in order, then
    /// the process group is killed.
    ///
    /// # Errors
    /// [`BrowserError::Leftover`]; a tab that could not be closed is not an error.
    pub async fn stop(mut self) -> Result<(), BrowserError> {
        if self.tab.is_some() && self.is_alive() {
            let _ = self.close_tab().await;
        }
        self.kill().await
    }

    fn needs_tab(&self, what: &'static str) -> Result<&WindowHandle, BrowserError> {
        self.tab.as_ref().ok_or(BrowserError::NoTab { what })
    }

    async fn command<T>(
        &self,
        what: &'static str,
        command: impl Future<Output = Result<T, CmdError>>,
    ) -> Result<T, BrowserError> {
        command_within(&self.process, what, command).await
    }
}

/// Runs a WebDriver command until it is done, the browser ends, or its deadline passes.
async fn command_within<T>(
    process: &OwnedProcess,
    what: &'static str,
    command: impl Future<Output = Result<T, CmdError>>,
) -> Result<T, BrowserError> {
    within(process, what, COMMAND_DEADLINE, async {
        command.await.map_err(|error| BrowserError::Command {
            what,
            source: Box::new(error),
        })
    })
    .await
}

async fn within<T>(
    process: &OwnedProcess,
    what: &'static str,
    limit: Duration,
    command: impl Future<Output = Result<T, BrowserError>>,
) -> Result<T, BrowserError> {
    let ended = |status| BrowserError::Ended { what, status };
    tokio::select! {
        outcome = command => match outcome {
            Err(error) if error.may_mean_the_end() => {
                match tokio::time::timeout(END_NOTICE_LIMIT, process.exited()).await {
                    Ok(status) => Err(ended(status)),
                    Err(_) => Err(error),
                }
            }
            outcome => outcome,
        },
        status = process.exited() => Err(ended(status)),
        () = tokio::time::sleep(limit) => Err(BrowserError::Deadline { what, limit }),
    }
}

/// Removes what a killed browser left behind: the port that it listened on, and the lock that keeps
/// a second browser off the profile (it names a pid, and that may be somebody else's by now).
fn prepare_profile(profile: &Path) -> io::Result<()> {
    std::fs::create_dir_all(profile)?;
    for name in [
        "DevToolsActivePort",
        "SingletonLock",
        "SingletonSocket",
        "SingletonCookie",
    ] {
        match std::fs::remove_file(profile.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Waits for the file that Chromium writes its debugging port to: the port in the first line, the
/// socket's path in the second. It may be seen half written.
async fn debugging_port(file: &Path) -> u16 {
    loop {
        if let Ok(text) = tokio::fs::read_to_string(file).await
            && let Some((port, path)) = text.split_once('\n')
            && !path.is_empty()
            && let Ok(port) = port.parse()
            && port != 0
        {
            return port;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
    }
    let mut profile = OsString::from("--user-data-dir=");
    profile.push(&options.profile);
    flags.push(profile);
    flags.push("about:blank".into());
    flags
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

fn capabilities(port: u16, bidi: bool) -> fantoccini::wd::Capabilities {
    let Value::Object(capabilities) = json!({
        "browserName": "chrome",
        "webSocketUrl": bidi,
        "goog:chromeOptions": {"debuggerAddress": format!("127.0.0.1:{port}")},
    }) else {
        unreachable!("the literal is an object")
    };
    capabilities
}

fn open_log(path: &Path) -> Result<File, BrowserError> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|source| BrowserError::Log {
            path: path.to_owned(),
            source,
        })
}

fn clone_log(log: &File, path: &Path) -> Result<File, BrowserError> {
    log.try_clone().map_err(|source| BrowserError::Log {
        path: path.to_owned(),
        source,
    })
}
