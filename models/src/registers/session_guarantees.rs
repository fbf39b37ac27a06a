//! What the four session guarantees have in common: *read your writes*, *monotonic reads*, *monotonic
//! writes* and *writes follow reads* (Terry et al., Session Guarantees for Weakly Consistent Replicated
//! Data, PDIS 1994).
//!
//! Terry's databases hold sets of writes, of which the last one in a common order of all writes is what
//! a read returns. Lifted to transactions: there is a commit order, which contains session order and
//! reads-from as in every model here, and every transaction reads from a set of other ones. The smallest
//! set that a guarantee allows is what the transaction reads from, and what can be reached from there
//! backwards along certain paths:
//!
//! | guarantee | *t3* must see *t2* if a path leads from *t2* to *t3* that is |
//! | --- | --- |
//! | read your writes | session order |
//! | monotonic reads | reads-from, then session order |
//! | monotonic writes | session order, then reads-from |
//! | writes follow reads | anything that begins and ends with two different reads-from |
//!
//! As always the initial transaction commits first, so that reading an initial value is a violation if
//! anybody must be seen who writes the key.
//!
//! Every path of session order and reads-from is made of these, so causal consistency is all four of
//! them *with one commit order and one set for all*. Each for itself is weaker, and so are the four
//! judgements taken together: a write that is three steps away, of which two are of one session, is no
//! matter of any of them. Causal consistency implies each; read atomic implies read your writes. None
//! of the four implies another one.
//!
//! Where the version order of each key is known ([`Merge::PerKey`](super::Merge)), there is no commit
//! order for whole transactions: session order and reads-from have no cycle, and a read returns a
//! version that is not lower than what was written to the key by any transaction that must be seen.
//! Each guarantee is then implied by causal consistency per key.

use super::anomaly::{Anomalies, AnomalyKind};
use super::commit_order::{Axiom, Violations, causal_order, commit_order};
use super::stale::Stale;
use super::{INITIAL, Registers};

/// Adds what breaks a guarantee, under its name.
pub(super) fn judge<A: Axiom>(registers: &Registers, kind: AnomalyKind, anomalies: &mut Anomalies) {
    if registers.versions.is_none() {
        if let Err(violations) = commit_order::<A>(registers) {
            violations.explain(registers, anomalies, Some(kind));
        }
        return;
    }
    match causal_order(registers, registers.nodes()) {
        Ok(order) => {
            let mut last = None;
            A::demands(registers, &order, |demand| {
                let (reader, key, writer) = (demand.reader, demand.key, demand.to);
                let read = match writer {
                    INITIAL => 0,
                    writer => registers.version_written(writer, key),
                };
                let missed = registers.version_written(demand.from, key);
                if missed <= read || last.replace((reader, key)) == Some((reader, key)) {
                    return;
                }
                let stale = Stale {
                    reader,
                    key,
                    writer,
                    missed: vec![demand.from],
                };
                stale.explain(registers, anomalies, Some(kind));
            });
        }
        Err(Violations { cycles, .. }) => anomalies.add_cycles(registers, &cycles, None),
    }
}
