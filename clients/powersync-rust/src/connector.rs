//! The application's part of an SDK: credentials from the backend, and uploads to it.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use powersync::error::PowerSyncError;
use powersync::{Authenticator, CrudEntry, CrudTransaction, MutationUploader, PowerSyncDatabase};
use serde_json::{Value, json};
use squall_protocol::backend::Credentials;
use squall_protocol::contract::ClientConfig;
use squall_protocol::plan::Uploader;

/// What the backend refused.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {status} {text}")]
struct Refused {
    path: &'static str,
    status: u16,
    text: String,
}

/// It talks to the backend, with deadlines of ours.
pub struct Backend {
    http: reqwest::Client,
    config: Arc<ClientConfig>,
    credentials: Mutex<Option<Credentials>>,
}

impl Backend {
    pub fn new(config: Arc<ClientConfig>) -> Result<Backend, reqwest::Error> {
        let deadline = Duration::from_millis(config.request_deadline_ms);
        Ok(Backend {
            http: reqwest::Client::builder().timeout(deadline).build()?,
            config,
            credentials: Mutex::default(),
        })
    }

    /// The credentials, new ones if the old ones are over.
    pub async fn credentials(&self) -> Result<Credentials, PowerSyncError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let cached = self
            .credentials
            .lock()
            .expect("nothing panics with it")
            .clone();
        if let Some(cached) = cached
            && u128::from(cached.expires_at_ms) > now.as_millis()
        {
            return Ok(cached);
        }
        let path = "/credentials";
        let request = self.http.get(format!("{}{path}", self.config.backend_url));
        let request = request.query(&[("client", &self.config.client)]);
        let new: Credentials = answer(path, request).await?.json().await?;
        *self.credentials.lock().expect("nothing panics with it") = Some(new.clone());
        Ok(new)
    }

    fn forget_credentials(&self) {
        *self.credentials.lock().expect("nothing panics with it") = None;
    }

    async fn upload(&self, upload: &Value) -> Result<(), PowerSyncError> {
        let token = self.credentials().await?.token;
        let path = "/upload";
        let request = self.http.post(format!("{}{path}", self.config.backend_url));
        match answer(path, request.bearer_auth(token).json(upload)).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // Perhaps it is the token that was refused.
                self.forget_credentials();
                Err(error)
            }
        }
    }
}

async fn answer(
    path: &'static str,
    request: reqwest::RequestBuilder,
) -> Result<reqwest::Response, PowerSyncError> {
    let answer = request.send().await?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    Err(PowerSyncError::upload_error(Refused {
        path,
        status: answer.status().as_u16(),
        text: answer.text().await.unwrap_or_default(),
    }))
}

/// Gives the SDK its token.
pub struct Token(pub Arc<Backend>);

#[async_trait]
impl Authenticator for Token {
    async fn resolve_credentials(&self) -> Result<Arc<String>, PowerSyncError> {
        Ok(Arc::new(self.0.credentials().await?.token))
    }

    fn invalidate_credentials(&self) {
        self.0.forget_credentials();
    }
}

/// Uploads the next piece of the queue. The SDK calls it again as long as there is something to upload, and after
/// an error.
pub struct Uploads {
    pub backend: Arc<Backend>,
    pub database: PowerSyncDatabase,
    pub client_id: String,
}

#[async_trait]
impl MutationUploader for Uploads {
    async fn upload(&self) -> Result<(), PowerSyncError> {
        let uploader = self.backend.config.uploader;
        let next = match uploader {
            Uploader::Transaction => self.database.next_crud_transaction().await?,
            Uploader::Batch { size, .. } => self.next_batch(size as usize).await?,
        };
        let Some(next) = next else { return Ok(()) };
        let upload_id = match (uploader, next.id, next.crud.first()) {
            (Uploader::Batch { .. }, _, Some(first)) => {
                format!("batch-{}-{}", first.client_id, next.last_item_id)
            }
            (_, Some(transaction), _) => format!("transaction-{transaction}"),
            (_, None, _) => return Err(PowerSyncError::upload_error(Unnumbered)),
        };
        let crud: Vec<_> = next.crud.iter().map(entry).collect();
        let upload = json!({"client_id": self.client_id, "upload_id": upload_id, "crud": crud});
        self.backend.upload(&upload).await?;
        next.complete().await?;
        if let Uploader::Batch { pause_ms, .. } = uploader {
            tokio::time::sleep(Duration::from_millis(pause_ms.into())).await;
        }
        Ok(())
    }
}

impl Uploads {
    /// The oldest rows of the queue, wherever transactions begin and end. The SDK has no call for that, but it
    /// gives one transaction after another, and a transaction is completed up to the item that it names.
    async fn next_batch(&self, size: usize) -> Result<Option<CrudTransaction<'_>>, PowerSyncError> {
        let mut transactions = pin!(self.database.crud_transactions());
        let mut batch: Option<CrudTransaction> = None;
        while batch.as_ref().is_none_or(|batch| batch.crud.len() < size)
            && let Some(transaction) = transactions.try_next().await?
        {
            match &mut batch {
                None => batch = Some(transaction),
                Some(batch) => batch.crud.extend(transaction.crud),
            }
        }
        if let Some(batch) = &mut batch {
            batch.crud.truncate(size);
            batch.last_item_id = batch
                .crud
                .last()
                .map_or(batch.last_item_id, |it| it.client_id);
        }
        Ok(batch)
    }
}

/// An upload needs a name, and a transaction has its number for one.
#[derive(Debug, thiserror::Error)]
#[error("the SDK gave a transaction without a number")]
struct Unnumbered;

fn entry(entry: &CrudEntry) -> Value {
    let mut json = json!({"op": entry.update_type, "type": entry.table, "id": entry.id});
    for (name, values) in [("data", &entry.data), ("old", &entry.previous_values)] {
        if let Some(values) = values {
            json[name] = Value::Object(values.clone());
        }
    }
    json
}
