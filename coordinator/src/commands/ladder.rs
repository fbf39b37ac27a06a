//! `squall ladder`: from one client on plain SQLite to a whole fleet, a short storm on each rung, up to
//! the first surprise. What the rungs are is data (`ladder/rungs.toml`): the options of a `squall run`,
//! and what is expected to come of it.
//!
//! A rung says what must hold, and what must be found violated: one of them is a negative control, and
//! to find nothing there is a surprise too.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize, Serializer};
use squall_protocol::plan::ClientKind;
use squall_protocol::verdict::{Judgement, Property, PropertyClass, PropertyVerdict, Verdict};
use tokio_util::sync::CancellationToken;

use crate::cli::{self, Command, LadderArgs, RunArgs};
use crate::commands::matrix::word;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::run;
use crate::run::interruption;
use crate::run::judge;
use crate::system::programs;

/// The ladder that comes with squall.
pub const RUNGS: &str = include_str!("ladder/rungs.toml");
/// What came of it, in the folder of the run folders.
const RESULTS: &str = "ladder.json";
/// What is violated where transactions were torn.
const TORN: [Property; 2] = [Property::AtomicVisibility, Property::AtomicTransactions];

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LadderFile {
    rung: Vec<Rung>,
}

/// One rung.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rung {
    /// What is new on it, in a few words.
    what: String,
    /// Options of `squall run`.
    run: BTreeMap<String, toml::Value>,
    /// The properties that must be found violated, by name. If there are none, nothing may be.
    #[serde(default)]
    violates: Vec<String>,
    /// The properties that must be judged, and judged `ok`, by name.
    #[serde(default)]
    holds: Vec<String>,
}

/// A rung that can be run.
struct Step {
    number: usize,
    rung: Rung,
    arguments: RunArgs,
    /// The command line that does the same.
    again: String,
    fleet: String,
    workload: &'static str,
}

/// What came of a rung.
#[derive(Debug, Serialize)]
struct Climbed {
    rung: usize,
    what: String,
    fleet: String,
    workload: &'static str,
    /// The rung's whole time.
    seconds: f64,
    /// How many operations committed, did not happen, and may have happened.
    ok: u64,
    fail: u64,
    info: u64,
    expected: &'static str,
    verdict: &'static str,
    /// Why this is not what was expected.
    surprise: Option<String>,
    #[serde(serialize_with = "lossy")]
    folder: PathBuf,
    /// The command line that does it again.
    again: String,
    /// The exit code for the surprise.
    #[serde(skip)]
    exit: Option<Exit>,
}

/// Climbs the ladder up to the first surprise, and prints what came of every rung.
///
/// # Errors
///
/// When the ladder makes no sense, or something that a rung needs is missing or does not start.
pub async fn run(args: LadderArgs) -> Result<Exit, Failure> {
    let interrupted = interruption::listen();
    let seed = args
        .seed
        .unwrap_or_else(|| rand::random_range(1..1_000_000));
    let (name, text) = match &args.rungs {
        None => ("the ladder".to_owned(), RUNGS.to_owned()),
        Some(file) => {
            let text = fs::read_to_string(file).map_err(|error| {
                let file = file.display();
                Failure::Usage(format!("cannot read the ladder {file}: {error}"))
            })?;
            (file.display().to_string(), text)
        }
    };
    let steps = read(&text, &args, seed)
        .map_err(|error| Failure::MalformedInput(format!("{name}: {error}")))?;
    let all = steps.len();
    if args.from == 0 || args.from > all {
        let from = args.from;
        return Err(Failure::Usage(format!(
            "--from {from}: the rungs are 1 to {all}"
        )));
    }
    fs::create_dir_all(&args.output).map_err(|error| cannot_write(&args.output, &error))?;
    if !args.json {
        output::println(format_args!(
            "seed {seed}; run folders in {}\n",
            args.output.display()
        ));
        output::println(heading());
    }
    let mut climbed: Vec<Climbed> = Vec::new();
    for step in steps.into_iter().skip(args.from - 1) {
        let next = climb(step, &interrupted).await?;
        if !args.json {
            output::println(next.row());
        }
        let surprised = next.surprise.is_some();
        climbed.push(next);
        write(&args.output, &climbed)?;
        if surprised {
            break;
        }
    }
    let last = climbed.last().expect("there is one rung at least");
    if args.json {
        output::print(to_json(&climbed));
    } else {
        output::println(format_args!("\n{}", last.end(all)));
    }
    Ok(last.exit.unwrap_or(Exit::Ok))
}

fn cannot_write(output: &Path, error: &std::io::Error) -> Failure {
    Failure::unavailable(format!("cannot write to {}", output.display()), error)
}

fn write(output: &Path, climbed: &[Climbed]) -> Result<(), Failure> {
    fs::write(output.join(RESULTS), to_json(climbed)).map_err(|error| cannot_write(output, &error))
}

/// A path in JSON, which has only text.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn to_json(climbed: &[Climbed]) -> String {
    let text = serde_json::to_string_pretty(climbed).expect("results are plain data");
    text + "\n"
}

/// The rungs of a ladder. Every one is checked as a command line would be, before anything starts.
fn read(text: &str, args: &LadderArgs, seed: u64) -> Result<Vec<Step>, String> {
    let file: LadderFile = toml::from_str(text).map_err(|error| error.to_string())?;
    if file.rung.is_empty() {
        return Err("it has no rung".to_owned());
    }
    let steps = file.rung.into_iter().zip(1..);
    steps
        .map(|(rung, number)| {
            step(number, rung, args, seed).map_err(|error| format!("rung {number}: {error}"))
        })
        .collect()
}

fn step(number: usize, rung: Rung, args: &LadderArgs, seed: u64) -> Result<Step, String> {
    let mut words = vec!["run".to_owned(), format!("--seed={seed}")];
    words.push(format!("--time={}", humantime::format_duration(args.time)).replace(' ', ""));
    for (name, value) in &rung.run {
        if ["seed", "time", "output", "plan"].contains(&name.as_str()) {
            return Err(format!("run.{name}: the ladder decides this itself"));
        }
        let value = word(value)
            .ok_or_else(|| format!("run.{name}: must be a text, a number or a boolean"))?;
        words.push(match &name[..] {
            "fleet" => format!("--fleet={}", possible_fleet(&value)),
            name => format!("--{name}={value}"),
        });
    }
    let again = format!("./squall {}", words.join(" "));
    let mut words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    words.insert(0, "squall".into());
    // A name of a folder need not be text.
    words.extend(["--output".into(), args.output.clone().into()]);
    let parsed = cli::parse(words);
    let arguments = match parsed.map_err(|error| error.to_string())?.command {
        Command::Run(arguments) => *arguments,
        _ => unreachable!("the first word is `run`"),
    };
    let options = arguments
        .clients(&BTreeMap::new())
        .and_then(|clients| arguments.plan_options(&clients))
        .map_err(|error| error.to_string())?;
    let fleet = arguments.fleet.0.iter();
    let fleet: Vec<String> = fleet
        .map(|(kind, count)| format!("{kind}={count}"))
        .collect();
    Ok(Step {
        number,
        rung,
        arguments,
        again,
        fleet: fleet.join(","),
        workload: options.workload.name(),
    })
}

/// The fleet without what is not installed: without the SQLite shell, clients of our own take the place
/// of those that need it.
fn possible_fleet(fleet: &str) -> String {
    if programs::SQLITE3.find().is_ok() {
        return fleet.to_owned();
    }
    let count_of = |kind: ClientKind| -> u32 {
        let parts = fleet.split(',').filter_map(|part| part.split_once('='));
        let of_kind = parts.filter(|(name, _)| name.trim() == kind.name());
        of_kind
            .filter_map(|(_, count)| count.parse::<u32>().ok())
            .sum()
    };
    match count_of(ClientKind::Sqlite3) {
        0 => fleet.to_owned(),
        shells => format!("sqlite={}", shells + count_of(ClientKind::Sqlite)),
    }
}

async fn climb(step: Step, interrupted: &CancellationToken) -> Result<Climbed, Failure> {
    let began = Instant::now();
    let mut options = crate::commands::run::options(&step.arguments).await?;
    options.again = step.again.clone();
    options.quiet = true;
    let folder = run::make_folder(&options.output, &options.plan)?;
    let verdict = run::carry_out(&options, &folder, interrupted).await?;
    let surprise = match interrupted.is_cancelled() {
        true => Some((Exit::Unknown, "it was interrupted".to_owned())),
        false => step.rung.surprise(&verdict),
    };
    let (exit, surprise) = surprise.unzip();
    Ok(Climbed {
        rung: step.number,
        expected: step.rung.expected(),
        fleet: step.fleet,
        workload: step.workload,
        seconds: began.elapsed().as_secs_f64(),
        ok: verdict.counts.ok,
        fail: verdict.counts.fail,
        info: verdict.counts.info,
        verdict: match surprise {
            Some(_) => judged(&verdict),
            None => step.rung.expected(),
        },
        surprise,
        what: step.rung.what,
        folder,
        again: step.again,
        exit,
    })
}

impl Rung {
    /// Why that verdict is not what was expected, and what to exit with; none if it is.
    fn surprise(&self, verdict: &Verdict) -> Option<(Exit, String)> {
        let of = |name: &String| {
            let mut all = verdict.properties.iter();
            all.find(|judged| judged.property.name() == name)
        };
        for name in &self.holds {
            let Some(judged) = of(name) else {
                return Some((Exit::Unknown, format!("{name} was not judged")));
            };
            match judged.judgement {
                Judgement::Ok => {}
                Judgement::Violation => {
                    let exit = match judged.property.class() {
                        PropertyClass::Safety => Exit::SafetyViolation,
                        PropertyClass::Liveness => Exit::LivenessViolation,
                    };
                    return Some((exit, format!("{name} is violated")));
                }
                Judgement::Unknown => {
                    let why = judged.note.as_deref().unwrap_or("too little happened");
                    return Some((Exit::Unknown, format!("{name} is unknown: {why}")));
                }
            }
        }
        for name in &self.violates {
            if of(name).is_none_or(|judged| judged.judgement != Judgement::Violation) {
                let blind = format!(
                    "{name} had to be found violated and was not, so nothing that holds means anything"
                );
                return Some((Exit::Unknown, blind));
            }
        }
        if self.violates.is_empty() && verdict.judgement == Judgement::Violation {
            let violated = |judged: &&PropertyVerdict| judged.judgement == Judgement::Violation;
            let violated = verdict.properties.iter().filter(violated);
            let names: Vec<&str> = violated.map(|judged| judged.property.name()).collect();
            return Some((
                judge::exit(verdict),
                format!("violated: {}", names.join(", ")),
            ));
        }
        None
    }

    /// What is expected, in a word.
    fn expected(&self) -> &'static str {
        let torn = TORN.map(Property::name);
        match &self.violates[..] {
            [] => "ok",
            names if names.iter().all(|name| torn.contains(&&name[..])) => "torn",
            _ => "violated",
        }
    }
}

/// What was found, in a word: as in [`Rung::expected`] where transactions were torn.
fn judged(verdict: &Verdict) -> &'static str {
    let mut all = verdict.properties.iter();
    let torn = all
        .any(|judged| TORN.contains(&judged.property) && judged.judgement == Judgement::Violation);
    match verdict.judgement {
        Judgement::Ok => "ok",
        Judgement::Unknown => "unknown",
        Judgement::Violation if torn => "torn",
        Judgement::Violation => "violated",
    }
}

/// The table's first line. All of it fits in a terminal of 80 columns.
fn heading() -> String {
    row(
        "", "rung", "fleet", "workload", "time", "ops", "expected", "found",
    )
}

#[expect(clippy::too_many_arguments, reason = "one for each column")]
fn row(
    number: &str,
    what: &str,
    fleet: &str,
    workload: &str,
    time: &str,
    operations: &str,
    expected: &str,
    found: &str,
) -> String {
    format!(
        "{number:1} {what:<18} {fleet:<19} {workload:<11} {time:>4} {operations:>4} {expected:<8} {found}"
    )
}

impl Climbed {
    fn row(&self) -> String {
        row(
            &self.rung.to_string(),
            &self.what,
            &self.fleet,
            self.workload,
            &format!("{:.0} s", self.seconds),
            &(self.ok + self.fail + self.info).to_string(),
            self.expected,
            self.verdict,
        )
    }

    /// The last words of a ladder of that many rungs that ended here.
    fn end(&self, all: usize) -> String {
        match &self.surprise {
            None => format!("all as expected, up to rung {all}"),
            Some(why) => format!(
                "a surprise on rung {}: {why}\nreport {}\nto run this rung alone: {}",
                self.rung,
                self.folder.join("report.html").display(),
                self.again
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use squall_protocol::verdict::{Counts, VERDICT_VERSION};

    use super::*;

    fn args() -> LadderArgs {
        LadderArgs {
            seed: None,
            time: Duration::from_secs(3),
            from: 1,
            output: PathBuf::from("runs"),
            json: false,
            rungs: None,
        }
    }

    fn verdict(judgements: &[(Property, Judgement)]) -> Verdict {
        let properties = judgements
            .iter()
            .map(|&(property, judgement)| PropertyVerdict {
                property,
                judgement,
                exercised: 1,
                violations: 0,
                examples: Vec::new(),
                note: None,
            });
        let any = |judgement| judgements.iter().any(|(_, found)| *found == judgement);
        Verdict {
            squall_verdict: VERDICT_VERSION,
            judgement: match () {
                () if any(Judgement::Violation) => Judgement::Violation,
                () if any(Judgement::Unknown) => Judgement::Unknown,
                () => Judgement::Ok,
            },
            properties: properties.collect(),
            counts: Counts::default(),
            notes: Vec::new(),
        }
    }

    fn rung(violates: &[&str], holds: &[&str]) -> Rung {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Rung {
            what: "a test".to_owned(),
            run: BTreeMap::new(),
            violates: names(violates),
            holds: names(holds),
        }
    }

    #[test]
    fn the_seven_rungs_are_in_order_and_fit_in_a_terminal() {
        let steps = read(RUNGS, &args(), 1).unwrap();
        assert_eq!(steps.len(), 7);
        for step in &steps {
            let strict = step
                .rung
                .holds
                .iter()
                .any(|name| name == "strict-serializability");
            assert_eq!(strict, step.number <= 4, "{}", step.rung.what);
            assert_eq!(step.rung.expected() == "torn", step.number == 5);
            let number = step.number.to_string();
            let (what, fleet) = (&step.rung.what, &step.fleet);
            let row = row(
                &number,
                what,
                fleet,
                step.workload,
                "12 s",
                "9999",
                "violated",
                "violated",
            );
            assert!(row.len() <= 80, "{row}");
        }
    }

    #[test]
    fn what_was_expected_is_no_surprise() {
        use {Judgement as J, Property as P};
        let fine = verdict(&[(P::AtomicVisibility, J::Ok), (P::StrongConvergence, J::Ok)]);
        assert!(rung(&[], &["strong-convergence"]).surprise(&fine).is_none());
        let partly = verdict(&[
            (P::AtomicVisibility, J::Ok),
            (P::MonotonicWrites, J::Unknown),
        ]);
        assert!(
            rung(&[], &["atomic-visibility"])
                .surprise(&partly)
                .is_none()
        );
        let torn = verdict(&[
            (P::AtomicVisibility, J::Violation),
            (P::WritesFollowReads, J::Violation),
            (P::StrongConvergence, J::Ok),
        ]);
        let control = rung(&["atomic-visibility"], &["strong-convergence"]);
        assert!(control.surprise(&torn).is_none());
    }

    #[test]
    fn what_was_not_expected_is_a_surprise_with_its_code() {
        use {Judgement as J, Property as P};
        let fine = verdict(&[(P::AtomicVisibility, J::Ok), (P::StrongConvergence, J::Ok)]);
        let cases = [
            (
                rung(&["atomic-visibility"], &[]),
                fine.clone(),
                Exit::Unknown,
                "had to be found",
            ),
            (
                rung(&[], &["durability"]),
                fine,
                Exit::Unknown,
                "not judged",
            ),
            (
                rung(&[], &[]),
                verdict(&[(P::AtomicVisibility, J::Violation)]),
                Exit::SafetyViolation,
                "violated: atomic-visibility",
            ),
            (
                rung(&[], &["recovered-in-time"]),
                verdict(&[(P::RecoveredInTime, J::Violation)]),
                Exit::LivenessViolation,
                "recovered-in-time is violated",
            ),
            (
                rung(&[], &["strong-convergence"]),
                verdict(&[(P::StrongConvergence, J::Unknown)]),
                Exit::Unknown,
                "strong-convergence is unknown",
            ),
            (
                rung(&["atomic-visibility"], &["strong-convergence"]),
                verdict(&[
                    (P::AtomicVisibility, J::Violation),
                    (P::StrongConvergence, J::Violation),
                ]),
                Exit::SafetyViolation,
                "strong-convergence is violated",
            ),
        ];
        for (rung, verdict, exit, says) in cases {
            let (code, why) = rung.surprise(&verdict).unwrap();
            assert_eq!(code, exit, "{why}");
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn nonsense_is_refused_before_anything_starts() {
        for (text, says) in [
            ("", "missing field"),
            ("rung = []", "no rung"),
            ("[[rung]]\nwhat = \"x\"\nrun = {speed = 1}", "rung 1"),
            (
                "[[rung]]\nwhat = \"x\"\nrun = {time = \"1s\"}",
                "decides this itself",
            ),
            (
                "[[rung]]\nwhat = \"x\"\nrun = {rate = [1]}",
                "must be a text",
            ),
            ("[[rung]]\nwhat = \"x\"\nrun = {}\nexpects = 1", "expects"),
        ] {
            let error = read(text, &args(), 1).err().unwrap();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
