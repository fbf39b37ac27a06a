//! `gset` on PostgreSQL.

use squall_protocol::transaction::{Collections, Key, Reads, Rows, Transaction, Value};
use squall_workloads::gset;
use tokio_postgres::{GenericClient, Row};

use super::operations::{Error, key_of};

/// The sets that are asked for, of the keys `0..keys`; none if nothing is. All come in one statement,
/// chosen ones in one each.
pub(super) async fn read(
    postgres: &impl GenericClient,
    keys: u32,
    reads: &Reads,
) -> Result<Option<Collections>, Error> {
    let element =
        |row: &Row| -> Result<(Key, Value), Error> { Ok((key_of(row, 0)?, row.try_get(1)?)) };
    match reads {
        Reads::All => {
            let rows = postgres.query(gset::READ_ALL, &[]).await?;
            let elements = rows.iter().map(element).collect::<Result<Vec<_>, _>>()?;
            Ok(Some(gset::collections(0..keys, elements)))
        }
        Reads::Keys(chosen) => {
            let statement = postgres.prepare(gset::READ_KEY).await?;
            let mut elements = Vec::new();
            for key in chosen {
                for row in postgres.query(&statement, &[&i64::from(*key)]).await? {
                    elements.push(element(&row)?);
                }
            }
            Ok(Some(gset::collections(chosen.iter().copied(), elements)))
        }
        Reads::Nothing => Ok(None),
    }
}

/// Adds the value to each set.
pub(super) async fn write(
    postgres: &impl GenericClient,
    transaction: &Transaction,
) -> Result<Rows, Error> {
    let statement = postgres.prepare(gset::INSERT).await?;
    let value = transaction.value;
    let mut writes = Rows::new();
    for key in transaction.written() {
        let id = gset::id(key, value);
        postgres
            .execute(&statement, &[&id, &i64::from(key), &value])
            .await?;
        writes.push((key, value));
    }
    Ok(writes)
}
