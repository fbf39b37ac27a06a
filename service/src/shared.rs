//! What all requests share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;

use crate::core::token::{Claims, TokenError, Verifier};
use crate::core::write_checkpoints::{Requested, WriteCheckpoints};
use crate::failure::Failure;
use crate::postgres::head::Head;
use crate::sqlite::Reader;
use crate::writer::Published;

/// PowerSync's limit for a request's body, in bytes.
pub const MAX_REQUEST: usize = 1024 * 1024;

/// How long the source may take to answer a request for a write checkpoint.
const SOURCE_DEADLINE: Duration = Duration::from_secs(10);

/// What all requests share.
pub struct Shared {
    pub verifier: Verifier,
    pub published: Published,
    pub reader: Reader,
    pub head: Head,
    pub write_checkpoints: Arc<Mutex<WriteCheckpoints>>,
    pub keepalive_interval: Duration,
}

impl Shared {
    /// Checks the value of an `Authorization` header.
    pub fn authorize(&self, authorization: Option<&str>) -> Result<Claims, TokenError> {
        self.verifier.verify(authorization, since_epoch().as_secs())
    }

    /// Asks for a write checkpoint of a client and gives its id. `counted` is the id that the client
    /// itself chose.
    pub async fn write_checkpoint(
        &self,
        client: &str,
        counted: Option<u64>,
    ) -> Result<u64, Failure> {
        let unavailable = |description| Failure {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "PSYNC_S2001",
            name: "InternalServerError",
            description,
            details: None,
        };
        let request = |position| {
            self.write_checkpoints
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .request(client.to_owned(), position, counted)
        };
        tokio::time::timeout(SOURCE_DEADLINE, self.head.write_checkpoint(request))
            .await
            .map_err(|_| {
                unavailable("The source database did not answer in time; try again".to_owned())
            })?
            .map_err(|error| unavailable(format!("No write checkpoint now; try again: {error}")))
    }

    /// What a client has asked for.
    pub fn requested(&self, client: &str) -> Requested {
        self.write_checkpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .requested(client)
    }
}

/// The time since 1970.
pub fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
