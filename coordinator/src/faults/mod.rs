//! What can be done to a running system: one file for each kind of fault, which says whom it can hit, with
//! what parameters, how it begins and ends, and what can be seen of it from outside. [`nemesis`] causes those
//! of a plan.
//!
//! All faults act from outside: signals, the browser, the fault proxies, the servers' own processes. A
//! disconnect is the one thing that a client is asked to do itself, as an application may.
//!
//! A new kind is a file here and its line in [`KINDS`] (and in `docs/faults.md`). That it has an effect is
//! proven by `tests/faults.rs`, for every kind in that list.

pub mod nemesis;
mod observe;

mod backend_drop_ack;
mod client_disconnect;
mod kill;
mod kind;
mod net_partition;
mod pause;
mod postgres_restart;
mod service_kill;
mod tab_close;
mod tab_offline;
mod tab_reload;

pub use kind::{Doing, FaultError, FaultKind, Sighting, Target};

use crate::plan::Kind;

/// Every kind, in the order in which they are documented.
pub static KINDS: [&dyn FaultKind; 12] = [
    &tab_reload::TabReload,
    &tab_close::TabClose,
    &tab_offline::TabOffline,
    &kill::BROWSER,
    &pause::BROWSER,
    &kill::CLIENT,
    &pause::CLIENT,
    &client_disconnect::ClientDisconnect,
    &net_partition::NetPartition,
    &service_kill::ServiceKill,
    &postgres_restart::PostgresRestart,
    &backend_drop_ack::BackendDropAck,
];

/// The kind of that name.
pub fn find(name: &str) -> Option<&'static dyn FaultKind> {
    KINDS.into_iter().find(|kind| kind.name() == name)
}

/// The names of all kinds, in the order in which they are documented.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().map(|kind| kind.name())
}

/// All kinds, for plans.
pub fn plannable() -> Vec<&'static dyn Kind> {
    KINDS.into_iter().map(|kind| kind as &dyn Kind).collect()
}
