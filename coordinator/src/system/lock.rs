//! A database is for one run at a time: a run empties its workload's tables at the start, and judges
//! every row in them. So it holds an advisory lock in the database, on a connection of its own, from
//! before it touches anything until its end, however it ends: the lock is the connection's, and goes
//! with it.
//!
//! A pooler that lends one session of PostgreSQL's to several connections (PgBouncer's transaction
//! mode) could not keep such a lock; [`crate::system::preflight`] refuses it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use squall_client_native::session::{self, describe};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::system::database::{self, without_password};

/// The lock's key among the database's advisory locks: `squall` in ASCII. In `pg_locks` it is
/// `classid` 29553 and `objid` 1969319020.
const KEY: i64 = 0x7371_7561_6c6c;

/// How long the lock of a run that has just ended may take to go. PostgreSQL notices the end of a
/// killed program only when it looks.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// Who holds the lock: the backend's process id, what it calls itself, and since when.
const HOLDER: &str = "
    SELECT l.pid, coalesce(a.application_name, ''), coalesce(a.client_addr::text, 'a local socket')
    FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = ($1::int8 >> 32)::oid AND objid = ($1::int8 & 4294967295)::oid";

/// The lock, while it is held.
pub struct DatabaseLock {
    client: Client,
    backend: i32,
    lost: CancellationToken,
    why: Arc<OnceLock<String>>,
}

impl DatabaseLock {
    /// Takes the lock of that database.
    ///
    /// # Errors
    ///
    /// When another run has it, or the database cannot be reached.
    pub async fn take(url: &str) -> Result<DatabaseLock, Failure> {
        let failed = |error: &tokio_postgres::Error| database::unreachable_database(url, error);
        let mut config: tokio_postgres::Config = url.parse().map_err(|error| failed(&error))?;
        config.application_name(format!("squall, process {}", std::process::id()));
        let connected = session::connect(&config).await;
        let (client, connection) = connected.map_err(|error| failed(&error))?;
        let (lost, why) = (CancellationToken::new(), Arc::new(OnceLock::new()));
        tokio::spawn({
            let (lost, why) = (lost.clone(), Arc::clone(&why));
            async move {
                let text = match connection.await {
                    Ok(Err(error)) => describe(&error),
                    _ => "PostgreSQL closed it".to_owned(),
                };
                let _ = why.set(text);
                lost.cancel();
            }
        });
        let deadline = Instant::now() + PATIENCE;
        loop {
            let row = client
                .query_one("SELECT pg_try_advisory_lock($1), pg_backend_pid()", &[&KEY])
                .await
                .map_err(|error| failed(&error))?;
            if row.get(0) {
                let backend = row.get(1);
                return Ok(DatabaseLock {
                    client,
                    backend,
                    lost,
                    why,
                });
            }
            if Instant::now() >= deadline {
                let holder = client.query_opt(HOLDER, &[&KEY]).await;
                return Err(taken(url, holder.map_err(|error| failed(&error))?.as_ref()));
            }
            sleep(PAUSE).await;
        }
    }

    /// The process id of PostgreSQL's backend that holds it.
    pub fn backend(&self) -> i32 {
        self.backend
    }

    /// Returns when the lock is lost, and says why. Never returns while it is held.
    pub async fn lost(&self) -> String {
        self.lost.cancelled().await;
        let why = self.why.get().map_or("", String::as_str);
        format!(
            "the connection that keeps other runs away from the database was lost ({why}); what the \
             tables hold since then may be somebody else's: see PostgreSQL's log, and repeat the run"
        )
    }

    /// Gives the lock back, so that the next run has it at once.
    pub async fn release(self) {
        let unlock = "SELECT pg_advisory_unlock($1)";
        if let Err(error) = self.client.execute(unlock, &[&KEY]).await {
            tracing::debug!("the lock went before its end: {}", describe(&error));
        }
    }
}

fn taken(url: &str, holder: Option<&tokio_postgres::Row>) -> Failure {
    let url = without_password(url);
    let (who, way_out) = match holder {
        Some(row) => {
            let (pid, name, address): (i32, String, String) = (row.get(0), row.get(1), row.get(2));
            (
                format!("PostgreSQL's backend {pid} holds its lock for `{name}` on {address}"),
                format!(
                    ", or, if that run is a remnant, end it: SELECT pg_terminate_backend({pid})"
                ),
            )
        }
        None => ("its lock was held until just now".to_owned(), String::new()),
    };
    Failure::Unavailable(format!(
        "another run works on the database {url} ({who}), and two would empty each other's tables; \
         wait until it has ended, use another database{way_out}"
    ))
}
