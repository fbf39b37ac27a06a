//! *Causal convergence*: causal consistency in which all agree about the order of concurrent writes
//! (arbitration), so that whoever has seen the same transactions sees the same values.
//!
//! Bouajjani et al. (On Verifying Causal Consistency, POPL 2017) call it CCv: there is one total order
//! of all transactions that contains causality, such that every read returns the last write of its key,
//! in that order, among those in its causal past. That is the definition of `causal`, word for word:
//! *t2* in the past of *t3* that writes *x* must be arranged before the *t1* that *t3* reads *x* from.
//! So what Biswas and Enea call causal consistency of transactions is causal convergence, and the same
//! algorithm decides both. What it adds to `weak_causal` is the agreement.

pub(super) use super::causal::Causal as CausalConvergence;
