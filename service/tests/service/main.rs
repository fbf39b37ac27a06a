//! The service against a real PostgreSQL.

mod harness;
#[path = "../simulated_client.rs"]
mod simulated_client;
mod sync;
