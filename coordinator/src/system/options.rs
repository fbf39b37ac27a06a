//! What the environment of a run is made for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use squall_backend::token::Secret;
use squall_protocol::plan::{ClientSpec, PlanOptions};

use crate::exit::Failure;

/// How long the first sync may go without progress, unless said otherwise.
pub const FIRST_SYNC_DEADLINE: Duration = Duration::from_secs(60);

/// Which sync service clients are pointed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceChoice {
    /// Our own, as a child process.
    Embedded,
    /// A real PowerSync service that is already there.
    Remote {
        /// `host:port`.
        address: String,
        secret: Secret,
    },
}

/// Which backend clients upload to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendChoice {
    /// The port of our own backend; 0 means a free one. It always runs: it hands out credentials.
    pub port: u16,
    /// `host:port` of what clients are led to instead of our own. It speaks the same API
    /// ([`squall_protocol::backend`]) and asks our own for credentials.
    pub address: Option<String>,
}

/// What the environment is made for.
#[derive(Clone)]
pub struct EnvironmentOptions {
    /// What the plan was made from: the database and the clients need to know much of it.
    pub plan: PlanOptions,
    pub clients: Vec<ClientSpec>,
    /// The commands of somebody's clients, as in the plan.
    pub programs: BTreeMap<String, String>,
    /// A PostgreSQL that is already there; otherwise a throw-away one is started.
    pub database_url: Option<String>,
    pub service: ServiceChoice,
    pub backend: BackendChoice,
    /// How long the first sync may go without progress, beginning with a service that is not ready yet.
    pub first_sync_deadline: Duration,
    /// Where the files of this run go.
    pub folder: PathBuf,
    /// The program `squall`, of which clients and the service are processes.
    pub program: PathBuf,
}

/// This very program, for [`EnvironmentOptions::program`].
///
/// # Errors
///
/// When the operating system does not say where it is.
pub fn own_program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::unavailable("cannot find squall itself", error))
}
