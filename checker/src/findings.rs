//! What was found: violations and their evidence, how they are counted and put into words.

pub(crate) mod explain;
mod of_property;
mod report;

pub use of_property::Finding;
pub(crate) use of_property::{EXAMPLES, Findings, Place};
pub(crate) use report::Report;
