//! What happened, in numbers.

use squall_protocol::fault::Fault;
use squall_protocol::history::Event;
use squall_protocol::verdict::{Counts, FaultCounts};

use crate::log::history::History;

/// Counts what happened in a history.
pub(crate) fn counts(history: &History) -> Counts {
    let mut counts = Counts::default();
    for record in &history.records {
        count(&mut counts, &record.event);
    }
    counts
}

/// Counts an event.
pub(crate) fn count(counts: &mut Counts, event: &Event) {
    match event {
        Event::Ok { effects, .. } => {
            counts.ok += 1;
            let elements = effects.collections.iter().flatten();
            let elements: usize = elements
                .map(|(_, text)| text.split_whitespace().count())
                .sum();
            counts.rows_read += (effects.reads.len() + elements) as u64;
            counts.rows_written += effects.writes.len() as u64;
        }
        Event::Fail { .. } => counts.fail += 1,
        Event::Malformed { .. } => counts.ok += 1,
        Event::Info { .. } => counts.info += 1,
        Event::FaultBegin { fault, .. } => of_kind(counts, fault).caused += 1,
        Event::FaultSkipped { fault, .. } => of_kind(counts, fault).skipped += 1,
        Event::FaultGivenUp { fault, .. } => {
            let faults = of_kind(counts, fault);
            faults.given_up += 1;
            // It had begun, unless somebody has cut the history.
            faults.caused = faults.caused.saturating_sub(1);
        }
        _ => {}
    }
}

fn of_kind<'c>(counts: &'c mut Counts, fault: &Fault) -> &'c mut FaultCounts {
    counts.faults.entry(fault.kind().to_owned()).or_default()
}
