//! One planned transaction of a workload, done on a SQLite database.
//!
//! The tables may be powersync_core's views or ordinary tables: the statements of `squall-workloads` do
//! not tell them apart. So the PowerSync client and a plain SQLite client do the very same.
//!
//! What is deliberately not here: opening databases and making tables, and whether a database has
//! been synced.

mod gset;
mod ledger;
mod list_append;
mod mww;
mod payload;

use rusqlite::{Connection, TransactionBehavior};
use squall_protocol::control::ClientConfig;
use squall_protocol::ledger::{LedgerEffects, LedgerRead, LedgerSeen};
use squall_protocol::plan::Workload;
use squall_protocol::transaction::{Effects, Reads, Through, Transaction};

use crate::error::{ClientError, Doing};

/// Does a transaction in one SQLite transaction, for someone who holds those rows of the ledger
/// already: `BEGIN IMMEDIATE`, or `BEGIN DEFERRED` on a connection that refuses to write.
///
/// Of the configuration it goes by `workload`, `payload`, `keys` and `client`. After every error but
/// [`ClientError::CommitUnknown`] the transaction certainly did not happen.
pub fn transact(
    connection: &mut Connection,
    config: &ClientConfig,
    transaction: &Transaction,
    seen: &LedgerSeen,
) -> Result<Effects, ClientError> {
    match transaction.through {
        Through::WriteTransaction => within(connection, TransactionBehavior::Immediate, |sqlite| {
            perform(sqlite, config, transaction, seen)
        }),
        Through::ReadTransaction | Through::Watch => {
            let query_only = |connection: &Connection, on: bool| {
                connection
                    .pragma_update(None, "query_only", on)
                    .doing("switching between reading and writing")
            };
            query_only(connection, true)?;
            let effects = within(connection, TransactionBehavior::Deferred, |sqlite| {
                perform(sqlite, config, transaction, seen)
            });
            query_only(connection, false)?;
            effects
        }
    }
}

/// What [`transact`] does between BEGIN and COMMIT.
pub fn perform(
    sqlite: &Connection,
    config: &ClientConfig,
    transaction: &Transaction,
    seen: &LedgerSeen,
) -> Result<Effects, ClientError> {
    let keys = config.keys;
    if let Some(key) = transaction.unknown_key(keys) {
        return Err(ClientError::UnknownKey { key, keys });
    }
    match config.workload {
        Workload::Mww => mww::perform(sqlite, keys, transaction),
        Workload::Ledger => with_ledger(sqlite, config, transaction, seen),
        Workload::ListAppend => list_append::perform(sqlite, keys, transaction),
        Workload::Gset => gset::perform(sqlite, keys, transaction).doing("working on the sets"),
    }
}

/// Inserts the rows that the workload has at first, for databases that sync with nobody; others get
/// them from PostgreSQL.
pub fn seed(sqlite: &Connection, config: &ClientConfig) -> Result<(), ClientError> {
    match config.workload {
        Workload::Mww | Workload::Ledger => mww::seed(sqlite, config.keys),
        Workload::ListAppend => list_append::seed(sqlite, config.keys),
        Workload::Gset => Ok(()),
    }
    .doing("inserting the first rows")
}

fn within(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    work: impl FnOnce(&Connection) -> Result<Effects, ClientError>,
) -> Result<Effects, ClientError> {
    let sqlite = connection
        .transaction_with_behavior(behavior)
        .doing("beginning the transaction")?;
    let effects = work(&sqlite)?;
    sqlite.commit().map_err(ClientError::CommitUnknown)?;
    Ok(effects)
}

/// A transaction of `mww` with its row in the ledger, and with the payload table, if there is one.
fn with_ledger(
    sqlite: &Connection,
    config: &ClientConfig,
    transaction: &Transaction,
    seen: &LedgerSeen,
) -> Result<Effects, ClientError> {
    let mut reads = LedgerRead::new();
    let mut payload = None;
    if transaction.reads != Reads::Nothing {
        reads = ledger::read(sqlite, seen).doing("reading the ledger")?;
        if config.payload {
            payload = Some(payload::read(sqlite).doing("reading the payload table")?);
        }
    }
    let effects = mww::perform(sqlite, config.keys, transaction)?;
    let mut seq = None;
    if !transaction.is_read_only() {
        let next = ledger::insert(sqlite, &config.client, transaction.value, &effects.writes)
            .doing("writing to the ledger")?;
        if config.payload {
            payload::act(sqlite, &config.client, next).doing("writing to the payload table")?;
        }
        seq = Some(next);
    }
    Ok(Effects {
        ledger: Some(LedgerEffects { reads, seq }),
        payload,
        ..effects
    })
}
