//! `browser.kill`: SIGKILL to a browser and all its processes; it is started again on the same profile at the end.

use squall_protocol::fault::Fault;

use super::{Doing, FaultKind, Sighting, Target, observe};
use crate::plan::kinds::is_tab;
use crate::plan::{Kind, Victims};

pub struct BrowserKill;

impl Kind for BrowserKill {
    fn name(&self) -> &'static str {
        "browser.kill"
    }

    fn victims(&self) -> Victims {
        Victims::Clients(is_tab)
    }
}

impl FaultKind for BrowserKill {
    fn begin<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.kill().await?) })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.start(target.fleet.driver()).await?) })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move { observe::browser(target) })
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
