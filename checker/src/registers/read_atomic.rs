//! *Read atomic*: a transaction sees all or nothing of another one, and everything of its own
//! session.
//!
//! For every transaction *t3* that reads *x* from *t1*, and every other *t2* that writes *x* and
//! precedes *t3* in its session or is read by *t3*: *t2* commits before *t1*.
//!
//! Algorithm: of the session's earlier writers of *x* only the latest counts, since the others
//! precede it. For every transaction that *t3* reads from, intersect what it writes with what *t3*
//! reads, at the cost of the smaller of the two.

use super::order::{Constraint, Cycle, Derived, StaleInitial, arrange, shorten, way};
use super::{INITIAL, NONE, Node, Registers};

/// Why there is no commit order, if there is none.
pub(super) fn cycle(registers: &Registers) -> Option<Cycle> {
    let mut edges = registers.known_edges();
    let mut stale = None;
    derive(registers, |reader, key, from, to| {
        if to == INITIAL {
            stale.get_or_insert(StaleInitial {
                reader,
                missed: from,
                key,
            });
        } else {
            edges.push(Derived { from, to });
        }
    });
    if let Some(stale) = stale {
        return Some(way(registers, stale));
    }
    let rough = arrange(registers, &edges, registers.nodes()).err()?;
    Some(shorten(registers, &edges, &rough, |edge| {
        let mut found = registers.known_reason(edge);
        derive(registers, |reader, key, from, to| {
            if (Derived { from, to }) == edge {
                found.get_or_insert(Constraint::Overwritten { key, reader });
            }
        });
        found.expect("every derived edge has a reason")
    }))
}

/// Tells of every derived edge: the reader, the key, and the two writers.
fn derive(registers: &Registers, mut tell: impl FnMut(Node, u32, Node, Node)) {
    derive_from_sessions(registers, &mut tell);
    derive_from_reads(registers, &mut tell);
}

fn derive_from_sessions(registers: &Registers, tell: &mut impl FnMut(Node, u32, Node, Node)) {
    let (starts, members) = super::causal::by_session(registers);
    // For each key the session that the entry is for, and its latest writer.
    let mut written: Vec<(u32, Node)> = vec![(NONE, NONE); registers.key_count];
    for session in 0..registers.session_count {
        let range = starts[session] as usize..starts[session + 1] as usize;
        for node in &members[range] {
            let first = registers.places[*node as usize].1 == 0;
            let before = registers.previous[*node as usize];
            if first && before != NONE {
                // A transaction of unknown outcome has a session of its own, and no reads.
                continue;
            }
            for read in registers.reads(*node) {
                let (of, writer) = written[read.key as usize];
                if of == session as u32 && writer != read.writer {
                    tell(*node, read.key, writer, read.writer);
                }
            }
            for key in registers.writes(*node) {
                written[*key as usize] = (session as u32, *node);
            }
        }
    }
}

fn derive_from_reads(registers: &Registers, tell: &mut impl FnMut(Node, u32, Node, Node)) {
    // For each key the reader that the entry is for, and from whom it reads.
    let mut read_from: Vec<(Node, Node)> = vec![(NONE, NONE); registers.key_count];
    let mut seen: Vec<Node> = vec![NONE; registers.transactions()];
    for reader in registers.nodes() {
        let reads = registers.reads(reader);
        for read in reads {
            read_from[read.key as usize] = (reader, read.writer);
        }
        for read in reads {
            let from = read.writer;
            if from == INITIAL || std::mem::replace(&mut seen[from as usize], reader) == reader {
                continue;
            }
            let writes = registers.writes(from);
            if writes.len() <= reads.len() {
                for key in writes {
                    let (of, to) = read_from[*key as usize];
                    if of == reader && to != from {
                        tell(reader, *key, from, to);
                    }
                }
            } else {
                for read in reads {
                    if read.writer != from && writes.binary_search(&read.key).is_ok() {
                        tell(reader, read.key, from, read.writer);
                    }
                }
            }
        }
    }
}
