//! What clients are told on their command line.

use std::path::PathBuf;

/// What a native client has to be told from outside; everything else it is told by the coordinator.
#[derive(Clone, Debug)]
pub struct NativeOptions {
    /// The control connection's address.
    pub control_url: String,
    /// The client's name in the plan.
    pub client: String,
    /// The database file, which is made if it does not exist. Its folder must exist.
    pub database: PathBuf,
}
