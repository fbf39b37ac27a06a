//! The two properties of liveness. Both count from the heal, when every fault is over, and give every
//! client the deadline that the header names.
//!
//! *Queue drained*: every syncing client reports, in time, that its upload queue is empty and that
//! the server has acknowledged everything. The report must come after the client's last write, which
//! is its probe.
//!
//! *Recovered in time*: every client reads, in time and all at once, every probe that committed: in
//! each row that a probe wrote, the probe's value or a higher one. What counts as seeing a probe in a
//! workload of lists or sets is said there. The probes that a client has to see are those of the clients
//! that it shares its data with: through PostgreSQL, or through one file. A client that never
//! connects has to see its own.
//!
//! Something that never came is a violation only if the history goes on to its proper end, past the
//! deadline, and no trouble of the infrastructure could have held it up. Otherwise it is unknown.

use std::collections::BTreeMap;

use squall_protocol::control::ClientStatus;
use squall_protocol::history::Event;
use squall_protocol::verdict::{Property, Violation};

use super::explain;
use super::floor::Floor;
use super::index::{Index, OperationIndex, Outcome, Read, Share};
use super::words;
use crate::evidence::Findings;

/// What is known about the clients after the heal.
pub(crate) struct Recovery {
    pub queue_drained: Findings,
    pub recovered_in_time: Findings,
    /// For each client whether it has read every probe at last, be it in time or not.
    pub recovered: Vec<bool>,
    /// For each client whether all its writes have reached the server at last.
    pub drained: Vec<bool>,
}

impl Recovery {
    /// Whether the client has recovered and all its writes have reached the server.
    pub fn settled(&self, client: usize) -> bool {
        self.recovered[client] && self.drained[client]
    }
}

/// The time that clients have to recover.
struct Allowance {
    /// The index of the record that began the heal.
    healed: usize,
    /// The time of the heal, and of the deadline, in microseconds.
    from: u64,
    until: u64,
    /// Whether what is missing at the end of the history counts as late.
    conclusive: bool,
}

/// Something of a probe that a read does not show.
pub(crate) struct Unseen {
    /// The probe.
    pub probe: OperationIndex,
    /// The row or element of it, and what the read had instead.
    pub what: String,
    pub instead: String,
}

/// Which probes a read shows: that of the workload.
pub(crate) trait Probes {
    /// The first thing that the read lacks of those probes. An error if the read was not of everything
    /// that the probes wrote.
    fn unseen(&mut self, read: &Read, probes: &[OperationIndex])
    -> Result<Option<Unseen>, NotRead>;
}

/// A read was not of everything that the probes wrote.
pub(crate) struct NotRead;

/// In `mww` the value of a probe, or a higher one, must be in every row that it wrote.
pub(crate) struct InRows<'i, 'h> {
    index: &'i Index<'h>,
    /// What the probes that were asked for last demand.
    probes: Vec<OperationIndex>,
    floor: Floor<OperationIndex>,
}

impl<'i, 'h> InRows<'i, 'h> {
    pub fn new(index: &'i Index<'h>) -> Self {
        InRows {
            index,
            probes: Vec::new(),
            floor: Floor::new(index.key_count),
        }
    }
}

impl Probes for InRows<'_, '_> {
    fn unseen(
        &mut self,
        read: &Read,
        probes: &[OperationIndex],
    ) -> Result<Option<Unseen>, NotRead> {
        let (index, floor) = (self.index, &mut self.floor);
        if self.probes != probes {
            self.probes = probes.to_vec();
            floor.clear();
            for probe in probes {
                let value = index.operations[*probe as usize].transaction.value;
                for key in index.certain_writes(*probe) {
                    floor.raise(key, value, *probe);
                }
            }
        }
        if !floor.keys().all(|key| read.asked.contains(key)) {
            return Err(NotRead);
        }
        let mut first = None;
        let mut ignored = Findings::new(Property::RecoveredInTime);
        floor.compare(index, read, &mut ignored, |_, below| {
            first.get_or_insert(below);
        });
        Ok(first.map(|below| Unseen {
            probe: below.evidence,
            what: explain::row(below.key, below.floor),
            instead: match below.value {
                Some(value) => explain::row(below.key, value),
                None => format!("no row k{}", below.key),
            },
        }))
    }
}

pub(crate) fn judge(index: &Index, probes: &mut dyn Probes) -> Recovery {
    let mut recovery = Recovery {
        queue_drained: Findings::new(Property::QueueDrained),
        recovered_in_time: Findings::new(Property::RecoveredInTime),
        recovered: vec![false; index.clients.len()],
        drained: vec![false; index.clients.len()],
    };
    if !index.clients.iter().any(|client| client.syncs()) {
        recovery
            .queue_drained
            .does_not_apply("no client of this fleet has an upload queue");
    }
    let Some(healed) = index.healed else {
        let why = "the history ends before the heal";
        recovery.queue_drained.doubt(why.to_owned());
        recovery.recovered_in_time.doubt(why.to_owned());
        return recovery;
    };
    let from = index.time(healed);
    let until = from.saturating_add(index.header.recovery_deadline_ms.saturating_mul(1000));
    let allowance = Allowance {
        healed,
        from,
        until,
        conclusive: index.complete_and_untroubled() && index.end >= until,
    };
    queue_drained(index, &allowance, &mut recovery);
    recovered_in_time(index, &allowance, probes, &mut recovery);
    for findings in [&mut recovery.queue_drained, &mut recovery.recovered_in_time] {
        if !index.complete_and_untroubled() {
            findings.doubt("the history is not complete, or there was trouble".to_owned());
        }
    }
    recovery
}

fn queue_drained(index: &Index, allowance: &Allowance, recovery: &mut Recovery) {
    let last_writes = last_writes(index);
    let mut statuses: Vec<Vec<(usize, &ClientStatus)>> = vec![Vec::new(); index.clients.len()];
    let names: std::collections::HashMap<&str, usize> = index
        .clients
        .iter()
        .enumerate()
        .map(|(number, client)| (client.name, number))
        .collect();
    for (record, entry) in index.records.iter().enumerate().skip(allowance.healed) {
        if let Event::Status { client, status } = &entry.event {
            statuses[names[client.as_str()]].push((record, status));
        }
    }
    for (number, client) in index.clients.iter().enumerate() {
        if !client.syncs() {
            recovery.drained[number] = true;
            continue;
        }
        let drained = statuses[number].iter().find(|(record, status)| {
            *record > last_writes[number] && status.queue == 0 && status.acknowledged
        });
        recovery.drained[number] = drained.is_some();
        let findings = &mut recovery.queue_drained;
        match drained {
            Some((record, _)) => {
                allowance.arrived(index, *record, findings, || {
                    format!("{}'s upload queue was drained", client.name)
                });
            }
            None => {
                let state = match statuses[number].last() {
                    Some((_, status)) => format!(
                        "its last status shows {} rows in it and {} acknowledged",
                        status.queue,
                        if status.acknowledged {
                            "all"
                        } else {
                            "not all"
                        },
                    ),
                    None => "there is no status of it after the heal".to_owned(),
                };
                allowance.never(index, findings, Vec::new(), || {
                    format!("{}'s upload queue was never drained: {state}", client.name)
                });
            }
        }
    }
}

/// For each client the record in which it last acknowledged a write.
fn last_writes(index: &Index) -> Vec<usize> {
    let mut last = vec![0; index.clients.len()];
    for operation in &index.operations {
        if let Outcome::Ok {
            completed, writes, ..
        } = operation.outcome
            && (!writes.is_empty() || inserted(&index.records[completed].event))
            && let Some(client) = index.sessions[operation.session].client
        {
            last[client] = last[client].max(completed);
        }
    }
    last
}

/// Whether the operation inserted a row in the ledger, which is uploaded even when nothing else is.
fn inserted(event: &Event) -> bool {
    matches!(event, Event::Ok { ledger: Some(ledger), .. } if ledger.seq.is_some())
}

fn recovered_in_time(
    index: &Index,
    allowance: &Allowance,
    seeing: &mut dyn Probes,
    recovery: &mut Recovery,
) {
    let findings = &mut recovery.recovered_in_time;
    // Of each kind of shared data the probes.
    let mut probes: BTreeMap<Share, Vec<OperationIndex>> = BTreeMap::new();
    let mut probed = vec![false; index.clients.len()];
    let mut writes = vec![false; index.clients.len()];
    for (number, operation) in (0..).zip(&index.operations) {
        let Some(client) = index.sessions[operation.session].client else {
            continue;
        };
        writes[client] |= !operation.transaction.is_read_only();
        if operation.probe && operation.committed() {
            let share = index.clients[client].share();
            probes.entry(share).or_default().push(number);
            probed[client] = true;
        }
    }
    if probes.is_empty() {
        findings.doubt("no probe committed after the heal".to_owned());
        return;
    }
    for (number, client) in index.clients.iter().enumerate() {
        // A client that is there to read has no probe.
        if writes[number] && !probed[number] {
            findings.doubt(format!("{} has no probe that committed", client.name));
        }
    }
    // For each client the first read that shows all probes, and otherwise what the last read lacks.
    let mut complete: Vec<Option<usize>> = vec![None; index.clients.len()];
    let mut last: Vec<Option<(usize, Unseen)>> = Vec::new();
    last.resize_with(index.clients.len(), || None);
    for session in &index.sessions {
        let Some(client) = session.client else {
            continue;
        };
        let probes = probes.get(&index.clients[client].share());
        let probes = probes.map_or(&[][..], Vec::as_slice);
        for read_index in &session.reads {
            let read = &index.reads[*read_index];
            if read.completed < allowance.healed || complete[client].is_some() {
                continue;
            }
            match seeing.unseen(read, probes) {
                Ok(None) => complete[client] = Some(*read_index),
                Ok(Some(unseen)) => last[client] = Some((*read_index, unseen)),
                Err(NotRead) => {}
            }
        }
    }
    for (number, client) in index.clients.iter().enumerate() {
        recovery.recovered[number] = complete[number].is_some();
        match complete[number] {
            Some(read) => {
                allowance.arrived(index, index.reads[read].completed, findings, || {
                    format!("{} saw all probes", client.name)
                });
            }
            None => {
                let (what, operations) = match &last[number] {
                    Some((read, unseen)) => lacking(index, *read, unseen),
                    None => (
                        "it did not read at all after the heal".to_owned(),
                        Vec::new(),
                    ),
                };
                allowance.never(index, findings, operations, || {
                    format!("{} never saw all probes: {what}", client.name)
                });
            }
        }
    }
}

/// A probe that a client's last read does not show.
fn lacking(index: &Index, read: usize, unseen: &Unseen) -> (String, Vec<u64>) {
    let read = &index.reads[read];
    let writer = words::step(index, unseen.probe);
    let what = format!(
        "{} wrote {} in {}, but at last, in {}, it had {}",
        writer.client,
        unseen.what,
        explain::place(&writer),
        explain::place(&words::reader(index, read)),
        unseen.instead,
    );
    let operations = words::numbers(index, [Some(unseen.probe), read.operation]);
    (what, operations)
}

impl Allowance {
    /// Something came, in the record: in time or late.
    fn arrived(
        &self,
        index: &Index,
        record: usize,
        findings: &mut Findings,
        what: impl FnOnce() -> String,
    ) {
        let time = index.time(record);
        let took = time.saturating_sub(self.from);
        if time <= self.until {
            findings.exercise(1);
        } else if index.troubled {
            findings.doubt(format!("{} {} after the heal", what(), seconds(took)));
        } else {
            findings.exercise(1);
            findings.violate(record, || Violation {
                summary: format!(
                    "{} only {} after the heal; the deadline was {}.",
                    what(),
                    seconds(took),
                    seconds(self.until - self.from)
                ),
                operations: Vec::new(),
                evidence: Vec::new(),
            });
        }
    }

    /// Something did not come.
    fn never(
        &self,
        index: &Index,
        findings: &mut Findings,
        operations: Vec<u64>,
        what: impl FnOnce() -> String,
    ) {
        if self.conclusive {
            findings.exercise(1);
            findings.violate(index.records.len(), || Violation {
                summary: format!("{}.", what()),
                operations,
                evidence: Vec::new(),
            });
        } else {
            findings.doubt(what());
        }
    }
}

fn seconds(microseconds: u64) -> String {
    format!("{:.1} s", microseconds as f64 / 1e6)
}
