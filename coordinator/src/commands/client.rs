//! `squall client`: one of squall's own client processes, as a run starts it.

use squall_client_native as clients;

use crate::cli::{ClientArgs, ProcessKind};
use crate::exit::{Exit, Failure};

pub async fn run(args: ClientArgs) -> Result<Exit, Failure> {
    let name = args.client.clone();
    let (control_url, client) = (args.control_url, args.client);
    let ended = if let ProcessKind::Postgres = args.kind {
        let options = clients::PostgresOptions {
            control_url,
            client,
            database_url: args.database_url,
        };
        clients::run_postgres(options).await
    } else {
        let options = clients::NativeOptions {
            control_url,
            client,
            database: args.database.expect("clap requires it"),
        };
        match args.kind {
            ProcessKind::Sqlite => clients::run_sqlite(options).await,
            ProcessKind::Sqlite3 => clients::run_sqlite3(options, args.shell).await,
            ProcessKind::Local => clients::run_local(options).await,
            ProcessKind::Native | ProcessKind::Postgres => clients::run_native(options).await,
        }
    };
    ended
        .map_err(|error| Failure::unavailable(format!("the client {name} cannot go on"), error))?;
    Ok(Exit::Ok)
}
