//! What clients that meet in PostgreSQL need: PostgreSQL, the sync service and the backend.

use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall_backend::Backend;
use squall_backend::token::{Secret, Signer};
use squall_owned_process::OwnedProcess;
use tokio::time::Instant;

use crate::exit::Failure;
use crate::output;
use crate::recorder::Recorder;
use crate::system::database;
use crate::system::health_check::wait_until_ready;
use crate::system::leftovers;
use crate::system::options::{EnvironmentOptions, ServiceChoice};
use crate::system::postgres::Postgres;
use crate::system::preflight::{self, Needs};
use crate::system::proxy::Proxy;
use crate::system::service::{self, EmbeddedService, ServiceOptions};

/// How long the service may take to come up again, also if PostgreSQL goes down meanwhile.
const SERVICE_DEADLINE: Duration = Duration::from_secs(60);

/// PostgreSQL and the sync service: what must be stopped with care, no matter how far the start has
/// come.
pub struct Servers {
    postgres: Postgres,
    /// None before it is started, and if it is somebody else's.
    service: Option<EmbeddedService>,
    /// A service that is being started for the first time.
    starting: Mutex<Option<Arc<OwnedProcess>>>,
    /// The names of the embedded service's replication slot and publication, which no other run has.
    /// They must not outlive the run in a database that does.
    slot: String,
    /// Whether the database was made ready for a run, so that there may be something to clean up.
    prepared: bool,
}

/// The ways in for clients.
pub struct Endpoints {
    service: String,
    /// Our own, or what stands in its place.
    backend: String,
    own_backend: Backend,
    /// Where our own listens, as `host:port`.
    own_address: String,
}

impl Endpoints {
    /// The `host:port` of the sync service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The `host:port` of our own backend.
    pub fn backend(&self) -> String {
        self.own_address.clone()
    }
}

/// The fault proxies of a client, or of all tabs of a browser.
pub struct Proxies {
    pub service: Proxy,
    pub backend: Proxy,
}

impl Endpoints {
    /// Fault proxies for what clients run on.
    ///
    /// # Errors
    ///
    /// When there is no port for them.
    pub async fn proxies(&self) -> Result<Proxies, Failure> {
        let no_port = |error| Failure::unavailable("cannot start a fault proxy", error);
        let service = Proxy::start(self.service.clone()).await.map_err(no_port)?;
        let backend = Proxy::start(self.backend.clone()).await.map_err(no_port)?;
        Ok(Proxies { service, backend })
    }

    /// Lets a client in that goes through those proxies, as that user.
    pub fn register(&self, client: &str, user: &str, proxies: &Proxies) {
        self.own_backend
            .register(client, user, proxies.service.url());
    }

    /// Lets pages on that port of this machine in.
    pub fn allow_pages(&self, port: u16) {
        self.own_backend.allow_pages(port);
    }
}

impl Servers {
    /// Starts PostgreSQL, unless there is one already.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start(options: &EnvironmentOptions) -> Result<Servers, Failure> {
        Ok(Servers {
            postgres: Postgres::start(options.database_url.as_deref()).await?,
            service: None,
            starting: Mutex::default(),
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
    ) -> Result<Endpoints, Failure> {
        let needs = Needs {
            embedded: options.service == ServiceChoice::Embedded,
            lock_backend: self.postgres.lock().await?,
        };
        let url = self.postgres.url();
        preflight::check(url, &options.plan, &options.clients, needs).await?;
        database::prepare(url, &options.plan).await?;
        self.prepared = true;
        if !self.postgres.is_ours() {
            leftovers::sweep(url).await?;
        }
        let (secret, service) = match &options.service {
            ServiceChoice::Embedded => {
                let secret = Secret::random();
                let service = ServiceOptions {
                    program: options.program.clone(),
                    folder: options.folder.clone(),
                    database_url: url.to_owned(),
                    secret: secret.clone(),
                    tables: database::tables(&options.plan),
                    slot: self.slot.clone(),
                };
                let service = EmbeddedService::start(service, &self.starting).await?;
                let address = service.address().to_string();
                self.service = Some(service);
                (secret, address)
            }
            ServiceChoice::Remote { address, secret } => (secret.clone(), address.clone()),
        };
        let signer = Signer::new(secret)
            .map_err(|error| Failure::Usage(format!("--service-key: {error}")))?;
        wait_until_ready(&service, &signer, options.first_sync_deadline, |what| {
            output::eprintln(what);
        })
        .await?;
        let recorder = recorder.clone();
        let no_backend =
            |error: &dyn Display| Failure::unavailable("cannot start the backend", error);
        let backend = Backend::new(squall_backend::Options {
            database_url: url.to_owned(),
            workload: squall_workloads::workload(options.plan.workload, options.plan.payload),
            signer: Arc::new(signer),
            connections: preflight::pool_size(&options.clients),
            down: self.postgres.down(),
            on_trouble: Arc::new(move |what| recorder.trouble(what)),
        })
        .map_err(|error| no_backend(&error))?;
        let address = backend.listen(options.backend.port).await;
        let address = address.map_err(|error| no_backend(&error))?.to_string();
        Ok(Endpoints {
            service,
            backend: options
                .backend
                .address
                .clone()
                .unwrap_or_else(|| address.clone()),
            own_backend: backend,
            own_address: address,
        })
    }

    /// PostgreSQL.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// The sync service, if it is our own.
    pub fn service(&self) -> Option<&EmbeddedService> {
        self.service.as_ref()
    }

    /// Starts our own service again after it was killed, once there is a PostgreSQL.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_service_again(&self) -> Result<(), Failure> {
        let service = self.service.as_ref();
        let service = service
            .ok_or_else(|| Failure::Unavailable("the service is not squall's own".to_owned()))?;
        let mut deadline = None;
        let mut down = self.postgres.down();
        loop {
            let _ = down.wait_for(|down| !down).await;
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + SERVICE_DEADLINE);
            match service.start_again().await {
                // Without PostgreSQL it gives up; whoever runs a service starts it again.
                Err(_) if down.has_changed().unwrap_or(false) && Instant::now() < deadline => {}
                outcome => return outcome,
            }
        }
    }

    /// Watches the service and PostgreSQL, and says which of them ended although nobody wanted it.
    /// Never returns while they live.
    pub async fn collapsed(&self) -> String {
        let service = async {
            match &self.service {
                Some(service) => service.collapsed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            what = service => what,
            what = self.postgres.collapsed() => what,
        }
    }

    /// Stops everything. Clients should have been stopped before.
    pub async fn stop(self) {
        if let Some(service) = self.service {
            service.stop().await;
        }
        let starting = self.starting.into_inner().expect("no one panics here");
        if let Some(process) = starting {
            service::stop(&process).await;
        }
        if !self.postgres.is_ours()
            && self.prepared
            && let Err(error) = leftovers::clean_up(self.postgres.url(), &self.slot).await
        {
            output::eprintln(error);
        }
        self.postgres.stop().await;
    }
}
