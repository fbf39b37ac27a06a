//! The backend that clients upload to, as an application's own server would be: it hands out
//! credentials for the sync service, and applies each upload as one PostgreSQL transaction. The API
//! is described in [`squall_protocol::backend`].
//!
//! It knows one workload's merge rule, and neither runs nor faults; those are on the way to it.

pub mod same_origin;
pub mod token;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use deadpool_postgres::{Hook, HookError, Manager, Pool};
use serde::Deserialize;
use squall_client_native::session::{self, describe};
use squall_protocol::backend::{
    BackendError, Credentials, CrudOp, CrudValue, Upload, UploadAnswer,
};
use squall_workloads::{Merge, Workload};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, NoTls};
use tower_http::cors::{AllowOrigin, CorsLayer};

use token::Signer;

/// How often an upload is tried again after PostgreSQL found it in conflict with another, before
/// the client is told to come back later.
const ATTEMPTS: u32 = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(128);
/// PostgreSQL may be unable to take a client's uploads for so long before that counts as trouble of the
/// infrastructure: a full disk, a table that somebody has dropped, a constraint that somebody has added.
const UNABLE: Duration = Duration::from_secs(5);

/// What a backend needs to know.
pub struct Options {
    pub database_url: String,
    pub workload: &'static dyn Workload,
    pub signer: Arc<Signer>,
    /// How many connections to the database it may have.
    pub connections: usize,
    /// Whether PostgreSQL is down on purpose.
    pub down: watch::Receiver<bool>,
    /// Is called, once, when PostgreSQL takes no uploads although it is not down on purpose.
    pub on_trouble: Arc<dyn Fn(String) + Send + Sync>,
}

/// Why there can be no backend.
#[derive(Debug, thiserror::Error)]
pub enum BackendStartError {
    #[error("the database's address makes no sense: {0}")]
    Address(#[from] tokio_postgres::Error),
    #[error("no pool of connections: {0}")]
    Pool(#[from] deadpool_postgres::BuildError),
}

/// The backend. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Backend {
    workload: &'static dyn Workload,
    pool: Pool,
    signer: Arc<Signer>,
    /// By client.
    endpoints: Arc<Mutex<BTreeMap<String, Endpoint>>>,
    /// The port of the pages that may speak to it.
    pages: Arc<OnceLock<u16>>,
    inability: Arc<Mutex<Inability>>,
    down: watch::Receiver<bool>,
    on_trouble: Arc<dyn Fn(String) + Send + Sync>,
}

/// What a client is told.
#[derive(Clone)]
struct Endpoint {
    /// The user that its tokens name: tabs on one database are one.
    user: String,
    /// The address of the sync service: it leads through the proxy of what the client runs on.
    service: String,
}

/// Since when PostgreSQL has taken no upload of a client, by client.
#[derive(Default)]
struct Inability {
    since: BTreeMap<String, Instant>,
    told: bool,
}

impl Inability {
    /// An upload went well, or not. Answers whether that is to be told now.
    fn see(&mut self, client: &str, able: bool, now: Instant) -> bool {
        if able {
            self.since.remove(client);
            return false;
        }
        let since = self.since.entry(client.to_owned()).or_insert(now);
        let tell = now - *since > UNABLE && !self.told;
        self.told |= tell;
        tell
    }
}

impl Backend {
    /// A backend that nobody can reach yet.
    ///
    /// # Errors
    ///
    /// When the database's address makes no sense.
    pub fn new(options: Options) -> Result<Backend, BackendStartError> {
        let config: tokio_postgres::Config = options.database_url.parse()?;
        let pool = Pool::builder(Manager::new(config, NoTls))
            .max_size(options.connections)
            .post_create(Hook::async_fn(|connection, _| {
                Box::pin(async move {
                    let set = connection.batch_execute(session::SETTINGS).await;
                    set.map_err(HookError::Backend)
                })
            }))
            .build()?;
        Ok(Backend {
            workload: options.workload,
            pool,
            signer: options.signer,
            endpoints: Arc::default(),
            pages: Arc::default(),
            inability: Arc::default(),
            down: options.down,
            on_trouble: options.on_trouble,
        })
    }

    /// Its endpoints.
    pub fn router(&self) -> Router {
        let pages = Arc::clone(&self.pages);
        let is_ours = AllowOrigin::predicate(move |origin, _| same_origin::is_of(&pages, origin));
        Router::new()
            .route("/credentials", get(credentials))
            .route("/upload", post(upload))
            // Whatever a client can hold in one transaction or in one batch of 100 KB rows.
            .layer(DefaultBodyLimit::disable())
            .layer(from_fn_with_state(
                Arc::clone(&self.pages),
                same_origin::require_pages_of,
            ))
            // Outermost: a browser asks without the request's own headers first.
            .layer(CorsLayer::very_permissive().allow_origin(is_ours))
            .with_state(self.clone())
    }

    /// Listens on that port of the loopback interface; 0 means a free one. Ends with the program.
    ///
    /// # Errors
    ///
    /// When the port cannot be had.
    pub async fn listen(&self, port: u16) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(address)
    }

    /// Lets pages on that port of this machine in, and no others.
    pub fn allow_pages(&self, port: u16) {
        let _ = self.pages.set(port);
    }

    /// Lets a client in: from now on it is told that the sync service is at that address, and that it is that user.
    pub fn register(&self, client: &str, user: &str, service: String) {
        let user = user.to_owned();
        let mut endpoints = self.endpoints.lock().expect("no one panics here");
        endpoints.insert(client.to_owned(), Endpoint { user, service });
    }
}

#[derive(Deserialize)]
struct CredentialsQuery {
    client: String,
}

async fn credentials(
    State(backend): State<Backend>,
    Query(query): Query<CredentialsQuery>,
) -> Result<Json<Credentials>, Refusal> {
    let endpoint = backend
        .endpoints
        .lock()
        .expect("no one panics here")
        .get(&query.client)
        .cloned()
        .ok_or_else(|| {
            Refusal(
                StatusCode::NOT_FOUND,
                format!("there is no client {} in this run", query.client),
            )
        })?;
    let (token, expires_at_ms) = backend.signer.token(&endpoint.user);
    Ok(Json(Credentials {
        endpoint: endpoint.service,
        token,
        expires_at_ms,
    }))
}

async fn upload(
    State(backend): State<Backend>,
    headers: HeaderMap,
    Json(upload): Json<Upload>,
) -> Result<Json<UploadAnswer>, Refusal> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or_else(|| unauthorized("the header `Authorization: Bearer TOKEN` is missing"))?;
    backend
        .signer
        .verify(bearer)
        .map_err(|error: token::Invalid| unauthorized(&error.to_string()))?;
    let statements: Vec<Merge> = upload
        .crud
        .iter()
        .map(|entry| backend.workload.merge(entry))
        .collect::<Result<_, String>>()
        .map_err(|error| Refusal(StatusCode::UNPROCESSABLE_ENTITY, error))?;

    let mut pause = FIRST_PAUSE;
    for _ in 0..ATTEMPTS {
        let applied = apply(&backend.pool, &upload, &statements).await;
        let able = !matches!(applied, Err(ApplyError::Later(_))) || *backend.down.borrow();
        let tell = {
            let mut inability = backend.inability.lock().expect("no one panics here");
            inability.see(&upload.client_id, able, Instant::now())
        };
        match applied {
            Ok(repeated) => return Ok(Json(UploadAnswer { repeated })),
            Err(ApplyError::Conflict) => tokio::time::sleep(pause).await,
            Err(ApplyError::Refused(error)) => {
                return Err(Refusal(StatusCode::UNPROCESSABLE_ENTITY, error));
            }
            Err(ApplyError::Later(error)) => {
                if tell {
                    (backend.on_trouble)(format!(
                        "PostgreSQL has taken no upload of a client for {UNABLE:?}: {error}"
                    ));
                }
                return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, error));
            }
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Err(Refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("PostgreSQL found the upload in conflict with others {ATTEMPTS} times; try later"),
    ))
}

enum ApplyError {
    /// Another transaction was in the way; the same may succeed at once.
    Conflict,
    /// It can never succeed.
    Refused(String),
    /// The database cannot do it now.
    Later(String),
}

impl From<tokio_postgres::Error> for ApplyError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED) => {
                ApplyError::Conflict
            }
            _ => ApplyError::Later(describe(&error)),
        }
    }
}

/// Applies an upload in one transaction. Answers whether it had been applied before.
async fn apply(pool: &Pool, upload: &Upload, merges: &[Merge]) -> Result<bool, ApplyError> {
    let mut connection = pool
        .get()
        .await
        .map_err(|error| ApplyError::Later(format!("no connection to PostgreSQL: {error}")))?;
    let transaction = connection
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .await?;
    let remember = transaction
        .prepare_cached("INSERT INTO squall_uploads (client_id, upload_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .await?;
    let new = transaction
        .execute(&remember, &[&upload.client_id, &upload.upload_id])
        .await?;
    if new == 0 {
        return Ok(true);
    }
    for (merge, entry) in merges.iter().zip(&upload.crud) {
        let statement = transaction.prepare_cached(merge.sql).await?;
        let parameters: Vec<_> = merge.parameters.iter().map(parameter).collect();
        let touched = transaction.execute(&statement, &parameters).await?;
        // An insert may find its row there, and a deletion may find it gone.
        if touched == 0 && entry.op == CrudOp::Patch {
            return Err(ApplyError::Refused(format!(
                "there is no row {} in {}",
                entry.id, entry.table
            )));
        }
    }
    transaction.commit().await?;
    Ok(false)
}

fn parameter(value: &CrudValue) -> &(dyn ToSql + Sync) {
    match value {
        CrudValue::Null => &None::<String>,
        CrudValue::Integer(integer) => integer,
        CrudValue::Real(real) => real,
        CrudValue::Text(text) => text,
    }
}

/// An answer that is not 200.
struct Refusal(StatusCode, String);

fn unauthorized(error: &str) -> Refusal {
    Refusal(StatusCode::UNAUTHORIZED, error.to_owned())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(BackendError { error: self.1 })).into_response()
    }
}

#[cfg(test)]
mod tests {
    use squall_protocol::plan;

    use super::*;
    use crate::token::Secret;

    #[tokio::test]
    async fn pages_of_others_get_no_credentials() {
        // Nothing of this test needs a database.
        let options = Options {
            database_url: "postgres://nobody@127.0.0.1:1/none".to_owned(),
            workload: squall_workloads::workload(plan::Workload::Mww, false),
            signer: Arc::new(Signer::new(Secret::random()).unwrap()),
            connections: 1,
            down: watch::Sender::new(false).subscribe(),
            on_trouble: Arc::new(|trouble| panic!("{trouble}")),
        };
        let backend = Backend::new(options).unwrap();
        let address = backend.listen(0).await.unwrap();
        backend.register("wasm-1", "wasm-1", "http://127.0.0.1:2".to_owned());
        backend.allow_pages(4000);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let ask = async |headers: &[(&str, &str)]| {
            let url = format!("http://{address}/credentials?client=wasm-1");
            let request = headers
                .iter()
                .fold(http.get(url), |request, (name, value)| {
                    request.header(*name, *value)
                });
            let answer = request.send().await.unwrap();
            let allowed = answer.headers().get("access-control-allow-origin").cloned();
            (answer.status().as_u16(), allowed.is_some())
        };
        assert_eq!(ask(&[]).await.0, 200);
        let own = [("origin", "http://c1.localhost:4000")];
        assert_eq!(ask(&own).await, (200, true));
        for foreign in [
            ("origin", "http://evil.example"),
            ("origin", "http://c1.localhost:4001"),
            ("origin", "http://c1.localhost.evil.example:4000"),
            ("origin", "null"),
            ("host", "evil.example"),
        ] {
            assert_eq!(ask(&[foreign]).await, (403, false), "{foreign:?}");
        }
    }

    #[test]
    fn only_a_client_that_fails_all_the_time_is_told_of_and_once() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut inability = Inability::default();
        for (client, able, seconds, told) in [
            ("a", false, 0, false),
            ("b", false, 1, false),
            ("a", true, 4, false),
            ("a", false, 5, false),
            ("b", false, 6, false),
            ("b", false, 7, true),
            ("b", false, 8, false),
            ("a", false, 20, false),
        ] {
            assert_eq!(
                inability.see(client, able, at(seconds)),
                told,
                "{client} at {seconds}"
            );
        }
    }
}
