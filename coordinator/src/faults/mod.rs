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
mod client_kill;
mod client_pause;
mod net_partition;
mod postgres_restart;
mod service_kill;
mod tab_close;
mod tab_offline;
mod tab_reload;

use futures_util::future::BoxFuture;
use squall_protocol::fault::{Fault, Victim};

use crate::exit::Failure;
use crate::fleet::{BodyError, Client, Fleet};
use crate::plan::Kind;
use crate::system::environment::Environment;
use crate::system::servers::Servers;

/// Every kind, in the order in which they are documented.
pub static KINDS: [&dyn FaultKind; 10] = [
    &tab_reload::TabReload,
    &tab_close::TabClose,
    &tab_offline::TabOffline,
    &client_kill::ClientKill,
    &client_pause::ClientPause,
    &client_disconnect::ClientDisconnect,
    &net_partition::NetPartition,
    &service_kill::ServiceKill,
    &postgres_restart::PostgresRestart,
    &backend_drop_ack::BackendDropAck,
];

/// A kind of fault. What a plan has to know of it is in [`Kind`].
pub trait FaultKind: Kind {
    /// Why it can not be caused in this run, if so: the victim may be somebody else's.
    fn obstacle(&self, _environment: &Environment) -> Option<String> {
        None
    }

    /// Causes the fault, and returns when it is on, or, if it does not last, over.
    fn begin<'a>(&'a self, target: &'a Target<'a>, fault: &'a Fault) -> Doing<'a, ()>;

    /// Ends the fault, and returns when the victim works again.
    fn end<'a>(&'a self, target: &'a Target<'a>, fault: &'a Fault) -> Doing<'a, ()>;

    /// Looks at the victim from outside.
    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting>;

    /// The [`Sighting::state`] of a victim that suffers nothing.
    fn state_at_rest(&self) -> String;

    /// The [`Sighting::state`] of a victim of that fault while it is on.
    fn state_while_on(&self, fault: &Fault) -> String;

    /// Whether the victim has another [`Sighting::life`] after the fault.
    fn renews(&self) -> bool {
        false
    }
}

/// The beginning or the end of a fault, or a look at its victim.
pub type Doing<'a, T> = BoxFuture<'a, Result<T, FaultError>>;

/// What can be seen of a victim from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// How it is, in words, such as `runs`.
    pub state: String,
    /// What tells one life of it from the next, such as a process id, if it lives.
    pub life: Option<String>,
    /// What no fault of this kind may change, such as the identity of its database.
    pub kept: String,
}

/// Why a fault could not be caused, ended or looked at. Says nothing about the system under test.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    #[error(transparent)]
    Client(#[from] BodyError),
    #[error(transparent)]
    Server(#[from] Failure),
    #[error("its parameters: {0}")]
    Parameters(#[from] serde_json::Error),
    #[error("it can not hit {0:?}")]
    OtherVictim(Victim),
    #[error("what there is to see could not be seen: {0}")]
    Unseen(String),
}

/// A victim, and where it lives.
#[derive(Clone, Copy)]
pub struct Target<'r> {
    pub victim: Victim,
    pub fleet: &'r Fleet,
    pub environment: &'r Environment,
}

impl Target<'_> {
    /// The client that it is.
    ///
    /// # Errors
    ///
    /// When it is none of the fleet.
    pub fn client(&self) -> Result<&Client, FaultError> {
        let client = match self.victim {
            Victim::Client(client) => self.fleet.clients.get(client),
            Victim::Server(_) => None,
        };
        let client = client.map(AsRef::as_ref);
        client.ok_or(FaultError::OtherVictim(self.victim))
    }

    /// The servers, one of which it is.
    ///
    /// # Errors
    ///
    /// When it is a client, or no client of the fleet needs a server.
    pub fn servers(&self) -> Result<&Servers, FaultError> {
        let servers = match self.victim {
            Victim::Client(_) => None,
            Victim::Server(_) => self.environment.servers(),
        };
        servers.ok_or(FaultError::OtherVictim(self.victim))
    }
}

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
