//! The models by their definitions: by trying every commit order of a small history.
#![allow(dead_code)]

use squall_models::registers::{Builder, Merge, Model, Outcome, Registers};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    Read(u64, u64),
    Write(u64, u64),
}

#[derive(Clone, Debug)]
pub struct Transaction {
    pub session: u64,
    pub outcome: Outcome,
    pub operations: Vec<Operation>,
    /// When it began and ended.
    pub times: (u64, u64),
}

/// The initial transaction.
const INITIAL: usize = usize::MAX;

/// Who wrote a value that a transaction read at a place: an error if nobody can have.
fn source(history: &[Transaction], reader: usize, place: usize) -> Result<Option<usize>, ()> {
    let Operation::Read(key, value) = history[reader].operations[place] else {
        return Ok(None);
    };
    let is_write_to =
        |operation: &&Operation| matches!(operation, Operation::Write(k, _) if *k == key);
    let before = &history[reader].operations[..place];
    if let Some(own) = before.iter().rfind(is_write_to) {
        return (*own == Operation::Write(key, value))
            .then_some(None)
            .ok_or(());
    }
    if value == 0 {
        return Ok(Some(INITIAL));
    }
    let write = Operation::Write(key, value);
    let writer = history
        .iter()
        .position(|t| t.operations.contains(&write))
        .ok_or(())?;
    let last = history[writer].operations.iter().rfind(is_write_to);
    let fine =
        writer != reader && history[writer].outcome != Outcome::Aborted && last == Some(&write);
    fine.then_some(Some(writer)).ok_or(())
}

/// How to find out whether there is a commit order.
#[derive(Clone, Copy)]
pub enum By {
    /// Trying every order.
    Permutation,
    /// Collecting every pair that the definition puts in an order, and looking for a cycle. This says
    /// the same, since the conditions do not depend on the order, but copes with more transactions.
    Saturation,
}

/// Whether the history satisfies the model.
pub fn holds(history: &[Transaction], model: Model, merge: Merge, by: By) -> bool {
    // Reads of other transactions: reader, place, key, writer.
    let mut reads = Vec::new();
    for (reader, transaction) in history.iter().enumerate() {
        if transaction.outcome != Outcome::Committed {
            continue;
        }
        for (place, operation) in transaction.operations.iter().enumerate() {
            match (source(history, reader, place), operation) {
                (Err(()), _) => return false,
                (Ok(Some(writer)), Operation::Read(key, _)) => {
                    reads.push((reader, place, *key, writer));
                }
                _ => {}
            }
        }
    }
    let repeatable = reads.iter().all(|(reader, _, key, writer)| {
        reads
            .iter()
            .all(|other| other.0 != *reader || other.2 != *key || other.3 == *writer)
    });
    if !repeatable && model != Model::ReadCommitted {
        return false;
    }
    let observed = |t: usize| reads.iter().any(|read| read.3 == t);
    let nodes: Vec<usize> = (0..history.len())
        .filter(|t| match history[*t].outcome {
            Outcome::Committed => true,
            Outcome::Aborted => false,
            Outcome::Unknown => observed(*t),
        })
        .collect();
    let writes = |t: usize, key: u64| {
        let mut operations = history[t].operations.iter();
        operations.any(|operation| matches!(operation, Operation::Write(k, _) if *k == key))
    };
    let session_order = |a: usize, b: usize| {
        a < b
            && history[a].session == history[b].session
            && history[a].outcome == Outcome::Committed
    };
    let mut is_read_by = vec![vec![false; history.len()]; history.len()];
    for (reader, _, _, writer) in reads.iter().filter(|read| read.3 != INITIAL) {
        is_read_by[*writer][*reader] = true;
    }
    let reads_from = |a: usize, b: usize| is_read_by[a][b];
    let direct = |a: usize, b: usize| session_order(a, b) || reads_from(a, b);
    let mut past = vec![vec![false; history.len()]; history.len()];
    for a in &nodes {
        for b in &nodes {
            past[*b][*a] = direct(*a, *b);
        }
    }
    for middle in &nodes {
        for a in &nodes {
            for b in &nodes {
                past[*b][*a] |= past[*b][*middle] && past[*middle][*a];
            }
        }
    }
    let version = |t: usize, key: u64| {
        let mut operations = history[t].operations.iter().rev();
        operations.find_map(|operation| match operation {
            Operation::Write(k, value) if *k == key => Some(*value),
            _ => None,
        })
    };
    // A database that holds a write holds what its session had read before.
    let relevant: Vec<Vec<usize>> = (0..history.len())
        .map(|t3| {
            let of_t3 = nodes.iter().filter(|t4| reads_from(**t4, t3));
            let mut held: Vec<usize> = of_t3.copied().collect();
            let mut relevant = Vec::new();
            while let Some(t4) = held.pop() {
                let not_later = |t5: &&usize| **t5 == t4 || session_order(**t5, t4);
                for t5 in nodes.iter().filter(not_later) {
                    let read = nodes.iter().filter(|t| reads_from(**t, *t5));
                    let new: Vec<usize> = read.copied().filter(|t| !relevant.contains(t)).collect();
                    relevant.extend(&new);
                    held.extend(&new);
                }
            }
            relevant
        })
        .collect();
    // Whether t3 has to see t2, for the models that say so without the commit order.
    let sees = |t2: usize, t3: usize| match model {
        Model::ReadAtomic => direct(t2, t3),
        Model::ReadYourWrites => session_order(t2, t3),
        Model::MonotonicReads => nodes
            .iter()
            .any(|t4| reads_from(t2, *t4) && session_order(*t4, t3)),
        Model::MonotonicWrites => nodes
            .iter()
            .any(|t4| session_order(t2, *t4) && reads_from(*t4, t3)),
        Model::WritesFollowReads => relevant[t3].contains(&t2),
        _ => past[t3][t2],
    };
    let is_guarantee = Model::SESSION_GUARANTEES.contains(&model);
    if model == Model::CausalPerKey || is_guarantee && merge == Merge::PerKey {
        return nodes.iter().all(|t| !past[*t][*t])
            && reads.iter().all(|(t3, _, key, t1)| {
                let read = if *t1 == INITIAL {
                    None
                } else {
                    version(*t1, *key)
                };
                nodes
                    .iter()
                    .filter(|t2| *t2 != t1 && sees(**t2, *t3))
                    .all(|t2| version(*t2, *key) <= read)
            });
    }
    if model == Model::WeakCausal {
        return nodes.iter().all(|t| !past[*t][*t])
            && reads.iter().all(|(t3, _, key, t1)| {
                nodes.iter().all(|t2| {
                    !(t2 != t1
                        && writes(*t2, *key)
                        && past[*t3][*t2]
                        && (*t1 == INITIAL || past[*t2][*t1]))
                })
            });
    }
    // The pairs of transactions of which the first must commit before the second.
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for a in &nodes {
        pairs.extend(nodes.iter().filter(|b| direct(*a, **b)).map(|b| (*a, *b)));
    }
    if depends_on_order(model) {
        let real_time = |a: usize, b: usize| {
            history[a].outcome == Outcome::Committed && history[a].times.1 < history[b].times.0
        };
        if model == Model::StrictSerializability {
            for a in &nodes {
                pairs.extend(
                    nodes
                        .iter()
                        .filter(|b| real_time(*a, **b))
                        .map(|b| (*a, *b)),
                );
            }
        }
        return permutations(&nodes, &pairs, &mut |order| {
            let rank = |t: usize| order.iter().position(|other| *other == t);
            let shares = |a: usize, b: usize| (0..3).any(|key| writes(a, key) && writes(b, key));
            if merge == Merge::PerKey {
                // Some beginning of the order is the snapshot that explains all reads.
                return order.iter().enumerate().all(|(at, t3)| {
                    let in_snapshot = |size: usize, t: usize| rank(t).unwrap() < size;
                    let allowed = |size: &usize| match model {
                        Model::PrefixConsistency => order
                            .iter()
                            .all(|t| !direct(*t, *t3) || in_snapshot(*size, *t)),
                        Model::SnapshotIsolation => order[..at].iter().all(|t| {
                            !(direct(*t, *t3) || shares(*t, *t3)) || in_snapshot(*size, *t)
                        }),
                        _ => *size == at,
                    };
                    (0..=at).filter(allowed).any(|size| {
                        reads
                            .iter()
                            .filter(|read| read.0 == *t3)
                            .all(|(_, _, key, t1)| {
                                let highest =
                                    order[..size].iter().filter_map(|t| version(*t, *key)).max();
                                let read = (*t1 != INITIAL).then(|| version(*t1, *key).unwrap());
                                highest == read
                            })
                    })
                });
            }
            // The axioms of Biswas and Enea, word for word.
            let before_or_is = |a: usize, b: usize| a == b || rank(a) < rank(b);
            reads.iter().all(|(t3, _, key, t1)| {
                let others = nodes.iter().filter(|t2| **t2 != *t1 && **t2 != *t3);
                others.filter(|t2| writes(**t2, *key)).all(|t2| {
                    let prefix = nodes
                        .iter()
                        .any(|t4| before_or_is(*t2, *t4) && direct(*t4, *t3));
                    let conflict = nodes.iter().any(|t4| {
                        before_or_is(*t2, *t4) && rank(*t4) < rank(*t3) && shares(*t4, *t3)
                    });
                    let sees = match model {
                        Model::PrefixConsistency => prefix,
                        Model::SnapshotIsolation => prefix || conflict,
                        _ => rank(*t2) < rank(*t3),
                    };
                    !sees || (*t1 != INITIAL && rank(*t2) < rank(*t1))
                })
            })
        });
    }
    for (t3, place, key, t1) in &reads {
        for t2 in nodes
            .iter()
            .filter(|t2| **t2 != *t1 && **t2 != *t3 && writes(**t2, *key))
        {
            let sees = match model {
                Model::ReadCommitted => reads
                    .iter()
                    .any(|read| read.0 == *t3 && read.3 == *t2 && read.1 < *place),
                _ => sees(*t2, *t3),
            };
            if sees && *t1 == INITIAL {
                return false;
            }
            if sees {
                pairs.push((*t2, *t1));
            }
        }
    }
    match by {
        By::Permutation => permutations(&nodes, &pairs, &mut |_| true),
        By::Saturation => {
            // Take away what has no predecessor until nothing is left.
            let mut left = nodes;
            while !left.is_empty() {
                let before = left.len();
                let blocked: Vec<usize> = pairs
                    .iter()
                    .filter(|(a, _)| left.contains(a))
                    .map(|(_, b)| *b)
                    .collect();
                left.retain(|t| blocked.contains(t));
                if left.len() == before {
                    return false;
                }
            }
            true
        }
    }
}

/// Whether the history could have violated the model, if it does not: a transaction that committed has read
/// a key that somebody tried to write, and for a session guarantee one that somebody writes whom it must see.
pub fn exercises(history: &[Transaction], model: Model) -> bool {
    let committed = |t: usize| history[t].outcome == Outcome::Committed;
    let writes = |t: usize, key: u64| {
        let mut operations = history[t].operations.iter();
        operations.any(|operation| matches!(operation, Operation::Write(k, _) if *k == key))
    };
    let all = 0..history.len();
    // Reader and key, of every read, and of those from others their writer.
    let (mut any, mut reads) = (Vec::new(), Vec::new());
    for reader in all.clone().filter(|t| committed(*t)) {
        for (place, operation) in history[reader].operations.iter().enumerate() {
            if let Operation::Read(key, _) = operation {
                any.push((reader, *key));
                if let Ok(Some(writer)) = source(history, reader, place) {
                    reads.push((reader, *key, writer));
                }
            }
        }
    }
    let precedes =
        |a: usize, b: usize| a < b && committed(a) && history[a].session == history[b].session;
    let reads_from = |a: usize, b: usize| reads.iter().any(|read| (read.0, read.2) == (b, a));
    let exists = |t: usize| {
        committed(t) || history[t].outcome == Outcome::Unknown && reads.iter().any(|r| r.2 == t)
    };
    // What somebody had read, or somebody before in its session, or had been read by whom they read from.
    let had_read = |t3: usize| {
        let mut held: Vec<usize> = all.clone().filter(|t4| reads_from(*t4, t3)).collect();
        let mut found: Vec<usize> = Vec::new();
        while let Some(t4) = held.pop() {
            for t5 in all.clone().filter(|t5| *t5 == t4 || precedes(*t5, t4)) {
                let new = all.clone().filter(|t2| reads_from(*t2, t5));
                let new: Vec<usize> = new.filter(|t2| !found.contains(t2)).collect();
                found.extend(&new);
                held.extend(&new);
            }
        }
        found
    };
    let must_see = |t2: usize, t3: usize| match model {
        Model::ReadYourWrites => precedes(t2, t3),
        Model::MonotonicReads => all.clone().any(|t4| reads_from(t2, t4) && precedes(t4, t3)),
        Model::MonotonicWrites => all.clone().any(|t4| precedes(t2, t4) && reads_from(t4, t3)),
        Model::WritesFollowReads => had_read(t3).contains(&t2),
        _ => unreachable!("no session guarantee"),
    };
    if Model::SESSION_GUARANTEES.contains(&model) {
        return reads.iter().any(|(t3, key, _)| {
            let mut writers = all.clone().filter(|t2| exists(*t2) && writes(*t2, *key));
            writers.any(|t2| must_see(t2, *t3))
        });
    }
    let written = |key: u64| all.clone().any(|t| writes(t, key));
    any.iter().any(|(_, key)| written(*key))
}

/// Whether the model's condition depends on the commit order itself.
pub fn depends_on_order(model: Model) -> bool {
    matches!(
        model,
        Model::PrefixConsistency
            | Model::SnapshotIsolation
            | Model::Serializability
            | Model::StrictSerializability
    )
}

/// Whether some permutation contains the pairs and satisfies the predicate.
fn permutations(
    items: &[usize],
    pairs: &[(usize, usize)],
    predicate: &mut impl FnMut(&[usize]) -> bool,
) -> bool {
    fn extend(
        chosen: &mut Vec<usize>,
        items: &[usize],
        pairs: &[(usize, usize)],
        predicate: &mut impl FnMut(&[usize]) -> bool,
    ) -> bool {
        if chosen.len() == items.len() {
            return predicate(chosen);
        }
        for item in items {
            let ready = pairs.iter().all(|(a, b)| b != item || chosen.contains(a));
            if ready && !chosen.contains(item) {
                chosen.push(*item);
                if extend(chosen, items, pairs, predicate) {
                    return true;
                }
                chosen.pop();
            }
        }
        false
    }
    extend(&mut Vec::new(), items, pairs, predicate)
}

pub fn build(history: &[Transaction], merge: Merge) -> Registers {
    let mut builder = Builder::new(Some(0));
    if merge == Merge::PerKey {
        builder.values_are_versions();
    }
    for (label, transaction) in (0..).zip(history) {
        let number = builder.transaction(transaction.session, Some(label), transaction.outcome);
        let (begin, end) = transaction.times;
        builder.times(number, begin, Some(end));
        for operation in &transaction.operations {
            match operation {
                Operation::Read(key, value) => builder.read(number, *key, *value),
                Operation::Write(key, value) => builder.write(number, *key, *value),
            }
        }
    }
    builder.finish().unwrap()
}

/// The same history with other values, so that versions do not follow the order of the history. Different
/// ones for every `step` from 1 to 96.
pub fn with_other_versions(mut history: Vec<Transaction>, step: u64) -> Vec<Transaction> {
    for transaction in &mut history {
        for operation in &mut transaction.operations {
            let (Operation::Read(_, value) | Operation::Write(_, value)) = operation;
            // 97 is prime, and there are fewer values; 99 is written by nobody.
            if *value < 97 {
                *value = *value * step % 97;
            }
        }
    }
    history
}

/// A history out of bytes. Most reads are of something that is written somewhere.
pub fn history(bytes: &[u8], most_transactions: usize) -> Vec<Transaction> {
    let mut bytes = bytes.iter();
    let mut below = |bound: usize| bytes.next().map_or(0, |byte| usize::from(*byte) % bound);
    let sessions = 1 + below(3);
    let keys = 1 + below(3);
    let mut history: Vec<Transaction> = Vec::new();
    let mut value = 0;
    for _ in 0..1 + below(most_transactions) {
        let operations = (0..1 + below(4))
            .map(|_| {
                let key = below(keys) as u64;
                if below(2) == 0 {
                    value += 1;
                    Operation::Write(key, value)
                } else {
                    // Resolved below, when all writes are known.
                    Operation::Read(key, below(256) as u64)
                }
            })
            .collect();
        history.push(Transaction {
            session: below(sessions) as u64,
            outcome: match below(14) {
                0 => Outcome::Aborted,
                1 | 2 => Outcome::Unknown,
                _ => Outcome::Committed,
            },
            operations,
            times: (0, 0),
        });
    }
    for (at, transaction) in (0..).zip(&mut history) {
        let begin = 3 * at + below(6) as u64;
        transaction.times = (begin, begin + below(8) as u64);
    }
    let written: Vec<(usize, u64, u64)> = history
        .iter()
        .enumerate()
        .flat_map(|(t, transaction)| transaction.operations.iter().map(move |o| (t, *o)))
        .filter_map(|(t, operation)| match operation {
            Operation::Write(key, value) => Some((t, key, value)),
            Operation::Read(..) => None,
        })
        .collect();
    for (reader, transaction) in history.iter_mut().enumerate() {
        for operation in &mut transaction.operations {
            let Operation::Read(key, choice) = *operation else {
                continue;
            };
            // Mostly what was written before, and mostly the latest of it; sometimes anything.
            let anything = choice % 16 == 15;
            let mut values = vec![0];
            let fitting = written
                .iter()
                .filter(|w| w.1 == key && (anything || w.0 < reader));
            values.extend(fitting.map(|w| w.2));
            let back = match choice / 16 {
                0..=10 => 0,
                back => back as usize - 10,
            };
            let value = match choice {
                255 => 99,
                _ if anything => values[(choice / 16) as usize % values.len()],
                _ => values[values.len() - 1 - back.min(values.len() - 1)],
            };
            *operation = Operation::Read(key, value);
        }
    }
    history
}
