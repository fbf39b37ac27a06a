//! *Storage intact*: every syncing client's database passed SQLite's integrity check, and is the
//! same database as at the beginning.

use squall_protocol::history::Event;
use squall_protocol::verdict::Property;

use super::explain;
use super::index::Index;
use crate::evidence::Findings;

pub(super) fn judge(index: &Index) -> Findings {
    let mut findings = Findings::new(Property::StorageIntact);
    if !index.clients.iter().any(|client| client.syncs()) {
        findings.does_not_apply("no client of this fleet has a database of its own");
        return findings;
    }
    for lost in &index.lost_databases {
        findings.exercise(1);
        findings.violate(lost.record, || {
            explain::lost_database(index.clients[lost.client].name, lost.before, lost.after)
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
    for client in index.clients.iter().filter(|client| client.syncs()) {
        if !checked.contains(client.name) {
            findings.doubt(format!("the database of {} was not checked", client.name));
        }
    }
    findings
}
