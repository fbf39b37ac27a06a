//! The ledger on a connection to PostgreSQL: for the client that lives there, and for whoever reads
//! everything at the end. The statements are those of [`squall_workloads::ledger`].

use squall_protocol::ledger::{ClientLedger, LedgerRead, LedgerRow, LedgerSeen};
use squall_protocol::transaction::{Rows, Transaction};
use squall_workloads::ledger;
use tokio_postgres::{Client, Error, GenericClient};

/// In which order rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By sequence number.
    Seq,
    /// As PostgreSQL inserted them.
    Insertion,
}

/// The ledger's totals, and the rows that have not been seen. To be called within one transaction.
pub async fn read(
    postgres: &impl GenericClient,
    seen: &LedgerSeen,
    order: Order,
) -> Result<LedgerRead, Error> {
    let sql = match order {
        Order::Seq => ledger::READ_ROWS,
        Order::Insertion => ledger::READ_ROWS_AS_INSERTED_POSTGRES,
    };
    let mut read = LedgerRead::new();
    for row in postgres.query(ledger::READ_TOTALS, &[]).await? {
        let mut of = ClientLedger {
            client: row.try_get(0)?,
            count: row.try_get(1)?,
            highest: row.try_get(2)?,
            rows: Vec::new(),
        };
        if let Some(above) = ledger::unread_above(&of, seen) {
            for row in postgres.query(sql, &[&of.client, &above]).await? {
                of.rows.push(LedgerRow {
                    seq: row.try_get(0)?,
                    id: row.try_get(1)?,
                    writes: row.try_get(2)?,
                    copies: row.try_get(3)?,
                });
            }
        }
        read.push(of);
    }
    Ok(read)
}

/// Inserts a transaction's row, and answers its sequence number.
pub(crate) async fn insert(
    postgres: &impl GenericClient,
    client: &str,
    transaction: &Transaction,
    writes: &Rows,
    reads: &LedgerRead,
) -> Result<i64, Error> {
    let seq = ledger::next_seq(reads, client);
    let id = transaction.value.to_string();
    let writes = ledger::writes_column(writes);
    postgres
        .execute(ledger::INSERT, &[&id, &client, &seq, &writes])
        .await?;
    Ok(seq)
}

/// Waits until no earlier connection of that client is left, and keeps later ones waiting.
pub(crate) async fn wait_until_alone(postgres: &Client, client: &str) -> Result<(), Error> {
    postgres
        .execute(ledger::LOCK_CLIENT_POSTGRES, &[&client])
        .await
        .map(|_| ())
}
