//! `list-append` on PostgreSQL.

use squall_protocol::transaction::{Collections, Key, Reads, Rows, Transaction};
use squall_workloads::list_append;
use tokio_postgres::{GenericClient, Row};

use super::operations::{Error, key_of, sorted};

/// A row of the table.
struct List {
    id: String,
    key: Key,
    elements: String,
}

impl List {
    fn of(row: &Row) -> Result<List, Error> {
        Ok(List {
            id: row.try_get(0)?,
            key: key_of(row, 1)?,
            elements: row.try_get(2)?,
        })
    }
}

/// The lists that are asked for, in key order; none if nothing is. All come in one statement, chosen
/// ones in one each.
pub(super) async fn read(
    postgres: &impl GenericClient,
    reads: &Reads,
) -> Result<Option<Collections>, Error> {
    let lists = match reads {
        Reads::All => {
            let rows = postgres.query(list_append::READ_POSTGRES, &[]).await?;
            rows.iter().map(List::of).collect::<Result<_, _>>()?
        }
        Reads::Keys(keys) => some(postgres, sorted(keys)).await?,
        Reads::Nothing => return Ok(None),
    };
    let lists = lists.into_iter();
    Ok(Some(lists.map(|list| (list.key, list.elements)).collect()))
}

/// Reads each list and writes it back one element longer. Deliberately not in one statement, nor with
/// a lock: whether an append that comes between is lost is the isolation level's business.
pub(super) async fn write(
    postgres: &impl GenericClient,
    transaction: &Transaction,
) -> Result<Rows, Error> {
    let mut writes = Rows::new();
    let lists = some(postgres, transaction.written()).await?;
    let statement = postgres.prepare(list_append::WRITE).await?;
    for list in lists {
        let longer = list_append::append(&list.elements, transaction.value);
        postgres.execute(&statement, &[&longer, &list.id]).await?;
        writes.push((list.key, transaction.value));
    }
    Ok(writes)
}

async fn some(
    postgres: &impl GenericClient,
    keys: impl IntoIterator<Item = Key>,
) -> Result<Vec<List>, Error> {
    let statement = postgres.prepare(list_append::READ_KEY_POSTGRES).await?;
    let mut lists = Vec::new();
    for key in keys {
        let row = postgres.query_opt(&statement, &[&i64::from(key)]).await?;
        lists.push(List::of(&row.ok_or(Error::Missing { key })?)?);
    }
    Ok(lists)
}
