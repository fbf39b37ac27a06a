//! The points in time at which transactions read and commit, and what is known of their order.
//!
//! A transaction reads from a *snapshot* and then commits its writes. For serializability both happen
//! at one point; for prefix consistency and snapshot isolation at two, of which the snapshot is the
//! first. A history satisfies one of these models if and only if its points can be put into a total
//! order in which
//!
//! - a transaction takes its snapshot after the commits of its predecessor in the session and of those
//!   that it reads from;
//! - for every read of *x* from *t1* by *t3* and every other *t2* that writes *x*: *t2* commits before
//!   *t1* commits, or after the snapshot of *t3* (if *x* is read in its initial state: the latter);
//! - snapshot isolation only: of two transactions that write a common key, one commits before the
//!   other takes its snapshot;
//! - strict serializability only: what ended before another transaction began comes before it.
//!
//! That is the axiom of Biswas and Enea (OOPSLA 2019) for each, read as what a database does: the
//! earliest snapshot that is allowed makes both agree.
//!
//! Where the higher value wins key by key ([`Merge::PerKey`](super::Merge)), a write that is lower than
//! what a snapshot holds has no effect on it, and only a higher one must come after the snapshot.
//! Where the versions are known to follow one another, their writers commit in that order.
//!
//! # Saturation
//!
//! Two of these conditions leave a choice between two orders. As long as one of the two would close a
//! cycle, the other is necessary and is added, and may decide further choices. What remains is for
//! `search`. (PolySI and Cobra prune their polygraphs in the same way.) Whether a point is known to
//! come before another is told by vector clocks. Of all writers of a key in one session only the last
//! one before, or the first one after, needs looking at; the others follow.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};

use super::constraints::{Constraint, Cycle, Step};
use super::near::Nearby;
use super::order::join_sessions;
use super::{INITIAL, Merge, NONE, Node, Registers};

/// What a model demands of the points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// Whether snapshot and commit are two points.
    pub snapshot: bool,
    /// Whether writers of a common key may not be concurrent.
    pub conflict: bool,
    /// Whether the order of real time counts.
    pub real_time: bool,
}

/// An index of a point. The points of a session follow one another.
pub(super) type Point = u32;

/// Numbers that the vector clocks may have altogether: half a gigabyte.
const CLOCKS: usize = 1 << 27;

pub(super) struct Transaction {
    pub node: Node,
    pub snapshot: Point,
    pub commit: Point,
    /// Keys and who wrote what is read: an index into [`Points::transactions`], or [`INITIAL`]. Only
    /// keys that somebody writes, each pair once.
    pub reads: Vec<(u32, u32)>,
    pub writes: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Requirement {
    pub from: Point,
    pub to: Point,
    why: Constraint,
}

/// Some transactions of a history, their points, and what is known of the order of these.
pub(super) struct Points<'r> {
    pub registers: &'r Registers,
    pub rules: Rules,
    pub transactions: Vec<Transaction>,
    /// Where each session's points begin; one more than there are sessions. Real time may be the last.
    pub starts: Vec<Point>,
    /// For each point its session, and its transaction or [`NONE`].
    pub session_of: Vec<u32>,
    pub owner: Vec<u32>,
    pub key_count: usize,
    key_names: Vec<u32>,
    /// For each key the sessions that write it, with their writers in session order.
    writers: Vec<Vec<(u32, Nearby<u32>)>>,
    requirements: Vec<Requirement>,
    /// Which transactions to place first, where there is a choice.
    hint: Vec<u32>,
}

/// Which points are known to be before a point: for each session how many.
pub(super) struct Before {
    width: usize,
    counts: Vec<u32>,
}

impl<'r> Points<'r> {
    /// The points of the members, which are ascending. Reads from transactions that are no members are
    /// left out. `hint` is the place of each transaction of the history in a likely order.
    pub fn new(registers: &'r Registers, rules: Rules, members: &[Node], hint: &[u32]) -> Self {
        let mut points = Points::causality(registers, rules, members, hint);
        points.require_the_known();
        points
    }

    /// The same with session order and reads-from only.
    pub fn causality(
        registers: &'r Registers,
        rules: Rules,
        members: &[Node],
        hint: &[u32],
    ) -> Self {
        let local: HashMap<Node, u32> = members.iter().copied().zip(0..).collect();
        let mut keys: HashMap<u32, u32> = HashMap::new();
        let mut key_names = Vec::new();
        for node in members {
            for key in registers.writes(*node) {
                keys.entry(*key).or_insert_with(|| {
                    key_names.push(*key);
                    key_names.len() as u32 - 1
                });
            }
        }
        let mut chains: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (at, node) in (0..).zip(members) {
            let (session, _) = registers.places[*node as usize];
            chains.entry(session).or_default().push(at);
        }
        let mut points = Points {
            registers,
            rules,
            transactions: Vec::with_capacity(members.len()),
            starts: vec![0],
            session_of: Vec::new(),
            owner: Vec::new(),
            key_count: key_names.len(),
            writers: vec![Vec::new(); key_names.len()],
            key_names,
            requirements: Vec::new(),
            hint: members.iter().map(|node| hint[*node as usize]).collect(),
        };
        for node in members {
            let mut reads: Vec<(u32, u32)> = registers
                .reads(*node)
                .iter()
                .filter_map(|read| {
                    let writer = match read.writer {
                        INITIAL => INITIAL,
                        writer => *local.get(&writer)?,
                    };
                    Some((*keys.get(&read.key)?, writer))
                })
                .collect();
            reads.sort_unstable();
            reads.dedup();
            let mut writes: Vec<u32> = registers.writes(*node).iter().map(|k| keys[k]).collect();
            writes.sort_unstable();
            points.transactions.push(Transaction {
                node: *node,
                snapshot: 0,
                commit: 0,
                reads,
                writes,
            });
        }
        for (session, chain) in (0..).zip(chains.values()) {
            for at in chain {
                points.place(session, *at);
            }
            points.starts.push(points.owner.len() as Point);
        }
        points.require_causality(&local);
        points
    }

    fn place(&mut self, session: u32, at: u32) {
        for _ in 0..1 + u32::from(self.rules.snapshot) {
            self.owner.push(at);
            self.session_of.push(session);
        }
        let transaction = &mut self.transactions[at as usize];
        transaction.commit = self.owner.len() as Point - 1;
        transaction.snapshot = transaction.commit - u32::from(self.rules.snapshot);
        for key in &transaction.writes {
            let sessions = &mut self.writers[*key as usize];
            match sessions.last_mut() {
                Some((last, writers)) if *last == session => writers.list.push(at),
                _ => sessions.push((session, Nearby::new(vec![at]))),
            }
        }
    }

    fn require_causality(&mut self, local: &HashMap<Node, u32>) {
        let registers = self.registers;
        let mut known = Vec::new();
        for transaction in &self.transactions {
            for (key, writer) in &transaction.reads {
                if *writer != INITIAL {
                    known.push(Requirement {
                        from: self.transactions[*writer as usize].commit,
                        to: transaction.snapshot,
                        why: Constraint::ReadsFrom(self.key_names[*key as usize]),
                    });
                }
            }
            // What is of unknown outcome has a session of its own, after what preceded it in another.
            let (_, position) = registers.places[transaction.node as usize];
            let before = |node: &Node| {
                let previous = registers.previous[*node as usize];
                (previous != NONE).then_some(previous)
            };
            if position == 0
                && let Some(previous) = std::iter::successors(before(&transaction.node), before)
                    .find_map(|node| local.get(&node))
            {
                known.push(Requirement {
                    from: self.transactions[*previous as usize].commit,
                    to: transaction.snapshot,
                    why: Constraint::Session,
                });
            }
        }
        self.requirements = known;
    }

    /// Adds those whose elements are in lists that were read, but for the last, which is there already.
    /// The models with a commit order need none of these, since it contains the order of the lists.
    pub fn require_shown(&mut self) {
        let registers = self.registers;
        // For each session and list how many an earlier read has shown.
        let mut known: HashMap<(u32, u32), usize> = HashMap::new();
        for (at, transaction) in (0..).zip(&self.transactions) {
            let (session, _) = registers.places[transaction.node as usize];
            for read in registers.reads(transaction.node) {
                if registers.list_version(read).is_none() {
                    continue;
                }
                let shown = registers.shown(read);
                let known = known.entry((session, read.key)).or_default();
                for writer in shown.get(*known..).unwrap_or_default() {
                    // All transactions are members, so that these are their indexes too.
                    debug_assert_eq!(self.transactions[*writer as usize].node, *writer);
                    if *writer != at {
                        self.requirements.push(Requirement {
                            from: self.transactions[*writer as usize].commit,
                            to: transaction.snapshot,
                            why: Constraint::ReadsFrom(read.key),
                        });
                    }
                }
                *known = shown.len().max(*known);
            }
        }
    }

    /// Whatever else does not depend on the order.
    fn require_the_known(&mut self) {
        let registers = self.registers;
        let mut known = Vec::new();
        if registers.merge == Merge::PerKey {
            self.require_higher_later(&mut known);
        }
        if !registers.known.is_empty() {
            self.require_version_orders(&mut known);
        }
        self.requirements.extend(known);
        if let (true, Some(times)) = (self.rules.real_time, &registers.times) {
            self.require_real_time(times);
        }
    }

    /// Versions follow one another as they are known to.
    fn require_version_orders(&self, known: &mut Vec<Requirement>) {
        let nodes = self.transactions.iter().map(|transaction| transaction.node);
        let local: HashMap<Node, u32> = nodes.zip(0..).collect();
        let orders = &self.registers.known;
        for transaction in &self.transactions {
            let first = orders.partition_point(|(edge, _)| edge.from < transaction.node);
            let following = orders[first..].iter();
            for (edge, key) in following.take_while(|(edge, _)| edge.from == transaction.node) {
                if let Some(to) = local.get(&edge.to) {
                    known.push(Requirement {
                        from: transaction.commit,
                        to: self.transactions[*to as usize].commit,
                        why: Constraint::VersionOrder(*key),
                    });
                }
            }
        }
    }

    /// In a merge by key a snapshot holds nothing higher than what is read.
    fn require_higher_later(&self, known: &mut Vec<Requirement>) {
        let keys: HashMap<u32, u32> = self.key_names.iter().copied().zip(0..).collect();
        let registers = self.registers;
        // For each key and session, in parallel to its writers, the highest version so far.
        let highest = self
            .writers
            .iter()
            .zip(&self.key_names)
            .map(|(sessions, key)| {
                let highest = sessions.iter().map(|(_, writers)| {
                    let mut highest = 0;
                    let versions = writers.list.iter().map(|at| {
                        let node = self.transactions[*at as usize].node;
                        highest = registers.version_written(node, *key).max(highest);
                        highest
                    });
                    Nearby::new(versions.collect())
                });
                highest.collect()
            });
        let highest: Vec<Vec<Nearby<u64>>> = highest.collect();
        for transaction in &self.transactions {
            let reads = registers.reads(transaction.node);
            for (place, read) in reads.iter().enumerate() {
                let Some(key) = keys.get(&read.key) else {
                    continue;
                };
                let version = registers.version_read(transaction.node, place);
                let sessions = self.writers[*key as usize].iter();
                for ((_, writers), highest) in sessions.zip(&highest[*key as usize]) {
                    let higher = highest.partition_point(|highest| *highest <= version);
                    if let Some(at) = writers.list.get(higher)
                        && self.transactions[*at as usize].node != transaction.node
                    {
                        known.push(Requirement {
                            from: transaction.snapshot,
                            to: self.transactions[*at as usize].commit,
                            why: Constraint::AntiDependency(read.key),
                        });
                    }
                }
            }
        }
    }

    /// Real time is a session of its own: each of its points stands for the moment after an end.
    fn require_real_time(&mut self, times: &[(u64, u64)]) {
        let time = |transaction: &Transaction| times[transaction.node as usize];
        let mut ends: Vec<u64> = self.transactions.iter().map(|t| time(t).1).collect();
        ends.retain(|end| *end != u64::MAX);
        ends.sort_unstable();
        ends.dedup();
        let first = self.owner.len() as Point;
        let session = self.starts.len() as u32 - 1;
        self.owner.extend(ends.iter().map(|_| NONE));
        self.session_of.extend(ends.iter().map(|_| session));
        self.starts.push(self.owner.len() as Point);
        for transaction in &self.transactions {
            let (begin, end) = time(transaction);
            if let Ok(at) = ends.binary_search(&end) {
                self.requirements.push(Requirement {
                    from: transaction.commit,
                    to: first + at as Point,
                    why: Constraint::RealTime,
                });
            }
            let ended = ends.partition_point(|end| *end < begin) as Point;
            if ended > 0 {
                self.requirements.push(Requirement {
                    from: first + ended - 1,
                    to: transaction.snapshot,
                    why: Constraint::RealTime,
                });
            }
        }
    }

    pub fn sessions(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn position(&self, point: Point) -> u32 {
        point - self.starts[self.session_of[point as usize] as usize]
    }

    /// The points that must come before each, besides those of its session.
    pub fn incoming(&self) -> Neighbours {
        Neighbours::new(self.owner.len(), &self.requirements, |r| (r.to, r.from))
    }

    /// The points in an order that respects all that is known, or a cycle.
    pub fn arrange(&self) -> Result<Vec<Point>, Cycle> {
        let count = self.owner.len();
        let outgoing = Neighbours::new(count, &self.requirements, |r| (r.from, r.to));
        let mut missing: Vec<u32> = (0..count as Point)
            .map(|point| u32::from(self.position(point) > 0))
            .collect();
        for requirement in &self.requirements {
            missing[requirement.to as usize] += 1;
        }
        let wish = |point: Point| match self.owner[point as usize] {
            NONE => 0,
            at => self.hint[at as usize],
        };
        let ready = (0..count as Point).filter(|point| missing[*point as usize] == 0);
        let mut heap: BinaryHeap<Reverse<(u32, Point)>> =
            ready.map(|point| Reverse((wish(point), point))).collect();
        let mut order = Vec::with_capacity(count);
        while let Some(Reverse((_, point))) = heap.pop() {
            order.push(point);
            let next = (point + 1 < self.starts[self.session_of[point as usize] as usize + 1])
                .then_some(point + 1);
            for after in outgoing.of(point).iter().copied().chain(next) {
                missing[after as usize] -= 1;
                if missing[after as usize] == 0 {
                    heap.push(Reverse((wish(after), after)));
                }
            }
        }
        if order.len() == count {
            return Ok(order);
        }
        Err(self.shortest_cycle(|point| missing[point as usize] > 0))
    }

    /// What is before each point, given an order. None if that would take too much memory.
    pub fn before(&self, order: &[Point]) -> Option<Before> {
        let width = self.sessions();
        if self.owner.len() * width > CLOCKS {
            return None;
        }
        let incoming = self.incoming();
        let mut counts = vec![0_u32; self.owner.len() * width];
        let mut current = vec![0_u32; width];
        for point in order {
            current.fill(0);
            let previous = (self.position(*point) > 0).then(|| point - 1);
            for before in incoming.of(*point).iter().copied().chain(previous) {
                let session = self.session_of[before as usize] as usize;
                let position = self.position(before);
                if current[session] <= position {
                    let at = before as usize * width;
                    for (known, new) in current.iter_mut().zip(&counts[at..at + width]) {
                        *known = (*known).max(*new);
                    }
                    current[session] = position + 1;
                }
            }
            let at = *point as usize * width;
            counts[at..at + width].copy_from_slice(&current);
        }
        Some(Before { width, counts })
    }

    /// Adds what is necessary until nothing more is, and gives an order that respects it; or a cycle of
    /// what is necessary. Stops early when the steps run out.
    pub fn saturate(&mut self, steps: &mut u64) -> Result<Vec<Point>, Cycle> {
        loop {
            let order = self.arrange()?;
            let work = (self.owner.len() + self.requirements.len()) * self.sessions() / 8;
            *steps = steps.saturating_sub(work as u64);
            if *steps == 0 {
                return Ok(order);
            }
            let Some(before) = self.before(&order) else {
                return Ok(order);
            };
            let mut necessary = Vec::new();
            self.derive_from_reads(&before, &mut necessary);
            if self.rules.conflict {
                self.derive_from_conflicts(&before, &mut necessary);
            }
            if necessary.is_empty() {
                return Ok(order);
            }
            necessary.sort_unstable_by_key(|r| (r.from, r.to));
            necessary.dedup_by_key(|r| (r.from, r.to));
            self.requirements.extend(necessary);
        }
    }

    fn derive_from_reads(&self, before: &Before, necessary: &mut Vec<Requirement>) {
        if self.registers.merge == Merge::PerKey {
            return;
        }
        for (at, transaction) in (0..).zip(&self.transactions) {
            for (key, writer) in &transaction.reads {
                let name = self.key_names[*key as usize];
                for (session, others) in &self.writers[*key as usize] {
                    // The first one that can not commit before the writer commits after the snapshot.
                    let overwrites = match *writer {
                        INITIAL => 0,
                        writer => others.partition_point(|other| {
                            let commit = self.transactions[*other as usize].commit;
                            let written = self.transactions[writer as usize].commit;
                            *other == writer || !before.is(self, written, commit)
                        }),
                    };
                    if let Some(other) = others.list.get(overwrites)
                        && *other != at
                    {
                        let commit = self.transactions[*other as usize].commit;
                        if !before.is(self, transaction.snapshot, commit) {
                            necessary.push(Requirement {
                                from: transaction.snapshot,
                                to: commit,
                                why: Constraint::AntiDependency(name),
                            });
                        }
                    }
                    // The last one that commits before the snapshot commits before the writer.
                    let end = before.end(self, transaction.snapshot, *session);
                    let seen = others
                        .partition_point(|other| self.transactions[*other as usize].commit < end);
                    if *writer != INITIAL
                        && let Some(other) = seen.checked_sub(1).map(|last| others.list[last])
                        && other != *writer
                    {
                        let commit = self.transactions[other as usize].commit;
                        let written = self.transactions[*writer as usize].commit;
                        if !before.is(self, commit, written) {
                            necessary.push(Requirement {
                                from: commit,
                                to: written,
                                why: Constraint::Overwritten {
                                    key: name,
                                    reader: transaction.node,
                                },
                            });
                        }
                    }
                }
            }
        }
    }

    /// What took its snapshot before another writer of a key commits also commits before the other's
    /// snapshot.
    fn derive_from_conflicts(&self, before: &Before, necessary: &mut Vec<Requirement>) {
        for (at, transaction) in (0..).zip(&self.transactions) {
            for key in &transaction.writes {
                for (_, others) in &self.writers[*key as usize] {
                    let begun = others.partition_point(|other| {
                        let snapshot = self.transactions[*other as usize].snapshot;
                        *other != at && before.is(self, snapshot, transaction.commit)
                    });
                    let Some(other) = begun.checked_sub(1).map(|last| others.list[last]) else {
                        continue;
                    };
                    let commit = self.transactions[other as usize].commit;
                    if !before.is(self, commit, transaction.snapshot) {
                        necessary.push(Requirement {
                            from: commit,
                            to: transaction.snapshot,
                            why: Constraint::Conflict(self.key_names[*key as usize]),
                        });
                    }
                }
            }
        }
    }

    /// A cycle among points of which each has a predecessor among them, with as few requirements as
    /// possible: going along a session or along real time costs nothing. In any order every cycle has a
    /// requirement that leads back, so searching from these finds the shortest one.
    fn shortest_cycle(&self, among: impl Fn(Point) -> bool) -> Cycle {
        /// Requirements that may be looked at until the shortest one so far is good enough.
        const BUDGET: u64 = 20_000_000;
        let incoming = self.incoming();
        let predecessors = |point: Point| {
            let previous = (self.position(point) > 0).then(|| point - 1);
            let along = previous.into_iter().map(|before| (before, 0));
            let others = incoming.of(point).iter().map(|before| (*before, 1));
            along.chain(others).filter(|(before, _)| among(*before))
        };
        let likely = |point: Point| match self.owner[point as usize] {
            NONE => (0, point),
            at => (self.hint[at as usize], point),
        };
        let mut starts: Vec<Point> = (0..self.owner.len() as Point)
            .filter(|point| among(*point))
            .filter(|point| predecessors(*point).any(|(before, _)| likely(before) > likely(*point)))
            .collect();
        // Transactions before moments in time, of which there are many.
        starts.sort_by_key(|point| (self.owner[*point as usize] == NONE, *point));
        let mut budget = BUDGET;
        let mut best: Vec<Point> = Vec::new();
        let mut best_cost = u32::MAX;
        let mut cost = vec![u32::MAX; self.owner.len()];
        let mut next = vec![NONE; self.owner.len()];
        let mut touched = Vec::new();
        for start in starts {
            if best_cost <= 1 || (budget == 0 && best_cost < u32::MAX) {
                break;
            }
            let mut queue = VecDeque::from([(start, 0)]);
            while let Some((point, so_far)) = queue.pop_front() {
                if point == start && so_far > 0 {
                    best_cost = so_far;
                    best = vec![start];
                    let mut point = next[start as usize];
                    while point != start {
                        best.push(point);
                        point = next[point as usize];
                    }
                    break;
                }
                if point != start && cost[point as usize] < so_far {
                    continue;
                }
                for (before, price) in predecessors(point) {
                    budget = budget.saturating_sub(1);
                    let price = so_far + price;
                    if price >= cost[before as usize] || price >= best_cost {
                        continue;
                    }
                    if cost[before as usize] == u32::MAX {
                        touched.push(before);
                    }
                    cost[before as usize] = price;
                    next[before as usize] = point;
                    if price == so_far {
                        queue.push_front((before, price));
                    } else {
                        queue.push_back((before, price));
                    }
                }
            }
            for point in touched.drain(..) {
                cost[point as usize] = u32::MAX;
            }
        }
        self.explain(&best)
    }

    /// The steps of a cycle of points, of which each comes before the next.
    fn explain(&self, points: &[Point]) -> Cycle {
        let owned = |point: &Point| self.owner[*point as usize] != NONE;
        let first = points.iter().position(owned).expect("time is no cycle");
        let mut steps: Vec<Step> = Vec::new();
        let mut from = points[first];
        let mut through_time = false;
        for place in 1..=points.len() {
            let at = points[(first + place - 1) % points.len()];
            let to = points[(first + place) % points.len()];
            if !owned(&to) {
                through_time = true;
                continue;
            }
            let name = |point: Point| self.transactions[self.owner[point as usize] as usize].node;
            if name(from) != name(to) {
                let required = self
                    .requirements
                    .iter()
                    .find(|r| r.from == at && r.to == to);
                let constraint = match required {
                    _ if std::mem::take(&mut through_time) => Constraint::RealTime,
                    _ if at + 1 == to
                        && self.session_of[at as usize] == self.session_of[to as usize] =>
                    {
                        Constraint::Session
                    }
                    Some(requirement) => requirement.why,
                    None => Constraint::Session,
                };
                steps.push(Step {
                    from: name(from),
                    to: name(to),
                    constraint,
                });
            }
            from = to;
        }
        Cycle {
            steps: join_sessions(steps),
        }
    }

    /// The transactions, in the order of their commits.
    pub fn commits<'p>(&'p self, order: &'p [Point]) -> impl Iterator<Item = Node> + 'p {
        order.iter().filter_map(|point| {
            let owner = self.owner[*point as usize];
            let transaction = self.transactions.get(owner as usize)?;
            (transaction.commit == *point).then_some(transaction.node)
        })
    }

    /// For each key the sessions that write it, with their writers in session order.
    pub fn writers(&self, key: u32) -> &[(u32, Nearby<u32>)] {
        &self.writers[key as usize]
    }

    /// How a key is called in the history.
    pub fn key_name(&self, key: u32) -> u32 {
        self.key_names[key as usize]
    }
}

impl Before {
    /// The first point of a session that is not known to be before a point.
    pub fn end(&self, points: &Points, point: Point, session: u32) -> Point {
        let count = self.counts[point as usize * self.width + session as usize];
        points.starts[session as usize] + count
    }

    /// Whether a point is known to be before another one.
    pub fn is(&self, points: &Points, point: Point, other: Point) -> bool {
        let session = points.session_of[point as usize] as usize;
        self.counts[other as usize * self.width + session] > points.position(point)
    }
}

/// The neighbours of points, in one array.
pub(super) struct Neighbours {
    starts: Vec<u32>,
    points: Vec<Point>,
}

impl Neighbours {
    fn new(
        count: usize,
        requirements: &[Requirement],
        ends: impl Fn(&Requirement) -> (Point, Point),
    ) -> Self {
        let mut starts = vec![0; count + 1];
        for requirement in requirements {
            starts[ends(requirement).0 as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut points = vec![0; requirements.len()];
        for requirement in requirements {
            let (at, neighbour) = ends(requirement);
            points[next[at as usize] as usize] = neighbour;
            next[at as usize] += 1;
        }
        Neighbours { starts, points }
    }

    pub fn of(&self, point: Point) -> &[Point] {
        let at = point as usize;
        &self.points[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}
