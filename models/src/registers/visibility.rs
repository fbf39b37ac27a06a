//! What a transaction has to see, where that is all that can be reached along some paths of session order
//! and reads-from, and is told by vector clocks while the transactions are gone through in an order.

use super::clocks::{Clocks, Tick};
use super::{NONE, Node, Registers};

/// A transaction and where it is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub node: Node,
    pub session: u32,
    pub position: u32,
}

/// What the transaction that was entered last has to see.
pub(super) trait Visibility {
    /// Goes on to a transaction; everything that precedes it was left.
    fn enter(&mut self, registers: &Registers, node: Node);

    /// Whether it has to see another transaction.
    fn includes(&self, other: Place) -> bool;

    /// The transaction is done.
    fn leave(&mut self, registers: &Registers, node: Node);
}

/// The causal past: along session order and reads-from.
pub(super) struct CausalPast<T> {
    clocks: Clocks<T>,
    /// Whose past it is.
    session: u32,
}

impl<T: Tick> CausalPast<T> {
    pub fn new(registers: &Registers) -> Self {
        CausalPast {
            clocks: Clocks::new(registers),
            session: 0,
        }
    }
}

impl<T: Tick> Visibility for CausalPast<T> {
    fn enter(&mut self, registers: &Registers, node: Node) {
        self.clocks.enter(registers, node);
        self.session = registers.places[node as usize].0;
    }

    #[inline]
    fn includes(&self, other: Place) -> bool {
        self.clocks.of(self.session)[other.session as usize].get() > other.position
    }

    fn leave(&mut self, registers: &Registers, node: Node) {
        self.clocks.leave(registers, node);
    }
}

/// What somebody had read before something was written that is read: along paths of session order and
/// reads-from that begin and end with reads-from, and have another one of it.
pub(super) struct ReadBefore<T> {
    clocks: Clocks<T>,
    readers: Readers,
    /// The causal past of those that are read from, and themselves.
    past: Vec<T>,
}

impl<T: Tick> ReadBefore<T> {
    pub fn new(registers: &Registers) -> Self {
        ReadBefore {
            clocks: Clocks::new(registers),
            readers: Readers::new(registers),
            past: vec![T::default(); registers.session_count],
        }
    }
}

impl<T: Tick> Visibility for ReadBefore<T> {
    fn enter(&mut self, registers: &Registers, node: Node) {
        self.past.fill(T::default());
        self.clocks.add_reads(registers, node, &mut self.past);
        self.clocks.enter(registers, node);
    }

    fn includes(&self, other: Place) -> bool {
        let mut readers = self.readers.of(other.node).iter();
        readers.any(|(session, first)| self.past[*session as usize].get() > *first)
    }

    fn leave(&mut self, registers: &Registers, node: Node) {
        self.clocks.leave(registers, node);
    }
}

/// For each transaction the sessions that read from it, each with the position where it does so first.
struct Readers {
    starts: Vec<u32>,
    first: Vec<(u32, u32)>,
}

impl Readers {
    fn new(registers: &Registers) -> Self {
        let (starts_of, members) = registers.by_session();
        // For each transaction the session that read from it last.
        let mut last = vec![NONE; registers.transactions()];
        let mut found: Vec<(Node, u32, u32)> = Vec::new();
        for session in 0..registers.session_count {
            let range = starts_of[session] as usize..starts_of[session + 1] as usize;
            for (position, node) in (0..).zip(&members[range]) {
                for writer in registers.sources(*node) {
                    if std::mem::replace(&mut last[writer as usize], session as u32)
                        != session as u32
                    {
                        found.push((writer, session as u32, position));
                    }
                }
            }
        }
        let mut starts = vec![0; registers.transactions() + 1];
        for (writer, ..) in &found {
            starts[*writer as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut first = vec![(0, 0); found.len()];
        for (writer, session, position) in found {
            let at = &mut next[writer as usize];
            first[*at as usize] = (session, position);
            *at += 1;
        }
        Readers { starts, first }
    }

    fn of(&self, node: Node) -> &[(u32, u32)] {
        let at = node as usize;
        &self.first[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}
