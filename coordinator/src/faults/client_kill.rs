//! `client.kill`: SIGKILL to the client's process, which is started again on the same database at the end.

use squall_protocol::fault::Fault;

use super::{Doing, FaultKind, Sighting, Target, observe};
use crate::plan::kinds::is_process;
use crate::plan::{Kind, Victims};

pub struct ClientKill;

impl Kind for ClientKill {
    fn name(&self) -> &'static str {
        "client.kill"
    }

    fn victims(&self) -> Victims {
        Victims::Clients(is_process)
    }
}

impl FaultKind for ClientKill {
    fn begin<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.kill().await?) })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.start(target.fleet.driver()).await?) })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move { Ok(observe::client_process(target.client()?)) })
    }

    fn state_at_rest(&self) -> String {
        observe::RUNS.to_owned()
    }

    fn state_while_on(&self, _: &Fault) -> String {
        observe::GONE.to_owned()
    }

    fn renews(&self) -> bool {
        true
    }
}
