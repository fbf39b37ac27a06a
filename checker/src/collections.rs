//! What the workloads `gset` and `list-append` have in common: texts of elements, the causal past of a
//! read, and the properties of the end.

use std::collections::{BTreeMap, BTreeSet};

use squall_protocol::transaction::{Collections, Key, Value};
use squall_protocol::verdict::{Property, Violation};

use crate::evidence::Findings;
use crate::mww::explain::{self, Impossible};
use crate::mww::index::{Index, OperationIndex, Outcome, Read, Source};
use crate::mww::recovery::{self, NotRead, Probes, Recovery, Unseen};
use crate::mww::{storage_intact, strong_convergence, words};

/// A value in a collection that was read, and who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Element {
    pub key: Key,
    pub writer: OperationIndex,
    /// The number of the write in the history.
    pub number: u32,
}

/// Goes through the elements of a read in their order; those that can not be there are violations of
/// `no-thin-air-read`.
pub(crate) fn parse(
    index: &Index,
    read: &Read,
    collections: &Collections,
    findings: &mut Findings,
    mut take: impl FnMut(Element),
) {
    for (key, text) in collections {
        for part in text.split(' ').filter(|_| !text.is_empty()) {
            findings.exercise(1);
            let Ok(value) = part.parse::<Value>() else {
                findings.violate(read.completed, || {
                    Faulty::new(index, read, *key).garbled(part)
                });
                continue;
            };
            match index.trace(read, *key, value) {
                Ok(Source::Operation(writer)) => take(Element {
                    key: *key,
                    writer,
                    number: index.number_of_write(writer, *key).unwrap_or(0) as u32,
                }),
                Ok(Source::Ambiguous) => {}
                Ok(_) => findings.violate(read.completed, || {
                    let reader = words::reader(index, read);
                    explain::thin_air(reader, *key, value, Impossible::NeverWritten)
                }),
                Err(why) => findings.violate(read.completed, || {
                    let why = why.map(|writer| words::step(index, writer));
                    explain::thin_air(words::reader(index, read), *key, value, why)
                }),
            }
        }
    }
}

/// The words for what is wrong with a collection that was read.
pub(crate) struct Faulty<'i, 'h> {
    index: &'i Index<'h>,
    read: &'i Read<'h>,
    key: Key,
}

impl<'i, 'h> Faulty<'i, 'h> {
    pub fn new(index: &'i Index<'h>, read: &'i Read<'h>, key: Key) -> Self {
        Faulty { index, read, key }
    }

    /// In those words after who read where.
    pub fn says(&self, what: &str, other: Option<OperationIndex>) -> Violation {
        let reader = words::reader(self.index, self.read);
        Violation {
            summary: format!(
                "{} read k{} in {}. {what}",
                reader.client,
                self.key,
                explain::place(&reader)
            ),
            operations: words::numbers(self.index, [self.read.operation, other]),
            evidence: Vec::new(),
        }
    }

    pub fn garbled(&self, part: &str) -> Violation {
        self.says(&format!("It holds {part:?}, which is no element."), None)
    }

    pub fn twice(&self, value: Value) -> Violation {
        self.says(&format!("It holds the element {value} twice."), None)
    }

    pub fn missing(&self, missed: OperationIndex, why: String) -> Violation {
        let step = words::step(self.index, missed);
        let value = self.index.value(missed);
        let what = format!(
            "It lacks the element {value} of {} in {}. {why}",
            step.client,
            explain::place(&step)
        );
        self.says(&what, Some(missed))
    }
}

/// What is in the causal past of an operation or read.
#[derive(Clone, Default)]
pub(crate) struct PastOf {
    /// For each session: those of its operations that committed and are below this.
    pub clock: Vec<OperationIndex>,
    /// The operations of unknown outcome.
    pub unknown: BTreeSet<OperationIndex>,
}

impl PastOf {
    pub fn contains(&self, index: &Index, operation: OperationIndex) -> bool {
        let of = &index.operations[operation as usize];
        match of.outcome {
            Outcome::Ok { .. } => operation < self.clock[of.session],
            _ => self.unknown.contains(&operation),
        }
    }

    fn join(&mut self, other: &PastOf) {
        for (own, other) in self.clock.iter_mut().zip(&other.clock) {
            *own = (*own).max(*other);
        }
        self.unknown.extend(&other.unknown);
    }
}

/// The causal past of every read, by session order and reads-from.
pub(crate) struct Past<'i, 'h> {
    index: &'i Index<'h>,
    /// By read.
    past: Vec<Option<PastOf>>,
    /// Pairs of reads and operations that are in each other's past.
    cycles: Vec<(usize, OperationIndex)>,
}

impl<'i, 'h> Past<'i, 'h> {
    pub fn new(index: &'i Index<'h>) -> Self {
        let mut past = Past {
            index,
            past: vec![None; index.reads.len()],
            cycles: Vec::new(),
        };
        let sources: Vec<Vec<OperationIndex>> = index
            .reads
            .iter()
            .map(|read| sources(index, read))
            .collect();
        // The read before each in its session.
        let mut before: Vec<Option<usize>> = vec![None; index.reads.len()];
        for session in &index.sessions {
            for pair in session.reads.windows(2) {
                before[pair[1]] = Some(pair[0]);
            }
        }
        let mut entered = vec![false; index.reads.len()];
        for read in 0..index.reads.len() {
            let mut stack = vec![read];
            while let Some(&read) = stack.last() {
                if past.past[read].is_some() {
                    stack.pop();
                    continue;
                }
                let first = !std::mem::replace(&mut entered[read], true);
                let needed = before[read].into_iter().chain(
                    sources[read]
                        .iter()
                        .filter_map(|writer| past.read_before(*writer)),
                );
                let open: Vec<usize> = needed.filter(|at| past.past[*at].is_none()).collect();
                if first && !open.is_empty() {
                    stack.extend(open.iter().filter(|at| !entered[**at]));
                    if open.iter().any(|at| !entered[*at]) {
                        continue;
                    }
                }
                let of = past.compute(read, before[read], &sources[read]);
                past.past[read] = Some(of);
                stack.pop();
            }
        }
        past
    }

    /// The read whose past, and whose operation, are in the past of whoever sees that operation.
    fn read_before(&self, writer: OperationIndex) -> Option<usize> {
        let operation = &self.index.operations[writer as usize];
        match operation.outcome {
            Outcome::Ok { read, .. } => Some(read),
            // What had ended before its invocation.
            _ => {
                let reads = &self.index.sessions[operation.session].reads;
                let index = self.index;
                let at =
                    reads.partition_point(|read| index.reads[*read].completed < operation.invoked);
                at.checked_sub(1).map(|at| reads[at])
            }
        }
    }

    fn compute(
        &mut self,
        read: usize,
        before: Option<usize>,
        sources: &[OperationIndex],
    ) -> PastOf {
        let index = self.index;
        let mut of = PastOf {
            clock: vec![0; index.sessions.len()],
            unknown: BTreeSet::new(),
        };
        let after = |of: &mut PastOf, read: usize| {
            let read = &index.reads[read];
            if let Some(operation) = read.operation {
                let clock = &mut of.clock[read.session];
                *clock = (*clock).max(operation + 1);
            }
        };
        if let Some(before) = before {
            if let Some(past) = &self.past[before] {
                of.join(past);
            }
            after(&mut of, before);
        }
        for writer in sources {
            if let Some(source) = self.read_before(*writer) {
                match &self.past[source] {
                    Some(past) => of.join(past),
                    None => self.cycles.push((read, *writer)),
                }
                after(&mut of, source);
            }
            if !matches!(
                index.operations[*writer as usize].outcome,
                Outcome::Ok { .. }
            ) {
                of.unknown.insert(*writer);
            }
        }
        // Its own operation comes after it.
        let own = &index.reads[read];
        if let Some(operation) = own.operation {
            let clock = &mut of.clock[own.session];
            *clock = (*clock).min(operation);
        }
        of
    }

    pub fn of(&mut self, read: usize) -> PastOf {
        self.past[read].clone().unwrap_or_default()
    }

    /// Reads from transactions that have, in turn, read from them.
    pub fn tell_cycles(&self, findings: &mut Findings) {
        for (read, writer) in &self.cycles {
            let read = &self.index.reads[*read];
            let reader = words::reader(self.index, read);
            let writer_step = words::step(self.index, *writer);
            findings.violate(read.completed, || Violation {
                summary: format!(
                    "{} read in {} what {} wrote in {}, and that in turn comes after it: each is in the \
                     other's causal past (circular information flow, G1c).",
                    reader.client,
                    explain::place(&reader),
                    writer_step.client,
                    explain::place(&writer_step)
                ),
                operations: words::numbers(self.index, [read.operation, Some(*writer)]),
                evidence: Vec::new(),
            });
        }
    }
}

/// Whose writes a read shows.
fn sources(index: &Index, read: &Read) -> Vec<OperationIndex> {
    let mut sources = Vec::new();
    let mut ignored = Findings::new(Property::NoThinAirRead);
    if let Some(collections) = read.collections {
        parse(index, read, collections, &mut ignored, |element| {
            sources.push(element.writer);
        });
    }
    sources.sort_unstable();
    sources.dedup();
    sources
}

/// The properties of the end that all workloads have but for convergence: storage, queues, recovery.
pub(crate) fn end(index: &Index, probes: &mut dyn Probes) -> (Recovery, Vec<Findings>) {
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

/// The text of a collection in a read; empty if it is not told of.
pub(crate) fn text_of<'h>(read: &Read<'h>, key: Key) -> &'h str {
    let collections: &'h [(Key, String)] = read.collections.map_or(&[], Vec::as_slice);
    match collections.binary_search_by_key(&key, |(other, _)| *other) {
        Ok(at) => collections[at].1.as_str(),
        Err(_) => "",
    }
}

/// Whether a text holds an element.
pub(crate) fn holds(text: &str, value: Value) -> bool {
    text.split(' ').any(|part| part.parse() == Ok(value))
}

/// What a read lacks of the probes, but for what `excused` says that the merge may have overwritten.
pub(crate) fn unseen(
    index: &Index,
    read: &Read,
    probes: &[OperationIndex],
    mut excused: impl FnMut(Key, &str) -> bool,
) -> Result<Option<Unseen>, NotRead> {
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
            if first.is_none() && !holds(text, value) && !excused(*key, text) {
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
                        let other = words::reader(index, &index.reads[*other]);
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
                        Faulty::new(index, read, *key).says(
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
                        let why = "It was acknowledged and uploaded: it was lost.".to_owned();
                        Faulty::new(index, read, *key).missing(*operation, why)
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
