//! Vector clocks over the transactions of a history, computed in an order that contains session order,
//! reads-from, and the order of the lists that were read.
//!
//! A clock lives as long as some transaction is still to read from its owner, so memory is that of the
//! clocks alive at once.
//!
//! Whoever reads a list has read from everybody who appended to it. So every version of a list has a clock
//! too, which is that of the version before and of the transaction that appended: a read merges one clock,
//! however long the list is. One of them is alive for every list, besides those that are still to be read.

use super::{INITIAL, NONE, Node, Read, Registers};

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
    /// The clocks that are still needed, each in a slot.
    published: Vec<T>,
    free: Vec<u32>,
    /// For each source its slot, and how many are to come that need it.
    slots: Vec<u32>,
    awaited: Vec<u32>,
    /// For each list the slot of its latest version so far, or [`NONE`].
    latest: Vec<u32>,
}

/// What has a clock that others merge: a transaction, or after all of these a version of a list, as the
/// write that made it.
fn source(registers: &Registers, read: &Read) -> usize {
    match registers.list_version(read) {
        Some(write) => registers.transactions() + write,
        None => read.writer as usize,
    }
}

impl<T: Tick> Clocks<T> {
    pub fn new(registers: &Registers) -> Self {
        let sources = registers.transactions() + registers.list_places.len();
        let mut awaited = vec![0; sources];
        for read in &registers.reads {
            if read.writer != INITIAL {
                awaited[source(registers, read)] += 1;
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
            slots: vec![NONE; sources],
            awaited,
            latest: vec![NONE; registers.lists.len()],
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
            self.merge(registers, previous as usize, begin);
        }
        for read in registers.reads(node) {
            if read.writer != INITIAL {
                self.merge(registers, source(registers, read), begin);
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
            let from = source(registers, read);
            if brings_something(registers, from, clock) {
                join(clock, self.published(self.slots[from]));
            }
        }
    }

    fn published(&self, slot: u32) -> &[T] {
        let at = slot as usize * self.sessions;
        &self.published[at..at + self.sessions]
    }

    /// Adds the past of a source to a session's clock, and itself.
    fn merge(&mut self, registers: &Registers, from: usize, begin: usize) {
        let current = &mut self.current[begin..begin + self.sessions];
        if brings_something(registers, from, current) {
            let at = self.slots[from] as usize * self.sessions;
            join(current, &self.published[at..at + self.sessions]);
        }
        let awaited = &mut self.awaited[from];
        *awaited -= 1;
        if *awaited == 0 {
            self.free.push(self.slots[from]);
        }
    }

    /// Adds the transaction itself to its session's clock, and keeps a copy for its readers.
    pub fn leave(&mut self, registers: &Registers, node: Node) {
        let width = self.sessions;
        let (session, position) = registers.places[node as usize];
        let begin = session as usize * width;
        self.current[begin + session as usize] = T::new(position + 1);
        if self.awaited[node as usize] > 0 {
            let slot = self.slot();
            self.slots[node as usize] = slot;
            let at = slot as usize * width;
            self.published[at..at + width].copy_from_slice(&self.current[begin..begin + width]);
        }
        if !registers.lists.is_empty() {
            self.leave_lists(registers, node, begin);
        }
    }

    /// Makes the versions of lists that end with what the transaction has appended.
    fn leave_lists(&mut self, registers: &Registers, node: Node, begin: usize) {
        let width = self.sessions;
        let first = registers.write_starts[node as usize] as usize;
        for (write, key) in (first..).zip(registers.writes(node)) {
            let place = registers.list_places[write];
            if place == 0 {
                continue;
            }
            let key = *key as usize;
            if self.latest[key] == NONE {
                let slot = self.slot();
                self.latest[key] = slot;
                let at = slot as usize * width;
                self.published[at..at + width].fill(T::default());
            }
            let latest = self.latest[key];
            let at = latest as usize * width;
            join(
                &mut self.published[at..at + width],
                &self.current[begin..begin + width],
            );
            let version = registers.transactions() + write;
            if self.awaited[version] > 0 {
                let slot = self.slot();
                self.slots[version] = slot;
                self.published
                    .copy_within(at..at + width, slot as usize * width);
            }
            let list = registers.lists[key].as_ref();
            if list.is_none_or(|list| list.writers.len() == place as usize) {
                self.latest[key] = NONE;
                self.free.push(latest);
            }
        }
    }

    /// A slot that is free, with anything in it.
    fn slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            let slot = self.published.len() / self.sessions;
            let length = self.published.len() + self.sessions;
            self.published.resize(length, T::default());
            slot as u32
        })
    }
}

/// Whether a clock may lack something of a source's. What is in it already brings nothing new.
fn brings_something<T: Tick>(registers: &Registers, from: usize, clock: &[T]) -> bool {
    let transaction = registers.places.get(from);
    transaction.is_none_or(|(session, position)| clock[*session as usize].get() <= *position)
}

fn join<T: Tick>(clock: &mut [T], other: &[T]) {
    for (known, new) in clock.iter_mut().zip(other) {
        *known = (*known).max(*new);
    }
}

/// Whether it is a transaction of unknown outcome: it has a session of its own, and its past is that of
/// the session in which it was tried.
fn leaves_session(position: u32, previous: Node) -> bool {
    position == 0 && previous != NONE
}
