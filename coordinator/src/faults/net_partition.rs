//! `net.partition`: the fault proxies of a client, or of all tabs of a browser, hold bytes back or reset connections.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use squall_protocol::fault::Fault;
use squall_protocol::plan::ClientKind;

use super::observe::links::{self, Link};
use super::{Doing, FaultKind, Sighting, Target};
use crate::plan::{Kind, Victims};
use crate::system::proxy::NetworkCondition;

pub struct NetPartition;

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Partition {
    target: To,
    direction: Direction,
    manner: Manner,
}

/// Which of a client's connections are hit.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum To {
    Service,
    Backend,
    Both,
}

/// Which direction of traffic is stopped, as seen from the client.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Direction {
    /// What the servers send does not arrive.
    In,
    /// What the client sends does not arrive.
    Out,
    Both,
}

/// What happens to the traffic that is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Manner {
    /// Bytes are held back silently; nobody is told. When the partition heals, connections that lost nothing
    /// go on, as TCP would after a retransmission.
    Drop,
    /// Open connections are reset and new ones refused.
    Reset,
}

const TARGETS: [To; 3] = [To::Service, To::Backend, To::Both];
const DIRECTIONS: [Direction; 3] = [Direction::In, Direction::Out, Direction::Both];
const MANNERS: [Manner; 2] = [Manner::Drop, Manner::Reset];

impl Partition {
    /// The condition of the network to the service, and to the backend.
    fn conditions(self) -> (NetworkCondition, NetworkCondition) {
        let condition = match self.manner {
            // A reset has no direction: it ends the connection for both sides.
            Manner::Reset => NetworkCondition::CUT,
            Manner::Drop => NetworkCondition {
                hold_inbound: self.direction != Direction::Out,
                hold_outbound: self.direction != Direction::In,
                reset: false,
            },
        };
        let on = |hit: bool| match hit {
            true => condition,
            false => NetworkCondition::OPEN,
        };
        (
            on(self.target != To::Backend),
            on(self.target != To::Service),
        )
    }
}

impl Kind for NetPartition {
    fn name(&self) -> &'static str {
        "net.partition"
    }

    fn victims(&self) -> Victims {
        Victims::Devices(ClientKind::syncs)
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> Fault {
        let mut pick = |count: usize| random.random_range(0..count);
        let partition = Partition {
            target: TARGETS[pick(3)],
            direction: DIRECTIONS[pick(3)],
            manner: MANNERS[pick(2)],
        };
        Fault::with(self.name(), &partition)
    }

    fn variants(&self) -> Vec<Fault> {
        let mut variants = Vec::new();
        for target in TARGETS {
            for direction in DIRECTIONS {
                for manner in MANNERS {
                    let partition = Partition {
                        target,
                        direction,
                        manner,
                    };
                    variants.push(Fault::with(self.name(), &partition));
                }
            }
        }
        variants
    }

    fn check(&self, fault: &Fault) -> Result<(), serde_json::Error> {
        fault.parameters::<Partition>().map(drop)
    }
}

impl FaultKind for NetPartition {
    fn begin<'a>(&'a self, target: &'a Target<'a>, fault: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move {
            let partition: Partition = fault.parameters()?;
            let (service, backend) = partition.conditions();
            target.client()?.environment().set_network(service, backend);
            Ok(())
        })
    }

    fn end<'a>(&'a self, target: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async move {
            let environment = target.client()?.environment();
            environment.set_network(NetworkCondition::OPEN, NetworkCondition::OPEN);
            Ok(())
        })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        Box::pin(async move { links::observe(target.environment, target.client()?).await })
    }

    fn state_at_rest(&self) -> String {
        links::state(Link::Answers, Link::Answers)
    }

    fn state_while_on(&self, fault: &Fault) -> String {
        let partition: Partition = fault.parameters().expect("it was checked");
        let (service, backend) = partition.conditions();
        let link = |condition: NetworkCondition| match condition {
            NetworkCondition { reset: true, .. } => Link::Reset,
            NetworkCondition {
                hold_outbound: true,
                ..
            } => Link::Silent { arrives: false },
            NetworkCondition {
                hold_inbound: true, ..
            } => Link::Silent { arrives: true },
            _ => Link::Answers,
        };
        links::state(link(service), link(backend))
    }
}
