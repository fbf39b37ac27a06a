//! *Lost appends*: elements that took effect and are in no list, although they should be.
//!
//! An append of a transaction *t* that committed (or of which something else was read) is *unread* if no
//! other transaction has read it in any list of the key. It is *lost* if, besides,
//!
//! - a transaction that has to follow *t* has its own element in the longest list that was read (the list
//!   holds everything that was appended before its last element, so it should hold this too); or
//! - a transaction that has to see *t* reads the list.
//!
//! What follows *t*, and what has to see it, depends on the model:
//!
//! | model | follows *t* | has to see *t* |
//! | --- | --- | --- |
//! | read committed, session guarantees | what comes after it in session order and reads-from | nothing |
//! | read atomic | the same | what comes later in its session, or reads from it |
//! | causal, prefix consistency, snapshot isolation, serializability | the same | what follows it |
//! | strict serializability | also what began after *t* had ended | what follows it |
//!
//! Sound: in each of these models the commit order contains what is in the second column and the order of
//! the list, so that the element must be in front of one that was read, where it is not; and a read has to
//! return what the third column says, or something later, which would hold it. It is no criterion of its
//! own: such a history violates the model in any case. This file gives the reason its name (Elle calls two
//! transactions that append to the same version a lost update; that is a different one, found as
//! [`AnomalyKind::LostUpdate`](super::AnomalyKind::LostUpdate)).
//!
//! An element that was read once and is missing in a later list is not lost but a stale read. Keys whose
//! lists contradict one another are left out, since an element may be in one that was not taken into
//! account. So are weak causal consistency, in which nobody agrees on the order of a list, and histories
//! whose session order, reads-from and orders of lists have a cycle.
//!
//! One pass with vector clocks: linear in reads and writes, times the sessions that have unread appends
//! to the key.

use std::collections::BTreeMap;

use super::anomaly::Anomalies;
use super::clocks::Clocks;
use super::constraints::{Constraint, Cycle, Step};
use super::lists::List;
use super::order::{arrange, way};
use super::{Model, Node, Registers};

/// Adds the lost appends; says whether there are any.
pub(super) fn add(registers: &Registers, model: Model, anomalies: &mut Anomalies) -> bool {
    if matches!(model, Model::WeakCausal | Model::CausalPerKey) {
        return false;
    }
    let mut lists: Vec<Option<Unread>> = Vec::new();
    lists.resize_with(registers.key_count, || None);
    let mut any = false;
    for list in registers.lists.iter().flatten() {
        if !list.contradicted && !list.unread.is_empty() {
            lists[list.key as usize] = Some(Unread::new(registers, list));
            any = true;
        }
    }
    if !any {
        return false;
    }
    let Ok(order) = arrange(registers, &registers.list_edges(), registers.nodes()) else {
        return false;
    };
    let mut clocks: Clocks<i32> = Clocks::new(registers);
    let mut found = false;
    for node in order {
        clocks.enter(registers, node);
        let past = clocks.of(registers.places[node as usize].0);
        let writes = registers.writes(node).iter().map(|key| (*key, false));
        let reads = registers.reads(node).iter().map(|read| (read.key, true));
        for (key, reads) in writes.chain(reads) {
            let Some(list) = &mut lists[key as usize] else {
                continue;
            };
            if !reads && list.writers.binary_search(&node).is_err() {
                continue;
            }
            let mut lost = Vec::new();
            match (reads, model) {
                (true, Model::ReadCommitted) => {}
                (true, model) if Model::SESSION_GUARANTEES.contains(&model) => {}
                (true, Model::ReadAtomic) => list.take_direct(registers, node, &mut lost),
                _ => list.take_past(registers, past, &mut lost),
            }
            let in_the_past = lost.len();
            if let (Model::StrictSerializability, Some(times)) = (model, &registers.times) {
                list.take_ended(times, times[node as usize].0, &mut lost);
            }
            for (at, (writer, element)) in lost.into_iter().enumerate() {
                found = true;
                let explain = || {
                    if at < in_the_past {
                        way(registers, writer, node)
                    } else {
                        real_time(writer, node)
                    }
                };
                let append = (writer, key, element);
                anomalies.add_lost_append(registers, append, (node, reads), explain);
            }
        }
        clocks.leave(registers, node);
    }
    found
}

fn real_time(from: Node, to: Node) -> Cycle {
    Cycle {
        steps: vec![Step {
            from,
            to,
            constraint: Constraint::RealTime,
        }],
    }
}

/// The appends to a key that nobody has read, and which of them are known to be lost.
struct Unread {
    /// Who, which element, and whether it is lost; ascending.
    appends: Vec<(Node, u64, bool)>,
    /// For each session its appends, in its order, as indexes; and how many of them, from the first, are
    /// lost.
    sessions: Vec<(u32, Vec<usize>, usize)>,
    /// All appends by the end of their transaction, and how many of them are lost.
    by_end: (Vec<usize>, usize),
    /// Who appended what was read, ascending.
    writers: Vec<Node>,
}

impl Unread {
    fn new(registers: &Registers, list: &List) -> Self {
        let mut sessions: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, (writer, _)) in list.unread.iter().enumerate() {
            let (session, _) = registers.places[*writer as usize];
            sessions.entry(session).or_default().push(at);
        }
        let mut by_end: Vec<usize> = (0..list.unread.len()).collect();
        if let Some(times) = &registers.times {
            by_end.sort_by_key(|at| times[list.unread[*at].0 as usize].1);
        }
        let mut writers = list.writers.clone();
        writers.sort_unstable();
        Unread {
            appends: list.unread.iter().map(|(w, e)| (*w, *e, false)).collect(),
            sessions: sessions.into_iter().map(|(s, all)| (s, all, 0)).collect(),
            by_end: (by_end, 0),
            writers,
        }
    }

    fn take(appends: &mut [(Node, u64, bool)], at: usize, lost: &mut Vec<(Node, u64)>) {
        let (writer, element, known) = &mut appends[at];
        if !*known {
            *known = true;
            lost.push((*writer, *element));
        }
    }

    /// What is in somebody's past, as the number of transactions of each session.
    fn take_past(&mut self, registers: &Registers, past: &[i32], lost: &mut Vec<(Node, u64)>) {
        for (session, appends, taken) in &mut self.sessions {
            while let Some(at) = appends.get(*taken) {
                let (_, position) = registers.places[self.appends[*at].0 as usize];
                if position as i32 >= past[*session as usize] {
                    break;
                }
                Self::take(&mut self.appends, *at, lost);
                *taken += 1;
            }
        }
    }

    /// What comes before a transaction in its session, or is read by it.
    fn take_direct(&mut self, registers: &Registers, node: Node, lost: &mut Vec<(Node, u64)>) {
        let (session, _) = registers.places[node as usize];
        let find = |(other, _, _): &(u32, Vec<usize>, usize)| other.cmp(&session);
        if let Ok(own) = self.sessions.binary_search_by(find) {
            let (_, appends, taken) = &mut self.sessions[own];
            while let Some(at) = appends.get(*taken).filter(|at| self.appends[**at].0 < node) {
                Self::take(&mut self.appends, *at, lost);
                *taken += 1;
            }
        }
        for source in registers.sources(node) {
            let find = |(writer, _, _): &(Node, u64, bool)| writer.cmp(&source);
            if let Ok(at) = self.appends.binary_search_by(find) {
                Self::take(&mut self.appends, at, lost);
            }
        }
    }

    /// What had ended at a time.
    fn take_ended(&mut self, times: &[(u64, u64)], begin: u64, lost: &mut Vec<(Node, u64)>) {
        let (appends, taken) = &mut self.by_end;
        while let Some(at) = appends.get(*taken) {
            if times[self.appends[*at].0 as usize].1 >= begin {
                break;
            }
            Self::take(&mut self.appends, *at, lost);
            *taken += 1;
        }
    }
}
