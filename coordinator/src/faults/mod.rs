//! What is done to the system under test, and when.

pub mod nemesis;
