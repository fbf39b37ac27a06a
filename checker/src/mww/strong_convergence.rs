//! *Strong convergence*: when everything is quiet, every replica holds the same rows, and in each
//! row the highest value that was acknowledged.
//!
//! Compared are the final reads of PostgreSQL and of every client that has recovered and drained its
//! queue; whether a client gets there is a matter of liveness, judged by
//! [`recovery`](super::recovery). For each row let *e* be the highest value that any of these final
//! reads returned or that any of these clients wrote and got acknowledged. A replica that holds less
//! than *e* violates the property: it lacks a write that was lost, or that another replica has. A
//! write whose answer was lost may be there or not, but if it is anywhere it must be everywhere.

use squall_protocol::transaction::{Key, Value};
use squall_protocol::verdict::Property;

use super::explain::Stale;
use super::floor::Floor;
use super::index::{Index, OperationIndex, Outcome};
use super::recovery::Recovery;
use super::words;
use crate::evidence::Findings;

pub(super) fn judge(index: &Index, recovery: &Recovery) -> Findings {
    let mut findings = Findings::new(Property::StrongConvergence);
    let settled: Vec<bool> = (0..index.clients.len())
        .map(|client| recovery.recovered[client] && recovery.drained[client])
        .collect();
    let replicas = replicas(index, recovery, &settled, &mut findings);

    // What was acknowledged, and what is held: by which replica's read.
    let mut acknowledged: Floor<OperationIndex> = Floor::new(index.key_count);
    for (number, operation) in (0..).zip(&index.operations) {
        let session = &index.sessions[operation.session];
        let Some(client) = session.client else {
            continue;
        };
        // What was not uploaded when a database was lost is gone with it: see storage-intact.
        let kept = index.clients[client].session == operation.session;
        if let Outcome::Ok { .. } = operation.outcome
            && settled[client]
            && kept
        {
            for key in index.certain_writes(number) {
                acknowledged.raise(key, operation.transaction.value, number);
            }
        }
    }
    let mut held: Floor<usize> = Floor::new(index.key_count);
    for replica in &replicas {
        for (key, value) in index.reads[*replica].rows {
            held.raise(*key, *value, *replica);
        }
    }

    let mut values: Vec<Option<Value>> = vec![None; index.key_count];
    for replica in &replicas {
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
            let written = acknowledged.get(key).filter(|(floor, _)| below(*floor));
            let elsewhere = held.get(key).filter(|(floor, _)| below(*floor));
            findings.exercise(1);
            let stale = |floor| Stale {
                reader: words::reader(index, read),
                key,
                value,
                floor,
            };
            if let Some((floor, writer)) = written {
                findings.violate(read.completed, || {
                    stale(floor).lost_write(words::step(index, writer))
                });
            } else if let Some((floor, other)) = elsewhere {
                findings.violate(read.completed, || {
                    let other = &index.reads[other];
                    let writer = words::writer(index, other, key, floor);
                    stale(floor).diverged(words::reader(index, other), writer)
                });
            }
        }
    }
    findings
}

/// The final reads that are compared. Notes those that are missing or left out.
fn replicas(
    index: &Index,
    recovery: &Recovery,
    settled: &[bool],
    findings: &mut Findings,
) -> Vec<usize> {
    let mut replicas = Vec::new();
    match index.postgres_read {
        Some(read) => replicas.push(read),
        None => findings.doubt(format!(
            "PostgreSQL's final read is missing{}",
            because(index.postgres_read_error)
        )),
    }
    for (number, client) in index.clients.iter().enumerate() {
        match index.sessions[client.session].final_read {
            Some(read) if settled[number] => replicas.push(read),
            None => findings.doubt(format!(
                "the final read of {} is missing{}",
                client.name,
                because(client.final_read_error)
            )),
            Some(_) => {
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
    if replicas.len() < 2 {
        findings.doubt("there are not two final reads to compare".to_owned());
    }
    replicas
}

fn because(error: Option<&str>) -> String {
    error.map_or(String::new(), |error| format!(" ({error})"))
}
