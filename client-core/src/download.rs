//! The download loop: one stream after the other, every line of it given to powersync_core.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, Fuse, FutureExt, select};
use futures_util::stream;
use futures_util::{StreamExt, select_biased};
use squall_protocol::contract::LogLevel;

use crate::client::{Client, StreamEnd};
use crate::instruction::{Instruction, Severity};
use crate::lines::Lines;
use crate::platform::{Body, HttpRequest, Method, Platform};
use crate::request::SyncError;

/// What powersync_core is told at the beginning of an iteration; the tables are known to it already.
const START: &str = r#"{"parameters":{},"schema":{"tables":[]}}"#;

impl<P: Platform> Client<P> {
    /// Keeps a stream open while the client is to be connected; resolves when it is closed.
    pub(crate) async fn download_loop(&self) {
        while let Some(generation) = self.wanted().await {
            let began_ms = self.0.platform.now_ms();
            let ended = match select(pin!(self.stream()), pin!(self.given_up(generation))).await {
                Either::Left((ended, _)) => Some(ended),
                Either::Right(_) => None,
            };
            self.end_iteration();
            match ended {
                // Disconnected or closed by the owner.
                None => continue,
                // Not in a circle, though, should the service find fault with every new token.
                Some(Ok(StreamEnd::Replace))
                    if self.0.platform.now_ms().saturating_sub(began_ms)
                        >= self.0.config.retry_delay_ms =>
                {
                    continue;
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let error = error.to_string();
                    self.log(LogLevel::Info, format!("download: {error}"));
                    *self.0.state.download_error.borrow_mut() = Some(error);
                    self.0.changed.notify();
                }
            }
            select(pin!(self.pause()), pin!(self.given_up(generation))).await;
        }
    }

    /// One iteration: opens a stream and feeds it to powersync_core until it ends.
    async fn stream(&self) -> Result<StreamEnd, SyncError> {
        let credentials = self.credentials().await?;
        self.0.state.stream_end.set(None);
        self.0.state.prefetch.set(false);
        let request = self.control("start", START)?.ok_or(SyncError::NoStream)?;
        let to = "opening the stream";
        let request = HttpRequest {
            method: Method::Post,
            url: format!("{}/sync/stream", credentials.endpoint),
            headers: vec![
                ("accept", "application/x-ndjson".to_owned()),
                ("authorization", format!("Token {}", credentials.token)),
                ("content-type", "application/json".to_owned()),
            ],
            body: Some(request.into_bytes()),
        };
        let response = self
            .in_time(to, self.send(to, request, Some(&credentials.token)))
            .await?;
        self.control("connection", "established")?;

        // As a stream, so that a chunk half received survives the looks at other things.
        let mut chunks = pin!(stream::unfold(Some(response.body), |body| async {
            let mut body = body?;
            let chunk = body.chunk().await;
            let rest = matches!(chunk, Ok(Some(_))).then_some(body);
            Some((chunk, rest))
        }));
        let idle_deadline_ms = self.0.config.stream_idle_deadline_ms;
        let idle = || {
            self.0
                .platform
                .sleep(Duration::from_millis(idle_deadline_ms))
                .fuse()
        };
        let mut silence = Box::pin(idle());
        let mut refresh = pin!(Fuse::terminated());
        let mut lines = Lines::default();
        let state = &self.0.state;
        loop {
            if let Some(end) = state.stream_end.take() {
                if !state.credentials.borrow().is_some() {
                    // powersync_core dropped them: they have expired.
                    self.log(LogLevel::Info, "download: the token has expired");
                }
                return Ok(end);
            }
            if state.prefetch.take() {
                refresh.set(self.refresh(&credentials.token).fuse());
            }
            let mut notified = pin!(
                self.0
                    .changed
                    .until(|| state.stream_end.get().is_some() || state.prefetch.get())
                    .fuse()
            );
            select_biased! {
                () = notified => {}
                () = refresh => {}
                chunk = chunks.next() => match chunk {
                    Some(Ok(Some(chunk))) => {
                        silence = Box::pin(idle());
                        lines.push(&chunk);
                        self.lines(&mut lines)?;
                    }
                    Some(Err(source)) => {
                        return Err(SyncError::Http { to: "reading the stream", source });
                    }
                    Some(Ok(None)) | None => return Err(SyncError::StreamEnded),
                },
                () = silence => {
                    return Err(SyncError::Silent { deadline_ms: idle_deadline_ms });
                }
            }
        }
    }

    /// Gives powersync_core all lines that have arrived whole, in one transaction: a client whose
    /// commits are slow (some 8 ms on OPFS) could not keep up with a commit per line.
    fn lines(&self, arrived: &mut Lines) -> Result<(), SyncError> {
        let mut lines = Vec::new();
        let cut = loop {
            match arrived.next() {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if !lines.is_empty() {
            let instructions = self.store(|store| store.lines(&lines));
            self.note_changes();
            self.follow(instructions?);
            if self.0.state.stream_end.get().is_none() {
                self.0.state.download_error.take();
            }
        }
        Ok(cut?)
    }

    /// Gets a new token ahead of time and tells powersync_core, which then closes the stream.
    async fn refresh(&self, old_token: &str) {
        match self.fetch_credentials().await {
            // The same token again would lead to the same request again, at once and for ever.
            Ok(new) if new.token == old_token => {}
            Ok(_) => {
                if let Err(error) = self.control("refreshed_token", None::<&str>) {
                    self.log(LogLevel::Warn, format!("download: {error}"));
                }
            }
            Err(error) => self.log(LogLevel::Info, format!("download: {error}")),
        }
    }

    /// Tells powersync_core something and does what it says. A request for a stream is returned.
    pub(crate) fn control(
        &self,
        command: &str,
        payload: impl rusqlite::ToSql,
    ) -> Result<Option<String>, SyncError> {
        let instructions = self.store(|store| store.control(command, payload));
        self.note_changes();
        Ok(self.follow(instructions?))
    }

    /// Does what powersync_core says. A request for a stream is returned.
    fn follow(&self, instructions: Vec<Instruction>) -> Option<String> {
        let state = &self.0.state;
        let mut request = None;
        for instruction in instructions {
            match instruction {
                Instruction::LogLine { severity, line } => {
                    // What it says of every checkpoint is information to it.
                    let level = match severity {
                        Severity::Debug | Severity::Info => LogLevel::Debug,
                        Severity::Warning => LogLevel::Warn,
                    };
                    self.log(level, format!("powersync_core: {line}"));
                }
                Instruction::UpdateSyncStatus { status } => {
                    state.connected.set(status.connected);
                    state.download.set(status.download());
                }
                Instruction::EstablishSyncStream { request: body } => {
                    request = Some(body.get().to_owned());
                }
                Instruction::FetchCredentials { did_expire: true } => {
                    state.credentials.take();
                }
                Instruction::FetchCredentials { did_expire: false } => state.prefetch.set(true),
                Instruction::CloseSyncStream { hide_disconnect } => {
                    state.stream_end.set(Some(match hide_disconnect {
                        true => StreamEnd::Replace,
                        false => StreamEnd::Close,
                    }));
                }
                // Errors are cleared with every good line already; the upload loop does not rest
                // while a checkpoint waits for it; diagnostics are never asked for.
                Instruction::DidCompleteSync {}
                | Instruction::CheckpointDelayedDueToLocalData {}
                | Instruction::HandleDiagnostics(_) => {}
            }
        }
        self.0.changed.notify();
        request
    }

    /// Tells powersync_core that the stream is no more, however that came about.
    fn end_iteration(&self) {
        if self.closed() {
            return;
        }
        if let Err(error) = self.control("stop", None::<&str>) {
            self.log(LogLevel::Warn, format!("download: {error}"));
            self.0.state.connected.set(false);
            self.0.state.download.set(None);
        }
        self.0.state.stream_end.set(None);
    }
}
