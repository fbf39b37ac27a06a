//! The clients as bodies: processes and browser tabs that can be started, broken and mended. What
//! they are told and what they answer goes over their [`Link`].

pub mod browser;
pub mod environment;
pub mod link;
pub mod pages;
pub mod program;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as SyncMutex};
use std::time::Duration;

use squall_owned_process::OwnedProcess;
use squall_protocol::contract::ToClient;
use squall_protocol::plan::{ClientKind, ClientSpec, Store};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::fleet::browser::{Browser, BrowserOptions, Driver};
use crate::fleet::environment::{ClientEnvironment, Environment};
use crate::fleet::link::Link;
use crate::fleet::program::Situation;
use crate::plan::kinds::{BrowserName, Need, RunsAs, manifest};
use crate::recorder::Recorder;
use crate::system::javascript;

/// How long an incarnation may take from its start until it is ready for transactions. A browser
/// that starts while the machine is busy takes the longest.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How long a client may take to end in an orderly way.
const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// How long a client may take to check its database.
const INTEGRITY_DEADLINE: Duration = Duration::from_secs(30);

/// Why something could not be done to a client. Says nothing about the system under test.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{client} could not be started: {source}")]
    Start {
        client: String,
        source: std::io::Error,
    },
    #[error(
        "{client} was not ready {READY_DEADLINE:?} after its start; see its log in the run folder"
    )]
    NotReady { client: String },
    #[error("{client} gave up: {error}")]
    Fatal { client: String, error: String },
    #[error("the browser of {client}: {source}")]
    Browser {
        client: String,
        source: crate::fleet::browser::BrowserError,
    },
    #[error("{client} could not be ended: {source}")]
    End {
        client: String,
        source: std::io::Error,
    },
    #[error("{client} is down")]
    Down { client: String },
}

/// All clients of a run.
pub struct Fleet {
    /// In the order of the plan.
    pub clients: Vec<Arc<Client>>,
    driver: Option<Driver>,
}

/// One client, whatever it runs as.
pub struct Client {
    pub spec: ClientSpec,
    /// Its link to the coordinator.
    pub link: Link,
    environment: Arc<Environment>,
    recorder: Recorder,
    headed: bool,
    device: Arc<Device>,
}

/// What a client runs on, with the other tabs if it is one of several.
struct Device {
    /// The number of its origin, counted from 1.
    number: usize,
    /// Of all clients that run on it.
    links: Vec<Link>,
    running: Mutex<Running>,
    /// Cancelled before its process or browser is ended on purpose: an end without that is trouble.
    released: SyncMutex<CancellationToken>,
}

#[derive(Default)]
struct Running {
    process: Option<OwnedProcess>,
    browser: Option<Browser>,
}

impl Fleet {
    /// Starts every client and waits until all are ready for transactions.
    ///
    /// # Errors
    ///
    /// When a needed program is missing or a client does not start. What had been started is stopped,
    /// as it is when `interrupted` is cancelled meanwhile; then there is no fleet.
    pub async fn start(
        environment: &Arc<Environment>,
        clients: &[ClientSpec],
        recorder: &Recorder,
        headed: bool,
        interrupted: &CancellationToken,
    ) -> Result<Option<Fleet>, Failure> {
        let has_tabs = clients.iter().any(|spec| manifest(spec.kind).is_tab());
        let driver = if has_tabs {
            if clients.iter().any(|spec| spec.kind == ClientKind::Wasm) {
                environment.pages().check_bundle()?;
            }
            let logs = environment
                .folder("logs")
                .map_err(|error| Failure::unavailable("cannot write logs", error))?;
            Some(
                Driver::new(&logs)
                    .map_err(|error| Failure::unavailable("cannot start browsers", error))?,
            )
        } else {
            None
        };
        // A PostgreSQL that is there already needs no programs here; one that is not is started by now.
        let needs = clients.iter().flat_map(|spec| manifest(spec.kind).needs);
        for need in needs {
            let missing = match need {
                Need::Program(program) => program.find().err().map(|error| error.to_string()),
                Need::Folder(folder) => javascript::folder(environment.program(), folder).err(),
                Need::Tool(_) | Need::Postgres => None,
            };
            if let Some(missing) = missing {
                return Err(Failure::Unavailable(missing));
            }
        }
        let link = |spec: &ClientSpec| environment.client(&spec.name).link.clone();
        let mut devices: BTreeMap<&str, Arc<Device>> = BTreeMap::new();
        for (index, spec) in clients.iter().enumerate() {
            let device = spec.device();
            let members = clients.iter().filter(|other| other.device() == device);
            devices.entry(device).or_insert_with(|| {
                Arc::new(Device {
                    number: index + 1,
                    links: members.map(link).collect(),
                    running: Mutex::default(),
                    released: SyncMutex::default(),
                })
            });
        }
        let clients = clients.iter().map(|spec| {
            Arc::new(Client {
                spec: spec.clone(),
                link: link(spec),
                environment: Arc::clone(environment),
                recorder: recorder.clone(),
                headed,
                device: Arc::clone(&devices[spec.device()]),
            })
        });
        let fleet = Fleet {
            clients: clients.collect(),
            driver,
        };
        let starts = fleet
            .clients
            .iter()
            .map(|client| client.start(fleet.driver.as_ref()));
        let starts = futures_util::future::try_join_all(starts);
        match interrupted.run_until_cancelled(starts).await {
            Some(Ok(_)) => Ok(Some(fleet)),
            Some(Err(error)) => {
                fleet.stop().await;
                Err(Failure::unavailable("cannot start the fleet", error))
            }
            None => {
                fleet.stop().await;
                Ok(None)
            }
        }
    }

    /// What browsers are started with, if the fleet has tabs.
    pub fn driver(&self) -> Option<&Driver> {
        self.driver.as_ref()
    }

    /// The client, with the other tabs of its browser.
    pub fn tabs_with(&self, client: &Client) -> Vec<&Client> {
        let clients = self.clients.iter().map(AsRef::as_ref);
        let device = client.spec.device();
        clients
            .filter(|other| other.spec.device() == device)
            .collect()
    }

    /// Forgets what clients have reported, so that the next reports are known to be newer than now.
    pub fn forget_statuses(&self) {
        for client in &self.clients {
            client.link.forget_status();
        }
    }

    /// Ends every client in an orderly way where that is possible, and by force where not.
    pub async fn stop(self) {
        futures_util::future::join_all(self.clients.iter().map(|client| client.stop())).await;
        if let Some(driver) = self.driver
            && let Err(error) = driver.stop().await
        {
            tracing::warn!("{error}");
        }
    }
}

impl Client {
    /// The client's name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The client's proxies and link.
    pub fn environment(&self) -> &ClientEnvironment {
        self.environment.client(self.name())
    }

    /// Starts whatever of the client does not run, and waits until it is ready for transactions.
    ///
    /// # Errors
    ///
    /// When it does not start, or is not ready in time.
    pub async fn start(&self, driver: Option<&Driver>) -> Result<(), ClientError> {
        let mut running = self.device.running.lock().await;
        match manifest(self.spec.kind).runs_as {
            RunsAs::Process => {
                if !running.process.as_ref().is_some_and(OwnedProcess::is_alive) {
                    running.process = Some(self.start_process().await?);
                }
            }
            RunsAs::Tab {
                browser: name,
                page,
            } => {
                let driver = driver.ok_or_else(|| self.down())?;
                if !running.browser.as_mut().is_some_and(|b| b.is_alive()) {
                    running.browser = Some(self.start_browser(driver, name).await?);
                }
                let browser = self.browser(&mut running)?;
                if !browser.has_tab() {
                    let pages = self.environment.pages();
                    let url = pages.client_url(page, self.device.number, self.name());
                    let opened = browser.open_tab(&url).await;
                    opened.map_err(|source| self.browser_error(source))?;
                }
            }
        }
        drop(running);
        self.ready().await?;
        if self.spec.browser.is_some() && !self.link.capabilities().several_tabs {
            return Err(ClientError::Fatal {
                client: self.name().to_owned(),
                error: "it says that it cannot have several tabs on one database".to_owned(),
            });
        }
        Ok(())
    }

    /// Waits until an incarnation is ready for transactions.
    async fn ready(&self) -> Result<(), ClientError> {
        let settled = self
            .link
            .wait(|link| link.is_ready() || link.fatal().is_some());
        let settled = tokio::time::timeout(READY_DEADLINE, settled).await;
        match (settled, self.link.fatal()) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(error)) => Err(ClientError::Fatal {
                client: self.name().to_owned(),
                error,
            }),
            (Err(_), _) => Err(ClientError::NotReady {
                client: self.name().to_owned(),
            }),
        }
    }

    async fn start_process(&self) -> Result<OwnedProcess, ClientError> {
        let failed = |source| ClientError::Start {
            client: self.name().to_owned(),
            source,
        };
        let logs = self.environment.folder("logs").map_err(failed)?;
        let postgres = match (self.spec.kind.store(), self.environment.servers()) {
            (Store::Postgres, Some(servers)) => {
                let postgres = servers.postgres();
                // Nobody starts an application whose database is down.
                postgres.up().await;
                Some(postgres.url())
            }
            _ => None,
        };
        let situation = Situation {
            control_url: self.environment.pages().control_url(self.name()),
            client: self.name(),
            database: self.environment.database_file(&self.spec).map_err(failed)?,
            database_url: postgres,
        };
        let program = self
            .environment
            .client_program(&self.spec)
            .map_err(failed)?;
        let command = program.command(&situation);
        let log = logs.join(format!("{}.log", self.name()));
        let process = OwnedProcess::spawn_logged(command, &log).map_err(failed)?;
        self.watch("its process", process.exited());
        Ok(process)
    }

    async fn start_browser(
        &self,
        driver: &Driver,
        name: BrowserName,
    ) -> Result<Browser, ClientError> {
        let failed = |source| ClientError::Start {
            client: self.name().to_owned(),
            source,
        };
        let options = BrowserOptions {
            browser: name,
            profile: self
                .environment
                .folder("profiles")
                .map_err(failed)?
                .join(self.spec.device()),
            headed: self.headed,
            offline: self.environment.can_cause("tab.offline"),
            log: self
                .environment
                .folder("logs")
                .map_err(failed)?
                .join(format!("{}.log", self.spec.device())),
        };
        let browser = Browser::start(driver, options)
            .await
            .map_err(|source| self.browser_error(source))?;
        for link in &self.device.links {
            link.set_browser(browser.version());
        }
        self.watch("its browser", browser.exited());
        Ok(browser)
    }

    /// Notices when something of the client ends that nobody ended.
    fn watch(
        &self,
        what: &'static str,
        exited: impl Future<Output = std::process::ExitStatus> + Send + 'static,
    ) {
        let released = CancellationToken::new();
        *self.device.released.lock().expect("no one panics here") = released.clone();
        let (client, recorder) = (self.spec.device().to_owned(), self.recorder.clone());
        tokio::spawn(async move {
            let status = exited.await;
            if !released.is_cancelled() {
                recorder.trouble(format!(
                    "{client}: {what} ended on its own ({status}); see logs/{client}.log"
                ));
            }
        });
    }

    /// From here on, the end of its process or browser is no surprise.
    fn release(&self) {
        self.device
            .released
            .lock()
            .expect("no one panics here")
            .cancel();
    }

    /// Kills the client's process or browser, with all its tabs.
    ///
    /// # Errors
    ///
    /// When it has none, or survives.
    pub async fn kill(&self) -> Result<(), ClientError> {
        let mut running = self.device.running.lock().await;
        let Running { process, browser } = std::mem::take(&mut *running);
        if process.is_none() && browser.is_none() {
            return Err(self.down());
        }
        for link in &self.device.links {
            link.expect_end("killed");
        }
        self.release();
        if let Some(process) = process {
            let killed = process.kill().await;
            killed.map_err(|source| ClientError::End {
                client: self.name().to_owned(),
                source,
            })?;
        }
        if let Some(mut browser) = browser {
            let killed = browser.kill().await;
            killed.map_err(|source| self.browser_error(source))?;
        }
        for link in &self.device.links {
            link.wait(|link| !link.is_ready()).await;
        }
        Ok(())
    }

    /// Sends a signal to the client's process, or to its browser and all processes of that.
    ///
    /// # Errors
    ///
    /// When it has none.
    pub async fn signal(&self, signal: i32) -> Result<(), ClientError> {
        let running = self.device.running.lock().await;
        match (&running.process, &running.browser) {
            (Some(process), _) => process.signal(signal),
            (None, Some(browser)) => browser.signal(signal),
            (None, None) => return Err(self.down()),
        }
        Ok(())
    }

    /// Reloads the tab and waits until the new page is ready for transactions.
    ///
    /// # Errors
    ///
    /// The browser's, or when the new page is not ready in time.
    pub async fn reload_tab(&self) -> Result<(), ClientError> {
        let mut running = self.device.running.lock().await;
        let before = self.link.incarnation();
        self.link.expect_end("the tab was reloaded");
        let browser = self.browser(&mut running)?;
        let reloaded = browser.reload_tab().await;
        reloaded.map_err(|source| self.browser_error(source))?;
        drop(running);
        let restarted = self.link.wait(|link| {
            link.fatal().is_some() || (link.is_ready() && link.incarnation() > before)
        });
        let _ = tokio::time::timeout(READY_DEADLINE, restarted).await;
        self.ready().await
    }

    /// Closes the tab.
    ///
    /// # Errors
    ///
    /// The browser's.
    pub async fn close_tab(&self) -> Result<(), ClientError> {
        let mut running = self.device.running.lock().await;
        self.link.expect_end("the tab was closed");
        let browser = self.browser(&mut running)?;
        let closed = browser.close_tab().await;
        closed.map_err(|source| self.browser_error(source))
    }

    /// Tells the tab that it is offline, or online again.
    ///
    /// # Errors
    ///
    /// The browser's.
    pub async fn set_tab_offline(&self, offline: bool) -> Result<(), ClientError> {
        let mut running = self.device.running.lock().await;
        let browser = self.browser(&mut running)?;
        let set = browser.set_offline(offline).await;
        set.map_err(|source| self.browser_error(source))
    }

    /// What a script (the body of a function) returns in the tab. None if there is no tab.
    ///
    /// # Errors
    ///
    /// The browser's.
    pub async fn evaluate(&self, script: &str) -> Result<Option<serde_json::Value>, ClientError> {
        let mut running = self.device.running.lock().await;
        let browser = self.browser(&mut running)?;
        let evaluated = async {
            match browser.shows_tab().await? {
                true => browser.evaluate(script).await.map(Some),
                false => Ok(None),
            }
        };
        evaluated.await.map_err(|source| self.browser_error(source))
    }

    /// What SQLite says of the client's database. None for a client without one, or without an
    /// answer in time.
    pub async fn check_integrity(&self) -> Option<Vec<String>> {
        self.link.check_integrity(INTEGRITY_DEADLINE).await
    }

    async fn stop(&self) {
        // Before another tab ends the browser.
        self.link.expect_end("stopped at the end of the run");
        let mut running = self.device.running.lock().await;
        self.release();
        if let Some(process) = running.process.take() {
            process.signal(libc::SIGCONT);
            self.link.send(ToClient::Stop);
            if let Err(error) = process.end_within(STOP_DEADLINE).await {
                tracing::warn!("{}: {error}", self.name());
            }
        }
        if let Some(browser) = running.browser.take() {
            browser.signal(libc::SIGCONT);
            if let Err(error) = browser.stop().await {
                tracing::warn!("{}: {error}", self.name());
            }
        }
    }

    fn browser<'b>(
        &self,
        running: &'b mut MutexGuard<'_, Running>,
    ) -> Result<&'b mut Browser, ClientError> {
        let browser = running.browser.as_mut().ok_or_else(|| self.down())?;
        browser.select_tab(self.name());
        Ok(browser)
    }

    fn browser_error(&self, source: crate::fleet::browser::BrowserError) -> ClientError {
        ClientError::Browser {
            client: self.name().to_owned(),
            source,
        }
    }

    fn down(&self) -> ClientError {
        ClientError::Down {
            client: self.name().to_owned(),
        }
    }
}
