//! What can go wrong with a browser.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use fantoccini::error::{CmdError, NewSessionError};

use crate::system::programs::ProgramError;

/// What can go wrong with a browser. None of it says anything about the system under test.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("{program:?} could not be started: {source}")]
    Spawn { program: PathBuf, source: io::Error },
    #[error("no port of the loopback interface is free: {0}")]
    NoPort(#[source] io::Error),
    #[error("every port that was chosen was taken before chromedriver could use it")]
    PortsTaken,
    #[error("{what} did not come up: {reason}; what it said is in {log:?}")]
    Start {
        what: &'static str,
        reason: String,
        log: PathBuf,
    },
    #[error("the log file {path:?} could not be opened: {source}")]
    Log { path: PathBuf, source: io::Error },
    #[error("the profile {path:?} could not be prepared: {source}")]
    Profile { path: PathBuf, source: io::Error },
    #[error("its driver opened no session: {0}")]
    Session(#[from] Box<NewSessionError>),
    #[error("the driver could not {what}: {source}")]
    Command {
        what: &'static str,
        source: Box<CmdError>,
    },
    /// The driver may still be busy with the command, so later commands of this browser would
    /// queue up behind it: the way out is to kill the browser.
    #[error("{what} was not done after {limit:?}: kill this browser")]
    Deadline { what: &'static str, limit: Duration },
    #[error("BiDi command {method} failed: {message}")]
    Bidi {
        method: &'static str,
        message: String,
    },
    #[error("{what}: the browser has ended ({status})")]
    Ended {
        what: &'static str,
        status: ExitStatus,
    },
    #[error("{what}: no client tab is open")]
    NoTab { what: &'static str },
    #[error("a client tab is open already: close it first")]
    TabIsOpen,
    #[error("no folder for the browsers' temporary files could be made: {0}")]
    Temporary(#[source] io::Error),
    #[error("processes are left over: {0}")]
    Leftover(#[source] io::Error),
}

impl BrowserError {
    /// Whether this is what the driver says of a browser that has died. It may say so a moment
    /// before the process can be collected.
    pub(super) fn may_mean_the_end(&self) -> bool {
        match self {
            Self::Command { source, .. } => {
                source.is_invalid_session_id()
                    || source.is_unknown_error()
                    || matches!(**source, CmdError::NotW3C(_) | CmdError::Lost(_))
            }
            Self::Session(_) | Self::Bidi { .. } => true,
            _ => false,
        }
    }
}
