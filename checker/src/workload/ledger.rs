//! The workload `ledger`: definitions first, then where each is decided.
//!
//! # The history
//!
//! As in [`mww`], and every transaction that writes inserts one row in the ledger: its value (the row's
//! id), its client, its number among the client's transactions, and the keys that it wrote. Rows are
//! never changed or deleted. A read shows, per client, how many rows there are and the highest number,
//! and the rows that no earlier read of the session has shown; a final read shows all.
//!
//! A row *shows* its transaction, as does one of its values in `mww`. A row once shown stays shown in
//! its session: should it vanish, the count tells.
//!
//! An operation that ended in `info` may have used up a number or not. What is known of it is its row,
//! where anyone reads it.
//!
//! # The properties
//!
//! All of `mww`, and of each single transaction:
//!
//! | property | every … |
//! | --- | --- |
//! | atomic transactions | read that shows a transaction's row holds at least its value in every key that the row names; read that shows one of its values shows its row |
//! | gapless prefix | read shows of each client the transactions 1, 2, … n, in that order; n never falls within a session, and is at least the session's own last |
//! | no duplicate transaction | row was inserted once, and no transaction has two rows |
//! | no thin-air transaction | row was written by an operation of its client that did not fail and was invoked before the read ended, with that number and those keys; all reads agree on it |
//! | durability | transaction that a recovered client acknowledged, and every one that any final read shows, is in every final read |
//!
//! Only the first violation of a kind is counted per read and client: a missing row is missing in every
//! later read too.
//!
//! # What this can show that `mww` can not
//!
//! A lost write leaves a gap, or is missing at the end, no matter what was written over it.
//!
//! # Along with a run
//!
//! A read is judged when it is recorded, by what is known then; a row or value of an operation that is
//! still under way waits for its end, and no finding is ever taken back. Durability is judged at the
//! end. A whole history is judged just so, event by event.
//!
//! # Cost
//!
//! Time is linear in the rows that were read. Of the reads nothing is kept; with *n* operations, *s*
//! sessions, *k* rows and *f* final reads, memory is O(n · s + k · s) for what each session has been
//! shown (25 to 60 bytes for a transaction), O(n · f) for the final reads, and O(n) for the rest.

use squall_protocol::history::Header;
use squall_protocol::transaction::Reads as Asked;

use crate::findings::Finding;
use crate::findings::Findings;
use crate::log::operations::{OperationLog, Update};
use crate::log::trace::OperationIndex;
use crate::rules::ledger::atomic_transactions::AtomicTransactions;
use crate::rules::ledger::durability::Durability;
use crate::rules::ledger::gapless_prefix::GaplessPrefix;
use crate::rules::ledger::log::Read;
use crate::rules::ledger::no_duplicate_transaction::NoDuplicateTransaction;
use crate::rules::ledger::no_thin_air_transaction::NoThinAirTransaction;
use crate::rules::payload_intact::PayloadIntact;
use crate::rules::recovery::End;

/// Judges the ledger, and the payload table if there is one, event by event.
#[derive(Clone)]
pub(crate) struct Ledger {
    atomic_transactions: AtomicTransactions,
    gapless_prefix: GaplessPrefix,
    no_duplicate_transaction: NoDuplicateTransaction,
    no_thin_air_transaction: NoThinAirTransaction,
    durability: Durability,
    /// If the run has that table.
    payload: Option<PayloadIntact>,
    /// Reads that recorded nothing of the ledger.
    without_ledger: u64,
}

impl Ledger {
    pub fn new(header: &Header) -> Self {
        Ledger {
            atomic_transactions: AtomicTransactions::new(),
            gapless_prefix: GaplessPrefix::new(),
            no_duplicate_transaction: NoDuplicateTransaction::new(),
            no_thin_air_transaction: NoThinAirTransaction::new(),
            durability: Durability::default(),
            payload: header.payload.then(PayloadIntact::new),
            without_ledger: 0,
        }
    }

    /// Takes what an event has added to the log, and answers with the violations that are certain since
    /// then.
    pub fn push(&mut self, log: &OperationLog, update: &Update) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Some(operation) = update.ended {
            self.end(operation, log, &mut found);
        }
        let reads = update
            .read
            .as_ref()
            .filter(|read| read.asked != Asked::Nothing);
        if let Some(reads) = reads {
            let read = Read::new(reads, log);
            if let Some(payload) = &mut self.payload {
                payload.judge(read.as_ref(), reads.payload, &mut found);
            }
            match read {
                Some(read) => {
                    self.atomic_transactions.judge(&read, log, &mut found);
                    self.gapless_prefix.judge(&read, log, &mut found);
                    self.no_duplicate_transaction.judge(&read, log, &mut found);
                    self.no_thin_air_transaction.judge(&read, log, &mut found);
                    self.durability.note(&read);
                }
                None => self.without_ledger += 1,
            }
        }
        found
    }

    fn end(&mut self, operation: OperationIndex, log: &OperationLog, found: &mut Vec<Finding>) {
        self.atomic_transactions.end(operation, log, found);
        self.no_thin_air_transaction.end(operation, log, found);
    }

    /// Takes what was pushed for everything; `settled` is what had not ended.
    pub fn settle(&mut self, log: &OperationLog, settled: Vec<OperationIndex>) {
        for operation in settled {
            self.end(operation, log, &mut Vec::new());
        }
    }

    /// What was found in all.
    pub fn into_findings(self, log: &OperationLog, end: &End) -> Vec<Findings> {
        let durability = self.durability.judge(log, end);
        let mut findings = vec![
            self.atomic_transactions.findings,
            self.gapless_prefix.findings,
            self.no_duplicate_transaction.findings,
            self.no_thin_air_transaction.findings,
            durability,
        ];
        if self.without_ledger > 0 {
            for findings in &mut findings {
                findings.doubt(format!(
                    "{} reads have no ledger part that this squall can read",
                    self.without_ledger
                ));
            }
        }
        findings.extend(self.payload.map(PayloadIntact::into_findings));
        findings
    }
}
