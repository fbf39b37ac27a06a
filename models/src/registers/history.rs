//! A history as the models look at it: every read knows its writer.

use serde::{Deserialize, Serialize};

use super::anomaly::{Anomalies, KeyLabels, TransactionName};
use super::constraints::{Constraint, Derived, INITIAL, NONE, Node};
use super::lists::List;

/// What becomes of two transactions that were done concurrently and write the same keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Merge {
    /// One comes after the other, and all of its writes win.
    Transaction,
    /// Every key is merged for itself: the higher version wins, whenever it arrives. A lower one that
    /// comes later has no effect.
    PerKey,
}

/// A read from another transaction. Of a list it is the one whose element is the last: see
/// [`Registers::shown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub key: u32,
    /// The transaction that wrote what was read, or [`INITIAL`].
    pub writer: Node,
}

/// A history, with every read resolved to its writer.
#[derive(Debug)]
pub struct Registers {
    /// For each transaction its session and its place there, from 0.
    pub(super) places: Vec<(u32, u32)>,
    /// For each transaction the one before it in its session, or [`NONE`].
    pub(super) previous: Vec<Node>,
    pub(super) session_count: usize,
    /// Where each transaction's reads begin; one more than there are transactions.
    pub(super) read_starts: Vec<u32>,
    /// In program order; no reads of a transaction's own writes.
    pub(super) reads: Vec<Read>,
    /// Where each transaction's keys begin in `writes`.
    pub(super) write_starts: Vec<u32>,
    /// The keys that a transaction wrote, ascending.
    pub(super) writes: Vec<u32>,
    pub(super) key_count: usize,
    /// How transactions, sessions and keys were called.
    pub(super) transaction_names: Vec<TransactionName>,
    pub(super) key_names: Vec<u64>,
    pub(super) key_labels: KeyLabels,
    /// What is wrong between one read and one write.
    pub(super) anomalies: Anomalies,
    /// The versions that were read and written, if values are versions.
    pub(super) versions: Option<Versions>,
    /// The version order as far as it is known: of two writers of the key, the first commits first.
    /// Ascending by the first.
    pub(super) known: Vec<(Derived, u32)>,
    /// For each key the list that was read; empty if there are no lists in the history.
    pub(super) lists: Vec<Option<List>>,
    /// In parallel to [`Registers::writes`], counted from 1: the place of the transaction among those that
    /// appended to the list, 0 if that is not known. Empty if there are no lists.
    pub(super) list_places: Vec<u32>,
    pub(super) merge: Merge,
    /// For each transaction when it began and ended, if that is known of all; the end is the highest
    /// number where it is not known.
    pub(super) times: Option<Vec<(u64, u64)>>,
    /// Reads and writes that were given.
    pub(super) operations: u64,
    /// Whether a transaction that committed has read a key that any transaction writes, whatever became of
    /// that one.
    pub(super) tested: bool,
}

/// The order of what was read and written: higher versions win, and 0 is the initial one.
#[derive(Debug)]
pub(super) struct Versions {
    /// In parallel to [`Registers::reads`].
    pub(super) of_reads: Vec<u64>,
    /// In parallel to [`Registers::writes`].
    pub(super) of_writes: Vec<u64>,
}

impl Registers {
    /// The number of transactions that committed or were observed.
    pub fn transactions(&self) -> usize {
        self.places.len()
    }

    /// The number of reads and writes.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// The number of sessions.
    pub fn sessions(&self) -> usize {
        self.session_count
    }

    /// Whether it is known of all transactions when they began and ended, as
    /// [`Model::StrictSerializability`] needs it.
    pub fn has_times(&self) -> bool {
        self.times.is_some()
    }

    /// Adds the lists that were read, in which transactions are those before assembly, with their
    /// nodes now.
    pub(super) fn add_lists(&mut self, lists: Vec<List>, nodes: &[Node]) {
        if lists.is_empty() {
            return;
        }
        self.lists.resize_with(self.key_count, Default::default);
        self.list_places = vec![0; self.writes.len()];
        for mut list in lists {
            list.renumber(nodes);
            let edges = list.edges().map(|edge| (edge, list.key));
            self.known.extend(edges);
            // Where lists contradict one another it is not known who has seen whom.
            let trusted = if list.contradicted {
                &[]
            } else {
                &list.writers[..]
            };
            for (place, writer) in (1..).zip(trusted) {
                if let Some(write) = self.write(*writer, list.key)
                    && self.list_places[write] == 0
                {
                    self.list_places[write] = place;
                }
            }
            let key = list.key as usize;
            self.lists[key] = Some(list);
        }
        self.known.sort_by_key(|(edge, _)| edge.from);
    }

    /// Where a transaction's write of a key is in [`Registers::writes`].
    pub(super) fn write(&self, node: Node, key: u32) -> Option<usize> {
        let place = self.writes(node).binary_search(&key).ok()?;
        Some(self.write_starts[node as usize] as usize + place)
    }

    /// The version of a list that was read, as the write that made it; none if it is not of a list.
    pub(super) fn list_version(&self, read: &Read) -> Option<usize> {
        if self.lists.is_empty() || read.writer == INITIAL {
            return None;
        }
        let write = self.write(read.writer, read.key)?;
        (self.list_places[write] > 0).then_some(write)
    }

    /// From whom a read has read: of a list from everybody whose element it shows, in the list's order.
    pub(super) fn shown<'r>(&'r self, read: &'r Read) -> &'r [Node] {
        let Some(version) = self.list_version(read) else {
            return std::slice::from_ref(&read.writer);
        };
        let list = self.lists[read.key as usize].as_ref();
        let writers = list.map_or(&[][..], |list| &list.writers);
        &writers[..self.list_places[version] as usize]
    }

    /// From whom a transaction has read, with repetitions.
    pub(super) fn sources(&self, node: Node) -> impl Iterator<Item = Node> {
        let shown = self.reads(node).iter().flat_map(|read| self.shown(read));
        shown.copied().filter(|writer| *writer != INITIAL)
    }

    /// Whether a read has read from somebody.
    pub(super) fn shows(&self, read: &Read, writer: Node) -> bool {
        read.writer == writer || self.is_in_list(read.key, writer, read.writer)
    }

    /// Whether both have appended to a list, one before the other, as was read.
    pub(super) fn is_in_list(&self, key: u32, one: Node, other: Node) -> bool {
        if one >= NONE || other >= NONE {
            return false;
        }
        let places = (self.list_place(one, key), self.list_place(other, key));
        matches!(places, (Some(one), Some(other)) if one < other)
    }

    /// The place of a transaction among those that appended to a list, from 1, if it was read.
    pub(super) fn list_place(&self, node: Node, key: u32) -> Option<u32> {
        if self.lists.is_empty() {
            return None;
        }
        let place = self.list_places[self.write(node, key)?];
        (place > 0).then_some(place)
    }

    /// The edges of the known version order.
    pub(super) fn known_edges(&self) -> Vec<Derived> {
        self.known.iter().map(|(edge, _)| *edge).collect()
    }

    /// The order of the lists, as it was read.
    pub(super) fn list_edges(&self) -> Vec<Derived> {
        let lists = self
            .lists
            .iter()
            .flatten()
            .filter(|list| !list.contradicted);
        lists.flat_map(List::read_edges).collect()
    }

    /// Why an edge is there, if it is of the known version order.
    pub(super) fn known_reason(&self, edge: Derived) -> Option<Constraint> {
        let mut known = self.known.iter();
        let (_, key) = known.find(|(known, _)| *known == edge)?;
        Some(Constraint::VersionOrder(*key))
    }

    /// Everything but versions and what is wrong already, a line per transaction, independent of the
    /// order in which the transactions of different sessions were given: equal histories have equal
    /// descriptions.
    pub fn description(&self) -> Vec<String> {
        let mut counts = std::collections::HashMap::new();
        let names: Vec<(u64, u32)> = self
            .transaction_names
            .iter()
            .map(|name| {
                let count = counts.entry(name.session).or_insert(0);
                *count += 1;
                (name.session, *count)
            })
            .collect();
        let name = |node: Node| names.get(node as usize);
        let mut lines: Vec<String> = self
            .nodes()
            .map(|node| {
                let writes = self.writes(node).iter();
                let mut writes: Vec<u64> = writes.map(|w| self.key_names[*w as usize]).collect();
                writes.sort_unstable();
                let reads = self.reads(node).iter();
                let reads: Vec<_> = reads
                    .map(|read| (self.key_names[read.key as usize], name(read.writer)))
                    .collect();
                let after = name(self.previous[node as usize]);
                format!(
                    "{:?} after {after:?} reads {reads:?} writes {writes:?}",
                    name(node)
                )
            })
            .collect();
        lines.sort();
        lines
    }

    /// How a key is called in explanations.
    pub(super) fn key_text(&self, key: u32) -> String {
        self.key_labels.of(self.key_names[key as usize])
    }

    /// How transactions are merged in this history.
    pub fn merge(&self) -> Merge {
        self.merge
    }

    /// The version that a transaction's read with this number has returned, 0 without versions.
    pub(super) fn version_read(&self, node: Node, place: usize) -> u64 {
        let at = self.read_starts[node as usize] as usize + place;
        self.versions.as_ref().map_or(0, |v| v.of_reads[at])
    }

    /// The version that a transaction wrote to a key; 0 if none.
    pub(super) fn version_written(&self, node: Node, key: u32) -> u64 {
        let start = self.write_starts[node as usize] as usize;
        match (&self.versions, self.writes(node).binary_search(&key)) {
            (Some(versions), Ok(place)) => versions.of_writes[start + place],
            _ => 0,
        }
    }

    pub(crate) fn reads(&self, node: Node) -> &[Read] {
        let at = node as usize;
        &self.reads[self.read_starts[at] as usize..self.read_starts[at + 1] as usize]
    }

    pub(crate) fn writes(&self, node: Node) -> &[u32] {
        let at = node as usize;
        &self.writes[self.write_starts[at] as usize..self.write_starts[at + 1] as usize]
    }

    pub(crate) fn nodes(&self) -> std::ops::Range<Node> {
        0..self.places.len() as Node
    }

    /// Where each session's transactions begin, and these, in session order.
    pub(super) fn by_session(&self) -> (Vec<u32>, Vec<Node>) {
        let mut starts = vec![0; self.session_count + 1];
        for (session, _) in &self.places {
            starts[*session as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut members = vec![NONE; self.transactions()];
        for (node, (session, position)) in self.places.iter().enumerate() {
            members[(starts[*session as usize] + position) as usize] = node as Node;
        }
        (starts, members)
    }
}
