//! What a client needs from the world around it: HTTP, a timer and a clock.
//!
//! Deliberately not here: the database. A shell opens the SQLite connection as its system wants it
//! opened and hands it to [`crate::Client::open`].

// The clients live on one thread (a browser's worker has no other), so no future here is `Send`.
#![allow(async_fn_in_trait)]

use std::time::Duration;

/// A system that a client runs on.
pub trait Platform: 'static {
    type Body: Body;

    /// Sends a request; resolves when the head of the response is there, whatever its status.
    ///
    /// Dropping the future, or later the body, aborts the request and closes its connection. There
    /// is no deadline in here: the client brings its own.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<Self::Body>, HttpError>;

    /// Resolves after that time. Dropping the future cancels it.
    async fn sleep(&self, duration: Duration);

    /// The wall clock, in milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// The body of a response, as it arrives.
pub trait Body {
    /// The next bytes, at least one of them; none at the regular end of the body.
    ///
    /// The client drops an unfinished future only together with the body, so an implementation need
    /// not be able to resume.
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError>;
}

/// The methods in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

impl Method {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
        }
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: Method,
    pub url: String,
    /// Names in lower case, with their values.
    pub headers: Vec<(&'static str, String)>,
    /// None for a GET.
    pub body: Option<Vec<u8>>,
}

/// A response whose head has arrived.
#[derive(Debug)]
pub struct HttpResponse<B> {
    pub status: u16,
    pub body: B,
}

/// A request that got no response, or whose response broke off; the text says what happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HttpError(pub String);
