//! A read that misses something which its transaction has to see.
//!
//! It is called by the weakest guarantee that it breaks: of the writers that it misses, one that its own
//! session wrote (read your writes) or read (monotonic reads), one that the reader itself reads from
//! (fractured read), an earlier one of a session that it reads from (monotonic writes), one that such a
//! session had read (writes follow reads), or, beyond that, causality.

use super::anomaly::{Anomalies, AnomalyKind};
use super::order::way;
use super::{NONE, Node, Registers};

pub(super) struct Stale {
    pub reader: Node,
    pub key: u32,
    /// From whom it reads.
    pub writer: Node,
    /// The writers of the key that it misses. Not empty.
    pub missed: Vec<Node>,
}

impl Stale {
    /// Adds it, under the given name if there is one.
    pub fn explain(
        &self,
        registers: &Registers,
        anomalies: &mut Anomalies,
        kind: Option<AnomalyKind>,
    ) {
        let (kind, missed) = match kind {
            Some(kind) => (kind, self.missed[0]),
            None => self.name(registers),
        };
        let read = (self.reader, self.key, self.writer);
        anomalies.add_stale(kind, registers, read, missed, || {
            way(registers, missed, self.reader)
        });
    }

    /// The weakest guarantee that is broken, and the write that shows it.
    fn name(&self, registers: &Registers) -> (AnomalyKind, Node) {
        let place = |node: Node| registers.places[node as usize];
        let (session, _) = place(self.reader);
        let reads_from = |reader: Node, missed: Node| {
            let mut reads = registers.reads(reader).iter();
            reads.any(|read| registers.shows(read, missed))
        };
        // Whether a transaction, or one before it in its session, reads from the missed one.
        let had_read = |from: Node, missed: Node| {
            let before = |node: &Node| {
                let previous = registers.previous[*node as usize];
                (previous != NONE).then_some(previous)
            };
            std::iter::successors(Some(from), before).any(|node| reads_from(node, missed))
        };
        let writers: Vec<Node> = registers.sources(self.reader).collect();
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
