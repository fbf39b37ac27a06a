//! What a reader did not understand, and left out: nothing is left out without a word.

use serde::{Deserialize, Serialize};

/// Things of one kind that were left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// What they are.
    pub what: String,
    pub count: u64,
    /// Where the first one is.
    pub first: String,
    /// Whether no verdict can depend on them. Else nothing is ok: they may have had any effect.
    pub harmless: bool,
}

/// Counts one more; `first` is where it is.
pub fn skip(
    skipped: &mut Vec<Skipped>,
    what: &'static str,
    harmless: bool,
    first: impl FnOnce() -> String,
) {
    let same = |known: &&mut Skipped| known.what == what && known.harmless == harmless;
    match skipped.iter_mut().find(same) {
        Some(known) => known.count += 1,
        None => skipped.push(Skipped {
            what: what.to_owned(),
            count: 1,
            first: first(),
            harmless,
        }),
    }
}
