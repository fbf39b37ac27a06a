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
//! `history` is what all others look at. [`Builder`] takes operations and resolves every read to its writer; [`ListBuilder`] and [`SetBuilder`]
//! turn lists and sets into registers. One file per model says what the model demands of a commit order,
//! `commit_order` looks for one that respects it, with `order`, which arranges transactions, and
//! `cycles` shows why there is none. `lost_append` and
//! `dependencies` say more about lists. `exercised` tells whether a model was put to the test at all.

mod anomaly;
mod build;
mod causal;
mod causal_convergence;
mod causal_per_key;
mod check;
mod clocks;
mod commit_order;
mod components;
mod constraints;
mod cycles;
mod dependencies;
mod exercised;
mod explain;
mod history;
mod isolation;
mod list_builder;
mod lists;
mod lost_append;
mod model;
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
mod snapshot_isolation;
mod stale;
mod strict_serializability;
mod visibility;
mod weak_causal;
mod witness;
mod writes_follow_reads;

pub use anomaly::{Anomaly, AnomalyKind, Edge, EdgeKind, TransactionName};
pub use build::{BuildError, Builder, Outcome};
pub use check::SEARCH_STEPS;
pub use dependencies::{Dependencies, DependencyCycle};
pub use history::{Merge, Registers};
pub use list_builder::ListBuilder;
pub use model::Model;
pub use report::{Judgement, Report};
pub use sets::SetBuilder;

use constraints::{INITIAL, NONE, Node};
use history::{Read, Versions};
