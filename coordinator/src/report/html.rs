//! `report.html`: the verdict and the timeline on one page that needs nothing but itself.

use std::fmt::Write;

use squall_checker::History;
use squall_protocol::history::{Event, Phase};
use squall_protocol::verdict::{Judgement, PropertyVerdict, Verdict};

use super::timeline::{Ending, Lane, Timeline};

/// The drawing's measures in SVG units.
const LABEL_WIDTH: f64 = 96.0;
const PLOT_WIDTH: f64 = 1000.0;
const LANE_HEIGHT: f64 = 44.0;
const TOP: f64 = 28.0;

/// The page for a run of that name.
pub fn render(run: &str, history: &History, verdict: &Verdict) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, run, history, verdict);
    page
}

fn write_page(
    page: &mut String,
    run: &str,
    history: &History,
    verdict: &Verdict,
) -> std::fmt::Result {
    let word = word(verdict.judgement);
    let run = escape(run);
    open_page(page, &format!("{word} · {run}"))?;
    write!(
        page,
        r#"<header>
<h1><span class="judgement {word}">{word}</span> {run}</h1>
<p>seed {seed} · {clients} clients · {keys} rows · operations: {ok} ok, {fail} failed, {info} unknown · {read} rows read, {written} written</p>
</header>
<main>
"#,
        seed = history.header.seed,
        clients = history.header.clients.len(),
        keys = history.header.keys,
        ok = verdict.counts.ok,
        fail = verdict.counts.fail,
        info = verdict.counts.info,
        read = verdict.counts.rows_read,
        written = verdict.counts.rows_written,
    )?;
    write_properties(page, verdict)?;
    write_notes(page, verdict)?;
    write_timeline(page, &Timeline::of(history))?;
    write_faults(page, history, verdict)?;
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

/// Everything before the content of a page's body. The title must be HTML already.
pub fn open_page(page: &mut String, title: &str) -> std::fmt::Result {
    write!(
        page,
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · squall</title>
<style>{STYLE}</style>
</head>
<body>
"#
    )
}

fn write_properties(page: &mut String, verdict: &Verdict) -> std::fmt::Result {
    page.push_str(
        "<section>\n<h2>Properties</h2>\n<table>\n<thead><tr><th>property</th><th>judgement</th>\
         <th class=\"number\">exercised</th><th class=\"number\">violations</th></tr></thead>\n<tbody>\n",
    );
    for property in &verdict.properties {
        let word = word(property.judgement);
        writeln!(
            page,
            "<tr><td>{}</td><td><span class=\"judgement {word}\">{word}</span></td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            property.property.name(),
            property.exercised,
            property.violations,
        )?;
        write_details(page, property)?;
    }
    page.push_str("</tbody>\n</table>\n</section>\n");
    Ok(())
}

fn write_details(page: &mut String, property: &PropertyVerdict) -> std::fmt::Result {
    if property.examples.is_empty() && property.note.is_none() {
        return Ok(());
    }
    page.push_str("<tr class=\"details\"><td colspan=\"4\">");
    if let Some(note) = &property.note {
        write!(page, "<p>{}</p>", escape(note))?;
    }
    if !property.examples.is_empty() {
        page.push_str("<ul>");
        for example in &property.examples {
            write!(page, "<li>{}", escape(&example.summary))?;
            if let Some(path) = squall_checker::path(&example.evidence) {
                write!(page, "<br><code>{}</code>", escape(&path))?;
            }
            page.push_str("</li>");
        }
        page.push_str("</ul>");
    }
    page.push_str("</td></tr>\n");
    Ok(())
}

fn write_notes(page: &mut String, verdict: &Verdict) -> std::fmt::Result {
    if verdict.notes.is_empty() {
        return Ok(());
    }
    page.push_str("<section>\n<h2>Notes</h2>\n<ul>\n");
    for note in &verdict.notes {
        writeln!(page, "<li>{}</li>", escape(note))?;
    }
    page.push_str("</ul>\n</section>\n");
    Ok(())
}

fn write_timeline(page: &mut String, timeline: &Timeline) -> std::fmt::Result {
    let height = TOP + LANE_HEIGHT * timeline.lanes.len() as f64 + 24.0;
    let width = LABEL_WIDTH + PLOT_WIDTH;
    // A history that ends at once still has a scale.
    let end = timeline.end.max(1) as f64;
    let x = |time: u64| LABEL_WIDTH + PLOT_WIDTH * time as f64 / end;
    write!(
        page,
        "<section>\n<h2>Timeline</h2>\n\
         <p class=\"legend\"><span class=\"swatch up\"></span> incarnation \
         <span class=\"swatch fault\"></span> fault \
         <span class=\"swatch ok\"></span> ok <span class=\"swatch fail\"></span> failed \
         <span class=\"swatch info\"></span> unknown \
         <span class=\"swatch queue\"></span> upload queue</p>\n\
         <div class=\"scroll\"><svg viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"What happened to each client over time\">\n"
    )?;
    let ends = timeline.phases.iter().skip(1).map(|(time, _)| *time);
    let ends = ends.chain([timeline.end]);
    for (number, (&(time, phase), until)) in timeline.phases.iter().zip(ends).enumerate() {
        let class = if number % 2 == 0 { "even" } else { "odd" };
        let (from, to) = (x(time), x(until));
        writeln!(
            page,
            "<rect class=\"phase {class}\" x=\"{from:.1}\" y=\"0\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            to - from,
            height - 24.0,
            phase_name(phase),
        )?;
        if to - from > 40.0 {
            writeln!(
                page,
                "<text class=\"phase-name\" x=\"{:.1}\" y=\"16\">{}</text>",
                from + 4.0,
                phase_name(phase)
            )?;
        }
    }
    for (number, lane) in timeline.lanes.iter().enumerate() {
        write_lane(page, lane, TOP + LANE_HEIGHT * number as f64, x)?;
    }
    for &time in &timeline.troubles {
        let x = x(time);
        writeln!(
            page,
            "<line class=\"trouble\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{:.1}\"><title>trouble at {:.1} s</title></line>",
            height - 24.0,
            time as f64 / 1e6
        )?;
    }
    let step = tick_step(timeline.end);
    for tick in 0..=timeline.end / step {
        writeln!(
            page,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{} s</text>",
            x(tick * step),
            height - 8.0,
            tick * step / 1_000_000
        )?;
    }
    page.push_str("</svg></div>\n</section>\n");
    Ok(())
}

fn write_lane(
    page: &mut String,
    lane: &Lane,
    top: f64,
    x: impl Fn(u64) -> f64,
) -> std::fmt::Result {
    let name = escape(&lane.name);
    writeln!(
        page,
        "<text class=\"client\" x=\"0\" y=\"{:.1}\">{name}</text>",
        top + 18.0
    )?;
    for &(from, to) in &lane.incarnations {
        writeln!(
            page,
            "<rect class=\"up\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"6\"/>",
            x(from),
            top + 4.0,
            (x(to) - x(from)).max(0.5)
        )?;
    }
    for (from, to, fault) in &lane.faults {
        let fault = escape(fault);
        writeln!(
            page,
            "<rect class=\"fault\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"22\"><title>{fault} on {name}, {:.1} s to {:.1} s</title></rect>",
            x(*from),
            top + 12.0,
            (x(*to) - x(*from)).max(1.5),
            *from as f64 / 1e6,
            *to as f64 / 1e6
        )?;
        // About six units a letter.
        if x(*to) - x(*from) > 6.0 * fault.len() as f64 {
            writeln!(
                page,
                "<text class=\"fault-name\" x=\"{:.1}\" y=\"{:.1}\">{fault}</text>",
                x(*from) + 3.0,
                top + 33.0
            )?;
        }
    }
    for ending in [Ending::Ok, Ending::Fail, Ending::Info] {
        let mut path = String::new();
        for &(time, _) in lane.operations.iter().filter(|(_, e)| *e == ending) {
            write!(path, "M{:.1} {:.1}v10", x(time), top + 14.0)?;
        }
        if !path.is_empty() {
            let class = match ending {
                Ending::Ok => "ok",
                Ending::Fail => "fail",
                Ending::Info => "info",
            };
            writeln!(page, "<path class=\"{class}\" d=\"{path}\"/>")?;
        }
    }
    let longest = lane
        .queue
        .iter()
        .map(|(_, queue)| *queue)
        .max()
        .unwrap_or(0);
    if longest > 0 {
        let floor = top + 40.0;
        let mut points = String::new();
        for &(time, queue) in &lane.queue {
            let height = 14.0 * queue as f64 / longest as f64;
            write!(points, "{:.1},{:.1} ", x(time), floor - height)?;
        }
        writeln!(
            page,
            "<polyline class=\"queue\" points=\"{points}\"><title>upload queue of {name}, at most {longest}</title></polyline>"
        )?;
    }
    Ok(())
}

fn write_faults(page: &mut String, history: &History, verdict: &Verdict) -> std::fmt::Result {
    if verdict.counts.faults.is_empty() {
        return Ok(());
    }
    page.push_str(
        "<section>\n<h2>Faults</h2>\n<table>\n<thead><tr><th>fault</th><th class=\"number\">caused</th>\
         <th class=\"number\">skipped</th><th class=\"number\">given up</th></tr></thead>\n<tbody>\n",
    );
    for (name, counts) in &verdict.counts.faults {
        writeln!(
            page,
            "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            escape(name),
            counts.caused,
            counts.skipped,
            counts.given_up
        )?;
    }
    page.push_str("</tbody>\n</table>\n");
    let not_caused: Vec<String> = history
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
        .map(|(how, victim, fault, reason)| {
            format!(
                "<li>{how}: {} on {}: {}</li>",
                escape(fault.kind()),
                escape(victim),
                escape(reason)
            )
        })
        .collect();
    if !not_caused.is_empty() {
        writeln!(
            page,
            "<details><summary>why faults were not caused</summary><ul>{}</ul></details>",
            not_caused.concat()
        )?;
    }
    page.push_str("</section>\n");
    Ok(())
}

/// A round step between two numbers on the time axis that gives at most about fifteen of them.
fn tick_step(end: u64) -> u64 {
    const STEPS: [u64; 9] = [1, 2, 5, 10, 20, 30, 60, 120, 300];
    let seconds = end / 1_000_000;
    let step = STEPS.into_iter().find(|step| seconds / step <= 15);
    step.unwrap_or(seconds / 15) * 1_000_000
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Start => "start",
        Phase::Storm => "storm",
        Phase::Heal => "heal",
        Phase::Probe => "probe",
        Phase::FinalRead => "final read",
        Phase::Complete => "complete",
    }
}

fn word(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Ok => "ok",
        Judgement::Violation => "violation",
        Judgement::Unknown => "unknown",
    }
}

/// Text as HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// How squall's pages look.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: light-dark(#1c2733, #e3e9ef); --dim: light-dark(#5a6875, #93a1af);
  --ground: light-dark(#ffffff, #12181e); --line: light-dark(#d8dfe6, #2c3742);
  --good: light-dark(#1a7f4b, #4cc38a); --bad: light-dark(#c22f2f, #ff7b72); --doubt: light-dark(#a06800, #e3b341);
  --cool: light-dark(#3a6ea5, #79b0e8); }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
header p, .legend { color: var(--dim); }
table { border-collapse: collapse; min-width: 34rem; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.details td { color: var(--dim); } .details ul { margin: .2rem 0 .4rem 1.2rem; padding: 0; color: var(--ink); }
.details code { color: var(--dim); font-size: .85em; overflow-wrap: anywhere; }
.judgement { font-weight: 600; } .judgement.ok { color: var(--good); }
.judgement.violation, .judgement.not, .judgement.failed { color: var(--bad); } .judgement.unknown { color: var(--doubt); }
.scroll { overflow-x: auto; } svg { width: 100%; min-width: 50rem; }
.swatch { display: inline-block; width: .8em; height: .8em; margin: 0 .2em 0 1em; border-radius: 2px; }
.phase.even { fill: var(--line); opacity: .35; } .phase.odd { fill: var(--line); opacity: .15; }
text { fill: var(--dim); font: 11px system-ui, sans-serif; } text.client { fill: var(--ink); font-size: 12px; }
.up { fill: var(--cool); background: var(--cool); opacity: .7; }
.fault { fill: var(--doubt); background: var(--doubt); opacity: .4; }
path { stroke-width: 1; fill: none; } .swatch.ok { background: var(--good); } path.ok { stroke: var(--good); }
.swatch.fail { background: var(--dim); } path.fail { stroke: var(--dim); }
.swatch.info { background: var(--bad); } path.info { stroke: var(--bad); stroke-width: 2; }
.queue { stroke: var(--cool); fill: none; } .swatch.queue { background: none; border: 1px solid var(--cool); }
.trouble { stroke: var(--bad); stroke-dasharray: 4 3; }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for seconds in [0, 1, 15, 16, 44, 95, 600, 1300, 100_000] {
            let step = tick_step(seconds * 1_000_000);
            assert!(step > 0);
            assert!(seconds * 1_000_000 / step <= 16, "{seconds}");
        }
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<b a=\"x\">&"), "&lt;b a=&quot;x&quot;&gt;&amp;");
    }
}
