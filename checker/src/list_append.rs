//! The workload `list-append`, lists that transactions append to: definitions first.
//!
//! # The history
//!
//! A transaction reads some lists whole, then appends its value, unique in the history, to some lists: it
//! reads the list, in the same database transaction, and writes it back one element longer. The last
//! write wins, upload by upload. So
//!
//! - a list that was read is a *version* of its key, and its last element names the one transaction that
//!   wrote it,
//! - the element before the last names the version that this transaction had read and extended: the
//!   versions of a key are a tree, and a list tells the way from the root to its version,
//! - of two versions on different branches the one that was uploaded last has overwritten the other, with
//!   all that was appended only there. That is the rule of the merge and no violation; it is counted.
//!
//! Sessions and operations that ended in `info` are as in [`mww`](crate::mww).
//!
//! # The properties of reads
//!
//! *No thin-air read*: every element was appended to that list by a transaction that did not fail and was
//! invoked before the read ended; none is there twice; and before each element stands exactly what its
//! writer had extended: what it says that it read, if it says so, and the same in all lists.
//!
//! A read is *older* than a version when the version's list goes on where the read one ends. Then the
//! session guarantees and atomic visibility are as in `mww`: each names one way in which a version of
//! the causal past was known, and the read is older than it. They are judged against the latest version
//! that was known in that way, and say nothing of versions on other branches.
//!
//! *Causal consistency* says all there is to say: there is one order in which whole transactions commit,
//! and every read returns, of its causal past, the version that comes last. The order is not known and is
//! searched for by [`Model::Causal`]. A list is a register here, whose value is its last element; a
//! transaction that appends reads the version that it extends, as far as any list tells.
//!
//! # The properties of the end
//!
//! *Strong convergence*: all final reads of those who share their data hold the same lists. *Durability*:
//! an append that a recovered client has acknowledged is in every final list, or may have been overwritten:
//! the final list ends with something that was appended on another branch. A final list that is older
//! than the append's version has lost it. Where there is only one copy of the data nothing may be
//! overwritten. Only whoever does not know of an append can overwrite it; that this is so is a matter of
//! causal consistency.
//!
//! A client has *recovered* when it reads every probe's element, or, of a list that PostgreSQL at the end
//! holds without it, what PostgreSQL holds. The others are as in `mww`.
//!
//! # Cost
//!
//! Linear in the elements read, but for causal consistency: see [`registers`](crate::registers).

use std::collections::HashMap;

use squall_protocol::transaction::{Key, Reads as Asked, Value};
use squall_protocol::verdict::{Property, Verdict, Violation};

use crate::by_model;
use crate::collections::{self, Faulty};
use crate::evidence::Findings;
use crate::formats::recording::Recording;
use crate::history::History;
use crate::mww::index::{Index, OperationIndex, Outcome, Read};
use crate::mww::recovery::{NotRead, Probes, Unseen};
use crate::mww::{self, MAX_KEYS, explain, words};
use crate::one_copy;
use crate::registers::Model;

/// Judges a history of the workload `list-append`.
pub fn check(history: &History) -> Verdict {
    let counts = mww::counts(history);
    if history.header.keys > MAX_KEYS {
        return mww::too_large(&history.header, counts);
    }
    let index = Index::new(history);
    let mut versions = Versions::new(&index);
    let mut thin_air = Findings::new(Property::NoThinAirRead);
    for read in &index.reads {
        versions.read(read, &mut thin_air);
    }
    let mut findings = guarantees(&index, &versions);
    findings.push(thin_air);
    let (recovery, mut of_end) = collections::end(&index, &mut InLists(&index));
    let single = one_copy::applies(&history.header);
    let (convergence, durability) =
        collections::same_elements(&index, &recovery, |operation, (key, text)| {
            !single && versions.may_be_overwritten(operation, key, text)
        });
    findings.push(convergence);
    findings.append(&mut of_end);
    findings.push(causal(history, &versions));
    findings.push(durability);
    findings.extend(one_copy::judge(history));
    mww::conclude(index, findings, counts)
}

/// A probe is seen when its elements are, or what has overwritten them.
struct InLists<'i, 'h>(&'i Index<'h>);

impl Probes for InLists<'_, '_> {
    fn unseen(
        &mut self,
        read: &Read,
        probes: &[OperationIndex],
    ) -> Result<Option<Unseen>, NotRead> {
        let index = self.0;
        let end = index.postgres_read.map(|read| &index.reads[read]);
        let of_probes: Vec<Value> = probes.iter().map(|probe| index.value(*probe)).collect();
        collections::unseen(index, read, probes, |key, text| {
            end.is_some_and(|end| {
                let last = collections::text_of(end, key);
                let kept = of_probes
                    .iter()
                    .any(|probe| collections::holds(last, *probe));
                !kept && last == text
            })
        })
    }
}

/// The versions of all lists, as far as any read tells.
struct Versions<'i, 'h> {
    index: &'i Index<'h>,
    /// By write: the element that stands before it, and that this is known.
    before: Vec<Option<Option<Value>>>,
    /// By write: the list that ends with it, from the first read that holds it.
    list: Vec<Option<&'h str>>,
}

impl<'i, 'h> Versions<'i, 'h> {
    fn new(index: &'i Index<'h>) -> Self {
        let writes = index.write_count();
        let mut versions = Versions {
            index,
            before: vec![None; writes],
            list: vec![None; writes],
        };
        // What the writers say themselves counts most.
        for (number, operation) in (0..).zip(&index.operations) {
            let Outcome::Ok { read, .. } = operation.outcome else {
                continue;
            };
            for (key, text) in index.reads[read].collections.into_iter().flatten() {
                if let Some(at) = index.number_of_write(number, *key) {
                    let last = text.rsplit(' ').next().filter(|last| !last.is_empty());
                    match last.map(str::parse::<Value>) {
                        Some(Ok(last)) => versions.before[at] = Some(Some(last)),
                        Some(Err(_)) => {}
                        None => versions.before[at] = Some(None),
                    }
                }
            }
        }
        versions
    }

    /// Learns from a read, and compares it with what is known.
    fn read(&mut self, read: &Read<'h>, findings: &mut Findings) {
        let index = self.index;
        let Some(lists) = read.collections else {
            if *read.asked != Asked::Nothing {
                findings.doubt("a read has recorded no lists".to_owned());
            }
            return;
        };
        let existing = |key: Key| key < index.header.keys;
        let missing = |key: Key| lists.binary_search_by_key(&key, |list| list.0).is_err();
        let lacking = match read.asked {
            Asked::All => u64::from(index.header.keys).saturating_sub(lists.len() as u64),
            Asked::Keys(keys) => keys
                .iter()
                .filter(|key| existing(**key) && missing(**key))
                .count() as u64,
            Asked::Nothing => 0,
        };
        findings.exercise(lists.len() as u64 + lacking);
        if lacking > 0 {
            let first = match read.asked {
                Asked::Keys(keys) => keys.iter().copied().find(|key| missing(*key)),
                _ => (0..index.header.keys).find(|key| missing(*key)),
            };
            findings.violate_times(lacking, read.completed, || {
                explain::missing_rows(words::reader(index, read), first.unwrap_or(0), lacking)
            });
        }
        collections::parse(index, read, lists, findings, |_| {});
        for (key, text) in lists {
            let (key, text) = (*key, text.as_str());
            let mut before: Option<Value> = None;
            let mut met: std::collections::HashSet<Value> = Default::default();
            let mut end = 0;
            for part in text.split(' ').filter(|_| !text.is_empty()) {
                end += part.len() + usize::from(end > 0);
                let Ok(value) = part.parse::<Value>() else {
                    before = None;
                    continue;
                };
                if !met.insert(value) {
                    findings.violate(read.completed, || {
                        Faulty::new(index, read, key).twice(value)
                    });
                }
                if let Some(writer) = index.writer_of(value)
                    && let Some(at) = index.number_of_write(writer, key)
                {
                    match self.before[at] {
                        None => self.before[at] = Some(before),
                        Some(known) if known != before => findings.violate(read.completed, || {
                            let name = |element: Option<Value>| match element {
                                Some(element) => format!("after {element}"),
                                None => "at the beginning of the list".to_owned(),
                            };
                            let step = words::step(index, writer);
                            Faulty::new(index, read, key).says(
                                &format!(
                                    "It holds {value} {}, but {} appended it in {} {}: the list was \
                                     garbled on its way.",
                                    name(before),
                                    step.client,
                                    explain::place(&step),
                                    name(known),
                                ),
                                Some(writer),
                            )
                        }),
                        Some(_) => {}
                    }
                    let prefix: &'h str = &text[..end.min(text.len())];
                    self.list[at].get_or_insert(prefix);
                }
                before = Some(value);
            }
        }
    }

    /// The list that a transaction has written to a key, if it is known.
    fn written(&self, operation: OperationIndex, key: Key) -> Option<&'h str> {
        self.list[self.index.number_of_write(operation, key)?]
    }

    /// Whether the merge may have overwritten an append, since the list at the end has gone another way.
    fn may_be_overwritten(&self, operation: OperationIndex, key: Key, end: &str) -> bool {
        if end.is_empty() {
            return false;
        }
        if let Some(list) = self.written(operation, key) {
            return !is_older(end, list);
        }
        // Nobody has read it; what it extended may be told by itself.
        let at = self.index.number_of_write(operation, key);
        let last = end.rsplit(' ').next().and_then(|last| last.parse().ok());
        match at.and_then(|at| self.before[at]) {
            Some(before) => before != last,
            None => true,
        }
    }
}

/// Whether the other list goes on where this one ends.
fn is_older(list: &str, other: &str) -> bool {
    match other.strip_prefix(list) {
        Some(rest) if list.is_empty() => !rest.is_empty(),
        Some(rest) => rest.starts_with(' '),
        None => false,
    }
}

/// What is known of a key along a session: the lists, and the operations that brought them.
type Known<'h> = HashMap<(usize, Key), Vec<(OperationIndex, &'h str)>>;

/// The four session guarantees and atomic visibility, in the order in which they are reported.
fn guarantees(index: &Index, versions: &Versions) -> Vec<Findings> {
    let mut findings: Vec<Findings> = [
        Property::ReadYourWrites,
        Property::MonotonicReads,
        Property::MonotonicWrites,
        Property::WritesFollowReads,
        Property::AtomicVisibility,
    ]
    .map(Findings::new)
    .into();
    // By session: what it wrote, and what it read.
    let mut written: Known = HashMap::new();
    let mut read_by: Known = HashMap::new();
    for (number, operation) in (0..).zip(&index.operations) {
        let Outcome::Ok { read, .. } = operation.outcome else {
            continue;
        };
        for (key, text) in index.reads[read].collections.into_iter().flatten() {
            let of_key = read_by.entry((operation.session, *key)).or_default();
            if of_key.last().is_none_or(|(_, last)| *last != text.as_str()) {
                of_key.push((number, text.as_str()));
            }
        }
        for key in index.possible_writes(number) {
            if let Some(list) = versions.written(number, *key) {
                let of_key = written.entry((operation.session, *key)).or_default();
                of_key.push((number, list));
            }
        }
    }
    let up_to = |known: &Known, session: usize, key: Key, limit: OperationIndex| {
        let of_key = known.get(&(session, key))?;
        let at = of_key.partition_point(|(operation, _)| *operation < limit);
        at.checked_sub(1)
            .map(|at| (of_key[at].0, of_key[at].1.len(), at))
    };
    for read in &index.reads {
        let lists = read.collections.into_iter().flatten();
        // The transactions that wrote the versions it read, by key.
        let shown: Vec<(Key, OperationIndex)> = lists
            .clone()
            .filter_map(|(key, text)| {
                let value: Value = text.rsplit(' ').next()?.parse().ok()?;
                let writer = index.writer_of(value)?;
                index.number_of_write(writer, *key)?;
                (Some(writer) != read.operation).then_some((*key, writer))
            })
            .collect();
        let own = read.operation.unwrap_or(OperationIndex::MAX);
        for (key, text) in lists {
            let mut compare = |property: usize,
                               known: &Known,
                               session: usize,
                               limit,
                               shown: Option<OperationIndex>| {
                let Some((operation, _, at)) = up_to(known, session, *key, limit) else {
                    return;
                };
                findings[property].exercise(1);
                let list = known[&(session, *key)][at].1;
                if is_older(text, list) {
                    findings[property].violate(read.completed, || {
                        older(index, read, *key, text, list, (property, operation, shown))
                    });
                }
            };
            // A final read comes after all operations that had ended; an emission may follow it.
            let limit = match read.operation {
                Some(_) => own,
                None => index.operations_before(read.completed),
            };
            compare(0, &written, read.session, limit, None);
            compare(1, &read_by, read.session, limit, None);
            for (other, writer) in &shown {
                if other == key {
                    continue;
                }
                let session = index.operations[*writer as usize].session;
                if index.number_of_write(*writer, *key).is_some() {
                    findings[4].exercise(1);
                    if let Some(list) = versions.written(*writer, *key)
                        && is_older(text, list)
                    {
                        findings[4].violate(read.completed, || {
                            older(index, read, *key, text, list, (4, *writer, Some(*writer)))
                        });
                    }
                }
                if session == read.session {
                    continue;
                }
                let mut compare = |property: usize, known: &Known, limit| {
                    let Some((operation, _, at)) = up_to(known, session, *key, limit) else {
                        return;
                    };
                    findings[property].exercise(1);
                    let list = known[&(session, *key)][at].1;
                    if is_older(text, list) {
                        findings[property].violate(read.completed, || {
                            let why = (property, operation, Some(*writer));
                            older(index, read, *key, text, list, why)
                        });
                    }
                };
                let committed = matches!(
                    index.operations[*writer as usize].outcome,
                    Outcome::Ok { .. }
                );
                compare(2, &written, *writer);
                compare(3, &read_by, *writer + OperationIndex::from(committed));
            }
        }
    }
    findings
}

/// A read that is older than a version which its causal past holds.
fn older(
    index: &Index,
    read: &Read,
    key: Key,
    text: &str,
    list: &str,
    (property, known, shown): (usize, OperationIndex, Option<OperationIndex>),
) -> Violation {
    let step = words::step(index, known);
    let known_by = format!("{} in {}", step.client, explain::place(&step));
    let shown_by = shown.map(|shown| {
        let step = words::step(index, shown);
        format!("{} in {}", step.client, explain::place(&step))
    });
    let shown_by = shown_by.unwrap_or_default();
    let why = match property {
        0 => {
            format!("{known_by} had appended to it before: the read misses its own session's write")
        }
        1 => format!("{known_by} had read more of it before: it has gone back in time"),
        2 => format!(
            "the same read shows what {shown_by} appended to another list, and that session had appended to this one before, in {}",
            explain::place(&step)
        ),
        3 => format!(
            "the same read shows what {shown_by} appended to another list, and that session had read more of this one, in {}",
            explain::place(&step)
        ),
        _ => format!(
            "the same read shows what {shown_by} appended to another list in the same transaction: a fractured read"
        ),
    };
    let mut violation = Faulty::new(index, read, key).says(
        &format!(
            "It returned [{}], older than [{}]: {why}.",
            tail(text),
            tail(list)
        ),
        shown,
    );
    violation
        .operations
        .extend(index.operations.get(known as usize).map(|o| o.number));
    violation.operations.dedup();
    violation
}

/// The end of a list, for explanations.
fn tail(list: &str) -> String {
    let elements: Vec<&str> = list.split(' ').collect();
    match elements.len() {
        0..=6 => list.to_owned(),
        count => format!("… {}", elements[count - 5..].join(" ")),
    }
}

/// Causal consistency of whole transactions.
fn causal(history: &History, versions: &Versions) -> Findings {
    let mut recording = Recording::new(history).into_registers();
    recording.read_what_is_extended(|label, key| {
        let writer = versions.index.operation_of(label)?;
        versions.before[versions.index.number_of_write(writer, key)?]
    });
    by_model::judge(
        Property::CausalConsistency,
        Model::Causal,
        &recording,
        history.records.len(),
        // Reads out of thin air have no cycle, and are a property of their own.
        |anomaly| !anomaly.cycle.is_empty(),
    )
}
