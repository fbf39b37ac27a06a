//! The properties of the end, of collections.

use std::collections::{BTreeMap, BTreeSet};

use squall_protocol::transaction::{Key, Value};
use squall_protocol::verdict::Property;

use super::{Faulty, elements};
use crate::findings::Findings;
use crate::findings::explain;
use crate::log::index::Index;
use crate::log::operations::Found;
use crate::log::trace::OperationIndex;
use crate::rules::recovery::{self, NotRead, Probes, Recovery, Unseen};
use crate::rules::{storage_intact, strong_convergence};

/// The properties of the end that all workloads have but for convergence: storage, queues, recovery.
pub(crate) fn judge(index: &Index, probes: &mut dyn Probes) -> (Recovery, Vec<Findings>) {
    let mut recovery = recovery::judge(index, probes);
    let drained = std::mem::replace(
        &mut recovery.queue_drained,
        Findings::new(Property::QueueDrained),
    );
    let recovered = std::mem::replace(
        &mut recovery.recovered_in_time,
        Findings::new(Property::RecoveredInTime),
    );
    let findings = vec![storage_intact::judge(index), drained, recovered];
    (recovery, findings)
}

/// Which probes a read shows: those whose elements it holds. In lists also those that the merge has
/// overwritten, by what PostgreSQL holds at the end.
pub(crate) struct InCollections<'i, 'h> {
    index: &'i Index<'h>,
    are_overwritten: bool,
}

impl<'i, 'h> InCollections<'i, 'h> {
    pub fn of_sets(index: &'i Index<'h>) -> Self {
        InCollections {
            index,
            are_overwritten: false,
        }
    }

    pub fn of_lists(index: &'i Index<'h>) -> Self {
        InCollections {
            index,
            are_overwritten: true,
        }
    }

    /// Whether the list is the one that PostgreSQL ends with, without any probe in it.
    fn is_overwritten(&self, probes: &[OperationIndex], key: Key, text: &str) -> bool {
        let end = self.index.postgres_read.filter(|_| self.are_overwritten);
        end.is_some_and(|end| {
            let last = text_of(&self.index.reads[end], key);
            let mut probes = probes.iter().map(|probe| self.index.value(*probe));
            last == text && !probes.any(|probe| holds(last, probe))
        })
    }
}

/// The text of a collection in a read; empty if it is not told of.
fn text_of<'h>(read: &Found<'h>, key: Key) -> &'h str {
    let collections: &'h [(Key, String)] = read.collections.map_or(&[], Vec::as_slice);
    match collections.binary_search_by_key(&key, |(other, _)| *other) {
        Ok(at) => collections[at].1.as_str(),
        Err(_) => "",
    }
}

/// Whether a text holds an element.
fn holds(text: &str, value: Value) -> bool {
    elements(text).any(|part| part.parse() == Ok(value))
}

impl Probes for InCollections<'_, '_> {
    fn unseen(
        &mut self,
        read: &Found,
        probes: &[OperationIndex],
    ) -> Result<Option<Unseen>, NotRead> {
        let index = self.index;
        if read.collections.is_none() {
            return Err(NotRead);
        }
        let mut first = None;
        for probe in probes {
            for key in index.possible_writes(*probe) {
                if !read.asked.contains(*key) {
                    return Err(NotRead);
                }
                let text = text_of(read, *key);
                let value = index.value(*probe);
                let shown = || holds(text, value) || self.is_overwritten(probes, *key, text);
                if first.is_none() && !shown() {
                    first = Some(Unseen {
                        probe: *probe,
                        what: format!("{value} to k{key}"),
                        instead: format!("k{key} without it"),
                    });
                }
            }
        }
        Ok(first)
    }
}

/// *Strong convergence* and *durability* of collections: final reads hold the same, and what was
/// acknowledged. `excused` tells whether an element may be missing from a final read.
pub(crate) fn same_elements(
    index: &Index,
    recovery: &Recovery,
    excused: impl Fn(OperationIndex, (Key, &str)) -> bool,
) -> (Findings, Findings) {
    let mut convergence = Findings::new(Property::StrongConvergence);
    let mut durability = Findings::new(Property::Durability);
    let mut overwritten = 0;
    for (share, replicas) in strong_convergence::replicas(index, recovery, &mut convergence) {
        let mut texts: BTreeMap<Key, (&str, usize)> = BTreeMap::new();
        for replica in &replicas {
            let read = &index.reads[*replica];
            for (key, text) in read.collections.into_iter().flatten() {
                texts.entry(*key).or_insert((text.as_str(), *replica));
            }
        }
        for replica in &replicas {
            let read = &index.reads[*replica];
            convergence.exercise(texts.len() as u64);
            for (key, (text, other)) in &texts {
                let own = text_of(read, *key);
                if own != *text {
                    convergence.violate(read.completed, || {
                        let other = index.log.reader(&index.reads[*other]);
                        let lacks = text
                            .split(' ')
                            .find(|part| !own.split(' ').any(|o| o == *part));
                        let more = own
                            .split(' ')
                            .find(|part| !text.split(' ').any(|o| o == *part));
                        let what = match (lacks, more) {
                            (Some(part), _) if !part.is_empty() => format!("lacks {part}, which"),
                            (_, Some(part)) if !part.is_empty() => {
                                format!("has {part}, unlike what")
                            }
                            _ => "has another order than".to_owned(),
                        };
                        Faulty::new(index.log.reader(read), *key).says(
                            &format!(
                                "It {what} {} has in {}: the two have not become the same.",
                                other.client,
                                explain::place(&other)
                            ),
                            None,
                        )
                    });
                }
            }
        }
        let acknowledged: Vec<OperationIndex> =
            strong_convergence::acknowledged_by_settled(index, recovery, share).collect();
        for replica in &replicas {
            let read = &index.reads[*replica];
            let mut held: BTreeSet<(Key, Value)> = BTreeSet::new();
            for (key, text) in read.collections.into_iter().flatten() {
                held.extend(
                    text.split(' ')
                        .filter_map(|part| Some((*key, part.parse().ok()?))),
                );
            }
            for operation in &acknowledged {
                for key in index.possible_writes(*operation) {
                    durability.exercise(1);
                    if held.contains(&(*key, index.value(*operation))) {
                        continue;
                    }
                    if excused(*operation, (*key, text_of(read, *key))) {
                        overwritten += u64::from(*replica == replicas[0]);
                        continue;
                    }
                    durability.violate(read.completed, || {
                        let value = index.value(*operation);
                        let writer = index.log.operation_step(*operation);
                        let why = "It was acknowledged and uploaded: it was lost.";
                        Faulty::new(index.log.reader(read), *key).missing(value, &writer, why)
                    });
                }
            }
        }
        if replicas.is_empty() {
            durability.doubt("there is no final read to compare with".to_owned());
        }
    }
    if overwritten > 0 {
        durability.remark(format!(
            "{overwritten} acknowledged appends were overwritten by the merge, as concurrent ones may be"
        ));
    }
    (convergence, durability)
}
