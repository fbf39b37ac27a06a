//! What a person sees while a run goes on: the phase, operations, active faults, upload queues.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use squall_protocol::contract::DownloadProgress;
use tokio::task::JoinHandle;

use crate::faults::nemesis::Active;
use crate::fleet::link::Link;
use crate::output;
use crate::recorder::Recorder;

/// The phase in which clients receive what the database holds at first.
pub const FIRST_SYNC: &str = "first sync";
/// How often the line of a terminal is redrawn.
const REFRESH: Duration = Duration::from_millis(200);
/// How often a line is printed where there is no terminal.
const REPORT: Duration = Duration::from_secs(5);

/// The progress of a run. Dropping it ends the line.
pub struct Progress {
    phase: Arc<Mutex<(&'static str, Instant)>>,
    bar: ProgressBar,
    drawing: JoinHandle<()>,
}

impl Progress {
    /// Begins to show how that run goes, on standard error.
    pub fn start(recorder: Recorder, links: Vec<Link>, active: Active) -> Progress {
        let phase = Arc::new(Mutex::new(("start", Instant::now())));
        let terminal = output::stderr_is_terminal();
        let bar = if terminal {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            ProgressBar::new_spinner().with_style(style.expect("the template is well-formed"))
        } else {
            ProgressBar::hidden()
        };
        let drawing = tokio::spawn({
            let (phase, bar) = (Arc::clone(&phase), bar.clone());
            async move {
                let began = Instant::now();
                let mut last = String::new();
                loop {
                    let line = line(&phase, &recorder, &links, &active);
                    if terminal {
                        bar.set_message(line);
                        bar.tick();
                    } else if line != last {
                        output::eprintln(format_args!(
                            "{:>4} s  {line}",
                            began.elapsed().as_secs()
                        ));
                        last = line;
                    }
                    tokio::time::sleep(if terminal { REFRESH } else { REPORT }).await;
                }
            }
        });
        Progress {
            phase,
            bar,
            drawing,
        }
    }

    /// A new phase begins.
    pub fn phase(&self, name: &'static str) {
        *self.phase.lock().expect("no one panics here") = (name, Instant::now());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.drawing.abort();
        self.bar.finish_and_clear();
    }
}

fn line(
    phase: &Mutex<(&'static str, Instant)>,
    recorder: &Recorder,
    links: &[Link],
    active: &Active,
) -> String {
    let (name, since) = *phase.lock().expect("no one panics here");
    let counts = recorder.counts();
    let mut line = format!(
        "{name} {} s · operations {} ok, {} failed, {} unknown",
        since.elapsed().as_secs(),
        counts.ok,
        counts.fail,
        counts.info
    );
    let queues: Vec<String> = links
        .iter()
        .filter_map(|link| {
            let queue = link.status()?.queue;
            (queue > 0).then(|| format!("{} {queue}", link.name()))
        })
        .collect();
    // Later downloads are short.
    let downloads: Vec<String> = links
        .iter()
        .filter(|_| name == FIRST_SYNC)
        .filter_map(|link| {
            let DownloadProgress { downloaded, total } = link.status()?.download?;
            Some(format!("{} {downloaded} of {total}", link.name()))
        })
        .collect();
    if !downloads.is_empty() {
        line += &format!(" · operations received: {}", downloads.join(", "));
    }
    if !queues.is_empty() {
        line += &format!(" · queues {}", queues.join(", "));
    }
    let faults = active.names();
    if !faults.is_empty() {
        line += &format!(" · {}", faults.join(", "));
    }
    let violations = recorder.violations();
    if violations > 0 {
        line += &format!(" · violations {violations}");
    }
    let troubles = recorder.troubles().len();
    if troubles > 0 {
        line += &format!(" · trouble {troubles}");
    }
    line
}
