//! *Weak causal consistency*: causal consistency without agreement about concurrent writes, the model
//! CC of Bouajjani et al. (On Verifying Causal Consistency, POPL 2017), lifted to transactions.
//!
//! Causality, the transitive closure of session order and reads-from, has no cycle, and no read
//! returns what was overwritten in its causal past: there are no *t1*, *t2*, *t3* of which each is in
//! the causal past of the next, such that *t3* reads *x* from *t1* and *t2* writes *x*. (The initial
//! transaction is in everybody's past.) Two sessions may see concurrent writes of a key in different
//! orders, for ever; causal convergence forbids that.
//!
//! Algorithm: vector clocks over session order and reads-from. For every read of *x* from *t1* by *t3*
//! and every session, only the last writer of *x* in the past of *t3* needs looking at: what precedes
//! it in its session has a smaller past. Memory is transactions times sessions.

use super::points::{Points, Rules};
use super::report::{Anomalies, AnomalyKind};
use super::stale::Stale;
use super::{INITIAL, Node, Registers};

/// Adds every stale read. An error tells why nothing can be concluded.
pub(super) fn judge(registers: &Registers, anomalies: &mut Anomalies) -> Result<(), String> {
    let rules = Rules {
        snapshot: false,
        conflict: false,
        real_time: false,
    };
    let members: Vec<Node> = registers.nodes().collect();
    let points = Points::causality(registers, rules, &members, &members);
    let order = match points.arrange() {
        Ok(order) => order,
        Err(cycle) => {
            anomalies.add_cycle(registers, &cycle);
            return Ok(());
        }
    };
    let before = points
        .before(&order)
        .ok_or("the history has too many transactions and sessions for this model")?;
    for transaction in &points.transactions {
        for (key, writer) in &transaction.reads {
            for (_, writers) in points.writers(*key) {
                let commit = |at: u32| points.transactions[at as usize].commit;
                let seen = writers
                    .partition_point(|at| before.is(&points, commit(*at), transaction.commit));
                let Some(other) = seen.checked_sub(1).map(|last| writers[last]) else {
                    continue;
                };
                let overwrites = other != *writer
                    && (*writer == INITIAL || before.is(&points, commit(*writer), commit(other)));
                if !overwrites {
                    continue;
                }
                let name = |at: u32| match at {
                    INITIAL => INITIAL,
                    at => points.transactions[at as usize].node,
                };
                let stale = Stale {
                    reader: transaction.node,
                    key: points.key_name(*key),
                    writer: name(*writer),
                    missed: vec![name(other)],
                };
                let kind = AnomalyKind::CausalityViolation;
                stale.explain(registers, anomalies, Some(kind));
            }
        }
    }
    Ok(())
}
