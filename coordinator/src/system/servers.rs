//! What clients that meet in PostgreSQL need: PostgreSQL, the sync service and the backend.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use squall_throwaway_postgres::Cluster;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::exit::Failure;
use crate::output;
use crate::run::recorder::Recorder;
use crate::system::backend::Backend;
use crate::system::database;
use crate::system::environment::{EnvironmentOptions, ServiceChoice};
use crate::system::greeting::greet;
use crate::system::leftovers;
use crate::system::lock::DatabaseLock;
use crate::system::preflight::{self, Needs};
use crate::system::process::OwnedProcess;
use crate::system::proxy::Proxy;
use crate::system::token::{Secret, Signer};

/// The service makes its first snapshot before it listens.
const SERVICE_START_DEADLINE: Duration = Duration::from_secs(60);

/// How long our own PostgreSQL may take to end once it has closed its connections.
const ENDING_DEADLINE: Duration = Duration::from_secs(1);
const POSTGRES_ENDED: &str = "PostgreSQL ended on its own";

/// PostgreSQL and the sync service: what must be stopped with care, no matter how far the start has
/// come.
pub struct Servers {
    cluster: Option<Cluster>,
    database_url: String,
    /// None before anything is opened.
    lock: Option<DatabaseLock>,
    service: Option<OwnedProcess>,
    /// The names of the embedded service's replication slot and publication, which no other run has.
    /// They must not outlive the run in a database that does.
    slot: String,
    /// Whether the database was made ready for a run, so that there may be something to clean up.
    prepared: bool,
    folder: PathBuf,
}

/// The ways in for clients.
pub struct Doors {
    service: String,
    /// Our own, or what stands in its place.
    backend: String,
    credentials: Backend,
}

impl Doors {
    /// The `host:port` of the sync service.
    pub fn service(&self) -> &str {
        &self.service
    }
}

/// A client's own fault proxies.
pub struct Proxies {
    pub service: Proxy,
    pub backend: Proxy,
}

impl Doors {
    /// Fault proxies for that client, which may come in from now on.
    ///
    /// # Errors
    ///
    /// When there is no port for them.
    pub async fn open_for(&self, client: &str) -> Result<Proxies, Failure> {
        let no_port = |error| Failure::unavailable("cannot start a fault proxy", error);
        let service = Proxy::start(self.service.clone()).await.map_err(no_port)?;
        let backend = Proxy::start(self.backend.clone()).await.map_err(no_port)?;
        self.credentials.admit(client, service.url());
        Ok(Proxies { service, backend })
    }

    /// Lets pages on that port of this machine in.
    pub fn admit_pages(&self, port: u16) {
        self.credentials.admit_pages(port);
    }
}

impl Servers {
    /// Starts PostgreSQL, unless there is one already.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start(options: &EnvironmentOptions) -> Result<Servers, Failure> {
        let (cluster, database_url) = match &options.database_url {
            Some(url) => (None, url.clone()),
            None => {
                let cluster = Cluster::start(squall_throwaway_postgres::Options::default())
                    .await
                    .map_err(|error| Failure::unavailable("cannot start PostgreSQL", error))?;
                let url = cluster.url();
                (Some(cluster), url)
            }
        };
        Ok(Servers {
            cluster,
            database_url,
            lock: None,
            service: None,
            folder: options.folder.clone(),
            slot: leftovers::unique_name(),
            prepared: false,
        })
    }

    /// Makes the tables, and starts everything that stands on them.
    ///
    /// # Errors
    ///
    /// The first thing that would not start, and what to do about it.
    pub async fn open(
        &mut self,
        options: &EnvironmentOptions,
        recorder: &Recorder,
    ) -> Result<Doors, Failure> {
        let lock = DatabaseLock::take(&self.database_url).await?;
        let needs = Needs {
            embedded: options.service == ServiceChoice::Embedded,
            lock_backend: lock.backend(),
        };
        self.lock = Some(lock);
        preflight::check(&self.database_url, &options.plan, &options.clients, needs).await?;
        database::prepare(&self.database_url, &options.plan).await?;
        self.prepared = true;
        if self.cluster.is_none() {
            leftovers::sweep(&self.database_url).await?;
        }
        let (secret, service) = match &options.service {
            ServiceChoice::Embedded => {
                let secret = Secret::random();
                let address = self.start_service(options, &secret).await?;
                (secret, address)
            }
            ServiceChoice::Remote { address, secret } => (secret.clone(), address.clone()),
        };
        let signer = Signer::new(secret)
            .map_err(|error| Failure::Usage(format!("--service-key: {error}")))?;
        greet(&service, &signer, options.first_sync_deadline, |what| {
            output::eprintln(what);
        })
        .await?;
        let backend = Backend::start(
            &self.database_url,
            squall_workloads::workload(options.plan.workload, options.plan.payload),
            Arc::new(signer),
            options.backend.port,
            preflight::pool_size(&options.clients),
            recorder.clone(),
        )
        .await?;
        Ok(Doors {
            service,
            backend: options
                .backend
                .address
                .clone()
                .unwrap_or_else(|| backend.address()),
            credentials: backend,
        })
    }

    /// Where PostgreSQL is.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Starts `squall serve` and waits until it says where it listens.
    async fn start_service(
        &mut self,
        options: &EnvironmentOptions,
        secret: &Secret,
    ) -> Result<String, Failure> {
        let starting = "cannot start the sync service";
        let unavailable = |error| Failure::unavailable(starting, error);
        let log = service_log(&options.folder);
        for folder in ["logs", "service"] {
            std::fs::create_dir_all(options.folder.join(folder)).map_err(unavailable)?;
        }
        let mut command = Command::new(std::env::current_exe().map_err(unavailable)?);
        command
            .arg("serve")
            .args([
                "--storage".as_ref(),
                options.folder.join("service/storage.sqlite").as_os_str(),
            ])
            .args(["--tables", &database::tables(&options.plan).join(",")])
            .args(["--kid", &secret.kid, "--audience", &secret.audience])
            .args(["--publication", &self.slot, "--slot", &self.slot])
            // Secrets do not belong on a command line, where every process can read them.
            .env("SQUALL_DATABASE_URL", &self.database_url)
            .env("SQUALL_SERVICE_KEY", &secret.key)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::fs::File::create(&log).map_err(unavailable)?);
        let (process, stdout) = OwnedProcess::spawn(command).await.map_err(unavailable)?;
        // From here on it may have made its slot.
        self.service = Some(process);
        let mut lines = BufReader::new(stdout.expect("standard output is piped")).lines();
        let first_line = tokio::time::timeout(SERVICE_START_DEADLINE, lines.next_line()).await;
        let address = match first_line {
            Ok(Ok(Some(line))) => line
                .strip_prefix("listening on ")
                .and_then(|address| address.parse::<SocketAddr>().ok()),
            _ => None,
        };
        let Some(address) = address else {
            let last = last_line(&log).unwrap_or_else(|| "it said nothing".to_owned());
            return Err(Failure::unavailable(
                starting,
                format!("{last} (all of it is in {})", log.display()),
            ));
        };
        Ok(address.to_string())
    }

    /// Watches the service and PostgreSQL, and says which of them ended although nobody wanted it.
    /// Never returns while they live.
    pub async fn collapsed(&self) -> String {
        let service = async {
            match &self.service {
                Some(service) => {
                    let status = service.exited().await;
                    let log = service_log(&self.folder);
                    let last = last_line(&log).unwrap_or_else(|| "nothing".to_owned());
                    format!(
                        "the sync service ended on its own ({status}); the last it said in {} is: {last}",
                        log.display()
                    )
                }
                None => std::future::pending().await,
            }
        };
        let postgres = async {
            loop {
                tokio::time::sleep(Duration::from_millis(250)).await;
                if self.cluster.as_ref().is_some_and(|c| !c.is_running()) {
                    return POSTGRES_ENDED.to_owned();
                }
            }
        };
        let lock = async {
            match &self.lock {
                Some(lock) => lock.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            what = service => what,
            what = postgres => what,
            what = lock => {
                // A server that ends takes the lock along, and says less about it.
                let ended = async {
                    while self.cluster.as_ref().is_none_or(Cluster::is_running) {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                };
                match tokio::time::timeout(ENDING_DEADLINE, ended).await {
                    Ok(()) => POSTGRES_ENDED.to_owned(),
                    Err(_) => what,
                }
            }
        }
    }

    /// Stops everything. Clients should have been stopped before.
    pub async fn stop(mut self) {
        if let Some(service) = &self.service {
            service.signal(libc::SIGTERM);
            if let Err(error) = service.end_within(Duration::from_secs(5)).await {
                tracing::warn!("{error}");
            }
        }
        if self.cluster.is_none()
            && self.prepared
            && let Err(error) = leftovers::clean_up(&self.database_url, &self.slot).await
        {
            output::eprintln(error);
        }
        if let Some(lock) = self.lock.take() {
            lock.release().await;
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.stop().await;
        }
    }
}

fn last_line(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    Some(text.lines().last()?.to_owned())
}

fn service_log(folder: &Path) -> PathBuf {
    folder.join("logs").join("service.log")
}
