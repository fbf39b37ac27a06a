//! When which fault hits whom. What kinds of faults there are is for the caller to say: a plan knows of a kind
//! what [`Kind`] says, and how a fault is caused is not its business.

use std::collections::BTreeMap;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use squall_protocol::fault::{Fault, Server, Victim};
use squall_protocol::plan::{ClientKind, ClientSpec, Plan, PlanOptions, PlannedFault};

/// A victim is left alone for this long after a fault, so that it can show what the fault did to it.
const REST_AFTER_FAULT_MS: u64 = 1_000;

/// The kinds whose faults are drawn in turns from one stream of the seed. They are the oldest, and so a seed
/// goes on giving the faults that it gave when there were no others. Every other kind has a stream of its own.
const OLDEST: [&str; 7] = [
    "tab.reload",
    "tab.close",
    "tab.offline",
    "client.kill",
    "client.pause",
    "client.disconnect",
    "net.partition",
];

/// A kind of fault, as far as a plan is concerned.
pub trait Kind: Sync {
    /// The name, as on the command line and in every file.
    fn name(&self) -> &'static str;

    /// Whom it can hit.
    fn victims(&self) -> Victims;

    /// Whether it lasts for some time that the plan says. What does not is over when it has been caused.
    fn lasts(&self) -> bool {
        true
    }

    /// One with parameters from the seed.
    fn draw(&self, _random: &mut ChaCha8Rng) -> Fault {
        Fault::plain(self.name())
    }

    /// Every choice of parameters that differs from the others in what it does.
    fn variants(&self) -> Vec<Fault> {
        vec![Fault::plain(self.name())]
    }

    /// Whether a fault of this kind has parameters that it can have.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    fn check(&self, fault: &Fault) -> Result<(), serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct None {}
        fault.parameters::<None>().map(drop)
    }
}

/// Whom a kind of fault can hit.
#[derive(Clone, Copy)]
pub enum Victims {
    /// Clients of those kinds.
    Clients(fn(ClientKind) -> bool),
    /// What clients of those kinds run on, with all tabs of a browser.
    Devices(fn(ClientKind) -> bool),
    /// A server, where there is a client of those kinds: the others do not need it.
    Server(Server, fn(ClientKind) -> bool),
}

impl Victims {
    /// All victims among those clients and what they need.
    pub fn among(self, clients: &[ClientSpec]) -> Vec<Victim> {
        let mut fitting = clients.iter().enumerate();
        match self {
            Victims::Clients(fits) => fitting
                .filter(|(_, client)| fits(client.kind))
                .map(|(index, _)| Victim::Client(index))
                .collect(),
            Victims::Devices(fits) => {
                let fitting = fitting.filter(|(_, client)| fits(client.kind));
                let victims = fitting.filter_map(|(index, _)| device(clients, index));
                victims.collect()
            }
            Victims::Server(server, needs) => fitting
                .any(|(_, client)| needs(client.kind))
                .then_some(Victim::Server(server))
                .into_iter()
                .collect(),
        }
    }
}

/// What the client runs on: itself, if that has no other tabs, and otherwise the browser if it is the first tab.
fn device(clients: &[ClientSpec], index: usize) -> Option<Victim> {
    match &clients[index].browser {
        None => Some(Victim::Client(index)),
        Some(browser) => {
            let mut clients = clients.iter();
            let first = clients.position(|client| client.browser.as_ref() == Some(browser));
            (first == Some(index)).then_some(Victim::Browser(index))
        }
    }
}

/// Checks the faults of a plan that somebody may have written: kinds, parameters, victims.
///
/// # Errors
///
/// What is wrong with the first that can not be.
pub fn check(plan: &Plan, kinds: &[&dyn Kind]) -> Result<(), String> {
    let find = |name: &str| {
        let mut kinds = kinds.iter();
        let found = kinds.find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("there is no fault `{name}`"))
    };
    for name in &plan.options.faults {
        find(name)?;
    }
    for (number, planned) in plan.faults.iter().enumerate() {
        let kind = find(planned.fault.kind())?;
        let of = |problem: String| format!("fault {number}, {}: {problem}", kind.name());
        kind.check(&planned.fault)
            .map_err(|error| of(error.to_string()))?;
        if !kind
            .victims()
            .among(&plan.clients)
            .contains(&planned.victim)
        {
            return Err(of(format!("it can not hit {:?}", planned.victim)));
        }
    }
    Ok(())
}

/// The faults that the options name, in the order of time.
pub fn faults(
    seed: u64,
    options: &PlanOptions,
    clients: &[ClientSpec],
    kinds: &[&dyn Kind],
) -> Vec<PlannedFault> {
    let chosen = |kind: &&&dyn Kind| options.faults.iter().any(|name| name == kind.name());
    let (oldest, others): (Vec<&dyn Kind>, Vec<&dyn Kind>) = kinds
        .iter()
        .filter(chosen)
        .partition(|kind| OLDEST.contains(&kind.name()));
    let mut drawing = Drawing {
        options,
        clients,
        faults: Vec::new(),
        busy: BTreeMap::new(),
    };
    drawing.draw(&mut stream(seed, 1), &oldest);
    for kind in others {
        drawing.draw(&mut stream(seed, number(kind.name())), &[kind]);
    }
    // Stable: faults of the same moment stay in the order of their kinds.
    drawing.faults.sort_by_key(|planned| planned.at_ms);
    drawing.faults
}

fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number);
    random
}

/// A number for a name that depends on nothing else: its 64-bit FNV-1a hash.
fn number(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

struct Drawing<'o> {
    options: &'o PlanOptions,
    clients: &'o [ClientSpec],
    faults: Vec<PlannedFault>,
    /// By victim and beginning: the end of a fault and of the rest from it.
    busy: BTreeMap<(Victim, u64), u64>,
}

impl Drawing<'_> {
    /// For each of these kinds a sequence of pause, fault, pause, fault, … until the storm is over. Each hits
    /// a random one of those that it can hit and that have no other fault at that time.
    fn draw(&mut self, random: &mut ChaCha8Rng, kinds: &[&dyn Kind]) {
        let longest = 2 * self.options.fault_interval_ms;
        let mut next: Vec<(u64, &dyn Kind)> = kinds
            .iter()
            .map(|&kind| (random.random_range(0..=longest), kind))
            .collect();
        // Always the earliest next, so that no kind takes the clients away from the others.
        while let Some(earliest) = next.iter_mut().min_by_key(|(at_ms, _)| *at_ms)
            && earliest.0 < self.options.duration_ms
        {
            let (at_ms, kind) = *earliest;
            let duration_ms = match kind.lasts() {
                false => 0,
                true => random
                    .random_range(0..=longest)
                    .min(self.options.duration_ms - at_ms),
            };
            let fault = kind.draw(random);
            let mut candidates = kind.victims().among(self.clients);
            let end_ms = at_ms + duration_ms + REST_AFTER_FAULT_MS;
            candidates.retain(|&victim| self.is_free(victim, at_ms, end_ms));
            if let Some(&victim) = candidates.choose(random) {
                self.busy.insert((victim, at_ms), end_ms);
                self.faults.push(PlannedFault {
                    at_ms,
                    duration_ms,
                    victim,
                    fault,
                });
            }
            // Never zero, so that time goes on.
            earliest.0 += duration_ms + random.random_range(1..=longest.max(1));
        }
    }

    /// Whether a victim has no fault and no rest from one at that time, and none begins meanwhile; nor the browser
    /// that it is a tab of, nor a tab of the browser that it is.
    fn is_free(&self, victim: Victim, at_ms: u64, end_ms: u64) -> bool {
        self.hit_with(victim).into_iter().all(|victim| {
            let before = self.busy.range((victim, 0)..=(victim, at_ms)).next_back();
            let after = self.busy.range((victim, at_ms)..(victim, end_ms)).next();
            before.is_none_or(|(_, end)| *end <= at_ms) && after.is_none()
        })
    }

    /// The victim, and those whose faults are its own too.
    fn hit_with(&self, victim: Victim) -> Vec<Victim> {
        let (Victim::Client(client) | Victim::Browser(client)) = victim else {
            return vec![victim];
        };
        let Some(browser) = &self.clients[client].browser else {
            return vec![victim];
        };
        let clients = self.clients.iter().enumerate();
        let tabs = clients.filter(|(_, tab)| tab.browser.as_ref() == Some(browser));
        let mut tabs = tabs.map(|(index, _)| index);
        match victim {
            Victim::Client(_) => tabs
                .next()
                .map(Victim::Browser)
                .into_iter()
                .chain([victim])
                .collect(),
            _ => tabs.map(Victim::Client).chain([victim]).collect(),
        }
    }
}
