//! *Storage intact*: every client's database passed SQLite's integrity check, and is the same database
//! as at the beginning. A check is expected of every syncing client.

use squall_protocol::history::Event;
use squall_protocol::verdict::Property;

use crate::findings::{Finding, Findings, explain};
use crate::log::index::{Client, Index};

pub(crate) fn judge(index: &Index) -> Findings {
    let mut findings = Findings::new(Property::StorageIntact);
    for lost in &index.lost_databases {
        findings.exercise(1);
        findings.violate(lost.record, || {
            explain::lost_database(lost.client, &lost.before, lost.after)
        });
    }
    let mut checked: std::collections::BTreeSet<&str> = std::collections::BTreeSet::new();
    for (place, record) in index.records.iter().enumerate() {
        if let Event::Integrity { client, report } = &record.event {
            checked.insert(client);
            findings.exercise(1);
            if let Some(violation) = explain::broken_database(client, report) {
                findings.violate(place, || violation);
            }
        }
    }
    let expected = |client: &&Client| client.syncs();
    if checked.is_empty()
        && index.lost_databases.is_empty()
        && !index.clients.iter().any(|client| expected(&client))
    {
        findings.does_not_apply("no database of this fleet's clients is checked");
    }
    for client in index.clients.iter().filter(expected) {
        if !checked.contains(client.name.as_str()) {
            findings.doubt(format!("the database of {} was not checked", client.name));
        }
    }
    findings
}

/// The violation that an event is, if it is one; `lost` is the identity of the database that its client has lost
/// by it.
pub(crate) fn found(event: &Event, lost: Option<&str>) -> Option<Finding> {
    let violation = match event {
        Event::Integrity { client, report } => explain::broken_database(client, report),
        Event::IncarnationStart {
            client, session, ..
        } => lost.map(|before| explain::lost_database(client, before, session)),
        _ => None,
    };
    violation.map(|violation| Finding {
        property: Property::StorageIntact,
        violation,
    })
}
