//! The browser as client-core's platform: `fetch` with a body that is read as it comes, timers and
//! the clock.
//!
//! Dropping a request or a body aborts it, and the browser closes its connection; so client-core's
//! deadlines need no code here.

use std::time::Duration;

use gloo_net::http::{Method as FetchMethod, RequestBuilder};
use gloo_timers::future::TimeoutFuture;
use js_sys::{Date, Reflect, Uint8Array};
use squall_client_core::Platform;
use squall_client_core::platform::{Body, HttpError, HttpRequest, HttpResponse, Method};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, ReadableStreamDefaultReader, RequestCache, RequestCredentials};

/// The worker that this runs in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Browser;

impl Platform for Browser {
    type Body = FetchBody;

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<FetchBody>, HttpError> {
        let abort = AbortOnDrop(AbortController::new().map_err(|error| thrown(&error))?);
        let method = match request.method {
            Method::Get => FetchMethod::GET,
            Method::Post => FetchMethod::POST,
        };
        let mut builder = RequestBuilder::new(&request.url)
            .method(method)
            .cache(RequestCache::NoStore)
            .credentials(RequestCredentials::Omit)
            .abort_signal(Some(&abort.0.signal()));
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let built = match request.body {
            Some(body) => builder.body(Uint8Array::from(body.as_slice())),
            None => builder.build(),
        };
        // A browser says little: a refused connection, a reset and a missing CORS header all read
        // "Failed to fetch". The address makes it useful.
        let no_answer =
            |error: gloo_net::Error| HttpError(format!("no answer from {}: {error}", request.url));
        let response = built.map_err(no_answer)?.send().await.map_err(no_answer)?;
        let reader = match response.body() {
            Some(stream) => {
                Some(ReadableStreamDefaultReader::new(&stream).map_err(|error| thrown(&error))?)
            }
            None => None,
        };
        Ok(HttpResponse {
            status: response.status(),
            body: FetchBody {
                reader,
                _abort: abort,
            },
        })
    }

    async fn sleep(&self, duration: Duration) {
        TimeoutFuture::new(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)).await;
    }

    fn now_ms(&self) -> u64 {
        Date::now() as u64
    }
}

/// The body of a response that is still arriving.
pub struct FetchBody {
    /// None at the end, or if there is no body.
    reader: Option<ReadableStreamDefaultReader>,
    _abort: AbortOnDrop,
}

impl Body for FetchBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        let Some(reader) = &self.reader else {
            return Ok(None);
        };
        let result = JsFuture::from(reader.read())
            .await
            .map_err(|error| HttpError(format!("the answer broke off: {}", message_of(&error))))?;
        let field =
            |name: &str| Reflect::get(&result, &name.into()).map_err(|error| thrown(&error));
        if field("done")?.is_truthy() {
            self.reader = None;
            return Ok(None);
        }
        let bytes: Uint8Array = field("value")?.unchecked_into();
        Ok(Some(bytes.to_vec()))
    }
}

/// Aborts the request when it is dropped. Aborting what is complete does nothing.
struct AbortOnDrop(AbortController);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn thrown(error: &JsValue) -> HttpError {
    HttpError(message_of(error))
}

/// The message of something that JavaScript threw.
fn message_of(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.to_string()),
        None => format!("{thrown:?}"),
    }
}
