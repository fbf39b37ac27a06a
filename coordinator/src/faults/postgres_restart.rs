//! `postgres.restart`: our own PostgreSQL is stopped, in one of two ways, and started again on the same port at
//! the end.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use squall_protocol::fault::{Fault, Server};
use squall_protocol::plan::ClientKind;

use super::{Doing, FaultKind, Sighting, Target, observe};
use crate::plan::{Kind, Victims};
use crate::system::database;

pub struct PostgresRestart;

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restart {
    shutdown: Shutdown,
}

/// By PostgreSQL's own names.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Shutdown {
    /// In order: what is in memory is written.
    Fast,
    /// As a crash.
    Immediate,
}

const SHUTDOWNS: [Shutdown; 2] = [Shutdown::Fast, Shutdown::Immediate];

impl Kind for PostgresRestart {
    fn name(&self) -> &'static str {
        "postgres.restart"
    }

    fn victims(&self) -> Victims {
        Victims::Server(Server::Postgres, ClientKind::meets_in_postgres)
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> Fault {
        let shutdown = SHUTDOWNS[random.random_range(0..2)];
        Fault::with(self.name(), &Restart { shutdown })
    }

    fn variants(&self) -> Vec<Fault> {
        let variants = SHUTDOWNS.map(|shutdown| Fault::with(self.name(), &Restart { shutdown }));
        variants.to_vec()
    }

    fn check(&self, fault: &Fault) -> Result<(), serde_json::Error> {
        fault.parameters::<Restart>().map(drop)
    }
}

impl FaultKind for PostgresRestart {
    fn obstacle(&self, target: &Target) -> Option<String> {
        let is_ours = target.environment.servers()?.postgres().is_ours();
        (!is_ours).then(|| "PostgreSQL is not squall's own".to_owned())
    }

    fn begin<'a>(&'a self, target: &'a Target<'a>, fault: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move {
            let Restart { shutdown } = fault.parameters()?;
            let shutdown = match shutdown {
                Shutdown::Fast => squall_throwaway_postgres::Shutdown::Fast,
                Shutdown::Immediate => squall_throwaway_postgres::Shutdown::Immediate,
            };
            Ok(target.servers()?.postgres().take_down(shutdown).await?)
        })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move { Ok(target.servers()?.postgres().bring_up().await?) })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move {
            let url = target.servers()?.postgres().url();
            let port = url.rsplit(['/', ':']).nth(1).unwrap_or_default();
            let process = observe::child(&[&format!("port={port}")]);
            let answers = database::connect(url).await.is_ok();
            Ok(Sighting {
                state: match answers {
                    true => format!("{}, answers", process.state),
                    false => format!("{}, does not answer", process.state),
                },
                kept: url.to_owned(),
                ..process
            })
        })
    }

    fn state_at_rest(&self) -> String {
        format!("{}, answers", observe::RUNS)
    }

    fn state_while_on(&self, _: &Fault) -> String {
        format!("{}, does not answer", observe::GONE)
    }

    fn renews(&self) -> bool {
        true
    }
}
