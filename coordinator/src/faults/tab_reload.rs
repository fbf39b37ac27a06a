//! `tab.reload`: the tab is reloaded. It takes as long as it takes.

use squall_protocol::fault::Fault;

use super::{Doing, FaultKind, Sighting, Target, observe};
use crate::plan::kinds::is_tab;
use crate::plan::{Kind, Victims};

pub struct TabReload;

impl Kind for TabReload {
    fn name(&self) -> &'static str {
        "tab.reload"
    }

    fn victims(&self) -> Victims {
        Victims::Clients(is_tab)
    }

    fn lasts(&self) -> bool {
        false
    }
}

impl FaultKind for TabReload {
    fn begin<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.client()?.reload_tab().await?) })
    }

    fn end<'a>(&'a self, _: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move { observe::tab(target.client()?).await })
    }

    fn state_at_rest(&self) -> String {
        observe::ONLINE.to_owned()
    }

    fn state_while_on(&self, _: &Fault) -> String {
        observe::ONLINE.to_owned()
    }

    fn renews(&self) -> bool {
        true
    }
}
