//! *Causal consistency per key*, with a known version order: every read returns the highest version of
//! its key in its causal past, the transitive closure of session order and reads-from. A higher one it
//! can not return, since what it returns is in its past.
//!
//! No commit order is needed, so nothing has to be guessed: the transactions are arranged in any
//! order that contains session order and reads-from (a circle of these is a violation in itself), and
//! each read is compared once.
//!
//! # Algorithm
//!
//! Keep a vector clock for every transaction, and for every key its writers so far, by version. For a
//! read of version *v*, look at the writers with higher versions, the highest first: if one of them is
//! in the clock, the read is stale. Linear in the history but for the merging of clocks and for the
//! versions above *v*, which are few unless reads are very stale.
//!
//! A stale read is called by the weakest guarantee that it breaks: of the writers that it misses, one
//! that its own session wrote (read your writes) or read (monotonic reads), one that the reader itself
//! reads from (fractured read), an earlier one of a session that it reads from (monotonic writes), one
//! that such a session had read (writes follow reads), or, beyond that, causality. All of these are in
//! the causal past, so that checking for causality misses none of them.

use super::clocks::{Clocks, Tick, longest_session};
use super::order::{Cycle, StaleInitial, arrange, shorten, way};
use super::report::{Anomalies, AnomalyKind};
use super::{INITIAL, NONE, Node, Registers, Versions};

/// Adds every stale read; answers with a circle of session order and reads-from, if there is one.
pub(super) fn judge(
    registers: &Registers,
    versions: &Versions,
    anomalies: &mut Anomalies,
) -> Option<Cycle> {
    let order = match arrange(registers, &[], registers.nodes()) {
        Ok(order) => order,
        Err(rough) => {
            return Some(shorten(registers, &[], &rough, |_| {
                unreachable!("nothing is derived")
            }));
        }
    };
    let mut tell = |stale: Stale| stale.explain(registers, anomalies);
    if longest_session(registers) < i16::MAX as u32 {
        compare::<i16>(registers, versions, &order, &mut tell);
    } else {
        compare::<i32>(registers, versions, &order, &mut tell);
    }
    None
}

/// A read that misses versions of its key.
struct Stale {
    reader: Node,
    key: u32,
    /// From whom it reads.
    writer: Node,
    /// The writers of higher versions in its past.
    missed: Vec<Node>,
}

/// A write, with its place among the versions of its key.
#[derive(Clone, Copy, Default)]
struct Write {
    version: u64,
    node: Node,
}

fn compare<T: Tick>(
    registers: &Registers,
    versions: &Versions,
    order: &[Node],
    tell: &mut impl FnMut(Stale),
) {
    let mut clocks: Clocks<T> = Clocks::new(registers);
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
        let clock = clocks.enter(registers, *node);
        let in_past = |other: Node| {
            let (session, position) = registers.places[other as usize];
            clock[session as usize].get() > position
        };
        let first = registers.read_starts[*node as usize] as usize;
        let of_reads = &versions.of_reads[first..];
        for (read, version) in registers.reads(*node).iter().zip(of_reads) {
            let key = read.key as usize;
            let so_far = &writes[starts[key] as usize..ends[key] as usize];
            let higher = || so_far.iter().rev().take_while(|w| w.version > *version);
            if higher().any(|write| in_past(write.node)) {
                tell(Stale {
                    reader: *node,
                    key: read.key,
                    writer: read.writer,
                    missed: higher().map(|w| w.node).filter(|n| in_past(*n)).collect(),
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
        clocks.leave(registers, *node);
    }
}

impl Stale {
    fn explain(&self, registers: &Registers, anomalies: &mut Anomalies) {
        let (kind, missed) = self.name(registers);
        let read = (self.reader, self.key, self.writer);
        anomalies.add_stale(kind, registers, read, missed, || Cycle {
            stale_initial: None,
            ..way(
                registers,
                StaleInitial {
                    reader: self.reader,
                    missed,
                    key: self.key,
                },
            )
        });
    }

    /// The weakest guarantee that is broken, and the write that shows it.
    fn name(&self, registers: &Registers) -> (AnomalyKind, Node) {
        let place = |node: Node| registers.places[node as usize];
        let (session, _) = place(self.reader);
        let reads_from = |reader: Node, missed: Node| {
            registers
                .reads(reader)
                .iter()
                .any(|read| read.writer == missed)
        };
        // Whether a transaction, or one before it in its session, reads from the missed one.
        let had_read = |from: Node, missed: Node| {
            let before = |node: &Node| {
                let previous = registers.previous[*node as usize];
                (previous != NONE).then_some(previous)
            };
            std::iter::successors(Some(from), before).any(|node| reads_from(node, missed))
        };
        let writers: Vec<Node> = registers
            .reads(self.reader)
            .iter()
            .map(|read| read.writer)
            .filter(|writer| *writer != INITIAL)
            .collect();
        let kinds: [(AnomalyKind, &dyn Fn(Node) -> bool); 5] = [
            (AnomalyKind::ReadYourWrites, &|missed| {
                place(missed).0 == session
            }),
            (AnomalyKind::MonotonicReads, &|missed| {
                let previous = registers.previous[self.reader as usize];
                previous != NONE && had_read(previous, missed)
            }),
            (AnomalyKind::FracturedRead, &|missed| {
                writers.contains(&missed)
            }),
            (AnomalyKind::MonotonicWrites, &|missed| {
                let (session, position) = place(missed);
                writers.iter().any(|writer| {
                    let (other, at) = place(*writer);
                    other == session && at > position
                })
            }),
            (AnomalyKind::WritesFollowReads, &|missed| {
                writers.iter().any(|writer| had_read(*writer, missed))
            }),
        ];
        for (kind, holds) in kinds {
            if let Some(missed) = self.missed.iter().find(|missed| holds(**missed)) {
                return (kind, *missed);
            }
        }
        (AnomalyKind::CausalityViolation, self.missed[0])
    }
}
