//! A child process that cannot outlive us.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::Error;
use crate::host::User;

/// A running child in its own process group, killed by the kernel when we die.
///
/// The kernel sends the parent-death signal when the *thread* that made the child ends, so every
/// child gets a thread of its own, which then waits for it.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The exit status once the child was reaped. The lock is held while it is reaped, so a signal
    /// sent under the lock cannot hit another process that got the same pid.
    ended: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl Process {
    /// Starts the command, as the given user if there is one.
    pub fn spawn(mut command: Command, user: Option<User>) -> Result<Process, Error> {
        let program = PathBuf::from(command.get_program());
        command.process_group(0);
        if let Some(user) = user {
            command.uid(user.uid).gid(user.gid);
        }
        let parent = std::process::id();
        // SAFETY: the closure calls only prctl and getppid, which are async-signal-safe. It runs after
        // the change of user, which would clear the parent-death signal.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                if libc::getppid() as u32 != parent {
                    return Err(std::io::Error::other("the parent is gone"));
                }
                Ok(())
            });
        }
        let shared = Arc::new(Shared::default());
        let (sender, receiver) = std::sync::mpsc::channel();
        let for_thread = shared.clone();
        std::thread::Builder::new()
            .name("postgres-parent".into())
            .spawn(move || {
                let mut child = match command.spawn() {
                    Ok(child) => child,
                    Err(error) => {
                        let _ = sender.send(Err(error));
                        return;
                    }
                };
                let _ = sender.send(Ok(child.id()));
                wait_without_reaping(child.id());
                let mut ended = for_thread.ended.lock().expect("no panic under this lock");
                // The only error here would be ECHILD: someone else reaped it, so it has ended.
                *ended = Some(child.wait().unwrap_or_default());
                for_thread.changed.notify_all();
            })
            .map_err(|source| Error::Spawn {
                program: program.clone(),
                source,
            })?;
        match receiver.recv() {
            Ok(Ok(pid)) => Ok(Process { pid, shared }),
            Ok(Err(source)) => Err(Error::Spawn { program, source }),
            Err(_) => Err(Error::Spawn {
                program,
                source: std::io::Error::other("its thread ended"),
            }),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The exit status, if the process has ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.shared.ended.lock().expect("no panic under this lock")
    }

    /// Sends a signal, unless the process has ended.
    pub fn signal(&self, signal: i32) {
        let ended = self.shared.ended.lock().expect("no panic under this lock");
        if ended.is_none() {
            // SAFETY: kill has no memory preconditions, and the pid is that of our unreaped child.
            unsafe { libc::kill(self.pid as i32, signal) };
        }
    }

    /// Waits, blocking, until the process has ended or the time is over.
    pub fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        let mut ended = self.shared.ended.lock().expect("no panic under this lock");
        while ended.is_none() {
            let left = deadline.checked_duration_since(Instant::now())?;
            (ended, _) = self
                .shared
                .changed
                .wait_timeout(ended, left)
                .expect("no panic under this lock");
        }
        *ended
    }
}

fn wait_without_reaping(pid: u32) {
    loop {
        // SAFETY: all-zero is a valid siginfo_t, and the pointer is valid for the call.
        let code = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, pid, &mut info, libc::WEXITED | libc::WNOWAIT)
        };
        let interrupted =
            code != 0 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted;
        if !interrupted {
            return;
        }
    }
}
