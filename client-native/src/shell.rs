//! The `sqlite3` command-line shell as a database: SQL goes to its standard input, rows come from its
//! standard output.
//!
//! The shell writes every row as an INSERT statement, its one form that tells all types apart, on a line of
//! its own; as its input is no terminal, it flushes them before it reads the next line. Its standard error is
//! the same pipe as its standard output, so that everything comes in the order in which it happened. After
//! every statement it is told to print a line of its own: what comes before that line is the statement's
//! result, and what is there and is no row is its error.
//!
//! A text ends at a NUL for the shell, so texts with one are refused.

mod values;

use std::path::Path;
use std::process::Stdio;

use squall_protocol::sql::{SqlRows, SqlValue, hexadecimal};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Split};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};

/// A shell with a database file open.
pub(crate) struct Shell {
    input: ChildStdin,
    /// Its lines, which need not be UTF-8.
    output: Split<BufReader<pipe::Receiver>>,
    /// How many statements there were: the end of each has a mark of its own.
    statements: u64,
    /// Killed when this is dropped.
    child: Child,
}

/// Why a statement has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShellError {
    /// SQLite's refusal, in the shell's words.
    #[error("{0}")]
    Refused(String),
    /// The shell itself is at its end.
    #[error("the sqlite3 shell: {0}")]
    Gone(String),
}

impl Shell {
    /// Starts that program on that file, which is made if it does not exist. A statement waits for
    /// another process's lock for that long.
    pub(crate) async fn start(
        program: &Path,
        file: &Path,
        busy_timeout_ms: u64,
    ) -> Result<Shell, ShellError> {
        let failed = |error: std::io::Error| {
            ShellError::Gone(format!(
                "{} could not be started: {error}; install it (Debian: apt-get install sqlite3)",
                program.display()
            ))
        };
        let (receiver, sender) = std::io::pipe().map_err(failed)?;
        let mut child = Command::new(program)
            // A person's ~/.sqliterc must not change anything.
            .args(["-batch", "-init", "/dev/null"])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(sender.try_clone().map_err(failed)?)
            .stderr(sender)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let input = child.stdin.take().expect("standard input is piped");
        let output = pipe::Receiver::from_owned_fd(receiver.into()).map_err(failed)?;
        let mut shell = Shell {
            input,
            output: BufReader::new(output).split(b'\n'),
            statements: 0,
            child,
        };
        let table = values::TABLE;
        let settings = format!(".bail off\n.mode insert {table}\n.timeout {busy_timeout_ms}\n");
        shell.send(&settings).await.map_err(failed)?;
        Ok(shell)
    }

    /// Does a statement and answers its rows.
    pub(crate) async fn query(
        &mut self,
        sql: &str,
        parameters: &[SqlValue],
    ) -> Result<SqlRows, ShellError> {
        let sql = with_parameters(sql, parameters).map_err(ShellError::Refused)?;
        let lines = self.result_of(&sql).await?;
        let rows: Option<SqlRows> = lines.iter().map(|line| values::row(line)).collect();
        rows.ok_or_else(|| {
            let errors = lines.iter().filter(|line| values::row(line).is_none());
            let errors: Vec<_> = errors.map(|line| String::from_utf8_lossy(line)).collect();
            ShellError::Refused(errors.join("\n"))
        })
    }

    /// Does a statement that has no rows.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), ShellError> {
        match &self.query(sql, &[]).await?[..] {
            [] => Ok(()),
            rows => Err(ShellError::Refused(format!("unexpected rows: {rows:?}"))),
        }
    }

    /// The lines that the shell prints because of a statement.
    async fn result_of(&mut self, sql: &str) -> Result<Vec<Vec<u8>>, ShellError> {
        self.statements += 1;
        let mark = format!("squall-statement-{}", self.statements);
        if let Err(error) = self.send(&format!("{sql};\n.print {mark}\n")).await {
            return Err(self.gone(&error.to_string()).await);
        }
        let mut lines = Vec::new();
        loop {
            match self.output.next_segment().await {
                Ok(Some(line)) if line == mark.as_bytes() => return Ok(lines),
                Ok(Some(line)) => lines.push(line),
                Ok(None) => {
                    let said = String::from_utf8_lossy(&lines.concat()).into_owned();
                    return Err(self.gone(&said).await);
                }
                Err(error) => return Err(ShellError::Gone(error.to_string())),
            }
        }
    }

    async fn send(&mut self, text: &str) -> std::io::Result<()> {
        self.input.write_all(text.as_bytes()).await
    }

    async fn gone(&mut self, said: &str) -> ShellError {
        let status = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        ShellError::Gone(format!("it ended by itself ({status}) {said}"))
    }

    /// Closes the database and waits for the shell's end.
    pub(crate) async fn close(self) -> Result<(), ShellError> {
        let Shell {
            input, mut child, ..
        } = self;
        // At the end of its input the shell closes the database.
        drop(input);
        let status = child.wait().await;
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(ShellError::Gone(format!("it ended with {status}"))),
            Err(error) => Err(ShellError::Gone(error.to_string())),
        }
    }
}

/// The version of that program; none if it does not say.
pub(crate) async fn version(program: &Path) -> Option<String> {
    let said = Command::new(program).arg("--version").output().await.ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    said.split_whitespace().next().map(str::to_owned)
}

/// The statement with its parameters `$1`, `$2`, … in their places. An error is why it cannot be done.
fn with_parameters(sql: &str, parameters: &[SqlValue]) -> Result<String, String> {
    let mut text = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = after.split_at(digits);
        let index = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let value = index.and_then(|index| parameters.get(index));
        let missing = || format!("there is no parameter ${number}, in: {sql}");
        text.push_str(&literal(value.ok_or_else(missing)?)?);
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

/// A value in SQLite's syntax.
fn literal(value: &SqlValue) -> Result<String, String> {
    Ok(match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Integer(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) if number.is_nan() => "NULL".to_owned(),
        // What is too large for a double is infinite.
        SqlValue::Real(number) if number.is_infinite() && *number > 0.0 => "9e999".to_owned(),
        SqlValue::Real(number) if number.is_infinite() => "-9e999".to_owned(),
        // Seventeen significant digits tell every real from its neighbours.
        SqlValue::Real(number) => format!("{number:.16e}"),
        SqlValue::Blob(bytes) => format!("x'{}'", hexadecimal(bytes)),
        SqlValue::Text(text) if text.contains('\0') => {
            return Err("the shell does not answer texts with a NUL as they are".to_owned());
        }
        // The shell reads lines.
        SqlValue::Text(text) if text.contains(|c: char| c.is_control()) => {
            format!("CAST(x'{}' AS TEXT)", hexadecimal(text.as_bytes()))
        }
        SqlValue::Text(text) => format!("'{}'", text.replace('\'', "''")),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn shell(file: &Path) -> Shell {
        Shell::start(Path::new("sqlite3"), file, 100).await.unwrap()
    }

    async fn read_back(shell: &mut Shell, value: &SqlValue) -> SqlValue {
        let rows = shell.query("SELECT 8, $1, 8, $1", std::slice::from_ref(value));
        let rows = rows.await.unwrap();
        let eight = SqlValue::Integer(8);
        assert_eq!(rows, [[eight.clone(), value.clone(), eight, value.clone()]]);
        rows[0][1].clone()
    }

    #[tokio::test]
    async fn every_value_comes_back_as_it_went() {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = shell(&folder.path().join("db")).await;
        let texts = [
            "",
            "plain",
            "it's",
            "'; DROP TABLE x; --",
            "$1 ?1 :a @b",
            "two\nlines\r\n.quit\n",
            "squall-statement-1",
            ".exit",
            "\\ \" {\"a\":[1]}",
            "\u{1}\u{7f}\u{85}\u{2028}",
            "Ελληνικά עברית 日本語 e\u{301} \u{feff}\u{fffd}\u{fffe}",
            "👩‍👩‍👧‍👦 𝒳 \u{10ffff}",
        ];
        let long = "x'\n".repeat(50_000);
        let texts = texts.into_iter().chain([&long[..]]).map(str::to_owned);
        let numbers = [0, -1, i64::MAX, i64::MIN, 1 << 53, (1 << 53) + 1];
        let values = texts
            .map(SqlValue::Text)
            .chain(numbers.map(SqlValue::Integer))
            .chain([0.1, 1.0, -2.5e300, 1e17, 5e-324].map(SqlValue::Real))
            .chain([f64::INFINITY, f64::NEG_INFINITY].map(SqlValue::Real))
            .chain([b"".as_slice(), b"\0\xff'", b"text"].map(|bytes| SqlValue::Blob(bytes.into())))
            .chain([SqlValue::Null]);
        for value in values {
            assert_eq!(read_back(&mut shell, &value).await, value);
        }
        let text = SqlValue::Text("a\0b".to_owned());
        let refused = shell.query("SELECT $1", &[text]).await;
        assert!(
            matches!(refused, Err(ShellError::Refused(_))),
            "{refused:?}"
        );
        let not_utf8 = shell.query("SELECT CAST(x'ff0a27' AS TEXT)", &[]).await;
        assert_eq!(not_utf8.unwrap(), [[SqlValue::Blob(b"\xff\n'".to_vec())]]);
        shell.close().await.unwrap();
    }

    #[tokio::test]
    async fn an_error_is_told_and_the_shell_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = shell(&folder.path().join("db")).await;
        for bad in [
            "SELEC 1",
            "SELECT missing",
            "SELECT abs(-9223372036854775807 - 1)",
        ] {
            let refused = shell.query(bad, &[]).await;
            assert!(matches!(refused, Err(ShellError::Refused(text)) if text.contains("rror")));
        }
        let none = shell.query("SELECT 1 WHERE 0", &[]).await.unwrap();
        assert!(none.is_empty());
        let seven = SqlValue::Integer(7);
        assert_eq!(read_back(&mut shell, &seven).await, seven);
    }

    #[tokio::test]
    async fn another_ones_lock_is_an_error_after_the_timeout() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("db");
        let (mut one, mut two) = (shell(&file).await, shell(&file).await);
        one.execute("BEGIN IMMEDIATE").await.unwrap();
        let refused = two.execute("BEGIN IMMEDIATE").await.unwrap_err();
        assert!(refused.to_string().contains("locked"), "{refused}");
        one.execute("ROLLBACK").await.unwrap();
        two.execute("BEGIN IMMEDIATE").await.unwrap();
    }

    #[tokio::test]
    async fn a_shell_that_dies_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = shell(&folder.path().join("db")).await;
        shell.child.start_kill().unwrap();
        let gone = tokio::time::timeout(Duration::from_secs(60), shell.execute("SELECT 1"));
        let gone = gone.await.expect("its end is noticed");
        assert!(matches!(gone, Err(ShellError::Gone(_))), "{gone:?}");
    }
}
