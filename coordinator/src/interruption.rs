//! Ctrl-C and SIGTERM.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// Cancels the returned token when a person presses Ctrl-C or the process is asked to end. A second
/// time ends the program at once; the kernel ends its children then.
pub fn listen() -> CancellationToken {
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        interruption().await;
        cancel.cancel();
        interruption().await;
        std::process::exit(Exit::Unknown as i32);
    });
    token
}

async fn interruption() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
