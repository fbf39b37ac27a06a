//! `client.disconnect`: the client is asked to disconnect from the sync service, as an application may, and to
//! connect again at the end. Of several tabs one is asked, and its SDK disconnects all of them; so any of them that
//! connects ends it, as one does that is reloaded.

use squall_protocol::contract::ToClient;
use squall_protocol::fault::Fault;
use squall_protocol::plan::ClientKind;

use super::{Doing, FaultKind, Sighting, Target, observe};
use crate::plan::{Kind, Victims};

pub struct ClientDisconnect;

impl Kind for ClientDisconnect {
    fn name(&self) -> &'static str {
        "client.disconnect"
    }

    fn victims(&self) -> Victims {
        Victims::Clients(ClientKind::syncs)
    }
}

impl FaultKind for ClientDisconnect {
    fn obstacle(&self, target: &Target) -> Option<String> {
        let disconnects = target.client().ok()?.link.capabilities().disconnects;
        (!disconnects).then(|| "the client says that it cannot disconnect".to_owned())
    }

    fn begin<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move {
            target.client()?.link.send(ToClient::Disconnect);
            Ok(())
        })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move {
            target.client()?.link.send(ToClient::Connect);
            Ok(())
        })
    }

    /// Whether the client has a connection to the service, by the kernel's own table.
    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move {
            let client = target.client()?;
            let proxies = client.environment().proxies();
            let port = proxies.map(|proxies| proxies.service.port());
            let connections = port.map_or(0, observe::connections_to);
            Ok(Sighting {
                state: match connections {
                    0 => "not connected".to_owned(),
                    _ => "connected".to_owned(),
                },
                life: None,
                kept: client.link.session().unwrap_or_default(),
            })
        })
    }

    fn state_at_rest(&self) -> String {
        "connected".to_owned()
    }

    fn state_while_on(&self, _: &Fault) -> String {
        "not connected".to_owned()
    }
}
