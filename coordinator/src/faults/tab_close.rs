//! `tab.close`: the tab is closed, and reopened at the end.

use squall_protocol::fault::Fault;

use super::{Doing, FaultKind, Sighting, Target, observe};
use crate::plan::kinds::is_tab;
use crate::plan::{Kind, Victims};

pub struct TabClose;

impl Kind for TabClose {
    fn name(&self) -> &'static str {
        "tab.close"
    }

    fn victims(&self) -> Victims {
        Victims::Clients(is_tab)
    }
}

impl FaultKind for TabClose {
    fn begin<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.close_tab().await?) })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.start(target.fleet.driver()).await?) })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move { observe::tab(target.client()?).await })
    }

    fn state_at_rest(&self) -> String {
        observe::ONLINE.to_owned()
    }

    fn state_while_on(&self, _: &Fault) -> String {
        observe::GONE.to_owned()
    }

    fn renews(&self) -> bool {
        true
    }
}
