//! Lists to which transactions append unique elements, as registers with a known version order.
//!
//! A list that was read tells the order of all appends before it (Kingsbury and Alvaro, Elle: Inferring
//! Isolation Anomalies from Experimental Observations, VLDB 2020): every read must be a beginning of
//! the longest one. So a read of a list is a read of its last element, an append is a write, and the
//! longest list of a key puts its writers in an order that every commit order has to contain. Appends
//! that nobody has read come after all that were read, in any order.
//!
//! # Who was seen
//!
//! A list is what the appends that are visible to its reader have left, in the order of their arbitration
//! (Burckhardt, Gotsman, Yang and Zawirski, Replicated Data Types: Specification, Verification, Optimality,
//! POPL 2014; Cerone, Bernardi and Gotsman, A Framework for Transactional Consistency Models with Atomic
//! Visibility, CONCUR 2015). So whoever reads `[1, 2, 3]` has seen the transactions that appended 1, 2 and
//! 3: *reads from* means all of them, wherever a model says what a transaction must have seen. What the
//! read has returned is still one version, that of the last element; only that one has to follow whatever
//! else must be seen. For the models from prefix consistency up it makes no difference, because whatever
//! commits before the last element is seen anyway.
//!
//! That costs nothing where the commit order or a causal past is concerned: the order of the list leads
//! from every element to the last one, and `clocks` keeps a clock for every version. Where the elements have
//! to be gone through one by one, that is linear in the elements that were read.
//!
//! What is wrong with lists themselves (orders that do not fit together, elements that are there twice,
//! appends of one transaction with others between them) violates every model.

use std::collections::{HashMap, HashSet};

use super::anomaly::AnomalyKind;
use super::constraints::Derived;
use super::{NONE, Node};

/// An anomaly of a list.
pub(super) struct Wrong {
    pub kind: AnomalyKind,
    pub reader: u32,
    pub key: u64,
    /// The element that shows it.
    pub element: Option<u64>,
}

/// The order of a key's appends as far as it was read.
pub(super) struct Order {
    pub key: u64,
    /// Who read it.
    pub reader: u32,
    pub elements: Vec<u64>,
    /// The elements that each transaction has appended.
    pub appended: HashMap<u32, Vec<u64>>,
}

/// What is known of the order of a key's appends.
#[derive(Debug)]
pub(super) struct List {
    /// The key's number.
    pub key: u32,
    /// Who appended what was read, in its order; each once in a row.
    pub writers: Vec<Node>,
    /// Who appended what nobody else has read, with the first such element; ascending.
    pub unread: Vec<(Node, u64)>,
    /// Whether some lists of this key do not fit the others, and were not taken into account.
    pub contradicted: bool,
}

impl List {
    pub fn new(
        key: u32,
        writers: Vec<Node>,
        appended: HashMap<u32, Vec<u64>>,
        contradicted: bool,
    ) -> Self {
        let read: HashSet<Node> = writers.iter().copied().collect();
        let unread = appended
            .into_iter()
            .filter(|(writer, _)| !read.contains(writer))
            .map(|(writer, elements)| (writer, elements[0]));
        List {
            key,
            unread: unread.collect(),
            writers,
            contradicted,
        }
    }

    /// Gives transactions the numbers that they have now, and leaves out those that do not exist.
    pub fn renumber(&mut self, nodes: &[Node]) {
        let node = |writer: Node| nodes[writer as usize];
        let exists = |node: &Node| *node != NONE;
        self.writers = self
            .writers
            .iter()
            .copied()
            .map(node)
            .filter(exists)
            .collect();
        self.writers.dedup();
        self.unread.retain_mut(|(writer, _)| {
            *writer = node(*writer);
            exists(writer)
        });
        self.unread.sort_unstable();
    }

    /// Of two transactions the first one appended before the other, as was read.
    pub fn read_edges(&self) -> impl Iterator<Item = Derived> {
        self.writers.windows(2).map(|pair| Derived {
            from: pair[0],
            to: pair[1],
        })
    }

    /// Of two transactions the first one appended before the other. What nobody has read comes after all
    /// that was read.
    pub fn edges(&self) -> impl Iterator<Item = Derived> {
        let last = self.writers.last();
        let unread = last.into_iter().flat_map(|last| {
            let unread = self.unread.iter();
            unread.map(|(to, _)| Derived {
                from: *last,
                to: *to,
            })
        });
        self.read_edges().chain(unread)
    }
}

impl Order {
    /// The transactions in the order in which they appended, as far as `writer` knows them, each once
    /// in a row; and whether everything that each of them appended stands together.
    pub fn writers(&self, writer: impl Fn(u64) -> Option<Node>) -> (Vec<Node>, Option<u64>) {
        let mut writers: Vec<Node> = Vec::new();
        let mut torn = None;
        let mut at = 0;
        while at < self.elements.len() {
            let element = self.elements[at];
            let Some(node) = writer(element) else {
                at += 1;
                continue;
            };
            let all = self.appended.get(&node).map_or(&[][..], Vec::as_slice);
            let rest = &self.elements[at..];
            let together = rest.iter().zip(all).take_while(|(a, b)| a == b).count();
            // Only at the end of the list may the rest be missing: it was read in between.
            if together < all.len() && together < rest.len() || writers.contains(&node) {
                torn.get_or_insert(element);
            }
            if writers.last() != Some(&node) {
                writers.push(node);
            }
            at += together.max(1);
        }
        (writers, torn)
    }
}
