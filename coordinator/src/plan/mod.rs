//! Makes the plan of a run from a seed and options. Pure: no IO, no clock, and no randomness but the
//! seed's, so that the same seed and options give the same plan, byte for byte.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_protocol::fault::{
    Fault, FaultKind, PartitionDirection, PartitionManner, PartitionTarget,
};
use squall_protocol::plan::{
    ClientKind, ClientSpec, Isolation, KeyChoice, Length, PLAN_VERSION, Plan, PlanOptions,
    PlannedFault, ReadsThrough, Role, Roles, Uploader, Workload,
};

pub use transactions::{MOST_KEYS, default_keys};
use transactions::{probes, transactions};

mod transactions;

/// A client is left alone for this long after a fault, so that it can show what the fault did to it.
const REST_AFTER_FAULT_MS: u64 = 1_000;

/// How many clients of a kind a fleet has, in the order of the command line.
pub type Fleet = Vec<(ClientKind, u32)>;

/// The clients of a fleet: `native-1`, `native-2`, …
pub fn clients(fleet: &Fleet) -> Vec<ClientSpec> {
    fleet
        .iter()
        .flat_map(|&(kind, count)| {
            (1..=count).map(move |number| ClientSpec {
                name: format!("{}-{number}", kind.name()),
                kind,
            })
        })
        .collect()
}

/// Whether clients of that kind can suffer that fault.
pub fn can_suffer(kind: ClientKind, fault: FaultKind) -> bool {
    match fault {
        FaultKind::TabReload | FaultKind::TabClose | FaultKind::TabOffline => {
            kind == ClientKind::Wasm
        }
        FaultKind::ClientKill | FaultKind::ClientPause => kind != ClientKind::Wasm,
        FaultKind::ClientDisconnect | FaultKind::NetPartition => kind.syncs(),
    }
}

/// The options of a plan without faults that says nothing out of the ordinary.
pub fn calm(workload: Workload, keys: u32) -> PlanOptions {
    PlanOptions {
        workload,
        keys,
        payload: false,
        writes_per_transaction: Length { min: 4, max: 4 },
        key_choice: KeyChoice::Uniform,
        homogeneous: false,
        roles: Roles::default(),
        reads_through: vec![ReadsThrough::WriteTransaction],
        isolation: Isolation::default(),
        rate: 20.0,
        duration_ms: 30_000,
        fault_interval_ms: 5_000,
        faults: Vec::new(),
        uploader: Uploader::Transaction,
        recovery_deadline_ms: 60_000,
    }
}

/// What clients of that kind may do.
pub fn role(options: &PlanOptions, kind: ClientKind) -> Role {
    match kind {
        ClientKind::Postgres => options.roles.postgres,
        _ => options.roles.powersync,
    }
}

/// Whether clients of that kind keep a live query open: those with powersync_core, which knows of
/// every change, unless they are to read nothing.
pub fn watches(options: &PlanOptions, kind: ClientKind) -> bool {
    let can_watch = kind.syncs() || kind == ClientKind::Local;
    can_watch
        && options.reads_through.contains(&ReadsThrough::Watch)
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
}

/// Reads a plan.
///
/// # Errors
///
/// When the text is none, or one of another version, or one whose clients do not go together.
pub fn read(text: &str) -> Result<Plan, Unreadable> {
    #[derive(serde::Deserialize)]
    struct Version {
        squall_plan: u32,
    }
    let Version { squall_plan } = serde_json::from_str(text)?;
    if squall_plan != PLAN_VERSION {
        return Err(Unreadable::OtherVersion(squall_plan));
    }
    let plan: Plan = serde_json::from_str(text)?;
    let fleet = plan.clients.iter().map(|client| (client.kind, 1)).collect();
    crate::fleet::check(&fleet).map_err(Unreadable::Fleet)?;
    Ok(plan)
}

/// Makes the plan. Transactions and faults are drawn from two streams of the seed, so that the
/// choice of faults does not change the transactions. Linear in the number of transactions.
pub fn make(seed: u64, options: PlanOptions, fleet: &Fleet) -> Plan {
    let clients = clients(fleet);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let storm = transactions(&mut random, &options, &clients);
    let probes = probes(&mut random, &options, &clients);

    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(1);
    let faults = faults(&mut random, &options, &clients);

    Plan {
        squall_plan: PLAN_VERSION,
        seed,
        options,
        clients,
        transactions: storm,
        faults,
        probes,
    }
}

/// For every kind of fault a sequence of pause, fault, pause, fault, … until the storm is over. Each
/// hits a random client among those that can suffer it and have no other fault at that time.
fn faults(
    random: &mut ChaCha8Rng,
    options: &PlanOptions,
    clients: &[ClientSpec],
) -> Vec<PlannedFault> {
    let longest = 2 * options.fault_interval_ms;
    let mut free_from = vec![0; clients.len()];
    let mut next: Vec<(u64, FaultKind)> = options
        .faults
        .iter()
        .map(|&kind| (random.random_range(0..=longest), kind))
        .collect();
    let mut faults = Vec::new();
    // Always the earliest next, so that no kind takes the clients away from the others.
    while let Some(earliest) = next.iter_mut().min_by_key(|(at_ms, _)| *at_ms)
        && earliest.0 < options.duration_ms
    {
        let (at_ms, kind) = *earliest;
        let duration_ms = match kind {
            FaultKind::TabReload => 0,
            _ => random
                .random_range(0..=longest)
                .min(options.duration_ms - at_ms),
        };
        let fault = fault(random, kind);
        let candidates: Vec<usize> = (0..clients.len())
            .filter(|&client| can_suffer(clients[client].kind, kind))
            .filter(|&client| free_from[client] <= at_ms)
            .collect();
        if let Some(&client) = candidates.choose(random) {
            free_from[client] = at_ms + duration_ms + REST_AFTER_FAULT_MS;
            faults.push(PlannedFault {
                at_ms,
                duration_ms,
                client,
                fault,
            });
        }
        // Never zero, so that time goes on.
        earliest.0 += duration_ms + random.random_range(1..=longest.max(1));
    }
    faults
}

fn fault(random: &mut ChaCha8Rng, kind: FaultKind) -> Fault {
    match kind {
        FaultKind::TabReload => Fault::TabReload,
        FaultKind::TabClose => Fault::TabClose,
        FaultKind::TabOffline => Fault::TabOffline,
        FaultKind::ClientKill => Fault::ClientKill,
        FaultKind::ClientPause => Fault::ClientPause,
        FaultKind::ClientDisconnect => Fault::ClientDisconnect,
        FaultKind::NetPartition => {
            use {PartitionDirection as D, PartitionManner as M, PartitionTarget as T};
            let mut pick = |count: usize| random.random_range(0..count);
            Fault::NetPartition {
                target: [T::Service, T::Backend, T::Both][pick(3)],
                direction: [D::In, D::Out, D::Both][pick(3)],
                manner: [M::Drop, M::Reset][pick(2)],
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn options(faults: Vec<FaultKind>) -> PlanOptions {
        PlanOptions {
            faults,
            ..calm(Workload::Mww, 100)
        }
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
            let plan = make(7, options(FaultKind::ALL.to_vec()), &fleet());
            serde_json::to_string(&plan).unwrap()
        };
        assert_eq!(plan(), plan());
        let other = make(8, options(FaultKind::ALL.to_vec()), &fleet());
        assert_ne!(plan(), serde_json::to_string(&other).unwrap());
    }

    #[test]
    fn a_plan_survives_its_own_file_format() {
        let plan = make(7, options(FaultKind::ALL.to_vec()), &fleet());
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn faults_do_not_change_the_transactions() {
        let with = make(7, options(FaultKind::ALL.to_vec()), &fleet());
        let without = make(7, options(vec![]), &fleet());
        assert_eq!(with.transactions, without.transactions);
        assert!(without.faults.is_empty());
        assert!(!with.faults.is_empty());
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
                ..options(FaultKind::ALL.to_vec())
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
                prop_assert!(can_suffer(plan.clients[fault.client].kind, fault.fault.kind()));
                prop_assert!(fault.at_ms + fault.duration_ms <= duration_ms);
                for earlier in &plan.faults[..number] {
                    prop_assert!(earlier.at_ms <= fault.at_ms);
                    if earlier.client == fault.client {
                        prop_assert!(earlier.at_ms + earlier.duration_ms < fault.at_ms
                            || fault.at_ms + fault.duration_ms < earlier.at_ms);
                    }
                }
            }
        }
    }
}
