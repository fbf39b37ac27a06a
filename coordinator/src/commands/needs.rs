//! `squall needs`: what a command line needs, for the launcher, which installs what is not there.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use squall_protocol::plan::{ClientKind, Store};

use crate::cli::{self, Command, DEFAULT_FLEET, FleetArg, NeedsArgs};
use crate::exit::Exit;
use crate::faults;
use crate::output;
use crate::plan::Count;
use crate::plan::kinds::{BrowserName, manifest};

/// Prints the packages that are missing, one a line: Debian's, and `geckodriver`; or the folders of `clients/`, whether they are set up
/// or not, which the launcher sees for itself.
pub fn run(args: &NeedsArgs) -> Exit {
    for name in names(args) {
        output::println(name);
    }
    Exit::Ok
}

fn names(args: &NeedsArgs) -> BTreeSet<&'static str> {
    let needs = kinds(args)
        .into_iter()
        .flat_map(|kind| manifest(kind).needs);
    match args.clients {
        true => needs.filter_map(|need| need.folder()).collect(),
        false => needs.filter_map(|need| need.missing()).collect(),
    }
}

/// The kinds of clients that the command line starts. One that makes no sense starts none; of what it names
/// and cannot be read, nothing is known.
fn kinds(args: &NeedsArgs) -> Vec<ClientKind> {
    let words = ["squall".into()]
        .into_iter()
        .chain(args.words.iter().cloned());
    let Ok(cli) = cli::parse(words) else {
        return Vec::new();
    };
    // Somebody's client may be one that syncs.
    let external = ClientKind::External(Store::Synced);
    match cli.command {
        Command::Run(run) => match &run.plan {
            Some(plan) => of_plan(plan),
            None => of_fleet(&run.fleet),
        },
        Command::Matrix(matrix) => {
            of_toml(&std::fs::read_to_string(matrix.file).unwrap_or_default())
        }
        Command::Ladder(ladder) => match ladder.rungs {
            Some(file) => of_toml(&std::fs::read_to_string(file).unwrap_or_default()),
            None => of_toml(super::ladder::RUNGS),
        },
        Command::Demo(_) => vec![ClientKind::Native, ClientKind::Wasm],
        Command::Doctor => {
            // What is big, or long to build, and seldom wanted is only got for who wants it.
            let all = ClientKind::ALL.into_iter();
            let in_firefox = |kind| {
                let tab = manifest(kind).tab();
                tab.is_some_and(|(browser, _)| browser == BrowserName::Firefox)
            };
            let seldom = |kind| in_firefox(kind) || kind == ClientKind::PowersyncRust;
            all.filter(|kind| !seldom(*kind)).collect()
        }
        Command::Conform(conform) => {
            vec![
                conform
                    .browser
                    .or_else(|| own_kind(&conform.command))
                    .unwrap_or(external),
            ]
        }
        _ => Vec::new(),
    }
}

/// The kind of a command that is a client of squall's own: `squall client --kind KIND`.
fn own_kind(command: &[OsString]) -> Option<ClientKind> {
    let [program, client, kind, name, ..] = command else {
        return None;
    };
    let is_squall = Path::new(program).file_name()? == "squall";
    let mut all = ClientKind::ALL.into_iter();
    all.find(|own| is_squall && client == "client" && kind == "--kind" && *name == *own.name())
}

fn of_fleet(fleet: &FleetArg) -> Vec<ClientKind> {
    let present = fleet.0.iter().filter(|(_, count)| count.devices > 0);
    let kind = |(name, _): &(String, Count)| {
        let mut own = ClientKind::ALL.into_iter();
        let own = own.find(|kind| kind.name() == name);
        own.unwrap_or(ClientKind::External(Store::Synced))
    };
    present.map(kind).collect()
}

fn of_plan(file: &Path) -> Vec<ClientKind> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    match crate::plan::read(&text, &faults::plannable()) {
        Ok(plan) => plan.clients.iter().map(|client| client.kind).collect(),
        Err(_) => Vec::new(),
    }
}

/// The kinds in the fleets of a matrix or a ladder: of every `fleet` in a table `run`.
fn of_toml(text: &str) -> Vec<ClientKind> {
    let Ok(file) = text.parse::<toml::Table>() else {
        return Vec::new();
    };
    let rungs = file.get("rung").and_then(toml::Value::as_array);
    let tables = rungs
        .into_iter()
        .flatten()
        .filter_map(toml::Value::as_table);
    let runs = tables.chain([&file]).filter_map(|table| table.get("run"));
    let fleets = runs.flat_map(|run| match run.get("fleet") {
        Some(toml::Value::Array(fleets)) => fleets.clone(),
        Some(fleet) => vec![fleet.clone()],
        None => vec![DEFAULT_FLEET.into()],
    });
    let fleets = fleets.filter_map(|fleet| fleet.as_str()?.parse::<FleetArg>().ok());
    fleets.flat_map(|fleet| of_fleet(&fleet)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::kinds::Need;

    /// The packages that the command line needs, wherever they are.
    fn needs(line: &str) -> Vec<&'static str> {
        let words = line.split_whitespace().map(Into::into).collect();
        let clients = false;
        let needs = kinds(&NeedsArgs { clients, words }).into_iter();
        let needs = needs.flat_map(|kind| manifest(kind).needs);
        let packages: BTreeSet<_> = needs
            .filter_map(|need| match need {
                Need::Program(program) | Need::Tool(program) => Some(program.package),
                Need::Folder(_) => None,
                Need::Postgres => Some("postgresql"),
            })
            .collect();
        packages.into_iter().collect()
    }

    #[test]
    fn a_command_line_needs_the_folders_of_its_clients_in_javascript() {
        let folders = |line: &str| {
            let line = format!("squall needs --clients {line}");
            let cli = cli::parse(line.split_whitespace()).unwrap();
            let Command::Needs(args) = cli.command else {
                panic!("it is another command");
            };
            assert!(args.clients);
            names(&args)
        };
        for (line, expected) in [
            ("run --fleet native=1", &[][..]),
            ("--version", &[]),
            ("run --fleet powersync-node=1", &["node", "powersync-node"]),
            ("run --fleet better-sqlite3=1 --clients", &[]),
            ("run --fleet native=1,powersync-rust=1", &["powersync-rust"]),
            (
                "conform -- target/release/squall client --kind powersync-rust",
                &["powersync-rust"],
            ),
            ("conform -- mine client --kind powersync-rust", &[]),
            (
                "doctor",
                &["better-sqlite3", "node", "powersync-node", "powersync-web"],
            ),
            (
                "conform --browser=powersync-web",
                &["node", "powersync-web"],
            ),
        ] {
            assert_eq!(
                folders(line).into_iter().collect::<Vec<_>>(),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn a_command_line_needs_what_its_clients_need() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let quick = format!("matrix {}", root.join("matrices/quick.toml").display());
        let browser = ["chromium", "chromium-driver", "postgresql"];
        for (line, expected) in [
            ("run", &browser[..]),
            ("run --fleet native=2,wasm=0", &["postgresql"]),
            ("run --fleet=sqlite=2,sqlite3=1", &["sqlite3"]),
            ("run --fleet local=1 --seed 3", &[]),
            (
                "run --fleet powersync-node=1",
                &["g++", "make", "npm", "postgresql", "python3"],
            ),
            (
                "conform --browser=powersync-web",
                &["chromium", "chromium-driver", "npm", "postgresql"],
            ),
            (
                "run --fleet native=1,wasm@firefox=1",
                &["firefox-esr", "geckodriver", "postgresql"],
            ),
            ("run --fleet mine=1 --client mine=true", &["postgresql"]),
            ("run --fleet nonsense", &[]),
            ("run --plan no-such-plan", &[]),
            ("check", &[]),
            ("--help", &[]),
            ("", &[]),
            ("demo", &browser),
            ("conform --browser", &browser),
            ("conform -- node mine.mjs --fleet wasm=1", &["postgresql"]),
            ("ladder", &["postgresql", "sqlite3"]),
            (
                "doctor",
                &[
                    "chromium",
                    "chromium-driver",
                    "g++",
                    "make",
                    "npm",
                    "postgresql",
                    "python3",
                    "sqlite3",
                ],
            ),
            (&quick, &browser),
        ] {
            assert_eq!(needs(line), expected, "{line}");
        }
    }
}
