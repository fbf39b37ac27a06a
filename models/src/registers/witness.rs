//! Whether a given order of the transactions is a commit order for a model, in linear time (times a
//! logarithm for merges by key).
//!
//! Each transaction takes the earliest snapshot that the model allows: all that comes before it for
//! serializability; else the beginning of the order that ends with the last of its predecessors, and
//! for snapshot isolation with the last earlier writer of a key that it writes too. A later snapshot
//! could only hold more that overwrites what it has read.

use super::constraints::Derived;
use super::points::Rules;
use super::{INITIAL, Merge, NONE, Node, Registers};

/// Whether all transactions in this order satisfy the rules. The order contains session order and
/// reads-from.
pub(super) fn is_commit_order(registers: &Registers, rules: Rules, order: &[Node]) -> bool {
    if rules.real_time && !is_in_real_time(registers, order) {
        return false;
    }
    let mut place = vec![0_u32; registers.transactions()];
    for (at, node) in (0..).zip(order) {
        place[*node as usize] = at;
    }
    let in_order = |edge: &Derived| place[edge.from as usize] < place[edge.to as usize];
    if !registers.known.iter().all(|(edge, _)| in_order(edge)) {
        return false;
    }
    let versions = Versions::new(registers, order);
    let mut last_writer = vec![0_u32; registers.key_count];
    for (at, node) in (0_u32..).zip(order) {
        // How many transactions are in the snapshot.
        let mut snapshot = at;
        if rules.snapshot {
            let writers = registers.reads(*node).iter().map(|read| read.writer);
            let previous = registers.previous[*node as usize];
            let before = writers.chain([previous]).filter(|node| *node < NONE);
            snapshot = before.map(|n| place[n as usize] + 1).max().unwrap_or(0);
        }
        if rules.conflict {
            for key in registers.writes(*node) {
                snapshot = snapshot.max(last_writer[*key as usize]);
                last_writer[*key as usize] = at + 1;
            }
        }
        for (number, read) in registers.reads(*node).iter().enumerate() {
            let seen = versions.at(read.key, snapshot);
            let fits = match registers.merge {
                Merge::Transaction => seen.0 == read.writer,
                Merge::PerKey => seen.1 == registers.version_read(*node, number),
            };
            if !fits {
                return false;
            }
        }
    }
    true
}

fn is_in_real_time(registers: &Registers, order: &[Node]) -> bool {
    let Some(times) = &registers.times else {
        return false;
    };
    let mut latest_begin = 0;
    order.iter().all(|node| {
        let (begin, end) = times[*node as usize];
        let fits = end >= latest_begin;
        latest_begin = latest_begin.max(begin);
        fits
    })
}

/// For each key what it holds, after which place in the order.
struct Versions {
    /// For each key: how many transactions there must have been, the writer, and the version.
    by_key: Vec<Vec<(u32, Node, u64)>>,
}

impl Versions {
    fn new(registers: &Registers, order: &[Node]) -> Self {
        let mut by_key: Vec<Vec<(u32, Node, u64)>> = vec![Vec::new(); registers.key_count];
        for (count, node) in (1..).zip(order) {
            for key in registers.writes(*node) {
                let version = registers.version_written(*node, *key);
                let versions = &mut by_key[*key as usize];
                let effective = match registers.merge {
                    Merge::Transaction => true,
                    Merge::PerKey => versions.last().is_none_or(|last| last.2 < version),
                };
                if effective {
                    versions.push((count, *node, version));
                }
            }
        }
        Versions { by_key }
    }

    /// What a key holds after so many transactions.
    fn at(&self, key: u32, count: u32) -> (Node, u64) {
        let versions = &self.by_key[key as usize];
        let end = versions.partition_point(|version| version.0 <= count);
        match end.checked_sub(1) {
            Some(last) => (versions[last].1, versions[last].2),
            None => (INITIAL, 0),
        }
    }
}
