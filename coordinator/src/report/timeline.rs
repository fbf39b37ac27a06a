//! What the report's timeline shows, read off a history: per client its incarnations, faults,
//! operations and upload queue over time. Pure data; the drawing is in `html.rs`.

use std::collections::BTreeMap;

use squall_checker::History;
use squall_protocol::history::{Event, Phase};

/// The whole timeline. Times are microseconds since the run began.
#[derive(Debug, Default)]
pub struct Timeline {
    pub end: u64,
    /// Where each phase begins.
    pub phases: Vec<(u64, Phase)>,
    /// The clients in the order of the fleet, then the servers that were hit by faults.
    pub lanes: Vec<Lane>,
    pub troubles: Vec<u64>,
}

/// The part of one client or server.
#[derive(Debug, Default)]
pub struct Lane {
    pub name: String,
    /// From when to when an incarnation was ready for transactions.
    pub incarnations: Vec<(u64, u64)>,
    /// From when to when a fault was on, and its name.
    pub faults: Vec<(u64, u64, String)>,
    /// When operations ended, and how.
    pub operations: Vec<(u64, Ending)>,
    /// The upload queue's length whenever it was reported.
    pub queue: Vec<(u64, u64)>,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Ok,
    Fail,
    Info,
}

impl Timeline {
    /// Reads a timeline off a history, in one pass.
    pub fn of(history: &History) -> Timeline {
        let mut timeline = Timeline {
            end: history.records.last().map_or(0, |record| record.time),
            lanes: history
                .header
                .clients
                .iter()
                .map(|client| Lane::of(&client.name))
                .collect(),
            ..Timeline::default()
        };
        let index: BTreeMap<&str, usize> = history
            .header
            .clients
            .iter()
            .enumerate()
            .map(|(index, client)| (client.name.as_str(), index))
            .collect();
        let end = timeline.end;
        // What is open goes on until the end unless it is closed.
        let mut open_faults: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for record in &history.records {
            let time = record.time;
            let lane = |client: &str| index.get(client).copied();
            match &record.event {
                Event::Phase(phase) => timeline.phases.push((time, *phase)),
                Event::Trouble { .. } => timeline.troubles.push(time),
                Event::IncarnationStart { client, .. } => {
                    if let Some(lane) = lane(client) {
                        timeline.lanes[lane].incarnations.push((time, end));
                    }
                }
                Event::IncarnationEnd { client, .. } => {
                    if let Some(lane) = lane(client)
                        && let Some(last) = timeline.lanes[lane].incarnations.last_mut()
                    {
                        last.1 = time;
                    }
                }
                Event::FaultBegin {
                    number,
                    victim,
                    fault,
                } => {
                    let lane = timeline.lane(victim);
                    let faults = &mut timeline.lanes[lane].faults;
                    open_faults.insert(*number, (lane, faults.len()));
                    faults.push((time, end, fault.kind().to_owned()));
                }
                Event::FaultEnd { number, .. } => {
                    if let Some((lane, fault)) = open_faults.remove(number) {
                        timeline.lanes[lane].faults[fault].1 = time;
                    }
                }
                Event::Status { client, status } => {
                    if let Some(lane) = lane(client) {
                        timeline.lanes[lane].queue.push((time, status.queue));
                    }
                }
                Event::Ok { client, .. }
                | Event::Malformed { client, .. }
                | Event::Fail { client, .. }
                | Event::Info { client, .. } => {
                    let ending = match &record.event {
                        Event::Ok { .. } | Event::Malformed { .. } => Ending::Ok,
                        Event::Fail { .. } => Ending::Fail,
                        _ => Ending::Info,
                    };
                    if let Some(lane) = lane(client) {
                        timeline.lanes[lane].operations.push((time, ending));
                    }
                }
                _ => {}
            }
        }
        timeline
    }

    /// The lane of that name, a new one if there is none.
    fn lane(&mut self, name: &str) -> usize {
        let found = self.lanes.iter().position(|lane| lane.name == name);
        found.unwrap_or_else(|| {
            self.lanes.push(Lane::of(name));
            self.lanes.len() - 1
        })
    }
}

impl Lane {
    fn of(name: &str) -> Lane {
        Lane {
            name: name.to_owned(),
            ..Lane::default()
        }
    }
}
