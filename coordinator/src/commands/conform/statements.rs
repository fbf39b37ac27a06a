//! The statements of the checks, in both dialects, and their calls.
//!
//! They work on the table `payload` of the workload `ledger`, which the service and the backend know. Its
//! column `version` holds the number of the client that a check has, so that checks do not see each other's
//! rows.

use squall_protocol::plan::{PlanOptions, Workload};
use squall_protocol::sql::{Call, Dialect, SqlValue};

use crate::plan;

/// The texts; the functions below call them by their place.
pub(super) fn all(dialect: Dialect) -> Vec<String> {
    let echo = |postgres: &'static str| match dialect {
        Dialect::Sqlite => "SELECT $1",
        Dialect::Postgres => postgres,
    };
    let by_dialect = |sqlite: &'static str, postgres: &'static str| match dialect {
        Dialect::Sqlite => sqlite,
        Dialect::Postgres => postgres,
    };
    let statements = [
        "INSERT INTO payload (id, version, body) VALUES ($1, $2, $3)",
        by_dialect(
            "SELECT id, body FROM payload WHERE version = $1 ORDER BY id",
            "SELECT id, body FROM payload WHERE version = $1 ORDER BY id COLLATE \"C\"",
        ),
        "UPDATE payload SET body = $1 WHERE id = $2 RETURNING id, body",
        "DELETE FROM payload WHERE id = $1",
        // Each fails, in its own way.
        by_dialect("SELECT abs(-9223372036854775807 - 1)", "SELECT 1 / 0"),
        "SELEC 1",
        echo("SELECT $1::bigint"),
        echo("SELECT $1::double precision"),
        echo("SELECT $1::text"),
        echo("SELECT $1::bytea"),
        by_dialect("SELECT $1, $2, $1", "SELECT $1::text, $2::text, $1::text"),
        "WITH RECURSIVE numbers(n) AS (SELECT CAST(1 AS bigint) UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000) \
         SELECT n FROM numbers",
        by_dialect(
            "SELECT 1",
            "SELECT set_config('squall.conform', 'was here', false)",
        ),
        by_dialect("SELECT 1", "SELECT current_setting('squall.conform', true)"),
    ];
    statements.map(str::to_owned).into()
}

/// What the tables belong to.
pub(super) fn plan_options() -> PlanOptions {
    PlanOptions {
        payload: true,
        ..plan::default_options(Workload::Ledger, 1)
    }
}

fn call(statement: usize, parameters: impl Into<Vec<SqlValue>>) -> Call {
    Call {
        statement,
        parameters: parameters.into(),
    }
}

/// Inserts a row of that client.
pub(super) fn insert(id: &str, client: i64, body: impl Into<SqlValue>) -> Call {
    call(0, [id.into(), client.into(), body.into()])
}

/// Id and body of every row of that client, ordered by id.
pub(super) fn rows_of(client: i64) -> Call {
    call(1, [client.into()])
}

/// Changes a row, and answers its id and body.
pub(super) fn change(id: &str, body: &str) -> Call {
    call(2, [body.into(), id.into()])
}

pub(super) fn delete(id: &str) -> Call {
    call(3, [id.into()])
}

/// Fails when it is done.
pub(super) fn failing() -> Call {
    call(4, [])
}

/// Is no SQL.
pub(super) fn nonsense() -> Call {
    call(5, [])
}

/// Answers its parameter.
pub(super) fn echo(value: SqlValue) -> Call {
    let statement = match value {
        SqlValue::Integer(_) => 6,
        SqlValue::Real(_) => 7,
        SqlValue::Text(_) | SqlValue::Null => 8,
        SqlValue::Blob(_) => 9,
    };
    call(statement, [value])
}

/// Answers the first parameter, the second, and the first again.
pub(super) fn one_twice(first: &str, second: &str) -> Call {
    call(10, [first.into(), second.into()])
}

/// The numbers from 1 to 100,000, a row each.
pub(super) fn numbers() -> Call {
    call(11, [])
}

/// Leaves a mark on a connection to PostgreSQL.
pub(super) fn mark_connection() -> Call {
    call(12, [])
}

/// Reads that mark.
pub(super) fn connection_mark() -> Call {
    call(13, [])
}

/// A statement that the run does not have.
pub(super) fn unknown() -> Call {
    call(1_000, [])
}
