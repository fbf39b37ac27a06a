//! Where the launcher has put Node, the clients in JavaScript, and those that it builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment_variable::environment_variable;

/// What a client in JavaScript is started with.
const ENTRY: &str = "main.js";
/// The program of a client that the launcher has built.
const PROGRAM: &str = "program";

/// The folder of the clients, each in a folder of its own: the launcher says so, and next to a binary that cargo
/// built they are in `target/clients`.
pub fn clients_beside(program: &Path) -> PathBuf {
    if let Some(folder) = environment_variable("SQUALL_CLIENTS") {
        return folder.into();
    }
    let target = program.parent().and_then(Path::parent);
    target.unwrap_or(".".as_ref()).join("clients")
}

/// The folder of that client, which is set up.
///
/// # Errors
///
/// When it is not, and what to do about it.
pub fn folder(program: &Path, client: &str) -> Result<PathBuf, String> {
    let folder = clients_beside(program).join(client);
    match folder.join(".set-up").is_file() {
        true => Ok(folder),
        false => Err(format!(
            "the client {client} is not installed: {} is not set up; start squall through ./squall, which does it",
            folder.display()
        )),
    }
}

/// The Node that the launcher has put there.
///
/// # Errors
///
/// When it has not.
pub fn node(program: &Path) -> Result<PathBuf, String> {
    let modules = folder(program, "node")?.join("node_modules");
    let entries = std::fs::read_dir(&modules).map_err(|error| error.to_string())?;
    // There is one for every platform, of which npm installs the one that fits.
    let programs = entries.flatten().map(|entry| entry.path());
    let mut programs = programs
        .filter(|path| {
            path.file_name().is_some_and(|name| {
                name.to_string_lossy()
                    .starts_with(&format!("node-{}-", platform()))
            })
        })
        .map(|path| path.join("bin/node"));
    let found = programs.find(|path| path.is_file());
    found.ok_or_else(|| {
        let modules = modules.display();
        format!("{modules} has no Node for this machine: npm has none for it that squall names")
    })
}

fn platform() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// Starts that client.
///
/// # Errors
///
/// When it is not set up.
pub fn command(program: &Path, client: &str) -> Result<Command, String> {
    let folder = folder(program, client)?;
    let built = folder.join(PROGRAM);
    if built.is_file() {
        return Ok(Command::new(built));
    }
    let mut command = Command::new(node(program)?);
    command.arg(folder.join(ENTRY));
    Ok(command)
}
