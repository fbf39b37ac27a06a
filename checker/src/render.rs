//! A verdict as text for a person.

use std::fmt::{self, Write as _};

use squall_protocol::verdict::{Edge, EdgeKind, Judgement, PropertyVerdict, Step, Verdict};

/// The verdict as plain text: a table of the properties, then the reasons and the examples.
///
/// Every line ends with a newline. There is no colour and no dependence on a terminal's width.
pub fn render(verdict: &Verdict) -> String {
    let mut text = String::new();
    // Writing to a string can not fail.
    let _ = write(&mut text, verdict);
    text
}

fn write(out: &mut String, verdict: &Verdict) -> fmt::Result {
    writeln!(out, "verdict: {}", word(verdict.judgement))?;
    writeln!(out)?;
    let counts = &verdict.counts;
    writeln!(
        out,
        "operations: {} ok, {} failed, {} unknown; {} rows read, {} written",
        grouped(counts.ok),
        grouped(counts.fail),
        grouped(counts.info),
        grouped(counts.rows_read),
        grouped(counts.rows_written),
    )?;
    if !counts.faults.is_empty() {
        let faults: Vec<String> = counts
            .faults
            .iter()
            .map(|(name, faults)| format!("{name} {faults}"))
            .collect();
        writeln!(out, "faults: {}", faults.join(", "))?;
    }
    writeln!(out)?;
    let names = verdict.properties.iter().map(|p| p.property.name().len());
    let width = names.max().unwrap_or(0).max(20);
    writeln!(
        out,
        "{:<width$}  {:<9}  {:>13}  {:>10}",
        "property", "judgement", "exercised", "violations"
    )?;
    for property in &verdict.properties {
        writeln!(
            out,
            "{:<width$}  {:<9}  {:>13}  {:>10}",
            property.property.name(),
            word(property.judgement),
            grouped(property.exercised),
            grouped(property.violations),
        )?;
    }
    for property in &verdict.properties {
        write_details(out, property)?;
    }
    if !verdict.notes.is_empty() {
        writeln!(out)?;
        writeln!(out, "notes")?;
        for note in &verdict.notes {
            writeln!(out, "- {note}")?;
        }
    }
    Ok(())
}

fn write_details(out: &mut String, property: &PropertyVerdict) -> fmt::Result {
    if property.examples.is_empty() && property.note.is_none() {
        return Ok(());
    }
    writeln!(out)?;
    writeln!(
        out,
        "{}: {}",
        property.property.name(),
        word(property.judgement)
    )?;
    for example in &property.examples {
        writeln!(out, "- {}", example.summary)?;
        if let Some(path) = path(&example.evidence) {
            writeln!(out, "  {path}")?;
        }
    }
    let shown = property.examples.len() as u64;
    if property.violations > shown && shown > 0 {
        writeln!(out, "- and so on: {} in all", grouped(property.violations))?;
    }
    if let Some(note) = &property.note {
        writeln!(out, "  note: {note}")?;
    }
    Ok(())
}

/// The evidence in one line: the operations, with the edges between them in brackets. `a:1` is
/// operation 1 of the client `a`. None if there is no evidence but the read itself.
pub fn path(evidence: &[Edge]) -> Option<String> {
    let mut text = step(&evidence.first()?.from);
    for edge in evidence {
        let kind = match edge.kind {
            EdgeKind::SessionOrder => "session-order",
            EdgeKind::ReadsFrom => "reads-from",
            EdgeKind::ReadsOlderVersion => "reads-older-version",
        };
        let row = match (edge.key, edge.value) {
            (Some(key), Some(value)) => format!(" k{key} = {value}"),
            (Some(key), None) => format!(" no k{key}"),
            _ => String::new(),
        };
        text += &format!(" -[{kind}{row}]-> {}", step(&edge.to));
    }
    Some(text)
}

fn step(step: &Step) -> String {
    match step.operation {
        Some(operation) => format!("{}:{operation}", step.client),
        None => format!("{}:final-read", step.client),
    }
}

fn word(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Ok => "ok",
        Judgement::Violation => "VIOLATION",
        Judgement::Unknown => "unknown",
    }
}

/// A number with its digits in groups of three: `1 234 567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
