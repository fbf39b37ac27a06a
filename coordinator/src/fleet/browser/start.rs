//! What it takes to start any browser and to attach a driver to it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use squall_owned_process::OwnedProcess;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::BrowserError;
use crate::plan::kinds::BrowserName;

/// A browser starts in some seconds; twenty at once on two cores took 43 s.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long to wait for a browser's end to be seen when the driver hints at it.
const END_NOTICE_LIMIT: Duration = Duration::from_secs(2);

/// How to start a [`Browser`].
#[derive(Debug, Clone)]
pub struct BrowserOptions {
    /// Which browser it is.
    pub browser: BrowserName,
    /// The profile folder: the device's storage. Made if missing, kept when the browser ends.
    pub profile: PathBuf,
    /// With a window to watch, instead of headless.
    pub headed: bool,
    /// Whether the tab is going to be taken offline. In Chromium that takes WebDriver BiDi, whose mapper between
    /// chromedriver and the browser grows by some megabytes a second under load, so that it is left
    /// out where nobody needs it.
    pub offline: bool,
    /// Where the browser's own messages and the console lines of its pages and workers go (appended).
    pub log: PathBuf,
}

/// Starts a driver, whose output goes to a log, and waits for the first line in which `startup` finds something.
pub(super) async fn start_driver<T>(
    what: &'static str,
    program: PathBuf,
    mut command: Command,
    log_path: &Path,
    startup: impl Fn(&str) -> Option<T>,
) -> Result<(OwnedProcess, T), BrowserError> {
    let log = open_log(log_path)?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(clone_log(&log, log_path)?);
    let (process, stdout) =
        OwnedProcess::spawn(command).map_err(|source| BrowserError::Spawn { program, source })?;
    let failed = |reason: String| BrowserError::Start {
        what,
        reason,
        log: log_path.to_owned(),
    };
    let mut lines = BufReader::new(stdout.expect("standard output is piped")).lines();
    let mut log = tokio::fs::File::from_std(log);
    let found = async {
        while let Ok(Some(line)) = lines.next_line().await {
            let _ = log.write_all(format!("{line}\n").as_bytes()).await;
            if let Some(found) = startup(&line) {
                return Some(found);
            }
        }
        None
    };
    let found = tokio::time::timeout(START_DEADLINE, found)
        .await
        .map_err(|_| failed(format!("it did not start within {START_DEADLINE:?}")))?
        .ok_or_else(|| failed("it ended without having started".to_owned()))?;
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let _ = log.write_all(format!("{line}\n").as_bytes()).await;
        }
        let _ = log.flush().await;
    });
    Ok((process, found))
}

/// Starts a browser's process; what it says goes to the log.
pub(super) fn spawn(
    program: PathBuf,
    mut command: Command,
    log: &Path,
) -> Result<OwnedProcess, BrowserError> {
    let output = open_log(log)?;
    command
        .stdin(Stdio::null())
        .stdout(clone_log(&output, log)?)
        .stderr(output);
    let spawned = OwnedProcess::spawn(command);
    let (process, _) = spawned.map_err(|source| BrowserError::Spawn { program, source })?;
    Ok(process)
}

/// The port for its driver, which a browser that has just been started writes to a file.
pub(super) async fn started_port(
    what: &'static str,
    process: &OwnedProcess,
    options: &BrowserOptions,
    file: &Path,
    port: impl Fn(&str) -> Option<u16>,
) -> Result<u16, BrowserError> {
    let written = async {
        loop {
            if let Ok(text) = tokio::fs::read_to_string(file).await
                && let Some(port) = port(&text)
            {
                return port;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let port = tokio::select! {
        port = written => Ok(port),
        status = process.exited() => Err(format!("it ended at once ({status})")),
        () = tokio::time::sleep(START_DEADLINE) => {
            Err(format!("it opened no port for its driver within {START_DEADLINE:?}"))
        }
    };
    port.map_err(|reason| BrowserError::Start {
        what,
        reason,
        log: options.log.clone(),
    })
}

/// Opens a session with the browser by way of the driver at `url`.
pub(super) async fn attach(
    process: &OwnedProcess,
    url: &str,
    capabilities: Capabilities,
) -> Result<Client, BrowserError> {
    within(process, "attach to the browser", START_DEADLINE, async {
        ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(url)
            .await
            .map_err(|error| BrowserError::from(Box::new(error)))
    })
    .await
}

/// Makes the profile folder if it is missing, and removes files that a killed browser left there.
pub(super) fn remove_files(profile: &Path, names: &[&str]) -> Result<(), BrowserError> {
    let failed = |source| BrowserError::Profile {
        path: profile.to_owned(),
        source,
    };
    std::fs::create_dir_all(profile).map_err(failed)?;
    for name in names {
        match std::fs::remove_file(profile.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(())
}

pub(super) async fn within<T>(
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
