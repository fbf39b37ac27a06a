//! Recordings of `list-append` and `gset` in which all goes well, and one anomaly planted in each: the
//! properties that must say so, and no others; and the same for the models.

#[path = "support/random_replicas.rs"]
mod random_replicas;
mod support;

use squall_checker::transactions;
use squall_checker::{History, check, write_history};
use squall_models::formats::Format;
use squall_models::generate::Random;
use squall_models::registers::{Judgement, Model};
use squall_protocol::history::{Event, Record};
use squall_protocol::plan::{ClientKind, ClientSpec, Workload};
use squall_protocol::transaction::{Collections, Key, Reads, Transaction, TransactionMode, Value};
use squall_protocol::verdict::Property;

use support::{Story, violated};

const BOTH: [Workload; 2] = [Workload::ListAppend, Workload::Gset];

const OF_READS: [Property; 7] = [
    Property::ReadYourWrites,
    Property::MonotonicReads,
    Property::MonotonicWrites,
    Property::WritesFollowReads,
    Property::AtomicVisibility,
    Property::NoThinAirRead,
    Property::CausalConsistency,
];

/// A transaction of a client, by its number: the value that it writes, -1 for none, to these keys, after
/// it has read these texts. What is not told of is not read.
struct Step {
    client: usize,
    value: Value,
    keys: &'static [Key],
    reads: &'static [(Key, &'static str)],
    how: How,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Commits,
    /// Its answer is lost.
    IsUnknown,
    /// A live query emits it.
    IsEmitted,
    /// The client's process is killed and started again, and then it commits.
    AfterRestart,
}

const fn step(
    client: usize,
    value: Value,
    keys: &'static [Key],
    reads: &'static [(Key, &'static str)],
) -> Step {
    Step {
        client,
        value,
        keys,
        reads,
        how: How::Commits,
    }
}

struct Anomaly {
    name: &'static str,
    steps: &'static [Step],
    property: Property,
    /// The models that must find it, of those that causal consistency implies, and itself.
    models: &'static [Model],
}

use Model::{Causal, WeakCausal};

const ANOMALIES: &[Anomaly] = &[
    Anomaly {
        name: "an own write vanishes",
        steps: &[step(0, 1, &[0], &[(0, "")]), step(0, -1, &[], &[(0, "")])],
        property: Property::ReadYourWrites,
        models: &[Model::ReadAtomic, Model::ReadYourWrites, WeakCausal, Causal],
    },
    Anomaly {
        name: "an own write vanishes with the process",
        steps: &[
            step(0, 1, &[0], &[(0, "")]),
            Step {
                how: How::AfterRestart,
                ..step(0, -1, &[], &[(0, "")])
            },
        ],
        property: Property::ReadYourWrites,
        models: &[Model::ReadAtomic, Model::ReadYourWrites, WeakCausal, Causal],
    },
    Anomaly {
        name: "what was read vanishes",
        steps: &[
            step(0, 1, &[0], &[(0, "")]),
            step(1, -1, &[], &[(0, "1")]),
            step(1, -1, &[], &[(0, "")]),
        ],
        property: Property::MonotonicReads,
        models: &[Model::MonotonicReads, WeakCausal, Causal],
    },
    Anomaly {
        name: "what a live query had told vanishes",
        steps: &[
            step(0, 1, &[0], &[(0, "")]),
            Step {
                how: How::IsEmitted,
                ..step(1, -1, &[], &[(0, "1")])
            },
            step(1, 2, &[1], &[(0, ""), (1, "")]),
        ],
        property: Property::MonotonicReads,
        models: &[Model::MonotonicReads, WeakCausal, Causal],
    },
    Anomaly {
        name: "a fractured read",
        steps: &[
            step(0, 1, &[0, 1], &[(0, ""), (1, "")]),
            step(1, -1, &[], &[(0, ""), (1, "1")]),
        ],
        property: Property::AtomicVisibility,
        models: &[Model::ReadAtomic, WeakCausal, Causal],
    },
    Anomaly {
        name: "a later write without an earlier one",
        steps: &[
            step(0, 1, &[0], &[(0, "")]),
            step(0, 2, &[1], &[(1, "")]),
            step(1, -1, &[], &[(0, ""), (1, "2")]),
        ],
        property: Property::MonotonicWrites,
        models: &[Model::MonotonicWrites, WeakCausal, Causal],
    },
    Anomaly {
        name: "an answer without its question",
        steps: &[
            step(0, 1, &[0], &[(0, "")]),
            step(1, 2, &[1], &[(0, "1"), (1, "")]),
            step(2, -1, &[], &[(0, ""), (1, "2")]),
        ],
        property: Property::WritesFollowReads,
        models: &[Model::WritesFollowReads, WeakCausal, Causal],
    },
    Anomaly {
        name: "a later answer without the question",
        steps: &[
            step(0, 1, &[0], &[(0, "")]),
            step(1, -1, &[], &[(0, "1")]),
            step(1, 2, &[1], &[(1, "")]),
            step(2, -1, &[], &[(0, ""), (1, "2")]),
        ],
        property: Property::WritesFollowReads,
        models: &[Model::WritesFollowReads, WeakCausal, Causal],
    },
    Anomaly {
        name: "an answer that got lost itself, without its question",
        steps: &[
            step(0, 1, &[0], &[(0, "")]),
            step(1, -1, &[], &[(0, "1")]),
            Step {
                how: How::IsUnknown,
                ..step(1, 2, &[1], &[])
            },
            step(2, -1, &[], &[(0, ""), (1, "2")]),
        ],
        property: Property::WritesFollowReads,
        models: &[Model::WritesFollowReads, WeakCausal, Causal],
    },
    Anomaly {
        name: "further back than any guarantee looks",
        // The second reads the first, the third the second, each adding something elsewhere, and nobody
        // reads the first again until the last one.
        steps: &[
            step(0, 1, &[0], &[(0, "")]),
            step(1, 2, &[1], &[(0, "1"), (1, "")]),
            step(2, 3, &[2], &[(1, "2"), (2, "")]),
            step(3, -1, &[], &[(0, ""), (2, "3")]),
        ],
        property: Property::CausalConsistency,
        models: &[Model::WritesFollowReads, WeakCausal, Causal],
    },
    Anomaly {
        name: "an earlier write of who was read by who was read",
        steps: &[
            step(0, 1, &[0], &[(0, "")]),
            step(0, 2, &[1], &[(1, "")]),
            step(1, 3, &[2], &[(1, "2"), (2, "")]),
            step(2, -1, &[], &[(0, ""), (2, "3")]),
        ],
        property: Property::CausalConsistency,
        models: &[WeakCausal, Causal],
    },
];

/// The events of an anomaly, with these clients, and keys, values and operations from these on.
fn events(
    anomaly: &Anomaly,
    names: &[String],
    key: Key,
    value: Value,
    operation: u64,
) -> Vec<Vec<Event>> {
    let element = |text: &str| match text.parse::<Value>() {
        Ok(element) => (element + value).to_string(),
        Err(_) => String::new(),
    };
    let steps = (operation..).zip(anomaly.steps);
    let events = steps.map(|(operation, step)| {
        let client = names[step.client].clone();
        let collections: Collections = step
            .reads
            .iter()
            .map(|(of, text)| (of + key, element(text)))
            .collect();
        let own = match step.value {
            -1 => -1,
            own => own + value,
        };
        let keys: Vec<Key> = step.keys.iter().map(|of| of + key).collect();
        let invoke = Event::Invoke {
            client: client.clone(),
            operation,
            transaction: Transaction {
                reads: match step.reads {
                    [] => Reads::Nothing,
                    _ => Reads::Keys(collections.iter().map(|(key, _)| *key).collect()),
                },
                through: match step.how {
                    How::IsEmitted => TransactionMode::Watch,
                    _ => TransactionMode::WriteTransaction,
                },
                ..Transaction::new(own, keys.clone())
            },
        };
        let end = match step.how {
            How::IsUnknown => Event::Info {
                client: client.clone(),
                operation,
                error: "no answer".to_owned(),
            },
            _ => Event::Ok {
                client: client.clone(),
                operation,
                effects: support::of_collections(
                    Some(collections),
                    keys.iter().map(|key| (*key, own)).collect(),
                ),
            },
        };
        let mut events = vec![invoke, end];
        if step.how == How::AfterRestart {
            let restart = |incarnation| Event::IncarnationStart {
                client: client.clone(),
                incarnation,
                session: "the same".to_owned(),
                engine: None,
                runtime: None,
            };
            events.splice(..0, [restart(1), restart(2)]);
        }
        events
    });
    events.collect()
}

/// Puts an anomaly among what else happens: on keys and clients of its own, that the others know nothing of.
fn plant(history: &mut History, anomaly: &Anomaly, random: &mut Random) {
    let header = &mut history.header;
    let key = header.keys;
    header.keys += 3;
    let names: Vec<String> = (0..4).map(|number| format!("planted-{number}")).collect();
    let clients = names
        .iter()
        .map(|name| ClientSpec::new(name, ClientKind::Native));
    header.clients.extend(clients);
    for record in &mut history.records {
        let effects = match &mut record.event {
            Event::Ok { effects, .. } => Some(effects),
            Event::FinalReadPostgres { effects, .. } => effects.as_mut(),
            _ => None,
        };
        let collections = effects.and_then(|effects| effects.collections.as_mut());
        if let Some(collections) = collections {
            collections.extend((0..3).map(|more| (key + more, String::new())));
        }
    }
    let steps = events(anomaly, &names, key, 1_000, 1_000);
    let places = history.records.len() + 1;
    let mut places: Vec<usize> = steps.iter().map(|_| random.below(places)).collect();
    places.sort_unstable();
    for (place, events) in places.into_iter().zip(steps).rev() {
        let time = place
            .checked_sub(1)
            .map_or(0, |at| history.records[at].time);
        let records = events.into_iter().map(|event| Record { time, event });
        history.records.splice(place..place, records);
    }
}

fn violated_of_reads(history: &History) -> Vec<Property> {
    let mut violated = violated(&check(history));
    violated.retain(|property| OF_READS.contains(property));
    violated
}

/// The properties that must be violated, in the order of the verdict. In lists causal consistency says all.
fn expected(anomaly: &Anomaly, workload: Workload) -> Vec<Property> {
    let causal =
        workload == Workload::ListAppend && anomaly.property != Property::CausalConsistency;
    let mut expected = vec![anomaly.property];
    expected.extend(causal.then_some(Property::CausalConsistency));
    expected
}

#[test]
fn each_planted_anomaly_is_found_by_its_property_and_by_no_other() {
    let mut random = Random::new(3);
    for workload in BOTH {
        for seed in 0..100 {
            let healthy = random_replicas::simulate(seed, workload, 0);
            assert_eq!(violated_of_reads(&healthy), [], "{workload:?} {seed}");
            for anomaly in ANOMALIES {
                let mut history = healthy.clone();
                plant(&mut history, anomaly, &mut random);
                assert_eq!(
                    violated_of_reads(&history),
                    expected(anomaly, workload),
                    "{} in {workload:?} {seed}",
                    anomaly.name
                );
            }
        }
    }
}

#[test]
fn each_planted_anomaly_is_found_by_the_models_that_forbid_it() {
    for workload in BOTH {
        for anomaly in ANOMALIES {
            // Where others append at the same time, the merge is what the models would speak of.
            let mut history = Story::with_clients(0, []).history();
            history.header.workload = workload;
            plant(&mut history, anomaly, &mut Random::new(1));
            let mut lines = Vec::new();
            write_history(&history, &mut lines).unwrap();
            let reading = transactions::read(Format::Squall, lines.as_slice(), false).unwrap();
            for model in Model::UP_TO_CAUSAL {
                let report = reading.registers.check(model);
                let expected = match anomaly.models.contains(&model) {
                    true => Judgement::Violation,
                    false if report.exercised => Judgement::Ok,
                    // Most of these histories put only some models to the test.
                    false => Judgement::Unknown,
                };
                assert_eq!(
                    report.judgement, expected,
                    "{} in {workload:?}: {report:#?}",
                    anomaly.name
                );
            }
        }
    }
}
