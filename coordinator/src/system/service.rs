//! The embedded sync service as a process of its own, which can be killed and started again on the same port
//! and the same storage.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_backend::token::Secret;
use squall_owned_process::OwnedProcess;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;

use crate::exit::Failure;

/// The service makes its first snapshot before it listens.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long it may take to end in an orderly way.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// What the service is started with.
pub struct ServiceOptions {
    /// The program `squall`.
    pub program: PathBuf,
    /// The run folder: the storage and the log are in it.
    pub folder: PathBuf,
    pub database_url: String,
    pub secret: Secret,
    pub tables: Vec<String>,
    /// The name of its replication slot and of its publication.
    pub slot: String,
}

/// The service, whether it runs or was killed.
pub struct EmbeddedService {
    options: ServiceOptions,
    address: SocketAddr,
    /// None while it is down on purpose.
    process: watch::Sender<Option<Arc<OwnedProcess>>>,
}

impl EmbeddedService {
    /// Starts it on a free port. `starting` holds the process as soon as there is one, also if the start
    /// fails or is given up: it may have made its slot.
    ///
    /// # Errors
    ///
    /// When it does not start: the last that it said.
    pub async fn start(
        options: ServiceOptions,
        starting: &Mutex<Option<Arc<OwnedProcess>>>,
    ) -> Result<EmbeddedService, Failure> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = spawn(&options, any, starting).await?;
        let process = starting.lock().expect("no one panics here").take();
        Ok(EmbeddedService {
            options,
            address,
            process: watch::Sender::new(process),
        })
    }

    /// Where it listens, also after it was started again.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file with everything that it has to keep.
    pub fn storage(&self) -> PathBuf {
        storage(&self.options.folder)
    }

    /// Kills it.
    ///
    /// # Errors
    ///
    /// When it is down, or survives.
    pub async fn kill(&self) -> Result<(), Failure> {
        // First, so that nobody takes its end for an accident.
        let process = self.process.send_replace(None);
        let process = process.ok_or_else(|| {
            Failure::Unavailable("the sync service can not be killed: it is down".to_owned())
        })?;
        let killed = process.kill().await;
        killed.map_err(|error| Failure::unavailable("cannot kill the sync service", error))
    }

    /// Starts it again where it was, if it is down.
    ///
    /// # Errors
    ///
    /// When it does not start: the last that it said.
    pub async fn start_again(&self) -> Result<(), Failure> {
        if self.process.borrow().is_some() {
            return Ok(());
        }
        let starting = Mutex::default();
        spawn(&self.options, self.address, &starting).await?;
        let process = starting.lock().expect("no one panics here").take();
        self.process.send_replace(process);
        Ok(())
    }

    /// Returns when it has ended although nobody wanted it: what there is to say of that.
    pub async fn collapsed(&self) -> String {
        let mut process = self.process.subscribe();
        loop {
            let running = process.wait_for(Option::is_some).await;
            let running = running.ok().and_then(|running| running.clone());
            let Some(running) = running else {
                return std::future::pending().await;
            };
            let status = running.exited().await;
            let is_wanted = !matches!(&*process.borrow(), Some(now) if Arc::ptr_eq(now, &running));
            if is_wanted {
                continue;
            }
            let log = log(&self.options.folder);
            let last = last_line(&log).unwrap_or_else(|| "nothing".to_owned());
            return format!(
                "the sync service ended on its own ({status}); the last it said in {} is: {last}",
                log.display()
            );
        }
    }

    /// Ends it in an orderly way.
    pub async fn stop(&self) {
        if let Some(process) = self.process.send_replace(None) {
            stop(&process).await;
        }
    }
}

/// Ends a service's process in an orderly way, if that does not take too long.
pub async fn stop(process: &OwnedProcess) {
    process.signal(libc::SIGTERM);
    if let Err(error) = process.end_within(STOP_DEADLINE).await {
        tracing::warn!("{error}");
    }
}

/// Starts `squall serve` and waits until it says where it listens.
async fn spawn(
    options: &ServiceOptions,
    listen: SocketAddr,
    starting: &Mutex<Option<Arc<OwnedProcess>>>,
) -> Result<SocketAddr, Failure> {
    let what = "cannot start the sync service";
    let unavailable = |error| Failure::unavailable(what, error);
    let (log, storage) = (log(&options.folder), storage(&options.folder));
    for file in [&log, &storage] {
        let folder = file.parent().expect("it is in the run folder");
        std::fs::create_dir_all(folder).map_err(unavailable)?;
    }
    let output = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(unavailable)?;
    let (secret, slot) = (&options.secret, &options.slot);
    let mut command = Command::new(&options.program);
    command
        .arg("serve")
        .args(["--listen", &listen.to_string()])
        .args(["--storage".as_ref(), storage.as_os_str()])
        .args(["--tables", &options.tables.join(",")])
        .args(["--kid", &secret.kid, "--audience", &secret.audience])
        .args(["--publication", slot, "--slot", slot])
        // Secrets do not belong on a command line, where every process can read them.
        .env("SQUALL_DATABASE_URL", &options.database_url)
        .env("SQUALL_SERVICE_KEY", &secret.key)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(output);
    let (process, stdout) = OwnedProcess::spawn(command).map_err(unavailable)?;
    *starting.lock().expect("no one panics here") = Some(Arc::new(process));
    let mut lines = BufReader::new(stdout.expect("standard output is piped")).lines();
    let first_line = tokio::time::timeout(START_DEADLINE, lines.next_line()).await;
    let address = match first_line {
        Ok(Ok(Some(line))) => line
            .strip_prefix("listening on ")
            .and_then(|address| address.parse().ok()),
        _ => None,
    };
    address.ok_or_else(|| {
        let last = last_line(&log).unwrap_or_else(|| "it said nothing".to_owned());
        Failure::unavailable(what, format!("{last} (all of it is in {})", log.display()))
    })
}

fn storage(folder: &Path) -> PathBuf {
    folder.join("service").join("storage.sqlite")
}

fn log(folder: &Path) -> PathBuf {
    folder.join("logs").join("service.log")
}

fn last_line(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    Some(text.lines().last()?.to_owned())
}
