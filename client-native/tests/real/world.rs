//! A real PostgreSQL, the real service, a small backend and a coordinator, for client processes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::ws::{Message, WebSocket};
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use squall_protocol::backend::{Credentials, CrudValue, Upload, UploadAnswer};
use squall_protocol::control::{ClientConfig, FromClient, ToClient};
use squall_protocol::ledger::LedgerSeen;
use squall_protocol::plan::{Isolation, Uploader, Workload};
use squall_protocol::transaction::{Outcome, Rows, Transaction};
use squall_throwaway_postgres::{Cluster, Options};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_postgres::NoTls;

pub const KEYS: u32 = 20;
const DEADLINE: Duration = Duration::from_secs(60);
/// `c3F1YWxsLXRlc3Q…` in base64url, which the service takes, and as the bytes that sign.
const KEY_BASE64: &str = "c3F1YWxsLXRlc3Qta2V5LXdpdGgtMzItYnl0ZXMtLS0";
const KEY_BYTES: &[u8] = b"squall-test-key-with-32-bytes---";

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
    database_url: String,
    service: String,
    /// Whether the backend answers everything with 503.
    backend_down: AtomicBool,
    clients: Mutex<HashMap<String, ClientLog>>,
}

#[derive(Default)]
struct ClientLog {
    /// The current control connection; gone when the client is.
    to: Option<UnboundedSender<ToClient>>,
    from: Vec<FromClient>,
    operations: u64,
}

impl World {
    pub async fn start() -> World {
        let postgres = Cluster::start(Options::default())
            .await
            .expect("PostgreSQL starts");
        let folder = tempfile::tempdir().unwrap();
        let client = connect(&postgres.url()).await;
        client
            .batch_execute(&format!(
                "CREATE TABLE mww (id text PRIMARY KEY, k int UNIQUE NOT NULL, v int NOT NULL);
                 INSERT INTO mww SELECT 'row-' || k, k, -1 FROM generate_series(0, {}) AS k;
                 CREATE TABLE uploads (client_id text, upload_id text,
                                       PRIMARY KEY (client_id, upload_id));",
                KEYS - 1
            ))
            .await
            .unwrap();

        let config = squall_service::Config::new(
            postgres.url(),
            folder.path().join("service.db"),
            KEY_BASE64.to_owned(),
            "test".to_owned(),
            "squall".to_owned(),
        );
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

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            database_url: postgres.url(),
            service: format!("http://{service_address}"),
            backend_down: AtomicBool::new(false),
            clients: Mutex::default(),
        });
        let routes = Router::new()
            .route("/credentials", get(credentials))
            .route("/upload", post(upload))
            .route("/control", any(control))
            .with_state(shared.clone());
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

    /// The rows in PostgreSQL.
    pub async fn rows(&self) -> Rows {
        let client = connect(&self.postgres.url()).await;
        let rows = client
            .query("SELECT k, v FROM mww ORDER BY k", &[])
            .await
            .unwrap();
        let number = |row: &tokio_postgres::Row, at| row.get::<_, i32>(at);
        rows.iter()
            .map(|row| (number(row, 0) as u32, number(row, 1).into()))
            .collect()
    }

    /// Starts a client process, and waits until it is ready. `kind` is `native` or `postgres`.
    pub async fn start_client(&self, kind: &str, name: &str) -> Client {
        let database = match kind {
            "native" => self.database(name).display().to_string(),
            _ => self.postgres.url(),
        };
        let control = format!("ws://{}/control", self.shared.address);
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

    /// Tells the client to do a transaction, without waiting.
    pub fn invoke(&self, value: i64, keys: &[u32]) -> u64 {
        let operation = self.log(|log| {
            log.operations += 1;
            log.operations
        });
        let transaction = Transaction::new(value, keys.to_vec());
        self.tell(ToClient::Transaction {
            operation,
            transaction,
            seen: LedgerSeen::nothing(),
        });
        operation
    }

    /// The outcome of an operation, if it is known.
    pub fn outcome(&self, operation: u64) -> Option<Outcome> {
        self.log(|log| {
            log.from.iter().find_map(|message| match message {
                FromClient::Completed {
                    operation: of,
                    outcome,
                } if *of == operation => Some(outcome.clone()),
                _ => None,
            })
        })
    }

    /// Does a transaction that must commit, and tells what was read.
    pub async fn transact(&self, value: i64, keys: &[u32]) -> Rows {
        let operation = self.invoke(value, keys);
        let completed = self.find("the outcome", 0, |message| match message {
            FromClient::Completed {
                operation: of,
                outcome,
            } if *of == operation => Some(outcome.clone()),
            _ => None,
        });
        match completed.await {
            Outcome::Ok(effects) => effects.reads,
            other => panic!("{} did not commit: {other:?}", self.name),
        }
    }

    pub async fn read(&self) -> Rows {
        self.transact(-1, &[]).await
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
        let since = Instant::now();
        while self.read().await != *rows {
            assert!(
                since.elapsed() < DEADLINE,
                "{} waited in vain for {rows:?}",
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

async fn credentials(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if shared.backend_down.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some("test".to_owned());
    let claims = serde_json::json!({
        "sub": query["client"], "aud": "squall", "iat": now, "exp": now + 3600,
    });
    let key = jsonwebtoken::EncodingKey::from_secret(KEY_BYTES);
    Json(Credentials {
        endpoint: shared.service.clone(),
        token: jsonwebtoken::encode(&header, &claims, &key).unwrap(),
        expires_at_ms: (now + 3600) * 1000,
    })
    .into_response()
}

async fn upload(State(shared): State<Arc<Shared>>, Json(upload): Json<Upload>) -> Response {
    if shared.backend_down.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match apply(&shared.database_url, &upload).await {
        Ok(repeated) => Json(UploadAnswer { repeated }).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}")).into_response(),
    }
}

async fn apply(url: &str, upload: &Upload) -> Result<bool, tokio_postgres::Error> {
    let mut client = connect(url).await;
    let transaction = client.transaction().await?;
    let new = transaction
        .execute(
            "INSERT INTO uploads VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[&upload.client_id, &upload.upload_id],
        )
        .await?;
    for entry in upload.crud.iter().filter(|_| new == 1) {
        let Some(CrudValue::Integer(value)) = entry.data.as_ref().and_then(|data| data.get("v"))
        else {
            panic!("not a write of the workload: {entry:?}");
        };
        transaction
            .execute(
                "UPDATE mww SET v = GREATEST(v, $1::int8) WHERE id = $2",
                &[value, &entry.id],
            )
            .await?;
    }
    transaction.commit().await?;
    Ok(new == 0)
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
        if matches!(message, FromClient::Hello { .. }) {
            let config = ClientConfig {
                client: name.clone(),
                workload: Workload::Mww,
                keys: KEYS,
                payload: false,
                watch: false,
                isolation: Isolation::default(),
                uploader: Uploader::Transaction,
                backend_url: format!("http://{}", shared.address),
                retry_delay_ms: 200,
                request_deadline_ms: 10_000,
                stream_idle_deadline_ms: 45_000,
            };
            log.to = to.take();
            log.to
                .as_ref()
                .expect("one hello")
                .send(ToClient::Configure(config))
                .unwrap();
        }
        log.from.push(message);
    }
}
