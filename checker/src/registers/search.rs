//! *Prefix consistency*, *snapshot isolation* and *serializability*: the models whose conditions
//! depend on the commit order itself, so that it has to be searched for.
//!
//! For every transaction *t3* that reads *x* from *t1*, and every other *t2* that writes *x*, *t2*
//! commits before *t1* if (Biswas and Enea 2019):
//!
//! - prefix consistency: *t2* commits before, or is, a transaction that *t3* reads from or that
//!   precedes it in its session;
//! - snapshot isolation: as above, or *t2* commits before, or is, a transaction that commits before
//!   *t3* and writes a key that *t3* writes;
//! - serializability: *t2* commits before *t3*.
//!
//! The same in terms of what a database does: a transaction first takes a *snapshot*, the state after
//! all commits so far, from which it reads, and then commits its writes. In snapshot isolation no other
//! transaction that writes one of its keys commits in between; in serializability nothing at all does.
//!
//! # Algorithm
//!
//! Each step of the search takes a snapshot or commits, for the next transaction of some session. A
//! snapshot may be taken once everything is committed that the transaction reads from; a commit may be
//! done once nobody is still to read what it overwrites, so that a snapshot always finds what the
//! transaction has read. What is possible from there on depends only on how far each session is, so
//! that a state that failed once need not be tried again. Transactions that only read or only write do
//! both steps at once.
//!
//! Causal consistency is weaker than all three, so it is checked first, and the edges that it derives
//! limit the search. The problem is NP-complete, and after a limit the search gives up: the answer is
//! then `unknown`. For a fixed number of sessions the number of states is polynomial, and for histories
//! that satisfy the model the search mostly goes straight ahead, because it tries the transactions in
//! an order that causality allows.

use std::collections::{HashMap, HashSet};

use super::causal;
use super::order::{Constraint, Cycle, Derived, Incoming, arrange, shorten};
use super::{INITIAL, NONE, Node, Registers};

/// What a search found.
pub(super) enum Found {
    /// There is a commit order.
    Order,
    /// There is none already for causal consistency.
    Cycle(Cycle),
    /// There is none: everything was tried.
    Nothing { states: usize },
    /// The limit was reached.
    GaveUp { states: usize },
}

/// What may happen between a snapshot and the commit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    Prefix,
    Snapshot,
    Serializable,
}

/// Numbers that the search may keep to remember the states that failed.
const MEMORY: usize = 1 << 22;

pub(super) fn search(registers: &Registers, isolation: Isolation) -> Found {
    match causal::arrange_all(registers) {
        Err(cycle) => Found::Cycle(cycle),
        Ok((order, mut edges)) => {
            let mut order = order;
            if isolation == Isolation::Serializable && registers.lists {
                let anti_dependencies = anti_dependencies(registers);
                edges.extend(anti_dependencies.iter().map(|(edge, _)| *edge));
                order = match arrange(registers, &edges, order.iter().copied()) {
                    Ok(order) => order,
                    Err(rough) => {
                        return Found::Cycle(shorten(registers, &edges, &rough, |edge| {
                            let mut known = anti_dependencies.iter();
                            match known.find(|(known, _)| *known == edge) {
                                Some((_, key)) => Constraint::AntiDependency(*key),
                                None => causal::reason(registers, edge),
                            }
                        }));
                    }
                };
            }
            let incoming = Incoming::new(registers.transactions(), &edges);
            Search::new(registers, isolation, &order, &incoming).run()
        }
    }
}

/// Where the version order is known, a serial order has every reader of a version before the writers
/// of the next one.
fn anti_dependencies(registers: &Registers) -> Vec<(Derived, u32)> {
    // For each key and writer who follows; the first writer follows the initial transaction.
    let mut next: HashMap<(u32, Node), Vec<Node>> = HashMap::new();
    let mut preceded: HashSet<(u32, Node)> = HashSet::new();
    for (Derived { from, to }, key) in &registers.known {
        next.entry((*key, *from)).or_default().push(*to);
        preceded.insert((*key, *to));
    }
    for node in registers.nodes() {
        for key in registers.writes(node) {
            if !preceded.contains(&(*key, node)) {
                next.entry((*key, INITIAL)).or_default().push(node);
            }
        }
    }
    let mut edges = Vec::new();
    for reader in registers.nodes() {
        for (key, writer) in distinct(registers, reader) {
            let following = next.get(&(key, writer)).map_or(&[][..], Vec::as_slice);
            for to in following.iter().filter(|to| **to != reader) {
                edges.push((
                    Derived {
                        from: reader,
                        to: *to,
                    },
                    key,
                ));
            }
        }
    }
    edges
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Snapshot,
    Commit,
    /// A snapshot and at once the commit.
    Both,
}

struct Search<'r> {
    registers: &'r Registers,
    isolation: Isolation,
    incoming: &'r Incoming,
    /// The place of each transaction in an order that causality allows.
    rank: Vec<u32>,
    /// Where each session's transactions begin in `members`.
    starts: Vec<u32>,
    members: Vec<Node>,
    /// For each session twice the number of its commits, and one more after a snapshot.
    progress: Vec<u32>,
    committed: Vec<bool>,
    /// For each key who wrote it last.
    last: Vec<Node>,
    /// For each key and writer how many transactions are still to read it.
    awaited: HashMap<(u32, Node), u32>,
    /// For each key how many transactions are between snapshot and commit and will write it.
    open: Vec<u32>,
    failed: HashSet<Box<[u32]>>,
}

/// A step that was done, and what is needed to take it back.
struct Done {
    session: usize,
    step: Step,
    /// The keys that were written, and by whom before.
    overwritten: Vec<(u32, Node)>,
    /// The steps that were possible instead, the next one to try at the end.
    alternatives: Vec<(usize, Step)>,
}

impl<'r> Search<'r> {
    fn new(
        registers: &'r Registers,
        isolation: Isolation,
        order: &[Node],
        incoming: &'r Incoming,
    ) -> Self {
        let (starts, members) = causal::by_session(registers);
        let mut rank = vec![0; registers.transactions()];
        for (place, node) in (0..).zip(order) {
            rank[*node as usize] = place;
        }
        let mut awaited: HashMap<(u32, Node), u32> = HashMap::new();
        for reader in registers.nodes() {
            for read in distinct(registers, reader) {
                *awaited.entry(read).or_default() += 1;
            }
        }
        Search {
            registers,
            isolation,
            incoming,
            rank,
            starts,
            members,
            progress: vec![0; registers.session_count],
            committed: vec![false; registers.transactions()],
            last: vec![INITIAL; registers.key_count],
            awaited,
            open: vec![0; registers.key_count],
            failed: HashSet::new(),
        }
    }

    fn run(mut self) -> Found {
        let limit = MEMORY / self.progress.len().max(1);
        let mut trail: Vec<Done> = Vec::new();
        let mut left = self.registers.transactions();
        let mut alternatives = self.possible();
        loop {
            if left == 0 {
                return Found::Order;
            }
            if let Some((session, step)) = alternatives.pop() {
                let overwritten = self.apply(session, step);
                left -= usize::from(step != Step::Snapshot);
                trail.push(Done {
                    session,
                    step,
                    overwritten,
                    alternatives,
                });
                alternatives = if self.failed.contains(&self.progress[..]) {
                    Vec::new()
                } else {
                    self.possible()
                };
                continue;
            }
            if self.failed.len() >= limit {
                return Found::GaveUp {
                    states: self.failed.len(),
                };
            }
            self.failed.insert(self.progress.clone().into_boxed_slice());
            let Some(done) = trail.pop() else {
                return Found::Nothing {
                    states: self.failed.len(),
                };
            };
            left += usize::from(done.step != Step::Snapshot);
            self.take_back(&done);
            alternatives = done.alternatives;
        }
    }

    /// The next transaction of a session.
    fn next(&self, session: usize) -> Option<Node> {
        let at = self.starts[session] + self.progress[session] / 2;
        (at < self.starts[session + 1]).then(|| self.members[at as usize])
    }

    /// Every step that is possible now, the most promising one at the end.
    fn possible(&self) -> Vec<(usize, Step)> {
        let mut steps: Vec<(u32, usize, Step)> = Vec::new();
        for session in 0..self.progress.len() {
            let Some(node) = self.next(session) else {
                continue;
            };
            let step = if self.progress[session] % 2 == 1 {
                Step::Commit
            } else if self.isolation == Isolation::Serializable
                || self.registers.reads(node).is_empty()
                || self.registers.writes(node).is_empty()
            {
                Step::Both
            } else {
                Step::Snapshot
            };
            let snapshot = step == Step::Commit || self.may_snapshot(node);
            let commit = step == Step::Snapshot || self.may_commit(node, step);
            if snapshot && commit {
                steps.push((self.rank[node as usize], session, step));
            }
        }
        steps.sort_by_key(|(rank, _, _)| std::cmp::Reverse(*rank));
        steps
            .into_iter()
            .map(|(_, session, step)| (session, step))
            .collect()
    }

    fn may_snapshot(&self, node: Node) -> bool {
        let committed = |node: Node| node >= NONE || self.committed[node as usize];
        committed(self.registers.previous[node as usize])
            && self
                .registers
                .reads(node)
                .iter()
                .all(|read| committed(read.writer))
    }

    fn may_commit(&self, node: Node, step: Step) -> bool {
        let ready = |before: &Node| self.committed[*before as usize];
        if !self.incoming.of(node).iter().all(ready) {
            return false;
        }
        let reads = self.registers.reads(node);
        self.registers.writes(node).iter().all(|key| {
            let last = self.last[*key as usize];
            // What the transaction itself is about to read is not overwritten under it.
            let own = step == Step::Both
                && reads
                    .iter()
                    .any(|read| read.key == *key && read.writer == last);
            let awaited = self.awaited.get(&(*key, last)).copied().unwrap_or(0);
            let open = self.open[*key as usize] - u32::from(step == Step::Commit);
            awaited == u32::from(own) && (self.isolation != Isolation::Snapshot || open == 0)
        })
    }

    fn apply(&mut self, session: usize, step: Step) -> Vec<(u32, Node)> {
        let node = self.next(session).expect("a step is for a transaction");
        if step != Step::Commit {
            self.snapshot(node, false);
        }
        if step == Step::Snapshot {
            self.progress[session] += 1;
            for key in self.registers.writes(node) {
                self.open[*key as usize] += 1;
            }
            return Vec::new();
        }
        self.progress[session] += if step == Step::Both { 2 } else { 1 };
        self.committed[node as usize] = true;
        let mut overwritten = Vec::new();
        for key in self.registers.writes(node) {
            let last = std::mem::replace(&mut self.last[*key as usize], node);
            overwritten.push((*key, last));
            if step == Step::Commit {
                self.open[*key as usize] -= 1;
            }
        }
        overwritten
    }

    fn take_back(&mut self, done: &Done) {
        self.progress[done.session] -= if done.step == Step::Both { 2 } else { 1 };
        let node = self.next(done.session).expect("the step was for it");
        if done.step == Step::Snapshot {
            for key in self.registers.writes(node) {
                self.open[*key as usize] -= 1;
            }
        } else {
            self.committed[node as usize] = false;
            for (key, last) in &done.overwritten {
                self.last[*key as usize] = *last;
                if done.step == Step::Commit {
                    self.open[*key as usize] += 1;
                }
            }
        }
        if done.step != Step::Commit {
            self.snapshot(node, true);
        }
    }

    fn snapshot(&mut self, node: Node, take_back: bool) {
        for read in distinct(self.registers, node) {
            let awaited = self.awaited.entry(read).or_default();
            if take_back {
                *awaited += 1;
            } else {
                *awaited -= 1;
            }
        }
    }
}

/// What a transaction reads, each key once.
fn distinct(registers: &Registers, node: Node) -> Vec<(u32, Node)> {
    let mut reads: Vec<(u32, Node)> = registers
        .reads(node)
        .iter()
        .map(|read| (read.key, read.writer))
        .collect();
    reads.sort_unstable();
    reads.dedup();
    reads
}
