//! The client that does everything by way of the `sqlite3` command-line shell: another build of SQLite,
//! and none of our own code between the SQL and the file.

use std::path::{Path, PathBuf};

use squall_protocol::contract::{Access, ClientConfig, Execution};
use squall_protocol::sql::{Call, SqlRows};

use crate::plain::Database;
use crate::shell::{Shell, ShellError};
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

    async fn open(file: &Path, program: &PathBuf, config: ClientConfig) -> Result<Self, String> {
        let started = Shell::start(program, file, config.request_deadline_ms).await;
        let mut shell = started.map_err(|error| error.to_string())?;
        let identity = async {
            shell.execute("PRAGMA synchronous = full", &[]).await?;
            shell.query::<(String,)>(READ_IDENTITY, &[]).await
        };
        let identity = identity
            .await
            .map_err(|error| format!("it is not a file that squall made: {error}"))?;
        let identity = identity.first().ok_or("it has lost its identity")?;
        Ok(Sqlite3 {
            session: format!("{}/{}", identity.0, config.client),
            shell,
            config,
        })
    }

    fn session(&self) -> (String, bool) {
        (self.session.clone(), false)
    }

    async fn execute(&mut self, access: Access, calls: &[Call]) -> Result<Execution, String> {
        let begin = match access {
            Access::Write => "BEGIN IMMEDIATE",
            Access::Read => "BEGIN DEFERRED",
        };
        let mut committing = false;
        let attempt = async {
            self.shell.execute(begin, &[]).await?;
            let results = self.perform(calls).await?;
            committing = true;
            self.shell.execute("COMMIT", &[]).await?;
            Ok(results)
        };
        let reason = match attempt.await {
            Ok(results) => return Ok(Execution::Committed(results)),
            Err(ShellError::Refused(reason)) => reason,
            Err(gone) => return Err(gone.to_string()),
        };
        // Refused if there is nothing to undo, which is as well.
        if let Err(gone @ ShellError::Gone(_)) = self.shell.execute("ROLLBACK", &[]).await {
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
        let report: Result<Vec<(String,)>, _> = self.shell.query(check, &[]).await;
        match report {
            Ok(report) => Ok(report.into_iter().map(|line| line.0).collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn close(self) -> Result<(), String> {
        self.shell.close().await.map_err(|error| error.to_string())
    }
}
