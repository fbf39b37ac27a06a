//! What a run needs of PostgreSQL, looked at before anything is started or changed: whatever would make
//! a promise impossible (a database that cannot hold a text, a trigger that changes what is written) is
//! told here, and not found as a violation later.
//!
//! What a session can set for itself is no matter of a check: see
//! [`squall_client_native::session::SETTINGS`].

use squall_client_native::session::describe;
use squall_protocol::plan::{ClientSpec, PlanOptions, Store};
use squall_workloads::workload;
use tokio_postgres::{Error, GenericClient};

use crate::exit::Failure;
use crate::system::database::{self, without_password};

/// What is looked for, in the order in which it is looked for.
struct Check {
    /// Answers a text for each thing that is wrong, and nothing if all is well. It may read from
    /// [`WANTED`] and from [`TABLES`].
    wrong: &'static str,
    /// What is wrong, and what to do about it; `{}` stands for the text.
    message: &'static str,
}

/// What the run needs: its tables, how many connections, whether it makes a slot and a publication of
/// its own, whether it writes texts that are not ASCII, and the backend that holds its lock.
const WANTED: &str = "
    wanted (tables, connections, embedded, unicode, lock_backend) AS
        (VALUES ($1::text[], $2::int8, $3::bool, $4::bool, $5::int4))";

/// The tables of those names that are there (`oid`, its name `at`), and how they should be
/// (`reference`).
const TABLES: &str = "
    tables AS (
        SELECT c.*, quote_ident(c.relname) AS at,
               (SELECT r.oid FROM pg_class r
                WHERE r.relnamespace = pg_my_temp_schema() AND r.relname = c.relname) AS reference
        FROM pg_class c, wanted
        WHERE c.relnamespace = to_regnamespace('public') AND c.relname = ANY (wanted.tables)
    ),
    columns AS (
        SELECT attrelid, attname, attnum, attnotnull, attidentity, attgenerated, attcollation,
               format_type(atttypid, atttypmod) AS type, pg_get_expr(adbin, adrelid) AS default
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attnum > 0 AND NOT attisdropped
    ),
    uniques AS (
        SELECT indrelid, indisprimary, indimmediate, indpred, (SELECT relname FROM pg_class WHERE oid = indexrelid) AS at,
               ARRAY(SELECT (SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = key AND key > 0)
                     FROM unnest(indkey[0:indnkeyatts - 1]) AS key ORDER BY 1) AS names
        FROM pg_index WHERE indisunique AND indisvalid
    )";

/// Checks of the server, the database and the role.
const SURROUNDINGS: &[Check] = &[
    Check {
        wrong: "SELECT '' FROM wanted WHERE pg_is_in_recovery()",
        message: "it is a standby, which takes no writes; use the primary's address",
    },
    // The sessions of a run set this themselves; those of the service do not.
    Check {
        wrong: "SELECT current_user::text FROM pg_settings, wanted
                WHERE embedded AND name = 'default_transaction_read_only' AND reset_val = 'on'",
        message: "its transactions are read-only unless they say otherwise; run ALTER ROLE \"{}\" SET default_transaction_read_only = off (and look for it in ALTER DATABASE and postgresql.conf)",
    },
    Check {
        wrong: "SELECT '' FROM wanted WHERE lock_backend = pg_backend_pid()",
        message: "a pooler stands before it that lends one session to several connections, so that no lock can be held; use PostgreSQL's own address, or a pool in session mode",
    },
    Check {
        wrong: "SELECT setting FROM pg_settings, wanted WHERE name = 'wal_level' AND setting <> 'logical'",
        message: "it runs with wal_level={}; logical replication needs `ALTER SYSTEM SET wal_level = logical` and a restart",
    },
    Check {
        wrong: "SELECT setting FROM pg_settings, wanted WHERE name = 'server_encoding' AND setting <> 'UTF8' AND unicode",
        message: "the database's encoding is {}, which cannot hold the texts of --payload; make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0 LOCALE 'C.UTF-8'",
    },
    Check {
        wrong: "SELECT rolname::text FROM pg_roles, wanted
                WHERE embedded AND rolname = current_user AND NOT (rolsuper OR rolreplication)
                  AND NOT EXISTS (SELECT FROM pg_roles g WHERE g.rolname = 'rds_replication'
                                  AND pg_has_role(g.oid, 'member'))",
        message: "its role \"{}\" may not replicate; run ALTER ROLE \"{}\" REPLICATION as a superuser",
    },
    Check {
        wrong: "SELECT current_user::text FROM wanted
                WHERE CASE WHEN to_regnamespace('public') IS NULL THEN true
                           ELSE NOT has_schema_privilege('public', 'USAGE') END",
        message: "its schema public is not there, or not for the role \"{}\"; run CREATE SCHEMA IF NOT EXISTS public; GRANT USAGE, CREATE ON SCHEMA public TO \"{}\"",
    },
    Check {
        wrong: "SELECT current_user::text FROM wanted
                WHERE NOT has_schema_privilege('public', 'CREATE')
                  AND (SELECT count(*) FROM tables) < cardinality(wanted.tables)",
        message: "the role \"{}\" may not make the tables that are missing in its schema public; run GRANT CREATE ON SCHEMA public TO \"{}\"",
    },
    Check {
        wrong: "SELECT current_user::text FROM wanted
                WHERE embedded AND NOT has_database_privilege(current_database(), 'CREATE')
                  AND NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'squall')",
        message: "the role \"{}\" may not make the publication; run GRANT CREATE ON DATABASE … TO \"{}\"",
    },
    Check {
        wrong: "SELECT setting FROM pg_settings, wanted
                WHERE embedded AND name = 'max_replication_slots'
                  AND setting::int8 <= (SELECT count(*) FROM pg_replication_slots)",
        message: "all of its replication slots are in use (max_replication_slots={}); drop one that nobody needs (SELECT slot_name, active FROM pg_replication_slots), or raise the setting and restart",
    },
    Check {
        wrong: "SELECT setting FROM pg_settings, wanted
                WHERE embedded AND name = 'max_wal_senders'
                  AND setting::int8 <= (SELECT count(*) FROM pg_stat_get_wal_senders())",
        message: "all of its replication connections are in use (max_wal_senders={}); raise the setting and restart",
    },
    Check {
        wrong: "SELECT free || ' of the ' || connections
                FROM wanted, LATERAL (
                    SELECT least(
                        current_setting('max_connections')::int8
                            - current_setting('superuser_reserved_connections')::int8
                            - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                        (SELECT datconnlimit - (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid)
                         FROM pg_database d WHERE datname = current_database() AND datconnlimit >= 0),
                        (SELECT rolconnlimit - (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid)
                         FROM pg_roles r WHERE rolname = current_user AND rolconnlimit >= 0 AND NOT rolsuper)
                    ) AS free
                ) AS room
                WHERE free < connections",
        message: "it has room for {} connections that this fleet needs; raise max_connections (or the limit of the role or the database), end other programs, or take fewer clients",
    },
];

/// Checks of tables that are there already. Each is told by its name.
const OF_TABLES: &[Check] = &[
    Check {
        wrong: "SELECT at FROM tables
                WHERE relkind <> 'r' OR relpersistence <> 'p' OR relispartition
                   OR EXISTS (SELECT FROM pg_inherits WHERE oid IN (inhrelid, inhparent))",
        message: "{} is no ordinary table (but a view, unlogged, or part of an inheritance), so its rows would not be replicated as written; drop or rename it, squall makes its own",
    },
    Check {
        wrong: "SELECT at FROM tables WHERE NOT pg_has_role(relowner, 'USAGE')",
        message: "the table {} belongs to another role; run ALTER TABLE {} OWNER TO that of --database-url",
    },
    Check {
        wrong: "SELECT at FROM tables WHERE relrowsecurity",
        message: "the table {} has row level security, which hides or refuses rows; run ALTER TABLE {} DISABLE ROW LEVEL SECURITY",
    },
    Check {
        wrong: "SELECT at FROM tables WHERE relreplident = 'n'",
        message: "the table {} has no replica identity, so changes of its rows are refused; run ALTER TABLE {} REPLICA IDENTITY DEFAULT",
    },
    Check {
        wrong: "SELECT t.at || ' (' || tgname || ')' FROM tables t JOIN pg_trigger ON tgrelid = t.oid
                WHERE NOT tgisinternal AND tgenabled <> 'D'",
        message: "a table has a trigger, which may change what is written: {}; drop it",
    },
    Check {
        wrong: "SELECT t.at || ' (' || rulename || ')' FROM tables t JOIN pg_rewrite ON ev_class = t.oid WHERE t.relkind = 'r'",
        message: "a table has a rule, which may change what is written: {}; drop it",
    },
    Check {
        wrong: "SELECT t.at || ' (' || conname || ')' FROM tables t JOIN pg_constraint ON t.oid IN (conrelid, confrelid)
                WHERE contype IN ('c', 'f', 'x')",
        message: "a table has a constraint that may refuse what is written: {}; drop it",
    },
    Check {
        wrong: "SELECT t.at || '.' || r.attname || ' should be ' || r.type
                FROM tables t JOIN columns r ON r.attrelid = t.reference
                LEFT JOIN columns c ON c.attrelid = t.oid AND c.attname = r.attname
                WHERE c.type IS NULL
                   OR c.type <> r.type AND (c.type, r.type) <> ('bigint', 'integer')
                   OR c.attgenerated <> ''
                   OR c.attidentity = 'a' AND r.default IS NULL
                   OR c.attnotnull AND NOT r.attnotnull
                   OR r.default IS NOT NULL AND c.attidentity = ''
                      AND (c.default IS NULL OR c.default <> r.default AND r.default NOT LIKE 'nextval(%')
                   OR EXISTS (SELECT FROM pg_collation WHERE oid = c.attcollation AND NOT collisdeterministic)",
        message: "a column of a table that is there already is missing or made otherwise (type, default, not null, collation): {}; drop or rename the table, squall makes its own",
    },
    Check {
        wrong: "SELECT t.at || '.' || c.attname
                FROM tables t JOIN columns c ON c.attrelid = t.oid
                WHERE c.attnotnull AND c.default IS NULL AND c.attidentity = '' AND t.reference IS NOT NULL
                  AND NOT EXISTS (SELECT FROM columns r WHERE r.attrelid = t.reference AND r.attname = c.attname)",
        message: "a table has a column that squall does not fill and that must be filled: {}; drop it, or give it a default",
    },
    Check {
        wrong: "SELECT t.at || ' (' || array_to_string(r.names, ', ') || ')'
                FROM tables t JOIN uniques r ON r.indrelid = t.reference AND r.indisprimary
                WHERE NOT EXISTS (SELECT FROM uniques u WHERE u.indrelid = t.oid AND u.indisprimary
                                  AND u.indimmediate AND u.names = r.names)",
        message: "a table lacks its primary key, or it is deferrable: {}; drop or rename the table, squall makes its own",
    },
    Check {
        wrong: "SELECT t.at || ' (' || u.at || ')'
                FROM tables t JOIN uniques u ON u.indrelid = t.oid
                WHERE t.reference IS NOT NULL
                  AND NOT EXISTS (SELECT FROM uniques r WHERE r.indrelid = t.reference
                                  AND r.names <@ u.names)",
        message: "a table has a unique index that may refuse what is written: {}; drop it",
    },
];

/// Looks whether a run can keep its promises there. Changes nothing.
///
/// # Errors
///
/// What is wrong, and what to do about it.
pub async fn check(
    url: &str,
    options: &PlanOptions,
    clients: &[ClientSpec],
    needs: Needs,
) -> Result<(), Failure> {
    let failed = |error: Error| {
        Failure::unavailable(
            format!("cannot look at the database {}", without_password(url)),
            describe(&error),
        )
    };
    let mut client = database::connect(url).await?;
    let wanted = Wanted {
        tables: database::all_tables(options),
        connections: connections(clients),
        unicode: options.payload,
        needs,
    };
    let mut wrong = wanted.first(&client, SURROUNDINGS).await.map_err(failed)?;
    if wrong.is_none() && wanted.any_table(&client).await.map_err(failed)? {
        let transaction = client.transaction().await.map_err(failed)?;
        // How the tables should be is what they would be if squall made them; so it makes them, where
        // nobody sees it.
        let made = transaction.batch_execute("SET LOCAL search_path = pg_temp");
        made.await.map_err(failed)?;
        let definitions = workload(options.workload, options.payload).tables().iter();
        let definitions = definitions.map(|table| table.postgres);
        for definition in definitions.chain([database::UPLOADS_TABLE]) {
            let made = transaction.batch_execute(definition);
            made.await.map_err(failed)?;
        }
        wrong = wanted
            .first(&transaction, OF_TABLES)
            .await
            .map_err(failed)?;
        transaction.rollback().await.map_err(failed)?;
    }
    match wrong {
        None => Ok(()),
        Some(message) => Err(Failure::Unavailable(format!(
            "PostgreSQL at {} cannot be used for this run: {message}",
            without_password(url)
        ))),
    }
}

/// What of the system under test the checks depend on.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Whether the embedded service is to replicate from the database.
    pub embedded: bool,
    /// The backend of PostgreSQL's that holds the run's lock.
    pub lock_backend: i32,
}

/// How many connections the backend may have, for those clients.
pub fn pool_size(clients: &[ClientSpec]) -> usize {
    let syncing = clients.iter().filter(|client| client.kind.syncs()).count();
    // One upload of each at a time, and some whose client has given them up.
    (syncing + 2).min(16)
}

/// How many connections a run needs, beside its lock and the one that looks.
fn connections(clients: &[ClientSpec]) -> i64 {
    // Three are the service's, one is the coordinator's own.
    const OTHERS: usize = 4;
    let direct = clients.iter();
    let direct = direct.filter(|client| client.kind.store() == Store::Postgres);
    (direct.count() + pool_size(clients) + OTHERS) as i64
}

struct Wanted {
    tables: Vec<String>,
    connections: i64,
    unicode: bool,
    needs: Needs,
}

impl Wanted {
    /// The first of the checks that finds something: what it says.
    async fn first(
        &self,
        client: &impl GenericClient,
        checks: &[Check],
    ) -> Result<Option<String>, Error> {
        for check in checks {
            let found = self.ask(client, check.wrong).await?;
            if !found.is_empty() {
                let found = found.join(", ");
                return Ok(Some(check.message.replace("{}", &found)));
            }
        }
        Ok(None)
    }

    async fn any_table(&self, client: &impl GenericClient) -> Result<bool, Error> {
        let there = self.ask(client, "SELECT at FROM tables").await?;
        Ok(!there.is_empty())
    }

    async fn ask(&self, client: &impl GenericClient, question: &str) -> Result<Vec<String>, Error> {
        let Needs {
            embedded,
            lock_backend,
        } = self.needs;
        let rows = client
            .query(
                &format!("WITH {WANTED}, {TABLES} {question}"),
                &[
                    &self.tables,
                    &self.connections,
                    &embedded,
                    &self.unicode,
                    &lock_backend,
                ],
            )
            .await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }
}
