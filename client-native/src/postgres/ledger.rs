//! The ledger on a connection to PostgreSQL: for the client that lives there, and for whoever reads
//! everything at the end. The statements are those of [`squall_workloads::ledger`].

use squall_protocol::ledger::{ClientLedger, LedgerRead, LedgerRow, LedgerSeen};
use squall_protocol::transaction::{Rows, Value};
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
    let mut read = match seen.window {
        None => all_totals(postgres).await?,
        Some(_) => latest_totals(postgres, seen).await?,
    };
    for of in &mut read {
        if let Some(above) = ledger::unread_above(of, seen) {
            for row in postgres.query(sql, &[&of.client, &above]).await? {
                of.rows.push(LedgerRow {
                    seq: row.try_get(0)?,
                    id: row.try_get(1)?,
                    writes: row.try_get(2)?,
                    copies: row.try_get(3)?,
                });
            }
        }
    }
    Ok(read)
}

/// The totals over all rows.
async fn all_totals(postgres: &impl GenericClient) -> Result<LedgerRead, Error> {
    let rows = postgres.query(ledger::READ_TOTALS, &[]).await?;
    let totals = rows.iter().map(|row| {
        Ok(ClientLedger {
            client: row.try_get(0)?,
            count: row.try_get(1)?,
            above: 0,
            highest: row.try_get(2)?,
            rows: Vec::new(),
        })
    });
    totals.collect()
}

/// The totals over the latest rows.
async fn latest_totals(
    postgres: &impl GenericClient,
    seen: &LedgerSeen,
) -> Result<LedgerRead, Error> {
    let next = postgres.prepare(ledger::NEXT_CLIENT).await?;
    let totals = postgres.prepare(ledger::READ_TOTALS_ABOVE).await?;
    let mut read = LedgerRead::new();
    let mut client = String::new();
    while let Some(found) = postgres
        .query_one(&next, &[&client])
        .await?
        .try_get::<_, Option<String>>(0)?
    {
        let above = seen.above(&found);
        let row = postgres.query_one(&totals, &[&found, &above]).await?;
        client.clone_from(&found);
        read.push(ClientLedger {
            client: found,
            count: row.try_get(0)?,
            above,
            highest: row.try_get(1)?,
            rows: Vec::new(),
        });
    }
    Ok(read)
}

/// Inserts a transaction's row, and answers its sequence number.
pub(super) async fn insert(
    postgres: &impl GenericClient,
    client: &str,
    value: Value,
    writes: &Rows,
) -> Result<i64, Error> {
    let highest = postgres.query_one(ledger::READ_HIGHEST, &[&client]).await?;
    let seq = highest.try_get::<_, i64>(0)? + 1;
    let id = value.to_string();
    let writes = ledger::writes_column(writes);
    postgres
        .execute(ledger::INSERT, &[&id, &client, &seq, &writes])
        .await?;
    Ok(seq)
}

/// Waits until no earlier connection of that client is left, and keeps later ones waiting.
pub(super) async fn wait_until_alone(postgres: &Client, client: &str) -> Result<(), Error> {
    postgres
        .execute(ledger::LOCK_CLIENT_POSTGRES, &[&client])
        .await
        .map(|_| ())
}
