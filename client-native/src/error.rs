//! Why a client ends.

/// Why a client's process ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The coordinator was not reached.
    #[error("no control connection to {url}: {reason}; is the coordinator running?")]
    Control { url: String, reason: String },
    /// The coordinator is gone, and the client with it.
    #[error("the control connection was lost, so the run is over")]
    ControlLost,
    /// The coordinator has been told the same.
    #[error("{0}")]
    Fatal(String),
}
