//! Vector clocks over the transactions of a history, computed in an order that contains session order
//! and reads-from.
//!
//! A clock lives as long as some transaction is still to read from its owner, so memory is that of the
//! clocks alive at once.

use super::{INITIAL, NONE, Node, Registers};

/// The number of transactions in the longest session.
pub(super) fn longest_session(registers: &Registers) -> u32 {
    let positions = registers.places.iter().map(|(_, position)| position + 1);
    positions.max().unwrap_or(0)
}

/// A number in a clock. Signed, because these can be compared many at a time on every processor.
pub(super) trait Tick: Copy + Ord + Default {
    fn new(count: u32) -> Self;
    fn get(self) -> u32;
}

impl Tick for i16 {
    fn new(count: u32) -> Self {
        count as i16
    }

    fn get(self) -> u32 {
        self as u32
    }
}

impl Tick for i32 {
    fn new(count: u32) -> Self {
        count as i32
    }

    fn get(self) -> u32 {
        self as u32
    }
}

/// The vector clocks: for every session how many of its transactions are in the past.
pub(super) struct Clocks<T> {
    sessions: usize,
    /// For each session the clock of its latest transaction, that one included.
    current: Vec<T>,
    /// The clocks of transactions that somebody is still to read from.
    published: Vec<T>,
    free: Vec<u32>,
    /// For each transaction its clock in `published`, and how many reads are to come.
    slots: Vec<u32>,
    awaited: Vec<u32>,
}

impl<T: Tick> Clocks<T> {
    pub fn new(registers: &Registers) -> Self {
        let mut awaited = vec![0; registers.transactions()];
        for read in &registers.reads {
            if read.writer != INITIAL {
                awaited[read.writer as usize] += 1;
            }
        }
        for (previous, (_, position)) in registers.previous.iter().zip(&registers.places) {
            if leaves_session(*position, *previous) {
                awaited[*previous as usize] += 1;
            }
        }
        Clocks {
            sessions: registers.session_count,
            current: vec![T::default(); registers.session_count * registers.session_count],
            published: Vec::new(),
            free: Vec::new(),
            slots: vec![NONE; registers.transactions()],
            awaited,
        }
    }

    /// A session's clock: the past of the transaction that was entered last there, without itself.
    pub fn of(&self, session: u32) -> &[T] {
        let begin = session as usize * self.sessions;
        &self.current[begin..begin + self.sessions]
    }

    /// Brings the clock of the transaction's session to its past.
    pub fn enter(&mut self, registers: &Registers, node: Node) {
        let width = self.sessions;
        let (session, position) = registers.places[node as usize];
        let begin = session as usize * width;
        let previous = registers.previous[node as usize];
        if leaves_session(position, previous) {
            self.merge(registers, previous, begin);
        }
        for read in registers.reads(node) {
            if read.writer != INITIAL {
                self.merge(registers, read.writer, begin);
            }
        }
    }

    /// Adds those that a transaction reads from, and their past, to a clock. To be asked before the
    /// transaction is entered.
    pub fn add_reads(&self, registers: &Registers, node: Node, clock: &mut [T]) {
        for read in registers.reads(node) {
            if read.writer == INITIAL {
                continue;
            }
            let (session, position) = registers.places[read.writer as usize];
            if clock[session as usize].get() <= position {
                let slot = self.slots[read.writer as usize] as usize * self.sessions;
                let published = &self.published[slot..slot + self.sessions];
                for (known, new) in clock.iter_mut().zip(published) {
                    *known = (*known).max(*new);
                }
            }
        }
    }

    /// Adds the past of a transaction to a session's clock, and the transaction.
    fn merge(&mut self, registers: &Registers, from: Node, begin: usize) {
        let (other, position) = registers.places[from as usize];
        // What is in the past already brings nothing new.
        if self.current[begin + other as usize].get() <= position {
            let slot = self.slots[from as usize] as usize * self.sessions;
            let published = &self.published[slot..slot + self.sessions];
            let current = &mut self.current[begin..begin + self.sessions];
            for (known, new) in current.iter_mut().zip(published) {
                *known = (*known).max(*new);
            }
        }
        let awaited = &mut self.awaited[from as usize];
        *awaited -= 1;
        if *awaited == 0 {
            self.free.push(self.slots[from as usize]);
        }
    }

    /// Adds the transaction itself to its session's clock, and keeps a copy for its readers.
    pub fn leave(&mut self, registers: &Registers, node: Node) {
        let width = self.sessions;
        let (session, position) = registers.places[node as usize];
        let begin = session as usize * width;
        self.current[begin + session as usize] = T::new(position + 1);
        if self.awaited[node as usize] > 0 {
            let slot = match self.free.pop() {
                Some(slot) => slot,
                None => {
                    let slot = self.published.len() / width;
                    self.published
                        .resize(self.published.len() + width, T::default());
                    slot as u32
                }
            };
            self.slots[node as usize] = slot;
            let at = slot as usize * width;
            self.published[at..at + width].copy_from_slice(&self.current[begin..begin + width]);
        }
    }
}

/// Whether it is a transaction of unknown outcome: it has a session of its own, and its past is that of
/// the session in which it was tried.
fn leaves_session(position: u32, previous: Node) -> bool {
    position == 0 && previous != NONE
}
