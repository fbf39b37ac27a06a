//! Histories out of a simulation, for tests and benchmarks.
//!
//! The same configuration gives the same history, on every machine. What is simulated is the system
//! that squall tests, not its implementation: see [`mww`] and [`registers`].

pub mod mww;
mod random;
pub mod registers;

pub use random::Random;
