//! From findings to a verdict.

use squall_protocol::history::Header;
use squall_protocol::verdict::{
    Counts, Judgement, Property, PropertyVerdict, VERDICT_VERSION, Verdict,
};

use super::properties::properties;
use crate::findings::Findings;
use crate::log::index::Index;
use crate::rules::malformed;

/// The highest number of rows for which the checker makes arrays. A header may claim any number.
pub const MAX_KEYS: u32 = 1 << 20;

/// The verdict from everything that was found.
pub(crate) fn conclude(index: Index, mut findings: Vec<Findings>, counts: Counts) -> Verdict {
    if index.tried_to_write() <= 1 {
        let mut findings = findings.iter_mut();
        if let Some(follow) = findings.find(|f| f.is_untested(Property::WritesFollowReads)) {
            follow.does_not_apply("only one session writes, so no write follows one of another's");
        }
    }
    malformed::judge(index.records, &mut findings);
    let in_doubt = !index.complete_and_untroubled() || findings.iter().any(Findings::leaves_doubt);
    let verdicts: Vec<PropertyVerdict> = findings.into_iter().map(Findings::into_verdict).collect();
    let violated = verdicts
        .iter()
        .any(|verdict| verdict.judgement == Judgement::Violation);
    debug_assert!(
        verdicts
            .iter()
            .map(|verdict| verdict.property)
            .eq(properties(index.header))
    );
    Verdict {
        squall_verdict: VERDICT_VERSION,
        judgement: if violated {
            Judgement::Violation
        } else if in_doubt {
            Judgement::Unknown
        } else {
            Judgement::Ok
        },
        properties: verdicts,
        counts,
        notes: index.into_notes(),
    }
}

/// The verdict on a history with more rows than the checker has room for.
pub(crate) fn too_large(header: &Header, counts: Counts) -> Verdict {
    let why = format!(
        "nothing was judged: the header claims {} rows, and the checker takes {MAX_KEYS} at most",
        header.keys
    );
    Verdict {
        squall_verdict: VERDICT_VERSION,
        judgement: Judgement::Unknown,
        properties: properties(header)
            .map(|property| Findings::new(property).into_verdict())
            .collect(),
        counts,
        notes: vec![why],
    }
}
