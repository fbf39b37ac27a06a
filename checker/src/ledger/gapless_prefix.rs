//! *Gapless prefix*: of every client a read shows the transactions 1, 2, … n. Within a session n never
//! falls, and of the session's own client it is at least the number of its last transaction that
//! committed. PostgreSQL's final read shows the rows in the order in which they were inserted, which
//! is that same order.
//!
//! Algorithm: per session and client the highest number shown so far; what a read shows beyond it must
//! follow on without a gap up to the highest number that the read tells, and that must be the count. A
//! read may count only the rows above some number: a row below it that vanishes and comes back before all
//! are counted again goes unnoticed.

use std::collections::HashMap;

use squall_protocol::ledger::ClientLedger;
use squall_protocol::verdict::Property;

use super::book::{Book, Read};
use super::violation;
use crate::evidence::Findings;

pub(super) fn judge(book: &Book) -> Findings {
    let mut findings = Findings::new(Property::GaplessPrefix);
    let mut sessions: Vec<HashMap<&str, i64>> = vec![HashMap::new(); book.sessions];
    // Of each session the number of its own last transaction, and the operation.
    let mut own: Vec<Option<(i64, u64)>> = vec![None; book.sessions];
    for read in &book.reads {
        let held = &mut sessions[read.session];
        for of in read.ledger {
            let before = held.entry(of.client.as_str()).or_insert(0);
            findings.exercise(1 + of.rows.len() as u64);
            if let Some(problem) = problem(read, of, *before) {
                findings.violate(read.place, || {
                    violation(format!("{} {problem}.", read.name()), read.numbers(None))
                });
            }
            *before = of.highest.max(*before);
        }
        for (client, before) in held.iter() {
            if *before > 0 && !read.ledger.iter().any(|of| of.client == *client) {
                findings.violate(read.place, || {
                    violation(
                        format!(
                            "{} shows nothing of {client}, of which the session had seen {before} \
                             transactions.",
                            read.name()
                        ),
                        read.numbers(None),
                    )
                });
            }
        }
        if let Some((seq, operation)) = own[read.session] {
            let mut clients = read.ledger.iter();
            let highest = clients
                .find(|of| of.client == read.reader)
                .map_or(0, |of| of.highest);
            findings.exercise(1);
            if highest < seq {
                let mut operations = read.numbers(None);
                operations.push(operation);
                findings.violate(read.place, || {
                    violation(
                        format!(
                            "{} shows {highest} transactions of its own client, whose operation \
                             {operation} before was number {seq}.",
                            read.name()
                        ),
                        operations,
                    )
                });
            }
        }
        if let (Some(seq), Some(operation)) = (read.own_seq, read.operation) {
            own[read.session] = Some((seq, operation));
        }
    }
    findings
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
