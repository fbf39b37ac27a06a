//! A process that we own: it runs in its own process group, dies with us, and its end is noticed.
//!
//! What is deliberately not here: what the processes are, and what is done when they end.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use tokio::process::ChildStdout;
use tokio::sync::watch;

/// How long killed processes may take to be gone. SIGKILL is prompt; the kernel may still be
/// writing out what they had mapped.
const GONE_DEADLINE: Duration = Duration::from_secs(10);

/// A child process and everything that it starts (unless that leaves the process group).
///
/// The kernel takes "parent" to be the thread that forked (prctl(2), PR_SET_PDEATHSIG), so every child has
/// a thread of its own, which then waits for it.
///
/// Dropping it sends SIGKILL to the group.
#[derive(Debug)]
pub struct OwnedProcess {
    pid: i32,
    ended: Arc<Ended>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

#[derive(Debug, Default)]
struct Ended {
    /// The exit status once the child was reaped. The lock is held while it is reaped, so a signal
    /// sent under the lock cannot hit another process that got the same pid.
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl OwnedProcess {
    /// Starts `command` in a process group of its own.
    ///
    /// Also returns the child's handle to its standard output, if `command` pipes that; then this must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// What the operating system said when the program could not be started.
    pub fn spawn(mut command: Command) -> io::Result<(Self, Option<ChildStdout>)> {
        command.process_group(0);
        // What children say goes to files.
        command.env_remove("CLICOLOR_FORCE");
        die_with_parent(&mut command);
        let ended = Arc::new(Ended::default());
        let (status, exit) = watch::channel(None);
        let (answer, spawned) = mpsc::channel();
        let of_thread = Arc::clone(&ended);
        std::thread::Builder::new()
            .name("parent".to_owned())
            .spawn(move || {
                let mut child = match command.spawn() {
                    Ok(child) => child,
                    Err(error) => {
                        let _ = answer.send(Err(error));
                        return;
                    }
                };
                let pid = child.id() as i32;
                let _ = answer.send(Ok((pid, child.stdout.take())));
                status.send_replace(Some(of_thread.reap(pid, &mut child)));
            })?;
        let (pid, stdout) = spawned
            .recv()
            .map_err(|_| io::Error::other("the thread of the process ended"))??;
        let process = OwnedProcess { pid, ended, exit };
        let stdout = stdout.map(ChildStdout::from_std).transpose()?;
        Ok((process, stdout))
    }

    /// Starts `command` with its standard output and error appended to `log`, and no input.
    ///
    /// # Errors
    /// What the operating system said when the program could not be started or the log not opened.
    pub fn spawn_logged(mut command: Command, log: &Path) -> io::Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        Ok(Self::spawn(command)?.0)
    }

    /// The process id, which is the process group's id too.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether the process has not ended yet. A stopped (SIGSTOP) process is alive.
    pub fn is_alive(&self) -> bool {
        self.ended().is_none()
    }

    /// The exit status, if the process has ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.ended.lock()
    }

    /// Sends a signal to the whole group, unless the process has ended.
    pub fn signal(&self, signal: i32) {
        self.signal_to(-self.pid, signal);
    }

    /// Sends a signal to the process alone, unless it has ended.
    pub fn signal_leader(&self, signal: i32) {
        self.signal_to(self.pid, signal);
    }

    fn signal_to(&self, target: i32, signal: i32) {
        if self.ended.lock().is_none() {
            send(target, signal);
        }
    }

    /// Waits, blocking, until the process has ended or the time is over.
    pub fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        let mut status = self.ended.lock();
        while status.is_none() {
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.ended.changed.wait_timeout(status, left);
            (status, _) = waited.expect("no one panics with this lock");
        }
        *status
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
                // The waiting thread went away, so nobody can be told anything.
                Err(_) => std::future::pending().await,
            }
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

    /// SIGKILL to the whole group; returns when no process of it is left.
    ///
    /// # Errors
    /// Some process of the group survived for ten seconds (uninterruptible disk sleep).
    pub async fn kill(&self) -> io::Result<()> {
        self.signal(libc::SIGKILL);
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
        self.signal(libc::SIGKILL);
    }
}

impl Ended {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().expect("no one panics with this lock")
    }

    /// Waits for the child, and for whatever it left behind.
    fn reap(&self, pid: i32, child: &mut Child) -> ExitStatus {
        wait_without_reaping(pid);
        let mut status = self.lock();
        // What it left behind goes too, and at once: as long as the child is not reaped, or a member of the
        // group lives, the kernel does not give the group's number to anybody else.
        send(-pid, libc::SIGKILL);
        // The only error here would be ECHILD: someone else reaped it, so it has ended.
        let ended = child.wait().unwrap_or_default();
        *status = Some(ended);
        self.changed.notify_all();
        ended
    }
}

fn send(target: i32, signal: i32) {
    // SAFETY: kill(2) has no memory effects. The target is a child of ours that is not reaped, or the group
    // that it leads.
    unsafe {
        libc::kill(target, signal);
    }
}

fn wait_without_reaping(pid: i32) {
    loop {
        // SAFETY: all-zero is a valid siginfo_t, and the pointer is valid for the call.
        let code = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOWAIT;
            libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, options)
        };
        let interrupted =
            code != 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
        if !interrupted {
            return;
        }
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

/// Has the kernel kill the child when the thread that starts it ends.
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: runs between fork and exec, where only async-signal-safe calls are allowed; prctl
    // and getppid are system calls, and the error values are built without allocating. It runs after a change
    // of user, which would clear the parent-death signal.
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

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> OwnedProcess {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        OwnedProcess::spawn(command).unwrap().0
    }

    #[test]
    fn the_end_is_noticed_with_its_status() {
        let process = shell("exit 3");
        assert_eq!(process.wait(SOON).unwrap().code(), Some(3));
        assert!(!process.is_alive());
        // Nobody else's process is hit by a signal that comes too late.
        process.signal(libc::SIGKILL);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let started = OwnedProcess::spawn(Command::new("/nonexistent/program"));
        assert_eq!(started.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn what_a_process_leaves_behind_ends_with_it() {
        let process = shell("sleep 1000 & sleep 0.1");
        let group = process.pid();
        process.exited().await;
        let began = Instant::now();
        while !living_members(group).is_empty() {
            assert!(began.elapsed() < SOON, "{:?}", living_members(group));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_stopped_process_that_hears_nothing_is_killed() {
        let process = shell("trap '' TERM; sleep 1000");
        process.signal(libc::SIGSTOP);
        assert!(process.is_alive());
        process.end_within(Duration::ZERO).await.unwrap();
        assert_eq!(living_members(process.pid()), Vec::<i32>::new());
    }

    #[test]
    fn a_process_that_is_dropped_is_killed() {
        let process = shell("sleep 1000");
        let (group, ended) = (process.pid(), Arc::clone(&process.ended));
        drop(process);
        let status = ended.lock();
        let ended = ended
            .changed
            .wait_timeout_while(status, SOON, |s| s.is_none());
        assert!(!ended.unwrap().1.timed_out(), "{group} lives");
    }

    #[tokio::test]
    async fn what_it_says_can_be_read() {
        use tokio::io::AsyncReadExt;
        let mut command = Command::new("echo");
        command.arg("here").stdout(Stdio::piped());
        let (process, stdout) = OwnedProcess::spawn(command).unwrap();
        let mut said = String::new();
        stdout.unwrap().read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "here\n");
        assert!(process.exited().await.success());
    }
}
