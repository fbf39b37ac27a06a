//! What clients do and when, drawn from the seed: the shapes, the roles and the choice of keys.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::seq::{IndexedRandom, index};
use rand::{Rng, RngExt};
use squall_protocol::plan::{
    ClientSpec, KeyChoice, Length, PlanOptions, PlannedTransaction, ReadMode, Role, Workload,
};
use squall_protocol::transaction::{Key, Reads, Transaction, TransactionMode, Value};
use squall_workloads::{Probe, Shape};

use super::role;

/// How many rows a run has that does not say.
const ROWS: u32 = 100;
/// How many keys are in use at a time where values pile up, unless transactions are longer: few, so that
/// transactions meet.
const WINDOW: u32 = 10;
/// How many elements a list or a set gets on average, unless the number of rows is given. A read
/// costs as much as what it reads is long; Elle's own workloads stop at 32, too.
const ELEMENTS: u64 = 32;
/// So many rows a run may have.
pub const MOST_KEYS: u32 = 100_000;
/// Weights are multiples of this part of the greatest.
const FINEST_WEIGHT: f64 = 1.0 / (1_u64 << 40) as f64;

/// One transaction in every slot of 1/rate seconds, at a random moment of it, by a random client.
pub(super) fn transactions(
    random: &mut impl Rng,
    options: &PlanOptions,
    clients: &[ClientSpec],
) -> Vec<PlannedTransaction> {
    let count = count(options.rate, options.duration_ms);
    let slot_ms = 1000.0 / options.rate;
    let maker = Maker::new(options, clients.len());
    (0..count)
        .map(|number| {
            let at_ms = ((number as f64 + random.random::<f64>()) * slot_ms) as u64;
            let client = random.random_range(0..clients.len());
            let role = role(options, clients[client].kind);
            let window = maker.window(number, count);
            let transaction = maker.transaction(random, role, number as Value, &window);
            PlannedTransaction {
                at_ms,
                client,
                transaction,
            }
        })
        .collect()
}

/// One transaction per client, their values higher than all others. Every client that may write
/// does, so that everyone's way to the backend is proven; the others read.
pub(super) fn probes(
    random: &mut impl Rng,
    options: &PlanOptions,
    clients: &[ClientSpec],
) -> Vec<Transaction> {
    let first = count(options.rate, options.duration_ms) as Value;
    let maker = Maker::new(options, clients.len());
    let probe = |(number, client): (usize, &ClientSpec)| {
        let value = first + number as Value;
        match role(options, client.kind) {
            Role::ReadOnly => maker.reading(random, Reads::All),
            role => {
                let keys = match maker.shape.probe {
                    Probe::Any => {
                        maker.some_keys(random, options.writes_per_transaction, &maker.all())
                    }
                    Probe::OwnIfPossible | Probe::Own => vec![number as Key % options.keys],
                    Probe::Reserved => vec![options.keys.saturating_sub(1 + number as Key)],
                };
                let reads = match maker.shape.reads_all {
                    true => Reads::All,
                    false => Reads::Keys(keys.clone()),
                };
                maker.writing(role, value, keys, reads)
            }
        }
    };
    let mut probes: Vec<_> = clients.iter().enumerate().map(probe).collect();
    if !maker.shape.reads_all {
        // Who only reads looks where the others write.
        let keys: BTreeSet<Key> = probes.iter().flat_map(|probe| probe.keys.clone()).collect();
        for probe in probes.iter_mut().filter(|probe| probe.is_read_only()) {
            probe.reads = Reads::Keys(keys.iter().copied().collect());
        }
    }
    probes
}

/// How many transactions a storm has.
fn count(rate: f64, duration_ms: u64) -> u64 {
    (duration_ms as f64 * rate / 1000.0).floor() as u64
}

/// How many rows a run has that does not say: [`ROWS`], or where values pile up so many that each gets
/// [`ELEMENTS`] of them; and one for every client's probe, if probes want rows of their own.
pub fn default_keys(
    workload: Workload,
    rate: f64,
    duration_ms: u64,
    writes: Length,
    clients: u32,
) -> u32 {
    let shape = squall_workloads::workload(workload, false).shape();
    let keys = match shape.reads_all {
        true => ROWS,
        false => {
            let elements = count(rate, duration_ms) * u64::from(writes.min + writes.max) / 2;
            let keys = (elements / ELEMENTS).min(u64::from(MOST_KEYS)) as u32;
            keys.max(WINDOW).max(writes.max)
        }
    };
    match shape.probe {
        Probe::Any => keys,
        Probe::OwnIfPossible | Probe::Own => keys.max(clients),
        Probe::Reserved => keys.saturating_add(clients),
    }
}

/// The keys that transactions choose from: so many from the first on, in a ring.
struct Window {
    first: u32,
    length: u32,
}

/// Makes transactions of one shape.
struct Maker<'p> {
    options: &'p PlanOptions,
    shape: Shape,
    /// How many keys there are to choose from.
    keys: u32,
    /// The weights of the places in a window; none if all weigh the same.
    weights: Option<WeightedIndex<u64>>,
    /// What transactions that only read are done in.
    reads_through: Vec<TransactionMode>,
}

impl Maker<'_> {
    fn new(options: &PlanOptions, clients: usize) -> Maker<'_> {
        let shape = squall_workloads::workload(options.workload, options.payload).shape();
        let mut maker = Maker {
            options,
            shape,
            keys: match shape.probe {
                Probe::Reserved => options.keys.saturating_sub(clients as u32).max(1),
                _ => options.keys,
            },
            weights: None,
            reads_through: Vec::new(),
        };
        let length = maker.window(0, 1).length;
        maker.weights = match options.key_choice {
            KeyChoice::Uniform => None,
            KeyChoice::Zipf { exponent } => Some(zipf(length, exponent)),
        };
        let planned = |through: &ReadMode| match through {
            ReadMode::WriteTransaction => Some(TransactionMode::WriteTransaction),
            ReadMode::ReadTransaction => Some(TransactionMode::ReadTransaction),
            // Nobody plans what a live query emits.
            ReadMode::Watch => None,
        };
        maker.reads_through = options.reads_through.iter().filter_map(planned).collect();
        maker
    }

    fn all(&self) -> Window {
        Window {
            first: 0,
            length: self.keys,
        }
    }

    /// The keys in use at the `number`-th transaction of `count`. Where values pile up, it goes once
    /// around over the run: every key is in use for as long, and then is left alone.
    fn window(&self, number: u64, count: u64) -> Window {
        if self.shape.reads_all {
            return self.all();
        }
        let keys = self.keys;
        let longest = self.options.writes_per_transaction.max;
        Window {
            first: (u128::from(number) * u128::from(keys) / u128::from(count)) as u32,
            length: WINDOW.max(longest).min(keys),
        }
    }

    fn transaction(
        &self,
        random: &mut impl Rng,
        role: Role,
        value: Value,
        window: &Window,
    ) -> Transaction {
        let length = self.options.writes_per_transaction;
        let homogeneous = self.options.homogeneous;
        let role = match role {
            Role::ReadWrite if homogeneous && random.random() => Role::ReadOnly,
            Role::ReadWrite if homogeneous => Role::WriteOnly,
            role => role,
        };
        let writes = match role {
            Role::ReadOnly => 0,
            // What neither reads nor writes is no transaction.
            Role::WriteOnly => random.random_range(length.min.max(1)..=length.max),
            Role::ReadWrite => random.random_range(length.min..=length.max),
        };
        let keys = self.choose(random, writes, window);
        let reads = match (role, self.shape.reads_all) {
            (Role::WriteOnly, _) => Reads::Nothing,
            (_, true) => Reads::All,
            (_, false) => Reads::Keys(self.some_keys(random, length, window)),
        };
        match keys.is_empty() {
            true => self.reading(random, reads),
            false => self.writing(role, value, keys, reads),
        }
    }

    fn reading(&self, random: &mut impl Rng, reads: Reads) -> Transaction {
        let through = self.reads_through.choose(random).copied();
        Transaction {
            reads,
            through: through.unwrap_or_default(),
            ..Transaction::read_all()
        }
    }

    fn writing(&self, role: Role, value: Value, keys: Vec<Key>, reads: Reads) -> Transaction {
        Transaction {
            reads: match role == Role::WriteOnly || self.options.homogeneous {
                true => Reads::Nothing,
                false => reads,
            },
            ..Transaction::new(value, keys)
        }
    }

    /// At least one key of the window.
    fn some_keys(&self, random: &mut impl Rng, length: Length, window: &Window) -> Vec<Key> {
        let count = random.random_range(length.min.max(1)..=length.max);
        self.choose(random, count, window)
    }

    /// Distinct keys of the window: each is chosen from those that are left.
    fn choose(&self, random: &mut impl Rng, count: u32, window: &Window) -> Vec<Key> {
        let key = |place: usize| {
            let place = u64::from(window.first) + place as u64;
            (place % u64::from(self.keys)) as Key
        };
        let Some(weights) = &self.weights else {
            let places = index::sample(random, window.length as usize, count as usize);
            return places.into_iter().map(key).collect();
        };
        let mut left = Cow::Borrowed(weights);
        let mut taken = BTreeSet::new();
        while taken.len() < count as usize {
            if !taken.insert(left.sample(random)) {
                let taken: Vec<_> = taken.iter().map(|&place| (place, &0)).collect();
                let updated = left.to_mut().update_weights(&taken);
                updated.expect("a transaction has no more keys than the window");
            }
        }
        taken.into_iter().map(key).collect()
    }
}

/// The weights of Zipf's law, the first the greatest. They are integers made by a portable power
/// function, so that a seed gives the same plan on every machine.
fn zipf(length: u32, exponent: f64) -> WeightedIndex<u64> {
    let weight = |place: u32| {
        let weight = libm::pow(f64::from(place + 1), -exponent);
        (weight / FINEST_WEIGHT).round().max(1.0) as u64
    };
    WeightedIndex::new((0..length).map(weight)).expect("there is a key, and weights are above 0")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use squall_protocol::plan::{ClientKind, Roles};

    use super::*;
    use crate::plan::{clients, default_options};

    const ZIPF: KeyChoice = KeyChoice::Zipf { exponent: 1.0 };

    /// The transactions and the probes of five minutes, with two native clients and one on PostgreSQL.
    fn plan(options: &PlanOptions) -> (Vec<PlannedTransaction>, Vec<Transaction>) {
        let fleet = vec![(ClientKind::Native, 2), (ClientKind::Postgres, 1)];
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let clients = clients(&fleet);
        let transactions = transactions(&mut random, options, &clients);
        (transactions, probes(&mut random, options, &clients))
    }

    fn long(workload: Workload) -> PlanOptions {
        PlanOptions {
            duration_ms: 300_000,
            ..default_options(workload, 100)
        }
    }

    fn writes_per_key(transactions: &[PlannedTransaction], keys: u32) -> Vec<usize> {
        let mut writes = vec![0; keys as usize];
        for key in transactions.iter().flat_map(|p| &p.transaction.keys) {
            writes[*key as usize] += 1;
        }
        writes
    }

    #[test]
    fn lists_and_sets_get_about_as_many_elements_each() {
        for workload in [Workload::ListAppend, Workload::Gset] {
            for key_choice in [KeyChoice::Uniform, ZIPF] {
                let options = PlanOptions {
                    key_choice,
                    ..long(workload)
                };
                let (transactions, _) = plan(&options);
                // 6,000 transactions of 4 writes over 100 keys.
                for (key, writes) in writes_per_key(&transactions, 100).into_iter().enumerate() {
                    assert!((180..=300).contains(&writes), "{key}: {writes}");
                }
                let of_a_second = &transactions[3_000..3_020];
                let used: BTreeSet<Key> = of_a_second
                    .iter()
                    .flat_map(|planned| planned.transaction.keys.clone())
                    .collect();
                assert!(used.len() <= WINDOW as usize + 1, "{used:?}");
            }
        }
    }

    #[test]
    fn rows_are_as_many_as_keep_lists_short() {
        let writes = Length { min: 1, max: 3 };
        let keys = |workload, rate, clients| default_keys(workload, rate, 60_000, writes, clients);
        assert_eq!(keys(Workload::Ledger, 20.0, 6), 100);
        assert_eq!(keys(Workload::ListAppend, 100.0, 6), 6_000 * 2 / 32);
        assert_eq!(keys(Workload::Gset, 0.1, 6), WINDOW);
        assert_eq!(keys(Workload::ListAppend, 0.1, 30), 30);
    }

    #[test]
    fn skewed_choices_follow_zipfs_law() {
        let options = PlanOptions {
            key_choice: ZIPF,
            writes_per_transaction: Length { min: 1, max: 1 },
            ..long(Workload::Mww)
        };
        let writes = writes_per_key(&plan(&options).0, 100);
        // The harmonic number of 100 is 5.187: of 6,000 the first key gets 1,157, the tenth 116.
        assert!((1_050..1_260).contains(&writes[0]), "{writes:?}");
        assert!((80..150).contains(&writes[9]), "{writes:?}");
    }

    #[test]
    fn keys_are_distinct_however_skewed() {
        let options = PlanOptions {
            key_choice: KeyChoice::Zipf { exponent: 10.0 },
            writes_per_transaction: Length { min: 3, max: 100 },
            ..default_options(Workload::Ledger, 100)
        };
        let mut lengths = BTreeSet::new();
        for planned in plan(&options).0 {
            let keys = planned.transaction.keys;
            let distinct: BTreeSet<Key> = keys.iter().copied().collect();
            assert_eq!(distinct.len(), keys.len());
            assert!((3..=100).contains(&keys.len()));
            lengths.insert(keys.len());
        }
        assert!(lengths.len() > 80, "{lengths:?}");
    }

    /// The first transactions as they must be on every machine.
    #[test]
    fn a_skewed_plan_is_the_same_on_every_machine() {
        let options = PlanOptions {
            key_choice: KeyChoice::Zipf { exponent: 1.1 },
            writes_per_transaction: Length { min: 0, max: 4 },
            reads_through: vec![ReadMode::WriteTransaction, ReadMode::ReadTransaction],
            ..default_options(Workload::ListAppend, 100)
        };
        let (transactions, probes) = plan(&options);
        let shown: Vec<String> = transactions[..6]
            .iter()
            .map(|planned| serde_json::to_string(planned).unwrap())
            .chain(probes.iter().map(|p| serde_json::to_string(p).unwrap()))
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn homogeneous_transactions_read_or_write() {
        for &workload in Workload::ALL {
            let options = PlanOptions {
                homogeneous: true,
                ..long(workload)
            };
            let (transactions, probes) = plan(&options);
            let reading = |t: &Transaction| t.is_read_only() && t.reads != Reads::Nothing;
            let writing = |t: &Transaction| !t.is_read_only() && t.reads == Reads::Nothing;
            let all = transactions.iter().map(|planned| &planned.transaction);
            assert!(all.clone().all(|t| reading(t) || writing(t)));
            let reads = all.filter(|t| reading(t)).count();
            assert!((2_700..3_300).contains(&reads), "{reads}");
            assert!(probes.iter().all(writing));
        }
    }

    #[test]
    fn roles_are_kept_and_probes_prove_what_they_can() {
        for &workload in Workload::ALL {
            let options = PlanOptions {
                roles: Roles {
                    powersync: Role::WriteOnly,
                    postgres: Role::ReadOnly,
                },
                // What only writes writes something all the same.
                writes_per_transaction: Length { min: 0, max: 4 },
                reads_through: vec![ReadMode::ReadTransaction, ReadMode::Watch],
                ..long(workload)
            };
            let (transactions, probes) = plan(&options);
            let with_client = transactions.iter().map(|p| (p.client, &p.transaction));
            for (client, transaction) in with_client.chain(probes.iter().enumerate()) {
                let read_only = client == 2;
                assert_eq!(transaction.is_read_only(), read_only);
                assert_eq!(transaction.reads == Reads::Nothing, !read_only);
                assert_eq!(
                    transaction.through == TransactionMode::ReadTransaction,
                    read_only,
                    "{transaction:?}"
                );
            }
            let seen = |probe: &Transaction| {
                let mut keys = probe.keys.iter();
                keys.all(|key| probes[2].reads.contains(*key))
            };
            assert!(probes.iter().all(seen));
        }
    }

    #[test]
    fn a_range_from_zero_has_transactions_that_only_read() {
        let options = PlanOptions {
            writes_per_transaction: Length { min: 0, max: 2 },
            ..long(Workload::Gset)
        };
        let (transactions, probes) = plan(&options);
        let reading = transactions.iter().filter(|p| p.transaction.is_read_only());
        let reading = reading.count();
        assert!((1_800..2_200).contains(&reading), "{reading}");
        let reads = |t: &Transaction| matches!(&t.reads, Reads::Keys(keys) if !keys.is_empty());
        assert!(transactions.iter().all(|p| reads(&p.transaction)));
        assert!(probes.iter().all(|probe| probe.keys.len() == 1));
    }
}
