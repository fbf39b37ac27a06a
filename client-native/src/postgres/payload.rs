//! The payload table on PostgreSQL.

use squall_protocol::payload::{PayloadRead, PayloadRow};
use squall_workloads::payload::{self, Action};
use tokio_postgres::{Error, GenericClient};

/// Every row, with the digest of its body.
pub(super) async fn read(postgres: &impl GenericClient) -> Result<PayloadRead, Error> {
    let rows = postgres.query(payload::READ_POSTGRES, &[]).await?;
    let row = |row: &tokio_postgres::Row| {
        let body: Option<&str> = row.try_get(2)?;
        Ok(PayloadRow {
            id: row.try_get(0)?,
            version: row.try_get(1)?,
            body: body.map(payload::digest),
        })
    };
    rows.iter().map(row).collect()
}

/// Does what belongs to the client's transaction of that sequence number.
pub(super) async fn act(
    postgres: &impl GenericClient,
    client: &str,
    seq: i64,
) -> Result<(), Error> {
    match payload::action(client, seq) {
        Action::Insert { id, body } => {
            postgres
                .execute(payload::INSERT, &[&id, &seq, &body])
                .await?
        }
        Action::Update { id, body } => {
            postgres
                .execute(payload::CHANGE, &[&seq, &body, &id])
                .await?
        }
        Action::Delete { id } => postgres.execute(payload::DELETE, &[&id]).await?,
    };
    Ok(())
}
