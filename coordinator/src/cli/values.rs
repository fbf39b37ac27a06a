//! The words of the command line: names, lengths, fleets, faults and the like. Every one that is not
//! known is answered with those that are.

use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use squall_models::formats::Format;
use squall_models::formats::export::Target;
use squall_models::registers::Model;
use squall_protocol::plan::{
    CheckpointMode, ClientKind, Isolation, KeyChoice, Length, ReadMode, Role, Roles, Workload,
};

use crate::faults;
use crate::fleet::program::Program;
use crate::plan::Count;
use crate::plan::kinds::is_tab;

/// The name of a workload.
pub(super) fn workload(text: &str) -> Result<Workload, String> {
    one_of("workload", text, &named(Workload::ALL, Workload::name))
}

/// The name of one of PostgreSQL's isolation levels.
pub(super) fn isolation(text: &str) -> Result<Isolation, String> {
    let named = [
        ("read-committed", Isolation::ReadCommitted),
        ("repeatable-read", Isolation::RepeatableRead),
        ("serializable", Isolation::Serializable),
    ];
    one_of("isolation level", text, &named)
}

/// The name of a way in which an SDK asks for a write checkpoint.
pub(super) fn checkpoint_mode(text: &str) -> Result<CheckpointMode, String> {
    let named = [
        ("legacy", CheckpointMode::Legacy),
        ("requests", CheckpointMode::Requests),
    ];
    one_of("checkpoint mode", text, &named)
}

/// The name of a format to read.
pub(super) fn format(text: &str) -> Result<Format, String> {
    let named = named(Format::ALL, Format::name);
    Format::from_name(text).map_or_else(|| one_of("format", text, &named), Ok)
}

/// The name of a format to write.
pub(super) fn target(text: &str) -> Result<Target, String> {
    one_of("format to export", text, &named(Target::ALL, Target::name))
}

/// The name of a consistency model.
pub(super) fn model(text: &str) -> Result<Model, String> {
    one_of("model", text, &named(Model::ALL, Model::name))
}

/// `4`, or a range with both ends such as `1..8`.
pub(super) fn length(text: &str) -> Result<Length, String> {
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let length = match text.split_once("..") {
        None => number(text).map(|number| (number, number)),
        Some((min, max)) => number(min).zip(number(max)),
    };
    match length {
        Some((min, max)) if min <= max && max > 0 => Ok(Length { min, max }),
        Some((min, max)) if min > max => {
            Err(format!("{min} is more than {max}; write {max}..{min}"))
        }
        Some(_) => Err("must be at least 1, or a range up to 1 or more".to_owned()),
        None => Err("write a number such as 4, or a range such as 1..8".to_owned()),
    }
}

/// `uniform`, or `zipf` with an exponent or without.
pub(super) fn key_choice(text: &str) -> Result<KeyChoice, String> {
    let (name, exponent) = match text.split_once(':') {
        Some((name, exponent)) => (name, Some(exponent)),
        None => (text, None),
    };
    match (name, exponent) {
        ("uniform", None) => Ok(KeyChoice::Uniform),
        ("zipf", None) => Ok(KeyChoice::Zipf { exponent: 1.0 }),
        ("zipf", Some(text)) => match text.parse::<f64>() {
            Ok(exponent) if exponent > 0.0 && exponent <= 10.0 => Ok(KeyChoice::Zipf { exponent }),
            _ => Err(format!(
                "the exponent `{text}` is not a number above 0 and at most 10"
            )),
        },
        _ => Err(format!(
            "there is no choice of keys `{text}`; there are uniform, zipf and zipf:EXPONENT such as zipf:1.5"
        )),
    }
}

/// The roles of both kinds of clients, such as `ps-ro-pg-rw`, or of one, such as `pg-ro`.
pub(super) fn roles(text: &str) -> Result<Roles, String> {
    let malformed = || {
        format!(
            "`{text}` is not like ps-rw-pg-ro: ps for clients with SQLite, pg for clients on PostgreSQL, each with rw (reads and writes), ro (only reads) or wo (only writes); one of the two may be left out"
        )
    };
    let words: Vec<&str> = text.split('-').collect();
    let (mut powersync, mut postgres) = (None, None);
    for word in words.chunks(2) {
        let (kind, role) = match word {
            ["ps", role] => (&mut powersync, role),
            ["pg", role] => (&mut postgres, role),
            _ => return Err(malformed()),
        };
        let role = match *role {
            "rw" => Role::ReadWrite,
            "ro" => Role::ReadOnly,
            "wo" => Role::WriteOnly,
            _ => return Err(malformed()),
        };
        if kind.replace(role).is_some() {
            return Err(malformed());
        }
    }
    Ok(Roles {
        powersync: powersync.unwrap_or_default(),
        postgres: postgres.unwrap_or_default(),
    })
}

/// A time with its unit, such as `30s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it like 30s, 1m 30s or 500ms"))
}

/// The file systems that a powersync-web client offers.
pub const VFS: [&str; 4] = [
    "IDBBatchAtomicVFS",
    "OPFSCoopSyncVFS",
    "AccessHandlePoolVFS",
    "OPFSWriteAheadVFS",
];

/// A kind of clients that are tabs.
pub fn tab_kind(name: &str) -> Result<ClientKind, String> {
    let tabs: Vec<_> = ClientKind::ALL
        .into_iter()
        .filter(|kind| is_tab(*kind))
        .collect();
    one_of("kind of tab", name, &named(&tabs, ClientKind::name))
}

/// The kinds of clients that are processes of their own.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ProcessKind {
    Native,
    Postgres,
    Sqlite,
    Sqlite3,
    BetterSqlite3,
    PowersyncNode,
    PowersyncRust,
    Local,
}

impl ProcessKind {
    /// The folder of `clients/` that it is, of a client that is set up there.
    pub fn folder(self) -> Option<&'static str> {
        match self {
            ProcessKind::BetterSqlite3 => Some("better-sqlite3"),
            ProcessKind::PowersyncNode => Some("powersync-node"),
            ProcessKind::PowersyncRust => Some("powersync-rust"),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UploaderArg {
    Transaction,
    Batch,
}

/// How transactions that only read are done: a list.
#[derive(Clone, Debug)]
pub struct ReadsArg(pub Vec<ReadMode>);

impl FromStr for ReadsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = [
            ("write-transaction", ReadMode::WriteTransaction),
            ("read-transaction", ReadMode::ReadTransaction),
            ("watch", ReadMode::Watch),
        ];
        let read = |name: &str| one_of("way to read", name.trim(), &named);
        let mut chosen: Vec<_> = text.split(',').map(read).collect::<Result<_, _>>()?;
        // The plan depends on the set, not on the order in which they were named.
        chosen.sort();
        chosen.dedup();
        Ok(ReadsArg(chosen))
    }
}

/// `native=3,web=2x3`: how many clients of the kind of that name, each name once; `2x3` is two browsers of three tabs
/// each.
#[derive(Clone, Debug)]
pub struct FleetArg(pub Vec<(String, Count)>);

/// The most clients of a kind.
const MOST: u32 = 200;

/// `3`, or `2x3`.
fn count(text: &str) -> Result<Count, String> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number <= MOST);
    let count = match text.split_once('x') {
        None => number(text).map(Count::of),
        Some((devices, tabs)) => number(devices)
            .zip(number(tabs))
            .map(|(devices, tabs)| Count { devices, tabs }),
    };
    match count {
        None => Err(format!(
            "`{text}` is not a number from 0 to {MOST}, or BROWSERSxTABS such as 2x3"
        )),
        Some(Count { tabs: 0, .. }) => Err(format!("`{text}`: a browser needs at least one tab")),
        Some(count) if count.clients() > MOST => Err(format!(
            "`{text}` are {} clients, and {MOST} are the most",
            count.clients()
        )),
        Some(count) => Ok(count),
    }
}

impl FromStr for FleetArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut fleet = Vec::<(String, Count)>::new();
        for part in text.split(',').map(str::trim) {
            let (kind, number) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` is not KIND=N, such as native=3"))?;
            let count = count(number)?;
            if fleet.iter().any(|(known, _)| known == kind) {
                return Err(format!("{kind} is there twice"));
            }
            fleet.push((kind.to_owned(), count));
        }
        if fleet.iter().all(|(_, count)| count.devices == 0) {
            return Err("a fleet needs at least one client".to_owned());
        }
        Ok(FleetArg(fleet))
    }
}

/// `mine=node my-client.mjs`: the name of a kind, and the command of its clients.
#[derive(Clone, Debug)]
pub struct ClientArg {
    pub kind: String,
    pub command: String,
}

impl FromStr for ClientArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, command) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` is not NAME=COMMAND, such as mine='node mine.mjs'"))?;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !kind.starts_with(|c: char| c.is_ascii_lowercase()) || !kind.chars().all(fits) {
            return Err(format!(
                "`{kind}`: a name begins with a lower-case letter and has letters, digits and -"
            ));
        }
        if ClientKind::ALL.iter().any(|own| own.name() == kind) {
            return Err(format!(
                "{kind} is a kind of squall's own: choose another name"
            ));
        }
        Program::parse(command)?;
        Ok(ClientArg {
            kind: kind.to_owned(),
            command: command.to_owned(),
        })
    }
}

/// `all`, `none`, or a list of faults, by name.
#[derive(Clone, Debug)]
pub struct FaultsArg(pub Vec<String>);

impl FromStr for FaultsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let chosen: Vec<&str> = match text {
            "all" => faults::names().collect(),
            "none" => Vec::new(),
            list => list.split(',').map(str::trim).collect(),
        };
        if let Some(name) = chosen.iter().find(|name| faults::find(name).is_none()) {
            let known: Vec<_> = faults::names().collect();
            return Err(format!(
                "there is no fault `{name}`; there are all, none, {}",
                known.join(", ")
            ));
        }
        // The plan depends on the set of faults, not on the order in which they were named.
        let known = faults::names().filter(|name| chosen.contains(name));
        Ok(FaultsArg(known.map(str::to_owned).collect()))
    }
}

/// What `--faults` takes.
pub fn faults_help() -> String {
    let names: Vec<_> = faults::names().collect();
    format!("Which faults: all, none, or a list of {}", names.join(", "))
}

/// Values with their names.
fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Vec<(&'static str, T)> {
    all.iter().map(|&one| (name(one), one)).collect()
}

/// The value of that name.
///
/// # Errors
///
/// What there is instead, when there is none.
pub(crate) fn one_of<T: Copy>(what: &str, text: &str, named: &[(&str, T)]) -> Result<T, String> {
    let found = named.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
        format!(
            "there is no {what} `{text}`; there are {}",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_the_names_of_the_older_suites() {
        use Role::{ReadOnly as Ro, ReadWrite as Rw, WriteOnly as Wo};
        for (name, powersync, postgres) in [
            ("ps-rw-pg-rw", Rw, Rw),
            ("ps-ro-pg-rw", Ro, Rw),
            ("ps-rw-pg-ro", Rw, Ro),
            ("ps-wo-pg-rw", Wo, Rw),
            ("ps-wo-pg-ro", Wo, Ro),
            ("ps-ro-pg-wo", Ro, Wo),
            ("ps-ro", Ro, Rw),
            ("pg-ro", Rw, Ro),
            ("pg-wo-ps-ro", Ro, Wo),
        ] {
            let roles = Roles {
                powersync,
                postgres,
            };
            assert_eq!(super::roles(name), Ok(roles), "{name}");
        }
        for bad in ["", "rw", "ps", "ps-", "ps-xx", "ps-rw-ps-ro", "ps-rw-pg"] {
            assert!(super::roles(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_choices_and_ways_to_read() {
        assert_eq!(length("4"), Ok(Length { min: 4, max: 4 }));
        assert_eq!(length("0..8"), Ok(Length { min: 0, max: 8 }));
        for bad in ["", "0", "0..0", "3..1", "1..", "-1", "1-3"] {
            assert!(length(bad).is_err(), "{bad}");
        }
        assert_eq!(key_choice("uniform"), Ok(KeyChoice::Uniform));
        assert_eq!(key_choice("zipf"), Ok(KeyChoice::Zipf { exponent: 1.0 }));
        assert_eq!(
            key_choice("zipf:0.7"),
            Ok(KeyChoice::Zipf { exponent: 0.7 })
        );
        for bad in [
            "",
            "uniform:1",
            "zipf:",
            "zipf:0",
            "zipf:-1",
            "zipf:nan",
            "zipf:inf",
            "power",
        ] {
            assert!(key_choice(bad).is_err(), "{bad}");
        }
        let reads = |text: &str| text.parse::<ReadsArg>().map(|reads| reads.0);
        assert_eq!(
            reads("watch,read-transaction,watch"),
            Ok(vec![ReadMode::ReadTransaction, ReadMode::Watch])
        );
        assert!(reads("").is_err());
        assert!(reads("watch,").is_err());
    }

    #[test]
    fn faults_do_not_depend_on_their_order() {
        let a: FaultsArg = "client.kill,tab.reload".parse().unwrap();
        let b: FaultsArg = "tab.reload, client.kill".parse().unwrap();
        assert_eq!(a.0, b.0);
        assert!(
            "tab.relaod"
                .parse::<FaultsArg>()
                .unwrap_err()
                .contains("tab.reload")
        );
    }

    #[test]
    fn fleets_are_read_and_refused() {
        let fleet: FleetArg = "wasm=2,native=1".parse().unwrap();
        let expected = [
            ("wasm".to_owned(), Count::of(2)),
            ("native".to_owned(), Count::of(1)),
        ];
        assert_eq!(fleet.0, expected);
        let fleet: FleetArg = "powersync-web=2x3".parse().unwrap();
        let (devices, tabs) = (2, 3);
        assert_eq!(fleet.0[0].1, Count { devices, tabs });
        for bad in [
            "",
            "native",
            "native=x",
            "native=0",
            "native=1,native=2",
            "web=0x3",
            "web=3x0",
            "web=2x",
            "web=x3",
            "web=2x3x4",
            "web=201",
            "web=20x11",
        ] {
            assert!(bad.parse::<FleetArg>().is_err(), "{bad}");
        }
        for bad in [
            "mine",
            "native=true",
            "Mine=true",
            "=true",
            "mine=",
            "mine='x",
        ] {
            assert!(bad.parse::<ClientArg>().is_err(), "{bad}");
        }
        let mine: ClientArg = "mine=node 'my client.mjs'".parse().unwrap();
        assert_eq!(
            (&mine.kind[..], &mine.command[..]),
            ("mine", "node 'my client.mjs'")
        );
    }
}
