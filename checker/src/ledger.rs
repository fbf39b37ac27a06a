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
//! # Cost
//!
//! Time and memory are linear in the rows that were read.

mod atomic_transactions;
mod book;
mod durability;
mod gapless_prefix;
mod no_duplicate_transaction;
mod no_thin_air_transaction;

use squall_protocol::verdict::{Verdict, Violation};

use crate::history::History;
use crate::mww;
use book::Book;

/// Judges a history of the workload `ledger`: by the properties of `mww`, and by its own.
pub fn check(history: &History) -> Verdict {
    mww::check_with(history, |settled| {
        let book = Book::new(history);
        let mut findings = vec![
            atomic_transactions::judge(&book),
            gapless_prefix::judge(&book),
            no_duplicate_transaction::judge(&book),
            no_thin_air_transaction::judge(&book),
            durability::judge(&book, settled),
        ];
        if book.without_ledger > 0 {
            for findings in &mut findings {
                findings.doubt(format!(
                    "{} reads have no ledger part that this squall can read",
                    book.without_ledger
                ));
            }
        }
        findings
    })
}

fn violation(summary: String, operations: Vec<u64>) -> Violation {
    Violation {
        summary,
        operations,
        evidence: Vec::new(),
    }
}
