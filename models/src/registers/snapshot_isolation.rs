//! *Snapshot isolation*: every transaction reads from a snapshot that is a beginning of the commit order,
//! and between its snapshot and its commit nobody else commits a write of a key that it writes.
//! (Berenson et al., A Critique of ANSI SQL Isolation Levels, SIGMOD 1995; Adya 1999. The snapshot
//! holds the predecessors in the session, which Daudjee and Salem, VLDB 2006, call strong session
//! snapshot isolation.)
//!
//! Besides what prefix consistency demands: if *t2* commits before, or is, a transaction that commits
//! before *t3* and writes a key that *t3* writes too, then *t2* commits before *t1* (Biswas and Enea
//! 2019).
//!
//! Write skew is allowed; a lost update is not. See `isolation` for the algorithm.

use super::points::Rules;

/// What is demanded of snapshots and commits.
pub(super) const RULES: Rules = Rules {
    snapshot: true,
    conflict: true,
    real_time: false,
};
