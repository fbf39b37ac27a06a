//! What a model says of a history.

use serde::{Deserialize, Serialize};

use super::anomaly::{Anomalies, Anomaly};
use super::history::Registers;
use super::model::Model;

/// The three values of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// The model held, and was put to the test.
    Ok,
    /// The model was violated; there is at least one [`Anomaly`].
    Violation,
    /// Nothing can be concluded: nothing could have violated the model, something was not understood, or the
    /// search was given up.
    Unknown,
}

/// The verdict of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub model: Model,
    pub judgement: Judgement,
    pub transactions: u64,
    pub operations: u64,
    pub sessions: u64,
    /// How many anomalies there are. Transactions in cycles that overlap count as one.
    pub violations: u64,
    /// The first few of each kind.
    pub anomalies: Vec<Anomaly>,
    /// Whether the history could have violated the model; otherwise the judgement is `unknown`.
    pub exercised: bool,
    /// Why nothing can be concluded, if the judgement is `unknown`.
    pub note: Option<String>,
}

impl Report {
    /// Nothing can be said.
    pub(super) fn unknown(model: Model, registers: &Registers, why: String) -> Self {
        Report {
            judgement: Judgement::Unknown,
            note: Some(why),
            ..Report::new(model, registers, Anomalies::default())
        }
    }

    pub(super) fn new(model: Model, registers: &Registers, anomalies: Anomalies) -> Self {
        let violations = anomalies.counts.iter().map(|(_, count)| count).sum();
        Report {
            model,
            judgement: if violations > 0 {
                Judgement::Violation
            } else {
                Judgement::Ok
            },
            transactions: registers.transactions() as u64,
            operations: registers.operations(),
            sessions: registers.sessions() as u64,
            violations,
            anomalies: anomalies.examples,
            exercised: true,
            note: None,
        }
    }
}
