//! Everything around the clients: PostgreSQL, the sync service, the backend, the fault proxies, and
//! the web server that clients get their pages and their orders from. A storm and the demo stand on
//! the same ground.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use squall_protocol::control::ClientConfig;
use squall_protocol::plan::{ClientSpec, PlanOptions};
use squall_throwaway_postgres::Cluster;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::backend::Backend;
use crate::database;
use crate::exit::Failure;
use crate::link::Link;
use crate::pages::{self, Pages};
use crate::plan;
use crate::process::OwnedProcess;
use crate::proxy::{Proxy, Weather};
use crate::recorder::Recorder;
use crate::token::{Secret, Signer};

/// The pause before a client tries a failed upload or a lost stream again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The deadline of a client's requests.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// Two keepalive lines and their jitter: a stream that is silent for longer is dead.
const STREAM_IDLE_DEADLINE: Duration = Duration::from_secs(45);
/// The service makes its first snapshot before it listens.
const SERVICE_START_DEADLINE: Duration = Duration::from_secs(60);

/// How long the service may take to answer one request at the start.
const GREETING_DEADLINE: Duration = Duration::from_secs(10);

/// Which sync service clients are pointed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceChoice {
    /// Our own, as a child process.
    Embedded,
    /// A real PowerSync service that is already there.
    Remote {
        /// `host:port`.
        address: String,
        secret: Secret,
    },
}

/// Which backend clients upload to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendChoice {
    /// The port of our own backend; 0 means a free one. It always runs: it hands out credentials.
    pub port: u16,
    /// `host:port` of what clients are led to instead of our own. It speaks the same API
    /// ([`squall_protocol::backend`]) and asks our own for credentials.
    pub address: Option<String>,
}

/// What the environment is made for.
#[derive(Clone, Debug)]
pub struct EnvironmentOptions {
    /// What the plan was made from: the database and the clients need to know much of it.
    pub plan: PlanOptions,
    pub clients: Vec<ClientSpec>,
    /// A PostgreSQL that is already there; otherwise a throw-away one is started.
    pub database_url: Option<String>,
    pub service: ServiceChoice,
    pub backend: BackendChoice,
    /// Where the files of this run go.
    pub folder: PathBuf,
}

/// The ground that clients stand on.
pub struct Environment {
    options: EnvironmentOptions,
    servers: Servers,
    pages: Pages,
    places: BTreeMap<String, Place>,
}

/// What must be stopped with care, no matter how far the start has come.
struct Servers {
    cluster: Option<Cluster>,
    database_url: String,
    service: Option<OwnedProcess>,
    /// The embedded service's replication slot. It must not outlive the run in a database that does.
    slot: String,
}

/// What belongs to one client: its control link and its two fault proxies.
pub struct Place {
    pub link: Link,
    service: Proxy,
    backend: Proxy,
}

impl Place {
    /// Changes the weather on the way to the service and to the backend.
    pub fn set_weather(&self, service: Weather, backend: Weather) {
        self.service.set(service);
        self.backend.set(backend);
    }
}

impl Environment {
    /// Starts everything, in the order in which it depends on each other.
    ///
    /// # Errors
    ///
    /// The first thing that would not start, and what to do about it. What had been started is
    /// stopped.
    pub async fn start(
        options: EnvironmentOptions,
        recorder: &Recorder,
    ) -> Result<Environment, Failure> {
        let mut servers = Servers::start_database(&options).await?;
        match furnish(&mut servers, &options, recorder).await {
            Ok((pages, places)) => Ok(Environment {
                options,
                servers,
                pages,
                places,
            }),
            Err(failure) => {
                servers.stop().await;
                Err(failure)
            }
        }
    }

    /// What belongs to the client of that name.
    ///
    /// # Panics
    ///
    /// When the environment was not made for such a client.
    pub fn place(&self, client: &str) -> &Place {
        &self.places[client]
    }

    /// Where PostgreSQL is.
    pub fn database_url(&self) -> &str {
        &self.servers.database_url
    }

    /// The web server.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// The folder for files of that kind, made if missing.
    pub fn folder(&self, kind: &str) -> std::io::Result<PathBuf> {
        let folder = self.options.folder.join(kind);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Watches the service and PostgreSQL, and says which of them ended although nobody wanted it.
    /// Never returns while they live.
    pub async fn collapsed(&self) -> String {
        let service = async {
            match &self.servers.service {
                Some(service) => {
                    let status = service.exited().await;
                    let log = service_log(&self.options.folder);
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
                if self
                    .servers
                    .cluster
                    .as_ref()
                    .is_some_and(|c| !c.is_running())
                {
                    return "PostgreSQL ended on its own".to_owned();
                }
            }
        };
        tokio::select! {
            what = service => what,
            what = postgres => what,
        }
    }

    /// Stops everything. Clients should have been stopped before.
    pub async fn stop(self) {
        self.servers.stop().await;
    }
}

impl Servers {
    async fn start_database(options: &EnvironmentOptions) -> Result<Servers, Failure> {
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
            service: None,
            slot: format!("squall_{}", uuid::Uuid::new_v4().simple()),
        })
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
            .args(["--publication", "squall", "--slot", &self.slot])
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

    async fn stop(mut self) {
        if let Some(service) = &self.service {
            service.signal(libc::SIGTERM);
            if let Err(error) = service.end_within(Duration::from_secs(5)).await {
                tracing::warn!("{error}");
            }
        }
        match &mut self.cluster {
            Some(cluster) => cluster.stop().await,
            None if self.service.is_some() => self.drop_slot().await,
            None => {}
        }
    }

    /// A slot that nobody reads makes PostgreSQL keep its write-ahead log for ever.
    async fn drop_slot(&self) {
        let dropped = async {
            let database = database::connect(&self.database_url)
                .await
                .map_err(|error| error.to_string())?;
            // A service that would not start may not have made it.
            let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
                        WHERE slot_name = $1";
            database
                .execute(drop, &[&self.slot])
                .await
                .map_err(|error| database::describe(&error))
        };
        if let Err(error) = dropped.await {
            eprintln!(
                "the replication slot {} could not be dropped ({error}); do it by hand: SELECT pg_drop_replication_slot('{}')",
                self.slot, self.slot
            );
        }
    }
}

/// Starts everything that stands on the database.
async fn furnish(
    servers: &mut Servers,
    options: &EnvironmentOptions,
    recorder: &Recorder,
) -> Result<(Pages, BTreeMap<String, Place>), Failure> {
    database::prepare(&servers.database_url, &options.plan).await?;
    let (secret, service_address) = match &options.service {
        ServiceChoice::Embedded => {
            let secret = Secret::random();
            let address = servers.start_service(options, &secret).await?;
            (secret, address)
        }
        ServiceChoice::Remote { address, secret } => (secret.clone(), address.clone()),
    };
    let signer =
        Signer::new(secret).map_err(|error| Failure::Usage(format!("--service-key: {error}")))?;
    greet(&service_address, &signer).await?;
    let backend = Backend::start(
        &servers.database_url,
        squall_workloads::definition(options.plan.workload, options.plan.payload),
        Arc::new(signer),
        options.backend.port,
    )
    .await?;
    let backend_address = options.backend.address.clone();
    let backend_address = backend_address.unwrap_or_else(|| backend.address());
    let mut places = BTreeMap::new();
    for client in &options.clients {
        let no_port = |error| Failure::unavailable("cannot start a fault proxy", error);
        let place_service = Proxy::start(service_address.clone())
            .await
            .map_err(no_port)?;
        let place_backend = Proxy::start(backend_address.clone())
            .await
            .map_err(no_port)?;
        backend.admit(&client.name, place_service.url());
        let config = ClientConfig {
            client: client.name.clone(),
            workload: options.plan.workload,
            keys: options.plan.keys,
            payload: options.plan.payload,
            watch: plan::watches(&options.plan, client.kind),
            isolation: options.plan.isolation,
            uploader: options.plan.uploader,
            backend_url: place_backend.url(),
            retry_delay_ms: RETRY_DELAY.as_millis() as u64,
            request_deadline_ms: REQUEST_DEADLINE.as_millis() as u64,
            stream_idle_deadline_ms: STREAM_IDLE_DEADLINE.as_millis() as u64,
        };
        let place = Place {
            link: Link::new(config, recorder.clone()),
            service: place_service,
            backend: place_backend,
        };
        places.insert(client.name.clone(), place);
    }
    let links = places
        .iter()
        .map(|(name, place)| (name.clone(), place.link.clone()))
        .collect();
    let pages = Pages::start(links, pages::bundle()).await?;
    Ok((pages, places))
}

fn last_line(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    Some(text.lines().last()?.to_owned())
}

fn service_log(folder: &Path) -> PathBuf {
    folder.join("logs").join("service.log")
}

/// Asks the service for something that only a good token gets: whatever is wrong with its address or
/// its key is better told now than by every client.
async fn greet(service_address: &str, signer: &Signer) -> Result<(), Failure> {
    let unreachable = |error: reqwest::Error| {
        Failure::Unavailable(format!(
            "the sync service at {service_address} does not answer ({error}); check --service-url and that it runs"
        ))
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(GREETING_DEADLINE)
        .build()
        .map_err(unreachable)?;
    let (token, _) = signer.token("squall");
    let answer = client
        .get(format!(
            "http://{service_address}/write-checkpoint2.json?client_id=squall"
        ))
        .header("Authorization", format!("Token {token}"))
        .send()
        .await
        .map_err(unreachable)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = answer.text().await.unwrap_or_default();
    Err(Failure::Unavailable(format!(
        "the sync service at {service_address} refuses squall's token ({status}: {text}); check --service-key, --service-kid and --service-audience"
    )))
}
