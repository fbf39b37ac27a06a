//! The live query: calls that are done again whenever the tables changed.
//!
//! As in PowerSync's SDKs, what changed a table is told by SQLite's update and commit hooks, whether it
//! was a transaction of the client's own or a checkpoint; many changes in a short time are one emission.
//! Whether an emission says anything new is not asked here.

use std::time::Duration;

use squall_protocol::contract::{Access, LogLevel};
use squall_protocol::sql::{Call, SqlRows};

use crate::client::Client;
use crate::error::ClientError;
use crate::platform::Platform;

/// The shortest time between two emissions.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

impl<P: Platform> Client<P> {
    /// Keeps these calls as the live query, in the place of the one before. It emits after the next change
    /// of the tables, or at once, which is as soon as the database is synced.
    pub fn set_watch(&self, calls: Vec<Call>, at_once: bool) -> Result<(), ClientError> {
        let state = &self.0.state;
        if state.watched.replace(Some(calls)).is_none() {
            self.store(|store| store.watch_changes())?;
        }
        if at_once {
            state.emit_at_once.set(true);
        }
        self.0.changed.notify();
        Ok(())
    }

    /// Does what [`Client::set_watch`] says until the client is closed. To be called once.
    pub async fn watch(&self, emit: impl Fn(Vec<SqlRows>)) {
        let state = &self.0.state;
        let mut looked_at = state.changes.get();
        loop {
            self.0
                .changed
                .until(|| {
                    state.emit_at_once.get() || state.changes.get() != looked_at || self.closed()
                })
                .await;
            state.emit_at_once.set(false);
            looked_at = state.changes.get();
            match self.emission() {
                Ok(results) => {
                    emit(results);
                    self.0.platform.sleep(AT_MOST_EVERY).await;
                }
                Err(ClientError::Closed) => return,
                // The first sync need not change a row.
                Err(ClientError::NeverSynced) => {
                    state.emit_at_once.set(true);
                    self.0.changed.notified().await;
                }
                Err(error) => {
                    self.log(LogLevel::Warn, format!("live query: {error}"));
                    state.emit_at_once.set(true);
                    self.pause().await;
                }
            }
        }
    }

    fn emission(&self) -> Result<Vec<SqlRows>, ClientError> {
        let calls = self.0.state.watched.borrow().clone().unwrap_or_default();
        let statements = &self.0.config.statements;
        self.store(|store| store.execute(statements, Access::Read, &calls))
    }

    /// Looks whether the tables changed; whoever calls this notifies.
    pub(crate) fn note_changes(&self) {
        let state = &self.0.state;
        if state.watched.borrow().is_none() {
            return;
        }
        match self.store(|store| store.take_changes()) {
            Ok(false) | Err(ClientError::Closed) => {}
            Ok(true) => state.changes.set(state.changes.get() + 1),
            Err(error) => {
                self.log(LogLevel::Warn, format!("live query: {error}"));
                state.changes.set(state.changes.get() + 1);
            }
        }
    }
}
