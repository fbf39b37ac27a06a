//! Whether a history puts a model to the test: a model that nothing could have violated does not hold, but
//! says nothing.
//!
//! Every model is put to the test by a read of a key that somebody has tried to write: it could have
//! returned a value of a transaction that was aborted, one that was overwritten, or a stale one. That is all
//! for the models of whole transactions. A session guarantee is about reads of some keys only: of those that
//! somebody writes whom the reader must see; see the table in `session_guarantees`.
//!
//! One such read is enough, and mostly it is among the first; the search ends there.

use std::collections::HashMap;

use super::commit_order::causal_order;
use super::visibility::{Place, ReadBefore, Visibility};
use super::{Model, NONE, Node, Registers};

/// How many pairs of a read and a write are looked at for *writes follow reads*.
const PAIRS: u64 = 50_000_000;

/// Why the model was not put to the test, if it was not.
pub(super) fn not_exercised(registers: &Registers, model: Model) -> Option<String> {
    if registers.transactions() == 0 {
        return Some("not put to the test: no transaction committed".to_owned());
    }
    let (exercised, what) = match model {
        Model::ReadYourWrites => (
            read_your_writes(registers),
            "no session read a key that an earlier transaction of it had written",
        ),
        Model::MonotonicReads => (
            monotonic_reads(registers),
            "no session read a key again that a transaction writes which it had read from",
        ),
        Model::MonotonicWrites => (
            monotonic_writes(registers),
            "nobody read from a session, and a key that the session had written before",
        ),
        Model::WritesFollowReads => (
            writes_follow_reads(registers),
            "nobody read from a session, and a key that somebody writes whom the session had read before",
        ),
        _ => (
            registers.tested,
            "no transaction that committed read a key that any transaction writes",
        ),
    };
    (!exercised).then(|| format!("not put to the test: {what}"))
}

fn read_your_writes(registers: &Registers) -> bool {
    let (starts, members) = registers.by_session();
    // For each key the last session that wrote it.
    let mut written = vec![NONE; registers.key_count];
    (0..registers.session_count).any(|session| {
        let range = starts[session] as usize..starts[session + 1] as usize;
        members[range].iter().any(|node| {
            let mut reads = registers.reads(*node).iter();
            let exercised = reads.any(|read| written[read.key as usize] == session as u32);
            for key in registers.writes(*node) {
                written[*key as usize] = session as u32;
            }
            exercised
        })
    })
}

fn monotonic_reads(registers: &Registers) -> bool {
    let (starts, members) = registers.by_session();
    // For each key the last session that had read from one of its writers, and for each transaction the last
    // session that read from it.
    let mut seen = vec![NONE; registers.key_count];
    let mut read_from = vec![NONE; registers.transactions()];
    (0..registers.session_count).any(|session| {
        let range = starts[session] as usize..starts[session + 1] as usize;
        members[range].iter().any(|node| {
            let mut reads = registers.reads(*node).iter();
            let exercised = reads.any(|read| seen[read.key as usize] == session as u32);
            for writer in registers.sources(*node) {
                let last = &mut read_from[writer as usize];
                if std::mem::replace(last, session as u32) != session as u32 {
                    for key in registers.writes(writer) {
                        seen[*key as usize] = session as u32;
                    }
                }
            }
            exercised
        })
    })
}

fn monotonic_writes(registers: &Registers) -> bool {
    // For each session and key how many transactions precede the first one that writes it.
    let mut first: HashMap<(u32, u32), u32> = HashMap::new();
    for node in registers.nodes() {
        let (session, position) = registers.places[node as usize];
        for key in registers.writes(node) {
            let first = first.entry((session, *key)).or_insert(position);
            *first = position.min(*first);
        }
    }
    registers.nodes().any(|reader| {
        registers.sources(reader).any(|writer| {
            let previous = registers.previous[writer as usize];
            let mut reads = registers.reads(reader).iter();
            previous != NONE
                && reads.any(|read| {
                    let (session, position) = registers.places[previous as usize];
                    let first = first.get(&(session, read.key));
                    first.is_some_and(|first| *first <= position)
                })
        })
    })
}

fn writes_follow_reads(registers: &Registers) -> bool {
    let Ok(order) = causal_order(registers, registers.nodes()) else {
        return true;
    };
    let mut writers: Vec<Vec<Node>> = vec![Vec::new(); registers.key_count];
    for node in registers.nodes() {
        for key in registers.writes(node) {
            writers[*key as usize].push(node);
        }
    }
    let mut visibility = ReadBefore::<i32>::new(registers);
    let mut pairs = 0;
    for node in order {
        visibility.enter(registers, node);
        for read in registers.reads(node) {
            for writer in &writers[read.key as usize] {
                let (session, position) = registers.places[*writer as usize];
                let place = Place {
                    node: *writer,
                    session,
                    position,
                };
                if visibility.includes(place) {
                    return true;
                }
                pairs += 1;
                if pairs == PAIRS {
                    return false;
                }
            }
        }
        visibility.leave(registers, node);
    }
    false
}
