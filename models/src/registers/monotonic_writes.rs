//! *Monotonic writes*: who sees a write of a session sees what the session had written before. (Terry et
//! al., Session Guarantees for Weakly Consistent Replicated Data, PDIS 1994: a database that holds a
//! write holds the earlier writes of the same session, in this order.)
//!
//! For every transaction *t3* that reads *x* from *t1*, and every other *t2* that writes *x* and
//! precedes in its session one that *t3* reads from: *t2* commits before *t1*. See
//! `session_guarantees` for what the four have in common; to see a transaction as a whole is a matter
//! of `read_atomic`.
//!
//! Algorithm: of each session from which *t3* reads, the latest transaction counts from which it does,
//! and of the writers of *x* that precede that one the latest, since the others precede it (or the one
//! with the highest version, where that one wins). For a transaction of *r* reads from *s* sessions
//! these are *r* · *s* searches, mostly near the last one of the same key and session.

use std::cell::Cell;
use std::ops::Range;

use super::commit_order::{Axiom, Demand};
use super::near::partition_point;
use super::{Merge, NONE, Node, Registers};

pub(super) struct MonotonicWrites;

impl Axiom for MonotonicWrites {
    fn demands(registers: &Registers, _: &[Node], mut tell: impl FnMut(Demand)) {
        let writers = Writers::new(registers);
        // For each session the reader that the entry is for, and how many of the session's
        // transactions it has to see.
        let mut counts: Vec<(Node, u32)> = vec![(NONE, 0); registers.session_count];
        let mut sessions: Vec<u32> = Vec::new();
        for reader in registers.nodes() {
            sessions.clear();
            for writer in registers.sources(reader) {
                let Some((session, count)) = before(registers, writer) else {
                    continue;
                };
                let entry = &mut counts[session as usize];
                if entry.0 != reader {
                    *entry = (reader, count);
                    sessions.push(session);
                } else {
                    entry.1 = entry.1.max(count);
                }
            }
            for read in registers.reads(reader) {
                for session in &sessions {
                    let count = counts[*session as usize].1;
                    if let Some(from) = writers.last(read.key, *session, count)
                        && from != read.writer
                    {
                        tell(Demand {
                            reader,
                            key: read.key,
                            from,
                            to: read.writer,
                        });
                    }
                }
            }
        }
    }
}

/// The session of what precedes a transaction in session order, and how much it is; if it is anything.
fn before(registers: &Registers, node: Node) -> Option<(u32, u32)> {
    let previous = registers.previous[node as usize];
    if previous == NONE {
        return None;
    }
    // What is of unknown outcome has a session of its own, after what preceded it in another.
    let (session, position) = registers.places[previous as usize];
    Some((session, position + 1))
}

/// The writers of each key by session and position; where the highest version wins, only those that
/// raise it in their session.
struct Writers {
    /// Where each key's sessions begin in `sessions`; one more than there are keys.
    starts: Vec<u32>,
    /// Sessions that write a key, ascending for each key.
    sessions: Vec<SessionOfKey>,
    /// Session, position and transaction.
    writers: Vec<(u32, u32, Node)>,
}

struct SessionOfKey {
    session: u32,
    /// The place of its writers of the key in [`Writers::writers`].
    writers: Range<u32>,
    /// How many of these there were when they were last counted.
    near: Cell<u32>,
}

impl Writers {
    fn new(registers: &Registers) -> Self {
        let mut starts = vec![0; registers.key_count + 1];
        for key in &registers.writes {
            starts[*key as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut ends = starts[..registers.key_count].to_vec();
        let mut writers = vec![(0, 0, NONE); registers.writes.len()];
        let (_, members) = registers.by_session();
        for node in members {
            let (session, position) = registers.places[node as usize];
            for key in registers.writes(node) {
                let (start, end) = (starts[*key as usize], &mut ends[*key as usize]);
                let last: Option<(u32, u32, Node)> =
                    (*end > start).then(|| writers[*end as usize - 1]);
                let hidden = registers.merge == Merge::PerKey
                    && last.is_some_and(|(of, _, last)| {
                        of == session
                            && registers.version_written(last, *key)
                                > registers.version_written(node, *key)
                    });
                if !hidden {
                    writers[*end as usize] = (session, position, node);
                    *end += 1;
                }
            }
        }
        let mut sessions = Vec::new();
        for (start, end) in starts.iter_mut().zip(&ends) {
            let mut at = std::mem::replace(start, sessions.len() as u32);
            let of_key = &writers[at as usize..*end as usize];
            for of_session in of_key.chunk_by(|one, other| one.0 == other.0) {
                let begin = at;
                at += of_session.len() as u32;
                sessions.push(SessionOfKey {
                    session: of_session[0].0,
                    writers: begin..at,
                    near: Cell::new(0),
                });
            }
        }
        if let Some(end) = starts.last_mut() {
            *end = sessions.len() as u32;
        }
        Writers {
            starts,
            sessions,
            writers,
        }
    }

    /// The last one to write a key, of so many first transactions of a session.
    fn last(&self, key: u32, session: u32, count: u32) -> Option<Node> {
        let at = key as usize;
        let sessions = &self.sessions[self.starts[at] as usize..self.starts[at + 1] as usize];
        let found = sessions.binary_search_by_key(&session, |of_key| of_key.session);
        let SessionOfKey { writers, near, .. } = &sessions[found.ok()?];
        let writers = &self.writers[writers.start as usize..writers.end as usize];
        let end = partition_point(writers, near.get() as usize, |(_, at, _)| *at < count);
        near.set(end as u32);
        Some(writers[end.checked_sub(1)?].2)
    }
}
