//! A history that was read, and what is missing of it.

use std::collections::BTreeMap;

use super::error::Cut;
use super::skipped::Skipped;
use crate::registers::{
    AnomalyKind, Dependencies, Judgement, Model, Registers, Report, TransactionName,
};

/// A history that was read.
#[derive(Debug)]
pub struct Reading {
    pub registers: Registers,
    /// Where it ends too early, if it does.
    pub cut: Option<Cut>,
    /// What was not understood.
    pub skipped: Vec<Skipped>,
    /// How sessions are called in the history that have no number there; explanations call them so too.
    pub session_names: BTreeMap<u64, String>,
}

impl Reading {
    /// A history in which everything was understood, and whose sessions have numbers.
    pub fn new(registers: Registers, cut: Option<Cut>) -> Reading {
        Reading {
            registers,
            cut,
            skipped: Vec::new(),
            session_names: BTreeMap::new(),
        }
    }

    /// Checks the history against a model, as [`Registers::check`] does. If it is cut, or something was not
    /// understood that may have had an effect, nothing is ok, since what is missing may be wrong; and a
    /// value that nobody wrote proves nothing, since its writer may be missing.
    pub fn check(&self, model: Model) -> Report {
        let mut report = self.registers.check(model);
        let what = match self.skipped.iter().any(|skipped| !skipped.harmless) {
            _ if self.cut.is_some() => "the history is cut",
            true => "not everything in the history was understood",
            false => "",
        };
        let proves = |kind| kind != AnomalyKind::ThinAirRead;
        let proven = report.anomalies.iter().any(|anomaly| proves(anomaly.kind));
        if !what.is_empty() && !proven {
            report.judgement = Judgement::Unknown;
            let thin_air = match report.anomalies.is_empty() {
                true => "",
                false => ", and who wrote these values may be in what is missing",
            };
            report.note = Some(format!("{what}{thin_air}"));
        }
        for anomaly in &mut report.anomalies {
            self.name_sessions(&anomaly.transactions, &mut anomaly.summary);
        }
        report
    }

    /// As [`Registers::dependencies`].
    pub fn dependencies(&self) -> Option<Dependencies> {
        let mut dependencies = self.registers.dependencies()?;
        for cycle in &mut dependencies.cycles {
            self.name_sessions(&cycle.transactions, &mut cycle.summary);
        }
        Some(dependencies)
    }

    /// Puts the names of sessions in the place of their numbers, which are like no others.
    fn name_sessions(&self, transactions: &[TransactionName], text: &mut String) {
        for transaction in transactions {
            if let Some(name) = self.session_names.get(&transaction.session) {
                *text = text.replace(&format!("session {}", transaction.session), name);
            }
        }
    }
}
