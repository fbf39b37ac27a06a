//! The current end of the source's write-ahead log.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::source::Source;
use crate::core::source::Lsn;
use crate::error::SourceError;

/// The end of the log: every transaction whose commit anyone has been told of is before it.
///
/// It is the position of insertion, not that of writing, so that it is also after commits that were
/// not flushed (`synchronous_commit = off`).
pub async fn position(client: &Client) -> Result<Lsn, SourceError> {
    let rows = client
        .simple_query("SELECT pg_current_wal_insert_lsn()")
        .await?;
    let text = rows.iter().find_map(|row| match row {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| SourceError::Query("pg_current_wal_insert_lsn gave no position".into()))
}

/// Writes something without meaning into the log, so that the replication moves past every position
/// that was read before. It is transactional because only a commit is flushed at once.
pub async fn write_marker(client: &Client) -> Result<(), SourceError> {
    client
        .simple_query("SELECT pg_logical_emit_message(true, 'squall', '')")
        .await?;
    Ok(())
}

/// A connection for write checkpoints, opened again when it was lost.
#[derive(Debug)]
pub struct Head {
    source: Source,
    /// With the host that it is a connection to.
    client: Mutex<Option<(usize, Arc<Client>)>>,
}

impl Head {
    /// Connects on first use.
    pub fn new(source: Source) -> Head {
        Head {
            source,
            client: Mutex::default(),
        }
    }

    /// Reads the position, hands it to `request`, and only then writes the marker. Gives the write
    /// checkpoint's id, as `request` does.
    pub async fn write_checkpoint(&self, request: impl Fn(Lsn) -> u64) -> Result<u64, SourceError> {
        let client = self.client(None).await?;
        match write_checkpoint(&client, &request).await {
            // The connection may have been lost long before this request.
            Err(error) => {
                tracing::debug!(%error, "connecting again for a write checkpoint");
                write_checkpoint(&*self.client(Some(&client)).await?, &request).await
            }
            result => result,
        }
    }

    /// A connection that is open and not the one that just failed.
    async fn client(&self, failed: Option<&Arc<Client>>) -> Result<Arc<Client>, SourceError> {
        let mut slot = self.client.lock().await;
        // Positions are those of the host that is replicated.
        let current = self.source.current();
        let usable = |host: usize, client: &Arc<Client>| {
            host == current
                && !client.is_closed()
                && failed.is_none_or(|failed| !Arc::ptr_eq(client, failed))
        };
        match &*slot {
            Some((host, client)) if usable(*host, client) => Ok(client.clone()),
            _ => {
                let client = Arc::new(self.source.connect_to_current().await?);
                *slot = Some((current, client.clone()));
                Ok(client)
            }
        }
    }
}

async fn write_checkpoint(
    client: &Client,
    request: impl Fn(Lsn) -> u64,
) -> Result<u64, SourceError> {
    let id = request(position(client).await?);
    write_marker(client).await?;
    Ok(id)
}
