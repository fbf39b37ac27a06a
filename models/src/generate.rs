//! Histories out of a simulation, for tests and benchmarks.
//!
//! The same configuration gives the same history, on every machine.

mod random;
pub mod registers;

pub use random::Random;
