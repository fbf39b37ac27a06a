//! *Strict serializability*: serializability in an order that real time allows: what ended before another
//! transaction began commits before it. (Herlihy and Wing 1990, for whole transactions.)
//!
//! When each transaction began and ended must be known ([`Builder::times`](super::Builder::times)), else
//! what is serializable is `unknown` here; a transaction of unknown outcome may have taken effect at any time
//! after its begin. See `isolation` for the algorithm.

use super::points::Rules;

/// What is demanded of snapshots and commits.
pub(super) const RULES: Rules = Rules {
    snapshot: false,
    conflict: false,
    real_time: true,
};
