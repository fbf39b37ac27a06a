//! `client.kill` and `browser.kill`: SIGKILL to the process of a client, or to a browser and all its processes: all
//! its tabs are gone. It is started again on the same database or profile at the end, with all of them.

use squall_protocol::fault::Fault;
use squall_protocol::plan::ClientKind;

use super::{Doing, FaultKind, Sighting, Target, observe};
use crate::plan::kinds::{is_process, is_tab};
use crate::plan::{Kind, Victims};

pub struct Kill {
    name: &'static str,
    victims: fn(ClientKind) -> bool,
}

/// Of clients that are processes.
pub const CLIENT: Kill = Kill {
    name: "client.kill",
    victims: is_process,
};

/// Of clients that are tabs.
pub const BROWSER: Kill = Kill {
    name: "browser.kill",
    victims: is_tab,
};

impl Kind for Kill {
    fn name(&self) -> &'static str {
        self.name
    }

    fn victims(&self) -> Victims {
        Victims::Devices(self.victims)
    }
}

impl FaultKind for Kill {
    fn begin<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.kill().await?) })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { target.start().await })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move { observe::life(target) })
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
