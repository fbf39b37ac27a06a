//! Which transactions of other sessions a read shows.
//!
//! A read shows the transaction *t* when one of its values was written by *t*. What a read has to
//! hold because of *t* only grows along *t*'s session, so for every read and every other session the
//! latest transaction that the read shows is all that matters.

use crate::log::index::Index;
use crate::log::trace::{OperationIndex, Source};

/// For each operation the reads for which it is the latest of its session that they show.
pub(crate) struct Shown {
    /// Where an operation's reads begin in `reads`; one more than there are operations.
    starts: Vec<u32>,
    reads: Vec<u32>,
}

impl Shown {
    pub fn new(index: &Index) -> Self {
        let mut pairs: Vec<(OperationIndex, u32)> = Vec::new();
        // The latest operation of each session that the current read shows, and which these are.
        let mut latest: Vec<Option<OperationIndex>> = vec![None; index.sessions.len()];
        let mut sessions = Vec::new();
        for (number, read) in index.reads.iter().enumerate() {
            for source in index.sources(read) {
                let Source::Operation(writer) = source else {
                    continue;
                };
                let session = index.operations[writer as usize].session;
                if session == read.session {
                    continue;
                }
                if latest[session].is_none() {
                    sessions.push(session);
                }
                latest[session] = latest[session].max(Some(writer));
            }
            for session in sessions.drain(..) {
                pairs.extend(latest[session].take().map(|writer| (writer, number as u32)));
            }
        }
        // A counting sort by operation.
        let mut starts = vec![0; index.operations.len() + 1];
        for (writer, _) in &pairs {
            starts[*writer as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut reads = vec![0; pairs.len()];
        for (writer, read) in pairs {
            let at = &mut next[writer as usize];
            reads[*at as usize] = read;
            *at += 1;
        }
        Shown { starts, reads }
    }

    /// The indexes of the reads for which `operation` is the latest of its session.
    pub fn reads(&self, operation: OperationIndex) -> impl Iterator<Item = usize> + '_ {
        let at = operation as usize;
        self.reads[self.starts[at] as usize..self.starts[at + 1] as usize]
            .iter()
            .map(|read| *read as usize)
    }
}
