//! Judging the models whose conditions speak of the commit order itself: *prefix consistency*,
//! *snapshot isolation*, *serializability* and *strict serializability*. What they demand is in
//! `points`, and at the top of the file of each.
//!
//! # Algorithm
//!
//! 1. Try a likely order, that of the ends (or in which the transactions were given), and if that does
//!    not fit the one that causal consistency arrives at: `witness` checks an order in linear time, so
//!    that a history from a system that does what it promises is mostly done here.
//! 2. Take the history apart: transactions that share no written key and no session, even through
//!    others, do not constrain one another (unless real time counts).
//! 3. Saturate each part with what is necessary. A cycle is a violation, and explains itself.
//! 4. Search each part for an order. If everything was tried, that is a violation too; transactions are
//!    then left out of the part as long as it remains one.
//!
//! Sound, since only what is demanded is added, and complete until the steps run out: then nothing is
//! concluded (Biswas and Enea 2019 show that it is NP-complete to decide).

use std::collections::BTreeMap;

use super::anomaly::Anomalies;
use super::causal::Causal;
use super::commit_order::{causal_order, commit_order};
use super::points::{Points, Rules};
use super::search::{Found, search};
use super::witness::is_commit_order;
use super::{INITIAL, Merge, NONE, Node, Registers};

/// Adds what the model forbids. An error tells why nothing can be concluded.
pub(super) fn judge(
    registers: &Registers,
    rules: Rules,
    steps: u64,
    anomalies: &mut Anomalies,
) -> Result<(), String> {
    // What is wrong already between one read and one write needs no search.
    if !anomalies.is_empty() {
        return Ok(());
    }
    if rules.real_time && registers.times.is_none() {
        // What has no order at all has none that real time allows either.
        let real_time = false;
        judge(registers, Rules { real_time, ..rules }, steps, anomalies)?;
        if anomalies.is_empty() {
            let why = "the history does not tell when every transaction began and ended";
            return Err(why.to_owned());
        }
        return Ok(());
    }
    let mut wish: Vec<Node> = registers.nodes().collect();
    if let Some(times) = &registers.times {
        wish.sort_by_key(|node| times[*node as usize].1);
    }
    let order = match causal_order(registers, wish.iter().copied()) {
        Ok(order) => order,
        Err(violations) => {
            violations.explain(registers, anomalies, None);
            return Ok(());
        }
    };
    if is_commit_order(registers, rules, &order) {
        return Ok(());
    }
    let mut hint = rank(registers, &order);
    let mut not_causal = None;
    if registers.merge == Merge::Transaction {
        match commit_order::<Causal>(registers) {
            Ok(order) if is_commit_order(registers, rules, &order) => return Ok(()),
            Ok(order) if !rules.real_time => hint = rank(registers, &order),
            Ok(_) => {}
            Err(violations) => not_causal = Some(violations),
        }
    }
    let searched = search_parts(registers, rules, &hint, steps, anomalies);
    match not_causal {
        // What is not causal is found by saturation too, unless that is given up.
        Some(violations) if anomalies.is_empty() => {
            violations.explain(registers, anomalies, None);
            Ok(())
        }
        _ => searched,
    }
}

fn search_parts(
    registers: &Registers,
    rules: Rules,
    hint: &[u32],
    mut steps: u64,
    anomalies: &mut Anomalies,
) -> Result<(), String> {
    let parts = if rules.real_time {
        vec![registers.nodes().collect()]
    } else {
        parts(registers)
    };
    let mut open = Vec::new();
    for members in parts {
        let mut points = Points::new(registers, rules, &members, hint);
        match points.saturate(&mut steps) {
            Ok(order) => open.push((members, points, order)),
            Err(cycle) => anomalies.add_cycle(registers, &cycle),
        }
    }
    if !anomalies.is_empty() {
        return Ok(());
    }
    let all: Vec<Node> = open
        .iter()
        .flat_map(|(_, points, order)| points.commits(order))
        .collect();
    if is_commit_order(registers, rules, &all) {
        return Ok(());
    }
    let mut gave_up = false;
    for (members, points, order) in &open {
        match search(points, order, &mut steps) {
            Found::Order(found) => debug_assert!({
                let mut found: Vec<Node> = points.commits(&found).collect();
                open.len() > 1 || {
                    found.dedup();
                    is_commit_order(registers, rules, &found)
                }
            }),
            Found::Nothing => {
                let fewer = leave_out(registers, rules, hint, members.clone());
                anomalies.add_no_order(registers, &fewer);
            }
            Found::GaveUp => gave_up = true,
        }
    }
    if gave_up {
        return Err(
            "no commit order was found, nor that there is none, before the limit".to_owned(),
        );
    }
    Ok(())
}

/// The place of each transaction in an order.
fn rank(registers: &Registers, order: &[Node]) -> Vec<u32> {
    let mut rank = vec![0; registers.transactions()];
    for (place, node) in (0..).zip(order) {
        rank[*node as usize] = place;
    }
    rank
}

/// Transactions that do not constrain those of other parts, ascending.
fn parts(registers: &Registers) -> Vec<Vec<Node>> {
    let keys = registers.key_count;
    let mut parents: Vec<u32> = (0..(keys + registers.session_count) as u32).collect();
    fn root(parents: &mut [u32], mut at: u32) -> u32 {
        while parents[at as usize] != at {
            parents[at as usize] = parents[parents[at as usize] as usize];
            at = parents[at as usize];
        }
        at
    }
    let mut is_written = vec![false; keys];
    for key in &registers.writes {
        is_written[*key as usize] = true;
    }
    let session = |node: Node| keys as u32 + registers.places[node as usize].0;
    for node in registers.nodes() {
        let reads = registers.reads(node).iter().map(|read| read.key);
        let written = reads.filter(|key| is_written[*key as usize]);
        let previous = registers.previous[node as usize];
        let before = (previous != NONE).then(|| session(previous));
        for other in registers
            .writes(node)
            .iter()
            .copied()
            .chain(written)
            .chain(before)
        {
            let (a, b) = (root(&mut parents, session(node)), root(&mut parents, other));
            parents[a as usize] = b;
        }
    }
    let mut parts: BTreeMap<u32, Vec<Node>> = BTreeMap::new();
    for node in registers.nodes() {
        let part = root(&mut parents, session(node));
        parts.entry(part).or_default().push(node);
    }
    parts.into_values().collect()
}

/// Leaves out transactions from which nobody reads, as long as what remains has no order.
fn leave_out(
    registers: &Registers,
    rules: Rules,
    hint: &[u32],
    mut members: Vec<Node>,
) -> Vec<Node> {
    /// Larger parts are left as they are, and so is what takes longer to search.
    const LARGEST: usize = 200;
    const STEPS: u64 = 20_000;
    if members.len() > LARGEST {
        return members;
    }
    let mut at = members.len();
    while at > 0 {
        at -= 1;
        let node = members[at];
        let is_read = members.iter().any(|other| {
            registers
                .reads(*other)
                .iter()
                .any(|read| read.writer == node)
        });
        if is_read || node == INITIAL {
            continue;
        }
        let mut fewer = members.clone();
        fewer.remove(at);
        let mut points = Points::new(registers, rules, &fewer, hint);
        let mut steps = STEPS;
        let impossible = match points.saturate(&mut steps) {
            Err(_) => true,
            Ok(order) => search(&points, &order, &mut steps) == Found::Nothing,
        };
        if impossible {
            members = fewer;
            // Others may have been read by this one only.
            at = members.len();
        }
    }
    members
}
