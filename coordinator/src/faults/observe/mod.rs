//! How to see from outside what became of a victim: by the kernel's tables, the browser's driver, and what comes
//! back over the network. What squall itself remembers of a victim is no evidence.

pub mod links;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::net::TcpStream;

use super::{FaultError, Sighting, Target};
use crate::fleet::Client;
use crate::plan::kinds::is_tab;

/// The states of processes and tabs.
pub const GONE: &str = "gone";
pub const RUNS: &str = "runs";
pub const STOPPED: &str = "stopped";
pub const ONLINE: &str = "online";
pub const OFFLINE: &str = "offline";

/// The states of ports.
pub const LISTENS: &str = "listens";
pub const REFUSES: &str = "refuses";

/// The process or the browser of a client, with the identity of its database.
pub fn life(target: &Target) -> Result<Sighting, FaultError> {
    let client = target.client()?;
    match is_tab(client.spec.kind) {
        true => browser(target),
        false => Ok(client_process(client)),
    }
}

fn client_process(client: &Client) -> Sighting {
    Sighting {
        kept: client.link.session().unwrap_or_default(),
        ..child(&["client", "--client", client.name()])
    }
}

/// The child process of ours that has all these words among its arguments.
pub fn child(arguments: &[&str]) -> Sighting {
    found(find_child(|line| {
        arguments
            .iter()
            .all(|wanted| line.iter().any(|argument| argument == wanted))
    }))
}

/// The browser of a client: stopped only if every process of its group is.
fn browser(target: &Target) -> Result<Sighting, FaultError> {
    let client = target.client()?;
    let profiles = target.environment.folder("profiles");
    let profile = profiles.map_err(|error| FaultError::Unseen(error.to_string()))?;
    let profile = profile.join(client.spec.device()).display().to_string();
    let leader = find_child(|line| {
        line.iter()
            .any(|argument| argument.trim_start_matches("--user-data-dir=") == profile)
    });
    let group = leader.map(|leader| {
        let members = processes().filter(|process| process.group == leader.pid);
        match members.into_iter().find(|process| !process.is_stopped()) {
            Some(running) => Process {
                pid: leader.pid,
                ..running
            },
            None => leader,
        }
    });
    Ok(Sighting {
        kept: client.link.session().unwrap_or_default(),
        ..found(group)
    })
}

fn found(process: Option<Process>) -> Sighting {
    let state = match &process {
        None => GONE,
        Some(process) if process.is_stopped() => STOPPED,
        Some(_) => RUNS,
    };
    Sighting {
        state: state.to_owned(),
        life: process.map(|process| process.pid.to_string()),
        kept: String::new(),
    }
}

/// What the kernel says of a process that lives.
struct Process {
    pid: i32,
    state: String,
    parent: i32,
    group: i32,
}

impl Process {
    fn is_stopped(&self) -> bool {
        self.state == "T"
    }
}

/// All processes, without those that have ended and that nobody has collected.
fn processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // proc(5): pid (command) state ppid pgrp …; the command may contain spaces and ")".
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        Some(Process {
            pid,
            state: fields.next()?.to_owned(),
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
        })
    });
    processes.filter(|process| !matches!(&process.state[..], "Z" | "X"))
}

/// The child process of ours with such arguments.
fn find_child(has: impl Fn(&[&str]) -> bool) -> Option<Process> {
    let own = std::process::id() as i32;
    processes()
        .filter(|process| process.parent == own)
        .find(|process| {
            let line = fs::read_to_string(format!("/proc/{}/cmdline", process.pid));
            line.is_ok_and(|line| has(&line.split('\0').collect::<Vec<_>>()))
        })
}

/// The tab of a client: whether it is there, whether its page thinks that it is online, and when that was
/// loaded.
pub async fn tab(client: &Client) -> Result<Sighting, FaultError> {
    let seen = client
        .evaluate("return [navigator.onLine, performance.timeOrigin]")
        .await?;
    let (state, life) = match &seen {
        None => (GONE, None),
        Some(seen) if seen[0] == true => (ONLINE, Some(seen[1].to_string())),
        Some(seen) => (OFFLINE, Some(seen[1].to_string())),
    };
    Ok(Sighting {
        state: state.to_owned(),
        life,
        kept: client.link.session().unwrap_or_default(),
    })
}

/// Whether somebody listens on a port.
pub async fn port(address: SocketAddr) -> &'static str {
    match TcpStream::connect(address).await {
        Ok(_) => LISTENS,
        Err(_) => REFUSES,
    }
}

/// What tells a file from another one at the same place.
pub fn file(path: &Path) -> Result<String, FaultError> {
    let seen = fs::metadata(path);
    let seen = seen.map_err(|error| FaultError::Unseen(format!("{}: {error}", path.display())))?;
    Ok(format!("{}:{}", seen.dev(), seen.ino()))
}

/// How many connections to that port of the loopback interface are established.
pub fn connections_to(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        let (remote, state) = (fields.next(), fields.next());
        let remote = remote.and_then(|remote| remote.split_once(':'));
        // Port and state are hexadecimal; 01 is ESTABLISHED.
        remote.is_some_and(|(_, number)| number == format!("{port:04X}")) && state == Some("01")
    };
    table.lines().filter(is_one).count()
}
