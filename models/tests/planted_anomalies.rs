//! Histories that satisfy a model by construction, and one anomaly planted in each: which models must
//! say so, which must not, and by what name.

use squall_models::generate::Random;
use squall_models::registers::Judgement;
use squall_models::registers::{AnomalyKind, Builder, Model, Outcome, Registers};

#[derive(Clone, Copy, Debug)]
enum Operation {
    Read(u64, u64),
    Write(u64, u64),
}
use Operation::{Read, Write};

#[derive(Clone, Debug)]
struct Transaction {
    session: u64,
    operations: Vec<Operation>,
    times: (u64, u64),
}

/// How the simulated database isolates transactions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Isolation {
    /// One transaction after the other, in real time.
    StrictSerializability,
    /// Reads from a snapshot as old as it likes that holds the session; what conflicts is not committed.
    Snapshot,
    /// The same without the check for conflicts.
    Prefix,
}

const SESSIONS: usize = 4;
const KEYS: usize = 5;

/// Runs random transactions in a simulated database. Each takes ten units of time, in the order of commits;
/// only serial ones may be told apart in time.
fn simulate(isolation: Isolation, seed: u64, count: usize) -> Vec<Transaction> {
    let mut random = Random::new(seed);
    // For each key its versions: after how many commits, and the value.
    let mut versions: Vec<Vec<(usize, u64)>> = vec![vec![(0, 0)]; KEYS];
    let mut last = [0; SESSIONS];
    let mut history: Vec<Transaction> = Vec::new();
    let mut value = 0;
    while history.len() < count {
        let session = random.below(SESSIONS);
        let now = history.len();
        let snapshot = match isolation {
            Isolation::StrictSerializability => now,
            _ => now - random.below((now - last[session]).min(4) + 1),
        };
        let mut own: Vec<(u64, u64)> = Vec::new();
        let mut operations = Vec::new();
        for _ in 0..1 + random.below(4) {
            let key = random.below(KEYS);
            let written = own.iter().rev().find(|(k, _)| *k == key as u64);
            if random.below(5) < 2 {
                value += 1;
                own.push((key as u64, value));
                operations.push(Write(key as u64, value));
            } else if let Some((_, value)) = written {
                operations.push(Read(key as u64, *value));
            } else {
                let seen = versions[key].iter().rev().find(|(at, _)| *at <= snapshot);
                operations.push(Read(key as u64, seen.expect("the initial version").1));
            }
        }
        let conflicts = own.iter().any(|(key, _)| {
            let (at, _) = versions[*key as usize].last().expect("the initial version");
            *at > snapshot
        });
        if isolation == Isolation::Snapshot && conflicts {
            continue;
        }
        for (key, value) in own {
            let versions = &mut versions[key as usize];
            versions.retain(|(at, _)| *at != now + 1);
            versions.push((now + 1, value));
        }
        last[session] = now + 1;
        let begin = 10
            * if isolation == Isolation::StrictSerializability {
                now as u64
            } else {
                0
            };
        history.push(Transaction {
            session: session as u64,
            operations,
            times: (begin, 10 * now as u64 + 9),
        });
    }
    history
}

fn build(history: &[Transaction]) -> Registers {
    let mut builder = Builder::new(Some(0));
    for (label, transaction) in (0..).zip(history) {
        let number = builder.transaction(transaction.session, Some(label), Outcome::Committed);
        let (begin, end) = transaction.times;
        builder.times(number, begin, Some(end));
        for operation in &transaction.operations {
            match operation {
                Read(key, value) => builder.read(number, *key, *value),
                Write(key, value) => builder.write(number, *key, *value),
            }
        }
    }
    builder.finish().unwrap()
}

/// The models that know of transactions, without another name for one of them.
const MODELS: [Model; 12] = [
    Model::ReadCommitted,
    Model::ReadAtomic,
    Model::ReadYourWrites,
    Model::MonotonicReads,
    Model::MonotonicWrites,
    Model::WritesFollowReads,
    Model::WeakCausal,
    Model::Causal,
    Model::PrefixConsistency,
    Model::SnapshotIsolation,
    Model::Serializability,
    Model::StrictSerializability,
];

/// What a planted anomaly is made of: for each transaction its session, counted from the simulation's
/// last one, and its operations on keys of its own, the values counted from new ones.
struct Anomaly {
    name: &'static str,
    transactions: &'static [(u64, &'static [Operation])],
    /// Whether one transaction ends before the next one begins.
    one_after_the_other: bool,
    /// The models that must find it; no other one may.
    found_by: &'static [Model],
    /// What the first of these calls it.
    kind: AnomalyKind,
}

use Model::*;

/// The models that everything must satisfy which no weaker one forbids.
const STRONG: &[Model] = &[
    PrefixConsistency,
    SnapshotIsolation,
    Serializability,
    StrictSerializability,
];
const FROM_CAUSAL: [Model; 6] = [
    WeakCausal,
    Causal,
    PrefixConsistency,
    SnapshotIsolation,
    Serializability,
    StrictSerializability,
];

/// `FROM_CAUSAL` and others.
macro_rules! from_causal {
    ($($model:ident),*) => {
        &[$($model,)* FROM_CAUSAL[0], FROM_CAUSAL[1], FROM_CAUSAL[2], FROM_CAUSAL[3], FROM_CAUSAL[4], FROM_CAUSAL[5]]
    };
}

const ANOMALIES: &[Anomaly] = &[
    Anomaly {
        name: "stale read in real time",
        transactions: &[(0, &[Write(0, 1)]), (1, &[Read(0, 0)])],
        one_after_the_other: true,
        found_by: &[StrictSerializability],
        kind: AnomalyKind::SingleAntiDependencyCycle,
    },
    Anomaly {
        name: "write skew",
        transactions: &[
            (0, &[Read(0, 0), Write(1, 1)]),
            (1, &[Read(1, 0), Write(0, 1)]),
        ],
        one_after_the_other: false,
        found_by: &[Serializability, StrictSerializability],
        kind: AnomalyKind::WriteSkew,
    },
    Anomaly {
        name: "read-only transaction anomaly",
        // Fekete, O'Neil and O'Neil 2004: without the reader it would be serializable.
        transactions: &[
            (0, &[Read(1, 0), Write(1, 1)]),
            (1, &[Read(0, 0), Read(1, 1)]),
            (2, &[Read(0, 0), Read(1, 0), Write(0, 1)]),
        ],
        one_after_the_other: false,
        found_by: &[Serializability, StrictSerializability],
        kind: AnomalyKind::AntiDependencyCycle,
    },
    Anomaly {
        name: "write skew of three",
        transactions: &[
            (0, &[Read(0, 0), Write(1, 1)]),
            (1, &[Read(1, 0), Write(2, 1)]),
            (2, &[Read(2, 0), Write(0, 1)]),
        ],
        one_after_the_other: false,
        found_by: &[Serializability, StrictSerializability],
        kind: AnomalyKind::AntiDependencyCycle,
    },
    Anomaly {
        name: "lost update",
        transactions: &[
            (0, &[Read(0, 0), Write(0, 1)]),
            (1, &[Read(0, 0), Write(0, 2)]),
        ],
        one_after_the_other: false,
        found_by: &[SnapshotIsolation, Serializability, StrictSerializability],
        kind: AnomalyKind::LostUpdate,
    },
    Anomaly {
        name: "long fork",
        transactions: &[
            (0, &[Write(0, 1)]),
            (1, &[Write(1, 1)]),
            (2, &[Read(0, 1), Read(1, 0)]),
            (3, &[Read(0, 0), Read(1, 1)]),
        ],
        one_after_the_other: false,
        found_by: STRONG,
        kind: AnomalyKind::AntiDependencyCycle,
    },
    Anomaly {
        name: "G-single",
        // A session sees key 2's versions follow one another; another one sees the second's other
        // write, and not that of the first.
        transactions: &[
            (0, &[Write(0, 1), Write(2, 1)]),
            (1, &[Write(2, 2), Write(1, 1)]),
            (2, &[Read(2, 1)]),
            (2, &[Read(2, 2)]),
            (3, &[Read(1, 1), Read(0, 0)]),
        ],
        one_after_the_other: false,
        found_by: STRONG,
        kind: AnomalyKind::SingleAntiDependencyCycle,
    },
    Anomaly {
        name: "no agreement about an order",
        transactions: &[
            (0, &[Write(0, 1)]),
            (1, &[Write(0, 2)]),
            (2, &[Read(0, 1)]),
            (2, &[Read(0, 2)]),
            (3, &[Read(0, 2)]),
            (3, &[Read(0, 1)]),
        ],
        one_after_the_other: false,
        found_by: &[
            MonotonicReads,
            Causal,
            PrefixConsistency,
            SnapshotIsolation,
            Serializability,
            StrictSerializability,
        ],
        kind: AnomalyKind::MonotonicReads,
    },
    Anomaly {
        name: "an answer without its question",
        transactions: &[
            (0, &[Write(0, 1)]),
            (1, &[Read(0, 1), Write(1, 1)]),
            (2, &[Read(1, 1), Read(0, 0)]),
        ],
        one_after_the_other: false,
        found_by: from_causal![WritesFollowReads],
        kind: AnomalyKind::WritesFollowReads,
    },
    Anomaly {
        name: "a later write without an earlier one",
        transactions: &[
            (0, &[Write(0, 1)]),
            (0, &[Write(1, 1)]),
            (1, &[Read(1, 1), Read(0, 0)]),
        ],
        one_after_the_other: false,
        found_by: from_causal![MonotonicWrites],
        kind: AnomalyKind::MonotonicWrites,
    },
    Anomaly {
        name: "what was read vanishes",
        transactions: &[(0, &[Write(0, 1)]), (1, &[Read(0, 1)]), (1, &[Read(0, 0)])],
        one_after_the_other: false,
        found_by: from_causal![MonotonicReads],
        kind: AnomalyKind::MonotonicReads,
    },
    Anomaly {
        name: "an own write vanishes",
        transactions: &[(0, &[Write(0, 1)]), (0, &[Read(0, 0)])],
        one_after_the_other: false,
        found_by: from_causal![ReadAtomic, ReadYourWrites],
        kind: AnomalyKind::ReadYourWrites,
    },
    Anomaly {
        name: "fractured read",
        transactions: &[
            (0, &[Write(0, 1), Write(1, 1)]),
            (1, &[Read(1, 0), Read(0, 1)]),
        ],
        one_after_the_other: false,
        found_by: from_causal![ReadAtomic],
        kind: AnomalyKind::FracturedRead,
    },
    Anomaly {
        name: "fractured read, the new first",
        transactions: &[
            (0, &[Write(0, 1), Write(1, 1)]),
            (1, &[Read(0, 1), Read(1, 0)]),
        ],
        one_after_the_other: false,
        found_by: from_causal![ReadCommitted, ReadAtomic],
        kind: AnomalyKind::FracturedRead,
    },
    Anomaly {
        name: "G1c",
        transactions: &[
            (0, &[Read(1, 1), Write(0, 1)]),
            (1, &[Read(0, 1), Write(1, 1)]),
        ],
        one_after_the_other: false,
        found_by: &MODELS,
        kind: AnomalyKind::CircularInformationFlow,
    },
    Anomaly {
        name: "G1b",
        transactions: &[(0, &[Write(0, 1), Write(0, 2)]), (1, &[Read(0, 1)])],
        one_after_the_other: false,
        found_by: &MODELS,
        kind: AnomalyKind::IntermediateRead,
    },
    Anomaly {
        name: "thin air",
        transactions: &[(0, &[Read(0, 7)])],
        one_after_the_other: false,
        found_by: &MODELS,
        kind: AnomalyKind::ThinAirRead,
    },
];

/// The history with an anomaly, whose transactions are put among the others in their order: among keys
/// and sessions of their own, or with the sessions of the history.
fn plant(history: &mut Vec<Transaction>, anomaly: &Anomaly, random: &mut Random) {
    let mut places: Vec<usize> = anomaly
        .transactions
        .iter()
        .map(|_| random.below(history.len() + 1))
        .collect();
    places.sort_unstable();
    let end = 10 * history.len() as u64 + 100;
    for (number, (session, operations)) in anomaly.transactions.iter().enumerate().rev() {
        let operations = operations.iter().map(|operation| match *operation {
            Read(key, value) => Read(1_000 + key, value),
            Write(key, value) => Write(1_000 + key, value),
        });
        let times = if anomaly.one_after_the_other {
            let begin = end + 10 * number as u64;
            (begin, begin + 5)
        } else {
            (0, end + 1_000)
        };
        let transaction = Transaction {
            session: 1_000 + session,
            operations: operations.collect(),
            times,
        };
        history.insert(places[number], transaction);
    }
}

fn judge(history: &Registers, model: Model) -> Judgement {
    history.check(model).judgement
}

/// The strongest of the models that hold by construction.
fn holds(isolation: Isolation, model: Model) -> bool {
    match isolation {
        Isolation::StrictSerializability => true,
        Isolation::Snapshot => !matches!(model, Serializability | StrictSerializability),
        Isolation::Prefix => !matches!(
            model,
            SnapshotIsolation | Serializability | StrictSerializability
        ),
    }
}

const ISOLATIONS: [Isolation; 3] = [
    Isolation::StrictSerializability,
    Isolation::Snapshot,
    Isolation::Prefix,
];

#[test]
fn what_holds_by_construction_is_found_to_hold() {
    let mut broken = [0; 3];
    for (isolation, broken) in ISOLATIONS.into_iter().zip(&mut broken) {
        for seed in 0..30 {
            let history = build(&simulate(isolation, seed, 60));
            for model in MODELS.into_iter().filter(|model| holds(isolation, *model)) {
                let report = history.check(model);
                assert_eq!(
                    report.judgement,
                    Judgement::Ok,
                    "{isolation:?} {seed} {report:#?}"
                );
            }
            *broken += i32::from(judge(&history, Serializability) == Judgement::Violation);
        }
    }
    // The weaker databases are weaker.
    assert_eq!(broken[0], 0);
    assert!(broken[1] > 10 && broken[2] > 10, "{broken:?}");
}

#[test]
fn each_planted_anomaly_is_found_by_the_models_that_forbid_it() {
    let mut random = Random::new(5);
    for anomaly in ANOMALIES {
        for isolation in ISOLATIONS {
            for seed in 0..3 {
                let mut history = simulate(isolation, seed, 40);
                plant(&mut history, anomaly, &mut random);
                let registers = build(&history);
                // What the database allows itself may be found too.
                for model in MODELS.into_iter().filter(|model| holds(isolation, *model)) {
                    let report = registers.check(model);
                    let expected = match anomaly.found_by.contains(&model) {
                        true => Judgement::Violation,
                        false => Judgement::Ok,
                    };
                    let name = anomaly.name;
                    assert_eq!(
                        report.judgement, expected,
                        "{name} {isolation:?} {report:#?}"
                    );
                    if model == anomaly.found_by[0] {
                        assert_eq!(report.violations, 1, "{name} {report:#?}");
                        assert_eq!(report.anomalies[0].kind, anomaly.kind, "{name} {report:#?}");
                    }
                }
            }
        }
    }
}

/// Transactions of which each reads what the next one writes, and the last one what the first one does;
/// some read from another one too.
fn cycle(builder: &mut Builder, first: u64, length: u64, short_cuts: &[(u64, u64)]) {
    for number in 0..length {
        let name = first + number;
        let transaction = builder.transaction(name, Some(name), Outcome::Committed);
        builder.read(transaction, first + (number + 1) % length, 1);
        for (reader, writer) in short_cuts {
            if *reader == number {
                builder.read(transaction, first + writer, 1);
            }
        }
        builder.write(transaction, name, 1);
    }
}

#[test]
fn every_component_is_counted_and_its_shortest_cycle_shown() {
    let mut builder = Builder::new(Some(0));
    cycle(&mut builder, 0, 7, &[]);
    cycle(&mut builder, 100, 40, &[(9, 3), (20, 17), (35, 30)]);
    cycle(&mut builder, 200, 2, &[]);
    let registers = builder.finish().unwrap();
    for model in [ReadCommitted, Causal, Serializability] {
        let report = registers.check(model);
        assert_eq!(report.violations, 3, "{report:#?}");
        // From 20 through 19 and 18 to 17, and back at once.
        let mut lengths: Vec<usize> = report.anomalies.iter().map(|a| a.cycle.len()).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, [2, 4, 7], "{report:#?}");
    }
}

#[test]
fn what_is_not_shown_is_counted() {
    let mut builder = Builder::new(Some(0));
    for number in 0..50 {
        cycle(&mut builder, 10 * number, 3, &[]);
    }
    let report = builder.finish().unwrap().check(Causal);
    assert_eq!((report.violations, report.anomalies.len()), (50, 5));
}
