//! Defines something, and has a module.

mod deep;

pub struct Shared;
