//! What clients find around them: where they connect, and, if they need it, PostgreSQL, the sync service and
//! the backend.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::ws::WebSocket;
use futures_util::FutureExt;
use squall_protocol::contract::{ClientConfig, Hello};
use squall_protocol::history::{HISTORY_VERSION, Header};
use squall_protocol::plan::{ClientKind, ClientSpec, Isolation, Uploader};
use squall_protocol::sql::Dialect;
use squall_workloads::{Compiler, Table, sqlite, workload};
use tokio::sync::{mpsc, oneshot};

use super::problem::Problem;
use super::statements;
use crate::exit::Failure;
use crate::fleet::browser::Driver;
use crate::fleet::pages::{self, Conversation, Pages};
use crate::fleet::program::Program;
use crate::plan::kinds::manifest;
use crate::recorder::Recorder;
use crate::run::judge;
use crate::system::javascript;
use crate::system::options::{
    BackendChoice, EnvironmentOptions, FIRST_SYNC_DEADLINE, ServiceChoice, own_program,
};
use crate::system::servers::{Endpoints, Proxies, Servers};

/// How a client is started.
pub(super) enum Launch {
    Process(Program),
    /// A client in a page of a browser.
    Tab(ClientKind),
}

/// A control connection that a client has opened. It lasts as long as the other end is held.
pub(super) struct Opened {
    pub socket: WebSocket,
    _held: oneshot::Sender<()>,
}

type Waiting = Arc<Mutex<BTreeMap<String, mpsc::UnboundedSender<Opened>>>>;

pub(super) struct Surroundings {
    pub launch: Launch,
    /// How long a client may take for each answer.
    pub deadline: Duration,
    pub pages: Pages,
    pub driver: Option<Driver>,
    /// Where the connections of each client go.
    waiting: Waiting,
    folder: tempfile::TempDir,
    recorder: Recorder,
    hello: Option<Hello>,
    servers: Option<(Servers, Endpoints)>,
    clients: Cell<usize>,
    /// Where every message is written.
    messages: Option<File>,
}

impl Surroundings {
    pub(super) async fn start(launch: Launch, deadline: Duration) -> Result<Surroundings, Failure> {
        let unavailable = |error: std::io::Error| {
            Failure::unavailable("cannot make a folder for the clients", error)
        };
        let folder = tempfile::tempdir().map_err(unavailable)?;
        for name in ["logs", "databases", "profiles"] {
            std::fs::create_dir(folder.path().join(name)).map_err(unavailable)?;
        }
        let options = statements::plan_options();
        let header = Header {
            squall_history: HISTORY_VERSION,
            seed: 0,
            workload: options.workload,
            keys: options.keys,
            payload: options.payload,
            isolation: Isolation::default(),
            clients: Vec::new(),
            recovery_deadline_ms: 0,
            started_at_ms: 0,
        };
        let recorder = Recorder::create(&folder.path().join(judge::HISTORY), &header, false)
            .map_err(unavailable)?;
        let waiting = Waiting::default();
        let clients = Arc::clone(&waiting);
        let switchboard = Arc::new(move |name: &str| {
            let client = clients
                .lock()
                .expect("no one panics here")
                .get(name)?
                .clone();
            let hand_over = move |socket| {
                async move {
                    let (held, released) = oneshot::channel();
                    let opened = Opened {
                        socket,
                        _held: held,
                    };
                    if client.send(opened).is_ok() {
                        let _ = released.await;
                    }
                }
                .boxed()
            };
            Some(Box::new(hand_over) as Conversation)
        });
        let pages = Pages::start(
            switchboard,
            pages::bundle(),
            javascript::clients_beside(&own_program()?),
        )
        .await?;
        let driver = match launch {
            Launch::Process(_) => None,
            Launch::Tab(kind) => {
                let mut folders = manifest(kind).needs.iter().filter_map(|need| need.folder());
                match folders.next_back() {
                    Some(folder) => {
                        javascript::folder(&own_program()?, folder)
                            .map_err(Failure::Unavailable)?;
                    }
                    None => pages.check_bundle()?,
                }
                let driver = Driver::new(&folder.path().join("logs"));
                Some(driver.map_err(|e| Failure::unavailable("cannot start browsers", e))?)
            }
        };
        Ok(Surroundings {
            launch,
            deadline,
            pages,
            driver,
            waiting,
            folder,
            recorder,
            hello: None,
            servers: None,
            clients: Cell::new(0),
            messages: None,
        })
    }

    /// Writes every message into that file from now on.
    pub(super) fn write_messages(&mut self, file: &Path) -> Result<(), Failure> {
        let cannot =
            |error| Failure::unavailable(format!("cannot write {}", file.display()), error);
        self.messages = Some(File::create(file).map_err(cannot)?);
        Ok(())
    }

    /// Writes a message, if that is wanted.
    pub(super) fn note(&self, direction: &str, client: &str, message: &str) -> Result<(), Failure> {
        let Some(mut file) = self.messages.as_ref() else {
            return Ok(());
        };
        let line = format!("{{\"{direction}\":\"{client}\",\"message\":{message}}}\n");
        let written = file.write_all(line.as_bytes());
        written.map_err(|error| Failure::unavailable("cannot write the messages", error))
    }

    /// Gets what a client that says this of itself needs.
    pub(super) async fn introduce(&mut self, hello: Hello) -> Result<(), Failure> {
        if hello.capabilities.syncs || hello.dialect == Dialect::Postgres {
            let kind = match hello.dialect {
                Dialect::Sqlite => ClientKind::Native,
                Dialect::Postgres => ClientKind::Postgres,
            };
            let client = ClientSpec::new("conform-1", kind);
            let options = EnvironmentOptions {
                plan: statements::plan_options(),
                clients: vec![client],
                programs: BTreeMap::new(),
                program: own_program()?,
                database_url: None,
                service: ServiceChoice::Embedded,
                backend: BackendChoice::default(),
                first_sync_deadline: FIRST_SYNC_DEADLINE,
                folder: self.folder.path().to_owned(),
            };
            let mut servers = Servers::start(&options).await?;
            match servers.open(&options, &self.recorder).await {
                Ok(endpoints) => {
                    endpoints.allow_pages(self.pages.port());
                    self.servers = Some((servers, endpoints));
                }
                Err(failure) => {
                    servers.stop().await;
                    return Err(failure);
                }
            }
        }
        self.hello = Some(hello);
        Ok(())
    }

    pub(super) async fn stop(self) {
        if let Some((servers, _)) = self.servers {
            servers.stop().await;
        }
        if let Some(driver) = self.driver
            && let Err(error) = driver.stop().await
        {
            tracing::warn!("{error}");
        }
    }

    /// What the client said that it is.
    ///
    /// # Panics
    ///
    /// Before it has said so.
    pub(super) fn hello(&self) -> &Hello {
        self.hello.as_ref().expect("hello is the first check")
    }

    /// Whether hello has been said.
    pub(super) fn is_introduced(&self) -> bool {
        self.hello.is_some()
    }

    /// Whether each client has a database of its own, which it makes itself.
    pub(super) fn own_databases(&self) -> bool {
        self.hello().dialect == Dialect::Sqlite && !self.hello().capabilities.shares_a_file
    }

    /// Whether the client is in a page.
    pub(super) fn is_tab(&self) -> bool {
        matches!(self.launch, Launch::Tab(_))
    }

    /// The number of a client that there has not been.
    pub(super) fn new_number(&self) -> usize {
        self.clients.set(self.clients.get() + 1);
        self.clients.get()
    }

    /// The connections of the client of that name, from now on.
    pub(super) fn connections(&self, name: &str) -> mpsc::UnboundedReceiver<Opened> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut waiting = self.waiting.lock().expect("no one panics here");
        waiting.insert(name.to_owned(), sender);
        receiver
    }

    /// Where PostgreSQL is, if there is one.
    pub(super) fn database_url(&self) -> Option<&str> {
        self.servers
            .as_ref()
            .map(|(servers, _)| servers.postgres().url())
    }

    /// The way of a client that syncs to the service and to the backend.
    pub(super) async fn proxies(&self, name: &str) -> Result<Option<Proxies>, Failure> {
        match &self.servers {
            Some((_, endpoints)) if self.hello().capabilities.syncs => {
                let proxies = endpoints.proxies().await?;
                endpoints.register(name, name, &proxies);
                Ok(Some(proxies))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes the file that clients share, as a run does.
    pub(super) fn make_shared_file(
        &self,
        file: &Path,
        config: &ClientConfig,
    ) -> Result<(), Problem> {
        let plan = statements::plan_options();
        let tables = sqlite::tables(workload(plan.workload, plan.payload));
        let made = squall_client_native::create_shared_file(file, &tables, config);
        made.map_err(|error| Failure::unavailable("cannot make the shared file", error).into())
    }

    /// What a client is told.
    pub(super) fn config(&self, name: &str, proxies: Option<&Proxies>) -> ClientConfig {
        let plan = statements::plan_options();
        let dialect = self.hello().dialect;
        let compiler = Compiler::new(plan.workload, plan.payload, plan.keys, name, dialect);
        ClientConfig {
            client: name.to_owned(),
            tables: compiler.tables().iter().map(Table::schema).collect(),
            statements: statements::all(dialect),
            new_database: match dialect {
                Dialect::Sqlite => vec![statements::insert("first", 0, "there at first")],
                Dialect::Postgres => Vec::new(),
            },
            new_connection: match dialect {
                Dialect::Sqlite => Vec::new(),
                Dialect::Postgres => vec![statements::mark_connection()],
            },
            isolation: Isolation::default(),
            uploader: Uploader::Transaction,
            sdk: Default::default(),
            backend_url: proxies.map_or_else(String::new, |proxies| proxies.backend.url()),
            retry_delay_ms: 200,
            request_deadline_ms: 10_000,
            stream_idle_deadline_ms: 45_000,
        }
    }
}
