//! *Atomic transactions*: a transaction's row in the ledger and its writes in `mww` are seen together
//! or not at all. A read that shows the row holds at least the transaction's value in every key that
//! the row names, and a read that shows one of its values shows its row.
//!
//! Algorithm: per session a floor under every key, raised by the rows that it has been shown, and the
//! set of values whose rows those were. A value without its row waits for the end of its operation: if
//! that failed, the value is a matter of no-thin-air-read, as are values that nobody had been told to
//! write by then.

use std::collections::{HashMap, HashSet};

use squall_protocol::transaction::{INITIAL_VALUE, Key, Value};
use squall_protocol::verdict::Property;

use super::log::{Outcome, Read, keys_of, outcome, value_of, writer_of, written_by};
use crate::findings::explain::in_words as violation;
use crate::findings::{Finding, Findings};
use crate::log::by_value::Values;
use crate::log::operations::OperationLog;
use crate::log::trace::OperationIndex;

#[derive(Clone)]
pub(crate) struct AtomicTransactions {
    pub findings: Findings,
    sessions: Vec<Shown>,
    /// Values without their rows, of operations that have not ended.
    waiting: HashMap<OperationIndex, Vec<WithoutRow>>,
}

#[derive(Clone, Default)]
struct Shown {
    values: Values,
    floor: Vec<Value>,
}

/// A read that showed a value and not its row.
#[derive(Clone)]
struct WithoutRow {
    reader: String,
    operations: Vec<u64>,
    place: usize,
    key: Key,
}

impl AtomicTransactions {
    pub fn new() -> Self {
        AtomicTransactions {
            findings: Findings::new(Property::AtomicTransactions),
            sessions: Vec::new(),
            waiting: HashMap::new(),
        }
    }

    pub fn judge(&mut self, read: &Read, log: &OperationLog, found: &mut Vec<Finding>) {
        if self.sessions.len() < log.sessions() {
            self.sessions.resize_with(log.sessions(), Shown::default);
        }
        self.show(read, log.keys);
        let shown = &self.sessions[read.session];
        // A transaction whose row is missing is told once per read.
        let mut lacking = HashSet::new();
        for (key, value) in read.rows {
            let floor = shown.floor.get(*key as usize).copied();
            let floor = floor.unwrap_or(INITIAL_VALUE);
            if floor > INITIAL_VALUE {
                self.findings.exercise(1);
            }
            if *value < floor {
                let summary = format!(
                    "{} shows the ledger's row of the transaction that wrote k{key} = {floor}{}, \
                     but has k{key} = {value}: the row is there without all that the transaction \
                     wrote.",
                    read.name(),
                    written_by(log, floor),
                );
                let violation = violation(summary, read.numbers(writer_of(log, floor)));
                self.findings.report(read.place, violation, found);
            }
            if *value <= INITIAL_VALUE {
                continue;
            }
            if shown.values.contains(*value) {
                self.findings.exercise(1);
            } else if let Some(writer) = log.writer(*value)
                && lacking.insert(*value)
            {
                let without = WithoutRow {
                    reader: read.name(),
                    operations: read.numbers(writer_of(log, *value)),
                    place: read.place,
                    key: *key,
                };
                match outcome(&log.operations[writer as usize]) {
                    Outcome::Pending => self.waiting.entry(writer).or_default().push(without),
                    Outcome::Failed => {}
                    _ => lacks_row(&mut self.findings, without, writer, log, found),
                }
            }
        }
    }

    /// Takes the rows that a read shows for the first time.
    fn show(&mut self, read: &Read, keys: Key) {
        let shown = &mut self.sessions[read.session];
        for row in read.ledger.iter().flat_map(|of| &of.rows) {
            // What makes no sense is a matter of no-thin-air-transaction.
            let (Some(value), Some(written)) = (value_of(&row.id), keys_of(&row.writes)) else {
                continue;
            };
            shown.values.insert(value);
            for key in written.into_iter().filter(|key| *key < keys) {
                let at = key as usize;
                if at >= shown.floor.len() {
                    shown.floor.resize(at + 1, INITIAL_VALUE);
                }
                shown.floor[at] = shown.floor[at].max(value);
            }
        }
    }

    pub fn end(&mut self, operation: OperationIndex, log: &OperationLog, found: &mut Vec<Finding>) {
        let waiting = self.waiting.remove(&operation).unwrap_or_default();
        if !matches!(
            outcome(&log.operations[operation as usize]),
            Outcome::Failed
        ) {
            for without in waiting {
                lacks_row(&mut self.findings, without, operation, log, found);
            }
        }
    }
}

fn lacks_row(
    findings: &mut Findings,
    without: WithoutRow,
    writer: OperationIndex,
    log: &OperationLog,
    found: &mut Vec<Finding>,
) {
    let writer = &log.operations[writer as usize];
    let summary = format!(
        "{} has k{} = {}, which {} wrote in operation {}, but the ledger has no row of that \
         transaction.",
        without.reader,
        without.key,
        writer.value,
        log.client_of(writer.session),
        writer.number
    );
    findings.exercise(1);
    findings.report(without.place, violation(summary, without.operations), found);
}
