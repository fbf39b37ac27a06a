//! *Weak causal consistency*: causal consistency without agreement about concurrent writes, the model
//! CC of Bouajjani et al. (On Verifying Causal Consistency, POPL 2017), lifted to transactions.
//!
//! Causality, the transitive closure of session order and reads-from, has no cycle, and no read
//! returns what was overwritten in its causal past: there are no *t1*, *t2*, *t3* of which each is in
//! the causal past of the next, such that *t3* reads *x* from *t1* and *t2* writes *x*. (The initial
//! transaction is in everybody's past.) Two sessions may see concurrent writes of a key in different
//! orders, for ever; causal convergence forbids that.
//!
//! In a list the order of what is in it counts too, so that there is more to say: a read of a list holds
//! every append of its causal past, and no append stands before one that is in its own causal past.
//!
//! Algorithm: vector clocks over session order and reads-from. For every read of *x* from *t1* by *t3*
//! and every session, only the last writer of *x* in the past of *t3* needs looking at: what precedes
//! it in its session has a smaller past. (In a list, the one whose place in it is the last, of what a
//! session has in the past: what nobody has read comes last of all.) Memory is transactions times sessions.

use super::anomaly::{Anomalies, AnomalyKind};
use super::constraints::{Constraint, Step};
use super::near::Nearby;
use super::order::way;
use super::points::{Before, Points, Rules};
use super::stale::Stale;
use super::{INITIAL, Node, Registers};

/// Adds every stale read. An error tells why nothing can be concluded.
pub(super) fn judge(registers: &Registers, anomalies: &mut Anomalies) -> Result<(), String> {
    let rules = Rules {
        snapshot: false,
        conflict: false,
        real_time: false,
    };
    let members: Vec<Node> = registers.nodes().collect();
    let mut points = Points::causality(registers, rules, &members, &members);
    points.require_shown();
    let order = match points.arrange() {
        Ok(order) => order,
        Err(cycle) => {
            anomalies.add_cycle(registers, &cycle);
            return Ok(());
        }
    };
    let before = points
        .before(&order)
        .ok_or("the history has too many transactions and sessions for this model")?;
    let past = Past::new(&points, &before);
    for transaction in &points.transactions {
        for (key, writer) in &transaction.reads {
            for missed in past.missed(transaction.commit, *key, *writer) {
                let stale = Stale {
                    reader: transaction.node,
                    key: points.key_name(*key),
                    writer: match *writer {
                        INITIAL => INITIAL,
                        writer => points.transactions[writer as usize].node,
                    },
                    missed: vec![missed],
                };
                let kind = AnomalyKind::CausalityViolation;
                stale.explain(registers, anomalies, Some(kind));
            }
        }
        for key in &transaction.writes {
            if let Some(later) = past.appended_later(transaction.node, transaction.commit, *key) {
                let mut cycle = way(registers, later, transaction.node);
                cycle.steps.push(Step {
                    from: transaction.node,
                    to: later,
                    constraint: Constraint::VersionOrder(points.key_name(*key)),
                });
                anomalies.add_cycle(registers, &cycle);
            }
        }
    }
    Ok(())
}

/// Who wrote a key and is in a causal past. All transactions are members of the points, so that these have
/// the same indexes.
struct Past<'p, 'r> {
    points: &'p Points<'r>,
    before: &'p Before,
    /// For each key, if it is a list, the sessions that append to it.
    last: Vec<Option<Vec<LastOf>>>,
}

/// By how many of a session's appends to a list are in the past: the last of them in the list, with its
/// place there.
type LastOf = Vec<(u32, Node)>;

impl<'p, 'r> Past<'p, 'r> {
    fn new(points: &'p Points<'r>, before: &'p Before) -> Self {
        let registers = points.registers;
        let last = (0..points.key_count as u32).map(|key| {
            let name = points.key_name(key);
            let list = registers.lists.get(name as usize)?.as_ref()?;
            if list.contradicted {
                return None;
            }
            let sessions = points.writers(key).iter().map(|(_, writers)| {
                let places = writers.list.iter().map(|writer| {
                    let place = registers.list_place(*writer, name);
                    (place.unwrap_or(u32::MAX), *writer)
                });
                places
                    .scan((0, INITIAL), |last, place| {
                        *last = place.max(*last);
                        Some(*last)
                    })
                    .collect()
            });
            Some(sessions.collect())
        });
        Past {
            points,
            before,
            last: last.collect(),
        }
    }

    /// How many of a session's writers are in the past of a point.
    fn count(&self, point: u32, (session, writers): &(u32, Nearby<u32>)) -> usize {
        let end = self.before.end(self.points, point, *session);
        let commit = |at: u32| self.points.transactions[at as usize].commit;
        writers.partition_point(|at| commit(*at) < end)
    }

    /// In the past of a point, who has overwritten what somebody wrote to a key: one of each session.
    fn missed(&self, point: u32, key: u32, read_from: u32) -> impl Iterator<Item = Node> {
        let place = match read_from {
            INITIAL => Some(0),
            writer => {
                let registers = self.points.registers;
                registers.list_place(writer, self.points.key_name(key))
            }
        };
        let sessions = self.points.writers(key).iter().enumerate();
        sessions.filter_map(move |(session, writers)| {
            let last = self.count(point, writers).checked_sub(1)?;
            if let (Some(lists), Some(place)) = (&self.last[key as usize], place) {
                let (later, node) = lists[session][last];
                return (later > place).then_some(node);
            }
            let other = writers.1.list[last];
            let commit = |at: u32| self.points.transactions[at as usize].commit;
            let overwrites = other != read_from
                && (read_from == INITIAL
                    || self
                        .before
                        .is(self.points, commit(read_from), commit(other)));
            overwrites.then_some(other)
        })
    }

    /// Somebody in the past of a transaction whose element stands behind the transaction's own in a list
    /// that was read.
    fn appended_later(&self, node: Node, point: u32, key: u32) -> Option<Node> {
        let lists = self.last[key as usize].as_ref()?;
        let registers = self.points.registers;
        let place = registers.list_place(node, self.points.key_name(key))?;
        let mut sessions = self.points.writers(key).iter().zip(lists);
        sessions.find_map(|(writers, lasts)| {
            let last = self.count(point, writers).checked_sub(1)?;
            let (later, other) = lasts[last];
            (place < later && later < u32::MAX).then_some(other)
        })
    }
}
