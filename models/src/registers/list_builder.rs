//! From operations over lists to a history in which every read knows its writer.

use std::collections::{HashMap, HashSet};

use super::anomaly::AnomalyKind;
use super::build::{BuildError, Builder, Outcome};
use super::history::Registers;
use super::lists::{Order, Wrong};

/// Takes the operations of a history over lists, then makes it.
pub struct ListBuilder {
    builder: Builder,
    committed: Vec<bool>,
    /// What each transaction has appended to each key so far.
    appended: HashMap<(u32, u64), Vec<u64>>,
    /// For each key the longest list that was read, and by whom.
    longest: HashMap<u64, (u32, Vec<u64>)>,
    wrong: Vec<Wrong>,
}

/// A builder that nothing was given to.
impl Default for ListBuilder {
    fn default() -> Self {
        ListBuilder {
            builder: Builder::new(None),
            committed: Vec::new(),
            appended: HashMap::new(),
            longest: HashMap::new(),
            wrong: Vec::new(),
        }
    }
}

impl ListBuilder {
    /// The builder beneath: for names, times, and keys that are registers and no lists.
    pub fn registers(&mut self) -> &mut Builder {
        &mut self.builder
    }

    /// As [`Builder::transaction`].
    pub fn transaction(&mut self, session: u64, label: Option<u64>, outcome: Outcome) -> u32 {
        self.committed.push(outcome == Outcome::Committed);
        self.builder.transaction(session, label, outcome)
    }

    /// The transaction appends an element, unique for the key.
    pub fn append(&mut self, transaction: u32, key: u64, element: u64) {
        self.appended
            .entry((transaction, key))
            .or_default()
            .push(element);
        self.builder.write(transaction, key, element);
    }

    /// The transaction reads the whole list.
    pub fn read(&mut self, transaction: u32, key: u64, list: &[u64]) {
        if !self.committed[transaction as usize] {
            return;
        }
        let own = self.appended.get(&(transaction, key));
        let own = own.map_or(&[][..], Vec::as_slice);
        let Some(others) = list.strip_suffix(own) else {
            self.wrong.push(Wrong {
                kind: AnomalyKind::NotOwnWrite,
                reader: transaction,
                key,
                element: list.last().copied(),
            });
            return;
        };
        self.builder
            .read_of_others(transaction, key, others.last().copied());
        // Its own appends stand where it sees them, on top of what it has read, and need not end up
        // there: only what others had appended tells an order.
        let list = others;
        let (reader, longest) = self
            .longest
            .entry(key)
            .or_insert_with(|| (transaction, Vec::new()));
        let common = list.len().min(longest.len());
        if list[..common] != longest[..common] {
            let differs = |at: &usize| list[*at] != longest[*at];
            self.wrong.push(Wrong {
                kind: AnomalyKind::IncompatibleOrder,
                reader: transaction,
                key,
                element: (0..common).find(differs).map(|at| list[at]),
            });
        } else if list.len() > longest.len() {
            *reader = transaction;
            longest.extend_from_slice(&list[common..]);
        }
    }

    /// Makes the history.
    pub fn finish(mut self) -> Result<Registers, BuildError> {
        let mut appended: HashMap<u64, HashMap<u32, Vec<u64>>> = HashMap::new();
        for ((transaction, key), elements) in self.appended {
            appended
                .entry(key)
                .or_default()
                .insert(transaction, elements);
        }
        let mut orders = Vec::new();
        for (key, (reader, mut elements)) in self.longest {
            let mut known = HashSet::new();
            elements.retain(|element| {
                let new = known.insert(*element);
                if !new {
                    self.wrong.push(Wrong {
                        kind: AnomalyKind::DuplicateElement,
                        reader,
                        key,
                        element: Some(*element),
                    });
                }
                new
            });
            orders.push(Order {
                key,
                reader,
                elements,
                appended: appended.remove(&key).unwrap_or_default(),
            });
        }
        // The same history always gives the same report.
        orders.sort_by_key(|order| order.key);
        self.wrong
            .sort_by_key(|wrong| (wrong.reader, wrong.key, wrong.element));
        self.builder.finish_lists(orders, self.wrong)
    }
}
