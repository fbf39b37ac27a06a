//! *Read committed*: once a transaction has read something of another one, it does not read anything
//! that the other one had overwritten.
//!
//! For every transaction *t3* and two reads of it, first anything from *t2*, later *x* from *t1*: if
//! *t2* ≠ *t1* writes *x*, then *t2* commits before *t1*.
//!
//! Algorithm: go through the reads of a transaction backwards, and remember for every key the
//! earliest two different transactions from which it is read later. A derived edge is needed only to
//! the earliest one that is not *t2* itself: the later ones follow from it, because reading *x* from
//! one and later from another derives the edge between those two (AWDIT, PLDI 2025).

use super::commit_order::{Axiom, Demand};
use super::{INITIAL, NONE, Node, Registers};

pub(super) struct ReadCommitted;

impl Axiom for ReadCommitted {
    fn demands(registers: &Registers, _: &[Node], mut tell: impl FnMut(Demand)) {
        // For each key: the transaction that the entry is for, and the earliest two writers from which
        // the rest of the transaction reads the key.
        let mut later: Vec<(Node, Node, Node)> = vec![(NONE, NONE, NONE); registers.key_count];
        // The transaction in which this one was looked at last.
        let mut first_read: Vec<(Node, u32)> = vec![(NONE, 0); registers.transactions()];
        let mut keys = Vec::new();
        for reader in registers.nodes() {
            let reads = registers.reads(reader);
            for (place, read) in (0..).zip(reads) {
                for from in registers.shown(read) {
                    if *from != INITIAL && first_read[*from as usize].0 != reader {
                        first_read[*from as usize] = (reader, place);
                    }
                }
            }
            keys.clear();
            for (place, read) in reads.iter().enumerate().rev() {
                for from in registers.shown(read).iter().copied() {
                    // Where a transaction is read from first, everything that is read later counts.
                    if from == INITIAL || first_read[from as usize].1 != place as u32 {
                        continue;
                    }
                    let writes = registers.writes(from);
                    let mut overwrite = |key: u32| {
                        let (of, first, second) = later[key as usize];
                        if of == reader {
                            let to = if first == from { second } else { first };
                            if to != NONE {
                                tell(Demand {
                                    reader,
                                    key,
                                    from,
                                    to,
                                });
                            }
                        }
                    };
                    if writes.len() <= keys.len() {
                        writes.iter().for_each(|key| overwrite(*key));
                    } else {
                        let written = |key: &&u32| writes.binary_search(key).is_ok();
                        keys.iter().filter(written).for_each(|key| overwrite(*key));
                    }
                }
                let entry = &mut later[read.key as usize];
                if entry.0 != reader {
                    *entry = (reader, read.writer, NONE);
                    keys.push(read.key);
                } else if entry.1 != read.writer {
                    *entry = (reader, read.writer, entry.1);
                }
            }
        }
    }
}
