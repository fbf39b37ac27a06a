//! The live query: reads everything again whenever the workload's tables changed, and tells what is new.
//!
//! As in PowerSync's SDKs, what changed a table is told by SQLite's update and commit hooks, whether it
//! was a transaction of the client's own or a checkpoint; many changes in a short time are one emission.

use std::time::Duration;

use squall_protocol::control::LogLevel;
use squall_protocol::ledger::LedgerSeen;
use squall_protocol::transaction::{Effects, Through, Transaction};
use squall_workloads::ledger;

use crate::client::Client;
use crate::error::ClientError;
use crate::platform::Platform;

/// The shortest time between two emissions.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

impl<P: Platform> Client<P> {
    /// Keeps the live query open until the client is closed, if its configuration wants one.
    ///
    /// The first emission comes as soon as the database is synced, one more after every change whose
    /// result differs from the last one's, the last change included. Of the ledger an emission tells
    /// the rows that were not told to be seen with any transaction, nor in an emission before. Those
    /// that a transaction has read since are told again: not every answer ends up in a history.
    pub async fn watch(&self, emit: impl Fn(Effects)) {
        if !self.0.config.watch {
            return;
        }
        let changes = &self.0.state.changes;
        let mut looked_at = None;
        let mut last = None;
        loop {
            self.0
                .changed
                .until(|| Some(changes.get()) != looked_at || self.closed())
                .await;
            looked_at = Some(changes.get());
            if self.0.state.anew.take() {
                last = None;
            }
            match self.emission() {
                Ok(effects) => {
                    let picture = picture(&effects);
                    if last.as_ref() != Some(&picture) || has_rows(&effects) {
                        last = Some(picture);
                        emit(effects);
                    }
                    self.0.platform.sleep(AT_MOST_EVERY).await;
                }
                Err(ClientError::Closed) => return,
                // The first sync need not change a row.
                Err(ClientError::NeverSynced) => {
                    looked_at = None;
                    self.0.changed.notified().await;
                }
                Err(error) => {
                    self.log(LogLevel::Warn, format!("live query: {error}"));
                    looked_at = None;
                    self.pause().await;
                }
            }
        }
    }

    /// Begins the live query anew, with everything that is there: for a listener that may have missed
    /// emissions.
    pub fn watch_anew(&self) {
        let state = &self.0.state;
        state.told.take();
        state.anew.set(true);
        state.changes.set(state.changes.get() + 1);
        self.0.changed.notify();
    }

    /// Reads everything, and remembers what of it needs not be told again.
    fn emission(&self) -> Result<Effects, ClientError> {
        let read = Transaction {
            through: Through::Watch,
            ..Transaction::read_all()
        };
        let seen = LedgerSeen {
            window: Some(ledger::WINDOW),
            ..self.0.state.told.borrow().clone()
        };
        let effects = self.store(|store| store.transact(&self.0.config, &read, &seen))?;
        if let Some(ledger) = &effects.ledger {
            self.0.state.told.borrow_mut().see(&ledger.reads);
        }
        Ok(effects)
    }

    /// Remembers what the history holds of the ledger, so that no emission need tell it.
    pub(crate) fn remember(&self, seen: &LedgerSeen) {
        self.0.state.told.borrow_mut().see_too(seen);
    }

    /// Looks whether the workload's tables changed; whoever calls this notifies.
    pub(crate) fn note_changes(&self) {
        if !self.0.config.watch {
            return;
        }
        let changes = &self.0.state.changes;
        match self.store(|store| store.take_changes()) {
            Ok(false) | Err(ClientError::Closed) => {}
            Ok(true) => changes.set(changes.get() + 1),
            Err(error) => {
                self.log(LogLevel::Warn, format!("live query: {error}"));
                changes.set(changes.get() + 1);
            }
        }
    }
}

/// What emissions are compared by: everything, but of the ledger only how far it goes, as its rows are
/// told once and the part of it that is counted moves on.
fn picture(effects: &Effects) -> Effects {
    let mut picture = effects.clone();
    for of in picture
        .ledger
        .iter_mut()
        .flat_map(|ledger| &mut ledger.reads)
    {
        of.rows.clear();
        of.count += of.above;
        of.above = 0;
    }
    picture
}

fn has_rows(effects: &Effects) -> bool {
    let mut ledgers = effects.ledger.iter().flat_map(|ledger| &ledger.reads);
    ledgers.any(|of| !of.rows.is_empty())
}
