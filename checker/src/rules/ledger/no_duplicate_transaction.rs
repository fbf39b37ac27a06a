//! *No duplicate transaction*: every row was inserted once, and no transaction has two rows.
//!
//! The backend counts how often it inserts a row; see the merge rule of the workload. Rows whose id is
//! no value are a matter of no-thin-air-transaction.

use squall_protocol::verdict::Property;

use super::log::{Read, named, row_name, value_of};
use crate::findings::explain::in_words as violation;
use crate::findings::{Finding, Findings};
use crate::log::by_value::ByValue;
use crate::log::operations::OperationLog;

#[derive(Clone)]
pub(crate) struct NoDuplicateTransaction {
    pub findings: Findings,
    /// Of each session the client and the number under which each value was shown.
    sessions: Vec<ByValue<(u32, i64)>>,
    /// The clients that rows name.
    clients: Vec<String>,
}

impl NoDuplicateTransaction {
    pub fn new() -> Self {
        NoDuplicateTransaction {
            findings: Findings::new(Property::NoDuplicateTransaction),
            sessions: Vec::new(),
            clients: Vec::new(),
        }
    }

    pub fn judge(&mut self, read: &Read, log: &OperationLog, found: &mut Vec<Finding>) {
        if self.sessions.len() < log.sessions() {
            self.sessions.resize_with(log.sessions(), ByValue::default);
        }
        for of in read.ledger {
            let client = self.client(&of.client);
            for row in &of.rows {
                self.findings.exercise(1);
                let this = (client, row.seq);
                let earlier = value_of(&row.id).map_or(this, |value| {
                    *self.sessions[read.session].get_or_insert(value, this)
                });
                let problem = if row.copies != 1 {
                    format!(
                        "{}, which was inserted {} times",
                        row_name(of, row),
                        row.copies
                    )
                } else if earlier != this {
                    format!(
                        "{}, which is also {}'s transaction {}",
                        row_name(of, row),
                        self.clients[earlier.0 as usize],
                        earlier.1
                    )
                } else {
                    continue;
                };
                let operation = named(log, &row.id).map(|at| &log.operations[at as usize]);
                let violation = violation(
                    format!("{} shows {problem}.", read.name()),
                    read.numbers(operation),
                );
                self.findings.report(read.place, violation, found);
            }
        }
    }

    fn client(&mut self, name: &str) -> u32 {
        let known = self.clients.iter().position(|client| client == name);
        let client = known.unwrap_or_else(|| {
            self.clients.push(name.to_owned());
            self.clients.len() - 1
        });
        client as u32
    }
}
