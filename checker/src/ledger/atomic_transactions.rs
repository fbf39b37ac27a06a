//! *Atomic transactions*: a transaction's row in the ledger and its writes in `mww` are seen together
//! or not at all. A read that shows the row holds at least the transaction's value in every key that
//! the row names, and a read that shows one of its values shows its row.
//!
//! Algorithm: per session a floor under every key, raised by the rows that it has been shown, and the
//! set of values whose rows those were.

use squall_protocol::transaction::{INITIAL_VALUE, Value};
use squall_protocol::verdict::Property;

use super::book::{Book, Outcome, Values, keys_of, value_of};
use super::violation;
use crate::evidence::Findings;

#[derive(Default)]
struct Shown {
    values: Values,
    floor: Vec<Value>,
}

pub(super) fn judge(book: &Book) -> Findings {
    let mut findings = Findings::new(Property::AtomicTransactions);
    let mut sessions: Vec<Shown> = Vec::new();
    sessions.resize_with(book.sessions, Shown::default);
    for read in &book.reads {
        let shown = &mut sessions[read.session];
        for row in read.ledger.iter().flat_map(|of| &of.rows) {
            // What makes no sense is a matter of no-thin-air-transaction.
            let (Some(value), Some(keys)) = (value_of(&row.id), keys_of(&row.writes)) else {
                continue;
            };
            shown.values.insert(value);
            for key in keys.into_iter().filter(|key| *key < book.keys) {
                let at = key as usize;
                if at >= shown.floor.len() {
                    shown.floor.resize(at + 1, INITIAL_VALUE);
                }
                shown.floor[at] = shown.floor[at].max(value);
            }
        }
        let mut told = INITIAL_VALUE;
        for (key, value) in read.rows {
            let floor = shown.floor.get(*key as usize).copied();
            let floor = floor.unwrap_or(INITIAL_VALUE);
            if floor > INITIAL_VALUE {
                findings.exercise(1);
            }
            if *value < floor {
                let writer = book.writer(floor);
                findings.violate(read.place, || {
                    violation(
                        format!(
                            "{} shows the ledger's row of the transaction that wrote k{key} = {floor}{}, \
                             but has k{key} = {value}: the row is there without all that the \
                             transaction wrote.",
                            read.name(),
                            writer.map_or(String::new(), |writer| format!(
                                " ({}'s operation {})",
                                writer.client, writer.number
                            )),
                        ),
                        read.numbers(writer),
                    )
                });
            }
            if *value <= INITIAL_VALUE {
                continue;
            }
            // Values that nobody wrote are a matter of no-thin-air-read.
            let unwritten = || {
                book.writer(*value)
                    .is_none_or(|writer| matches!(writer.outcome, Outcome::Failed))
            };
            if shown.values.contains(*value) {
                findings.exercise(1);
            } else if *value != told && !unwritten() {
                told = *value;
                let writer = book.writer(*value);
                findings.exercise(1);
                findings.violate(read.place, || {
                    violation(
                        format!(
                            "{} has k{key} = {value}{}, but the ledger has no row of that transaction.",
                            read.name(),
                            writer.map_or(String::new(), |writer| format!(
                                ", which {} wrote in operation {}",
                                writer.client, writer.number
                            )),
                        ),
                        read.numbers(writer),
                    )
                });
            }
        }
    }
    findings
}
