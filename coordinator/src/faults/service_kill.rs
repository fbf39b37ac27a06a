//! `service.kill`: SIGKILL to the embedded sync service, which is started again on the same port and the same
//! storage at the end.

use squall_protocol::fault::{Fault, Server};
use squall_protocol::plan::ClientKind;

use super::{Doing, FaultError, FaultKind, Sighting, Target, observe};
use crate::plan::{Kind, Victims};

pub struct ServiceKill;

impl Kind for ServiceKill {
    fn name(&self) -> &'static str {
        "service.kill"
    }

    fn victims(&self) -> Victims {
        Victims::Server(Server::Service, ClientKind::syncs)
    }
}

impl FaultKind for ServiceKill {
    fn obstacle(&self, target: &Target) -> Option<String> {
        let is_ours = target.environment.servers()?.service().is_some();
        (!is_ours).then(|| "the service is not squall's own".to_owned())
    }

    fn begin<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move {
            match target.servers()?.service() {
                Some(service) => Ok(service.kill().await?),
                None => Err(FaultError::OtherVictim(target.victim)),
            }
        })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.servers()?.start_service_again().await?) })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move {
            let service = target.servers()?.service();
            let service = service.ok_or(FaultError::OtherVictim(target.victim))?;
            let process = observe::child(&["serve", &service.address().to_string()]);
            let process = match process.life {
                Some(_) => process,
                // The first had chosen its port itself.
                None => observe::child(&["serve", "127.0.0.1:0"]),
            };
            Ok(Sighting {
                state: format!(
                    "{}, {}",
                    process.state,
                    observe::port(service.address()).await
                ),
                kept: observe::file(&service.storage())?,
                ..process
            })
        })
    }

    fn state_at_rest(&self) -> String {
        format!("{}, {}", observe::RUNS, observe::LISTENS)
    }

    fn state_while_on(&self, _: &Fault) -> String {
        format!("{}, {}", observe::GONE, observe::REFUSES)
    }

    fn renews(&self) -> bool {
        true
    }
}
