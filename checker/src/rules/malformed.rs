//! Answers that make no sense: a column that is missing, a text where a number belongs. Nobody wrote that,
//! whatever it is, so it counts as a read of thin air; what else the operation has read is not known.

use squall_protocol::history::{Event, Record};
use squall_protocol::verdict::{Property, Violation};

use crate::findings::Finding;
use crate::findings::Findings;

/// Adds the malformed answers of a history to what was found.
pub(crate) fn judge(records: &[Record], findings: &mut [Findings]) {
    let mut findings = findings.iter_mut();
    let Some(thin_air) = findings.find(|f| f.is_of(Property::NoThinAirRead)) else {
        return;
    };
    for (place, record) in records.iter().enumerate() {
        if let Some(violation) = violation(&record.event) {
            thin_air.exercise(1);
            thin_air.violate(place, || violation);
        }
    }
}

/// The violation that the event is, if it is one.
pub(crate) fn found(event: &Event) -> Option<Finding> {
    violation(event).map(|violation| Finding {
        property: Property::NoThinAirRead,
        violation,
    })
}

fn violation(event: &Event) -> Option<Violation> {
    let Event::Malformed {
        client,
        operation,
        error,
    } = event
    else {
        return None;
    };
    Some(Violation {
        summary: format!(
            "{client}'s operation {operation} committed and read what makes no sense: {error}"
        ),
        operations: vec![*operation],
        evidence: Vec::new(),
    })
}
