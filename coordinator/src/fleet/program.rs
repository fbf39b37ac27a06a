//! The programs of clients that are processes: squall's own and anybody else's are started alike.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command line.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program and its arguments.
    words: Vec<OsString>,
    /// Whether it is squall's own, which shows in the list of processes what it is.
    own: bool,
}

/// What a client's process finds in its environment.
pub struct Situation<'a> {
    /// `SQUALL_CONTROL_URL`: where it opens its control connection.
    pub control_url: String,
    /// `SQUALL_CLIENT`: its name.
    pub client: &'a str,
    /// `SQUALL_DATABASE`: its database file, the same one after every start.
    pub database: PathBuf,
    /// `SQUALL_DATABASE_URL`: PostgreSQL, for a client that speaks its SQL.
    pub database_url: Option<&'a str>,
}

impl Program {
    /// Somebody's client.
    ///
    /// # Panics
    ///
    /// When there are no words.
    pub fn new(words: Vec<OsString>) -> Program {
        assert!(!words.is_empty(), "a command has a program");
        Program { words, own: false }
    }

    /// Somebody's client, as a shell takes its command.
    ///
    /// # Errors
    ///
    /// Why it is no command.
    pub fn parse(command: &str) -> Result<Program, String> {
        match shlex::split(command) {
            Some(words) if !words.is_empty() => Ok(Program::new(
                words.into_iter().map(OsString::from).collect(),
            )),
            Some(_) => Err("the command is empty".to_owned()),
            None => Err(format!("the command `{command}` ends within quotes")),
        }
    }

    /// A client of squall's own, of that kind, by the program squall; `shell` is the SQLite shell of one that
    /// needs it.
    pub fn own(squall: &Path, kind: &str, shell: Option<&Path>) -> Program {
        let mut words = vec![squall.into()];
        words.extend(["client", "--kind", kind].map(OsString::from));
        if let Some(shell) = shell {
            words.extend(["--shell".into(), shell.into()]);
        }
        Program { words, own: true }
    }

    /// The program's name or path.
    pub fn name(&self) -> &Path {
        Path::new(&self.words[0])
    }

    /// Starts it there. Addresses are not arguments, which everybody on the machine may read.
    pub fn command(&self, situation: &Situation) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        if self.own {
            command.args(["--client", situation.client]);
        }
        command
            .env("SQUALL_CONTROL_URL", &situation.control_url)
            .env("SQUALL_CLIENT", situation.client)
            .env("SQUALL_DATABASE", &situation.database)
            // The user's, for runs on that database, is not for clients.
            .env_remove("SQUALL_DATABASE_URL")
            .env_remove("SQUALL_SERVICE_KEY");
        if let Some(url) = situation.database_url {
            command.env("SQUALL_DATABASE_URL", url);
        }
        command
    }
}
