//! *Serializability*: every read returns the last write of its key before it in the commit order.
//! (Papadimitriou 1979. The commit order contains session order, which some call strong session
//! serializability.)
//!
//! For every transaction *t3* that reads *x* from *t1*, and every other *t2* that writes *x* and commits
//! before *t3*: *t2* commits before *t1*. See `isolation` for the algorithm.

use super::points::Rules;

/// What is demanded of snapshots and commits.
pub(super) const RULES: Rules = Rules {
    snapshot: false,
    conflict: false,
    real_time: false,
};
