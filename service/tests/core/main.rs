#[path = "../simulated_client.rs"]
mod simulated_client;
