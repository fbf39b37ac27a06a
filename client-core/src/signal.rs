//! A condition variable for the futures of one thread.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Tells any number of futures that something may have changed.
#[derive(Default)]
pub(crate) struct Signal {
    version: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Signal {
    /// Wakes everyone who waits.
    pub(crate) fn notify(&self) {
        self.version.set(self.version.get() + 1);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Resolves at the first notification after the future's first poll.
    pub(crate) async fn notified(&self) {
        let since = self.version.get();
        poll_fn(|context| {
            if self.version.get() != since {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|known| known.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Resolves as soon as the condition holds; it is looked at after every notification.
    pub(crate) async fn until(&self, condition: impl Fn() -> bool) {
        while !condition() {
            self.notified().await;
        }
    }
}
