//! A real PostgreSQL, a service on it, and clients that speak HTTP.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use squall_service::core::encoding::Encoding;
use squall_service::{Config, ServiceError, serve};
use squall_throwaway_postgres::{Cluster, Options};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;

use crate::simulated_client::{Received, SimulatedClient};

/// The base64url of some secret.
pub const KEY: &str = "c3F1YWxsLXRlc3Qta2V5LXNxdWFsbC10ZXN0LWtleQ";
pub const OTHER_KEY: &str = "YW5vdGhlci1rZXktYW5vdGhlci1rZXktYW5vdGhlci0";
pub const KEY_ID: &str = "test";
pub const AUDIENCE: &str = "squall";

/// How long anything may take before a test gives up on it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits, but not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("waited for {what}"))
}

/// The cluster that tests share while any of them runs.
async fn shared_cluster() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let cluster = Arc::new(
        Cluster::start(Options {
            // Every test leaves a slot behind.
            settings: vec![("max_replication_slots".into(), "500".into())],
            ..Options::default()
        })
        .await
        .expect("PostgreSQL starts"),
    );
    *shared = Arc::downgrade(&cluster);
    cluster
}

/// A database with the table `mww`, and a folder for a service's storage.
pub struct Fixture {
    pub config: Config,
    pub sql: tokio_postgres::Client,
    pub http: reqwest::Client,
    _folder: tempfile::TempDir,
    _cluster: Arc<Cluster>,
}

impl Fixture {
    /// With rows 0..`rows` of `mww(id, k, v)`, whose values are -1.
    pub async fn new(rows: u32) -> Fixture {
        let cluster = shared_cluster().await;
        Fixture::on(cluster, rows).await
    }

    /// The same on a given cluster.
    pub async fn on(cluster: Arc<Cluster>, rows: u32) -> Fixture {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "test_{}_{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let admin = connect(&cluster.url()).await;
        admin
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .expect("made");
        let database_url = cluster
            .url()
            .replace("/postgres", &format!("/{name}"))
            .replacen(&format!("//{name}"), "//postgres", 1);
        let sql = connect(&database_url).await;
        sql.batch_execute(&format!(
            "CREATE TABLE mww (id text PRIMARY KEY, k int UNIQUE NOT NULL, v int NOT NULL);
             INSERT INTO mww SELECT n::text, n, -1 FROM generate_series(0, {rows} - 1) n"
        ))
        .await
        .expect("made");
        let folder = tempfile::tempdir().expect("made");
        let mut config = Config::new(
            database_url,
            folder.path().join("service.sqlite"),
            KEY.into(),
            KEY_ID.into(),
            AUDIENCE.into(),
        );
        config.slot = name;
        Fixture {
            config,
            sql,
            http: reqwest::Client::new(),
            _folder: folder,
            _cluster: cluster,
        }
    }

    pub async fn execute(&self, sql: &str) {
        self.sql
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Starts a service and waits until it is ready.
    pub async fn serve(&self) -> Service {
        Service::start(self.config.clone()).await
    }

    /// The database's rows of `mww` as clients should have them.
    pub async fn rows(&self) -> std::collections::BTreeMap<String, Value> {
        let rows = self
            .sql
            .query("SELECT id, k, v FROM mww", &[])
            .await
            .expect("rows");
        rows.iter()
            .map(|row| {
                let (id, k, v): (String, i32, i32) = (row.get(0), row.get(1), row.get(2));
                (id.clone(), json!({ "id": id, "k": k, "v": v }))
            })
            .collect()
    }
}

pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connects");
    tokio::spawn(connection);
    client
}

/// A service in this process, stopped when dropped.
pub struct Service {
    pub url: String,
    pub task: JoinHandle<Result<(), ServiceError>>,
}

impl Service {
    pub async fn start(config: Config) -> Service {
        match Service::try_start(config).await {
            Ok(service) => service,
            Err(error) => panic!("the service did not start: {error}"),
        }
    }

    pub async fn try_start(config: Config) -> Result<Service, ServiceError> {
        let (ready, is_ready) = oneshot::channel::<SocketAddr>();
        let mut task = tokio::spawn(serve(config, move |address| {
            let _ = ready.send(address);
        }));
        tokio::select! {
            address = within("the service to be ready", is_ready) => match address {
                Ok(address) => Ok(Service { url: format!("http://{address}"), task }),
                Err(_) => Err(task.await.expect("no panic").expect_err("ended before it was ready")),
            },
            result = &mut task => Err(result.expect("no panic").expect_err("ended before it was ready")),
        }
    }

    /// Waits until the service owes nobody a line. One that has just begun does, for write checkpoints
    /// of its earlier lives.
    pub async fn settle(&self, http: &reqwest::Client) {
        let mut client = Client::new("settling", "s");
        client.connect(http, &self.url).await;
        let id = client.write_checkpoint(http, &self.url).await;
        client.sync_to_now(id).await;
    }

    /// Stops the service and waits until it is gone.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}

/// Claims of a good token for the user.
pub fn claims(user: &str) -> Value {
    json!({ "sub": user, "aud": AUDIENCE, "iat": now_s(), "exp": now_s() + 3600 })
}

pub fn sign(claims: &Value, key: &str, key_id: Option<&str>) -> String {
    use base64::Engine as _;
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(key)
        .expect("base64url");
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = key_id.map(str::to_owned);
    jsonwebtoken::encode(
        &header,
        claims,
        &jsonwebtoken::EncodingKey::from_secret(&secret),
    )
    .expect("signed")
}

/// A good token for the user.
pub fn token(user: &str) -> String {
    sign(&claims(user), KEY, Some(KEY_ID))
}

/// A token for the user `user` that expires in so many seconds, or did before.
pub fn expiring_token(expires_in_s: i64) -> String {
    let mut claims = claims("user");
    claims["exp"] = json!(now_s().checked_add_signed(expires_in_s));
    claims["iat"] = json!(now_s() - 100);
    sign(&claims, KEY, Some(KEY_ID))
}

/// A client with one open stream.
pub struct Client {
    pub books: SimulatedClient,
    pub user: String,
    pub id: String,
    /// What it says about sync streams.
    pub streams: Option<Value>,
    lines: Option<Lines>,
}

impl Client {
    pub fn new(user: &str, id: &str) -> Client {
        Client {
            books: SimulatedClient::default(),
            user: user.into(),
            id: id.into(),
            streams: None,
            lines: None,
        }
    }

    /// Opens a stream, with what is there already.
    pub async fn connect(&mut self, http: &reqwest::Client, service: &str) {
        self.books.reconnect();
        let mut body = self.books.request(&self.id);
        if let Some(streams) = &self.streams {
            body["streams"] = streams.clone();
        }
        let request = http
            .post(format!("{service}/sync/stream"))
            .header("Authorization", format!("Token {}", token(&self.user)))
            .json(&body);
        self.lines = Some(Lines::open(request).await);
    }

    /// The same with lines that come in another way.
    pub fn connect_with(&mut self, lines: Lines) {
        self.books.reconnect();
        self.lines = Some(lines);
    }

    pub fn disconnect(&mut self) {
        self.lines = None;
    }

    /// The next line, already in the books; none at the end of the stream.
    pub async fn next(&mut self) -> Option<Received> {
        let line = within("a line", self.lines.as_mut().expect("connected").next()).await?;
        Some(self.books.receive(&line))
    }

    /// Reads until the condition holds after a completed checkpoint.
    pub async fn sync_until(&mut self, what: &str, condition: impl Fn(&SimulatedClient) -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while self
            .next()
            .await
            .unwrap_or_else(|| panic!("the stream ended; waited for {what}"))
            != Received::Complete
            || !condition(&self.books)
        {
            assert!(tokio::time::Instant::now() < deadline, "waited for {what}");
        }
    }

    /// The same, unless the condition holds already.
    pub async fn sync_until_now(
        &mut self,
        what: &str,
        condition: impl Fn(&SimulatedClient) -> bool,
    ) {
        if !condition(&self.books) {
            self.sync_until(what, condition).await;
        }
    }

    /// Reads until a completed checkpoint after this has reached that write checkpoint.
    pub async fn sync_to(&mut self, write_checkpoint: u64) {
        let is_reached = |books: &SimulatedClient| books.write_checkpoint >= Some(write_checkpoint);
        self.sync_until("the write checkpoint", is_reached).await;
    }

    /// The same, unless it is reached already.
    pub async fn sync_to_now(&mut self, write_checkpoint: u64) {
        if self.books.write_checkpoint < Some(write_checkpoint) {
            self.sync_to(write_checkpoint).await;
        }
    }

    /// Reads until the client has the database's rows.
    pub async fn sync_with(&mut self, fixture: &Fixture) {
        let rows = fixture.rows().await;
        if self.books.rows("mww") != rows {
            self.sync_until("the database's rows", |books| books.rows("mww") == rows)
                .await;
        }
    }

    /// Asks for a write checkpoint.
    pub async fn write_checkpoint(&self, http: &reqwest::Client, service: &str) -> u64 {
        let answer = http
            .get(format!(
                "{service}/write-checkpoint2.json?client_id={}",
                self.id
            ))
            .header("Authorization", format!("Token {}", token(&self.user)))
            .send();
        let answer: Value = within("an answer", answer)
            .await
            .expect("sent")
            .json()
            .await
            .expect("JSON");
        answer["data"]["write_checkpoint"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .parse()
            .expect("a number")
    }
}

/// A whole number beyond 32 bits is a float in BSON, as in JavaScript.
fn without_floats(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(without_floats).collect(),
        Value::Object(object) => object
            .into_iter()
            .map(|(key, value)| (key, without_floats(value)))
            .collect(),
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|float| float.fract() == 0.0);
            json!(whole.expect("a whole number") as u64)
        }
        other => other,
    }
}

/// Asks for a write checkpoint with an id that the client counted, and gives the answer's.
pub async fn checkpoint_request(http: &reqwest::Client, service: &str, body: &Value) -> u64 {
    let request = http
        .post(format!("{service}/sync/checkpoint-request"))
        .header("Authorization", format!("Token {}", token("user")))
        .json(body);
    let answer = within("an answer", request.send()).await.expect("sent");
    let answer: Value = answer.json().await.expect("JSON");
    answer["data"]["checkpoint_request_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .parse()
        .expect("a number")
}

/// The lines of a stream.
pub struct Lines {
    pub encoding: Encoding,
    /// What arrives, until the stream ends in whatever way.
    body: BoxStream<'static, Bytes>,
    buffer: Vec<u8>,
    /// How much of the buffer holds no line feed.
    searched: usize,
}

impl Lines {
    pub async fn open(request: RequestBuilder) -> Lines {
        let response = within("the response head", request.send())
            .await
            .expect("sent");
        assert_eq!(response.status(), 200, "{:?}", response.text().await);
        Lines::of(response)
    }

    pub fn of(response: Response) -> Lines {
        let encodings = [Encoding::Json, Encoding::Bson];
        let of_response =
            |encoding: &Encoding| response.headers()["content-type"] == encoding.media_type();
        let encoding = encodings.into_iter().find(of_response);
        let arrived = response.bytes_stream();
        let body = arrived
            .take_while(|bytes| futures_util::future::ready(bytes.is_ok()))
            .filter_map(|bytes| futures_util::future::ready(bytes.ok()));
        Lines::new(encoding.expect("a known type"), body.boxed())
    }

    pub fn new(encoding: Encoding, body: BoxStream<'static, Bytes>) -> Lines {
        Lines {
            encoding,
            body,
            buffer: Vec::new(),
            searched: 0,
        }
    }

    /// The next line; none when the stream has ended, in whatever way.
    pub async fn next(&mut self) -> Option<Value> {
        let line = self.next_bytes().await?;
        Some(match self.encoding {
            Encoding::Json => serde_json::from_slice(&line).expect("JSON"),
            Encoding::Bson => without_floats(bson::deserialize_from_slice(&line).expect("BSON")),
        })
    }

    /// The same, as it was sent.
    pub async fn next_bytes(&mut self) -> Option<Vec<u8>> {
        loop {
            let length = match self.encoding {
                Encoding::Json => {
                    let unseen = &self.buffer[self.searched..];
                    let end = unseen.iter().position(|byte| *byte == b'\n');
                    end.map(|end| self.searched + end + 1)
                }
                Encoding::Bson => {
                    let length = self
                        .buffer
                        .first_chunk()
                        .map(|head| i32::from_le_bytes(*head));
                    let length = length.map(|length| usize::try_from(length).expect("a length"));
                    length.filter(|length| *length <= self.buffer.len())
                }
            };
            if let Some(length) = length {
                self.searched = 0;
                return Some(self.buffer.drain(..length).collect());
            }
            self.searched = self.buffer.len();
            self.buffer.extend(self.body.next().await?);
        }
    }
}
