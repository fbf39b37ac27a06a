//! One planned transaction of a workload, done on PostgreSQL; and the reading of everything, for
//! whoever looks at the end.
//!
//! What is deliberately not here: connections, BEGIN and COMMIT, retries.

use std::collections::BTreeSet;

use squall_protocol::control::ClientConfig;
use squall_protocol::ledger::{LedgerEffects, LedgerRead, LedgerSeen};
use squall_protocol::plan::Workload;
use squall_protocol::transaction::{Effects, Key, Reads, Transaction};
use tokio_postgres::{GenericClient, Row};

use super::ledger::{self, Order};
use super::{gset, list_append, mww, payload};

/// Why a transaction can not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL refused, or is not there.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// A row that is there from the start is not.
    #[error("the table has no row of the key {key}: was it made for this run?")]
    Missing { key: Key },
    /// The table does not hold the rows that are there from the start.
    #[error("the table holds {rows} of {keys} rows: was it made for this run?")]
    Incomplete { rows: usize, keys: u32 },
    /// A key that no workload can have.
    #[error("the table holds the key {0}, which no run has")]
    Key(i64),
}

/// Everything that the workload's tables hold, read in a transaction of the caller's. The ledger's rows
/// are in the order in which PostgreSQL inserted them. Nothing is said about completeness: whether a
/// row is missing is for the checker to say.
pub async fn read_everything(
    postgres: &impl GenericClient,
    workload: Workload,
    payload: bool,
    keys: u32,
) -> Result<Effects, Error> {
    let seen = LedgerSeen::nothing();
    let wanted = Wanted {
        workload,
        payload,
        keys,
        reads: &Reads::All,
        seen: &seen,
        order: Order::Insertion,
    };
    wanted.read(postgres).await
}

/// Reads what a transaction reads, then writes what it writes.
pub(super) async fn perform(
    postgres: &impl GenericClient,
    config: &ClientConfig,
    transaction: &Transaction,
    seen: &LedgerSeen,
) -> Result<Effects, Error> {
    let wanted = Wanted {
        workload: config.workload,
        payload: config.payload,
        keys: config.keys,
        reads: &transaction.reads,
        seen,
        order: Order::Seq,
    };
    let mut effects = wanted.read(postgres).await?;
    wanted.check(&effects)?;
    if transaction.is_read_only() {
        return Ok(effects);
    }
    effects.writes = match config.workload {
        Workload::Mww | Workload::Ledger => mww::write(postgres, transaction).await?,
        Workload::ListAppend => list_append::write(postgres, transaction).await?,
        Workload::Gset => gset::write(postgres, transaction).await?,
    };
    if let Some(ledger) = &mut effects.ledger {
        let (client, value) = (&config.client, transaction.value);
        let seq = ledger::insert(postgres, client, value, &effects.writes).await?;
        if config.payload {
            payload::act(postgres, client, seq).await?;
        }
        ledger.seq = Some(seq);
    }
    Ok(effects)
}

/// What is to be read.
struct Wanted<'a> {
    workload: Workload,
    payload: bool,
    keys: u32,
    reads: &'a Reads,
    seen: &'a LedgerSeen,
    order: Order,
}

impl Wanted<'_> {
    async fn read(&self, postgres: &impl GenericClient) -> Result<Effects, Error> {
        let mut effects = Effects::default();
        match self.workload {
            Workload::Mww => effects.reads = mww::read(postgres, self.reads).await?,
            Workload::Ledger => {
                effects.reads = mww::read(postgres, self.reads).await?;
                let mut reads = LedgerRead::new();
                if *self.reads != Reads::Nothing {
                    reads = ledger::read(postgres, self.seen, self.order).await?;
                    if self.payload {
                        effects.payload = Some(payload::read(postgres).await?);
                    }
                }
                effects.ledger = Some(LedgerEffects { reads, seq: None });
            }
            Workload::ListAppend => {
                effects.collections = list_append::read(postgres, self.reads).await?;
            }
            Workload::Gset => {
                effects.collections = gset::read(postgres, self.keys, self.reads).await?;
            }
        }
        Ok(effects)
    }

    /// Refuses to work on a table that is not this run's.
    fn check(&self, effects: &Effects) -> Result<(), Error> {
        let rows = match (self.workload, &effects.collections) {
            (Workload::Mww | Workload::Ledger, _) => effects.reads.len(),
            (Workload::ListAppend, Some(lists)) => lists.len(),
            _ => return Ok(()),
        };
        match (self.reads, self.keys) {
            (Reads::All, keys) if rows != keys as usize => Err(Error::Incomplete { rows, keys }),
            _ => Ok(()),
        }
    }
}

/// The key in that column, a 64-bit integer.
pub(super) fn key_of(row: &Row, column: usize) -> Result<Key, Error> {
    let key: i64 = row.try_get(column)?;
    Key::try_from(key).map_err(|_| Error::Key(key))
}

/// Those keys, in order.
pub(super) fn sorted(keys: &[Key]) -> BTreeSet<Key> {
    keys.iter().copied().collect()
}
