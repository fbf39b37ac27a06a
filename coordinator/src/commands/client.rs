//! `squall client`: one of squall's own client processes, as a run starts it.

use std::os::unix::process::CommandExt;

use squall_client_native as clients;

use crate::cli::{ClientArgs, ProcessKind};
use crate::exit::{Exit, Failure};
use crate::system::javascript;
use crate::system::options::own_program;

pub async fn run(args: ClientArgs) -> Result<Exit, Failure> {
    if let Some(folder) = args.kind.folder() {
        return Err(become_client_of(&args, folder));
    }
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
            _ => clients::run_native(options).await,
        }
    };
    ended
        .map_err(|error| Failure::unavailable(format!("the client {name} cannot go on"), error))?;
    Ok(Exit::Ok)
}

/// Makes this process the client in that folder of `clients/`: it comes back only if that is not possible.
fn become_client_of(args: &ClientArgs, folder: &str) -> Failure {
    let program = match own_program() {
        Ok(program) => program,
        Err(failure) => return failure,
    };
    let mut command = match javascript::command(&program, folder) {
        Ok(command) => command,
        Err(error) => return Failure::Unavailable(error),
    };
    command
        .env("SQUALL_CLIENT", &args.client)
        .env("SQUALL_CONTROL_URL", &args.control_url);
    if let Some(database) = &args.database {
        command.env("SQUALL_DATABASE", database);
    }
    Failure::unavailable(format!("cannot start {}", args.client), command.exec())
}
