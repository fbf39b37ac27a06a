//! The HTTP shell.
//!
//! A stream's body is made line by line when the connection has room for it: a slow client costs one
//! line of memory and nobody else's time, and a client that went away takes its state with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::core::lines::{Line, write_checkpoint};
use crate::core::request::{InvalidRequest, StreamRequest};
use crate::core::source::Lsn;
use crate::core::stream::{Step, SyncStream};
use crate::core::token::{Claims, TokenError, Verifier};
use crate::core::write_checkpoints::{WriteCheckpoints, client_key};
use crate::postgres::head::Head;
use crate::sqlite::{Reader, SqliteError};
use crate::writer::Published;

/// PowerSync's limit for a request's body, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// How long before a token's expiry its client is told, apart from the keepalive lines.
const EXPIRY_WARNING: Duration = Duration::from_secs(20);

/// How long the source may take to answer a request for a write checkpoint.
const SOURCE_DEADLINE: Duration = Duration::from_secs(10);

/// What the handlers share.
pub struct Shared {
    pub verifier: Verifier,
    pub published: Published,
    pub reader: Reader,
    pub head: Head,
    pub write_checkpoints: Arc<Mutex<WriteCheckpoints>>,
    pub keepalive_interval: Duration,
}

/// The service's paths.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/sync/stream", post(stream))
        .route("/write-checkpoint2.json", get(write_checkpoint2))
        .route("/probes/startup", get(probe))
        .route("/probes/liveness", get(probe))
        .route("/probes/readiness", get(probe))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(middleware::from_fn(cors))
        .with_state(shared)
}

/// An answer that is an error, in PowerSync's shape.
#[derive(Debug)]
struct Failure {
    status: StatusCode,
    code: &'static str,
    name: &'static str,
    description: String,
    details: Option<String>,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut error = json!({
            "name": self.name,
            "code": self.code,
            "status": self.status.as_u16(),
            "description": self.description,
        });
        if let Some(details) = self.details {
            error["details"] = Value::String(details);
        }
        (self.status, axum::Json(json!({ "error": error }))).into_response()
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Failure {
            status: StatusCode::UNAUTHORIZED,
            code: error.code(),
            name: "AuthorizationError",
            description: error.to_string(),
            details: None,
        }
    }
}

impl From<InvalidRequest> for Failure {
    fn from(error: InvalidRequest) -> Self {
        Failure {
            status: StatusCode::BAD_REQUEST,
            code: "PSYNC_S2001",
            name: "ValidationError",
            description: "Validation failed".into(),
            details: Some(json!(error.problems).to_string()),
        }
    }
}

async fn not_found(method: Method, uri: Uri) -> Failure {
    Failure {
        status: StatusCode::NOT_FOUND,
        code: "PSYNC_S2002",
        name: "RouteNotFound",
        description: "The path does not exist on this server".into(),
        details: Some(format!(
            "The path {method} \"{}\" does not exist on this server",
            uri.path()
        )),
    }
}

/// Lets pages of every origin in, and see errors too: a page that may not read a 401 takes it for a
/// lost connection and never gets a new token.
async fn cors(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(header::ACCESS_CONTROL_EXPOSE_HEADERS, "Content-Type");
    if preflight {
        set(header::ACCESS_CONTROL_ALLOW_METHODS, "GET,HEAD,POST");
        set(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Content-Type,Authorization,User-Agent,X-User-Agent",
        );
        set(header::ACCESS_CONTROL_MAX_AGE, "3600");
    }
    response
}

async fn probe(State(shared): State<Arc<Shared>>) -> Response {
    let ready = shared.published.borrow().is_some();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    let body = json!({ "ready": ready, "started": true, "touched_at": iso_time(since_epoch()) });
    (status, axum::Json(body)).into_response()
}

async fn write_checkpoint2(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(query) = query.map_err(|error| InvalidRequest {
        problems: vec![error.body_text()],
    })?;
    let claims = authorize(&shared, &headers)?;
    let client = client_key(&claims.user, query.get("client_id").map(String::as_str));
    let request = |lsn: Lsn| lock(&shared.write_checkpoints).request(client.clone(), lsn);
    let unavailable = |description| Failure {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "PSYNC_S2001",
        name: "InternalServerError",
        description,
        details: None,
    };
    let lsn = tokio::time::timeout(SOURCE_DEADLINE, shared.head.write_checkpoint(request))
        .await
        .map_err(|_| {
            unavailable("The source database did not answer in time; try again".to_owned())
        })?
        .map_err(|error| unavailable(format!("No write checkpoint now; try again: {error}")))?;
    let id = write_checkpoint(lsn).to_string();
    Ok(axum::Json(json!({ "data": { "write_checkpoint": id } })).into_response())
}

async fn stream(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    // PowerSync too looks at the request first and at the token second.
    let request = StreamRequest::from_json(&read_body(&head.headers, body).await?)?;
    let claims = authorize(&shared, &head.headers)?;
    if shared.published.borrow().is_none() {
        return Err(Failure {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "PSYNC_S2302",
            name: "ServiceError",
            description: "The first snapshot is not complete yet; try again".into(),
            details: None,
        });
    }
    let connection = Connection::new(shared, request, &claims);
    let lines = futures_util::stream::unfold(connection, |mut connection| async {
        let line = connection.next_line().await?;
        Some((line, connection))
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Reverse proxies would hold lines back.
        (
            header::HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

fn authorize(shared: &Shared, headers: &HeaderMap) -> Result<Claims, TokenError> {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    shared
        .verifier
        .verify(authorization, since_epoch().as_secs())
}

/// The body as JSON; an empty object if its type says that it is something else.
async fn read_body(headers: &HeaderMap, body: Body) -> Result<Value, Failure> {
    let refuse = |status, code, description: &str| Failure {
        status,
        code,
        name: "FastifyError",
        description: description.into(),
        details: None,
    };
    let bytes = axum::body::to_bytes(body, MAX_BODY).await.map_err(|_| {
        refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            "FST_ERR_CTP_BODY_TOO_LARGE",
            "Request body is too large",
        )
    })?;
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.trim_start().starts_with("application/json")) {
        return Ok(json!({}));
    }
    if bytes.is_empty() {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            "FST_ERR_CTP_EMPTY_JSON_BODY",
            "Body cannot be empty when content-type is set to 'application/json'",
        ));
    }
    serde_json::from_slice(&bytes).map_err(|_| {
        refuse(
            StatusCode::BAD_REQUEST,
            "FST_ERR_CTP_INVALID_JSON_BODY",
            "Body is not valid JSON but content-type is set to 'application/json'",
        )
    })
}

/// One client's open stream.
struct Connection {
    shared: Arc<Shared>,
    published: Published,
    stream: SyncStream,
    client: String,
    expires_at: Instant,
    /// None once it was given.
    warning_at: Option<Instant>,
    keepalive_at: Instant,
    ended: bool,
}

impl Connection {
    fn new(shared: Arc<Shared>, request: StreamRequest, claims: &Claims) -> Connection {
        let now = Instant::now();
        let lifetime = Duration::from_secs(claims.expires_at_s).saturating_sub(since_epoch());
        Connection {
            published: shared.published.clone(),
            stream: SyncStream::new(request.positions, request.raw_data),
            client: client_key(&claims.user, request.client_id.as_deref()),
            expires_at: now + lifetime,
            warning_at: lifetime.checked_sub(EXPIRY_WARNING).map(|left| now + left),
            keepalive_at: now + shared.keepalive_interval,
            shared,
            ended: false,
        }
    }

    /// Waits for the next line; none at the end of the stream.
    async fn next_line(&mut self) -> Option<Result<Bytes, SqliteError>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(line) = self.line_of_time() {
                return Some(Ok(line.into()));
            }
            let newest = self.published.borrow_and_update().clone()?;
            let requested = lock(&self.shared.write_checkpoints).requested(&self.client);
            match self.stream.step(&newest, requested) {
                Step::Line(line) => return Some(Ok(line.into())),
                Step::Fetch(fetch) => match self.shared.reader.fetch(fetch.clone()).await {
                    Ok(operations) => {
                        if let Some(line) = self.stream.fetched(&fetch, &operations) {
                            return Some(Ok(line.into()));
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, client = self.client, "a stream ends");
                        self.ended = true;
                        return Some(Err(error));
                    }
                },
                Step::Wait => {
                    let timer = self
                        .warning_at
                        .into_iter()
                        .chain([self.keepalive_at, self.expires_at])
                        .min();
                    tokio::select! {
                        changed = self.published.changed() => self.ended = changed.is_err(),
                        () = tokio::time::sleep_until(timer.unwrap_or(self.keepalive_at)) => {}
                    }
                }
            }
        }
    }

    /// The line that is due at this time, if one is.
    fn line_of_time(&mut self) -> Option<String> {
        let now = Instant::now();
        if now >= self.expires_at {
            self.ended = true;
            return Some(Line::TokenExpiresIn(0).to_json());
        }
        let warn = self.warning_at.is_some_and(|at| now >= at);
        if !warn && now < self.keepalive_at {
            return None;
        }
        if warn {
            self.warning_at = None;
        }
        self.keepalive_at = now + self.shared.keepalive_interval;
        // Rounded up: only the last line may say 0.
        let left = (self.expires_at - now).as_millis().div_ceil(1000);
        Some(Line::TokenExpiresIn(u64::try_from(left).unwrap_or(u64::MAX)).to_json())
    }
}

fn lock(
    write_checkpoints: &Mutex<WriteCheckpoints>,
) -> std::sync::MutexGuard<'_, WriteCheckpoints> {
    write_checkpoints
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The time as `2026-01-02T03:04:05.678Z`. Days to dates: Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `civil_from_days`.
fn iso_time(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        since_epoch.subsec_millis()
    )
}
