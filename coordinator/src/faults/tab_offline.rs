//! `tab.offline`: the browser tells the page that it is offline, and the client's connections are cut. Where there are
//! several tabs, so it is with all of them: the network is the device's.

use std::collections::BTreeSet;

use squall_protocol::fault::Fault;

use super::observe::links::{self, Link};
use super::{Doing, FaultKind, Sighting, Target, observe};
use crate::plan::kinds::is_tab;
use crate::plan::{Kind, Victims};
use crate::system::proxy::NetworkCondition;

pub struct TabOffline;

impl Kind for TabOffline {
    fn name(&self) -> &'static str {
        "tab.offline"
    }

    fn victims(&self) -> Victims {
        Victims::Devices(is_tab)
    }
}

impl FaultKind for TabOffline {
    fn begin<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move {
            for client in target.clients()? {
                client.set_tab_offline(true).await?;
            }
            // The browser's own emulation lets streams that are open go on, so the proxies cut them.
            let environment = target.client()?.environment();
            environment.set_network(NetworkCondition::CUT, NetworkCondition::CUT);
            Ok(())
        })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move {
            let environment = target.client()?.environment();
            environment.set_network(NetworkCondition::OPEN, NetworkCondition::OPEN);
            for client in target.clients()? {
                client.set_tab_offline(false).await?;
            }
            Ok(())
        })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move {
            let first = target.client()?;
            let links = links::observe(target.environment, first).await?;
            let tabs = target.clients()?.into_iter().map(observe::tab);
            let tabs = futures_util::future::try_join_all(tabs).await?;
            let states: BTreeSet<&str> = tabs.iter().map(|tab| &tab.state[..]).collect();
            let states: Vec<&str> = states.into_iter().collect();
            Ok(Sighting {
                state: format!("{}, {}", states.join(" and "), links.state),
                // The first tab's.
                ..tabs[0].clone()
            })
        })
    }

    fn state_at_rest(&self) -> String {
        format!(
            "{}, {}",
            observe::ONLINE,
            links::state(Link::Answers, Link::Answers)
        )
    }

    fn state_while_on(&self, _: &Fault) -> String {
        format!(
            "{}, {}",
            observe::OFFLINE,
            links::state(Link::Reset, Link::Reset)
        )
    }
}
