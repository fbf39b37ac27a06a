//! The kinds of clients as data: what each runs as and what it needs. What the checker has to know too, where
//! the rows of a kind live, is in [`ClientKind::store`]. Which faults hit it follows from these: each file in
//! `faults/` says so.

use std::path::PathBuf;

use squall_protocol::contract::Hello;
use squall_protocol::plan::{ClientKind, ClientSpec, Store};
use squall_protocol::sql::Dialect;

use crate::system::programs::{
    CHROMEDRIVER, CHROMIUM, CXX, FIREFOX, GECKODRIVER, MAKE, NPM, PYTHON, Program, SQLITE3,
};

/// What there is to know of a kind.
#[derive(Debug)]
pub struct Manifest {
    pub kind: ClientKind,
    /// What its clients run as.
    pub runs_as: RunsAs,
    /// That without which it cannot run.
    pub needs: &'static [Need],
    /// Whether it may be able to keep a live query; a client says in `hello` whether it is.
    pub watches: bool,
    /// Whether several tabs of a browser may work on one database; a client says in `hello` whether it can.
    pub several_tabs: bool,
}

/// Something that has to be installed.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    Program(&'static Program),
    /// A program without which it cannot be set up.
    Tool(&'static Program),
    /// A folder of `clients/`, set up by the launcher.
    Folder(&'static str),
    /// The server programs of PostgreSQL, unless there is a server already.
    Postgres,
}

impl Need {
    /// The package that has it, if it is not there: Debian's, or the crate `geckodriver`.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Need::Program(program) | Need::Tool(program) => {
                program.find().is_err().then_some(program.package)
            }
            // Not a package of Debian's.
            Need::Folder(_) => None,
            Need::Postgres => (!squall_throwaway_postgres::is_installed()).then_some("postgresql"),
        }
    }

    /// The folder of `clients/` that it is.
    pub fn folder(self) -> Option<&'static str> {
        match self {
            Need::Folder(folder) => Some(folder),
            _ => None,
        }
    }
}

/// What a client runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunsAs {
    /// A process: squall's own with the kind's name, or somebody's command.
    Process,
    /// A tab of a browser of its own, with the page of that path.
    Tab {
        browser: BrowserName,
        page: &'static str,
    },
}

/// A browser that there are tabs of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrowserName {
    Chromium,
    Firefox,
}

const KINDS: &[Manifest] = &[
    Manifest {
        kind: ClientKind::Native,
        runs_as: RunsAs::Process,
        needs: &[Need::Postgres],
        watches: true,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::Wasm,
        runs_as: RunsAs::Tab {
            browser: BrowserName::Chromium,
            page: "client",
        },
        needs: &[
            Need::Program(&CHROMIUM),
            Need::Program(&CHROMEDRIVER),
            Need::Postgres,
        ],
        watches: true,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::WasmFirefox,
        runs_as: RunsAs::Tab {
            browser: BrowserName::Firefox,
            page: "client",
        },
        needs: &[
            Need::Program(&FIREFOX),
            Need::Program(&GECKODRIVER),
            Need::Postgres,
        ],
        watches: true,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::PowersyncNode,
        runs_as: RunsAs::Process,
        needs: &[
            Need::Tool(&NPM),
            Need::Tool(&MAKE),
            Need::Tool(&CXX),
            Need::Tool(&PYTHON),
            Need::Folder("node"),
            Need::Folder("powersync-node"),
            Need::Postgres,
        ],
        watches: true,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::PowersyncWeb,
        runs_as: RunsAs::Tab {
            browser: BrowserName::Chromium,
            page: "clients/powersync-web",
        },
        needs: &[
            Need::Tool(&NPM),
            Need::Folder("node"),
            Need::Folder("powersync-web"),
            Need::Program(&CHROMIUM),
            Need::Program(&CHROMEDRIVER),
            Need::Postgres,
        ],
        watches: true,
        several_tabs: true,
    },
    Manifest {
        kind: ClientKind::PowersyncWebFirefox,
        runs_as: RunsAs::Tab {
            browser: BrowserName::Firefox,
            page: "clients/powersync-web",
        },
        needs: &[
            Need::Tool(&NPM),
            Need::Folder("node"),
            Need::Folder("powersync-web"),
            Need::Program(&FIREFOX),
            Need::Program(&GECKODRIVER),
            Need::Postgres,
        ],
        watches: true,
        several_tabs: true,
    },
    Manifest {
        kind: ClientKind::PowersyncRust,
        runs_as: RunsAs::Process,
        needs: &[Need::Folder("powersync-rust"), Need::Postgres],
        watches: true,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::Postgres,
        runs_as: RunsAs::Process,
        needs: &[Need::Postgres],
        watches: false,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::Sqlite,
        runs_as: RunsAs::Process,
        needs: &[],
        watches: false,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::Sqlite3,
        runs_as: RunsAs::Process,
        needs: &[Need::Program(&SQLITE3)],
        watches: false,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::BetterSqlite3,
        runs_as: RunsAs::Process,
        needs: &[
            Need::Tool(&NPM),
            Need::Tool(&MAKE),
            Need::Tool(&CXX),
            Need::Tool(&PYTHON),
            Need::Folder("node"),
            Need::Folder("better-sqlite3"),
        ],
        watches: false,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::Local,
        runs_as: RunsAs::Process,
        needs: &[],
        watches: true,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::External(Store::Synced),
        runs_as: RunsAs::Process,
        needs: &[Need::Postgres],
        watches: true,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::External(Store::Postgres),
        runs_as: RunsAs::Process,
        needs: &[Need::Postgres],
        watches: true,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::External(Store::SharedFile),
        runs_as: RunsAs::Process,
        needs: &[],
        watches: true,
        several_tabs: false,
    },
    Manifest {
        kind: ClientKind::External(Store::Alone),
        runs_as: RunsAs::Process,
        needs: &[],
        watches: true,
        several_tabs: false,
    },
];

/// What there is to know of that kind.
pub fn manifest(kind: ClientKind) -> &'static Manifest {
    let found = KINDS.iter().find(|manifest| manifest.kind == kind);
    found.expect("every kind has a manifest: there is a test")
}

/// Whether clients of that kind are processes.
pub fn is_process(kind: ClientKind) -> bool {
    manifest(kind).runs_as == RunsAs::Process
}

/// Whether clients of that kind are tabs.
pub fn is_tab(kind: ClientKind) -> bool {
    manifest(kind).is_tab()
}

impl Manifest {
    /// Whether its clients are tabs of browsers.
    pub fn is_tab(&self) -> bool {
        self.page().is_some()
    }

    /// The path of the page in its tabs.
    pub fn page(&self) -> Option<&'static str> {
        self.tab().map(|(_, page)| page)
    }

    /// The browser and the path of the page of its tabs.
    pub fn tab(&self) -> Option<(BrowserName, &'static str)> {
        match self.runs_as {
            RunsAs::Process => None,
            RunsAs::Tab { browser, page } => Some((browser, page)),
        }
    }

    /// The SQLite shell, if it needs one and there is one.
    pub fn shell(&self) -> Option<PathBuf> {
        let is_shell = |need: &Need| matches!(need, Need::Program(it) if it.name == SQLITE3.name);
        let needs_shell = self.needs.iter().any(is_shell);
        needs_shell.then(|| SQLITE3.find().ok())?
    }
}

/// Where the rows of somebody's client live, by what it says of itself.
pub fn store(hello: &Hello) -> Store {
    match hello.dialect {
        Dialect::Postgres => Store::Postgres,
        Dialect::Sqlite if hello.capabilities.syncs => Store::Synced,
        Dialect::Sqlite if hello.capabilities.shares_a_file => Store::SharedFile,
        Dialect::Sqlite => Store::Alone,
    }
}

/// Whether those clients can be of one fleet: what each writes must come to all others.
///
/// # Errors
///
/// Why they can not.
pub fn check(clients: &[ClientSpec]) -> Result<(), String> {
    for client in clients.iter().filter(|client| client.browser.is_some()) {
        let kind = client.kind_name();
        if !manifest(client.kind).several_tabs {
            let can = KINDS.iter().filter(|manifest| manifest.several_tabs);
            let can: Vec<&str> = can.map(|manifest| manifest.kind.name()).collect();
            return Err(format!(
                "a client {kind} cannot have several tabs on one database: write {kind}=N; {} can",
                can.join(", ")
            ));
        }
        let mut others = clients
            .iter()
            .filter(|other| other.device() == client.device());
        if let Some(other) =
            others.find(|other| (other.kind, &other.browser) != (client.kind, &client.browser))
        {
            return Err(format!(
                "{} and {} cannot be tabs of one browser",
                client.name, other.name
            ));
        }
    }
    let one_of = |wanted: fn(ClientKind) -> bool| clients.iter().find(|spec| wanted(spec.kind));
    if let Some(alone) = one_of(|kind| kind.store() == Store::Alone)
        && clients.len() > 1
    {
        return Err(format!(
            "a client {} never connects, so nobody sees its rows: it must be alone",
            alone.kind_name()
        ));
    }
    let sharing = one_of(ClientKind::shares_a_file);
    let syncing = one_of(ClientKind::meets_in_postgres);
    if let (Some(sharing), Some(syncing)) = (sharing, syncing) {
        return Err(format!(
            "nothing syncs the file of {} clients, so {} clients would never see their rows: \
             make a fleet of either",
            sharing.kind_name(),
            syncing.kind_name()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_manifest_and_needs_what_its_rows_live_in() {
        let stores = [
            Store::Synced,
            Store::Postgres,
            Store::SharedFile,
            Store::Alone,
        ];
        let kinds = ClientKind::ALL.into_iter();
        for kind in kinds.chain(stores.map(ClientKind::External)) {
            let manifest = manifest(kind);
            let mut needs = manifest.needs.iter();
            let postgres = needs.any(|need| matches!(need, Need::Postgres));
            assert_eq!(postgres, kind.meets_in_postgres(), "{kind:?}");
        }
    }
}
