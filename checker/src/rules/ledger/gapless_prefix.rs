//! *Gapless prefix*: of every client a read shows the transactions 1, 2, … n. Within a session n never
//! falls, and of the session's own clients it is at least the number of its last transaction that
//! committed; where several tabs work on one database, as far as that had ended when the read began. PostgreSQL's
//! final read shows the rows in the order in which they were inserted, which is that same order.
//!
//! Algorithm: per session and client the highest number shown so far; what a read shows beyond it must
//! follow on without a gap up to the highest number that the read tells, and that must be the count. A
//! read may count only the rows above some number: a row below it that vanishes and comes back before all
//! are counted again goes unnoticed.

use std::collections::{BTreeMap, HashMap};

use squall_protocol::ledger::ClientLedger;
use squall_protocol::verdict::Property;

use super::log::Read;
use crate::findings::explain::in_words as violation;
use crate::findings::{Finding, Findings};
use crate::log::operations::OperationLog;
use crate::rules::versions::latest_before;

#[derive(Clone)]
pub(crate) struct GaplessPrefix {
    pub findings: Findings,
    sessions: Vec<Session>,
    /// Of each database that siblings work on, by client: how the number of its transactions grew that some session
    /// knew of, with the operation by which it did.
    shared: HashMap<usize, HashMap<String, Vec<(usize, Known)>>>,
}

/// The number of a client's transactions, and the operation that has shown it; none for a final read.
type Known = (i64, Option<u64>);

#[derive(Clone, Default)]
struct Session {
    /// For each client the highest number shown so far.
    held: BTreeMap<String, i64>,
    /// The number of the session's own last transaction, and the operation.
    own: Option<(i64, u64)>,
}

impl GaplessPrefix {
    pub fn new() -> Self {
        GaplessPrefix {
            findings: Findings::new(Property::GaplessPrefix),
            sessions: Vec::new(),
            shared: HashMap::new(),
        }
    }

    pub fn judge(&mut self, read: &Read, log: &OperationLog, found: &mut Vec<Finding>) {
        if self.sessions.len() < log.sessions() {
            self.sessions.resize_with(log.sessions(), Session::default);
        }
        let Session { held, own } = &mut self.sessions[read.session];
        let findings = &mut self.findings;
        let mut report = |findings: &mut Findings, summary, operations| {
            findings.report(read.place, violation(summary, operations), found);
        };
        for of in read.ledger {
            let before = held.get(&of.client).copied().unwrap_or(0);
            findings.exercise(1 + of.rows.len() as u64);
            if let Some(problem) = problem(read, of, before) {
                let summary = format!("{} {problem}.", read.name());
                report(findings, summary, read.numbers(None));
            }
            if of.highest > before {
                held.insert(of.client.clone(), of.highest);
            }
        }
        for (client, before) in held.iter() {
            if !read.ledger.iter().any(|of| of.client == *client) {
                let summary = format!(
                    "{} shows nothing of {client}, of which the session had seen {before} transactions.",
                    read.name()
                );
                report(findings, summary, read.numbers(None));
            }
        }
        if let Some((seq, operation)) = *own {
            let mut clients = read.ledger.iter();
            let highest = clients
                .find(|of| of.client == read.reader)
                .map_or(0, |of| of.highest);
            findings.exercise(1);
            if highest < seq {
                let mut operations = read.numbers(None);
                operations.push(operation);
                let summary = format!(
                    "{} shows {highest} transactions of its own client, whose operation {operation} \
                     before was number {seq}.",
                    read.name()
                );
                report(findings, summary, operations);
            }
        }
        if let (Some(seq), Some(operation)) = (read.own_seq, read.operation) {
            *own = Some((seq, operation));
        }
        if log.siblings(read.session).next().is_some() {
            self.judge_by_siblings(read, log, found);
        }
    }

    /// Compares a read with what siblings knew of when it began, and takes what it knows of.
    fn judge_by_siblings(&mut self, read: &Read, log: &OperationLog, found: &mut Vec<Finding>) {
        let shared = self.shared.entry(log.database(read.session)).or_default();
        let shown = |client: &str| {
            let of = read.ledger.iter().find(|of| of.client == client);
            of.map_or(0, |of| of.highest)
        };
        // In the order of their names, so that the same is told of the same history.
        let clients: BTreeMap<&String, &Vec<(usize, Known)>> = shared.iter().collect();
        for (client, known) in clients {
            let Some((number, by)) = latest_before(known, read.began) else {
                continue;
            };
            self.findings.exercise(1);
            let shown = shown(client);
            if shown < *number {
                let by_whom = by.map_or_else(String::new, |by| format!(" (operation {by})"));
                let summary = format!(
                    "{} shows {shown} transactions of {client}, of which a tab on the same database had \
                     known {number} before{by_whom}.",
                    read.name()
                );
                let mut operations = read.numbers(None);
                operations.extend(*by);
                self.findings
                    .report(read.place, violation(summary, operations), found);
            }
        }
        let own = read.own_seq.map(|seq| (read.reader, seq));
        let highest = read
            .ledger
            .iter()
            .map(|of| (of.client.as_str(), of.highest));
        for (client, number) in highest.chain(own) {
            let known = shared.entry(client.to_owned()).or_default();
            if known.last().is_none_or(|(_, (last, _))| *last < number) {
                known.push((read.place, (number, read.operation)));
            }
        }
    }
}

/// What is wrong with a client's part of a read in a session that had seen `before` transactions of it.
fn problem(read: &Read, of: &ClientLedger, before: i64) -> Option<String> {
    let client = &of.client;
    if of.above.checked_add(of.count) != Some(of.highest) {
        let above = match of.above {
            0 => String::new(),
            above => format!(" with numbers above {above}"),
        };
        return Some(format!(
            "shows {} transactions of {client}{above}, of which the highest number is {}{}",
            of.count,
            of.highest,
            missing(of, before)
        ));
    }
    if of.highest < before {
        return Some(format!(
            "shows {} transactions of {client}, of which the session had seen {before}",
            of.highest
        ));
    }
    // A final read shows all rows, every other at least those that are new.
    let mut last = match of.rows.first() {
        Some(first) if first.seq <= before => first.seq - 1,
        _ => before,
    };
    if read.operation.is_none() {
        last = 0;
    }
    for row in &of.rows {
        if row.seq != last + 1 {
            return Some(format!(
                "shows {client}'s transaction {} (id {}) directly after number {last}",
                row.seq, row.id
            ));
        }
        last = row.seq;
    }
    (last != of.highest).then(|| {
        format!(
            "shows {} transactions of {client}, but only the rows up to number {last}",
            of.highest
        )
    })
}

/// The first number that is missing among the new rows.
fn missing(of: &ClientLedger, before: i64) -> String {
    let start = match of.rows.first() {
        Some(first) if first.seq <= before => first.seq,
        _ => before + 1,
    };
    for (expected, row) in (start..).zip(&of.rows) {
        if row.seq != expected {
            return format!("; number {expected} is missing");
        }
    }
    String::new()
}
