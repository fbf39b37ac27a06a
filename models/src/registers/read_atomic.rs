//! *Read atomic*: a transaction sees all or nothing of another one, and everything of its own
//! session.
//!
//! For every transaction *t3* that reads *x* from *t1*, and every other *t2* that writes *x* and
//! precedes *t3* in its session or is read by *t3*: *t2* commits before *t1*.
//!
//! Algorithm: the session is a matter of `read_your_writes`. For every transaction that *t3* reads from,
//! intersect what it writes with what *t3* reads, at the cost of the smaller of the two.

use super::commit_order::{Axiom, Demand};
use super::read_your_writes::ReadYourWrites;
use super::{NONE, Node, Registers};

pub(super) struct ReadAtomic;

impl Axiom for ReadAtomic {
    fn demands(registers: &Registers, order: &[Node], mut tell: impl FnMut(Demand)) {
        ReadYourWrites::demands(registers, order, &mut tell);
        of_reads(registers, tell);
    }
}

/// What must be seen since the transaction itself reads from it.
fn of_reads(registers: &Registers, mut tell: impl FnMut(Demand)) {
    // For each key the reader that the entry is for, and from whom it reads.
    let mut read_from: Vec<(Node, Node)> = vec![(NONE, NONE); registers.key_count];
    let mut seen: Vec<Node> = vec![NONE; registers.transactions()];
    for reader in registers.nodes() {
        let reads = registers.reads(reader);
        for read in reads {
            read_from[read.key as usize] = (reader, read.writer);
        }
        for from in registers.sources(reader) {
            if std::mem::replace(&mut seen[from as usize], reader) == reader {
                continue;
            }
            let mut demand = |key: u32, to: Node| {
                if to != from {
                    tell(Demand {
                        reader,
                        key,
                        from,
                        to,
                    });
                }
            };
            let writes = registers.writes(from);
            if writes.len() <= reads.len() {
                for key in writes {
                    let (of, to) = read_from[*key as usize];
                    if of == reader {
                        demand(*key, to);
                    }
                }
            } else {
                for read in reads {
                    if writes.binary_search(&read.key).is_ok() {
                        demand(read.key, read.writer);
                    }
                }
            }
        }
    }
}
