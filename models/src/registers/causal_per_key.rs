//! *Causal consistency per key*, with a known version order: every read returns the highest version of
//! its key in its causal past, the transitive closure of session order and reads-from. A higher one it
//! can not return, since what it returns is in its past.
//!
//! No commit order is needed, so nothing has to be guessed: the transactions are arranged in any
//! order that contains session order and reads-from (a cycle of these is a violation in itself), and
//! each read is compared once.
//!
//! # Algorithm
//!
//! Keep a vector clock for every transaction, and for every key its writers so far, by version. For a
//! read of version *v*, look at the writers with higher versions, the highest first: if one of them is
//! in the clock, the read is stale. Linear in the history but for the merging of clocks and for the
//! versions above *v*, which are few unless reads are very stale.
//!
//! `stale` gives a stale read its name. All guarantees of sessions are about the causal past, so that
//! checking for causality misses none of them.

use super::anomaly::Anomalies;
use super::clocks::longest_session;
use super::commit_order::{Violations, causal_order};
use super::stale::Stale;
use super::visibility::{CausalPast, Place, Visibility};
use super::{Node, Registers, Versions};

/// Adds every stale read, and cycles of session order and reads-from. An error tells why nothing can be
/// concluded.
pub(super) fn judge(registers: &Registers, anomalies: &mut Anomalies) -> Result<(), String> {
    let Some(versions) = &registers.versions else {
        return Err("the order of the versions is not known".to_owned());
    };
    let order = match causal_order(registers, registers.nodes()) {
        Ok(order) => order,
        Err(Violations { cycles, .. }) => {
            anomalies.add_cycles(registers, &cycles, None);
            return Ok(());
        }
    };
    let tell = |stale: Stale| stale.explain(registers, anomalies, None);
    if longest_session(registers) < i16::MAX as u32 {
        let visibility = CausalPast::<i16>::new(registers);
        compare(registers, versions, &order, visibility, tell);
    } else {
        let visibility = CausalPast::<i32>::new(registers);
        compare(registers, versions, &order, visibility, tell);
    }
    Ok(())
}

/// A write, with its place among the versions of its key.
#[derive(Clone, Copy, Default)]
struct Write {
    version: u64,
    node: Node,
}

/// Tells of every read of a version that is lower than one which its transaction has to see.
pub(super) fn compare(
    registers: &Registers,
    versions: &Versions,
    order: &[Node],
    mut visibility: impl Visibility,
    mut tell: impl FnMut(Stale),
) {
    let mut starts = vec![0_u32; registers.key_count + 1];
    for key in &registers.writes {
        starts[*key as usize + 1] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut ends = starts[..registers.key_count].to_vec();
    let mut writes = vec![Write::default(); registers.writes.len()];
    for node in order {
        visibility.enter(registers, *node);
        let must_see = |other: Node| {
            let (session, position) = registers.places[other as usize];
            visibility.includes(Place {
                node: other,
                session,
                position,
            })
        };
        let first = registers.read_starts[*node as usize] as usize;
        let of_reads = &versions.of_reads[first..];
        for (read, version) in registers.reads(*node).iter().zip(of_reads) {
            let key = read.key as usize;
            let so_far = &writes[starts[key] as usize..ends[key] as usize];
            let higher = || so_far.iter().rev().take_while(|w| w.version > *version);
            if higher().any(|write| must_see(write.node)) {
                tell(Stale {
                    reader: *node,
                    key: read.key,
                    writer: read.writer,
                    missed: higher().map(|w| w.node).filter(|n| must_see(*n)).collect(),
                });
            }
        }
        let first = registers.write_starts[*node as usize] as usize;
        let of_writes = &versions.of_writes[first..];
        for (key, version) in registers.writes(*node).iter().zip(of_writes) {
            // Versions mostly grow in this order, so the place is near the end.
            let begin = starts[*key as usize] as usize;
            let mut at = ends[*key as usize] as usize;
            ends[*key as usize] += 1;
            while at > begin && writes[at - 1].version > *version {
                writes[at] = writes[at - 1];
                at -= 1;
            }
            writes[at] = Write {
                version: *version,
                node: *node,
            };
        }
        visibility.leave(registers, *node);
    }
}
