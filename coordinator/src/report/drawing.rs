//! The timeline as a drawing.

use std::fmt::Write;

use maud::{Markup, html};
use squall_protocol::history::Phase;

use super::timeline::{Ending, Lane, Timeline};

/// The drawing's measures in SVG units.
const LEAST_LABEL_WIDTH: f64 = 96.0;
/// Between a client's name and its lane.
const LABEL_GAP: f64 = 12.0;
const PLOT_WIDTH: f64 = 1000.0;
const LANE_HEIGHT: f64 = 44.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 24.0;
/// About as wide is a letter.
const LETTER: f64 = 6.0;
/// As wide as a letter of a client's name is at most, on average.
const WIDE_LETTER: f64 = 7.5;

/// The drawing, with its legend.
pub fn draw(timeline: &Timeline) -> Markup {
    let lanes = LANE_HEIGHT * timeline.lanes.len() as f64;
    let height = TOP + lanes + BOTTOM;
    let floor = height - BOTTOM;
    let left = label_width(timeline);
    let width = left + PLOT_WIDTH;
    let scale = Scale {
        left,
        // A history that ends at once still has a scale.
        end: timeline.end.max(1),
    };
    let step = tick_step(timeline.end);
    html! {
        p.legend {
            span.swatch.up {} " incarnation " span.swatch.fault {} " fault "
            span.swatch.ok {} " ok " span.swatch.fail {} " failed " span.swatch.info {} " unknown "
            span.swatch.queue {} " upload queue"
        }
        div.scroll {
            svg viewBox=(format!("0 0 {width} {height}")) role="img"
                aria-label="What happened to each client over time" {
                (phases(timeline, &scale, floor))
                @for (lane, number) in timeline.lanes.iter().zip(0..) {
                    (draw_lane(lane, TOP + LANE_HEIGHT * f64::from(number), &scale))
                }
                @for &time in &timeline.troubles {
                    line.trouble x1=(scale.x(time)) x2=(scale.x(time)) y1="0" y2=(floor) {
                        title { "trouble at " (seconds(time)) }
                    }
                }
                @for tick in 0..=timeline.end / step {
                    text.tick x=(scale.x(tick * step)) y=(height - 8.0) { (tick * step / 1_000_000) " s" }
                }
            }
        }
    }
}

/// What is left of the lanes: the longest name has room there.
fn label_width(timeline: &Timeline) -> f64 {
    let longest = timeline.lanes.iter().map(|lane| lane.name.chars().count());
    let longest = longest.max().unwrap_or(0) as f64;
    (longest * WIDE_LETTER + LABEL_GAP).max(LEAST_LABEL_WIDTH)
}

/// From microseconds since the run began to units of the drawing.
struct Scale {
    /// Where the lanes begin.
    left: f64,
    end: u64,
}

impl Scale {
    fn x(&self, time: u64) -> f64 {
        tenths(self.left + PLOT_WIDTH * time as f64 / self.end as f64)
    }

    fn width(&self, from: u64, to: u64, least: f64) -> f64 {
        tenths((self.x(to) - self.x(from)).max(least))
    }
}

fn tenths(units: f64) -> f64 {
    (units * 10.0).round() / 10.0
}

fn seconds(time: u64) -> String {
    format!("{:.1} s", time as f64 / 1e6)
}

fn phases(timeline: &Timeline, scale: &Scale, height: f64) -> Markup {
    let ends = timeline.phases.iter().skip(1).map(|(time, _)| *time);
    let ends = ends.chain([timeline.end]);
    let phases = timeline.phases.iter().zip(ends);
    let classes = ["even", "odd"].into_iter().cycle();
    html! {
        @for ((&(from, phase), to), class) in phases.zip(classes) {
            rect.phase.(class) x=(scale.x(from)) y="0" width=(scale.width(from, to, 0.0)) height=(height) {
                title { (phase_name(phase)) }
            }
            @if scale.width(from, to, 0.0) > 40.0 {
                text.phase-name x=(scale.x(from) + 4.0) y="16" { (phase_name(phase)) }
            }
        }
    }
}

fn draw_lane(lane: &Lane, top: f64, scale: &Scale) -> Markup {
    let endings = [
        (Ending::Ok, "ok"),
        (Ending::Fail, "fail"),
        (Ending::Info, "info"),
    ];
    let longest = lane.queue.iter().map(|(_, queue)| *queue).max();
    let longest = longest.unwrap_or(0);
    html! {
        text.client x="0" y=(top + 18.0) { (lane.name) }
        @for &(from, to) in &lane.incarnations {
            rect.up x=(scale.x(from)) y=(top + 4.0) width=(scale.width(from, to, 0.5)) height="6" {}
        }
        @for (from, to, fault) in &lane.faults {
            rect.fault x=(scale.x(*from)) y=(top + 12.0) width=(scale.width(*from, *to, 1.5)) height="22" {
                title { (fault) " on " (lane.name) ", " (seconds(*from)) " to " (seconds(*to)) }
            }
            @if scale.width(*from, *to, 0.0) > LETTER * fault.len() as f64 {
                text.fault-name x=(scale.x(*from) + 3.0) y=(top + 33.0) { (fault) }
            }
        }
        @for (ending, class) in endings {
            @let marks = marks(lane, ending, top, scale);
            @if !marks.is_empty() {
                path.(class) d=(marks) {}
            }
        }
        @if longest > 0 {
            polyline.queue points=(queue(lane, longest, top, scale)) {
                title { "upload queue of " (lane.name) ", at most " (longest) }
            }
        }
    }
}

/// A stroke for each operation that ended so.
fn marks(lane: &Lane, ending: Ending, top: f64, scale: &Scale) -> String {
    let mut path = String::new();
    for &(time, _) in lane.operations.iter().filter(|(_, e)| *e == ending) {
        // Writing to a string cannot fail.
        let _ = write!(path, "M{} {}v10", scale.x(time), top + 14.0);
    }
    path
}

/// The line of the upload queue's length.
fn queue(lane: &Lane, longest: u64, top: f64, scale: &Scale) -> String {
    let floor = top + 40.0;
    let point = |&(time, queue): &(u64, u64)| {
        let height = tenths(14.0 * queue as f64 / longest as f64);
        format!("{},{} ", scale.x(time), floor - height)
    };
    lane.queue.iter().map(point).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_ends_before_the_lanes_begin() {
        for (name, begin) in [("a", "96"), ("powersync-better-sqlite3-12", "214.5")] {
            let timeline = Timeline {
                end: 1,
                lanes: vec![Lane {
                    name: name.to_owned(),
                    incarnations: vec![(0, 1)],
                    ..Lane::default()
                }],
                ..Timeline::default()
            };
            let drawing = draw(&timeline).into_string();
            let lane = format!("<rect class=\"up\" x=\"{begin}\"");
            assert!(drawing.contains(&lane), "{drawing}");
        }
    }

    #[test]
    fn ticks_are_round_and_few() {
        for seconds in [0, 1, 15, 16, 44, 95, 600, 1300, 100_000] {
            let step = tick_step(seconds * 1_000_000);
            assert!(step > 0);
            assert!(seconds * 1_000_000 / step <= 16, "{seconds}");
        }
    }
}
