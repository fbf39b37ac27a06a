//! What all pages that squall writes have in common. They need nothing but themselves.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use squall_protocol::verdict::Judgement;

/// How squall's pages look.
const STYLE: &str = include_str!("style.css");

/// A page of that title.
pub fn page(title: &str, header: Markup, main: Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · squall" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { (header) }
                main { (main) }
            }
        }
    }
    .into_string()
}

/// A word of a verdict, in its colour: that of its first part.
pub fn judgement(word: &str) -> Markup {
    let class = word.split(' ').next().unwrap_or_default();
    html! { span.judgement.(class) { (word) } }
}

/// The word for a judgement.
pub fn word(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Ok => "ok",
        Judgement::Violation => "violation",
        Judgement::Unknown => "unknown",
    }
}
