//! What a check is made of.

use futures_util::future::LocalBoxFuture;

use crate::commands::conform::problem::Problem;
use crate::commands::conform::surroundings::Surroundings;

/// A check.
#[derive(Debug)]
pub struct Check {
    pub name: &'static str,
    /// What the client has to do.
    pub what: &'static str,
    /// Why it is not for this client.
    pub(in crate::commands::conform) skipped: fn(&Surroundings) -> Option<&'static str>,
    pub(in crate::commands::conform) run:
        fn(&Surroundings) -> LocalBoxFuture<'_, Result<(), Problem>>,
}

pub(super) fn never(_: &Surroundings) -> Option<&'static str> {
    None
}
