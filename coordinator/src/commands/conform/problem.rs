//! Why a check did not pass.

use serde::Serialize;

use crate::exit::Failure;

/// Why a check did not pass.
#[derive(Debug)]
pub enum Problem {
    /// The client does something else than the contract says.
    Wrong(Box<Finding>),
    /// Something that the check needs is missing.
    Unavailable(Failure),
}

/// What a client did, and what it should have done.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What it was asked.
    pub sent: String,
    pub expected: String,
    pub came: String,
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        Problem::Unavailable(failure)
    }
}
