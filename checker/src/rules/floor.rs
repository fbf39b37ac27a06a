//! For each row the lowest value that a read may return, and why.

use squall_protocol::transaction::{Key, Value};

use crate::findings::Findings;
use crate::findings::explain::Stale;
use crate::findings::names;
use crate::log::index::{Index, Read};
use crate::log::trace::Source;

/// For each row the lowest value that a read may return, with the evidence for it.
pub(crate) struct Floor<E> {
    entries: Vec<Option<(Value, E)>>,
    /// The rows that have an entry.
    touched: Vec<Key>,
}

/// A read that is below a floor.
pub(crate) struct Below<E> {
    pub key: Key,
    /// What was read; none if the row was missing.
    pub value: Option<Value>,
    /// What should have been read at least, and why.
    pub floor: Value,
    pub evidence: E,
}

impl<E> Below<E> {
    /// The same for an explanation.
    pub fn stale(&self, index: &Index, read: &Read) -> Stale {
        Stale {
            reader: names::reader(index, read),
            key: self.key,
            value: self.value,
            floor: self.floor,
        }
    }
}

impl<E: Copy> Floor<E> {
    pub fn new(key_count: usize) -> Self {
        Floor {
            entries: vec![None; key_count],
            touched: Vec::new(),
        }
    }

    /// From now on the row may not be lower than `value`.
    pub fn raise(&mut self, key: Key, value: Value, evidence: E) {
        // Rows that do not exist have no entry; they are a matter of no-thin-air-read.
        let Some(entry) = self.entries.get_mut(key as usize) else {
            return;
        };
        match entry {
            None => {
                *entry = Some((value, evidence));
                self.touched.push(key);
            }
            Some((floor, _)) if *floor < value => *entry = Some((value, evidence)),
            Some(_) => {}
        }
    }

    pub fn get(&self, key: Key) -> Option<(Value, E)> {
        self.entries.get(key as usize).copied().flatten()
    }

    /// The rows that have a floor, in the order in which they got one.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.touched.iter().copied()
    }

    pub fn clear(&mut self) {
        for key in self.touched.drain(..) {
            self.entries[key as usize] = None;
        }
    }

    /// Compares a read with the floor, row by row, and tells of every row that is below it. A value
    /// that came from nowhere is left to no-thin-air-read.
    pub fn compare(
        &self,
        index: &Index,
        read: &Read,
        findings: &mut Findings,
        mut report: impl FnMut(&mut Findings, Below<E>),
    ) {
        if self.touched.is_empty() {
            return;
        }
        let mut exercised = 0;
        for ((key, value), source) in read.rows.iter().zip(index.sources(read)) {
            if let Some((floor, evidence)) = self.get(*key)
                && !matches!(source, Source::Nowhere | Source::Ambiguous)
            {
                exercised += 1;
                if *value < floor {
                    report(
                        findings,
                        Below {
                            key: *key,
                            value: Some(*value),
                            floor,
                            evidence,
                        },
                    );
                }
            }
        }
        if !read.is_complete() {
            for key in self.keys().filter(|key| read.lacks(*key)) {
                if let Some((floor, evidence)) = self.get(key) {
                    exercised += 1;
                    report(
                        findings,
                        Below {
                            key,
                            value: None,
                            floor,
                            evidence,
                        },
                    );
                }
            }
        }
        findings.exercise(exercised);
    }
}
