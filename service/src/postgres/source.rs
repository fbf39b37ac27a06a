//! What must be true of the source database, and what its tables and replication slot are.

use std::time::Duration;

use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::core::source::{Column, Lsn, Relation};
use crate::error::{SourceError, describe};

/// Values are printed in the same form by every connection, whatever the server's settings are. A
/// marker's commit is flushed at once, or the replication would get it only some time later.
pub const SESSION_SETTINGS: &str = "-c datestyle=ISO -c timezone=UTC -c intervalstyle=postgres -c bytea_output=hex \
                                    -c extra_float_digits=1 -c synchronous_commit=local";

/// How long the server may take to accept a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Which part of which database is synced.
#[derive(Clone, Debug)]
pub struct Source {
    pub database: tokio_postgres::Config,
    /// Schema and name.
    pub tables: Vec<(String, String)>,
    pub publication: String,
    pub slot: String,
}

/// A replication slot as the server describes it.
#[derive(Debug)]
pub struct Slot {
    /// Changes before this position will not be sent again.
    pub confirmed: Lsn,
    /// Whether it can still be read from: it is one of ours and its log was not removed.
    pub usable: bool,
}

impl Source {
    /// Checks what can be checked without the database.
    pub fn new(
        database_url: &str,
        tables: &[String],
        publication: &str,
        slot: &str,
    ) -> Result<Source, SourceError> {
        let mut database: tokio_postgres::Config = database_url
            .parse()
            .map_err(|error: tokio_postgres::Error| SourceError::Url(describe(&error)))?;
        if database.get_hosts().is_empty() {
            return Err(SourceError::Url("it names no host".into()));
        }
        let options = match database.get_options() {
            Some(options) => format!("{options} {SESSION_SETTINGS}"),
            None => SESSION_SETTINGS.into(),
        };
        database.options(options).connect_timeout(CONNECT_DEADLINE);
        let tables = tables
            .iter()
            .map(|table| match table.split_once('.') {
                Some((schema, name)) => (schema.into(), name.into()),
                None => ("public".into(), table.clone()),
            })
            .collect();
        Ok(Source {
            database,
            tables,
            publication: publication.into(),
            slot: slot.into(),
        })
    }

    /// Where the database is, for messages: without user and password.
    pub fn at(&self) -> String {
        let (host, port) = self.address();
        format!(
            "{host}:{port}/{}",
            self.database.get_dbname().unwrap_or_default()
        )
    }

    /// The first host, or the folder of its Unix socket, and the port.
    pub fn address(&self) -> (String, u16) {
        let host = match self.database.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => String::new(),
        };
        (
            host,
            self.database.get_ports().first().copied().unwrap_or(5432),
        )
    }

    /// Opens an ordinary connection.
    pub async fn connect(&self) -> Result<Client, SourceError> {
        let connecting = tokio::time::timeout(CONNECT_DEADLINE, self.database.connect(NoTls));
        let connected = connecting.await.map_err(|_| SourceError::Unreachable {
            at: self.at(),
            problem: format!("no answer within {CONNECT_DEADLINE:?}"),
        })?;
        let (client, connection) = connected.map_err(|error| {
            let problem = describe(&error);
            match error.code() {
                // Starting up, stopping, too many connections: all pass.
                Some(code)
                    if ![
                        SqlState::CANNOT_CONNECT_NOW,
                        SqlState::ADMIN_SHUTDOWN,
                        SqlState::CRASH_SHUTDOWN,
                        SqlState::TOO_MANY_CONNECTIONS,
                    ]
                    .contains(code) =>
                {
                    SourceError::Refused {
                        at: self.at(),
                        problem,
                    }
                }
                _ => SourceError::Unreachable {
                    at: self.at(),
                    problem,
                },
            }
        })?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(
                    error = describe(&error),
                    "a connection to PostgreSQL was lost"
                );
            }
        });
        Ok(client)
    }

    /// Checks what replication needs, and makes the publication if there is none.
    pub async fn prepare(&self, client: &Client) -> Result<(), SourceError> {
        let wal_level: String = client.query_one("SHOW wal_level", &[]).await?.get(0);
        if wal_level != "logical" {
            return Err(SourceError::WalLevel(wal_level));
        }
        for (schema, name) in &self.tables {
            let found = client
                .query_opt(
                    "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                     WHERE nspname = $1 AND relname = $2 AND relkind = 'r'",
                    &[schema, name],
                )
                .await?;
            if found.is_none() {
                return Err(SourceError::NoTable(format!("{schema}.{name}")));
            }
        }
        self.prepare_publication(client).await
    }

    async fn prepare_publication(&self, client: &Client) -> Result<(), SourceError> {
        let publication = quote(&self.publication);
        let found = client
            .query_opt(
                "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot
                 FROM pg_publication WHERE pubname = $1",
                &[&self.publication],
            )
            .await?;
        let refuse = |problem| SourceError::Publication {
            publication: self.publication.clone(),
            problem,
        };
        let Some(found) = found else {
            let tables: Vec<String> = self.tables.iter().map(quote_table).collect();
            client
                .batch_execute(&format!(
                    "CREATE PUBLICATION {publication} FOR TABLE {}",
                    tables.join(", ")
                ))
                .await?;
            return Ok(());
        };
        if !found.get::<_, bool>(0) {
            return Err(refuse(format!(
                "it leaves out some kinds of changes; run ALTER PUBLICATION {publication} \
                 SET (publish = 'insert, update, delete, truncate')"
            )));
        }
        if found.get(1) {
            return Err(refuse(format!(
                "it publishes partitions as their root; run ALTER PUBLICATION {publication} \
                 SET (publish_via_partition_root = false)"
            )));
        }
        for (schema, name) in &self.tables {
            let has_it = client
                .query_opt(
                    "SELECT FROM pg_publication_tables WHERE pubname = $1 AND schemaname = $2 AND tablename = $3",
                    &[&self.publication, schema, name],
                )
                .await?;
            if has_it.is_none() {
                let table = quote_table(&(schema.clone(), name.clone()));
                return Err(refuse(format!(
                    "it has no table {table}; run ALTER PUBLICATION {publication} ADD TABLE {table}"
                )));
            }
        }
        Ok(())
    }

    /// The server's system identifier: another one means another database cluster.
    pub async fn system(&self, client: &Client) -> Result<String, SourceError> {
        let row = client
            .query_one(
                "SELECT system_identifier::text FROM pg_control_system()",
                &[],
            )
            .await?;
        Ok(row.get(0))
    }

    /// The replication slot, if there is one of that name.
    pub async fn slot(&self, client: &Client) -> Result<Option<Slot>, SourceError> {
        let row = client
            .query_opt(
                "SELECT coalesce(confirmed_flush_lsn, '0/0')::text,
                        coalesce(plugin = 'pgoutput' AND database = current_database(), false)
                            AND wal_status IS DISTINCT FROM 'lost'
                 FROM pg_replication_slots WHERE slot_name = $1",
                &[&self.slot],
            )
            .await?;
        row.map(|row| {
            let confirmed = row.get::<_, &str>(0);
            let confirmed = confirmed
                .parse()
                .map_err(|error| SourceError::Query(format!("{error}")))?;
            Ok(Slot {
                confirmed,
                usable: row.get(1),
            })
        })
        .transpose()
    }

    /// Drops the slot if there is one.
    pub async fn drop_slot(&self, client: &Client) -> Result<(), SourceError> {
        let dropped = client
            .execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1",
                &[&self.slot],
            )
            .await;
        match dropped {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) => {
                Err(SourceError::SlotInUse(self.slot.clone()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Describes a table as `pgoutput` will, with the columns that identify a row: those of the
    /// replica identity, or of the primary key if that is the whole row, or else all.
    pub async fn describe(
        &self,
        client: &Client,
        (schema, name): &(String, String),
    ) -> Result<(Relation, Vec<usize>), SourceError> {
        let rows = client
            .query(
                "SELECT c.oid, c.relreplident::text, a.attname::text, a.atttypid,
                        coalesce(a.attnum = ANY (p.indkey), false) AS in_primary_key,
                        CASE c.relreplident
                            WHEN 'f' THEN true
                            WHEN 'd' THEN coalesce(a.attnum = ANY (p.indkey), false)
                            WHEN 'i' THEN coalesce(a.attnum = ANY (i.indkey), false)
                            ELSE false
                        END AS in_replica_identity
                 FROM pg_class c
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                 JOIN pg_attribute a ON a.attrelid = c.oid
                 LEFT JOIN pg_index p ON p.indrelid = c.oid AND p.indisprimary
                 LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisreplident
                 WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r'
                   AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                 ORDER BY a.attnum",
                &[schema, name],
            )
            .await?;
        let Some(first) = rows.first() else {
            return Err(SourceError::NoTable(format!("{schema}.{name}")));
        };
        let replica_identity = first.get::<_, &str>(1).chars().next().unwrap_or('d');
        let columns: Vec<Column> = rows
            .iter()
            .map(|row| Column {
                name: row.get(2),
                type_oid: row.get(3),
                in_replica_identity: row.get(5),
            })
            .collect();
        let identity_column = if replica_identity == 'f' { 4 } else { 5 };
        let mut identity: Vec<usize> = (0..rows.len())
            .filter(|index| rows[*index].get(identity_column))
            .collect();
        if identity.is_empty() {
            identity = (0..rows.len()).collect();
        }
        let relation = Relation {
            oid: first.get(0),
            schema: schema.clone(),
            name: name.clone(),
            replica_identity,
            columns,
        };
        Ok((relation, identity))
    }
}

/// A name as an SQL identifier.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn quote_table((schema, name): &(String, String)) -> String {
    format!("{}.{}", quote(schema), quote(name))
}
