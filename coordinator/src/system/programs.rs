//! Where programs of others are, and what to do when they are not there.

use std::env;
use std::path::{Path, PathBuf};

use crate::environment_variable::environment_variable;

/// Why a program was not found.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("{name} was not found: install it ({how}) or set {variable} to its path")]
    Missing {
        name: &'static str,
        variable: &'static str,
        how: String,
    },
    #[error("{variable} names {path:?}, which is not a file: correct or unset it")]
    WrongOverride {
        variable: &'static str,
        path: PathBuf,
    },
}

/// A program and the places where it may be.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// What a message calls it.
    pub name: &'static str,
    /// The environment variable that overrides the search.
    pub variable: &'static str,
    /// The package that has it.
    pub package: &'static str,
    /// Where the package is.
    pub source: Source,
    /// Tried in this order; a name without a slash is looked up in `PATH`.
    pub candidates: &'static [&'static str],
}

/// Who has a package.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    Debian,
    /// crates.io: cargo builds it.
    Crates,
}

/// Debian's `/usr/bin/chromium` is a shell script that adds flags of its own, so the program behind
/// it is preferred.
pub const CHROMIUM: Program = Program {
    name: "Chromium",
    variable: "SQUALL_CHROMIUM",
    package: "chromium",
    source: Source::Debian,
    candidates: &[
        "/usr/lib/chromium/chromium",
        "chromium",
        "chromium-browser",
        "google-chrome-stable",
        "google-chrome",
    ],
};

pub const CHROMEDRIVER: Program = Program {
    name: "chromedriver",
    variable: "SQUALL_CHROMEDRIVER",
    package: "chromium-driver",
    source: Source::Debian,
    candidates: &["chromedriver"],
};

/// Only clients in Firefox need this and the next one.
pub const FIREFOX: Program = Program {
    name: "Firefox",
    variable: "SQUALL_FIREFOX",
    package: "firefox-esr",
    source: Source::Debian,
    candidates: &["firefox-esr", "firefox"],
};

/// The launcher names the one that it has built.
pub const GECKODRIVER: Program = Program {
    name: "geckodriver",
    variable: "SQUALL_GECKODRIVER",
    package: "geckodriver",
    source: Source::Crates,
    candidates: &["geckodriver"],
};

/// No browser's, but looked for in the same way: clients of the kind `sqlite3` need it.
pub const SQLITE3: Program = Program {
    name: "the SQLite shell",
    variable: "SQUALL_SQLITE3",
    package: "sqlite3",
    source: Source::Debian,
    candidates: &["sqlite3"],
};

/// Brings Node, and the packages of clients in JavaScript.
pub const NPM: Program = Program {
    name: "npm",
    variable: "SQUALL_NPM",
    package: "npm",
    source: Source::Debian,
    candidates: &["npm"],
};

/// The next three compile packages with C++ for it.
pub const MAKE: Program = Program {
    name: "make",
    variable: "SQUALL_MAKE",
    package: "make",
    source: Source::Debian,
    candidates: &["make"],
};

pub const CXX: Program = Program {
    name: "a C++ compiler",
    variable: "SQUALL_CXX",
    package: "g++",
    source: Source::Debian,
    candidates: &["g++", "c++", "clang++"],
};

pub const PYTHON: Program = Program {
    name: "Python",
    variable: "SQUALL_PYTHON",
    package: "python3",
    source: Source::Debian,
    candidates: &["python3"],
};

impl Program {
    /// The program's path: the environment variable's, else the first candidate that exists.
    ///
    /// # Errors
    /// [`ProgramError::Missing`], which names the package and the variable.
    pub fn find(&self) -> Result<PathBuf, ProgramError> {
        let missing = || ProgramError::Missing {
            name: self.name,
            variable: self.variable,
            how: match self.source {
                Source::Debian => format!("Debian: apt-get install {}", self.package),
                Source::Crates => {
                    format!("cargo install {}; ./squall does so itself", self.package)
                }
            },
        };
        if let Some(path) = environment_variable(self.variable) {
            let path = PathBuf::from(path);
            return if path.is_file() {
                Ok(path)
            } else {
                Err(ProgramError::WrongOverride {
                    variable: self.variable,
                    path,
                })
            };
        }
        self.candidates
            .iter()
            .find_map(|candidate| find_in_path(candidate))
            .ok_or_else(missing)
    }
}

/// A bare name is looked up in `PATH`, anything with a slash is taken as it is.
fn find_in_path(candidate: &str) -> Option<PathBuf> {
    if candidate.contains('/') {
        return Some(PathBuf::from(candidate)).filter(|path| path.is_file());
    }
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(candidate))
        .find(|path: &PathBuf| Path::is_file(path))
}
