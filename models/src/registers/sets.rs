//! Sets to which transactions add unique elements, as registers: each element of a set is one, which
//! only the transaction writes that adds it.
//!
//! A read of a set is a read of all of its elements: of those that it shows from the transaction that
//! added them, and of all others of their initial value. So every model and every anomaly has its
//! usual meaning: an element that nobody added is a thin-air read; one that a session had seen and that
//! vanishes breaks monotonic reads. Besides, one read shows all that a transaction added to the set, or
//! nothing of it: part of it is an intermediate read, as part of a list would be.
//!
//! # Absent elements
//!
//! To read everything that is absent would be reads times elements, and most of it says nothing. Only
//! these are read:
//!
//! - what is absent although who added it is in the causal past of the reader, as vector clocks tell.
//!   A model that is not stronger than causal consistency asks for nothing else, because whatever it
//!   demands to be seen is in the causal past, and with one writer for each register there is nothing
//!   to derive. In a history that is causally consistent there are none of these.
//! - for the stronger models, which demand that whoever added an absent element commits after the
//!   snapshot: of several reads of a session in a row in which an element is absent only the last, since
//!   snapshots follow session order; and of several elements that were added in one session only the
//!   earliest, since commits follow it. So an element becomes absent once when it is first seen by each
//!   session, which is paid for by that read, and once for each session after the last read of the set.
//!
//! Time: linear in the elements read, and for each read times the sessions that add to the set, for the
//! clocks; plus what is missing from causal pasts. (A transaction of unknown outcome that was seen is a
//! session here.)

use std::collections::HashMap;

use super::anomaly::{AnomalyKind, KeyLabels};
use super::build::{BuildError, Builder, Outcome};
use super::clocks::{Clocks, Tick};
use super::commit_order::causal_order;
use super::lists::Wrong;
use super::{NONE, Node, Registers};

/// Takes the operations of a history over grow-only sets, then makes it.
#[derive(Default)]
pub struct SetBuilder {
    transactions: Vec<Transaction>,
    operations: Vec<Operation>,
    /// What reads have shown.
    shown: Vec<u64>,
    labels: KeyLabels,
}

struct Transaction {
    session: u64,
    label: Option<u64>,
    outcome: Outcome,
    times: Option<(u64, Option<u64>)>,
}

struct Operation {
    transaction: u32,
    set: u64,
    kind: Kind,
}

enum Kind {
    Add(u64),
    /// A range of [`SetBuilder::shown`].
    Read(std::ops::Range<usize>),
}

impl SetBuilder {
    /// As [`Builder::name_key`].
    pub fn name_key(&mut self, set: u64, name: String) {
        self.labels.names.insert(set, name);
    }

    /// As [`Builder::name_value`].
    pub fn name_value(&mut self, element: u64, name: String) {
        self.labels.values.insert(element, name);
    }

    /// As [`Builder::transaction`].
    pub fn transaction(&mut self, session: u64, label: Option<u64>, outcome: Outcome) -> u32 {
        self.transactions.push(Transaction {
            session,
            label,
            outcome,
            times: None,
        });
        (self.transactions.len() - 1) as u32
    }

    /// As [`Builder::times`].
    pub fn times(&mut self, transaction: u32, begin: u64, end: Option<u64>) {
        self.transactions[transaction as usize].times = Some((begin, end));
    }

    /// The transaction adds an element, which no other transaction adds to the set.
    pub fn add(&mut self, transaction: u32, set: u64, element: u64) {
        self.operations.push(Operation {
            transaction,
            set,
            kind: Kind::Add(element),
        });
    }

    /// The transaction reads the whole set; the elements come in any order.
    pub fn read(&mut self, transaction: u32, set: u64, elements: &[u64]) {
        let begin = self.shown.len();
        self.shown.extend_from_slice(elements);
        self.operations.push(Operation {
            transaction,
            set,
            kind: Kind::Read(begin..self.shown.len()),
        });
    }

    /// Makes the history.
    pub fn finish(mut self) -> Result<Registers, BuildError> {
        self.operations
            .sort_by_key(|operation| operation.transaction);
        let elements = Elements::new(&self)?;
        let mut absent = Vec::new();
        elements.add_last_absences(&self, &mut absent);
        let registers = elements.build(&self, &mut absent)?;
        let known = absent.len();
        elements.add_missing(&self, &registers, &mut absent);
        if absent.len() == known {
            return Ok(registers);
        }
        elements.build(&self, &mut absent)
    }

    fn is_committed(&self, transaction: u32) -> bool {
        self.transactions[transaction as usize].outcome == Outcome::Committed
    }
}

/// An element that an operation, by its place, does not show: the register.
type Absent = (usize, u32);

/// Who added which element to which set; each is a register.
struct Elements {
    /// For each register its set and the element.
    names: Vec<(u64, u64)>,
    /// For each register the transaction, or [`NONE`].
    adders: Vec<u32>,
    /// For each register what the same transaction added to the same set, as the number of a group.
    groups: Vec<u32>,
    group_sizes: Vec<u32>,
    /// For each operation the registers: of the one that is added, or of those that are shown, each once.
    registers: Vec<Vec<u32>>,
    /// For each operation an element that is shown twice.
    twice: Vec<Option<u32>>,
    /// For each transaction its session; of those of unknown outcome another one for each.
    lines: Vec<u32>,
    /// For each transaction whether it took effect: it committed, or somebody has seen it.
    exists: Vec<bool>,
    /// For each set the registers whose elements were added, by line and then in session order.
    sets: HashMap<u64, Vec<Vec<u32>>>,
}

impl Elements {
    fn new(builder: &SetBuilder) -> Result<Self, BuildError> {
        let mut numbers: HashMap<(u64, u64), u32> = HashMap::new();
        let mut elements = Elements {
            names: Vec::new(),
            adders: Vec::new(),
            groups: Vec::new(),
            group_sizes: Vec::new(),
            registers: Vec::with_capacity(builder.operations.len()),
            twice: vec![None; builder.operations.len()],
            lines: Vec::with_capacity(builder.transactions.len()),
            exists: Vec::new(),
            sets: HashMap::new(),
        };
        let mut groups: HashMap<(u32, u64), u32> = HashMap::new();
        // For each register the last operation that showed it, counted from 1.
        let mut shown: Vec<usize> = Vec::new();
        for (place, operation) in builder.operations.iter().enumerate() {
            let mut number = |element: u64| {
                *numbers.entry((operation.set, element)).or_insert_with(|| {
                    elements.names.push((operation.set, element));
                    elements.adders.push(NONE);
                    elements.groups.push(NONE);
                    elements.names.len() as u32 - 1
                })
            };
            let mut registers = Vec::new();
            match &operation.kind {
                Kind::Add(element) => {
                    let register = number(*element);
                    let adder = &mut elements.adders[register as usize];
                    if *adder == NONE {
                        *adder = operation.transaction;
                        let next = elements.group_sizes.len() as u32;
                        let group = groups.entry((operation.transaction, operation.set));
                        let group = *group.or_insert(next);
                        elements.groups[register as usize] = group;
                        if group == next {
                            elements.group_sizes.push(0);
                        }
                        elements.group_sizes[group as usize] += 1;
                    } else if *adder != operation.transaction {
                        return Err(BuildError::NotUnique {
                            key: builder.labels.of_set(operation.set),
                            value: builder.labels.value(*element),
                        });
                    }
                    registers.push(register);
                }
                Kind::Read(range) => {
                    for element in &builder.shown[range.clone()] {
                        let register = number(*element);
                        if shown.len() <= register as usize {
                            shown.resize(register as usize + 1, 0);
                        }
                        if std::mem::replace(&mut shown[register as usize], place + 1) == place + 1
                        {
                            elements.twice[place] = Some(register);
                        } else {
                            registers.push(register);
                        }
                    }
                }
            }
            elements.registers.push(registers);
        }
        elements.find_lines(builder);
        elements.find_sets();
        Ok(elements)
    }

    fn find_lines(&mut self, builder: &SetBuilder) {
        let mut sessions: HashMap<u64, u32> = HashMap::new();
        for transaction in &builder.transactions {
            let next = sessions.len() as u32;
            sessions.entry(transaction.session).or_insert(next);
        }
        let mut next = sessions.len() as u32;
        for transaction in &builder.transactions {
            self.exists.push(transaction.outcome == Outcome::Committed);
            self.lines.push(match transaction.outcome {
                Outcome::Unknown => {
                    next += 1;
                    next - 1
                }
                _ => sessions[&transaction.session],
            });
        }
        for (operation, registers) in builder.operations.iter().zip(&self.registers) {
            if matches!(operation.kind, Kind::Add(_))
                || !builder.is_committed(operation.transaction)
            {
                continue;
            }
            for register in registers {
                let adder = self.adders[*register as usize];
                if adder != NONE && builder.transactions[adder as usize].outcome == Outcome::Unknown
                {
                    self.exists[adder as usize] = true;
                }
            }
        }
    }

    fn find_sets(&mut self) {
        let exists = |register: &u32| {
            let adder = self.adders[*register as usize];
            adder != NONE && self.exists[adder as usize]
        };
        let mut registers: Vec<u32> = (0..self.names.len() as u32).filter(exists).collect();
        let line = |register: u32| self.lines[self.adders[register as usize] as usize];
        registers.sort_by_key(|register| {
            let (set, _) = self.names[*register as usize];
            (set, line(*register), self.adders[*register as usize])
        });
        let set = |register: u32| self.names[register as usize].0;
        let same = |a: &u32, b: &u32| set(*a) == set(*b) && line(*a) == line(*b);
        for of_line in registers.chunk_by(same) {
            let lines = self.sets.entry(set(of_line[0])).or_default();
            lines.push(of_line.to_vec());
        }
    }

    fn of_set(&self, set: u64) -> &[Vec<u32>] {
        self.sets.get(&set).map_or(&[], Vec::as_slice)
    }

    /// The last absences of elements, as the stronger models need them.
    fn add_last_absences(&self, builder: &SetBuilder, absent: &mut Vec<Absent>) {
        let mut reads: HashMap<(u64, u64), Vec<usize>> = HashMap::new();
        for (place, operation) in builder.operations.iter().enumerate() {
            if matches!(operation.kind, Kind::Read(_))
                && builder.is_committed(operation.transaction)
            {
                let session = builder.transactions[operation.transaction as usize].session;
                let reads = reads.entry((session, operation.set)).or_default();
                reads.push(place);
            }
        }
        // For each register the last read that showed it, counted from 1.
        let mut shown: Vec<usize> = vec![0; self.names.len()];
        for ((_, set), reads) in reads {
            let mut before = None;
            for place in &reads {
                let mut new: Vec<u32> = Vec::new();
                for register in &self.registers[*place] {
                    let last = std::mem::replace(&mut shown[*register as usize], place + 1);
                    if before.is_some_and(|before| last != before + 1) {
                        new.push(*register);
                    }
                }
                if let Some(before) = before {
                    self.add_earliest(builder, before, new, absent);
                }
                before = Some(*place);
            }
            if let Some(last) = before {
                let is_absent = |register: &&u32| shown[**register as usize] != last + 1;
                let lines = self.of_set(set).iter();
                let firsts = lines
                    .filter_map(|line| line.iter().find(is_absent))
                    .copied();
                self.add_earliest(builder, last, firsts.collect(), absent);
            }
        }
    }

    /// Of the absent elements the earliest of each session, if it might have been seen.
    fn add_earliest(
        &self,
        builder: &SetBuilder,
        place: usize,
        mut registers: Vec<u32>,
        absent: &mut Vec<Absent>,
    ) {
        let reader = builder.operations[place].transaction;
        registers.retain(|register| {
            let adder = self.adders[*register as usize];
            let own = |adder: u32| self.lines[adder as usize] == self.lines[reader as usize];
            adder != NONE && self.exists[adder as usize] && !(own(adder) && adder >= reader)
        });
        let line = |register: u32| self.lines[self.adders[register as usize] as usize];
        registers.sort_by_key(|register| (line(*register), self.adders[*register as usize]));
        registers.dedup_by_key(|register| line(*register));
        absent.extend(registers.into_iter().map(|register| (place, register)));
    }

    /// What is absent and in the causal past. Nothing, if causality has a cycle.
    fn add_missing(&self, builder: &SetBuilder, registers: &Registers, absent: &mut Vec<Absent>) {
        let Ok(order) = causal_order(registers, registers.nodes()) else {
            return;
        };
        let mut nodes: Vec<Node> = vec![NONE; self.exists.len()];
        let existing = (0..self.exists.len()).filter(|at| self.exists[*at]);
        let mut transactions: Vec<u32> = Vec::with_capacity(order.len());
        for (node, at) in (0..).zip(existing) {
            nodes[at] = node;
            transactions.push(at as u32);
        }
        let place = |register: u32| {
            let adder = self.adders[register as usize] as usize;
            registers.places[nodes[adder] as usize]
        };
        let mut clocks: Clocks<i32> = Clocks::new(registers);
        // For each register the last read that showed it, counted from 1.
        let mut shown: Vec<usize> = vec![0; self.names.len()];
        // For each session the read that the entry is for, and how many of its elements that showed.
        let mut counts: Vec<(usize, usize)> = vec![(0, 0); registers.sessions()];
        for node in order {
            clocks.enter(registers, node);
            let (session, _) = registers.places[node as usize];
            let clock = clocks.of(session);
            let transaction = transactions[node as usize];
            let operations = &builder.operations;
            let first = operations.partition_point(|o| o.transaction < transaction);
            let own = operations[first..].iter();
            let own = own.take_while(|operation| operation.transaction == transaction);
            for (at, operation) in (first..).zip(own) {
                if matches!(operation.kind, Kind::Add(_)) || !builder.is_committed(transaction) {
                    continue;
                }
                for register in &self.registers[at] {
                    shown[*register as usize] = at + 1;
                    let adder = self.adders[*register as usize];
                    if adder == NONE || adder == transaction || !self.exists[adder as usize] {
                        continue;
                    }
                    let count = &mut counts[place(*register).0 as usize];
                    if count.0 != at + 1 {
                        *count = (at + 1, 0);
                    }
                    count.1 += 1;
                }
                for line in self.of_set(operation.set) {
                    let (session, _) = place(line[0]);
                    let seen = clock[session as usize].get();
                    let past = match seen {
                        0 => 0,
                        seen => line.partition_point(|register| place(*register).1 < seen),
                    };
                    let count = counts[session as usize];
                    if past > if count.0 == at + 1 { count.1 } else { 0 } {
                        let past = line[..past].iter();
                        let missing = past.filter(|register| shown[**register as usize] != at + 1);
                        absent.extend(missing.map(|register| (at, *register)));
                    }
                }
            }
            clocks.leave(registers, node);
        }
    }

    /// What is wrong with a read itself: elements that are there twice, or parts of transactions.
    fn wrong(&self, builder: &SetBuilder) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        // For each group the read that the entry is for, and how many of its elements that showed.
        let mut counts: Vec<(usize, u32)> = vec![(0, 0); self.group_sizes.len()];
        for (place, operation) in builder.operations.iter().enumerate() {
            if matches!(operation.kind, Kind::Add(_))
                || !builder.is_committed(operation.transaction)
            {
                continue;
            }
            let mut add = |kind, register: u32| {
                wrong.push(Wrong {
                    kind,
                    reader: operation.transaction,
                    key: u64::from(register),
                    element: Some(self.names[register as usize].1),
                });
            };
            if let Some(register) = self.twice[place] {
                add(AnomalyKind::DuplicateElement, register);
            }
            let group = |register: u32| {
                let adder = self.adders[register as usize];
                (adder != NONE && adder != operation.transaction && self.exists[adder as usize])
                    .then(|| self.groups[register as usize] as usize)
            };
            for register in &self.registers[place] {
                if let Some(group) = group(*register) {
                    let count = &mut counts[group];
                    if count.0 != place + 1 {
                        *count = (place + 1, 0);
                    }
                    count.1 += 1;
                }
            }
            for register in &self.registers[place] {
                if let Some(group) = group(*register)
                    && counts[group].1 < self.group_sizes[group]
                {
                    add(AnomalyKind::IntermediateRead, *register);
                    // Once for the group.
                    counts[group].1 = self.group_sizes[group];
                }
            }
        }
        wrong
    }

    /// The history with these absent elements. They are sorted.
    fn build(&self, sets: &SetBuilder, absent: &mut Vec<Absent>) -> Result<Registers, BuildError> {
        absent.sort_unstable();
        absent.dedup();
        let mut builder = Builder::new(None);
        builder.keys_are_elements(KeyLabels {
            elements: self.names.clone(),
            ..sets.labels.clone()
        });
        for (at, transaction) in (0..).zip(&sets.transactions) {
            builder.transaction(transaction.session, transaction.label, transaction.outcome);
            if let Some((begin, end)) = transaction.times {
                builder.times(at, begin, end);
            }
        }
        let mut absent = absent.iter().copied().peekable();
        // What the current transaction has added to each set so far.
        let mut own: (u32, HashMap<u64, Vec<u32>>) = (NONE, HashMap::new());
        for (place, operation) in sets.operations.iter().enumerate() {
            let transaction = operation.transaction;
            if own.0 != transaction {
                own = (transaction, HashMap::new());
            }
            let own = own.1.entry(operation.set).or_default();
            let registers = &self.registers[place];
            if let Kind::Add(element) = operation.kind {
                builder.write(transaction, u64::from(registers[0]), element);
                own.push(registers[0]);
                continue;
            }
            for register in registers {
                let (_, element) = self.names[*register as usize];
                builder.read(transaction, u64::from(*register), element);
            }
            if !own.is_empty() {
                let missing = own.iter().filter(|register| !registers.contains(register));
                missing.for_each(|r| builder.read_initial(transaction, u64::from(*r)));
            }
            while let Some((_, register)) = absent.next_if(|(at, _)| *at == place) {
                builder.read_initial(transaction, u64::from(register));
            }
        }
        builder.finish_lists(Vec::new(), self.wrong(sets))
    }
}
