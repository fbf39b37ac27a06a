//! The client that does everything by way of the `sqlite3` command-line shell: another build of SQLite,
//! and none of our own code between the SQL and the file.

use std::path::{Path, PathBuf};

use squall_protocol::contract::{Access, ClientConfig, Engine, Execution};
use squall_protocol::sql::{Call, SqlRows, SqlValue};

use crate::error::Error;
use crate::options::NativeOptions;
use crate::plain;
use crate::plain::Database;
use crate::shell::{self, Shell, ShellError};
use crate::sqlite::READ_IDENTITY;

/// A shell that has the shared file open.
pub(crate) struct Sqlite3 {
    shell: Shell,
    config: ClientConfig,
    session: String,
}

impl Sqlite3 {
    async fn perform(&mut self, calls: &[Call]) -> Result<Vec<SqlRows>, ShellError> {
        let mut results = Vec::with_capacity(calls.len());
        for call in calls {
            let sql = self.config.statements.get(call.statement);
            let sql = sql.ok_or_else(|| {
                ShellError::Refused(format!("there is no statement {}", call.statement))
            })?;
            results.push(self.shell.query(sql, &call.parameters).await?);
        }
        Ok(results)
    }
}

impl Database for Sqlite3 {
    /// The program.
    type Options = PathBuf;

    async fn engine(program: &PathBuf) -> Engine {
        Engine {
            name: "the sqlite3 shell".to_owned(),
            version: shell::version(program).await,
        }
    }

    async fn open(file: &Path, program: &PathBuf, config: ClientConfig) -> Result<Self, String> {
        let started = Shell::start(program, file, config.request_deadline_ms).await;
        let mut shell = started.map_err(|error| error.to_string())?;
        let identity = async {
            shell.execute("PRAGMA synchronous = full").await?;
            shell.query(READ_IDENTITY, &[]).await
        };
        let identity = identity
            .await
            .map_err(|error| format!("it is not a file that squall made: {error}"))?;
        let [SqlValue::Text(identity)] = identity.first().map_or(&[][..], |row| row) else {
            return Err("it has lost its identity".to_owned());
        };
        Ok(Sqlite3 {
            session: format!("{identity}/{}", config.client),
            shell,
            config,
        })
    }

    fn session(&self) -> (String, bool) {
        (self.session.clone(), false)
    }

    async fn execute(&mut self, access: Access, calls: &[Call]) -> Result<Execution, String> {
        let (begin, query_only) = match access {
            Access::Write => ("BEGIN IMMEDIATE", "PRAGMA query_only = off"),
            Access::Read => ("BEGIN DEFERRED", "PRAGMA query_only = on"),
        };
        let mut committing = false;
        let attempt = async {
            self.shell.execute(query_only).await?;
            self.shell.execute(begin).await?;
            let results = self.perform(calls).await?;
            committing = true;
            self.shell.execute("COMMIT").await?;
            Ok(results)
        };
        let reason = match attempt.await {
            Ok(results) => return Ok(Execution::Committed(results)),
            Err(ShellError::Refused(reason)) => reason,
            Err(gone) => return Err(gone.to_string()),
        };
        // Refused if there is nothing to undo, which is as well.
        if let Err(gone @ ShellError::Gone(_)) = self.shell.execute("ROLLBACK").await {
            return Err(gone.to_string());
        }
        Ok(match committing {
            true => Execution::Unknown(format!(
                "COMMIT failed, the transaction may or may not have happened: {reason}"
            )),
            false => Execution::Failed(reason),
        })
    }

    async fn integrity_check(&mut self) -> Result<Vec<String>, String> {
        let check = "SELECT integrity_check FROM pragma_integrity_check";
        let report = self.shell.query(check, &[]).await;
        let report = report.map_err(|error| error.to_string())?;
        let line = |value| match value {
            SqlValue::Text(line) => line,
            other => other.to_string(),
        };
        Ok(report.into_iter().flatten().map(line).collect())
    }

    async fn close(self) -> Result<(), String> {
        self.shell.close().await.map_err(|error| error.to_string())
    }
}

/// As [`crate::run_sqlite`], by way of the `sqlite3` command-line shell, which is that program.
pub async fn run(options: NativeOptions, shell: PathBuf) -> Result<(), Error> {
    plain::run::<Sqlite3>(options, shell).await
}
