//! The platform of a native client: reqwest, tokio's timer and the system's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use squall_client_core::platform::{Body, HttpError, HttpRequest, HttpResponse, Method, Platform};

/// HTTP over connections of one request each: a kept connection that died unnoticed (which is what
/// this program's faults do) would only fail the next request.
pub struct NativePlatform {
    http: reqwest::Client,
}

impl NativePlatform {
    pub fn new() -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("no HTTP client could be made: {}", chain(&error)))?;
        Ok(NativePlatform { http })
    }
}

impl Platform for NativePlatform {
    type Body = NativeBody;

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<NativeBody>, HttpError> {
        let mut builder = match request.method {
            Method::Get => self.http.get(&request.url),
            Method::Post => self.http.post(&request.url),
        };
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let response = builder.send().await.map_err(http_error)?;
        Ok(HttpResponse {
            status: response.status().as_u16(),
            body: NativeBody(response),
        })
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await
    }

    fn now_ms(&self) -> u64 {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The body of a response.
pub struct NativeBody(reqwest::Response);

impl Body for NativeBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        let chunk = self.0.chunk().await.map_err(http_error)?;
        Ok(chunk.map(|bytes| bytes.into()))
    }
}

fn http_error(error: reqwest::Error) -> HttpError {
    HttpError(chain(&error))
}

/// An error with its causes; reqwest's own text leaves them out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
