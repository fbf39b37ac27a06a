//! A real PostgreSQL, the real service, the real backend and a small coordinator, for client processes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{Query, Request, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use squall_backend::Backend;
use squall_backend::token::{Secret, Signer};
use squall_client_native::execute::Statements;
use squall_protocol::contract::{ClientConfig, Execution, FromClient, Hello, ToClient};
use squall_protocol::plan::{Isolation, Uploader, Workload};
use squall_protocol::sql::Dialect;
use squall_protocol::transaction::{Effects, Outcome, Rows, Transaction};
use squall_throwaway_postgres::{Cluster, Options};
use squall_workloads::{Compiler, Known, Table, workload as workload_of};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio_postgres::{IsolationLevel, NoTls};

pub const KEYS: u32 = 20;
const DEADLINE: Duration = Duration::from_secs(60);
/// `squall-test-key-with-32-bytes---` in base64url.
const KEY_BASE64: &str = "c3F1YWxsLXRlc3Qta2V5LXdpdGgtMzItYnl0ZXMtLS0";

/// What tells a process of this test binary that it is a client: its kind, the control address, its
/// name, and its database.
pub const CLIENT_PROCESS: &str = "SQUALL_TEST_CLIENT_PROCESS";

/// Everything that a client needs around it.
pub struct World {
    pub postgres: Cluster,
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

struct Shared {
    /// Where backend and control connection are.
    address: SocketAddr,
    service: String,
    backend: Backend,
    /// Whether the backend answers everything with 503.
    backend_down: AtomicBool,
    workload: Workload,
    payload: bool,
    /// What clients are told when they say hello, but for what depends on the client.
    config: Mutex<ClientConfig>,
    clients: Mutex<HashMap<String, ClientLog>>,
}

#[derive(Default)]
struct ClientLog {
    /// The current control connection; gone when the client is.
    to: Option<UnboundedSender<ToClient>>,
    from: Vec<FromClient>,
    dialect: Option<Dialect>,
    /// The operations, the first of which has the number 1.
    operations: Vec<Transaction>,
}

impl Shared {
    fn compiler(&self, client: &str, dialect: Dialect) -> Compiler {
        Compiler::new(self.workload, self.payload, KEYS, client, dialect)
    }
}

impl World {
    /// A world for `mww`.
    pub async fn start() -> World {
        World::of(Workload::Mww, false).await
    }

    pub async fn of(workload: Workload, payload: bool) -> World {
        let postgres = Cluster::start(Options::default())
            .await
            .expect("PostgreSQL starts");
        let folder = tempfile::tempdir().unwrap();
        let client = connect(&postgres.url()).await;
        for table in workload_of(workload, payload).tables() {
            client.batch_execute(table.postgres).await.unwrap();
        }
        client
            .batch_execute(
                "CREATE TABLE squall_uploads (client_id text, upload_id text,
                                              PRIMARY KEY (client_id, upload_id))",
            )
            .await
            .unwrap();
        let compiler = Compiler::new(workload, payload, KEYS, "", Dialect::Postgres);
        Statements::new(compiler.statements())
            .perform(&client, &compiler.first_rows())
            .await
            .unwrap();

        let mut config = squall_service::Config::new(
            postgres.url(),
            folder.path().join("service.db"),
            KEY_BASE64.to_owned(),
            "test".to_owned(),
            "squall".to_owned(),
        );
        let tables = workload_of(workload, payload).tables().iter();
        config.tables = tables.map(|table| table.name.to_owned()).collect();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let service = tokio::spawn(async move {
            let result =
                squall_service::serve(config, |address| ready.send(address).unwrap()).await;
            eprintln!("the service ended: {result:?}");
        });
        let service_address = tokio::time::timeout(DEADLINE, is_ready)
            .await
            .expect("the service is ready in time")
            .expect("the service lives");

        let signer = Signer::new(Secret {
            key: KEY_BASE64.to_owned(),
            kid: "test".to_owned(),
            audience: "squall".to_owned(),
        });
        let backend = Backend::new(squall_backend::Options {
            database_url: postgres.url(),
            workload: workload_of(workload, payload),
            signer: Arc::new(signer.unwrap()),
            connections: 8,
            down: watch::Sender::new(false).subscribe(),
            // A test may well stop PostgreSQL.
            on_trouble: Arc::new(|trouble| eprintln!("{trouble}")),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            service: format!("http://{service_address}"),
            backend: backend.unwrap(),
            backend_down: AtomicBool::new(false),
            workload,
            payload,
            config: Mutex::new(ClientConfig {
                client: String::new(),
                tables: Vec::new(),
                statements: Vec::new(),
                new_database: Vec::new(),
                new_connection: Vec::new(),
                isolation: Isolation::default(),
                uploader: Uploader::Transaction,
                sdk: Default::default(),
                backend_url: format!("http://{}", listener.local_addr().unwrap()),
                retry_delay_ms: 200,
                request_deadline_ms: 10_000,
                stream_idle_deadline_ms: 45_000,
            }),
            clients: Mutex::default(),
        });
        let backend = shared.backend.router();
        let routes = backend
            .layer(from_fn_with_state(shared.clone(), unless_down))
            .merge(
                Router::new()
                    .route("/control", any(control))
                    .with_state(shared.clone()),
            );
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        World {
            postgres,
            folder,
            shared,
            tasks: vec![service, server],
        }
    }

    /// Lets the backend refuse everything, or no more.
    pub fn set_backend_down(&self, down: bool) {
        self.shared.backend_down.store(down, Ordering::Relaxed);
    }

    /// Changes what the clients that start from now on are told.
    pub fn configure(&self, change: impl FnOnce(&mut ClientConfig)) {
        change(&mut self.shared.config.lock().unwrap());
    }

    /// A connection to PostgreSQL.
    pub async fn connect(&self) -> tokio_postgres::Client {
        connect(&self.postgres.url()).await
    }

    /// Everything in PostgreSQL.
    pub async fn everything(&self) -> Effects {
        let mut client = self.connect().await;
        let compiler = self.shared.compiler("", Dialect::Postgres);
        let snapshot = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .start()
            .await
            .unwrap();
        let results = Statements::new(compiler.statements())
            .perform(&snapshot, &compiler.read_everything())
            .await
            .unwrap();
        compiler.everything(results).unwrap()
    }

    /// The rows of `mww` in PostgreSQL.
    pub async fn rows(&self) -> Rows {
        self.everything().await.reads
    }

    /// Starts a client process, and waits until it is ready. `kind` is `native`, `local` or
    /// `postgres`.
    pub async fn start_client(&self, kind: &str, name: &str) -> Client {
        let database = match kind {
            "postgres" => self.postgres.url(),
            _ => self.database(name).display().to_string(),
        };
        let control = format!("ws://{}/control?client={name}", self.shared.address);
        self.shared
            .backend
            .register(name, name, self.shared.service.clone());
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "client_process", "--ignored", "--nocapture"])
            .env(CLIENT_PROCESS, [kind, &control, name, &database].join(" "))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let client = Client {
            shared: self.shared.clone(),
            name: name.to_owned(),
            child: Some(child),
        };
        let seen = client.log(|log| log.from.len());
        client
            .find("ready", seen, |message| {
                matches!(message, FromClient::Ready { .. }).then_some(())
            })
            .await;
        client
    }

    fn database(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.db"))
    }

    /// Breaks all control connections, as if the coordinator had died.
    pub fn drop_control(&self) {
        for log in self.shared.clients.lock().unwrap().values_mut() {
            log.to = None;
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A client process. Dropping it kills it.
pub struct Client {
    shared: Arc<Shared>,
    name: String,
    child: Option<Child>,
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Client {
    fn log<R>(&self, look: impl FnOnce(&mut ClientLog) -> R) -> R {
        look(
            self.shared
                .clients
                .lock()
                .unwrap()
                .entry(self.name.clone())
                .or_default(),
        )
    }

    pub fn tell(&self, message: ToClient) {
        let sent = self.log(|log| log.to.as_ref().map(|to| to.send(message)));
        sent.expect("the client is connected").expect("and listens");
    }

    /// Waits for a message after the first `after` ones.
    pub async fn find<T>(
        &self,
        what: &str,
        after: usize,
        find: impl Fn(&FromClient) -> Option<T>,
    ) -> T {
        let since = Instant::now();
        loop {
            if let Some(found) = self.log(|log| log.from.iter().skip(after).find_map(&find)) {
                return found;
            }
            if since.elapsed() > DEADLINE {
                let last = self
                    .log(|log| format!("{:#?}", log.from.iter().rev().take(9).collect::<Vec<_>>()));
                panic!(
                    "{} waited in vain for {what}; its last messages: {last}",
                    self.name
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The session of the last incarnation, and whether it was new.
    pub fn session(&self) -> (String, bool) {
        self.log(|log| {
            log.from.iter().rev().find_map(|message| match message {
                FromClient::Ready {
                    session,
                    new_session,
                } => Some((session.clone(), *new_session)),
                _ => None,
            })
        })
        .expect("it was ready")
    }

    /// Tells the client to read everything and write to some keys, without waiting.
    pub fn invoke(&self, value: i64, keys: &[u32]) -> u64 {
        self.order(Transaction::new(value, keys.to_vec()))
    }

    /// Tells the client to do a transaction, without waiting.
    pub fn order(&self, transaction: Transaction) -> u64 {
        let (operation, last_seq) = self.log(|log| {
            let earlier = log.operations.iter();
            let writes = earlier.filter(|earlier| !earlier.is_read_only()).count();
            log.operations.push(transaction.clone());
            (log.operations.len() as u64, writes as i64)
        });
        let mut known = Known::default();
        known.last_seq = Some(last_seq);
        self.tell(ToClient::Execute {
            operation,
            access: transaction.through.access(),
            calls: self.compiler().compile(&transaction, &known),
        });
        operation
    }

    fn compiler(&self) -> Compiler {
        let dialect = self.log(|log| log.dialect).expect("it has said hello");
        self.shared.compiler(&self.name, dialect)
    }

    /// Makes sense of an answer.
    fn understand(&self, operation: u64, execution: Execution) -> Outcome {
        let transaction = self.log(|log| log.operations[operation as usize - 1].clone());
        match execution {
            Execution::Committed(results) => {
                Outcome::Ok(self.compiler().interpret(&transaction, results).unwrap())
            }
            Execution::Failed(why) => Outcome::Fail(why),
            Execution::Unknown(why) => Outcome::Info(why),
        }
    }

    /// Keeps a live query of everything, and waits for an emission that is as wanted.
    pub async fn watch(&self, what: &str, wanted: impl Fn(Effects) -> bool) {
        let compiler = self.compiler();
        let all = Transaction::read_all();
        self.tell(ToClient::Watch {
            calls: compiler.compile(&all, &Known::default()),
            at_once: true,
        });
        self.find(what, 0, |message| match message {
            FromClient::Emission { results } => {
                let effects = compiler.interpret(&all, results.clone()).unwrap();
                wanted(effects).then_some(())
            }
            _ => None,
        })
        .await
    }

    /// The outcome of an operation, if it is known.
    pub fn outcome(&self, operation: u64) -> Option<Outcome> {
        let execution = self.log(|log| {
            log.from.iter().find_map(|message| match message {
                FromClient::Completed {
                    operation: of,
                    outcome,
                } if *of == operation => Some(outcome.clone()),
                _ => None,
            })
        })?;
        Some(self.understand(operation, execution))
    }

    /// Waits for the outcome of an operation.
    pub async fn until_outcome(&self, operation: u64) -> Outcome {
        let execution = self.find("the outcome", 0, |message| match message {
            FromClient::Completed {
                operation: of,
                outcome,
            } if *of == operation => Some(outcome.clone()),
            _ => None,
        });
        let execution = execution.await;
        self.understand(operation, execution)
    }

    /// Does a transaction that must commit.
    pub async fn perform(&self, transaction: Transaction) -> Effects {
        let operation = self.order(transaction);
        match self.until_outcome(operation).await {
            Outcome::Ok(effects) => effects,
            other => panic!("{} did not commit: {other:?}", self.name),
        }
    }

    /// Reads everything and writes to some keys, which must commit, and tells the rows that were read.
    pub async fn transact(&self, value: i64, keys: &[u32]) -> Rows {
        let transaction = Transaction::new(value, keys.to_vec());
        self.perform(transaction).await.reads
    }

    pub async fn read(&self) -> Rows {
        self.perform(Transaction::read_all()).await.reads
    }

    /// Waits until everything is in sync for the first time.
    pub async fn until_synced(&self) {
        self.find("the first sync", 0, |message| match message {
            FromClient::Status(status) => status.last_synced_at_ms,
            _ => None,
        })
        .await;
    }

    /// Waits until a status from now on says that everything is uploaded and acknowledged.
    pub async fn until_acknowledged(&self) {
        let after = self.log(|log| log.from.len());
        self.find("the acknowledgement", after, |message| match message {
            FromClient::Status(status) => (status.acknowledged && status.connected).then_some(()),
            _ => None,
        })
        .await;
    }

    /// Waits until the client reads those rows.
    pub async fn until_reads(&self, rows: &Rows) {
        let expected = Effects {
            reads: rows.clone(),
            ..Effects::default()
        };
        self.until_reads_everything(&expected).await
    }

    /// Waits until the client reads exactly that.
    pub async fn until_reads_everything(&self, expected: &Effects) {
        let since = Instant::now();
        while self.perform(Transaction::read_all()).await != *expected {
            assert!(
                since.elapsed() < DEADLINE,
                "{} waited in vain for {expected:?}",
                self.name
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// SIGKILL, in the middle of whatever it is doing.
    pub fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for the process to end by itself.
    pub async fn until_exit(mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.child = None;
                return status;
            }
            assert!(since.elapsed() < DEADLINE, "{} does not end", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Whatever the backend is asked while it is down it answers with 503.
async fn unless_down(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if shared.backend_down.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    next.run(request).await
}

async fn control(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let name = query["client"].clone();
    upgrade.on_upgrade(move |socket| converse(shared, name, socket))
}

async fn converse(shared: Arc<Shared>, name: String, mut socket: WebSocket) {
    let (to, mut orders) = unbounded_channel();
    // Handed over at hello, so that the connection ends when the test drops it.
    let mut to = Some(to);
    loop {
        let message = tokio::select! {
            order = orders.recv() => match order {
                Some(order) => {
                    let text = serde_json::to_string::<ToClient>(&order).unwrap();
                    let _ = socket.send(Message::text(text)).await;
                    continue;
                }
                // The test has dropped the connection: no goodbye.
                None => return,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
                Some(Ok(_)) => continue,
                _ => return,
            },
        };
        let mut clients = shared.clients.lock().unwrap();
        let log = clients.entry(name.clone()).or_default();
        if let FromClient::Hello(Hello { dialect, .. }) = message {
            log.dialect = Some(dialect);
            let compiler = shared.compiler(&name, dialect);
            let config = ClientConfig {
                client: name.clone(),
                tables: compiler.tables().iter().map(Table::schema).collect(),
                statements: compiler.statements(),
                new_database: compiler.first_rows(),
                new_connection: compiler.new_connection(),
                ..shared.config.lock().unwrap().clone()
            };
            log.to = to.take();
            log.to
                .as_ref()
                .expect("one hello")
                .send(ToClient::Configure(Box::new(config)))
                .unwrap();
        }
        log.from.push(message);
    }
}
