//! *Prefix consistency*: every transaction reads from a snapshot that is a beginning of the commit order,
//! and that holds its predecessors in the session. (Burckhardt et al., Global Sequence Protocol, ECOOP
//! 2015; as an axiom in Biswas and Enea 2019.)
//!
//! For every transaction *t3* that reads *x* from *t1*, and every other *t2* that writes *x*: if *t2*
//! commits before, or is, a transaction that *t3* reads from or that precedes it in its session, then
//! *t2* commits before *t1*.
//!
//! Clients that download a log and read from a beginning of it behave so. Lost updates and write skew
//! are allowed; a long fork (two readers see two writes in different orders) is not. See `isolation`
//! for the algorithm.

use super::points::Rules;

/// What is demanded of snapshots and commits.
pub(super) const RULES: Rules = Rules {
    snapshot: true,
    conflict: false,
    real_time: false,
};
