//! The backend API: what an application's own server is to a PowerSync client.
//!
//! - `GET /credentials?client=NAME` answers [`Credentials`].
//! - `POST /upload` takes an [`Upload`] with the header `Authorization: Bearer TOKEN` and applies it
//!   as one PostgreSQL transaction. 200 and [`UploadAnswer`] mean that it is committed. A 4xx means
//!   that the request can never succeed; everything else may be tried again. The same upload may be
//!   sent any number of times: it is applied once.
//!
//! Errors are answered with [`BackendError`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the sync service is, and the token for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The service's address, without a trailing slash.
    pub endpoint: String,
    /// A JSON Web Token, to be sent as `Authorization: Token …` to the service and `Bearer …` to the
    /// backend.
    pub token: String,
    /// When the token expires, in milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// A piece of a client's upload queue, applied in one PostgreSQL transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The client id that powersync_core gave the database (`powersync_client_id()`).
    pub client_id: String,
    /// The identity of this upload within the client id: `transaction-<tx_id>` or
    /// `batch-<first ps_crud id>-<last ps_crud id>`.
    pub upload_id: String,
    /// The rows of the queue, oldest first.
    pub crud: Vec<CrudEntry>,
}

/// One row of `ps_crud`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrudEntry {
    pub op: CrudOp,
    /// The table.
    #[serde(rename = "type")]
    pub table: String,
    /// The row's `id`.
    pub id: String,
    /// The columns: all that are not null for a PUT, the changed ones for a PATCH, none for a
    /// DELETE. The values are those of SQLite: integers, reals, texts and nulls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<BTreeMap<String, CrudValue>>,
    /// What the columns of a PATCH held before, if the table tracks that.
    #[serde(default, rename = "old", skip_serializing_if = "Option::is_none")]
    pub previous: Option<BTreeMap<String, CrudValue>>,
}

/// What a row of the queue does, by PowerSync's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CrudOp {
    Put,
    Patch,
    Delete,
}

/// A column's value in the upload queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CrudValue {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
}

// Reals come from SQLite, which stores no NaN, so equality is total.
impl Eq for CrudValue {}

/// The answer to an upload that is committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadAnswer {
    /// Whether this upload had been applied before and was not applied again.
    pub repeated: bool,
}

/// The answer to a request that could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendError {
    /// What went wrong and what to do about it.
    pub error: String,
}
