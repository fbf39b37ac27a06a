//! `browser.pause`: SIGSTOP to a browser and all its processes, SIGCONT at the end.

use squall_protocol::fault::Fault;

use super::{Doing, FaultKind, Sighting, Target, observe};
use crate::plan::kinds::is_tab;
use crate::plan::{Kind, Victims};

pub struct BrowserPause;

impl Kind for BrowserPause {
    fn name(&self) -> &'static str {
        "browser.pause"
    }

    fn victims(&self) -> Victims {
        Victims::Clients(is_tab)
    }
}

impl FaultKind for BrowserPause {
    fn begin<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.signal(libc::SIGSTOP).await?) })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.signal(libc::SIGCONT).await?) })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move { observe::browser(target) })
    }

    fn state_at_rest(&self) -> String {
        observe::RUNS.to_owned()
    }

    fn state_while_on(&self, _: &Fault) -> String {
        observe::STOPPED.to_owned()
    }
}
