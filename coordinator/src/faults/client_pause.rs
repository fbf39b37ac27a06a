//! `client.pause`: SIGSTOP to the client's process, SIGCONT at the end.

use squall_protocol::fault::Fault;

use super::{Doing, FaultKind, Sighting, Target, observe};
use crate::plan::kinds::is_process;
use crate::plan::{Kind, Victims};

pub struct ClientPause;

impl Kind for ClientPause {
    fn name(&self) -> &'static str {
        "client.pause"
    }

    fn victims(&self) -> Victims {
        Victims::Clients(is_process)
    }
}

impl FaultKind for ClientPause {
    fn begin<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.signal(libc::SIGSTOP).await?) })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.signal(libc::SIGCONT).await?) })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move { Ok(observe::client_process(target.client()?)) })
    }

    fn state_at_rest(&self) -> String {
        observe::RUNS.to_owned()
    }

    fn state_while_on(&self, _: &Fault) -> String {
        observe::STOPPED.to_owned()
    }
}
