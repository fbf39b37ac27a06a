//! *No duplicate transaction*: every row was inserted once, and no transaction has two rows.
//!
//! The backend counts how often it inserts a row; see the merge rule of the workload.

use std::collections::HashMap;

use squall_protocol::verdict::Property;

use super::book::{Book, row_name};
use super::violation;
use crate::evidence::Findings;

pub(super) fn judge(book: &Book) -> Findings {
    let mut findings = Findings::new(Property::NoDuplicateTransaction);
    // Of each session the number under which each id was shown.
    let mut sessions: Vec<HashMap<&str, (&str, i64)>> = vec![HashMap::new(); book.sessions];
    for read in &book.reads {
        for of in read.ledger {
            for row in &of.rows {
                findings.exercise(1);
                let this = (of.client.as_str(), row.seq);
                let earlier = *sessions[read.session].entry(&row.id).or_insert(this);
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
                        earlier.0,
                        earlier.1
                    )
                } else {
                    continue;
                };
                findings.violate(read.place, || {
                    violation(
                        format!("{} shows {problem}.", read.name()),
                        read.numbers(book.named(&row.id)),
                    )
                });
            }
        }
    }
    findings
}
