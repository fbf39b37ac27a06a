//! *Strong convergence*: when everything is quiet, every replica holds the same rows, and in each
//! row the highest value that was acknowledged.
//!
//! Compared are the final reads of PostgreSQL and of every client that has recovered and drained its
//! queue; whether a client gets there is a matter of liveness, judged by
//! [`recovery`](super::recovery). Clients on one SQLite file are compared with one another, and clients
//! that never connect with nobody. For each row let *e* be the highest value that any of these final
//! reads returned or that any of these clients wrote and got acknowledged. A replica that holds less
//! than *e* violates the property: it lacks a write that was lost, or that another replica has. A
//! write whose answer was lost may be there or not, but if it is anywhere it must be everywhere.

use std::collections::BTreeMap;

use squall_protocol::transaction::{Key, Value};
use squall_protocol::verdict::Property;

use super::recovery::Recovery;
use super::versions::Versions;
use crate::findings::Findings;
use crate::findings::explain::Stale;
use crate::log::index::{Index, Share};
use crate::log::operations::Operation;
use crate::log::trace::OperationIndex;

pub(crate) fn judge(index: &Index, recovery: &Recovery) -> Findings {
    let mut findings = Findings::new(Property::StrongConvergence);
    for (share, replicas) in replicas(index, recovery, &mut findings) {
        compare(index, recovery, share, &replicas, &mut findings);
    }
    findings
}

/// Compares the final reads of those who share their data.
fn compare(
    index: &Index,
    recovery: &Recovery,
    share: Share,
    replicas: &[usize],
    findings: &mut Findings,
) {
    // What was acknowledged, and what is held: by which replica's read.
    let exists = |key: &Key| *key < index.header.keys;
    let mut acknowledged: Versions<OperationIndex> = Versions::default();
    for number in acknowledged_by_settled(index, recovery, share) {
        let written = index.possible_writes(number).iter().copied();
        for key in written.filter(exists) {
            acknowledged.raise(key, index.value(number), 0, number);
        }
    }
    let mut held: Versions<usize> = Versions::default();
    for replica in replicas {
        let rows = index.reads[*replica].rows.iter();
        for (key, value) in rows.filter(|(key, _)| exists(key)) {
            held.raise(*key, *value, 0, *replica);
        }
    }

    let mut values: Vec<Option<Value>> = vec![None; index.key_count];
    for replica in replicas {
        let read = &index.reads[*replica];
        values.fill(None);
        for (key, value) in read.rows {
            if let Some(entry) = values.get_mut(*key as usize) {
                *entry = Some(*value);
            }
        }
        for key in 0..index.key_count as Key {
            let value = values[key as usize];
            let below = |floor: Value| value.is_none_or(|value| value < floor);
            let written = acknowledged.latest(key).filter(|(floor, _)| below(*floor));
            let elsewhere = held.latest(key).filter(|(floor, _)| below(*floor));
            findings.exercise(1);
            let stale = |floor| Stale {
                reader: index.log.reader(read),
                key,
                value,
                floor,
            };
            if let Some((floor, writer)) = written {
                findings.violate(read.completed, || {
                    stale(floor).lost_write(index.log.operation_step(writer))
                });
            } else if let Some((floor, other)) = elsewhere {
                findings.violate(read.completed, || {
                    let other = &index.reads[other];
                    let writer = index.log.writer_step(other, key, floor);
                    stale(floor).diverged(index.log.reader(other), writer)
                });
            }
        }
    }
}

/// The operations that a settled client of that share has acknowledged and still holds.
pub(crate) fn acknowledged_by_settled<'i>(
    index: &'i Index,
    recovery: &'i Recovery,
    share: Share<'i>,
) -> impl Iterator<Item = OperationIndex> + 'i {
    let acknowledged = move |operation: &Operation| {
        let Some(client) = index.sessions[operation.session].client else {
            return false;
        };
        // What was not uploaded when a database was lost is gone with it: see storage-intact.
        let kept = index.clients[client].session == operation.session;
        operation.committed()
            && kept
            && recovery.settled(client)
            && index.clients[client].share() == share
    };
    index
        .operations()
        .filter(move |(_, operation)| acknowledged(operation))
        .map(|(number, _)| number)
}

/// The final reads that are compared, of each share by itself. Notes those that are missing or left
/// out.
pub(crate) fn replicas<'i>(
    index: &'i Index,
    recovery: &Recovery,
    findings: &mut Findings,
) -> BTreeMap<Share<'i>, Vec<usize>> {
    let mut replicas: BTreeMap<Share, Vec<usize>> = BTreeMap::new();
    match index.postgres_read {
        Some(read) => replicas.entry(Share::Synced).or_default().push(read),
        None if index.is_synced() => findings.doubt(format!(
            "PostgreSQL's final read is missing{}",
            because(index.postgres_read_error)
        )),
        None => {}
    }
    for (number, client) in index.clients.iter().enumerate() {
        let final_read = index.sessions[client.session].final_read;
        match final_read {
            Some(Ok(read)) if recovery.settled(number) => {
                replicas.entry(client.share()).or_default().push(read);
            }
            None | Some(Err(_)) => findings.doubt(format!(
                "the final read of {} is missing{}",
                client.name,
                because(final_read.and_then(Result::err))
            )),
            Some(Ok(_)) => {
                let why = if recovery.recovered[number] {
                    "its queue was not seen to drain"
                } else {
                    "it did not recover"
                };
                let text = format!("{} is left out, since {why}", client.name);
                // A client that is known not to recover is a violation elsewhere.
                if index.complete_and_untroubled() {
                    findings.remark(text);
                } else {
                    findings.doubt(text);
                }
            }
        }
    }
    let members = |share| {
        index
            .clients
            .iter()
            .filter(move |c| c.share() == share)
            .count()
    };
    // Where there is one client only, and nobody it shares its data with, there is nothing to compare;
    // but what it acknowledged has to be there.
    let several = index.is_synced() || members(Share::File) > 1;
    if several && !replicas.values().any(|reads| reads.len() >= 2) {
        findings.doubt("there are not two final reads to compare".to_owned());
    }
    replicas
}

fn because(error: Option<&str>) -> String {
    error.map_or(String::new(), |error| format!(" ({error})"))
}
