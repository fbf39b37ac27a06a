//! `backend.drop-ack`: uploads are committed, but no client gets to know: the proxies in front of the backend
//! reset each connection on which it says so. Everything else passes.

use squall_protocol::fault::{Fault, Server};
use squall_protocol::plan::ClientKind;

use super::observe::links::{self, Link};
use super::{Doing, FaultError, FaultKind, Sighting, Target};
use crate::plan::{Kind, Victims};

pub struct BackendDropAck;

impl Kind for BackendDropAck {
    fn name(&self) -> &'static str {
        "backend.drop-ack"
    }

    fn victims(&self) -> Victims {
        Victims::Server(Server::Backend, ClientKind::syncs)
    }
}

impl FaultKind for BackendDropAck {
    fn begin<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move {
            target.environment.drop_acknowledgements(true);
            Ok(())
        })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move {
            target.environment.drop_acknowledgements(false);
            Ok(())
        })
    }

    /// By way of the first client that uploads; all have the same.
    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move {
            let mut clients = target.fleet.clients.iter();
            let client = clients.find(|client| client.spec.kind.syncs());
            let client = client.ok_or(FaultError::OtherVictim(target.victim))?;
            links::observe(target.environment, client).await
        })
    }

    fn state_at_rest(&self) -> String {
        links::state(Link::Answers, Link::Answers)
    }

    fn state_while_on(&self, _: &Fault) -> String {
        links::state(Link::Answers, Link::ResetAfterwards)
    }
}
