//! The system under test but for its clients, and what stands around it: PostgreSQL, the sync service, the
//! backend, the fault proxies, and the web server that clients get their pages and their orders from.

mod acknowledgement;
pub mod database;
pub mod health_check;
pub mod javascript;
pub mod leftovers;
pub mod lock;
pub mod options;
pub mod port;
pub mod postgres;
pub mod preflight;
pub mod programs;
pub mod proxy;
pub mod servers;
pub mod service;
