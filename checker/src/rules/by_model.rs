//! Properties of a workload that are a model of transactions: see [`squall_models::registers`].

use squall_protocol::verdict::{Property, Violation};

use crate::findings::Findings;
use crate::log::transactions::ORDER;
use squall_models::recording::{Operation, Recording};
use squall_models::registers::{Anomaly, Judgement, Model};

/// Judges the recording by a model. Only the anomalies that `count` are violations of the property;
/// `place` is where in the history they show.
pub(crate) fn judge(
    property: Property,
    model: Model,
    recording: &Recording,
    place: usize,
    count: impl Fn(&Anomaly) -> bool,
) -> Findings {
    let mut findings = Findings::new(property);
    let report = match recording.build(false) {
        Err(error) => {
            findings.doubt(error.to_string());
            return findings;
        }
        Ok(registers) => registers.check(model),
    };
    // What stands for the order of siblings can not be wrong.
    let all = recording.transactions.iter().flat_map(|t| &t.operations);
    let order = all.filter(|operation| match operation {
        Operation::Read { key, .. } | Operation::Write { key, .. } => *key >= ORDER,
    });
    let order = order.count() as u64;
    findings.exercise(report.operations.saturating_sub(order));
    if report.judgement == Judgement::Unknown {
        let why = report.note;
        findings.doubt(why.unwrap_or_else(|| "it was not decided".to_owned()));
    }
    for anomaly in report.anomalies.into_iter().filter(count) {
        let labels = anomaly.transactions.iter().filter_map(|t| t.label);
        let operations = labels.collect();
        findings.violate(place, || Violation {
            summary: in_words_of(recording, &anomaly),
            operations,
            evidence: Vec::new(),
        });
    }
    findings
}

/// What was found, with transactions called as everywhere in a verdict: by their operations and clients.
fn in_words_of(recording: &Recording, anomaly: &Anomaly) -> String {
    let mut summary = anomaly.summary.clone();
    for transaction in &anomaly.transactions {
        let Some(label) = transaction.label else {
            continue;
        };
        let client = &recording.sessions[transaction.session as usize];
        let mut all = recording.transactions.iter();
        let is_final_read = all.any(|one| one.label == label && one.is_final_read);
        let (small, capital) = match is_final_read {
            true => (
                format!("the final read of {client}"),
                format!("The final read of {client}"),
            ),
            false => (
                format!("operation {label} of {client}"),
                format!("Operation {label} of {client}"),
            ),
        };
        let called = transaction.to_string();
        let at_the_beginning = called.replacen('t', "T", 1);
        summary = summary
            .replace(&called, &small)
            .replace(&at_the_beginning, &capital);
    }
    order_in_words(&summary)
}

/// What is read of registers that stand for the order of siblings, in words of that.
fn order_in_words(summary: &str) -> String {
    const READS: &str = " read key ";
    const FROM: &str = " from ";
    let mut parts = summary.split(READS);
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let key = part.split_once(FROM);
        match key.and_then(|(key, rest)| Some((key.parse::<u64>().ok()?, rest))) {
            Some((key, rest)) if key >= ORDER => {
                words.push_str(" began, on the same database, after the end of ");
                words.push_str(rest);
            }
            _ => {
                words.push_str(READS);
                words.push_str(part);
            }
        }
    }
    words
}
