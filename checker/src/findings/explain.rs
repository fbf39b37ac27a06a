//! What is told of a violation: two sentences, the operations, and the evidence as edges.
//!
//! The evidence is the shortest path of its kind from the write that had to be visible to the read
//! that lacks it, and the anti-dependency back: a cycle. The property that is broken *is* the shape
//! of that path, so nothing has to be searched for:
//!
//! | property | the path |
//! | --- | --- |
//! | read your writes | write, session order, read |
//! | monotonic reads | write, reads-from, earlier read, session order, read |
//! | atomic visibility | write, reads-from in another row, read |
//! | monotonic writes | write, session order, later write, reads-from, read |
//! | writes follow reads | write, reads-from, \[session order,\] later write, reads-from, read |
//!
//! Plain data in, a violation out: the checker of whole histories and the one that goes along with
//! a run tell the same.

use squall_protocol::transaction::{INITIAL_VALUE, Key, Value};
use squall_protocol::verdict::{Edge, EdgeKind, Step, Violation};

use crate::log::trace::Impossible;

/// A row in which a read is below what it had to hold.
#[derive(Clone, Debug)]
pub(crate) struct Stale {
    /// Who read.
    pub reader: Step,
    pub key: Key,
    /// What was read; none if the row was missing.
    pub value: Option<Value>,
    /// What had to be read at least.
    pub floor: Value,
}

/// A row of the same read that shows a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub writer: Step,
    pub key: Key,
    pub value: Value,
}

impl Stale {
    /// The session itself had written the missed value.
    pub fn read_your_writes(self, writer: Step) -> Violation {
        let summary = format!(
            "{} wrote {} in {}. Later, in {}, {} {}: it does not see its own write.",
            writer.client,
            row(self.key, self.floor),
            place(&writer),
            place(&self.reader),
            self.who(&writer),
            self.found(),
        );
        let path = vec![session_order(&writer, &self.reader)];
        self.violation(summary, path, Some(&writer))
    }

    /// The session had read the missed value before.
    pub fn monotonic_reads(self, earlier: Step, writer: Option<Step>) -> Violation {
        let summary = format!(
            "{} read {} in {}{}. Later, in {}, {} {}: it has gone back in time.",
            earlier.client,
            row(self.key, self.floor),
            place(&earlier),
            written_by(writer.as_ref()),
            place(&self.reader),
            self.who(&earlier),
            self.found(),
        );
        let mut path = self.first_read(writer.as_ref(), &earlier);
        path.push(session_order(&earlier, &self.reader));
        self.violation(summary, path, writer.as_ref())
    }

    /// The read shows a later transaction of the session that wrote the missed value.
    pub fn monotonic_writes(self, shown: Shown, writer: Step) -> Violation {
        let summary = format!(
            "{} wrote {} in {} and later{} {} in {}. {} sees the later of the two without the \
             earlier: in {} it read {}, but {}.",
            writer.client,
            row(self.key, self.floor),
            place(&writer),
            other_tab(&writer, &shown.writer),
            row(shown.key, shown.value),
            place(&shown.writer),
            self.reader.client,
            place(&self.reader),
            row(shown.key, shown.value),
            self.held(),
        );
        let path = vec![
            session_order(&writer, &shown.writer),
            reads_from(&shown.writer, &self.reader, shown.key, shown.value),
        ];
        self.violation(summary, path, Some(&writer))
    }

    /// The read shows a transaction whose session had read the missed value.
    pub fn writes_follow_reads(
        self,
        shown: Shown,
        earlier: Step,
        writer: Option<Step>,
    ) -> Violation {
        let at_once = earlier == shown.writer;
        let wrote = if at_once {
            format!(
                "and wrote {} in the same {}",
                row(shown.key, shown.value),
                place(&earlier).replace("operation", "transaction, operation")
            )
        } else {
            format!(
                "and later{} wrote {} in {}",
                other_tab(&earlier, &shown.writer),
                row(shown.key, shown.value),
                place(&shown.writer)
            )
        };
        let summary = format!(
            "{} read {}{}{} {wrote}. {} sees that write without what was read before it: in {} it \
             read {}, but {}.",
            earlier.client,
            row(self.key, self.floor),
            if at_once {
                String::new()
            } else {
                format!(" in {}", place(&earlier))
            },
            written_by(writer.as_ref()),
            self.reader.client,
            place(&self.reader),
            row(shown.key, shown.value),
            self.held(),
        );
        let mut path = self.first_read(writer.as_ref(), &earlier);
        if !at_once {
            path.push(session_order(&earlier, &shown.writer));
        }
        path.push(reads_from(
            &shown.writer,
            &self.reader,
            shown.key,
            shown.value,
        ));
        self.violation(summary, path, writer.as_ref())
    }

    /// The read shows another write of the transaction that wrote the missed value.
    pub fn atomic_visibility(self, shown: Shown) -> Violation {
        let summary = format!(
            "{} wrote {} and {} in one transaction, {}. {} sees only a part of it, a fractured \
             read: in {} it read {}, but {}.",
            shown.writer.client,
            row(shown.key, shown.value),
            row(self.key, self.floor),
            place(&shown.writer),
            self.reader.client,
            place(&self.reader),
            row(shown.key, shown.value),
            self.held(),
        );
        let path = vec![reads_from(
            &shown.writer,
            &self.reader,
            shown.key,
            shown.value,
        )];
        self.violation(summary, path, Some(&shown.writer))
    }

    /// A final read lacks what a settled client wrote.
    pub fn lost_write(self, writer: Step) -> Violation {
        let summary = format!(
            "{} wrote {} in {}, which was acknowledged and uploaded. {}'s final read {}: the write \
             was lost.",
            writer.client,
            row(self.key, self.floor),
            place(&writer),
            self.reader.client,
            self.has(),
        );
        self.violation(summary, Vec::new(), Some(&writer))
    }

    /// A final read lacks what another final read holds.
    pub fn diverged(self, other: Step, writer: Option<Step>) -> Violation {
        let summary = format!(
            "{}'s final read has {}{}. {}'s final read {}: the two have not become the same.",
            other.client,
            row(self.key, self.floor),
            written_by(writer.as_ref()),
            self.reader.client,
            self.has(),
        );
        let path = self.first_read(writer.as_ref(), &other);
        self.violation(summary, path, writer.as_ref())
    }

    /// The reader, when that of which was told is known: `it`, or another tab on the same database.
    fn who(&self, earlier: &Step) -> String {
        if self.reader.client == earlier.client {
            return "it".to_owned();
        }
        format!("{}, a tab on the same database,", self.reader.client)
    }

    fn first_read(&self, writer: Option<&Step>, reader: &Step) -> Vec<Edge> {
        let edge = |writer| reads_from(writer, reader, self.key, self.floor);
        writer.map(edge).into_iter().collect()
    }

    /// Closes the cycle.
    fn violation(self, summary: String, mut path: Vec<Edge>, missed: Option<&Step>) -> Violation {
        path.extend(missed.map(|missed| Edge {
            from: self.reader.clone(),
            to: missed.clone(),
            kind: EdgeKind::ReadsOlderVersion,
            key: Some(self.key),
            value: self.value,
        }));
        violation(summary, path)
    }

    /// `read the older k7 = 41`
    fn found(&self) -> String {
        match self.value {
            Some(value) => format!("read the older {}", old(self.key, value)),
            None => format!("found no row k{}", self.key),
        }
    }

    /// `still k7 = 41`
    fn held(&self) -> String {
        match self.value {
            Some(value) => format!("still {}", old(self.key, value)),
            None => format!("no row k{}", self.key),
        }
    }

    /// `has k7 = 41`
    fn has(&self) -> String {
        match self.value {
            Some(value) => format!("has {}", old(self.key, value)),
            None => format!("has no row k{}", self.key),
        }
    }
}

/// Who did the later of two steps of a session, if that was another tab.
fn other_tab(earlier: &Step, later: &Step) -> String {
    if later.client == earlier.client {
        return String::new();
    }
    format!(", on the same database, {}", later.client)
}

/// A value that can not have been in its row.
pub(crate) fn thin_air(reader: Step, key: Key, value: Value, why: Impossible<Step>) -> Violation {
    let by = |step: &Step| format!("{} of {}", place(step), step.client);
    let reason = match &why {
        Impossible::NoSuchRow => "There is no such row.".to_owned(),
        Impossible::NeverWritten => "Nobody had ever written that value.".to_owned(),
        Impossible::OtherKeys(writer) => {
            format!(
                "That value was written by {} only, and not to this row.",
                by(writer)
            )
        }
        Impossible::NotWritten(writer) => format!(
            "It is the value of {}, which left out this row, because the row held a higher one.",
            by(writer)
        ),
        Impossible::Aborted(writer) => format!(
            "It is a value of {}, which failed and must be invisible (an aborted read, G1a).",
            by(writer)
        ),
        Impossible::OwnLaterWrite(_) => {
            "This very operation wrote that value, but only after it had read.".to_owned()
        }
        Impossible::FromTheFuture(writer) => format!(
            "It is a value of {}, which was invoked only after this read had ended.",
            by(writer)
        ),
    };
    let summary = format!(
        "{} read {} in {}. {reason}",
        reader.client,
        row(key, value),
        place(&reader),
    );
    let evidence = why.writer().filter(|writer| **writer != reader);
    let evidence = evidence.map(|writer| reads_from(writer, &reader, key, value));
    with_reader(summary, evidence.into_iter().collect(), &reader)
}

/// Rows that a read did not find.
pub(crate) fn missing_rows(reader: Step, first: Key, missing: u64) -> Violation {
    let others = match missing - 1 {
        0 => String::new(),
        1 => " and 1 other row".to_owned(),
        n => format!(" and {n} other rows"),
    };
    let summary = format!(
        "{} did not find k{first}{others} in {}. Rows are there from the beginning, and none is ever \
         deleted.",
        reader.client,
        place(&reader),
    );
    with_reader(summary, Vec::new(), &reader)
}

/// Rows that a read found more than once.
pub(crate) fn repeated_rows(reader: Step, repeated: u64) -> Violation {
    let summary = format!(
        "{} read {repeated} more {} than there are keys in {}. A key was there twice.",
        reader.client,
        if repeated == 1 { "row" } else { "rows" },
        place(&reader),
    );
    with_reader(summary, Vec::new(), &reader)
}

/// A client whose database became another one.
pub(crate) fn lost_database(client: &str, before: &str, after: &str) -> Violation {
    let summary =
        format!("{client} lost its database: it was {before}, and after a restart it is {after}.");
    violation(summary, Vec::new())
}

/// What SQLite said of a database, if it is not intact.
pub(crate) fn broken_database(client: &str, report: &[String]) -> Option<Violation> {
    if matches!(report, [only] if only == "ok") {
        return None;
    }
    let said = if report.is_empty() {
        "there was no answer".to_owned()
    } else {
        report.join("; ")
    };
    let summary = format!("{client}'s database fails SQLite's integrity check: {said}");
    Some(violation(summary, Vec::new()))
}

/// A violation whose evidence is in its words.
pub(crate) fn in_words(summary: String, operations: Vec<u64>) -> Violation {
    Violation {
        summary,
        operations,
        evidence: Vec::new(),
    }
}

fn with_reader(summary: String, evidence: Vec<Edge>, reader: &Step) -> Violation {
    let mut violation = violation(summary, evidence);
    if violation.operations.is_empty() {
        violation.operations.extend(reader.operation);
    }
    violation
}

/// The operations are those along the path.
fn violation(summary: String, evidence: Vec<Edge>) -> Violation {
    let mut operations = Vec::new();
    for step in evidence.iter().flat_map(|edge| [&edge.from, &edge.to]) {
        if let Some(operation) = step.operation
            && !operations.contains(&operation)
        {
            operations.push(operation);
        }
    }
    Violation {
        summary,
        operations,
        evidence,
    }
}

fn session_order(from: &Step, to: &Step) -> Edge {
    Edge {
        from: from.clone(),
        to: to.clone(),
        kind: EdgeKind::SessionOrder,
        key: None,
        value: None,
    }
}

fn reads_from(from: &Step, to: &Step, key: Key, value: Value) -> Edge {
    Edge {
        from: from.clone(),
        to: to.clone(),
        kind: EdgeKind::ReadsFrom,
        key: Some(key),
        value: Some(value),
    }
}

/// `k7 = 41`, or `no row k7`.
pub(crate) fn row_or_none(key: Key, value: Option<Value>) -> String {
    match value {
        Some(value) => row(key, value),
        None => format!("no row k{key}"),
    }
}

/// `k7 = 41`
pub(crate) fn row(key: Key, value: Value) -> String {
    format!("k{key} = {value}")
}

/// `k7 = 41`, and what it means if it is the initial value.
fn old(key: Key, value: Value) -> String {
    let initial = if value == INITIAL_VALUE {
        " (its initial value)"
    } else {
        ""
    };
    format!("{}{initial}", row(key, value))
}

/// Where it was read or written: `operation 812`, or `its final read`.
pub(crate) fn place(step: &Step) -> String {
    match step.operation {
        Some(operation) => format!("operation {operation}"),
        None => "its final read".to_owned(),
    }
}

/// ` (written by native-1 in operation 700)`
fn written_by(writer: Option<&Step>) -> String {
    writer.map_or(String::new(), |writer| {
        format!(" (written by {} in {})", writer.client, place(writer))
    })
}
