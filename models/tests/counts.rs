//! How many violations there are: it follows from the history alone, and not from the order in which the
//! transactions of different sessions were given.

use std::collections::BTreeSet;

use squall_models::generate::Random;
use squall_models::registers::{Builder, Model, Outcome, Registers};

const SESSIONS: usize = 4;
const KEYS: usize = 4;

/// Reads each key at most once, and then writes.
#[derive(Clone, Debug)]
struct Transaction {
    session: usize,
    /// Keys, and who wrote what was read; none for the initial value.
    reads: Vec<(usize, Option<usize>)>,
    writes: BTreeSet<usize>,
}

/// A random history in which reads are of anything, mostly of something recent.
fn history(random: &mut Random) -> Vec<Transaction> {
    let mut history: Vec<Transaction> = Vec::new();
    for _ in 0..4 + random.below(40) {
        let mut transaction = Transaction {
            session: random.below(SESSIONS),
            reads: Vec::new(),
            writes: (0..KEYS).filter(|_| random.chance(30)).collect(),
        };
        for key in 0..KEYS {
            if random.chance(60) {
                continue;
            }
            let writes = |at: &usize| history[*at].writes.contains(&key);
            let writers: Vec<usize> = (0..history.len()).rev().filter(writes).collect();
            let oldest = random.below(4);
            let old = random.below(1 + oldest);
            transaction.reads.push((key, writers.get(old).copied()));
        }
        history.push(transaction);
    }
    history
}

/// The same transactions in another order, in which those of each session keep theirs.
fn shuffled(history: &[Transaction], random: &mut Random) -> Vec<usize> {
    let mut sessions: Vec<Vec<usize>> = vec![Vec::new(); SESSIONS];
    for (at, transaction) in history.iter().enumerate().rev() {
        sessions[transaction.session].push(at);
    }
    let mut order = Vec::new();
    while order.len() < history.len() {
        order.extend(sessions[random.below(SESSIONS)].pop());
    }
    order
}

fn build(history: &[Transaction], order: &[usize]) -> Registers {
    let mut builder = Builder::new(Some(0));
    for at in order {
        let transaction = &history[*at];
        let label = Some(*at as u64);
        let number = builder.transaction(transaction.session as u64, label, Outcome::Committed);
        for (key, writer) in &transaction.reads {
            builder.read(number, *key as u64, writer.map_or(0, |w| w as u64 + 1));
        }
        for key in &transaction.writes {
            builder.write(number, *key as u64, *at as u64 + 1);
        }
    }
    builder.finish().unwrap()
}

fn close(before: &mut [Vec<bool>]) {
    for middle in 0..before.len() {
        let of_middle = before[middle].clone();
        for of_later in before.iter_mut().filter(|of_later| of_later[middle]) {
            for (known, new) in of_later.iter_mut().zip(&of_middle) {
                *known |= new;
            }
        }
    }
}

/// Stale reads of initial values, and sets of transactions that have to commit before one another, straight
/// from the definition of causal consistency.
fn not_causal(history: &[Transaction]) -> u64 {
    let count = history.len();
    let mut past = vec![vec![false; count]; count];
    for (later, transaction) in history.iter().enumerate() {
        for (earlier, other) in history[..later].iter().enumerate() {
            let reads = transaction
                .reads
                .iter()
                .any(|(_, writer)| *writer == Some(earlier));
            past[later][earlier] = reads || other.session == transaction.session;
        }
    }
    close(&mut past);
    let mut before = past.clone();
    let mut stale = 0;
    for (reader, transaction) in history.iter().enumerate() {
        for (key, writer) in &transaction.reads {
            let overwrites = |other: &usize| {
                past[reader][*other]
                    && history[*other].writes.contains(key)
                    && Some(*other) != *writer
            };
            for other in (0..count).filter(overwrites) {
                match writer {
                    Some(writer) => before[*writer][other] = true,
                    None => stale += 1,
                }
                if writer.is_none() {
                    break;
                }
            }
        }
    }
    close(&mut before);
    let in_circle = (0..count).filter(|node| before[*node][*node]);
    let circles: BTreeSet<Vec<usize>> = in_circle
        .map(|node| {
            (0..count)
                .filter(|o| before[node][*o] && before[*o][node])
                .collect()
        })
        .collect();
    stale + circles.len() as u64
}

#[test]
fn the_number_of_violations_depends_on_nothing_but_the_history() {
    let mut random = Random::new(11);
    // How many histories have how many violations of causal consistency: none, one, or more.
    let mut counts = [0; 3];
    for number in 0..20_000 {
        let history = history(&mut random);
        let given: Vec<usize> = (0..history.len()).collect();
        let other = build(&history, &shuffled(&history, &mut random));
        let given = build(&history, &given);
        let more = [
            Model::PrefixConsistency,
            Model::SnapshotIsolation,
            Model::Serializability,
        ];
        for model in Model::UP_TO_CAUSAL
            .into_iter()
            .chain(more.into_iter().filter(|_| number < 2000))
        {
            let violations = given.check(model).violations;
            assert_eq!(
                violations,
                other.check(model).violations,
                "{number} {model:?} {history:#?}"
            );
            if model == Model::Causal {
                assert_eq!(violations, not_causal(&history), "{number} {history:#?}");
                counts[violations.min(2) as usize] += 1;
            }
        }
    }
    assert!(counts.iter().all(|count| *count >= 500), "{counts:?}");
}
