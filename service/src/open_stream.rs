//! One client's open stream: the lines of the [core's][crate::core::stream], and those of the clock.
//!
//! A line is made when the connection has room for it: a slow client costs one line of memory and
//! nobody else's time, and a client that went away takes its state with it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use tokio::time::Instant;

use crate::core::encoding::Encoding;
use crate::core::lines::Line;
use crate::core::request::StreamRequest;
use crate::core::stream::{Step, SyncStream};
use crate::core::token::Claims;
use crate::core::write_checkpoints::client_key;
use crate::failure::Failure;
use crate::shared::{Shared, since_epoch};
use crate::sqlite::SqliteError;
use crate::writer::Published;

/// How long before a token's expiry its client is told, apart from the keepalive lines.
const EXPIRY_WARNING: Duration = Duration::from_secs(20);

/// One client's open stream.
pub struct OpenStream {
    shared: Arc<Shared>,
    published: Published,
    stream: SyncStream,
    encoding: Encoding,
    client: String,
    expires_at: Instant,
    /// None once it was given.
    warning_at: Option<Instant>,
    /// None if the transport has keepalives of its own.
    keepalive_at: Option<Instant>,
    ended: bool,
}

impl OpenStream {
    /// Opens a stream for a client that may have one. `keepalives`: an idle one gets lines.
    pub fn open(
        shared: Arc<Shared>,
        request: &StreamRequest,
        claims: &Claims,
        encoding: Encoding,
        keepalives: bool,
    ) -> Result<OpenStream, Failure> {
        if shared.published.borrow().is_none() {
            return Err(Failure {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                code: "PSYNC_S2302",
                name: "ServiceError",
                description: "The first snapshot is not complete yet; try again".into(),
                details: None,
            });
        }
        let now = Instant::now();
        let lifetime = Duration::from_secs(claims.expires_at_s).saturating_sub(since_epoch());
        Ok(OpenStream {
            published: shared.published.clone(),
            stream: SyncStream::new(request, encoding),
            encoding,
            client: client_key(&claims.user, request.client_id.as_deref()),
            expires_at: now + lifetime,
            warning_at: lifetime.checked_sub(EXPIRY_WARNING).map(|left| now + left),
            keepalive_at: keepalives.then(|| now + shared.keepalive_interval),
            shared,
            ended: false,
        })
    }

    /// Waits for the next line; none at the end of the stream.
    pub async fn next_line(&mut self) -> Option<Result<Bytes, SqliteError>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(line) = self.line_of_time() {
                return Some(Ok(line));
            }
            let newest = self.published.borrow_and_update().clone()?;
            let requested = self.shared.requested(&self.client);
            match self.stream.step(&newest, requested) {
                Step::Line(line) => return Some(Ok(line)),
                Step::Fetch(fetch) => match self.shared.reader.fetch(fetch.clone()).await {
                    Ok(operations) => {
                        if let Some(line) = self.stream.fetched(&fetch, &operations) {
                            return Some(Ok(line));
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, client = self.client, "a stream ends");
                        self.ended = true;
                        return Some(Err(error));
                    }
                },
                Step::Wait => {
                    let timers = [self.warning_at, self.keepalive_at, Some(self.expires_at)];
                    let timer = timers.into_iter().flatten().min();
                    tokio::select! {
                        changed = self.published.changed() => self.ended = changed.is_err(),
                        () = tokio::time::sleep_until(timer.unwrap_or(self.expires_at)) => {}
                    }
                }
            }
        }
    }

    /// The line that is due at this time, if one is.
    fn line_of_time(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        if now >= self.expires_at {
            self.ended = true;
            return Some(self.encoding.encode(&Line::TokenExpiresIn(0)));
        }
        let warn = self.warning_at.is_some_and(|at| now >= at);
        if !warn && self.keepalive_at.is_none_or(|at| now < at) {
            return None;
        }
        if warn {
            self.warning_at = None;
        }
        if let Some(at) = &mut self.keepalive_at {
            *at = now + self.shared.keepalive_interval;
        }
        // Rounded up: only the last line may say 0.
        let left = (self.expires_at - now).as_millis().div_ceil(1000);
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        Some(self.encoding.encode(&Line::TokenExpiresIn(left)))
    }
}
