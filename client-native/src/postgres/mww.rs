//! `mww` on PostgreSQL.

use squall_protocol::transaction::{Reads, Rows, Transaction};
use squall_workloads::mww;
use tokio_postgres::{GenericClient, Row};

use super::operations::{Error, key_of, sorted};

/// The rows that are asked for, in key order. All come in one statement; chosen ones in one each, so
/// that at READ COMMITTED they need not belong together.
pub(super) async fn read(postgres: &impl GenericClient, reads: &Reads) -> Result<Rows, Error> {
    let row = |row: &Row| -> Result<_, Error> { Ok((key_of(row, 0)?, row.try_get(1)?)) };
    match reads {
        Reads::All => {
            let rows = postgres.query(mww::READ_POSTGRES, &[]).await?;
            rows.iter().map(row).collect()
        }
        Reads::Keys(keys) => {
            let statement = postgres.prepare(mww::READ_KEY_POSTGRES).await?;
            let mut rows = Rows::new();
            for key in sorted(keys) {
                let found = postgres.query_opt(&statement, &[&i64::from(key)]).await?;
                rows.push(row(&found.ok_or(Error::Missing { key })?)?);
            }
            Ok(rows)
        }
        Reads::Nothing => Ok(Rows::new()),
    }
}

/// Writes the value to the rows that do not hold a higher one.
pub(super) async fn write(
    postgres: &impl GenericClient,
    transaction: &Transaction,
) -> Result<Rows, Error> {
    let statement = postgres.prepare(mww::WRITE_POSTGRES).await?;
    let value = transaction.value;
    let mut writes = Rows::new();
    for key in transaction.written() {
        let changed = postgres
            .execute(&statement, &[&value, &i64::from(key)])
            .await?;
        if changed == 1 {
            writes.push((key, value));
        }
    }
    Ok(writes)
}
