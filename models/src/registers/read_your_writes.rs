//! *Read your writes*: a transaction sees what its own session has written before. (Terry et al., Session
//! Guarantees for Weakly Consistent Replicated Data, PDIS 1994: a read sees a database that holds the
//! earlier writes of its session.)
//!
//! For every transaction *t3* that reads *x* from *t1*, and every other *t2* that writes *x* and
//! precedes *t3* in its session: *t2* commits before *t1*. See `session_guarantees` for what the four
//! have in common. Within a transaction every model demands it.
//!
//! Algorithm: of the session's earlier writers of *x* only the latest counts, since the others precede
//! it; or the one with the highest version, where that one wins. Linear.

use super::commit_order::{Axiom, Demand};
use super::{Merge, NONE, Node, Registers};

pub(super) struct ReadYourWrites;

impl Axiom for ReadYourWrites {
    fn demands(registers: &Registers, _: &[Node], mut tell: impl FnMut(Demand)) {
        let (starts, members) = registers.by_session();
        // For each key the session that the entry is for, its latest writer, and that of the highest
        // version. Where the highest wins the latest is still for `read_atomic`, which has a commit order.
        let mut written: Vec<(u32, Node, Node)> = vec![(NONE, NONE, NONE); registers.key_count];
        for session in 0..registers.session_count {
            let range = starts[session] as usize..starts[session + 1] as usize;
            for node in &members[range] {
                for read in registers.reads(*node) {
                    let (of, latest, highest) = written[read.key as usize];
                    let mut missed = |from: Node| {
                        if of == session as u32 && from != read.writer {
                            tell(Demand {
                                reader: *node,
                                key: read.key,
                                from,
                                to: read.writer,
                            });
                        }
                    };
                    missed(highest);
                    if latest != highest {
                        missed(latest);
                    }
                }
                for key in registers.writes(*node) {
                    let entry = &mut written[*key as usize];
                    let hidden = registers.merge == Merge::PerKey
                        && entry.0 == session as u32
                        && registers.version_written(entry.2, *key)
                            > registers.version_written(*node, *key);
                    let highest = if hidden { entry.2 } else { *node };
                    *entry = (session as u32, *node, highest);
                }
            }
        }
    }
}
