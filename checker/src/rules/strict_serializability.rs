//! *Strict serializability*, where there is only one copy of the data: clients on one SQLite file, a
//! client that never connects, one syncing client (or the tabs of one browser) alone, or PostgreSQL clients at the
//! level SERIALIZABLE. Elsewhere a client may see what others have done late, and the property is no part of
//! the verdict.
//!
//! Rows as registers, lists or sets are judged by [`Model::StrictSerializability`], with the records as
//! the clock. When an emission of a live query began is not known.

use squall_protocol::history::Header;
use squall_protocol::plan::{ClientSpec, Isolation, Store, Workload};
use squall_protocol::verdict::Property;

use crate::findings::Findings;
use crate::log::history::History;
use crate::log::transactions;
use crate::rules::by_model;
use squall_models::recording::Recording;
use squall_models::registers::Model;

/// Whether there is only one copy of the data, as far as the fleet tells.
pub(crate) fn applies(header: &Header) -> bool {
    if header.workload == Workload::Counter {
        // A sum does not say what it is read from.
        return false;
    }
    let clients = header.clients.iter();
    let stores: Vec<Store> = clients.map(|client| client.kind.store()).collect();
    let all = |of: Store| !stores.is_empty() && stores.iter().all(|store| *store == of);
    let first = header.clients.first().map(ClientSpec::device);
    let mut clients = header.clients.iter();
    let one_device = first.is_some() && clients.all(|client| Some(client.device()) == first);
    all(Store::SharedFile)
        || (one_device && matches!(stores[0], Store::Alone | Store::Synced))
        || (all(Store::Postgres) && header.isolation == Isolation::Serializable)
}

/// Judges a recording of one copy; `records` is the length of its history.
pub(crate) fn judge(recording: &Recording, records: usize) -> Findings {
    by_model::judge(
        Property::StrictSerializability,
        Model::StrictSerializability,
        recording,
        records,
        |_| true,
    )
}

/// Judges the history, if there is only one copy of the data.
pub(crate) fn judge_whole(history: &History) -> Option<Findings> {
    applies(&history.header)
        .then(|| judge(&transactions::recording(history), history.records.len()))
}
