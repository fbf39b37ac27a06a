//! The workload's tables in the source database: how they are made, seeded and read.

use squall_client_native::execute::{self, Statements};
use squall_client_native::session::{self, describe};
use squall_protocol::plan::PlanOptions;
use squall_protocol::sql::Dialect;
use squall_protocol::transaction::Effects;
use squall_workloads::{Compiler, workload};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, GenericClient, IsolationLevel};

use crate::exit::Failure;

/// Marks a table as one that squall made and may empty, whatever it holds.
const TABLE_COMMENT: &str = "made by squall; emptied at the start of every run";

/// Remembers which uploads are applied; not published, so clients never see it.
pub const UPLOADS_TABLE: &str = "CREATE TABLE IF NOT EXISTS squall_uploads (
    client_id text NOT NULL,
    upload_id text NOT NULL,
    PRIMARY KEY (client_id, upload_id)
)";

/// The tables of a workload that are synced to clients.
pub fn tables(options: &PlanOptions) -> Vec<String> {
    let tables = workload(options.workload, options.payload).tables().iter();
    tables.map(|table| table.name.to_owned()).collect()
}

/// All tables of a run, published or not.
pub fn all_tables(options: &PlanOptions) -> Vec<String> {
    let mut tables = tables(options);
    tables.push("squall_uploads".to_owned());
    tables
}

/// Opens a connection; it ends when the client is dropped.
///
/// # Errors
///
/// When there is no such database.
pub async fn connect(url: &str) -> Result<Client, Failure> {
    let unreachable = |error| unreachable_database(url, &error);
    let database = url.parse().map_err(unreachable)?;
    let (client, _) = session::connect(&database).await.map_err(unreachable)?;
    Ok(client)
}

/// What is said when no session can be had.
pub fn unreachable_database(url: &str, error: &tokio_postgres::Error) -> Failure {
    Failure::Unavailable(format!(
        "cannot connect to PostgreSQL at {}: {}; check --database-url and that the server runs",
        without_password(url),
        describe(error)
    ))
}

/// Where the database is, fit for messages and logs: without its password, in whichever form the
/// address has it.
pub fn without_password(url: &str) -> String {
    let Ok(config) = url.parse::<tokio_postgres::Config>() else {
        return "an address that cannot be read".to_owned();
    };
    let ports = config.get_ports();
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(index, host)| {
            let port = ports.get(index).or(ports.first()).unwrap_or(&5432);
            match host {
                // What is before an @ may be a part of the password.
                Host::Tcp(host) => {
                    format!("{}:{port}", host.rsplit('@').next().unwrap_or_default())
                }
                Host::Unix(folder) => format!("{}:{port}", folder.display()),
            }
        })
        .collect();
    let user = config.get_user().map(|user| format!("{user}@"));
    format!(
        "postgres://{}{}/{}",
        user.unwrap_or_default(),
        hosts.join(","),
        config.get_dbname().unwrap_or_default()
    )
}

/// Whether the address has a password, or may have one: an address that cannot be read may.
pub fn has_password(url: &str) -> bool {
    url.parse::<tokio_postgres::Config>()
        .map_or(true, |config| config.get_password().is_some())
}

/// Makes the workload's tables and fills them with what they hold at first. A table that
/// squall did not make is only used when it is empty.
///
/// # Errors
///
/// When the database cannot be used, or a table holds rows of someone else's.
pub async fn prepare(url: &str, options: &PlanOptions) -> Result<(), Failure> {
    let tables = workload(options.workload, options.payload).tables();
    let mut client = connect(url).await?;
    let failed = |error: tokio_postgres::Error| {
        Failure::unavailable(
            format!("cannot prepare the tables in {}", without_password(url)),
            describe(&error),
        )
    };
    for table in tables {
        let name = table.name;
        client.batch_execute(table.postgres).await.map_err(failed)?;
        let row = client
            .query_one(
                &format!(
                    "SELECT obj_description('{name}'::regclass, 'pg_class'), EXISTS (SELECT FROM {name})"
                ),
                &[],
            )
            .await
            .map_err(failed)?;
        let (comment, filled): (Option<String>, bool) = (row.get(0), row.get(1));
        if filled && comment.as_deref() != Some(TABLE_COMMENT) {
            return Err(Failure::Unavailable(format!(
                "the database {} already has a table {name} with rows in it that squall did not write; empty it or use another database",
                without_password(url)
            )));
        }
    }
    let transaction = client.transaction().await.map_err(failed)?;
    transaction
        .batch_execute(UPLOADS_TABLE)
        .await
        .map_err(failed)?;
    for table in tables {
        let name = table.name;
        transaction
            .batch_execute(&format!(
                "COMMENT ON TABLE {name} IS '{TABLE_COMMENT}'; DELETE FROM {name};"
            ))
            .await
            .map_err(failed)?;
    }
    let compiler = compiler(options);
    let mut statements = Statements::new(compiler.statements());
    let first_rows = compiler.first_rows();
    let performed = statements.perform(&transaction, &first_rows).await;
    performed.map_err(|error| match error {
        execute::Error::Postgres(error) => failed(error),
        error => Failure::Unavailable(error.to_string()),
    })?;
    transaction.commit().await.map_err(failed)
}

/// Everything that the workload's tables hold.
///
/// # Errors
///
/// PostgreSQL's own, or what is wrong with the tables, as text.
pub async fn read(client: &impl GenericClient, options: &PlanOptions) -> Result<Effects, String> {
    let compiler = compiler(options);
    let mut statements = Statements::new(compiler.statements());
    let read = statements
        .perform(client, &compiler.read_everything())
        .await;
    let results = read.map_err(|error| match error {
        execute::Error::Postgres(error) => describe(&error),
        error => error.to_string(),
    })?;
    let effects = compiler.everything(results);
    effects.map_err(|malformed| malformed.to_string())
}

/// Speaks of the workload with PostgreSQL, in nobody's name.
fn compiler(options: &PlanOptions) -> Compiler {
    let PlanOptions {
        workload,
        payload,
        keys,
        ..
    } = *options;
    Compiler::new(workload, payload, keys, "", Dialect::Postgres)
}

/// Everything that the workload's tables hold at one moment.
///
/// # Errors
///
/// As those of [`read`].
pub async fn final_read(client: &mut Client, options: &PlanOptions) -> Result<Effects, String> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(|error| describe(&error))?;
    read(&transaction, options).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for url in [
            "postgres://me:secret@localhost:5432/db",
            "postgres://me:half@secret@localhost:5432/db",
            "postgres://me@localhost/db?password=secret",
            "host=localhost dbname=db user=me password=secret",
        ] {
            let shown = without_password(url);
            assert_eq!(shown, "postgres://me@localhost:5432/db", "{url}");
        }
        let shown = without_password("postgres://me:secret@localhost:port/db");
        assert!(!shown.contains("secret"), "{shown}");
        let shown = without_password("postgres://a:1,b:2/db");
        assert_eq!(shown, "postgres://a:1,b:2/db");
    }
}
