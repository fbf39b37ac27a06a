//! Makes the plan of a run from a seed and options. Pure: no IO, no clock, and no randomness but the
//! seed's, so that the same seed and options give the same plan, byte for byte.

use std::collections::BTreeMap;
use std::fmt;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use squall_protocol::plan::{
    ClientKind, ClientSpec, Isolation, KeyChoice, Length, PLAN_VERSION, Plan, PlanOptions,
    ReadMode, Role, Roles, SdkOptions, Uploader, Workload,
};

use crate::plan::kinds::manifest;
pub use faults::{Kind, Victims};
pub use roles::role;
pub use transactions::{MOST_KEYS, default_keys};
use transactions::{probes, transactions};

mod faults;
pub mod kinds;
mod roles;
mod transactions;

/// How many clients of a kind a fleet has, in the order of the command line. None has several tabs.
pub type Fleet = Vec<(ClientKind, u32)>;

/// How many clients there are of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub devices: u32,
    /// How many tabs work on the database of each.
    pub tabs: u32,
}

impl Count {
    /// So many, each with a database of its own.
    pub fn of(devices: u32) -> Count {
        Count { devices, tabs: 1 }
    }

    /// How many clients these are.
    pub fn clients(self) -> u32 {
        self.devices * self.tabs
    }
}

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tabs {
            1 => write!(formatter, "{}", self.devices),
            tabs => write!(formatter, "{}x{tabs}", self.devices),
        }
    }
}

/// The clients of a fleet: `native-1`, `native-2`, …
pub fn clients(fleet: &Fleet) -> Vec<ClientSpec> {
    let fleet = fleet.iter();
    let of_kind = fleet.flat_map(|&(kind, count)| clients_of(kind.name(), kind, Count::of(count)));
    of_kind.collect()
}

/// So many clients of that kind, which goes by that name: `web-1`, `web-2`, …; where each has several tabs, `web-1.1`,
/// `web-1.2`, …
pub fn clients_of(name: &str, kind: ClientKind, count: Count) -> impl Iterator<Item = ClientSpec> {
    let devices = (1..=count.devices).map(move |number| format!("{name}-{number}"));
    devices.flat_map(move |device| {
        (1..=count.tabs).map(move |tab| match count.tabs {
            1 => ClientSpec::new(&device, kind),
            _ => ClientSpec {
                browser: Some(device.clone()),
                ..ClientSpec::new(format!("{device}.{tab}"), kind)
            },
        })
    })
}

/// The options of a plan without faults that says nothing out of the ordinary.
pub fn default_options(workload: Workload, keys: u32) -> PlanOptions {
    PlanOptions {
        workload,
        keys,
        payload: false,
        writes_per_transaction: Length { min: 4, max: 4 },
        key_choice: KeyChoice::Uniform,
        homogeneous: false,
        roles: Roles::default(),
        reads_through: vec![ReadMode::WriteTransaction],
        isolation: Isolation::default(),
        rate: 20.0,
        duration_ms: 30_000,
        fault_interval_ms: 5_000,
        faults: Vec::new(),
        uploader: Uploader::Transaction,
        sdk: SdkOptions::default(),
        recovery_deadline_ms: 60_000,
    }
}

/// Whether clients of that kind keep a live query open: those that may be able to, unless they are to read
/// nothing.
pub fn watches(options: &PlanOptions, kind: ClientKind) -> bool {
    manifest(kind).watches
        && options.reads_through.contains(&ReadMode::Watch)
        && role(options, kind) != Role::WriteOnly
}

/// Why a text is no plan that can be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error(
        "its format has the version {0}, and this squall carries out version {PLAN_VERSION}; repeat the run with its seed and its options instead"
    )]
    OtherVersion(u32),
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
    #[error("its fleet can not be: {0}")]
    Fleet(String),
    #[error("its faults can not be: {0}")]
    Faults(String),
}

/// Reads a plan, whose faults are of those kinds.
///
/// # Errors
///
/// When the text is none, or one of another version, or one whose clients do not go together, or one with
/// faults that there are not.
pub fn read(text: &str, kinds: &[&dyn Kind]) -> Result<Plan, Unreadable> {
    #[derive(serde::Deserialize)]
    struct Version {
        squall_plan: u32,
    }
    let Version { squall_plan } = serde_json::from_str(text)?;
    if squall_plan != PLAN_VERSION {
        return Err(Unreadable::OtherVersion(squall_plan));
    }
    let plan: Plan = serde_json::from_str(text)?;
    crate::plan::kinds::check(&plan.clients).map_err(Unreadable::Fleet)?;
    for client in &plan.clients {
        let external = matches!(client.kind, ClientKind::External(_));
        if external && !plan.programs.contains_key(client.kind_name()) {
            let (name, kind) = (&client.name, client.kind_name());
            return Err(Unreadable::Fleet(format!(
                "there is no command {kind} for {name}"
            )));
        }
    }
    faults::check(&plan, kinds).map_err(Unreadable::Faults)?;
    Ok(plan)
}

/// Makes the plan, with faults of those kinds that the options name. Transactions and faults are drawn from
/// different streams of the seed, so that the choice of faults does not change the transactions. Linear in
/// the number of transactions.
pub fn make(
    seed: u64,
    options: PlanOptions,
    clients: Vec<ClientSpec>,
    kinds: &[&dyn Kind],
) -> Plan {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let storm = transactions(&mut random, &options, &clients);
    let probes = probes(&mut random, &options, &clients);
    let faults = faults::faults(seed, &options, &clients, kinds);
    Plan {
        squall_plan: PLAN_VERSION,
        seed,
        options,
        clients,
        programs: BTreeMap::new(),
        transactions: storm,
        faults,
        probes,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use squall_protocol::fault::Victim;

    use super::*;
    use crate::faults;

    fn options(faults: Vec<String>) -> PlanOptions {
        PlanOptions {
            faults,
            ..default_options(Workload::Mww, 100)
        }
    }

    fn all() -> Vec<String> {
        faults::names().map(str::to_owned).collect()
    }

    fn make(seed: u64, options: PlanOptions, fleet: &Fleet) -> Plan {
        super::make(seed, options, clients(fleet), &faults::plannable())
    }

    fn fleet() -> Fleet {
        vec![
            (ClientKind::Native, 3),
            (ClientKind::Wasm, 2),
            (ClientKind::Postgres, 1),
        ]
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let plan = || {
            let plan = make(7, options(all()), &fleet());
            serde_json::to_string(&plan).unwrap()
        };
        assert_eq!(plan(), plan());
        let other = make(8, options(all()), &fleet());
        assert_ne!(plan(), serde_json::to_string(&other).unwrap());
    }

    #[test]
    fn a_plan_survives_its_own_file_format() {
        let plan = make(7, options(all()), &fleet());
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    /// The plan of an earlier squall, which had seven kinds of faults.
    const BEFORE: &str = include_str!("seed-7.json");

    #[test]
    fn a_seed_gives_the_plan_that_it_always_gave() {
        let before = read(BEFORE, &faults::plannable()).unwrap();
        let fleet: Fleet = vec![
            (ClientKind::Native, 3),
            (ClientKind::Wasm, 2),
            (ClientKind::Postgres, 1),
        ];
        let plan = make(before.seed, before.options.clone(), &fleet);
        assert_eq!(plan, before);
        assert_eq!(serde_json::to_string(&plan).unwrap(), BEFORE.trim_end());
    }

    #[test]
    fn other_kinds_do_not_change_the_faults_of_a_seed() {
        let before = read(BEFORE, &faults::plannable()).unwrap();
        let mut options = before.options.clone();
        options.faults = all();
        let mut plan = make(before.seed, options, &fleet());
        assert!(plan.faults.len() > before.faults.len());
        plan.faults.retain(|planned| {
            before
                .options
                .faults
                .iter()
                .any(|name| name == planned.fault.kind())
        });
        assert_eq!(plan.faults, before.faults);
    }

    #[test]
    fn a_plan_with_faults_that_there_are_not_is_refused() {
        for (from, to, says) in [
            ("tab.close", "tab.shut", "there is no fault `tab.shut`"),
            (
                "\"manner\":\"drop\"",
                "\"manner\":\"lose\"",
                "unknown variant `lose`",
            ),
            (
                "\"manner\":\"drop\"",
                "\"manner\":\"drop\",\"how\":1",
                "unknown field `how`",
            ),
            (
                "\"client.kill\"}",
                "{\"client.kill\":{\"how\":1}}}",
                "unknown field `how`",
            ),
            (
                "\"client\":4,\"fault\":\"tab",
                "\"client\":0,\"fault\":\"tab",
                "it can not hit Client(0)",
            ),
            (
                "\"client\":4,\"fault\":\"tab",
                "\"client\":9,\"fault\":\"tab",
                "it can not hit Client(9)",
            ),
            (
                "\"client\":4,\"fault\":\"tab",
                "\"server\":\"backend\",\"fault\":\"tab",
                "it can not hit Server(Backend)",
            ),
        ] {
            let text = BEFORE.replace(from, to);
            assert_ne!(text, BEFORE, "{from}");
            let error = read(&text, &faults::plannable()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn faults_do_not_change_the_transactions() {
        let with = make(7, options(all()), &fleet());
        let without = make(7, options(vec![]), &fleet());
        assert_eq!(with.transactions, without.transactions);
        assert!(without.faults.is_empty());
        assert!(!with.faults.is_empty());
    }

    /// Two browsers of three tabs each, and a native client.
    fn fleet_of_tabs() -> Vec<ClientSpec> {
        let (devices, tabs) = (2, 3);
        let kind = ClientKind::PowersyncWeb;
        let browsers = clients_of(kind.name(), kind, Count { devices, tabs });
        let native = clients_of("native", ClientKind::Native, Count::of(1));
        browsers.chain(native).collect()
    }

    #[test]
    fn tabs_are_clients_with_names_of_their_own_on_one_device() {
        let clients = fleet_of_tabs();
        let names: Vec<(&str, &str)> = clients.iter().map(|c| (&c.name[..], c.device())).collect();
        assert_eq!(
            names[2..],
            [
                ("powersync-web-1.3", "powersync-web-1"),
                ("powersync-web-2.1", "powersync-web-2"),
                ("powersync-web-2.2", "powersync-web-2"),
                ("powersync-web-2.3", "powersync-web-2"),
                ("native-1", "native-1"),
            ]
        );
        assert!(
            clients
                .iter()
                .all(|client| client.kind_name() == client.kind.name())
        );
        assert_eq!(kinds::check(&clients), Ok(()));
        let wasm = clients_of(
            "wasm",
            ClientKind::Wasm,
            Count {
                devices: 1,
                tabs: 2,
            },
        );
        let refused = kinds::check(&wasm.collect::<Vec<_>>()).unwrap_err();
        assert!(
            refused.contains("write wasm=N; powersync-web, powersync-web@firefox can"),
            "{refused}"
        );
        let mut mixed = clients;
        mixed[1].kind = ClientKind::Native;
        assert!(kinds::check(&mixed).is_err());
        mixed[1].kind = ClientKind::PowersyncWeb;
        mixed[1].browser = Some("native-1".to_owned());
        assert!(kinds::check(&mixed).is_err());
    }

    #[test]
    fn a_plan_with_tabs_survives_its_file_and_no_fault_hits_a_tab_while_one_hits_its_browser() {
        let (mut at_once, mut browsers, mut tabs) = (0, 0, 0);
        for seed in 0..20 {
            let options = PlanOptions {
                duration_ms: 60_000,
                fault_interval_ms: 2_000,
                ..options(all())
            };
            let plan = super::make(seed, options, fleet_of_tabs(), &faults::plannable());
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(read(&text, &faults::plannable()).unwrap(), plan);
            let device = |victim: Victim| match victim {
                Victim::Client(client) | Victim::Browser(client) => plan.clients[client].device(),
                Victim::Server(server) => server.name(),
            };
            for (number, fault) in plan.faults.iter().enumerate() {
                for earlier in &plan.faults[..number] {
                    if device(earlier.victim) != device(fault.victim)
                        || earlier.at_ms + earlier.duration_ms < fault.at_ms
                    {
                        continue;
                    }
                    let both = [earlier.victim, fault.victim];
                    assert_ne!(both[0], both[1]);
                    assert!(
                        both.iter()
                            .all(|victim| matches!(victim, Victim::Client(_))),
                        "{earlier:?} {fault:?}"
                    );
                    at_once += 1;
                }
            }
            for fault in &plan.faults {
                match fault.fault.kind() {
                    "browser.kill" => {
                        assert!(matches!(fault.victim, Victim::Browser(0 | 3)));
                        browsers += 1;
                    }
                    "tab.reload" => tabs += 1,
                    _ => {}
                }
            }
        }
        assert!(at_once > 0, "tabs of one browser are hit at the same time");
        assert!(browsers > 0 && tabs > 0, "{browsers} and {tabs}");
    }

    proptest! {
        #[test]
        fn plans_are_well_formed(
            seed: u64,
            keys in 4u32..200,
            rate in 1.0f64..200.0,
            duration_ms in 1_000u64..60_000,
            fault_interval_ms in 100u64..10_000,
        ) {
            let options = PlanOptions {
                keys, rate, duration_ms, fault_interval_ms,
                ..options(all())
            };
            let plan = make(seed, options, &fleet());
            let mut values = BTreeSet::new();
            for planned in &plan.transactions {
                let keys: BTreeSet<u32> = planned.transaction.keys.iter().copied().collect();
                prop_assert_eq!(keys.len(), 4);
                prop_assert!(keys.iter().all(|key| *key < plan.options.keys));
                prop_assert!(planned.at_ms <= duration_ms);
                prop_assert!(values.insert(planned.transaction.value));
            }
            for probe in &plan.probes {
                prop_assert!(values.iter().all(|value| *value < probe.value) || values.contains(&probe.value));
                prop_assert!(values.insert(probe.value));
            }
            for (number, fault) in plan.faults.iter().enumerate() {
                prop_assert!(super::faults::check(&plan, &faults::plannable()).is_ok());
                prop_assert!(fault.at_ms + fault.duration_ms <= duration_ms);
                for earlier in &plan.faults[..number] {
                    prop_assert!(earlier.at_ms <= fault.at_ms);
                    if earlier.victim == fault.victim {
                        prop_assert!(earlier.at_ms + earlier.duration_ms < fault.at_ms
                            || fault.at_ms + fault.duration_ms < earlier.at_ms);
                    }
                }
            }
        }
    }
}
