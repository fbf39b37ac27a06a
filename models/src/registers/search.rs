//! The search for an order of the points, where saturation has left a choice.
//!
//! Points are placed one after another: the next one of some session, if everything that must come
//! before it is placed. A commit also waits until everyone has read what it overwrites, so that a
//! snapshot always finds what its transaction has read; and for snapshot isolation a snapshot waits
//! until no other writer of the same keys is between its snapshot and its commit. What is possible
//! from there on depends only on how far each session is (Biswas and Enea 2019), so that a state that
//! was once left without success is not entered again. For a fixed number of sessions there are
//! polynomially many states; in general the problem is NP-complete, and the search gives up when its
//! steps run out.
//!
//! A point that stands in nobody's way is placed without considering alternatives: a snapshot (unless
//! it keeps others from writing), and a commit none of whose keys is still to be written by others, or
//! of which nobody reads. From any order that is possible afterwards, such a point can be moved to
//! the front.

use std::collections::HashSet;

use super::points::{Neighbours, Point, Points};
use super::{INITIAL, Merge, NONE};

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An order of all points.
    Order(Vec<Point>),
    /// Everything was tried.
    Nothing,
    /// The steps ran out.
    GaveUp,
}

/// Numbers that may be kept to remember states: 256 megabytes.
const MEMORY: usize = 1 << 26;

/// Searches. A step is looking whether a point can be placed. `order` tells which to try first.
pub(super) fn search(points: &Points, order: &[Point], steps: &mut u64) -> Found {
    Search::new(points, order).run(steps)
}

struct Search<'p, 'r> {
    points: &'p Points<'r>,
    incoming: Neighbours,
    /// The place of each point in the order that is tried first.
    rank: Vec<u32>,
    /// For each session how many of its points are placed.
    progress: Vec<u32>,
    /// For each transaction and each key that it writes how many others read that; and for each key
    /// how many read the initial value.
    readers: Vec<Vec<u32>>,
    /// For each key how many are still to read its current value.
    awaited: Vec<u32>,
    /// For each key how many are still to write it.
    to_write: Vec<u32>,
    /// For each key how many of its writers are between snapshot and commit.
    open: Vec<u32>,
    visited: HashSet<Box<[u32]>>,
}

/// A state with several ways to go on.
struct Fork {
    /// How many points were placed.
    placed: usize,
    /// The ways not tried yet, the best one at the end.
    alternatives: Vec<Point>,
}

impl<'p, 'r> Search<'p, 'r> {
    fn new(points: &'p Points<'r>, order: &[Point]) -> Self {
        let mut rank = vec![0; points.owner.len()];
        for (place, point) in (0..).zip(order) {
            rank[*point as usize] = place;
        }
        let mut readers: Vec<Vec<u32>> = points
            .transactions
            .iter()
            .map(|transaction| vec![0; transaction.writes.len()])
            .collect();
        let mut awaited = vec![0; points.key_count];
        let mut to_write = vec![0; points.key_count];
        for transaction in &points.transactions {
            for (key, writer) in &transaction.reads {
                if *writer == INITIAL {
                    awaited[*key as usize] += 1;
                } else {
                    let writes = &points.transactions[*writer as usize].writes;
                    if let Ok(place) = writes.binary_search(key) {
                        readers[*writer as usize][place] += 1;
                    }
                }
            }
            for key in &transaction.writes {
                to_write[*key as usize] += 1;
            }
        }
        Search {
            points,
            incoming: points.incoming(),
            rank,
            progress: vec![0; points.sessions()],
            readers,
            awaited,
            to_write,
            open: vec![0; points.key_count],
            visited: HashSet::new(),
        }
    }

    fn run(mut self, steps: &mut u64) -> Found {
        let limit = MEMORY / self.progress.len().max(1);
        let mut placed: Vec<Point> = Vec::with_capacity(self.points.owner.len());
        let mut forks: Vec<Fork> = Vec::new();
        loop {
            let mut alternatives = self.go_on(&mut placed, steps);
            if placed.len() == self.points.owner.len() {
                return Found::Order(placed);
            }
            if *steps == 0 || self.visited.len() >= limit {
                return Found::GaveUp;
            }
            if !self
                .visited
                .insert(self.progress.clone().into_boxed_slice())
            {
                alternatives.clear();
            }
            forks.push(Fork {
                placed: placed.len(),
                alternatives,
            });
            loop {
                let Some(fork) = forks.last_mut() else {
                    return Found::Nothing;
                };
                for point in placed.drain(fork.placed..).rev() {
                    self.take_back(point);
                }
                if let Some(point) = fork.alternatives.pop() {
                    self.place(point);
                    placed.push(point);
                    break;
                }
                forks.pop();
            }
        }
    }

    /// Places what stands in nobody's way, and answers with all other points that can be placed now.
    fn go_on(&mut self, placed: &mut Vec<Point>, steps: &mut u64) -> Vec<Point> {
        let mut possible = Vec::new();
        loop {
            let before = placed.len();
            possible.clear();
            for session in 0..self.progress.len() {
                while let Some(point) = self.next(session) {
                    *steps = steps.saturating_sub(1);
                    if !self.can_place(point) {
                        break;
                    }
                    if !self.is_harmless(point) {
                        possible.push(point);
                        break;
                    }
                    self.place(point);
                    placed.push(point);
                }
            }
            if placed.len() == before {
                possible
                    .sort_unstable_by_key(|point| std::cmp::Reverse(self.rank[*point as usize]));
                return possible;
            }
        }
    }

    fn next(&self, session: usize) -> Option<Point> {
        let point = self.points.starts[session] + self.progress[session];
        (point < self.points.starts[session + 1]).then_some(point)
    }

    fn is_placed(&self, point: Point) -> bool {
        let session = self.points.session_of[point as usize];
        self.progress[session as usize] > self.points.position(point)
    }

    fn can_place(&self, point: Point) -> bool {
        self.incoming
            .of(point)
            .iter()
            .all(|before| self.is_placed(*before))
            && (!self.begins(point) || self.can_begin(point))
            && (!self.commits(point) || self.can_commit(point))
    }

    /// Whether the point is a snapshot, or of a transaction.
    fn begins(&self, point: Point) -> bool {
        let owner = self.points.owner[point as usize];
        owner != NONE && self.points.transactions[owner as usize].snapshot == point
    }

    fn commits(&self, point: Point) -> bool {
        let owner = self.points.owner[point as usize];
        owner != NONE && self.points.transactions[owner as usize].commit == point
    }

    fn can_begin(&self, point: Point) -> bool {
        let owner = self.points.owner[point as usize] as usize;
        let writes = &self.points.transactions[owner].writes;
        !self.points.rules.conflict || writes.iter().all(|key| self.open[*key as usize] == 0)
    }

    fn can_commit(&self, point: Point) -> bool {
        if self.points.registers.merge == Merge::PerKey {
            return true;
        }
        let transaction = &self.points.transactions[self.points.owner[point as usize] as usize];
        transaction.writes.iter().all(|key| {
            // What is read at the same point is read before it is overwritten.
            let own = !self.points.rules.snapshot
                && transaction.reads.iter().any(|(read, _)| read == key);
            self.awaited[*key as usize] == u32::from(own)
        })
    }

    /// Whether no order that is possible now becomes impossible by placing the point, which can be
    /// placed.
    fn is_harmless(&self, point: Point) -> bool {
        let owner = self.points.owner[point as usize];
        if owner == NONE {
            return true;
        }
        let transaction = &self.points.transactions[owner as usize];
        let mut writes = transaction.writes.iter().enumerate();
        let snapshot_only = point != transaction.commit;
        if snapshot_only && !self.points.rules.conflict {
            return true;
        }
        if !snapshot_only && self.points.registers.merge == Merge::PerKey {
            return true;
        }
        writes.all(|(place, key)| {
            let last = self.to_write[*key as usize] == 1;
            last || (!snapshot_only && self.readers[owner as usize][place] == 0)
        })
    }

    fn place(&mut self, point: Point) {
        self.progress[self.points.session_of[point as usize] as usize] += 1;
        let owner = self.points.owner[point as usize];
        if owner == NONE {
            return;
        }
        let transaction = &self.points.transactions[owner as usize];
        if self.begins(point) {
            for (key, _) in &transaction.reads {
                // In a merge by key nobody waits for readers.
                self.awaited[*key as usize] = self.awaited[*key as usize].wrapping_sub(1);
            }
            for key in &transaction.writes {
                self.open[*key as usize] += 1;
            }
        }
        if self.commits(point) {
            for (place, key) in transaction.writes.iter().enumerate() {
                let readers = self.readers[owner as usize][place];
                let awaited = &mut self.awaited[*key as usize];
                *awaited = awaited.wrapping_add(readers);
                self.open[*key as usize] -= 1;
                self.to_write[*key as usize] -= 1;
            }
        }
    }

    fn take_back(&mut self, point: Point) {
        self.progress[self.points.session_of[point as usize] as usize] -= 1;
        let owner = self.points.owner[point as usize];
        if owner == NONE {
            return;
        }
        let transaction = &self.points.transactions[owner as usize];
        if self.commits(point) {
            for (place, key) in transaction.writes.iter().enumerate() {
                let readers = self.readers[owner as usize][place];
                let awaited = &mut self.awaited[*key as usize];
                *awaited = awaited.wrapping_sub(readers);
                self.open[*key as usize] += 1;
                self.to_write[*key as usize] += 1;
            }
        }
        if self.begins(point) {
            for (key, _) in &transaction.reads {
                self.awaited[*key as usize] = self.awaited[*key as usize].wrapping_add(1);
            }
            for key in &transaction.writes {
                self.open[*key as usize] -= 1;
            }
        }
    }
}
