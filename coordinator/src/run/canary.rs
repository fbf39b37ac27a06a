//! A row in every table of the workload, before the storm: it must come to every client that syncs, and
//! go again. Otherwise a table that is empty at first could not be told from one that the service does
//! not sync, and every row of it would be found missing.
//!
//! It is no data: it is gone from PostgreSQL and from every client before the first transaction, and
//! nothing that is read meanwhile is recorded.

use std::collections::BTreeSet;
use std::time::Duration;

use squall_client_native::session::describe;
use squall_protocol::plan::PlanOptions;
use squall_workloads::{Table, workload};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::Client as Database;

use crate::exit::Failure;
use crate::fleet::{Client, Fleet};
use crate::system::database::{self, without_password};

/// How long a row may take to come, and to go. Everyone has synced before.
const DEADLINE: Duration = Duration::from_secs(30);
/// The same for a fleet whose first sync has failed already.
const DIAGNOSIS_DEADLINE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until rows of every table have come to every client that syncs, and gone again.
///
/// # Errors
///
/// When they do not: which table does not come to whom.
pub async fn prove(fleet: &Fleet, url: &str, options: &PlanOptions) -> Result<(), Failure> {
    Canary::new(fleet, url, options, DEADLINE).prove().await
}

/// Why the first sync of a fleet has failed, if a table that is not synced explains it.
pub async fn diagnose(fleet: &Fleet, url: &str, options: &PlanOptions) -> Option<Failure> {
    let canary = Canary::new(fleet, url, options, DIAGNOSIS_DEADLINE);
    canary.prove().await.err()
}

struct Canary<'f> {
    clients: Vec<&'f Client>,
    url: &'f str,
    tables: &'static [Table],
    id: String,
    deadline: Duration,
}

impl<'f> Canary<'f> {
    fn new(
        fleet: &'f Fleet,
        url: &'f str,
        options: &PlanOptions,
        deadline: Duration,
    ) -> Canary<'f> {
        let clients = fleet.clients.iter().map(AsRef::as_ref);
        Canary {
            clients: clients.filter(|client| client.spec.kind.syncs()).collect(),
            url,
            tables: workload(options.workload, options.payload).tables(),
            id: format!("canary-{}", uuid::Uuid::new_v4().simple()),
            deadline,
        }
    }

    async fn prove(&self) -> Result<(), Failure> {
        if self.clients.is_empty() {
            return Ok(());
        }
        let mut database = database::connect(self.url).await?;
        self.insert(&mut database).await?;
        let come = self.all(|missing, _| missing.is_empty()).await;
        // Whatever came of it, it does not stay.
        self.delete(&mut database).await?;
        for (client, (missing, _)) in come {
            if !missing.is_empty() {
                return Err(self.does_not_come(client, &missing));
            }
        }
        for (client, (_, present)) in self.all(|_, present| present.is_empty()).await {
            if let Some(table) = present.first() {
                return Err(self.does_not_go(client, table));
            }
        }
        Ok(())
    }

    async fn insert(&self, database: &mut Database) -> Result<(), Failure> {
        let inserted = async {
            let transaction = database.transaction().await?;
            for table in self.tables {
                transaction.execute(table.canary, &[&self.id]).await?;
            }
            transaction.commit().await
        };
        inserted.await.map_err(|error| self.failed(&error))
    }

    async fn delete(&self, database: &mut Database) -> Result<(), Failure> {
        let deleted = async {
            let transaction = database.transaction().await?;
            for table in self.tables {
                let delete = format!("DELETE FROM {} WHERE id = $1", table.name);
                transaction.execute(&delete, &[&self.id]).await?;
            }
            transaction.commit().await
        };
        deleted.await.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &tokio_postgres::Error) -> Failure {
        Failure::unavailable(
            format!("cannot try the tables in {}", without_password(self.url)),
            describe(error),
        )
    }

    /// Waits until that holds of the tables whose row a client lacks and of those whose row it has, for
    /// every client or until the deadline; answers the last that was seen of each.
    async fn all(
        &self,
        holds: impl Fn(&[&'static str], &[&'static str]) -> bool,
    ) -> Vec<(&'f Client, Sight)> {
        let deadline = Instant::now() + self.deadline;
        let sights = self.clients.iter().map(|&client| {
            let holds = &holds;
            async move {
                // What never answers has nothing, and keeps everything.
                let names: Vec<_> = self.tables.iter().map(|table| table.name).collect();
                let mut last = (names.clone(), names);
                let look = async {
                    while !holds(&last.0, &last.1) {
                        if let Some(sight) = self.look(client, deadline).await {
                            last = sight;
                        }
                        if !holds(&last.0, &last.1) {
                            sleep(PAUSE).await;
                        }
                    }
                };
                let _ = timeout_at(deadline, look).await;
                (client, last)
            }
        });
        futures_util::future::join_all(sights).await
    }

    async fn look(&self, client: &Client, deadline: Instant) -> Option<Sight> {
        let found = client.link.find_row(&self.id, deadline).await?;
        let found: BTreeSet<String> = found.into_iter().collect();
        let names = self.tables.iter().map(|table| table.name);
        let (present, missing) = names.partition(|name| found.contains(*name));
        Some((missing, present))
    }

    fn does_not_come(&self, client: &Client, missing: &[&str]) -> Failure {
        let user = client.name();
        let deadline = self.deadline;
        let connected = client.link.status().is_some_and(|status| status.connected);
        if !connected {
            return Failure::Unavailable(format!(
                "{user} is not connected to the sync service, so a new row did not come to it within {deadline:?}; see its log in the run folder"
            ));
        }
        if missing.len() == self.tables.len() {
            return Failure::Unavailable(format!(
                "the service syncs no table of the workload ({}) to user {user}: new rows did not come within {deadline:?}; check that it replicates from {} and that its sync rules have {} for every user",
                missing.join(", "),
                without_password(self.url),
                selects(missing),
            ));
        }
        let tables: Vec<String> = missing.iter().map(|table| format!("`{table}`")).collect();
        Failure::Unavailable(format!(
            "the service does not sync table {} to user {user}: a new row did not come within {deadline:?}; add {} to its sync rules, for every user, and the table to its publication (of the embedded service: to --tables)",
            tables.join(", "),
            selects(missing),
        ))
    }

    fn does_not_go(&self, client: &Client, table: &str) -> Failure {
        Failure::Unavailable(format!(
            "the service does not sync deletions in table `{table}` to user {}: a deleted row did not go within {:?}; check that the publication it reads publishes deletions (ALTER PUBLICATION … SET (publish = 'insert, update, delete, truncate'))",
            client.name(),
            self.deadline
        ))
    }
}

/// The tables whose row is missing, and those whose row is there.
type Sight = (Vec<&'static str>, Vec<&'static str>);

fn selects(tables: &[&str]) -> String {
    let selects: Vec<String> = tables
        .iter()
        .map(|table| format!("`SELECT * FROM {table}`"))
        .collect();
    selects.join(" and ")
}
