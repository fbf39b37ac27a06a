//! What transactions are called, and why one of them has to commit before another.

/// An index of a transaction. Indexes follow the order in which the transactions were given.
pub(crate) type Node = u32;

/// The initial transaction.
pub(crate) const INITIAL: Node = Node::MAX;
/// No transaction.
pub(crate) const NONE: Node = Node::MAX - 1;

/// A derived edge: `from` commits before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Derived {
    pub from: Node,
    pub to: Node,
}

/// A read of an initial value by a transaction that must see a write of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StaleInitial {
    pub reader: Node,
    pub missed: Node,
    pub key: u32,
}

/// Why `from` commits before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Constraint {
    Session,
    /// Of this key.
    ReadsFrom(u32),
    /// Both write this key, and the order of its versions is known.
    VersionOrder(u32),
    /// `from` reads this key, and `to` writes a later version: the reader's snapshot is first.
    AntiDependency(u32),
    /// `reader` must see `from` and reads `key`, which both write, from `to`.
    Overwritten {
        key: u32,
        reader: Node,
    },
    /// Both write this key, and may not be concurrent.
    Conflict(u32),
    /// `from` had ended before `to` began.
    RealTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub from: Node,
    pub to: Node,
    pub constraint: Constraint,
}

/// Steps in a cycle, or, for [`way`](super::order::way), from one transaction to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cycle {
    /// Each step begins where the one before it ends.
    pub steps: Vec<Step>,
}
