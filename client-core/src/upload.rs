//! The upload loop: the queue goes to the backend piece by piece, and when it is empty, the write
//! checkpoint that covers it is asked for.
//!
//! The loop is at rest only if the queue is empty and the gate knows its write checkpoint. Every
//! other state leads to the next attempt, so nothing that happened before can leave it stalled: not
//! a failed upload, not a write that raced an answer, not a crash between two steps.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use serde::Deserialize;
use squall_protocol::backend::{Upload, UploadAnswer};
use squall_protocol::contract::LogLevel;
use squall_protocol::plan::Uploader;

use crate::client::Client;
use crate::platform::{HttpRequest, Method, Platform};
use crate::request::{SyncError, query_value};
use crate::store::Pending;

/// What is left to do after a step.
enum Step {
    /// Perhaps more: look again.
    Again,
    /// Nothing until something changes.
    Rest,
}

/// The service's answer to a request for a write checkpoint.
#[derive(Deserialize)]
struct WriteCheckpointAnswer {
    data: WriteCheckpoint,
}

#[derive(Deserialize)]
struct WriteCheckpoint {
    /// A decimal number.
    write_checkpoint: String,
}

impl<P: Platform> Client<P> {
    /// Uploads while the client is to be connected; resolves when it is closed.
    pub(crate) async fn upload_loop(&self) {
        let state = &self.0.state;
        while let Some(generation) = self.wanted().await {
            // Read before the step, so that whatever happens during it is looked at afterwards.
            let work = state.upload_work.get();
            let step = match select(pin!(self.upload_step()), pin!(self.given_up(generation))).await
            {
                Either::Left((step, _)) => step,
                Either::Right(_) => Ok(Step::Again),
            };
            if state.uploading.replace(false) {
                self.0.changed.notify();
            }
            match step {
                Ok(step) => {
                    if state.upload_error.take().is_some() {
                        self.0.changed.notify();
                    }
                    if let Step::Rest = step {
                        let woken = self.0.changed.until(|| state.upload_work.get() != work);
                        select(pin!(woken), pin!(self.given_up(generation))).await;
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    self.log(LogLevel::Info, format!("upload: {error}"));
                    *state.upload_error.borrow_mut() = Some(error);
                    self.0.changed.notify();
                    select(pin!(self.pause()), pin!(self.given_up(generation))).await;
                }
            }
        }
    }

    /// Does the next thing that is to be done, if any.
    async fn upload_step(&self) -> Result<Step, SyncError> {
        if let Some(pending) = self.store(|store| store.next_upload(self.0.config.uploader))? {
            self.set_uploading();
            self.upload(&pending).await?;
            self.store(|store| store.complete_upload(&pending))?;
            self.0.changed.notify();
            if let Uploader::Batch { pause_ms, .. } = self.0.config.uploader {
                let pause = Duration::from_millis(pause_ms.into());
                self.0.platform.sleep(pause).await;
            }
            return Ok(Step::Again);
        }
        let Some(since) = self.store(|store| store.lacks_write_checkpoint())? else {
            return Ok(Step::Rest);
        };
        self.set_uploading();
        let write_checkpoint = self.request_write_checkpoint().await?;
        if self.store(|store| store.set_write_checkpoint(write_checkpoint, since))?
            && self.0.state.connected.get()
        {
            // A checkpoint that came while the gate was shut may be applied now.
            self.control("completed_upload", None::<&str>)?;
        }
        Ok(Step::Again)
    }

    fn set_uploading(&self) {
        self.0.state.uploading.set(true);
        self.0.changed.notify();
    }

    async fn upload(&self, pending: &Pending) -> Result<UploadAnswer, SyncError> {
        let credentials = self.credentials().await?;
        let upload = Upload {
            client_id: self.session().to_owned(),
            upload_id: pending.upload_id.clone(),
            crud: pending.crud.clone(),
        };
        let request = HttpRequest {
            method: Method::Post,
            url: format!("{}/upload", self.0.config.backend_url),
            headers: vec![
                ("authorization", format!("Bearer {}", credentials.token)),
                ("content-type", "application/json".to_owned()),
            ],
            body: Some(serde_json::to_vec(&upload).expect("an upload has only text keys")),
        };
        self.ask("uploading", request, Some(&credentials.token))
            .await
    }

    async fn request_write_checkpoint(&self) -> Result<i64, SyncError> {
        let credentials = self.credentials().await?;
        let to = "requesting a write checkpoint";
        let request = HttpRequest {
            method: Method::Get,
            url: format!(
                "{}/write-checkpoint2.json?client_id={}",
                credentials.endpoint,
                query_value(self.session())
            ),
            headers: vec![("authorization", format!("Token {}", credentials.token))],
            body: None,
        };
        let answer: WriteCheckpointAnswer = self.ask(to, request, Some(&credentials.token)).await?;
        let text = answer.data.write_checkpoint;
        text.parse()
            .map_err(|_| SyncError::WriteCheckpoint { to, text })
    }
}
