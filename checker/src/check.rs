//! The verdict on a whole history.

use squall_protocol::plan::Workload;
use squall_protocol::verdict::Verdict;

use crate::log::history::History;
use crate::log::index::Index;
use crate::log::operations::OperationLog;
use crate::rules::strict_serializability;
use crate::workload::conclude::{MAX_KEYS, too_large};
use crate::workload::counts::counts;
use crate::workload::judges::Judges;
use crate::workload::ledger::Ledger;
use crate::workload::mww;

/// Judges a history by the properties of its workload.
pub fn check(history: &History) -> Verdict {
    let counts = counts(history);
    if history.header.keys > MAX_KEYS {
        return too_large(&history.header, counts);
    }
    match history.header.workload {
        Workload::Mww | Workload::Ledger => mww::check(history, counts, |end| {
            let mut findings = Vec::new();
            if history.header.workload == Workload::Ledger {
                let mut log = OperationLog::new(&history.header);
                let mut ledger = Ledger::new(&history.header);
                for record in &history.records {
                    let update = log.push(&record.event);
                    ledger.push(&log, &record.event, &update);
                }
                findings = ledger.into_findings(log, end);
            }
            findings.extend(strict_serializability::judge_whole(history));
            findings
        }),
        Workload::ListAppend | Workload::Gset | Workload::Counter => {
            let mut judges = Judges::new(&history.header);
            for record in &history.records {
                judges.push(&record.event);
            }
            judges.verdict(Index::new(history), history, counts)
        }
    }
}
