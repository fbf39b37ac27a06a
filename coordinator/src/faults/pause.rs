//! `client.pause` and `browser.pause`: SIGSTOP to the process of a client, or to a browser and all its processes, and
//! SIGCONT at the end.

use squall_protocol::fault::Fault;
use squall_protocol::plan::ClientKind;

use super::{Doing, FaultKind, Sighting, Target, observe};
use crate::plan::kinds::{is_process, is_tab};
use crate::plan::{Kind, Victims};

pub struct Pause {
    name: &'static str,
    victims: fn(ClientKind) -> bool,
}

/// Of clients that are processes.
pub const CLIENT: Pause = Pause {
    name: "client.pause",
    victims: is_process,
};

/// Of clients that are tabs.
pub const BROWSER: Pause = Pause {
    name: "browser.pause",
    victims: is_tab,
};

impl Kind for Pause {
    fn name(&self) -> &'static str {
        self.name
    }

    fn victims(&self) -> Victims {
        Victims::Devices(self.victims)
    }
}

impl FaultKind for Pause {
    fn begin<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.signal(libc::SIGSTOP).await?) })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.signal(libc::SIGCONT).await?) })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move { observe::life(target) })
    }

    fn state_at_rest(&self) -> String {
        observe::RUNS.to_owned()
    }

    fn state_while_on(&self, _: &Fault) -> String {
        observe::STOPPED.to_owned()
    }
}
