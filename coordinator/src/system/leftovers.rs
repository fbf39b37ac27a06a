//! What a run leaves in a database that is not its own, and its end: the embedded service's replication
//! slot and publication, and what the backend remembered of uploads. The workload's tables stay, with
//! what they hold: a service that replicates them has to find them, and they are evidence.

use std::time::Duration;

use squall_client_native::session::describe;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::exit::Failure;
use crate::system::database::{self, without_password};

/// How long PostgreSQL may take to notice that the reader of a slot is gone.
const SLOT_DEADLINE: Duration = Duration::from_secs(10);

/// The beginning of the names of slots and publications that runs make; the rest is random.
const PREFIX: &str = "squall_";
/// All names that [`unique_name`] makes, and no others.
const PATTERN: &str = "^squall_[0-9a-f]{32}$";

/// A name for a replication slot and a publication that no other run has.
pub fn unique_name() -> String {
    format!("{PREFIX}{}", uuid::Uuid::new_v4().simple())
}

/// Removes the slots and publications of runs that were killed before they could do it. There must be
/// no other run on this database.
///
/// # Errors
///
/// When the database cannot be used, or a slot is still read from.
pub async fn sweep(url: &str) -> Result<(), Failure> {
    let swept = async {
        let client = connect(url).await?;
        let slots = "SELECT slot_name::text FROM pg_replication_slots
                     WHERE slot_name ~ $1 AND database = current_database()";
        for slot in client.query(slots, &[&PATTERN]).await.map_err(text)? {
            drop_slot(&client, slot.get(0)).await?;
        }
        let publications = "SELECT pubname::text FROM pg_publication WHERE pubname ~ $1";
        let publications = client
            .query(publications, &[&PATTERN])
            .await
            .map_err(text)?;
        for publication in publications {
            drop_publication(&client, publication.get(0)).await?;
        }
        forget_uploads(&client).await
    };
    swept.await.map_err(|error: String| {
        Failure::unavailable(
            format!(
                "cannot remove what earlier runs left in {}",
                without_password(url)
            ),
            error,
        )
    })
}

/// Removes what a run with that slot and publication, if there are any, leaves behind.
///
/// # Errors
///
/// What could not be removed, and how to do it by hand.
pub async fn clean_up(url: &str, name: &str) -> Result<(), String> {
    let cleaned = async {
        let client = connect(url).await?;
        drop_slot(&client, name).await?;
        drop_publication(&client, name).await?;
        forget_uploads(&client).await
    };
    cleaned.await.map_err(|error: String| {
        format!(
            "the run's traces in {} could not be removed ({error}); do it by hand: SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{name}'; DROP PUBLICATION IF EXISTS {name}; DELETE FROM squall_uploads",
            without_password(url)
        )
    })
}

async fn connect(url: &str) -> Result<Client, String> {
    let connected = database::connect(url).await;
    connected.map_err(|failure| failure.to_string())
}

fn text(error: tokio_postgres::Error) -> String {
    describe(&error)
}

/// A slot that nobody reads makes PostgreSQL keep its write-ahead log for ever.
async fn drop_slot(client: &Client, name: &str) -> Result<(), String> {
    // A service that would not start may not have made it.
    let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
                WHERE slot_name = $1";
    let until = Instant::now() + SLOT_DEADLINE;
    loop {
        match client.execute(drop, &[&name]).await {
            Ok(_) => return Ok(()),
            // Its reader has just been ended.
            Err(error)
                if error.code() == Some(&tokio_postgres::error::SqlState::OBJECT_IN_USE)
                    && Instant::now() < until =>
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(text(error)),
        }
    }
}

async fn drop_publication(client: &Client, name: &str) -> Result<(), String> {
    let drop = format!("DROP PUBLICATION IF EXISTS {name}");
    client.batch_execute(&drop).await.map_err(text)
}

/// Uploads are repeated within a run only: clients' databases end with it.
async fn forget_uploads(client: &Client) -> Result<(), String> {
    let forget = "DELETE FROM squall_uploads";
    client.batch_execute(forget).await.map_err(text)
}
