//! *Monotonic reads*: a transaction sees everything that its session has read before. (Terry et al.,
//! Session Guarantees for Weakly Consistent Replicated Data, PDIS 1994: a read sees a database that
//! holds the writes which were relevant to earlier reads of the session.)
//!
//! For every transaction *t3* that reads *x* from *t1*, and every other *t2* that writes *x*, and that
//! a transaction read from that precedes *t3* in its session: *t2* commits before *t1*. It does not
//! matter which key was read from *t2*. See `session_guarantees` for what the four have in common;
//! reads within a transaction are a matter of `read_committed`.
//!
//! Algorithm: go through each session, and keep for every key the writers that it has read from and
//! that a later read of the key has to follow. A read from *t1* follows all of them; from then on *t1*
//! stands for all, since they commit before it. A transaction is added to its keys once in each
//! session that reads from it. So the time is linear in the reads, and in what was written by the
//! transactions from which each session reads.

use super::commit_order::{Axiom, Demand};
use super::{INITIAL, Merge, NONE, Node, Registers};

pub(super) struct MonotonicReads;

impl Axiom for MonotonicReads {
    fn demands(registers: &Registers, _: &[Node], mut tell: impl FnMut(Demand)) {
        let (starts, members) = registers.by_session();
        let mut seen = Seen {
            keys: vec![(NONE, Vec::new()); registers.key_count],
            read_from: vec![NONE; registers.transactions()],
        };
        for session in 0..registers.session_count {
            let range = starts[session] as usize..starts[session + 1] as usize;
            for node in &members[range] {
                for read in registers.reads(*node) {
                    for from in seen.of(session as u32, read.key) {
                        if *from != read.writer {
                            tell(Demand {
                                reader: *node,
                                key: read.key,
                                from: *from,
                                to: read.writer,
                            });
                        }
                    }
                }
                seen.add(registers, session as u32, *node);
            }
        }
    }
}

/// What the current session has seen.
struct Seen {
    /// For each key the session that the entry is for, and the writers.
    keys: Vec<(u32, Vec<Node>)>,
    /// For each transaction the last session that read from it.
    read_from: Vec<u32>,
}

impl Seen {
    fn of(&mut self, session: u32, key: u32) -> &mut Vec<Node> {
        let (of, writers) = &mut self.keys[key as usize];
        if *of != session {
            *of = session;
            writers.clear();
        }
        writers
    }

    fn add(&mut self, registers: &Registers, session: u32, node: Node) {
        for read in registers.reads(node) {
            if read.writer == INITIAL {
                continue;
            }
            let version = |node: Node| match registers.merge {
                Merge::Transaction => 0,
                Merge::PerKey => registers.version_written(node, read.key),
            };
            let writers = self.of(session, read.key);
            // Where the highest version wins, that is the one that stands for all.
            let highest = writers.iter().copied().map(|other| (version(other), other));
            let highest = highest.max().filter(|(v, _)| *v > version(read.writer));
            writers.clear();
            writers.push(highest.map_or(read.writer, |(_, other)| other));
        }
        for writer in registers.sources(node) {
            if std::mem::replace(&mut self.read_from[writer as usize], session) == session {
                continue;
            }
            for key in registers.writes(writer) {
                let writers = self.of(session, *key);
                // Of a list the later one stands for both.
                match writers.first_mut() {
                    Some(first) if *first == writer => {}
                    Some(first) if registers.is_in_list(*key, writer, *first) => {}
                    Some(first) if registers.is_in_list(*key, *first, writer) => *first = writer,
                    _ => writers.push(writer),
                }
            }
        }
    }
}
