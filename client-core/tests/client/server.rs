//! A server that plays backend and sync service at once, and misbehaves on request.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use squall_client_core::platform::{Body, HttpError, HttpRequest, HttpResponse, Platform};
use squall_client_core::{Client, ClientError};
use squall_protocol::backend::{CrudEntry, CrudOp, CrudValue, Upload};
use squall_protocol::contract::{Access, ClientConfig, ClientStatus};
use squall_protocol::plan::{Isolation, Uploader, Workload};
use squall_protocol::sql::Dialect;
use squall_protocol::transaction::{Effects, Rows, Transaction};
use squall_workloads::{Compiler, Table};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The number of rows.
pub const KEYS: u32 = 5;
pub const RETRY_DELAY: Duration = Duration::from_secs(5);
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
pub const IDLE_DEADLINE: Duration = Duration::from_secs(45);

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Credentials,
    Upload,
    WriteCheckpoint,
    Stream,
}

/// How a request goes wrong.
pub enum Fault {
    /// No answer, ever; nothing is done.
    Hang,
    /// The connection is refused.
    Refuse,
    /// That status; nothing is done.
    Status(u16),
    /// It is done, but the answer is lost.
    LoseAnswer,
    /// It is done, but the answer comes only when the sender says so.
    Hold(oneshot::Receiver<()>),
    /// A 200 with that body; nothing is done.
    Answer(&'static str),
}

/// The world that clients sync with.
#[derive(Clone, Default)]
pub struct Server(Rc<World>);

#[derive(Default)]
struct World {
    began: Cell<Option<Instant>>,
    rows: RefCell<Vec<i64>>,
    /// The rows of every other table, by table and id.
    others: RefCell<BTreeMap<(String, String), Json>>,
    /// The bucket's operations, as they go over the wire.
    operations: RefCell<Vec<Json>>,
    write_checkpoint: Cell<i64>,
    /// Changes are announced only when [`Server::announce`] is called.
    quiet: Cell<bool>,
    faults: RefCell<HashMap<Endpoint, VecDeque<Fault>>>,
    down: Cell<bool>,
    requests: RefCell<Vec<(Endpoint, HttpRequest)>>,
    uploads: RefCell<Vec<Upload>>,
    tokens: Cell<u32>,
    /// How long a token is good for, if not for ever.
    token_life: Cell<Option<Duration>>,
    /// Whether every stream begins with the news that its token expires soon.
    pessimistic: Cell<bool>,
    token_refused: Cell<u32>,
    stream: RefCell<Option<OpenStream>>,
    streams_at_once: Cell<usize>,
}

struct OpenStream {
    sender: mpsc::UnboundedSender<Result<Vec<u8>, HttpError>>,
    /// How many operations have been sent; none before the first checkpoint.
    sent: Option<usize>,
    after: usize,
}

impl Server {
    pub fn new() -> Self {
        let server = Server::default();
        server.0.began.set(Some(Instant::now()));
        *server.0.rows.borrow_mut() = vec![-1; KEYS as usize];
        for key in 0..KEYS {
            server.put(key, -1);
        }
        server
    }

    /// A row of another table than `mww`, as the server has it.
    pub fn row(&self, table: &str, id: &str) -> Option<Json> {
        let key = (table.to_owned(), id.to_owned());
        self.0.others.borrow().get(&key).cloned()
    }

    /// Somebody else writes a row of another table than `mww`; without columns it is deleted.
    pub fn write_row(&self, table: &str, id: &str, columns: Option<Json>) {
        let key = (table.to_owned(), id.to_owned());
        match columns {
            Some(columns) => {
                self.0.others.borrow_mut().insert(key, columns.clone());
                let mut data = columns;
                data["id"] = id.into();
                self.operation("PUT", table, id, data.to_string().into());
            }
            None => {
                self.0.others.borrow_mut().remove(&key);
                self.operation("REMOVE", table, id, Json::Null);
            }
        }
        if !self.0.quiet.get() {
            self.announce();
        }
    }

    /// Lets the next request to that endpoint go wrong (or the one after, if called twice).
    pub fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.0
            .faults
            .borrow_mut()
            .entry(endpoint)
            .or_default()
            .push_back(fault);
    }

    /// The next answer of that endpoint is given when the result is used.
    pub fn hold(&self, endpoint: Endpoint) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        self.fault(endpoint, Fault::Hold(held));
        release
    }

    /// Refuses all connections from now on, or no more; open streams break.
    pub fn set_down(&self, down: bool) {
        self.0.down.set(down);
        if down {
            self.break_stream();
        }
    }

    /// Whether changes wait for [`Server::announce`].
    pub fn set_quiet(&self, quiet: bool) {
        self.0.quiet.set(quiet);
    }

    /// How long the tokens from now on are good for.
    pub fn set_token_life(&self, life: Duration) {
        self.0.token_life.set(Some(life));
    }

    /// Lets every stream begin with the news that its token expires soon.
    pub fn set_pessimistic(&self) {
        self.0.pessimistic.set(true);
    }

    /// Refuses all tokens handed out so far.
    pub fn refuse_tokens(&self) {
        self.0.token_refused.set(self.0.tokens.get());
    }

    /// How often that endpoint was asked.
    pub fn asked(&self, endpoint: Endpoint) -> usize {
        self.0
            .requests
            .borrow()
            .iter()
            .filter(|(to, _)| *to == endpoint)
            .count()
    }

    /// The last request to that endpoint.
    pub fn last_request(&self, endpoint: Endpoint) -> HttpRequest {
        let requests = self.0.requests.borrow();
        requests
            .iter()
            .rev()
            .find(|(to, _)| *to == endpoint)
            .expect("it was asked")
            .1
            .clone()
    }

    /// The uploads that were applied, without repetitions.
    pub fn uploads(&self) -> Vec<Upload> {
        self.0.uploads.borrow().clone()
    }

    pub fn rows(&self) -> Rows {
        (0..).zip(self.0.rows.borrow().iter().copied()).collect()
    }

    /// Somebody else writes.
    pub fn write(&self, key: u32, value: i64) {
        self.0.rows.borrow_mut()[key as usize] = value;
        self.put(key, value);
        if !self.0.quiet.get() {
            self.announce();
        }
    }

    /// The most streams that were open at the same time.
    pub fn streams_at_once(&self) -> usize {
        self.0.streams_at_once.get()
    }

    pub fn has_stream(&self) -> bool {
        self.0
            .stream
            .borrow()
            .as_ref()
            .is_some_and(|stream| !stream.sender.is_closed())
    }

    /// Sends bytes on the open stream, whatever they are.
    pub fn send(&self, bytes: impl Into<Vec<u8>>) {
        let stream = self.0.stream.borrow();
        let stream = stream.as_ref().expect("a stream is open");
        stream
            .sender
            .send(Ok(bytes.into()))
            .expect("the client listens");
    }

    pub fn send_line(&self, line: &Json) {
        self.send(format!("{line}\n"));
    }

    /// Ends the stream in the regular way.
    pub fn end_stream(&self) {
        self.0.stream.take();
    }

    /// The connection of the stream breaks.
    pub fn break_stream(&self) {
        if let Some(stream) = self.0.stream.take() {
            let _ = stream
                .sender
                .send(Err(HttpError("connection reset".to_owned())));
        }
    }

    /// Announces everything that is there: checkpoint or diff, data, complete.
    pub fn announce(&self) {
        if self.has_stream() {
            for line in self.lines_to_now() {
                self.send_line(&line);
            }
        }
    }

    /// The lines with which a quiet server would announce everything that is there.
    pub fn lines_to_now(&self) -> Vec<Json> {
        let operations = self.0.operations.borrow();
        let (end, write_checkpoint) = (operations.len(), self.0.write_checkpoint.get());
        let mut stream = self.0.stream.borrow_mut();
        let stream = stream.as_mut().expect("a stream is open");
        let checksum = operations[..end].iter().fold(0u32, |sum, op| {
            sum.wrapping_add(op["checksum"].as_u64().unwrap() as u32)
        });
        let bucket = json!({
            "bucket": "1#global[]",
            "checksum": checksum as i32,
            "count": end,
            "priority": 3,
            "subscriptions": [{"default": 0}],
        });
        let mut head = json!({"last_op_id": end.to_string()});
        if write_checkpoint > 0 {
            head["write_checkpoint"] = write_checkpoint.to_string().into();
        }
        let head = match stream.sent {
            None => {
                head["buckets"] = json!([bucket]);
                head["streams"] = json!([{"name": "global", "is_default": true, "errors": []}]);
                json!({ "checkpoint": head })
            }
            Some(_) => {
                head["removed_buckets"] = json!([]);
                head["updated_buckets"] = json!([bucket]);
                json!({ "checkpoint_diff": head })
            }
        };
        let from = stream.sent.unwrap_or(stream.after).min(end);
        stream.sent = Some(end);
        let mut lines = vec![head];
        if from < end {
            lines.push(json!({"data": {
                "bucket": "1#global[]",
                "after": from.to_string(),
                "has_more": false,
                "data": operations[from..end],
                "next_after": end.to_string(),
            }}));
        }
        lines.push(json!({"checkpoint_complete": {"last_op_id": end.to_string()}}));
        lines
    }

    fn put(&self, key: u32, value: i64) {
        let id = key.to_string();
        let data = json!({"id": id, "k": key, "v": value}).to_string();
        self.operation("PUT", "mww", &id, data.into());
    }

    fn operation(&self, op: &str, table: &str, id: &str, data: Json) {
        let mut operations = self.0.operations.borrow_mut();
        let op_id = (operations.len() + 1).to_string();
        let digest = Sha256::digest(format!("{op_id}.{op}.{table}.{id}.{data}"));
        let checksum = u32::from_le_bytes(digest[..4].try_into().unwrap());
        operations.push(json!({
            "op_id": op_id,
            "op": op,
            "object_type": table,
            "object_id": id,
            "checksum": checksum,
            "subkey": format!("subkey-{id}"),
            "data": data,
        }));
    }

    fn authorized(&self, request: &HttpRequest) -> bool {
        let (_, value) = request
            .headers
            .iter()
            .find(|(name, _)| *name == "authorization")
            .expect("a token");
        let number = value.rsplit('-').next().unwrap().parse::<u32>().unwrap();
        number > self.0.token_refused.get()
    }

    /// Does what is asked, and answers.
    fn answer(&self, endpoint: Endpoint, request: &HttpRequest) -> (u16, ServerBody) {
        if endpoint != Endpoint::Credentials && !self.authorized(request) {
            return (
                401,
                ServerBody::Whole(Some(b"{\"error\":\"token refused\"}".to_vec())),
            );
        }
        let body = match endpoint {
            Endpoint::Credentials => {
                self.0.tokens.set(self.0.tokens.get() + 1);
                json!({
                    "endpoint": "http://service",
                    "token": format!("token-{}", self.0.tokens.get()),
                    "expires_at_ms": match self.0.token_life.get() {
                        Some(life) => self.now_ms() + life.as_millis() as u64,
                        None => u64::MAX,
                    },
                })
            }
            Endpoint::Upload => {
                let upload: Upload =
                    serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
                let repeated = self
                    .0
                    .uploads
                    .borrow()
                    .iter()
                    .any(|known| known.upload_id == upload.upload_id);
                if !repeated {
                    self.apply(upload);
                }
                json!({ "repeated": repeated })
            }
            Endpoint::WriteCheckpoint => {
                self.0
                    .write_checkpoint
                    .set(self.0.write_checkpoint.get() + 1);
                let id = self.0.write_checkpoint.get().to_string();
                if !self.0.quiet.get() {
                    self.announce();
                }
                json!({"data": {"write_checkpoint": id}})
            }
            Endpoint::Stream => return (200, self.open_stream(request)),
        };
        (200, ServerBody::Whole(Some(body.to_string().into_bytes())))
    }

    fn apply(&self, upload: Upload) {
        for entry in &upload.crud {
            if entry.table != "mww" {
                self.apply_to_other(entry);
                continue;
            }
            let key: u32 = entry.id.parse().unwrap();
            let Some(CrudValue::Integer(value)) =
                entry.data.as_ref().and_then(|data| data.get("v")).cloned()
            else {
                panic!("not a write of the workload: {entry:?}");
            };
            let value = value.max(self.0.rows.borrow()[key as usize]);
            self.0.rows.borrow_mut()[key as usize] = value;
            self.put(key, value);
        }
        self.0.uploads.borrow_mut().push(upload);
        if !self.0.quiet.get() {
            self.announce();
        }
    }

    /// The last write wins.
    fn apply_to_other(&self, entry: &CrudEntry) {
        let columns = json!(entry.data);
        let columns = match (entry.op, self.row(&entry.table, &entry.id)) {
            (CrudOp::Put, _) => Some(columns),
            (CrudOp::Patch, Some(mut row)) => {
                for (name, value) in columns.as_object().unwrap() {
                    row[name] = value.clone();
                }
                Some(row)
            }
            (CrudOp::Delete, Some(_)) => None,
            (_, None) => panic!("there is no such row: {entry:?}"),
        };
        let quiet = self.0.quiet.replace(true);
        self.write_row(&entry.table, &entry.id, columns);
        self.0.quiet.set(quiet);
    }

    fn open_stream(&self, request: &HttpRequest) -> ServerBody {
        let request: Json = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
        assert_eq!(request["raw_data"], true);
        let after = match request["buckets"].as_array().unwrap().as_slice() {
            [] => 0,
            [bucket] => bucket["after"].as_str().unwrap().parse().unwrap(),
            more => panic!("there is one bucket, not {more:?}"),
        };
        let open_already = usize::from(self.has_stream());
        self.0
            .streams_at_once
            .set(self.0.streams_at_once.get().max(open_already + 1));
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.0.stream.borrow_mut() = Some(OpenStream {
            sender,
            sent: None,
            after,
        });
        if !self.0.quiet.get() {
            self.announce();
        }
        if self.0.pessimistic.get() {
            self.send_line(&json!({"token_expires_in": 20}));
        }
        ServerBody::Stream(receiver)
    }
}

impl Platform for Server {
    type Body = ServerBody;

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<ServerBody>, HttpError> {
        let endpoint = match request.url.split('?').next().unwrap() {
            "http://backend/credentials" => Endpoint::Credentials,
            "http://backend/upload" => Endpoint::Upload,
            "http://service/write-checkpoint2.json" => Endpoint::WriteCheckpoint,
            "http://service/sync/stream" => Endpoint::Stream,
            other => panic!("nobody answers at {other}"),
        };
        self.0
            .requests
            .borrow_mut()
            .push((endpoint, request.clone()));
        // A network is never faster than the next look at anything else.
        tokio::time::sleep(Duration::from_millis(1)).await;
        if self.0.down.get() {
            return Err(HttpError("connection refused".to_owned()));
        }
        let fault = self
            .0
            .faults
            .borrow_mut()
            .get_mut(&endpoint)
            .and_then(|faults| faults.pop_front());
        let (status, body) = match fault {
            None => self.answer(endpoint, &request),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Refuse) => return Err(HttpError("connection refused".to_owned())),
            Some(Fault::Status(status)) => (
                status,
                ServerBody::Whole(Some(b"{\"error\":\"on purpose\"}".to_vec())),
            ),
            Some(Fault::LoseAnswer) => {
                self.answer(endpoint, &request);
                return Err(HttpError("connection reset".to_owned()));
            }
            Some(Fault::Hold(held)) => {
                let answer = self.answer(endpoint, &request);
                let _ = held.await;
                answer
            }
            Some(Fault::Answer(text)) => (200, ServerBody::Whole(Some(text.into()))),
        };
        Ok(HttpResponse { status, body })
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await
    }

    fn now_ms(&self) -> u64 {
        self.0
            .began
            .get()
            .expect("made by new")
            .elapsed()
            .as_millis() as u64
    }
}

/// The body of an answer.
pub enum ServerBody {
    Whole(Option<Vec<u8>>),
    Stream(mpsc::UnboundedReceiver<Result<Vec<u8>, HttpError>>),
}

impl Body for ServerBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        match self {
            ServerBody::Whole(bytes) => Ok(bytes.take()),
            ServerBody::Stream(receiver) => receiver.recv().await.transpose(),
        }
    }
}

/// A device: a database file, and at times a client on it.
pub struct Device {
    file: PathBuf,
    _folder: tempfile::TempDir,
    server: Server,
    pub uploader: Uploader,
    pub workload: Workload,
    pub payload: bool,
}

impl Device {
    pub fn new(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Device {
            file: folder.path().join("client.db"),
            _folder: folder,
            server: server.clone(),
            uploader: Uploader::Transaction,
            workload: Workload::Mww,
            payload: false,
        }
    }

    pub fn with(server: &Server, workload: Workload) -> Self {
        Device {
            workload,
            ..Device::new(server)
        }
    }

    pub fn compiler(&self) -> Compiler {
        Compiler::new(
            self.workload,
            self.payload,
            KEYS,
            "native-1",
            Dialect::Sqlite,
        )
    }

    pub fn config(&self) -> ClientConfig {
        let compiler = self.compiler();
        ClientConfig {
            client: "native-1".to_owned(),
            tables: compiler.tables().iter().map(Table::schema).collect(),
            statements: compiler.statements(),
            new_database: compiler.first_rows(),
            new_connection: Vec::new(),
            isolation: Isolation::default(),
            uploader: self.uploader,
            sdk: Default::default(),
            backend_url: "http://backend".to_owned(),
            retry_delay_ms: RETRY_DELAY.as_millis() as u64,
            request_deadline_ms: REQUEST_DEADLINE.as_millis() as u64,
            stream_idle_deadline_ms: IDLE_DEADLINE.as_millis() as u64,
        }
    }

    /// Opens the database as the next incarnation of the client, and runs its loops.
    pub fn start(&self) -> Running {
        let client = Client::open(
            connection(&self.file),
            self.config(),
            self.server.clone(),
            Rc::new(|level, line| eprintln!("{level:?} {line}")),
        )
        .unwrap();
        let loops = {
            let client = client.clone();
            tokio::task::spawn_local(async move { client.run().await })
        };
        Running {
            client,
            compiler: self.compiler(),
            loops,
        }
    }

    /// Opens the database of a client that never connects.
    pub fn open_local(&self) -> Client<Server> {
        Client::open_local(
            connection(&self.file),
            self.config(),
            self.server.clone(),
            Rc::new(|level, line| eprintln!("{level:?} {line}")),
        )
        .unwrap()
    }

    /// As [`Device::start`], connected, and in sync for the first time.
    pub async fn start_synced(&self) -> Running {
        let running = self.start();
        running.client.connect();
        running
            .until("the first sync", |status| {
                status.last_synced_at_ms.is_some()
            })
            .await;
        running
    }

    /// A connection of a test to the database, beside the client's.
    pub fn look(&self) -> Connection {
        connection(&self.file)
    }
}

pub fn connection(file: &Path) -> Connection {
    let connection = Connection::open(file).unwrap();
    connection
        .pragma_update(None, "journal_mode", "wal")
        .unwrap();
    // The tests kill clients, not the machine.
    connection
        .pragma_update(None, "synchronous", "off")
        .unwrap();
    connection
}

/// Does a transaction as the coordinator has it done.
pub fn transact(
    client: &Client<Server>,
    compiler: &Compiler,
    transaction: &Transaction,
) -> Result<Effects, ClientError> {
    compiler.transact(transaction, |access, calls| client.execute(access, calls))
}

/// A client whose loops run.
pub struct Running {
    pub client: Client<Server>,
    pub compiler: Compiler,
    loops: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Waits until the status is as wanted, for at most ten minutes of paused time.
    pub async fn until(&self, what: &str, condition: impl Fn(&ClientStatus) -> bool) {
        self.when(what, || condition(&self.client.status())).await
    }

    /// Waits until something holds, for at most ten minutes of paused time.
    pub async fn when(&self, what: &str, condition: impl Fn() -> bool) {
        let since = Instant::now();
        while !condition() {
            assert!(
                since.elapsed() < Duration::from_secs(600),
                "waited in vain for {what}: {:?}",
                self.client.status()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until something was asked for that often.
    pub async fn until_asked(&self, server: &Server, endpoint: Endpoint, times: usize) {
        let what = format!("{endpoint:?} to be asked for {times} times");
        self.when(&what, || server.asked(endpoint) == times).await
    }

    /// Waits until everything is uploaded and acknowledged.
    pub async fn until_acknowledged(&self) {
        self.until("everything to be acknowledged", |status| {
            status.acknowledged && !status.uploading && !status.downloading
        })
        .await
    }

    pub fn transact(&self, transaction: &Transaction) -> Result<Effects, ClientError> {
        transact(&self.client, &self.compiler, transaction)
    }

    pub fn write(&self, value: i64, keys: &[u32]) -> Effects {
        self.transact(&Transaction::new(value, keys.to_vec()))
            .unwrap()
    }

    pub fn rows(&self) -> Rows {
        self.transact(&Transaction::read_all()).unwrap().reads
    }

    /// The process is gone, with whatever it was doing; the file stays.
    pub async fn kill(self) {
        self.loops.abort();
        let _ = self.loops.await;
        // Dropping the last handle closes the connection without the client doing anything.
        drop(self.client);
    }

    /// An orderly end.
    pub async fn close(self) {
        self.client.close().unwrap();
        self.loops.await.unwrap();
        assert!(matches!(
            self.client.execute(Access::Read, &[]),
            Err(ClientError::Closed)
        ));
    }
}

/// Runs a test on one thread with paused time.
pub fn story(test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test());
}

/// Runs a test with one device that has synced, and closes it at the end.
pub fn synced_story(test: impl AsyncFnOnce(&Server, &Device, &Running)) {
    story(async || {
        let server = Server::new();
        let device = Device::new(&server);
        let running = device.start_synced().await;
        test(&server, &device, &running).await;
        running.close().await;
    });
}
