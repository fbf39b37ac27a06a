//! What is told of the checks: a line each while they are done, with what went wrong below it, or JSON at the
//! end.

use serde::Serialize;
use squall_protocol::contract::Hello;

use super::checks::{Check, Outcome};
use super::problem::Finding;
use crate::exit::Exit;
use crate::output;

/// The report, as `--json` prints it.
#[derive(Serialize)]
pub(super) struct Report {
    /// What the client said that it is.
    client: Option<Hello>,
    conforms: bool,
    checks: Vec<Entry>,
    #[serde(skip)]
    json: bool,
}

#[derive(Serialize)]
struct Entry {
    check: &'static str,
    /// What is checked.
    what: &'static str,
    result: &'static str,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(flatten)]
    finding: Option<Finding>,
}

impl Report {
    pub(super) fn new(json: bool) -> Report {
        Report {
            client: None,
            conforms: true,
            checks: Vec::new(),
            json,
        }
    }

    /// Says who is checked.
    pub(super) fn introduce(&mut self, hello: &Hello) {
        let can = hello.capabilities;
        let capabilities = [
            ("syncs", can.syncs),
            ("watches", can.watches),
            ("disconnects", can.disconnects),
            ("checks its integrity", can.checks_integrity),
            ("shares a file", can.shares_a_file),
            ("several tabs", can.several_tabs),
        ];
        let names = capabilities.iter().filter(|(_, can)| *can);
        let names: Vec<_> = names.map(|(name, _)| *name).collect();
        let engine = hello.engine.as_ref().map_or_else(String::new, |engine| {
            let version = engine.version.as_deref().unwrap_or_default();
            format!("{} {version}", engine.name)
        });
        self.say(format_args!(
            "{}; dialect {}; {}",
            match engine.trim() {
                "" => "an engine that is not named",
                engine => engine,
            },
            hello.dialect.name(),
            match names.is_empty() {
                true => "no capabilities".to_owned(),
                false => names.join(", "),
            }
        ));
        self.client = Some(hello.clone());
    }

    /// Says what came of a check.
    pub(super) fn add(&mut self, check: &Check, outcome: Outcome) {
        let (mark, result, why, finding) = match outcome {
            Outcome::Passed => ('✓', "passed", None, None),
            Outcome::Skipped(why) => ('-', "skipped", Some(why), None),
            Outcome::Failed(finding) => ('✗', "failed", None, Some(*finding)),
        };
        let (name, what) = (check.name, check.what);
        match why {
            Some(why) => self.say(format_args!("{mark} {name:<20} skipped: {why}")),
            None => self.say(format_args!("{mark} {name:<20} {what}")),
        }
        if let Some(finding) = &finding {
            self.conforms = false;
            for (name, text) in [
                ("sent", &finding.sent),
                ("expected", &finding.expected),
                ("came", &finding.came),
            ] {
                let text = text.trim_end().replace('\n', "\n              ");
                self.say(format_args!("    {name:<9} {text}"));
            }
        }
        self.checks.push(Entry {
            check: name,
            what,
            result,
            why,
            finding,
        });
    }

    /// Says the whole, and how to exit.
    pub(super) fn end(self) -> Exit {
        let count = |result| {
            let checks = self.checks.iter();
            checks.filter(|entry| entry.result == result).count()
        };
        match self.json {
            true => {
                let text = serde_json::to_string_pretty(&self);
                output::println(text.expect("it is plain data"));
            }
            false => self.say(format_args!(
                "\n{}: {} passed, {} failed, {} skipped",
                match self.conforms {
                    true => "conforms",
                    false => "does not conform",
                },
                count("passed"),
                count("failed"),
                count("skipped"),
            )),
        }
        match self.conforms {
            true => Exit::Ok,
            false => Exit::SafetyViolation,
        }
    }

    fn say(&self, line: impl std::fmt::Display) {
        if !self.json {
            output::println(line);
        }
    }
}
