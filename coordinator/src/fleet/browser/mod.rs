//! Browsers: owned as processes, driven through WebDriver.
//!
//! squall starts every browser itself and lets its driver attach to it, so that a browser's life
//! and death do not depend on the driver: killing the process group leaves nothing behind, and a
//! driver that hangs or dies can be got round. Every browser
//! has a profile of its own, because the profile is the device, and holds the client's tab, or those of all clients
//! that are tabs of it, besides a spare one that keeps the WebDriver session open while there is no client tab.
//!
//! WebDriver is a control plane here: open, close, reload, go offline, look. What clients do and
//! see travels over their own WebSocket. Not here: which fault happens when, and the cut of the
//! network (browsers' offline emulation leaves streams that are already open alone, so the fault
//! proxy has to cut those).

mod bidi;
mod chromium;
mod error;
mod firefox;
mod start;
mod temporary;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use fantoccini::error::CmdError;
use fantoccini::wd::{TimeoutConfiguration, WindowHandle};
use fantoccini::{Client, Locator};
use serde_json::Value;
use squall_owned_process::OwnedProcess;
use squall_protocol::contract::Engine;
use squall_throwaway_postgres::Temporary;
use tokio::sync::OnceCell;

use crate::plan::kinds::BrowserName;
use bidi::Bidi;
use chromium::Chromedriver;
pub use error::BrowserError;
pub use start::BrowserOptions;
use start::within;

/// A driver gives up on a script after this long.
const SCRIPT_LIMIT: Duration = Duration::from_secs(2);
/// A driver gives up on loading a page, and on a renderer that does not answer, after this.
const PAGE_LOAD_LIMIT: Duration = Duration::from_secs(10);
/// Our own limit for a command, above the driver's, for one that does not answer itself.
const COMMAND_DEADLINE: Duration = Duration::from_secs(15);

/// What the browsers of a fleet have in common. One chromedriver serves any number of browsers and is started with
/// the first of them; a geckodriver serves one, and comes and goes with it.
#[derive(Debug)]
pub struct Driver {
    /// Where drivers write down what they say.
    logs: PathBuf,
    chromedriver: OnceCell<Chromedriver>,
    /// For the temporary files of drivers and browsers; last, so that it goes last.
    temporary: Temporary,
}

impl Driver {
    /// What drivers say goes to files in `logs` that have their names.
    ///
    /// # Errors
    /// [`BrowserError::Temporary`].
    pub fn new(logs: &Path) -> Result<Self, BrowserError> {
        Ok(Self {
            logs: logs.to_owned(),
            chromedriver: OnceCell::new(),
            temporary: temporary::make().map_err(BrowserError::Temporary)?,
        })
    }

    /// The chromedriver, started if there is none yet.
    async fn chromedriver(&self) -> Result<&Chromedriver, BrowserError> {
        let start = || Chromedriver::start(&self.logs, self.temporary.path());
        self.chromedriver.get_or_try_init(start).await
    }

    /// Ends chromedriver. Browsers that still run are not affected.
    ///
    /// # Errors
    /// [`BrowserError::Leftover`].
    pub async fn stop(self) -> Result<(), BrowserError> {
        match self.chromedriver.into_inner() {
            Some(chromedriver) => chromedriver.stop().await,
            None => Ok(()),
        }
    }
}

/// One browser process with one profile and its client tabs.
///
/// Whatever is said of *the* client tab is about the one that was selected last ([`Browser::select_tab`]), so that
/// whoever has one tab need not select any.
///
/// Dropping it kills the process group. A command that ran into its deadline leaves the session
/// unusable, see [`BrowserError::Deadline`].
#[derive(Debug)]
pub struct Browser {
    process: OwnedProcess,
    client: Client,
    behind: Behind,
    spare: WindowHandle,
    /// The client tabs that are open, by their names.
    tabs: BTreeMap<String, WindowHandle>,
    selected: String,
    /// The tab that the driver's commands go to.
    current: Option<WindowHandle>,
}

impl Browser {
    /// Starts a browser and attaches `driver` to it. No client tab is open yet.
    ///
    /// # Errors
    /// It is not installed, did not open a port for its driver within a minute, or could not be
    /// attached to.
    pub async fn start(driver: &Driver, options: BrowserOptions) -> Result<Self, BrowserError> {
        let temporary = driver.temporary.path();
        let (process, client, behind) = match options.browser {
            BrowserName::Chromium => {
                let chromedriver = driver.chromedriver().await?;
                let started = chromium::start(chromedriver, temporary, &options);
                let (process, client, bidi) = started.await?;
                (process, client, Behind::Chromium { bidi })
            }
            BrowserName::Firefox => {
                let started = firefox::start(&driver.logs, temporary, &options);
                let (process, client, geckodriver) = started.await?;
                (process, client, Behind::Firefox { geckodriver })
            }
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
            behind,
            current: Some(spare.clone()),
            spare,
            tabs: BTreeMap::new(),
            selected: String::new(),
        })
    }

    /// From now on the client tab is the one of that name, open or not.
    pub fn select_tab(&mut self, name: &str) {
        self.selected = name.to_owned();
    }

    /// Which browser it is, and its version, as it tells its driver.
    pub fn version(&self) -> Option<Engine> {
        let capabilities = self.client.capabilities()?;
        let text = |name: &str| Some(capabilities.get(name)?.as_str()?.to_owned());
        let name = match self.behind {
            Behind::Chromium { .. } => "Chromium",
            Behind::Firefox { .. } => "Firefox",
        };
        Some(Engine {
            name: name.to_owned(),
            version: text("browserVersion"),
        })
    }

    /// Opens the client tab at `url`, online, and waits until the page has loaded.
    ///
    /// The tab counts as open even if loading failed, so that it can be reloaded or closed.
    ///
    /// # Errors
    /// [`BrowserError::TabIsOpen`], or the tab or the page could not be opened.
    pub async fn open_tab(&mut self, url: &str) -> Result<(), BrowserError> {
        if self.has_tab() {
            return Err(BrowserError::TabIsOpen);
        }
        let opened = self.command("open a tab", self.client.new_window(true));
        let handle = opened.await?.handle;
        self.tabs.insert(self.selected.clone(), handle);
        self.switch_to_tab("load the page").await?;
        self.command("load the page", self.client.goto(url)).await
    }

    /// Reloads the client tab and waits until the page has loaded.
    ///
    /// # Errors
    /// There is no tab, or the page did not load. (Offline, Chromium shows its error page, and that
    /// is not an error here.)
    pub async fn reload_tab(&mut self) -> Result<(), BrowserError> {
        self.switch_to_tab("reload the tab").await?;
        self.command("reload the tab", self.client.refresh()).await
    }

    /// Closes the client tab, as a person would; page and workers are gone, the storage stays.
    ///
    /// # Errors
    /// There is no tab, or it could not be closed.
    pub async fn close_tab(&mut self) -> Result<(), BrowserError> {
        self.switch_to_tab("close the tab").await?;
        self.command("close the tab", self.client.close_window())
            .await?;
        self.tabs.remove(&self.selected);
        self.current = None;
        self.switch_to(self.spare.clone()).await
    }

    /// Whether the client tab is open.
    pub fn has_tab(&self) -> bool {
        self.tabs.contains_key(&self.selected)
    }

    /// Takes the client tab offline, as the browser's own "offline" switch does, or back online.
    ///
    /// New requests of the page and of its workers fail, `navigator.onLine` is false, the page gets `offline` and
    /// `online` events, and streams that are open flow on. In Chromium it belongs to the tab: it outlives a
    /// reload, and ends when the tab is closed. In Firefox it is the whole browser that is offline until it is
    /// told otherwise, and workers get the events too.
    ///
    /// # Errors
    /// There is no tab, the browser refused, or [`BrowserOptions::offline`] was not set.
    pub async fn set_offline(&mut self, offline: bool) -> Result<(), BrowserError> {
        let what = "set the tab offline";
        let tab = self.needs_tab(what)?.clone();
        match &self.behind {
            Behind::Chromium { bidi } => {
                let call = chromium::set_offline(bidi.as_ref(), tab, offline);
                within(&self.process, what, COMMAND_DEADLINE, call).await
            }
            Behind::Firefox { .. } => {
                self.command(what, firefox::set_offline(&self.client, offline))
                    .await
            }
        }
    }

    /// Runs a function body in the client tab (`return 1 + 1`) and gives what it returns; a promise
    /// is waited for, up to two seconds.
    ///
    /// # Errors
    /// There is no tab, the script threw, or it took too long.
    pub async fn evaluate(&mut self, script: &str) -> Result<Value, BrowserError> {
        self.switch_to_tab("run a script").await?;
        self.command("run a script", self.client.execute(script, Vec::new()))
            .await
    }

    /// Whether there is the client tab, by what the driver says of the browser's windows: one beside the spare tab
    /// and those of other clients.
    ///
    /// # Errors
    /// The driver does not say.
    pub async fn shows_tab(&self) -> Result<bool, BrowserError> {
        let windows = self.command("list the tabs", self.client.windows()).await?;
        let others = self.tabs.iter().filter(|(name, _)| **name != self.selected);
        let others: Vec<&WindowHandle> = others.map(|(_, tab)| tab).chain([&self.spare]).collect();
        Ok(windows.iter().any(|window| !others.contains(&window)))
    }

    /// Clicks the first element that the CSS selector matches.
    ///
    /// # Errors
    /// There is no tab or no such element, or it can not be clicked.
    pub async fn click(&mut self, css: &str) -> Result<(), BrowserError> {
        self.switch_to_tab("click").await?;
        let found = self.command("find what to click", self.client.find(Locator::Css(css)));
        let element = found.await?;
        self.command("click", element.click()).await
    }

    /// The visible text of the first element that the CSS selector matches.
    ///
    /// # Errors
    /// There is no tab or no such element.
    pub async fn text(&mut self, css: &str) -> Result<String, BrowserError> {
        self.switch_to_tab("read a text").await?;
        let found = self.command("find the text", self.client.find(Locator::Css(css)));
        let element = found.await?;
        self.command("read a text", element.text()).await
    }

    /// What the client tab shows, as a PNG.
    ///
    /// # Errors
    /// There is no tab, or it could not be drawn.
    pub async fn screenshot(&mut self) -> Result<Vec<u8>, BrowserError> {
        self.switch_to_tab("take a screenshot").await?;
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
        self.tabs.clear();
        self.current = None;
        self.process.kill().await.map_err(BrowserError::Leftover)?;
        match &self.behind {
            Behind::Chromium { .. } => Ok(()),
            Behind::Firefox { geckodriver } => {
                geckodriver.kill().await.map_err(BrowserError::Leftover)
            }
        }
    }

    /// Sends a signal to the browser and all its processes.
    pub fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// Ends the browser for good: its tabs are closed first, so that the pages can end in order, then
    /// the process group is killed.
    ///
    /// # Errors
    /// [`BrowserError::Leftover`]; a tab that could not be closed is not an error.
    pub async fn stop(mut self) -> Result<(), BrowserError> {
        let names: Vec<String> = self.tabs.keys().cloned().collect();
        for name in names {
            self.select_tab(&name);
            if !self.is_alive() || self.close_tab().await.is_err() {
                break;
            }
        }
        self.kill().await
    }

    fn needs_tab(&self, what: &'static str) -> Result<&WindowHandle, BrowserError> {
        let tab = self.tabs.get(&self.selected);
        tab.ok_or(BrowserError::NoTab { what })
    }

    /// Has the driver's commands go to the client tab.
    async fn switch_to_tab(&mut self, what: &'static str) -> Result<(), BrowserError> {
        let tab = self.needs_tab(what)?.clone();
        self.switch_to(tab).await
    }

    async fn switch_to(&mut self, tab: WindowHandle) -> Result<(), BrowserError> {
        if self.current.as_ref() == Some(&tab) {
            return Ok(());
        }
        let switch = self.client.switch_to_window(tab.clone());
        self.command("switch to the tab", switch).await?;
        self.current = Some(tab);
        Ok(())
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

/// What differs between browsers once they run.
#[derive(Debug)]
enum Behind {
    Chromium { bidi: Option<Bidi> },
    Firefox { geckodriver: OwnedProcess },
}
