//! The exit codes of the program, as documented in the README.

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything that was asked for was done, and every property held.
    Ok = 0,
    /// A safety property was violated.
    SafetyViolation = 1,
    /// Nothing can be concluded.
    Unknown = 2,
    /// A liveness property was violated: nothing wrong was read, but something never recovered.
    LivenessViolation = 3,
    /// The command line makes no sense.
    Usage = 64,
    /// An input file is malformed.
    MalformedInput = 65,
    /// A needed program, database or port is missing or would not start.
    Unavailable = 69,
    /// A bug in squall.
    Bug = 70,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

/// Why a command could not do its work. The message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// An input file is malformed.
    #[error("{0}")]
    MalformedInput(String),
    /// A needed program, database or port is missing or would not start.
    #[error("{0}")]
    Unavailable(String),
}

impl Failure {
    /// The exit code for it.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) => Exit::Usage,
            Failure::MalformedInput(_) => Exit::MalformedInput,
            Failure::Unavailable(_) => Exit::Unavailable,
        }
    }

    /// Something needed is missing: what was being done, and what went wrong.
    pub fn unavailable(doing: impl std::fmt::Display, error: impl std::fmt::Display) -> Failure {
        Failure::Unavailable(format!("{doing}: {error}"))
    }
}
