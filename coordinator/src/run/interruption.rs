//! The signals that ask squall to end: Ctrl-C, SIGTERM, and SIGHUP of a terminal that goes away.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// `timeout`, shells and container runtimes may send one request twice, to the process and to its
/// group: what comes within this time is the same request.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// Cancels the returned token when a person presses Ctrl-C, the process is asked to end, or its
/// terminal goes away. A second time ends the program at once; the kernel ends its children then.
/// Must be called within a tokio runtime.
pub fn listen() -> CancellationToken {
    let token = CancellationToken::new();
    let cancel = token.clone();
    // Before anything else can happen: a signal that nobody listens for ends the process.
    let mut signals = Signals::new();
    tokio::spawn(async move {
        signals.any().await;
        cancel.cancel();
        tokio::time::sleep(SAME_REQUEST).await;
        signals.drain();
        signals.insistence().await;
        std::process::exit(Exit::Unknown as i32);
    });
    token
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None if whoever started squall wants it to outlive the terminal, as `nohup` does.
    hangup: Option<Signal>,
}

impl Signals {
    fn new() -> Signals {
        let listen = |kind| signal(kind).expect("signals can be listened to");
        Signals {
            hangup: (!is_ignored(libc::SIGHUP)).then(|| listen(SignalKind::hangup())),
            interrupt: listen(SignalKind::interrupt()),
            terminate: listen(SignalKind::terminate()),
        }
    }

    async fn any(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }

    /// A terminal that goes away says so more than once (the shell, then the kernel), so that is never
    /// somebody's second wish.
    async fn insistence(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Forgets what came so far.
    fn drain(&mut self) {
        use futures_util::FutureExt;
        while self.insistence().now_or_never().is_some() {}
    }
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: all-zero is a valid sigaction: numbers, and no function.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action this only writes to `action`, which is valid for the call.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}
