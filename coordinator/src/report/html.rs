//! `report.html`: the verdict and the timeline on one page.

use maud::{Markup, html};
use squall_checker::History;
use squall_protocol::history::Event;
use squall_protocol::verdict::{PropertyVerdict, Verdict};

use super::drawing;
use super::page::{judgement, page, word};
use super::timeline::Timeline;

/// The page for a run of that name.
pub fn render(run: &str, history: &History, verdict: &Verdict) -> String {
    let word = word(verdict.judgement);
    let (header, counts) = (&history.header, &verdict.counts);
    page(
        &format!("{word} · {run}"),
        html! {
            h1 { (judgement(word)) " " (run) }
            p {
                "seed " (header.seed) " · " (header.clients.len()) " clients · " (header.keys) " rows · operations: "
                (counts.ok) " ok, " (counts.fail) " failed, " (counts.info) " unknown · "
                (counts.rows_read) " rows read, " (counts.rows_written) " written"
            }
        },
        html! {
            (properties(verdict))
            (notes(verdict))
            section {
                h2 { "Timeline" }
                (drawing::draw(&Timeline::of(history)))
            }
            (faults(history, verdict))
        },
    )
}

fn properties(verdict: &Verdict) -> Markup {
    html! {
        section {
            h2 { "Properties" }
            table {
                thead {
                    tr { th { "property" } th { "judgement" } th.number { "exercised" } th.number { "violations" } }
                }
                tbody {
                    @for property in &verdict.properties {
                        tr {
                            td { (property.property.name()) }
                            td { (judgement(word(property.judgement))) }
                            td.number { (property.exercised) }
                            td.number { (property.violations) }
                        }
                        (details(property))
                    }
                }
            }
        }
    }
}

fn details(property: &PropertyVerdict) -> Markup {
    html! {
        @if property.note.is_some() || !property.examples.is_empty() {
            tr.details {
                td colspan="4" {
                    @if let Some(note) = &property.note { p { (note) } }
                    @if !property.examples.is_empty() {
                        ul {
                            @for example in &property.examples {
                                li {
                                    (example.summary)
                                    @if let Some(path) = squall_checker::path(&example.evidence) {
                                        br;
                                        code { (path) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn notes(verdict: &Verdict) -> Markup {
    html! {
        @if !verdict.notes.is_empty() {
            section {
                h2 { "Notes" }
                ul { @for note in &verdict.notes { li { (note) } } }
            }
        }
    }
}

fn faults(history: &History, verdict: &Verdict) -> Markup {
    let not_caused: Vec<_> = history
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::FaultSkipped {
                victim,
                fault,
                reason,
                ..
            } => Some(("skipped", victim, fault, reason)),
            Event::FaultGivenUp {
                victim,
                fault,
                reason,
                ..
            } => Some(("given up", victim, fault, reason)),
            _ => None,
        })
        .collect();
    html! {
        @if !verdict.counts.faults.is_empty() {
            section {
                h2 { "Faults" }
                table {
                    thead {
                        tr { th { "fault" } th.number { "caused" } th.number { "skipped" } th.number { "given up" } }
                    }
                    tbody {
                        @for (name, counts) in &verdict.counts.faults {
                            tr {
                                td { (name) }
                                td.number { (counts.caused) }
                                td.number { (counts.skipped) }
                                td.number { (counts.given_up) }
                            }
                        }
                    }
                }
                @if !not_caused.is_empty() {
                    details {
                        summary { "why faults were not caused" }
                        ul {
                            @for (how, victim, fault, reason) in &not_caused {
                                li { (how) ": " (fault.kind()) " on " (victim) ": " (reason) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let markup = "<b a=\"x\">&";
        let page = page(markup, judgement(markup), html! { (markup) });
        assert!(!page.contains("<b "), "{page}");
        assert_eq!(page.matches("&lt;b a=&quot;x&quot;&gt;&amp;").count(), 3);
    }
}
