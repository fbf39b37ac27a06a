//! Checks a history against a model.

use super::anomaly::{Anomalies, AnomalyKind};
use super::causal::Causal;
use super::causal_convergence::CausalConvergence;
use super::commit_order::{Axiom, commit_order};
use super::monotonic_reads::MonotonicReads;
use super::monotonic_writes::MonotonicWrites;
use super::read_atomic::ReadAtomic;
use super::read_committed::ReadCommitted;
use super::read_your_writes::ReadYourWrites;
use super::writes_follow_reads::WritesFollowReads;
use super::{
    Model, Registers, Report, causal_per_key, exercised, isolation, lost_append,
    prefix_consistency, serializability, session_guarantees, snapshot_isolation,
    strict_serializability, weak_causal,
};

/// How many steps the search for a commit order takes before it gives up: some seconds.
pub const SEARCH_STEPS: u64 = 20_000_000;

impl Registers {
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

    fn judge<A: Axiom>(&self, anomalies: &mut Anomalies) -> Result<(), String> {
        if let Err(violations) = commit_order::<A>(self) {
            violations.explain(self, anomalies, None);
        }
        Ok(())
    }

    fn judge_guarantee<A: Axiom>(
        &self,
        kind: AnomalyKind,
        anomalies: &mut Anomalies,
    ) -> Result<(), String> {
        session_guarantees::judge::<A>(self, kind, anomalies);
        Ok(())
    }
}
