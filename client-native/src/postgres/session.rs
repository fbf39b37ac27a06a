//! A connection to PostgreSQL, whatever the server, the database, the role or the address set for its
//! sessions: squall's own sessions set what they rely on.

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, NoTls};

/// What every session of squall's begins with. One statement, as parameters of the connection would
/// have to be known to the server's version and to whatever stands between.
///
/// The tables are those of the schema `public`, which is also where the sync service looks for them.
/// Nothing may be cut off by a time limit that was made for an application. A commit that is told must
/// be durable; whether replicas are waited for, if there are any, is left as it is.
pub const SETTINGS: &str = "
    SELECT set_config(name, wanted.value, false)
    FROM (VALUES
        ('search_path', 'public'),
        ('client_encoding', 'UTF8'),
        ('standard_conforming_strings', 'on'),
        ('statement_timeout', '0'),
        ('lock_timeout', '0'),
        ('idle_in_transaction_session_timeout', '0'),
        ('idle_session_timeout', '0'),
        ('transaction_timeout', '0'),
        ('default_transaction_isolation', 'read committed'),
        ('default_transaction_read_only', 'off'),
        ('default_transaction_deferrable', 'off'),
        ('synchronous_commit', 'local')
    ) AS wanted (name, value) JOIN pg_settings USING (name)
    WHERE name <> 'synchronous_commit' OR setting = 'off'";

/// Opens a connection with these settings. It is served by a task, which ends with the connection and
/// answers why.
///
/// # Errors
///
/// When there is no such database, or it does not take the settings.
pub async fn connect(database: &Config) -> Result<(Client, JoinHandle<Result<(), Error>>), Error> {
    let (client, connection) = database.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute(SETTINGS).await?;
    Ok((client, connection))
}

/// What PostgreSQL says of an error; its own `Display` only names the kind.
pub fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
