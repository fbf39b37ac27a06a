//! A process that we own: it runs in its own process group, dies with us, and its end is noticed.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};

/// How long killed processes may take to be gone. SIGKILL is prompt; the kernel may still be
/// writing out what they had mapped.
const GONE_DEADLINE: Duration = Duration::from_secs(10);

/// A child process and everything that it starts (unless that leaves the process group).
///
/// Dropping it sends SIGKILL to the group.
#[derive(Debug)]
pub struct OwnedProcess {
    pid: i32,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl OwnedProcess {
    /// Starts `command` in a process group of its own. Must be called within a tokio runtime.
    ///
    /// Also returns the child's handle to its standard output, if `command` pipes that.
    ///
    /// # Errors
    /// What the operating system said when the program could not be started.
    pub async fn spawn(
        mut command: Command,
    ) -> io::Result<(Self, Option<tokio::process::ChildStdout>)> {
        command.process_group(0);
        // What children say goes to files.
        command.env_remove("CLICOLOR_FORCE");
        let mut child = spawn_on_lasting_thread(command).await?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .ok_or_else(|| io::Error::other("the process ended before it had a pid"))?;
        let stdout = child.stdout.take();
        let (sender, exit) = watch::channel(None);
        tokio::spawn(async move {
            let status = child.wait().await.unwrap_or_default();
            // Whatever it left behind goes too, and at once: while a member of the group lives,
            // the kernel does not give the group's number to anybody else.
            signal_group(pid, libc::SIGKILL);
            sender.send_replace(Some(status));
        });
        Ok((Self { pid, exit }, stdout))
    }

    /// Starts `command` with its standard output and error appended to `log`, and no input.
    ///
    /// # Errors
    /// What the operating system said when the program could not be started or the log not opened.
    pub async fn spawn_logged(mut command: Command, log: &Path) -> io::Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        Ok(Self::spawn(command).await?.0)
    }

    /// Sends a signal to the whole group.
    pub fn signal(&self, signal: i32) {
        if self.is_alive() {
            signal_group(self.pid, signal);
        }
    }

    /// Waits for the process to end by itself, and kills it when it does not in time.
    ///
    /// # Errors
    /// As [`OwnedProcess::kill`].
    pub async fn end_within(&self, deadline: Duration) -> io::Result<()> {
        match tokio::time::timeout(deadline, self.exited()).await {
            Ok(_) => Ok(()),
            Err(_) => self.kill().await,
        }
    }

    /// The process id, which is the process group's id too.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether the process has not ended yet. A stopped (SIGSTOP) process is alive.
    pub fn is_alive(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Waits until the process has ended, for whatever reason. Cancel safe, and does not borrow, so
    /// that someone else can watch.
    pub fn exited(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        let mut exit = self.exit.clone();
        async move {
            // Copied out at once: what `wait_for` answers holds a lock.
            let status = exit.wait_for(Option::is_some).await.map(|status| *status);
            match status {
                Ok(status) => status.unwrap_or_default(),
                // The waiting task went away with its runtime, so nobody can be told anything.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// SIGKILL to the whole group; returns when no process of it is left.
    ///
    /// # Errors
    /// Some process of the group survived for ten seconds (uninterruptible disk sleep).
    pub async fn kill(&self) -> io::Result<()> {
        if self.is_alive() {
            signal_group(self.pid, libc::SIGKILL);
        }
        let gone = async {
            self.exited().await;
            while !living_members(self.pid).is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(GONE_DEADLINE, gone)
            .await
            .map_err(|_| {
                io::Error::other(format!(
                    "processes {:?} of group {} survived SIGKILL for {GONE_DEADLINE:?}",
                    living_members(self.pid),
                    self.pid
                ))
            })
    }
}

impl Drop for OwnedProcess {
    fn drop(&mut self) {
        if self.is_alive() {
            signal_group(self.pid, libc::SIGKILL);
        }
    }
}

fn signal_group(group: i32, signal: i32) {
    // SAFETY: kill(2) has no memory effects. `group` is the id of a child that we started as a
    // group leader, so the negative number can only mean that group.
    unsafe {
        libc::kill(-group, signal);
    }
}

/// The processes of a group that still run, zombies left out: orphans that pid 1 has not collected
/// yet hold nothing any more, and a container's pid 1 may take its time.
pub fn living_members(group: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            // proc(5): pid (command) state ppid pgrp ...; the command may contain spaces and ")".
            std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .ok()
                .and_then(|stat| {
                    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
                    let state = fields.next()?;
                    let pgrp = fields.nth(1)?.parse::<i32>().ok()?;
                    Some(pgrp == group && !matches!(state, "Z" | "X"))
                })
                .unwrap_or(false)
        })
        .collect()
}

type SpawnRequest = (
    Command,
    tokio::runtime::Handle,
    oneshot::Sender<io::Result<Child>>,
);

/// Starts the child with "die when your parent dies" set.
///
/// The kernel takes "parent" to be the thread that forked (prctl(2), PR_SET_PDEATHSIG), and threads
/// of a tokio runtime come and go; so one thread that lives as long as the process does all the
/// forking.
async fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<SpawnRequest>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<SpawnRequest>();
        std::thread::spawn(move || {
            for (mut command, runtime, answer) in requests {
                let _entered = runtime.enter();
                die_with_parent(&mut command);
                // Nobody is left to be told if the asking future was dropped; the child must not
                // live on then.
                if let Err(Ok(mut orphan)) = answer.send(command.spawn()) {
                    let _ = orphan.start_kill();
                }
            }
        });
        sender
    });
    let (sender, answer) = oneshot::channel();
    spawner
        .send((command, tokio::runtime::Handle::current(), sender))
        .map_err(|_| io::Error::other("the thread that starts processes has ended"))?;
    answer
        .await
        .map_err(|_| io::Error::other("the thread that starts processes has ended"))?
}

fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: runs between fork and exec, where only async-signal-safe calls are allowed; prctl
    // and getppid are system calls, and the error values are built without allocating.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the call above took effect.
            if libc::getppid() as u32 != parent {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        });
    }
}
