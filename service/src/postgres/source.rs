//! Where the source database is, and what must be true of it: what it is served by, its publication
//! and its replication slot. [`super::tables`] has the same for its tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::names::{TableName, parse_tables, quote};
use crate::core::source::Lsn;
use crate::error::{SourceError, describe};

/// Values are printed in the same form by every connection, whatever the server's settings are, and
/// no limit that a role or a database has ends our sessions. A marker's commit is flushed at once, or
/// the replication would get it only some time later. Row level security that would hide rows is an
/// error.
pub const SESSION_SETTINGS: &str = "-c datestyle=ISO -c timezone=UTC -c intervalstyle=postgres -c bytea_output=hex \
                                    -c extra_float_digits=1 -c synchronous_commit=local -c search_path=pg_catalog \
                                    -c statement_timeout=0 -c lock_timeout=0 \
                                    -c idle_in_transaction_session_timeout=0 -c row_security=off \
                                    -c default_transaction_read_only=off";

/// The settings that cannot stand among those above: not every version has the timeouts, and the
/// encoding depends on the database's. Where that is unknown (`SQL_ASCII`) the server sends bytes as
/// they are, so that we can say which column is not UTF-8.
pub const LATER_SETTINGS: &str =
    "SELECT set_config(name, CASE name WHEN 'client_encoding' THEN 'SQL_ASCII' ELSE '0' END, false)
     FROM pg_settings
     WHERE name IN ('idle_session_timeout', 'transaction_timeout')
        OR name = 'client_encoding' AND current_setting('server_encoding') = 'SQL_ASCII'";

/// How long the server may take to accept a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// What marks a publication as one that a service made, and may add tables to.
const PUBLICATION_COMMENT: &str = "made by squall's sync service, which adds tables to it";

/// Which part of which database is synced.
#[derive(Clone, Debug)]
pub struct Source {
    /// One for each host, in the order in which they are tried.
    hosts: Vec<tokio_postgres::Config>,
    /// The host of the newest replication session.
    current: Arc<AtomicUsize>,
    pub tables: Vec<TableName>,
    pub publication: String,
    pub slot: String,
}

/// A replication slot as the server describes it.
#[derive(Debug)]
pub struct Slot {
    /// Changes before this position will not be sent again.
    pub confirmed: Lsn,
    /// Whether its log was removed.
    pub lost: bool,
}

impl Source {
    /// Checks what can be checked without the database.
    pub fn new(
        database_url: &str,
        tables: &[String],
        publication: &str,
        slot: &str,
    ) -> Result<Source, SourceError> {
        let database: tokio_postgres::Config = database_url
            .parse()
            .map_err(|error| SourceError::Url(url_problem(&error)))?;
        Ok(Source {
            hosts: split_hosts(&database)?,
            current: Arc::default(),
            tables: parse_tables(tables).map_err(SourceError::Tables)?,
            publication: publication.into(),
            slot: slot.into(),
        })
    }

    /// Where the database is, for messages: without user and password.
    pub fn at(&self) -> String {
        let hosts: Vec<String> = self
            .hosts
            .iter()
            .map(|database| {
                let (host, port) = address(database);
                format!("{host}:{port}")
            })
            .collect();
        let name = self.hosts[0].get_dbname().unwrap_or_default();
        format!("{}/{name}", hosts.join(","))
    }

    /// The host of the newest replication session.
    pub fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// What reaches the host of the newest replication session, and its host name or the folder of
    /// its Unix socket, and its port.
    pub fn current_database(&self) -> (&tokio_postgres::Config, (String, u16)) {
        let database = &self.hosts[self.current()];
        (database, address(database))
    }

    /// Opens an ordinary connection for a replication session: to the first host that takes it.
    pub async fn connect(&self) -> Result<Client, SourceError> {
        let mut refused = None;
        let mut unreachable = None;
        for index in 0..self.hosts.len() {
            match self.connect_to(index).await {
                Ok(client) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(client);
                }
                Err(error @ SourceError::Refused { .. }) => refused = Some(error),
                Err(error) => unreachable = Some(error),
            }
        }
        // A host that cannot be reached now may take us later, one that refuses us will not.
        Err(unreachable.or(refused).unwrap_or(SourceError::Stopping))
    }

    /// Opens an ordinary connection to the host of the newest replication session.
    pub async fn connect_to_current(&self) -> Result<Client, SourceError> {
        self.connect_to(self.current()).await
    }

    async fn connect_to(&self, index: usize) -> Result<Client, SourceError> {
        let unreachable = |problem| SourceError::Unreachable {
            at: self.at(),
            problem,
        };
        let connecting = tokio::time::timeout(CONNECT_DEADLINE, self.hosts[index].connect(NoTls));
        let connected = connecting
            .await
            .map_err(|_| unreachable(format!("no answer within {CONNECT_DEADLINE:?}")))?;
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
                _ => unreachable(problem),
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
        client.batch_execute(LATER_SETTINGS).await?;
        Ok(client)
    }

    /// Checks what replication needs of the server, and makes the publication if there is none.
    pub async fn prepare(&self, client: &Client) -> Result<(), SourceError> {
        let row = client
            .query_one(
                "SELECT current_setting('wal_level'), pg_is_in_recovery()",
                &[],
            )
            .await?;
        if row.get(1) {
            return Err(SourceError::Standby { at: self.at() });
        }
        let wal_level: String = row.get(0);
        if wal_level != "logical" {
            return Err(SourceError::WalLevel(wal_level));
        }
        if self.prepare_publication(client).await? {
            return Ok(());
        }
        // Somebody else made it in the meantime.
        self.prepare_publication(client).await.map(|_| ())
    }

    /// Whether there is a publication now that may fit.
    async fn prepare_publication(&self, client: &Client) -> Result<bool, SourceError> {
        let publication = quote(&self.publication);
        let found = client
            .query_opt(
                "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate,
                        obj_description(oid, 'pg_publication'),
                        ARRAY(SELECT schemaname::text FROM pg_publication_tables t WHERE t.pubname = p.pubname),
                        ARRAY(SELECT tablename::text FROM pg_publication_tables t WHERE t.pubname = p.pubname)
                 FROM pg_publication p WHERE pubname = $1",
                &[&self.publication],
            )
            .await?;
        let Some(found) = found else {
            // The tables alone, without those that inherit from them.
            let tables: Vec<String> = self
                .tables
                .iter()
                .map(|table| format!("ONLY {table}"))
                .collect();
            self.check_tables_exist(client).await?;
            let created = client
                .batch_execute(&format!(
                    "BEGIN; CREATE PUBLICATION {publication} FOR TABLE {};
                     COMMENT ON PUBLICATION {publication} IS '{}'; COMMIT",
                    tables.join(", "),
                    PUBLICATION_COMMENT.replace('\'', "''"),
                ))
                .await;
            return match created {
                Ok(()) => Ok(true),
                Err(error) => {
                    client.batch_execute("ROLLBACK").await?;
                    let somebody_else = [SqlState::DUPLICATE_OBJECT, SqlState::UNIQUE_VIOLATION];
                    match error.code() {
                        Some(code) if somebody_else.contains(code) => Ok(false),
                        _ => Err(error.into()),
                    }
                }
            };
        };
        if !found.get::<_, bool>(0) {
            return Err(SourceError::Publication {
                publication: self.publication.clone(),
                problem: format!(
                    "it leaves out some kinds of changes; run ALTER PUBLICATION {publication} \
                     SET (publish = 'insert, update, delete, truncate')"
                ),
            });
        }
        if found.get::<_, Option<&str>>(1) == Some(PUBLICATION_COMMENT) {
            let (schemas, names): (Vec<String>, Vec<String>) = (found.get(2), found.get(3));
            let published: Vec<_> = schemas.iter().zip(&names).collect();
            self.check_tables_exist(client).await?;
            for table in &self.tables {
                if !published.contains(&(&table.schema, &table.name)) {
                    let add = format!("ALTER PUBLICATION {publication} ADD TABLE ONLY {table}");
                    match client.batch_execute(&add).await {
                        // Another service of the same publication did it.
                        Err(error) if error.code() == Some(&SqlState::DUPLICATE_OBJECT) => {}
                        result => result?,
                    }
                }
            }
        }
        Ok(true)
    }

    async fn check_tables_exist(&self, client: &Client) -> Result<(), SourceError> {
        for table in &self.tables {
            super::tables::check_kind(client, table).await?;
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
    ///
    /// # Errors
    ///
    /// When it is somebody else's.
    pub async fn slot(&self, client: &Client) -> Result<Option<Slot>, SourceError> {
        let row = client
            .query_opt(
                "SELECT coalesce(confirmed_flush_lsn, '0/0')::text,
                        wal_status IS NOT DISTINCT FROM 'lost',
                        CASE WHEN slot_type <> 'logical' THEN 'a ' || slot_type || ' one'
                             WHEN plugin <> 'pgoutput' THEN 'of the output plugin ' || plugin
                             WHEN database <> current_database() THEN 'of the database ' || database
                             WHEN temporary THEN 'a temporary one of another session'
                             WHEN to_jsonb(s) ->> 'two_phase' = 'true' THEN 'one with two_phase'
                        END
                 FROM pg_replication_slots s WHERE slot_name = $1",
                &[&self.slot],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        if let Some(what) = row.get::<_, Option<String>>(2) {
            return Err(SourceError::ForeignSlot {
                slot: self.slot.clone(),
                what,
            });
        }
        let confirmed = row.get::<_, &str>(0);
        Ok(Some(Slot {
            confirmed: confirmed
                .parse()
                .map_err(|error| SourceError::Query(format!("{error}")))?,
            lost: row.get(1),
        }))
    }

    /// Drops the slot if there is one.
    ///
    /// # Errors
    ///
    /// When it is in use, or somebody else's.
    pub async fn drop_slot(&self, client: &Client) -> Result<(), SourceError> {
        if self.slot(client).await?.is_none() {
            return Ok(());
        }
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
}

/// What is wrong with the URL, without anything that is in it: it may be a part of the password.
fn url_problem(error: &tokio_postgres::Error) -> String {
    let problem = describe(error);
    match problem.split_once('`') {
        Some((kind, _)) => kind.trim_end().to_owned(),
        None => problem,
    }
}

/// The same configuration for each host alone, with our own settings.
fn split_hosts(
    database: &tokio_postgres::Config,
) -> Result<Vec<tokio_postgres::Config>, SourceError> {
    let (names, addresses, ports) = (
        database.get_hosts(),
        database.get_hostaddrs(),
        database.get_ports(),
    );
    let count = names.len().max(addresses.len());
    if count == 0 {
        return Err(SourceError::Url("it names no host".into()));
    }
    let fits = |length: usize, one_for_all: bool| {
        length == count || length == 0 || one_for_all && length == 1
    };
    if !fits(names.len(), false) || !fits(addresses.len(), false) || !fits(ports.len(), true) {
        return Err(SourceError::Url(
            "it has not as many ports as hosts, or not as many addresses".into(),
        ));
    }
    let options = match database.get_options() {
        Some(options) => format!("{options} {SESSION_SETTINGS}"),
        None => SESSION_SETTINGS.into(),
    };
    let mut hosts = Vec::with_capacity(count);
    for index in 0..count {
        let mut host = tokio_postgres::Config::new();
        host.options(&options)
            .connect_timeout(CONNECT_DEADLINE)
            .application_name("squall")
            .ssl_mode(database.get_ssl_mode())
            .channel_binding(database.get_channel_binding())
            .target_session_attrs(database.get_target_session_attrs())
            .keepalives(database.get_keepalives())
            .keepalives_idle(database.get_keepalives_idle());
        if let Some(user) = database.get_user() {
            host.user(user);
        }
        if let Some(password) = database.get_password() {
            host.password(password);
        }
        if let Some(name) = database.get_dbname() {
            host.dbname(name);
        }
        match names.get(index) {
            Some(Host::Tcp(name)) if name.contains('@') => {
                // The rest of a password, perhaps; so it is not shown.
                return Err(SourceError::Url(
                    "an @ in user name or password must be written as %40".into(),
                ));
            }
            Some(Host::Tcp(name)) => {
                host.host(name);
            }
            Some(Host::Unix(folder)) => {
                host.host_path(folder);
            }
            None => {}
        }
        if let Some(address) = addresses.get(index) {
            host.hostaddr(*address);
        }
        if let Some(port) = ports.get(index).or(ports.first()) {
            host.port(*port);
        }
        hosts.push(host);
    }
    Ok(hosts)
}

/// The address of the one host: its numeric address, its name or the folder of its Unix socket.
fn address(database: &tokio_postgres::Config) -> (String, u16) {
    let host = match (
        database.get_hostaddrs().first(),
        database.get_hosts().first(),
    ) {
        (Some(address), _) => address.to_string(),
        (None, Some(Host::Tcp(host))) => host.clone(),
        (None, Some(Host::Unix(folder))) => folder.display().to_string(),
        (None, None) => String::new(),
    };
    let port = database.get_ports().first().copied();
    (host, port.unwrap_or(5432))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str) -> Result<Source, SourceError> {
        Source::new(url, &["mww".to_owned()], "p", "s")
    }

    #[test]
    fn several_hosts_are_tried_one_after_the_other() {
        let source = source("postgres://u:secret@a:1,b:2/d").expect("a URL");
        assert_eq!(source.at(), "a:1,b:2/d");
        let names: Vec<_> = source.hosts.iter().map(address).collect();
        assert_eq!(names, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    }

    #[test]
    fn passwords_are_in_no_message() {
        for url in [
            "postgres://u:half@secret@host/d",
            "host=a password=half secret=x",
            "postgres://u:secret@host:port/d",
            "postgres://u:secret@/d",
            "postgres://u:secret@host/d?passwort=secret",
        ] {
            let text = match source(url) {
                Ok(source) => format!("{source:?} {}", source.at()),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!text.contains("secret"), "{url}: {text}");
            assert!(!text.contains("half"), "{url}: {text}");
        }
    }
}
