//! The HTTP shell.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::core::encoding::Encoding;
use crate::core::request::{CheckpointRequest, InvalidRequest, StreamRequest};
use crate::core::write_checkpoints::client_key;
use crate::failure::Failure;
use crate::open_stream::OpenStream;
use crate::shared::{MAX_REQUEST, Shared, since_epoch};
use crate::socket;

/// The service's paths.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/sync/stream", post(stream).get(socket::upgrade))
        .route("/sync/checkpoint-request", post(checkpoint_request))
        .route("/write-checkpoint2.json", get(write_checkpoint2))
        .route("/probes/startup", get(probe))
        .route("/probes/liveness", get(probe))
        .route("/probes/readiness", get(probe))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(middleware::from_fn(cors))
        .with_state(shared)
}

async fn not_found(method: Method, uri: Uri) -> Failure {
    Failure::not_found(&method, uri.path())
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
    let claims = shared.authorize(authorization(&headers))?;
    let client = client_key(&claims.user, query.get("client_id").map(String::as_str));
    let id = shared.write_checkpoint(&client, None).await?.to_string();
    Ok(axum::Json(json!({ "data": { "write_checkpoint": id } })).into_response())
}

/// A write checkpoint with an id that the client counts, so that it survives a service that lost its
/// own.
async fn checkpoint_request(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    let request = CheckpointRequest::from_json(&read_body(&head.headers, body).await?)?;
    let claims = shared.authorize(authorization(&head.headers))?;
    let client = client_key(&claims.user, Some(&request.client_id));
    let id = shared.write_checkpoint(&client, Some(request.id)).await?;
    let id = id.to_string();
    Ok(axum::Json(json!({ "data": { "checkpoint_request_id": id } })).into_response())
}

async fn stream(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    // PowerSync too looks at the request first and at the token second.
    let request = StreamRequest::from_json(&read_body(&head.headers, body).await?)?;
    let claims = shared.authorize(authorization(&head.headers))?;
    let accept = head.headers.get(header::ACCEPT);
    let encoding = Encoding::accepted(accept.and_then(|value| value.to_str().ok()));
    let stream = OpenStream::open(shared, &request, &claims, encoding, true)?;
    let lines = futures_util::stream::unfold(stream, |mut stream| async {
        let line = stream.next_line().await?;
        Some((line, stream))
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(encoding.media_type()),
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

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
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
    let bytes = axum::body::to_bytes(body, MAX_REQUEST).await.map_err(|_| {
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
