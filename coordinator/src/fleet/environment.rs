//! Everything around the clients: what their data lives in (PostgreSQL with the sync service and the
//! backend, or just a file), the fault proxies, and the web server that clients get their pages and
//! their orders from. A storm and the demo stand on the same ground.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use squall_protocol::contract::ClientConfig;
use squall_protocol::plan::{ClientKind, ClientSpec, PlanOptions};
use squall_workloads::{Compiler, Table, sqlite, workload};
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::fleet::link::Link;
use crate::fleet::pages::{self, Pages};
use crate::fleet::program::Program;
use crate::plan;
use crate::plan::kinds::manifest;
use crate::recorder::Recorder;
use crate::system::health_check;
use crate::system::javascript;
use crate::system::options::EnvironmentOptions;
use crate::system::proxy::NetworkCondition;
use crate::system::servers::{Endpoints, Proxies, Servers};

/// The pause before a client tries a failed upload or a lost stream again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The deadline of a client's requests.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// Two keepalive lines and their jitter: a stream that is silent for longer is dead.
const STREAM_IDLE_DEADLINE: Duration = Duration::from_secs(45);

/// What the clients of a run have around them.
pub struct Environment {
    options: EnvironmentOptions,
    /// None if no client of the fleet needs any.
    servers: Option<Servers>,
    pages: Pages,
    clients: BTreeMap<String, ClientEnvironment>,
    /// Where clients can go, if there are servers.
    endpoints: Option<Endpoints>,
}

/// What belongs to one client: its control link and its fault proxies.
pub struct ClientEnvironment {
    pub link: Link,
    /// None for a client without connections. Tabs of one browser have the same: the network is the device's.
    proxies: Option<Arc<Proxies>>,
}

impl ClientEnvironment {
    /// Changes the condition of the network to the service and to the backend.
    pub fn set_network(&self, service: NetworkCondition, backend: NetworkCondition) {
        if let Some(proxies) = &self.proxies {
            proxies.service.set(service);
            proxies.backend.set(backend);
        }
    }

    /// The proxies, if the client has connections.
    pub fn proxies(&self) -> Option<&Proxies> {
        self.proxies.as_deref()
    }
}

impl Environment {
    /// Starts everything, in the order in which it depends on each other.
    ///
    /// # Errors
    ///
    /// The first thing that would not start, and what to do about it. What had been started is
    /// stopped, as it is when `interrupted` is cancelled meanwhile; then there is no environment.
    pub async fn start(
        options: EnvironmentOptions,
        recorder: &Recorder,
        interrupted: &CancellationToken,
    ) -> Result<Option<Environment>, Failure> {
        let mut kinds = options.clients.iter().map(|client| client.kind);
        let starting = async {
            match kinds.any(ClientKind::meets_in_postgres) {
                true => Servers::start(&options).await.map(Some),
                false => Ok(None),
            }
        };
        let Some(servers) = interrupted.run_until_cancelled(starting).await else {
            return Ok(None);
        };
        let mut servers = servers?;
        let provisioning = provision(servers.as_mut(), &options, recorder);
        let provisioned = interrupted.run_until_cancelled(provisioning).await;
        if let Some(Ok((pages, clients, endpoints))) = provisioned {
            return Ok(Some(Environment {
                options,
                servers,
                pages,
                clients,
                endpoints,
            }));
        }
        if let Some(servers) = servers {
            servers.stop().await;
        }
        match provisioned {
            Some(Err(failure)) => Err(failure),
            _ => Ok(None),
        }
    }

    /// What belongs to the client of that name.
    ///
    /// # Panics
    ///
    /// When the environment was not made for such a client.
    pub fn client(&self, client: &str) -> &ClientEnvironment {
        &self.clients[client]
    }

    /// Whether the proxies in front of the backend reset each connection on which an upload is acknowledged.
    pub fn drop_acknowledgements(&self, drops: bool) {
        for proxies in self.clients.values().filter_map(ClientEnvironment::proxies) {
            proxies.backend.drop_acknowledgements(drops);
        }
    }

    /// Where PostgreSQL is, if there is one.
    pub fn database_url(&self) -> Option<&str> {
        Some(self.servers.as_ref()?.postgres().url())
    }

    /// The database file of a client that has one.
    ///
    /// # Errors
    ///
    /// When its folder cannot be made.
    pub fn database_file(&self, client: &ClientSpec) -> std::io::Result<PathBuf> {
        database_file(&self.options, client)
    }

    /// The program of a client that is a process.
    ///
    /// # Errors
    ///
    /// When a command cannot be read.
    pub fn client_program(&self, client: &ClientSpec) -> std::io::Result<Program> {
        match client.kind {
            ClientKind::External(_) => {
                let command = &self.options.programs[client.kind_name()];
                Program::parse(command).map_err(std::io::Error::other)
            }
            kind => {
                let shell = manifest(kind).shell();
                Ok(Program::own(self.program(), kind.name(), shell.as_deref()))
            }
        }
    }

    /// The web server.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// The folder for files of that kind, made if missing.
    pub fn folder(&self, kind: &str) -> std::io::Result<PathBuf> {
        folder(&self.options, kind)
    }

    /// Whether the plan has faults of that kind.
    pub fn can_cause(&self, fault: &str) -> bool {
        self.options.plan.faults.iter().any(|name| name == fault)
    }

    /// PostgreSQL, the sync service and the backend, if any client needs them.
    pub fn servers(&self) -> Option<&Servers> {
        self.servers.as_ref()
    }

    /// Where the sync service is, as `host:port`, if there is one.
    pub fn service(&self) -> Option<&str> {
        self.endpoints.as_ref().map(Endpoints::service)
    }

    /// Where our own backend is, as `host:port`, if there is one.
    pub fn backend(&self) -> Option<String> {
        self.endpoints.as_ref().map(Endpoints::backend)
    }

    /// The program that clients and the service are processes of.
    pub fn program(&self) -> &Path {
        &self.options.program
    }

    /// How long the first sync may go without progress.
    pub fn first_sync_deadline(&self) -> Duration {
        self.options.first_sync_deadline
    }

    /// Why the sync service does not answer a request that goes past the fault proxies, if it does not.
    pub async fn service_is_silent(&self) -> Option<String> {
        let silence = health_check::silence(self.service()?).await?;
        Some(silence.to_string())
    }

    /// Watches the servers, and says which of them ended although nobody wanted it. Never returns
    /// while they live.
    pub async fn collapsed(&self) -> String {
        match &self.servers {
            Some(servers) => servers.collapsed().await,
            None => std::future::pending().await,
        }
    }

    /// Stops everything. Clients should have been stopped before.
    pub async fn stop(self) {
        if let Some(servers) = self.servers {
            servers.stop().await;
        }
    }
}

/// Makes everything that clients find when they come.
async fn provision(
    servers: Option<&mut Servers>,
    options: &EnvironmentOptions,
    recorder: &Recorder,
) -> Result<
    (
        Pages,
        BTreeMap<String, ClientEnvironment>,
        Option<Endpoints>,
    ),
    Failure,
> {
    let endpoints = match servers {
        Some(servers) => Some(servers.open(options, recorder).await?),
        None => None,
    };
    let mut clients = BTreeMap::new();
    let mut by_device: BTreeMap<&str, Arc<Proxies>> = BTreeMap::new();
    for client in &options.clients {
        let device = client.device();
        let proxies = match (&endpoints, by_device.get(device)) {
            (None, _) => None,
            (Some(_), Some(proxies)) => Some(Arc::clone(proxies)),
            (Some(endpoints), None) => Some(Arc::new(endpoints.proxies().await?)),
        };
        if let (Some(endpoints), Some(proxies)) = (&endpoints, &proxies) {
            endpoints.register(&client.name, device, proxies);
            by_device.insert(device, Arc::clone(proxies));
        }
        let compiler = compiler(&options.plan, client);
        let config = config(options, client, &compiler, proxies.as_deref());
        let watches = plan::watches(&options.plan, client.kind);
        clients.insert(
            client.name.clone(),
            ClientEnvironment {
                link: Link::new(config, compiler, watches, recorder.clone()),
                proxies,
            },
        );
    }
    let sharing = |client: &&ClientSpec| client.kind.shares_a_file();
    if let Some(client) = options.clients.iter().find(sharing) {
        let unavailable =
            |error: String| Failure::unavailable("cannot make the shared file", error);
        let file =
            database_file(options, client).map_err(|error| unavailable(error.to_string()))?;
        let tables = workload(options.plan.workload, options.plan.payload);
        let config = config(options, client, &compiler(&options.plan, client), None);
        squall_client_native::create_shared_file(&file, &sqlite::tables(tables), &config)
            .map_err(unavailable)?;
    }
    let links = clients
        .iter()
        .map(|(name, client)| (name.clone(), client.link.clone()))
        .collect();
    let pages = Pages::start(
        pages::switchboard(links),
        pages::bundle_beside(&options.program),
        javascript::clients_beside(&options.program),
    )
    .await?;
    if let Some(endpoints) = &endpoints {
        endpoints.allow_pages(pages.port());
    }
    Ok((pages, clients, endpoints))
}

/// Speaks of the workload with that client.
fn compiler(plan: &PlanOptions, client: &ClientSpec) -> Compiler {
    Compiler::new(
        plan.workload,
        plan.payload,
        plan.keys,
        &client.name,
        client.kind.dialect(),
    )
}

/// What a client is told.
fn config(
    options: &EnvironmentOptions,
    client: &ClientSpec,
    compiler: &Compiler,
    proxies: Option<&Proxies>,
) -> ClientConfig {
    ClientConfig {
        client: client.name.clone(),
        tables: compiler.tables().iter().map(Table::schema).collect(),
        statements: compiler.statements(),
        new_database: compiler.first_rows(),
        new_connection: compiler.new_connection(),
        isolation: options.plan.isolation,
        uploader: options.plan.uploader,
        sdk: options.plan.sdk.clone(),
        backend_url: proxies.map_or_else(String::new, |proxies| proxies.backend.url()),
        retry_delay_ms: RETRY_DELAY.as_millis() as u64,
        request_deadline_ms: REQUEST_DEADLINE.as_millis() as u64,
        stream_idle_deadline_ms: STREAM_IDLE_DEADLINE.as_millis() as u64,
    }
}

fn database_file(options: &EnvironmentOptions, client: &ClientSpec) -> std::io::Result<PathBuf> {
    let name = match client.kind.shares_a_file() {
        true => "shared",
        false => &client.name,
    };
    Ok(folder(options, "databases")?.join(format!("{name}.sqlite")))
}

fn folder(options: &EnvironmentOptions, kind: &str) -> std::io::Result<PathBuf> {
    let folder = options.folder.join(kind);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
