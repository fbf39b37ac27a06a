//! Which properties a history is judged by.

use squall_protocol::history::Header;
use squall_protocol::plan::Workload;
use squall_protocol::verdict::Property;

use crate::rules::{counters, strict_serializability};

/// The properties that a history is judged by, in the order in which they are reported.
pub fn properties(header: &Header) -> impl Iterator<Item = Property> {
    let (all, more): (&[Property], &[Property]) = match header.workload {
        Workload::Mww => (&Property::ALL, &[]),
        Workload::Ledger => (&Property::ALL, &Property::LEDGER),
        Workload::ListAppend | Workload::Gset => (&Property::ALL, &Property::COLLECTIONS),
        Workload::Counter => (&counters::PROPERTIES, &[]),
    };
    let payload = header.payload.then_some(Property::PayloadIntact);
    let one_copy =
        strict_serializability::applies(header).then_some(Property::StrictSerializability);
    let all = all.iter().chain(more).copied();
    all.chain(payload).chain(one_copy)
}
