//! The verdict on a whole history.

use squall_protocol::verdict::Verdict;

use crate::log::history::History;
use crate::log::index::Index;
use crate::workload::conclude::{MAX_KEYS, too_large};
use crate::workload::counts::counts;
use crate::workload::judges::Judges;

/// Judges a history by the properties of its workload.
pub fn check(history: &History) -> Verdict {
    let counts = counts(history);
    if history.header.keys > MAX_KEYS {
        return too_large(&history.header, counts);
    }
    let index = Index::new(history);
    let mut judges = Judges::new(&history.header);
    for record in &history.records {
        judges.push(&record.event, Some(&index));
    }
    judges.settle(Some(&index));
    judges.verdict(index, history, counts)
}
