//! The two properties of liveness. Each names only who is late itself.
//!
//! *Queue drained*: after the heal every syncing client reports that its upload queue is empty and that
//! the server has acknowledged everything; the report must come after the client's last write, which is its
//! probe. A queue is late when it makes no progress for as long as the deadline that the header names
//! (see [`queue`]). One that still makes progress at the end is unknown.
//!
//! *Recovered in time*: a syncing client is connected to the service within the deadline after the heal,
//! and every client reads all at once every probe that committed: in each row that a probe wrote, the
//! probe's value or a higher one. What counts as seeing a probe in a workload of lists or sets is said
//! there. The deadline counts from when all was there: the probes had left the queues of those who wrote
//! them, and the client's own queue was drained. What never left its writer's queue nobody else is judged
//! by. The probes that a client has to see are those of the clients that it shares its data with: through
//! PostgreSQL, or through one file. A client that never connects has to see its own.
//!
//! Something that never came is a violation only if the history goes on to its proper end, past the
//! deadline, and no trouble of the infrastructure could have held it up. Otherwise it is unknown.
//!
//! Cost: linear in the records after the heal, times the clients for probes.

mod queue;

use std::collections::{BTreeMap, HashMap};

use squall_protocol::history::Event;
use squall_protocol::verdict::{Property, Violation};

use super::versions::Versions;
use crate::findings::Findings;
use crate::findings::explain;
use crate::log::index::{Index, Session, Share};
use crate::log::operations::{Found, Operation};
use crate::log::trace::{OperationIndex, Source};
use queue::Queue;

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

    /// The clients that have recovered and drained their queues, and whom each shares its data with.
    pub fn all_settled<'i>(&self, index: &'i Index) -> HashMap<&'i str, Share<'i>> {
        let clients = index.clients.iter().enumerate();
        clients
            .filter(|(number, _)| self.settled(*number))
            .map(|(_, client)| (client.name.as_str(), client.share()))
            .collect()
    }
}

/// What the properties of another workload's end are judged by.
pub(crate) struct End<'n> {
    /// The clients that have recovered and drained their queues, and whom each shares its data with.
    pub settled: HashMap<&'n str, Share<'n>>,
    /// Whether there is a PostgreSQL that clients share.
    pub synced: bool,
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
    fn unseen(
        &mut self,
        read: &Found,
        probes: &[OperationIndex],
    ) -> Result<Option<Unseen>, NotRead>;
}

/// A read was not of everything that the probes wrote.
pub(crate) struct NotRead;

/// In `mww` the value of a probe, or a higher one, must be in every row that it wrote.
pub(crate) struct InRows<'i, 'h> {
    index: &'i Index<'h>,
    /// What the probes that were asked for last demand.
    probes: Vec<OperationIndex>,
    demanded: Versions<OperationIndex>,
}

impl<'i, 'h> InRows<'i, 'h> {
    pub fn new(index: &'i Index<'h>) -> Self {
        InRows {
            index,
            probes: Vec::new(),
            demanded: Versions::default(),
        }
    }
}

impl Probes for InRows<'_, '_> {
    fn unseen(
        &mut self,
        read: &Found,
        probes: &[OperationIndex],
    ) -> Result<Option<Unseen>, NotRead> {
        let (log, demanded) = (&self.index.log, &mut self.demanded);
        if self.probes != probes {
            self.probes = probes.to_vec();
            *demanded = Versions::default();
            for probe in probes {
                let written = self.index.possible_writes(*probe).iter();
                for key in written.filter(|key| **key < log.keys) {
                    demanded.raise(*key, self.index.value(*probe), 0, *probe);
                }
            }
        }
        if !demanded.keys().all(|key| read.asked.contains(key)) {
            return Err(NotRead);
        }
        let lower = read.rows.iter().find(|(key, value)| {
            let place = (read.operation, read.completed);
            demanded
                .latest(*key)
                .is_some_and(|(floor, _)| *value < floor)
                && log.trace(place, *key, *value).is_ok_and(Source::is_known)
        });
        let first = lower.copied().map(|(key, value)| (key, Some(value)));
        let first = first.or_else(|| {
            let present = read.present(log.keys).1?;
            let mut keys = demanded.keys();
            let missing = keys.find(|key| present.binary_search(key).is_err());
            missing.map(|key| (key, None))
        });
        Ok(first.and_then(|(key, value)| {
            let (floor, probe) = demanded.latest(key)?;
            Some(Unseen {
                probe,
                what: explain::row(key, floor),
                instead: explain::row_or_none(key, value),
            })
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
    let deadline = index.header.recovery_deadline_ms.saturating_mul(1000);
    let after = AfterHeal {
        index,
        healed,
        deadline,
        queues: Queue::all(index, healed, deadline),
        connected: connected(index, healed),
    };
    after.queue_drained(&mut recovery);
    after.recovered_in_time(probes, &mut recovery);
    for findings in [&mut recovery.queue_drained, &mut recovery.recovered_in_time] {
        if !index.complete_and_untroubled() {
            findings.doubt("the history is not complete, or there was trouble".to_owned());
        }
    }
    recovery
}

/// Of each client the first record after the heal that reports a connection to the service; an error
/// if it reported anything but that, and nothing if it reported nothing.
fn connected<'h>(index: &Index<'h>, healed: usize) -> HashMap<&'h str, Result<usize, ()>> {
    let mut connected: HashMap<&str, _> = HashMap::new();
    for (record, entry) in index.records.iter().enumerate().skip(healed) {
        if let Event::Status { client, status } = &entry.event {
            let first = connected.entry(client).or_insert(Err(()));
            if status.connected && first.is_err() {
                *first = Ok(record);
            }
        }
    }
    connected
}

/// The time after the heal.
struct AfterHeal<'i, 'h> {
    index: &'i Index<'h>,
    /// The index of the record that began the heal.
    healed: usize,
    /// How long a client may take for something, in microseconds.
    deadline: u64,
    /// By client.
    queues: Vec<Queue>,
    connected: HashMap<&'i str, Result<usize, ()>>,
}

impl AfterHeal<'_, '_> {
    fn queue_drained(&self, recovery: &mut Recovery) {
        let index = self.index;
        for (number, client) in index.clients.iter().enumerate() {
            if !client.syncs() {
                recovery.drained[number] = true;
                continue;
            }
            let queue = &self.queues[number];
            recovery.drained[number] = queue.drained.is_some();
            let findings = &mut recovery.queue_drained;
            match (queue.late, queue.drained) {
                (Some((record, pause)), _) => self.late(findings, record, || {
                    format!(
                        "{}'s upload queue made progress only after {}",
                        client.name,
                        seconds(pause)
                    )
                }),
                (None, Some(record)) => {
                    findings.exercise(1);
                    let took = index.time(record) - index.time(self.healed);
                    if took > self.deadline
                        && let Some(speed) = queue.speed()
                    {
                        findings.remark(format!(
                            "{}'s upload queue took {} but never stood still for longer than {}: {speed}",
                            client.name,
                            seconds(took),
                            seconds(self.deadline)
                        ));
                    }
                }
                (None, None) => {}
            }
            if queue.drained.is_some() {
                continue;
            }
            let stood = index.end.saturating_sub(queue.progressed);
            if stood < self.deadline {
                findings.doubt(match queue.speed() {
                    Some(speed) => format!(
                        "{}'s upload queue was not drained at the end, but made progress until {} \
                         before it: {speed}",
                        client.name,
                        seconds(stood)
                    ),
                    None => format!("{}'s upload queue was not drained yet", client.name),
                });
                continue;
            }
            self.never(findings, Vec::new(), || {
                let state = match queue.last {
                    Some(report) => format!(
                        "its last status shows {} rows in it and {} acknowledged, and it made no \
                         progress in the last {}",
                        report.rows,
                        if report.acknowledged {
                            "all"
                        } else {
                            "not all"
                        },
                        seconds(stood)
                    ),
                    None => "there is no status of it after the heal".to_owned(),
                };
                format!("{}'s upload queue was never drained: {state}", client.name)
            });
        }
    }

    /// When a client has what it needs to see the probes of others: it is connected, and no upload of its
    /// own keeps it from taking in what comes. None if that never was.
    fn able(&self, client: usize) -> Option<u64> {
        let index = self.index;
        let mut able = index.time(self.healed);
        if index.clients[client].syncs() {
            match self.connected.get(index.clients[client].name.as_str()) {
                Some(Ok(record)) => able = able.max(index.time(*record)),
                Some(Err(())) => return None,
                None => {}
            }
            let queue = &self.queues[client];
            match queue.drained {
                Some(record) => able = able.max(index.time(record)),
                None if queue.last.is_some() => return None,
                None => {}
            }
        }
        Some(able)
    }

    /// Whether the client is still busy with its upload queue at the end, and makes progress.
    fn is_draining(&self, client: usize) -> bool {
        let queue = &self.queues[client];
        self.index.clients[client].syncs()
            && queue.drained.is_none()
            && self.index.end.saturating_sub(queue.progressed) < self.deadline
    }

    /// The time from which on others can see a probe; none while it is in its client's queue, where
    /// nobody else can be blamed for it.
    fn available(&self, probe: OperationIndex) -> Option<u64> {
        let index = self.index;
        let operation = &index.log.operations[probe as usize];
        let completed = operation.order;
        let client = index.sessions[operation.session].client?;
        if !index.clients[client].syncs() {
            return Some(index.time(completed));
        }
        let name = index.clients[client].name.as_str();
        let mut waits = self.queues[client].last.is_some_and(|last| last.rows > 0);
        for record in &index.records[completed..] {
            if let Event::Status { client, status } = &record.event
                && client == name
            {
                if status.queue == 0 {
                    return Some(record.time);
                }
                waits = true;
            }
        }
        // Who reported nothing is not excused by that.
        (!waits).then(|| index.time(completed))
    }

    fn recovered_in_time(&self, seeing: &mut dyn Probes, recovery: &mut Recovery) {
        let index = self.index;
        let findings = &mut recovery.recovered_in_time;
        // Of each kind of shared data the probes, with when they could be seen.
        let mut probes: BTreeMap<Share, Vec<(OperationIndex, Option<u64>)>> = BTreeMap::new();
        let mut probed = vec![false; index.clients.len()];
        let mut writes = vec![false; index.clients.len()];
        let client = |operation: &Operation| index.sessions[operation.session].client;
        for operation in &index.log.operations {
            if let Some(client) = client(operation) {
                writes[client] |= operation.writes();
            }
        }
        for probe in index.probes.iter().copied() {
            let operation = &index.log.operations[probe as usize];
            let Some(client) = client(operation).filter(|_| operation.committed()) else {
                continue;
            };
            let available = self.available(probe);
            if available.is_none() {
                findings.remark(format!(
                    "the probe of {} was still in its queue, and nobody else is judged by it",
                    index.clients[client].name
                ));
            }
            let share = index.clients[client].share();
            probes.entry(share).or_default().push((probe, available));
            probed[client] = true;
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
        for (number, client) in index.clients.iter().enumerate() {
            let probes = probes.get(&client.share()).map_or(&[][..], Vec::as_slice);
            let all: Vec<OperationIndex> = probes.iter().map(|(probe, _)| *probe).collect();
            let available: Vec<OperationIndex> = probes
                .iter()
                .filter(|(_, available)| available.is_some())
                .map(|(probe, _)| *probe)
                .collect();
            let seen = self.first_read(number, &available, seeing);
            recovery.recovered[number] = match all.len() == available.len() {
                true => seen.is_ok(),
                false => self.first_read(number, &all, seeing).is_ok(),
            };
            let findings = &mut recovery.recovered_in_time;
            if let Some(first) = self
                .connected
                .get(client.name.as_str())
                .filter(|_| client.syncs())
            {
                self.reconnected(&client.name, *first, findings);
            }
            if available.is_empty() {
                continue;
            }
            let able = self.able(number);
            let times = probes.iter().filter_map(|(_, available)| *available);
            let from = times
                .chain(able)
                .fold(index.time(self.healed), |latest, time| latest.max(time));
            match seen {
                Ok(read) => {
                    let record = index.reads[read].completed;
                    let took = index.time(record).saturating_sub(from);
                    if took <= self.deadline {
                        findings.exercise(1);
                    } else {
                        self.late(findings, record, || {
                            format!(
                                "{} saw all probes only after {}",
                                client.name,
                                seconds(took)
                            )
                        });
                    }
                }
                Err(last) => {
                    let (what, operations) = match last {
                        Some((read, unseen)) => lacking(index, read, &unseen),
                        None => (
                            "it did not read at all after the heal".to_owned(),
                            Vec::new(),
                        ),
                    };
                    if self.is_draining(number) {
                        findings.doubt(format!(
                            "{} was still busy with its upload queue, and saw not all probes",
                            client.name
                        ));
                    } else if index.end.saturating_sub(from) < self.deadline {
                        findings.doubt(format!("{} had not yet seen all probes", client.name));
                    } else {
                        self.never(findings, operations, || {
                            format!("{} never saw all probes: {what}", client.name)
                        });
                    }
                }
            }
        }
    }

    /// The client's first read after the heal that shows the probes; otherwise its last one, and what that
    /// lacks.
    fn first_read(
        &self,
        client: usize,
        probes: &[OperationIndex],
        seeing: &mut dyn Probes,
    ) -> Result<usize, Option<(usize, Unseen)>> {
        let index = self.index;
        let mut last = None;
        let of_client = |session: &&Session| session.client == Some(client);
        for session in index.sessions.iter().filter(of_client) {
            for read_index in &session.reads {
                let read = &index.reads[*read_index];
                if read.completed < self.healed {
                    continue;
                }
                match seeing.unseen(read, probes) {
                    Ok(None) => return Ok(*read_index),
                    Ok(Some(unseen)) => last = Some((*read_index, unseen)),
                    Err(NotRead) => {}
                }
            }
        }
        Err(last)
    }

    /// A client that reports its state was connected to the service again in time, or not.
    fn reconnected(&self, name: &str, first: Result<usize, ()>, findings: &mut Findings) {
        let healed = self.index.time(self.healed);
        match first {
            Ok(record) => {
                let took = self.index.time(record) - healed;
                if took > self.deadline {
                    self.late(findings, record, || {
                        format!(
                            "{name} was connected to the service only after {}",
                            seconds(took)
                        )
                    });
                }
            }
            Err(()) if self.index.end.saturating_sub(healed) < self.deadline => {
                findings.doubt(format!("{name} was not connected to the service yet"));
            }
            Err(()) => self.never(findings, Vec::new(), || {
                format!("{name} was never connected to the service after the heal")
            }),
        }
    }

    /// Something came too late, as the record shows.
    fn late(&self, findings: &mut Findings, record: usize, what: impl FnOnce() -> String) {
        if self.index.troubled {
            findings.doubt(what());
            return;
        }
        findings.exercise(1);
        findings.violate(record, || Violation {
            summary: format!("{}; the deadline was {}.", what(), seconds(self.deadline)),
            operations: Vec::new(),
            evidence: Vec::new(),
        });
    }

    /// Something did not come until the end, past its deadline.
    fn never(&self, findings: &mut Findings, operations: Vec<u64>, what: impl FnOnce() -> String) {
        if !self.index.complete_and_untroubled() {
            findings.doubt(what());
            return;
        }
        findings.exercise(1);
        findings.violate(self.index.records.len(), || Violation {
            summary: format!("{}.", what()),
            operations,
            evidence: Vec::new(),
        });
    }
}

/// A probe that a client's last read does not show.
fn lacking(index: &Index, read: usize, unseen: &Unseen) -> (String, Vec<u64>) {
    let reader = index.log.reader(&index.reads[read]);
    let writer = index.log.operation_step(unseen.probe);
    let what = format!(
        "{} wrote {} in {}, but at last, in {}, it had {}",
        writer.client,
        unseen.what,
        explain::place(&writer),
        explain::place(&reader),
        unseen.instead,
    );
    let mut operations: Vec<u64> = [writer, reader]
        .into_iter()
        .filter_map(|s| s.operation)
        .collect();
    operations.dedup();
    (what, operations)
}

fn seconds(microseconds: u64) -> String {
    format!("{:.1} s", microseconds as f64 / 1e6)
}
