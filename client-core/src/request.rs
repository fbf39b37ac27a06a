//! Requests with a deadline, and the credentials that they carry.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use squall_protocol::backend::{BackendError, Credentials};

use crate::client::Client;
use crate::error::ClientError;
use crate::platform::{Body, HttpError, HttpRequest, HttpResponse, Method, Platform};

/// Why the client is not in sync at the moment. All of these are tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    #[error("{to}: {source}")]
    Http { to: &'static str, source: HttpError },
    #[error("{to}: no answer within {deadline_ms} ms")]
    Deadline { to: &'static str, deadline_ms: u64 },
    #[error("{to}: answered with status {status}: {text}")]
    Status {
        to: &'static str,
        status: u16,
        text: String,
    },
    #[error("{to}: the answer is malformed: {source}")]
    Answer {
        to: &'static str,
        source: serde_json::Error,
    },
    #[error("{to}: the write checkpoint {text:?} is not a number")]
    WriteCheckpoint { to: &'static str, text: String },
    #[error("the stream was silent for {deadline_ms} ms")]
    Silent { deadline_ms: u64 },
    #[error("the service ended the stream")]
    StreamEnded,
    #[error(transparent)]
    Line(#[from] crate::lines::LineError),
    #[error("powersync_core did not ask for a stream")]
    NoStream,
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl<P: Platform> Client<P> {
    /// Runs that future with the deadline of a request.
    pub(crate) async fn in_time<T>(
        &self,
        to: &'static str,
        work: impl Future<Output = Result<T, SyncError>>,
    ) -> Result<T, SyncError> {
        let deadline_ms = self.0.config.request_deadline_ms;
        let deadline = self.0.platform.sleep(Duration::from_millis(deadline_ms));
        match select(pin!(work), pin!(deadline)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(SyncError::Deadline { to, deadline_ms }),
        }
    }

    /// Sends a request and waits for the head of a response with status 200, without a deadline.
    ///
    /// `token` is what the request was authorized with: if that is refused, it is not used again.
    pub(crate) async fn send(
        &self,
        to: &'static str,
        request: HttpRequest,
        token: Option<&str>,
    ) -> Result<HttpResponse<P::Body>, SyncError> {
        let mut response = self
            .0
            .platform
            .send(request)
            .await
            .map_err(|source| SyncError::Http { to, source })?;
        if response.status == 200 {
            return Ok(response);
        }
        if response.status == 401
            && let Some(token) = token
        {
            self.forget_token(token);
        }
        // What the body says about it is welcome, but the status is what counts.
        let body = read_all(&mut response.body).await.unwrap_or_default();
        let text = match serde_json::from_slice::<BackendError>(&body) {
            Ok(answer) => answer.error,
            Err(_) => String::from_utf8_lossy(&body).into_owned(),
        };
        Err(SyncError::Status {
            to,
            status: response.status,
            text,
        })
    }

    /// Sends a request and reads the whole answer, within the deadline.
    pub(crate) async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        to: &'static str,
        request: HttpRequest,
        token: Option<&str>,
    ) -> Result<T, SyncError> {
        self.in_time(to, async {
            let mut response = self.send(to, request, token).await?;
            let body = read_all(&mut response.body)
                .await
                .map_err(|source| SyncError::Http { to, source })?;
            serde_json::from_slice(&body).map_err(|source| SyncError::Answer { to, source })
        })
        .await
    }

    /// The credentials to use: those at hand, or new ones if they have expired or were refused.
    pub(crate) async fn credentials(&self) -> Result<Credentials, SyncError> {
        let now = self.0.platform.now_ms();
        let at_hand = self.0.state.credentials.borrow().clone();
        match at_hand.filter(|credentials| credentials.expires_at_ms > now) {
            Some(credentials) => Ok(credentials),
            None => self.fetch_credentials().await,
        }
    }

    /// Gets new credentials from the backend, whatever is at hand.
    pub(crate) async fn fetch_credentials(&self) -> Result<Credentials, SyncError> {
        let config = &self.0.config;
        let request = HttpRequest {
            method: Method::Get,
            url: format!(
                "{}/credentials?client={}",
                config.backend_url,
                query_value(&config.client)
            ),
            headers: Vec::new(),
            body: None,
        };
        let credentials: Credentials = self
            .ask("getting credentials from the backend", request, None)
            .await?;
        *self.0.state.credentials.borrow_mut() = Some(credentials.clone());
        Ok(credentials)
    }

    /// Drops the credentials at hand if they are the ones with that token.
    pub(crate) fn forget_token(&self, token: &str) {
        self.0
            .state
            .credentials
            .borrow_mut()
            .take_if(|credentials| credentials.token == token);
    }

    /// The pause before a retry; it ends early if the client is hurried.
    pub(crate) async fn pause(&self) {
        let hurries = &self.0.state.hurries;
        let before = hurries.get();
        let hurried = self.0.changed.until(|| hurries.get() != before);
        let delay = Duration::from_millis(self.0.config.retry_delay_ms);
        select(pin!(self.0.platform.sleep(delay)), pin!(hurried)).await;
    }
}

/// A value in a URL's query.
pub(crate) fn query_value(value: &str) -> PercentEncode<'_> {
    utf8_percent_encode(value, NON_ALPHANUMERIC)
}

async fn read_all(body: &mut impl Body) -> Result<Vec<u8>, HttpError> {
    let mut all = Vec::new();
    while let Some(chunk) = body.chunk().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_value_can_not_break_out_of_its_query() {
        let encoded = super::query_value("a-1 ö&b=c").to_string();
        assert_eq!(encoded, "a%2D1%20%C3%B6%26b%3Dc");
    }
}
