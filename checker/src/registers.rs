//! Transactions over registers, with unique writes and an unknown version order.
//!
//! # The history
//!
//! A *session* is a sequence of *transactions*; a transaction is a sequence of reads and writes of
//! *keys*. No two transactions write the same value to the same key, so that a read tells which
//! transaction it reads from. Every key holds an *initial value* before anything else happens: it was
//! written by the *initial transaction*, which precedes all others. A transaction has committed, or
//! was aborted, or its outcome is unknown; of one that is unknown only the writes are known, and it
//! counts as committed as soon as somebody has read one of them. What follows an unknown transaction
//! in its session does not depend on it: it may have taken effect late.
//!
//! # The models
//!
//! Following Biswas and Enea (On the Complexity of Checking Transactional Consistency, OOPSLA 2019),
//! a history satisfies a model if there is a *commit order*, a total order of all transactions that
//! contains session order and reads-from, such that for every read of *x* from *t1* by *t3* and every
//! other transaction *t2* that writes *x*:
//!
//! | model | if … | … then *t2* commits before *t1* |
//! | --- | --- | --- |
//! | read committed | *t3* had read from *t2* before | |
//! | read atomic | *t2* precedes *t3* in its session, or *t3* reads from *t2* | |
//! | read your writes | *t2* precedes *t3* in its session | |
//! | monotonic reads | a transaction before *t3* in its session reads from *t2* | |
//! | monotonic writes | *t2* precedes in its session one that *t3* reads from | |
//! | writes follow reads | *t3* reads from one that, or one before which in its session, reads from *t2*, and so on | |
//! | causal consistency | *t2* precedes *t3* in the transitive closure of both | |
//! | causal convergence | the same: it is another name | |
//! | prefix consistency | *t2* commits before, or is, one that *t3* reads from or that precedes it in its session | |
//! | snapshot isolation | as before, or *t2* commits before, or is, one that commits before *t3* and writes a key that *t3* writes | |
//! | serializability | *t2* commits before *t3* | |
//! | strict serializability | the same, and the commit order contains the order of real time | |
//!
//! The last four speak of the commit order itself, so that it has to be searched for: see `isolation`.
//! Weak causal consistency (`weak_causal`) does without a commit order.
//!
//! The initial transaction commits first, so reading an initial value after a write that the
//! condition covers is a violation in itself. What goes wrong already between one read and one write
//! (thin-air and aborted reads, intermediate reads, and so on) violates every model; see
//! [`AnomalyKind`].
//!
//! One commit order for whole transactions is the right model for a database, and for merging whole
//! transactions. It is too strict for rows that are merged one by one, where two concurrent
//! transactions may each win one row. There, when the order of the versions of a row is known, causal
//! consistency *per key* demands that every read returns the highest version in its causal past. A
//! history says which of the two ways to merge is meant: see [`Merge`].
//!
//! Where the history tells which versions followed one another, as lists that are appended to do, the
//! commit order contains that too. And whoever reads a list reads from everybody whose element it shows, not
//! only from *t1*, whose is the last: see `lists`.
//!
//! # Where things are
//!
//! [`Builder`] takes operations and resolves every read to its writer; [`ListBuilder`] and [`SetBuilder`]
//! turn lists and sets into registers. One file per model says what the model demands of a commit order,
//! `commit_order` looks for one that respects it, with `order`, which arranges transactions, and
//! `cycles` shows why there is none. `lost_append` and
//! `dependencies` say more about lists. `exercised` tells whether a model was put to the test at all.

mod build;
mod causal;
mod causal_convergence;
mod causal_per_key;
mod clocks;
mod commit_order;
mod components;
mod cycles;
mod dependencies;
mod exercised;
mod isolation;
mod lists;
mod lost_append;
mod monotonic_reads;
mod monotonic_writes;
mod near;
mod order;
mod points;
mod prefix_consistency;
mod read_atomic;
mod read_committed;
mod read_your_writes;
mod report;
mod search;
mod serializability;
mod session_guarantees;
mod sets;
mod sight;
mod snapshot_isolation;
mod stale;
mod strict_serializability;
mod weak_causal;
mod witness;
mod writes_follow_reads;

pub use build::{BuildError, Builder, Outcome};
pub use dependencies::{Dependencies, DependencyCycle};
pub use lists::ListBuilder;
pub use report::{Anomaly, AnomalyKind, Edge, EdgeKind, Report, TransactionName};
pub use sets::SetBuilder;

use causal::Causal;
use causal_convergence::CausalConvergence;
use commit_order::{Axiom, commit_order};
use monotonic_reads::MonotonicReads;
use monotonic_writes::MonotonicWrites;
use read_atomic::ReadAtomic;
use read_committed::ReadCommitted;
use read_your_writes::ReadYourWrites;
use serde::{Deserialize, Serialize};
use writes_follow_reads::WritesFollowReads;

/// An index of a transaction. Indexes follow the order in which the transactions were given.
pub(crate) type Node = u32;

/// The initial transaction.
pub(crate) const INITIAL: Node = Node::MAX;
/// No transaction.
pub(crate) const NONE: Node = Node::MAX - 1;

/// What a history is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    ReadCommitted,
    ReadAtomic,
    /// A session sees what it has written.
    ReadYourWrites,
    /// A session goes on seeing what it has read.
    MonotonicReads,
    /// Who sees a write of a session sees the earlier ones.
    MonotonicWrites,
    /// Who sees a write sees what its session had read before.
    WritesFollowReads,
    /// Causal consistency without agreement about concurrent writes.
    WeakCausal,
    Causal,
    /// Causal consistency with arbitration agreed by all: another name for [`Model::Causal`].
    CausalConvergence,
    /// Causal consistency where rows are merged one by one and the higher value wins.
    CausalPerKey,
    /// Every transaction reads from a beginning of the commit order.
    PrefixConsistency,
    SnapshotIsolation,
    Serializability,
    /// Serializability in an order that real time allows.
    StrictSerializability,
}

impl Model {
    /// Every model with one commit order for whole transactions, the weakest first, but for strict
    /// serializability, which needs to know more.
    pub const OF_TRANSACTIONS: [Model; 7] = [
        Model::ReadCommitted,
        Model::ReadAtomic,
        Model::Causal,
        Model::CausalConvergence,
        Model::PrefixConsistency,
        Model::SnapshotIsolation,
        Model::Serializability,
    ];

    /// What causal consistency promises to a session, one by one.
    pub const SESSION_GUARANTEES: [Model; 4] = [
        Model::ReadYourWrites,
        Model::MonotonicReads,
        Model::MonotonicWrites,
        Model::WritesFollowReads,
    ];

    /// Every model.
    pub const ALL: [Model; 14] = [
        Model::ReadCommitted,
        Model::ReadAtomic,
        Model::ReadYourWrites,
        Model::MonotonicReads,
        Model::MonotonicWrites,
        Model::WritesFollowReads,
        Model::WeakCausal,
        Model::Causal,
        Model::CausalConvergence,
        Model::CausalPerKey,
        Model::PrefixConsistency,
        Model::SnapshotIsolation,
        Model::Serializability,
        Model::StrictSerializability,
    ];

    /// The model's name, as on the command line and in every file.
    pub fn name(self) -> &'static str {
        match self {
            Model::ReadCommitted => "read-committed",
            Model::ReadAtomic => "read-atomic",
            Model::ReadYourWrites => "read-your-writes",
            Model::MonotonicReads => "monotonic-reads",
            Model::MonotonicWrites => "monotonic-writes",
            Model::WritesFollowReads => "writes-follow-reads",
            Model::WeakCausal => "weak-causal",
            Model::Causal => "causal",
            Model::CausalConvergence => "causal-convergence",
            Model::CausalPerKey => "causal-per-key",
            Model::PrefixConsistency => "prefix-consistency",
            Model::SnapshotIsolation => "snapshot-isolation",
            Model::Serializability => "serializability",
            Model::StrictSerializability => "strict-serializability",
        }
    }

    /// The model of that name.
    pub fn from_name(name: &str) -> Option<Model> {
        Model::ALL.into_iter().find(|model| model.name() == name)
    }
}

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

impl Merge {
    /// How a workload's transactions are merged: the highest value of a row wins in `mww`.
    pub fn of(workload: squall_protocol::plan::Workload) -> Merge {
        if workload == squall_protocol::plan::Workload::Mww {
            Merge::PerKey
        } else {
            Merge::Transaction
        }
    }
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
    places: Vec<(u32, u32)>,
    /// For each transaction the one before it in its session, or [`NONE`].
    previous: Vec<Node>,
    session_count: usize,
    /// Where each transaction's reads begin; one more than there are transactions.
    read_starts: Vec<u32>,
    /// In program order; no reads of a transaction's own writes.
    reads: Vec<Read>,
    /// Where each transaction's keys begin in `writes`.
    write_starts: Vec<u32>,
    /// The keys that a transaction wrote, ascending.
    writes: Vec<u32>,
    key_count: usize,
    /// How transactions, sessions and keys were called.
    transaction_names: Vec<TransactionName>,
    key_names: Vec<u64>,
    key_labels: report::KeyLabels,
    /// What is wrong between one read and one write.
    anomalies: report::Anomalies,
    /// The versions that were read and written, if values are versions.
    versions: Option<Versions>,
    /// The version order as far as it is known: of two writers of the key, the first commits first.
    /// Ascending by the first.
    known: Vec<(order::Derived, u32)>,
    /// For each key the list that was read; empty if there are no lists in the history.
    lists: Vec<Option<lists::List>>,
    /// In parallel to [`Registers::writes`], counted from 1: the place of the transaction among those that
    /// appended to the list, 0 if that is not known. Empty if there are no lists.
    list_places: Vec<u32>,
    merge: Merge,
    /// For each transaction when it began and ended, if that is known of all; the end is the highest
    /// number where it is not known.
    times: Option<Vec<(u64, u64)>>,
    /// Reads and writes that were given.
    operations: u64,
    /// Whether a transaction that committed has read a key that any transaction writes, whatever became of
    /// that one.
    tested: bool,
}

/// The order of what was read and written: higher versions win, and 0 is the initial one.
#[derive(Debug)]
struct Versions {
    /// In parallel to [`Registers::reads`].
    of_reads: Vec<u64>,
    /// In parallel to [`Registers::writes`].
    of_writes: Vec<u64>,
}

/// How many steps the search for a commit order takes before it gives up: some seconds.
pub const SEARCH_STEPS: u64 = 20_000_000;

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

    /// Checks the history against a model. [`Model::CausalPerKey`] needs a history whose values are
    /// versions, and is unknown for others. A model that nothing could have violated is unknown too: see
    /// [`Report::exercised`].
    ///
    /// Gives up with `unknown` after [`SEARCH_STEPS`].
    pub fn check(&self, model: Model) -> Report {
        self.check_within(model, SEARCH_STEPS)
    }

    /// As [`Registers::check`], with another limit for the models that need a search. A step takes in
    /// the order of a tenth of a microsecond.
    pub fn check_within(&self, model: Model, steps: u64) -> Report {
        let mut anomalies = self.anomalies.clone();
        anomalies.retain_for(model);
        if lost_append::add(self, model, &mut anomalies) {
            // No search says more.
            return Report::new(model, self, anomalies);
        }
        let decided = match model {
            Model::ReadCommitted => self.judge::<ReadCommitted>(&mut anomalies),
            Model::ReadAtomic => self.judge::<ReadAtomic>(&mut anomalies),
            Model::Causal => self.judge::<Causal>(&mut anomalies),
            Model::CausalConvergence => self.judge::<CausalConvergence>(&mut anomalies),
            Model::ReadYourWrites => {
                self.judge_guarantee::<ReadYourWrites>(AnomalyKind::ReadYourWrites, &mut anomalies)
            }
            Model::MonotonicReads => {
                self.judge_guarantee::<MonotonicReads>(AnomalyKind::MonotonicReads, &mut anomalies)
            }
            Model::MonotonicWrites => self
                .judge_guarantee::<MonotonicWrites>(AnomalyKind::MonotonicWrites, &mut anomalies),
            Model::WritesFollowReads => self.judge_guarantee::<WritesFollowReads>(
                AnomalyKind::WritesFollowReads,
                &mut anomalies,
            ),
            Model::CausalPerKey => causal_per_key::judge(self, &mut anomalies),
            Model::WeakCausal => weak_causal::judge(self, &mut anomalies),
            Model::PrefixConsistency
            | Model::SnapshotIsolation
            | Model::Serializability
            | Model::StrictSerializability => {
                let rules = match model {
                    Model::PrefixConsistency => prefix_consistency::RULES,
                    Model::SnapshotIsolation => snapshot_isolation::RULES,
                    Model::Serializability => serializability::RULES,
                    _ => strict_serializability::RULES,
                };
                isolation::judge(self, rules, steps, &mut anomalies)
            }
        };
        if let Err(why) = decided
            && anomalies.is_empty()
        {
            return Report::unknown(model, self, why);
        }
        if anomalies.is_empty()
            && let Some(why) = exercised::not_exercised(self, model)
        {
            return Report {
                exercised: false,
                ..Report::unknown(model, self, why)
            };
        }
        Report::new(model, self, anomalies)
    }

    fn judge<A: Axiom>(&self, anomalies: &mut report::Anomalies) -> Result<(), String> {
        if let Err(violations) = commit_order::<A>(self) {
            anomalies.add_violations(self, &violations, None);
        }
        Ok(())
    }

    fn judge_guarantee<A: Axiom>(
        &self,
        kind: AnomalyKind,
        anomalies: &mut report::Anomalies,
    ) -> Result<(), String> {
        session_guarantees::judge::<A>(self, kind, anomalies);
        Ok(())
    }

    /// Adds the lists that were read, in which transactions are those before assembly, with their
    /// nodes now.
    fn add_lists(&mut self, lists: Vec<lists::List>, nodes: &[Node]) {
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
    fn write(&self, node: Node, key: u32) -> Option<usize> {
        let place = self.writes(node).binary_search(&key).ok()?;
        Some(self.write_starts[node as usize] as usize + place)
    }

    /// The version of a list that was read, as the write that made it; none if it is not of a list.
    fn list_version(&self, read: &Read) -> Option<usize> {
        if self.lists.is_empty() || read.writer == INITIAL {
            return None;
        }
        let write = self.write(read.writer, read.key)?;
        (self.list_places[write] > 0).then_some(write)
    }

    /// From whom a read has read: of a list from everybody whose element it shows, in the list's order.
    fn shown<'r>(&'r self, read: &'r Read) -> &'r [Node] {
        let Some(version) = self.list_version(read) else {
            return std::slice::from_ref(&read.writer);
        };
        let list = self.lists[read.key as usize].as_ref();
        let writers = list.map_or(&[][..], |list| &list.writers);
        &writers[..self.list_places[version] as usize]
    }

    /// From whom a transaction has read, with repetitions.
    fn sources(&self, node: Node) -> impl Iterator<Item = Node> {
        let shown = self.reads(node).iter().flat_map(|read| self.shown(read));
        shown.copied().filter(|writer| *writer != INITIAL)
    }

    /// Whether a read has read from somebody.
    fn shows(&self, read: &Read, writer: Node) -> bool {
        read.writer == writer || self.is_in_list(read.key, writer, read.writer)
    }

    /// Whether both have appended to a list, one before the other, as was read.
    fn is_in_list(&self, key: u32, one: Node, other: Node) -> bool {
        if one >= NONE || other >= NONE {
            return false;
        }
        let places = (self.list_place(one, key), self.list_place(other, key));
        matches!(places, (Some(one), Some(other)) if one < other)
    }

    /// The place of a transaction among those that appended to a list, from 1, if it was read.
    fn list_place(&self, node: Node, key: u32) -> Option<u32> {
        if self.lists.is_empty() {
            return None;
        }
        let place = self.list_places[self.write(node, key)?];
        (place > 0).then_some(place)
    }

    /// The edges of the known version order.
    fn known_edges(&self) -> Vec<order::Derived> {
        self.known.iter().map(|(edge, _)| *edge).collect()
    }

    /// The order of the lists, as it was read.
    fn list_edges(&self) -> Vec<order::Derived> {
        let lists = self
            .lists
            .iter()
            .flatten()
            .filter(|list| !list.contradicted);
        lists.flat_map(lists::List::read_edges).collect()
    }

    /// Why an edge is there, if it is of the known version order.
    fn known_reason(&self, edge: order::Derived) -> Option<order::Constraint> {
        let mut known = self.known.iter();
        let (_, key) = known.find(|(known, _)| *known == edge)?;
        Some(order::Constraint::VersionOrder(*key))
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
    fn key_text(&self, key: u32) -> String {
        self.key_labels.of(self.key_names[key as usize])
    }

    /// How transactions are merged in this history.
    pub fn merge(&self) -> Merge {
        self.merge
    }

    /// The version that a transaction's read with this number has returned, 0 without versions.
    fn version_read(&self, node: Node, place: usize) -> u64 {
        let at = self.read_starts[node as usize] as usize + place;
        self.versions.as_ref().map_or(0, |v| v.of_reads[at])
    }

    /// The version that a transaction wrote to a key; 0 if none.
    fn version_written(&self, node: Node, key: u32) -> u64 {
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
}
