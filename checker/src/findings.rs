//! What was found: violations and their evidence, how they are counted, named and put into words.

pub(crate) mod explain;
pub(crate) mod names;
mod of_property;
mod report;

pub use of_property::Finding;
pub(crate) use of_property::{EXAMPLES, Findings};
pub(crate) use report::Report;
