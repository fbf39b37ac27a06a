//! The WebSocket transport: RSocket 1.0, as far as PowerSync's SDKs use it.
//!
//! A client sets a connection up with its token and requests streams on it; each message of the
//! WebSocket is one [`frame`]. [`Responder`][responder::Responder] is what a server makes of a
//! connection's frames.
//!
//! Not here: requests of other kinds than streams, resumption, leases and fragments. They are refused.

pub mod frame;
pub mod responder;
