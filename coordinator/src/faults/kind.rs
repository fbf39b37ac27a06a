//! What a kind of fault is made of.

use futures_util::future::BoxFuture;
use squall_protocol::fault::{Fault, Victim};

use crate::exit::Failure;
use crate::fleet::environment::Environment;
use crate::fleet::{Client, ClientError, Fleet};
use crate::plan::Kind;
use crate::system::servers::Servers;

/// A kind of fault. What a plan has to know of it is in [`Kind`].
pub trait FaultKind: Kind {
    /// Why it can not be caused there, if so: the victim may be somebody else's, or unable to suffer it.
    fn obstacle(&self, _target: &Target) -> Option<String> {
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
    Client(#[from] ClientError),
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
    /// The client that it is, or the first tab of the browser that it is.
    ///
    /// # Errors
    ///
    /// When it is none of the fleet.
    pub fn client(&self) -> Result<&Client, FaultError> {
        let client = match self.victim {
            Victim::Client(client) | Victim::Browser(client) => self.fleet.clients.get(client),
            Victim::Server(_) => None,
        };
        let client = client.map(AsRef::as_ref);
        client.ok_or(FaultError::OtherVictim(self.victim))
    }

    /// The client that it is, or all tabs of the browser that it is.
    ///
    /// # Errors
    ///
    /// When it is none of the fleet.
    pub fn clients(&self) -> Result<Vec<&Client>, FaultError> {
        let first = self.client()?;
        Ok(match self.victim {
            Victim::Browser(_) => self.fleet.tabs_with(first),
            _ => vec![first],
        })
    }

    /// Starts whatever of it does not run, and waits until all is ready for transactions.
    ///
    /// # Errors
    ///
    /// When it does not start, or is not ready in time.
    pub async fn start(&self) -> Result<(), FaultError> {
        let clients = self.clients()?;
        let starts = clients
            .iter()
            .map(|client| client.start(self.fleet.driver()));
        futures_util::future::try_join_all(starts).await?;
        Ok(())
    }

    /// The servers, one of which it is.
    ///
    /// # Errors
    ///
    /// When it is a client, or no client of the fleet needs a server.
    pub fn servers(&self) -> Result<&Servers, FaultError> {
        let servers = match self.victim {
            Victim::Client(_) | Victim::Browser(_) => None,
            Victim::Server(_) => self.environment.servers(),
        };
        servers.ok_or(FaultError::OtherVictim(self.victim))
    }
}
