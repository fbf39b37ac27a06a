//! Calls on SQLite: some statements, by their numbers, in one transaction.
//!
//! What is deliberately not here: what the statements are about, and whether their rows make sense.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql, TransactionBehavior};
use squall_protocol::contract::Access;
use squall_protocol::sql::{Call, SqlRows, SqlValue};

use crate::error::{ClientError, Doing};

/// How many statements a connection keeps prepared.
const PREPARED: usize = 64;

/// Does the calls in one SQLite transaction: `BEGIN IMMEDIATE`, or `BEGIN DEFERRED` on a connection that
/// refuses to write. Answers the rows of each.
///
/// After every error but [`ClientError::CommitUnknown`] nothing of it certainly happened.
pub fn execute(
    connection: &mut Connection,
    statements: &[String],
    access: Access,
    calls: &[Call],
) -> Result<Vec<SqlRows>, ClientError> {
    connection.set_prepared_statement_cache_capacity(PREPARED);
    match access {
        Access::Write => within(
            connection,
            TransactionBehavior::Immediate,
            statements,
            calls,
        ),
        Access::Read => {
            let query_only = |connection: &Connection, on: bool| {
                connection
                    .pragma_update(None, "query_only", on)
                    .doing("switching between reading and writing")
            };
            query_only(connection, true)?;
            let results = within(connection, TransactionBehavior::Deferred, statements, calls);
            query_only(connection, false)?;
            results
        }
    }
}

/// What [`execute`] does between BEGIN and COMMIT.
pub fn perform(
    sqlite: &Connection,
    statements: &[String],
    calls: &[Call],
) -> Result<Vec<SqlRows>, ClientError> {
    let perform = |call: &Call| {
        let unknown = ClientError::UnknownStatement {
            statement: call.statement,
            statements: statements.len(),
        };
        let sql = statements.get(call.statement).ok_or(unknown)?;
        rows(sqlite, sql, &call.parameters).map_err(|source| ClientError::Statement {
            sql: sql.clone(),
            source,
        })
    };
    calls.iter().map(perform).collect()
}

fn within(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    statements: &[String],
    calls: &[Call],
) -> Result<Vec<SqlRows>, ClientError> {
    let sqlite = connection
        .transaction_with_behavior(behavior)
        .doing("beginning the transaction")?;
    let results = perform(&sqlite, statements, calls)?;
    sqlite.commit().map_err(ClientError::CommitUnknown)?;
    Ok(results)
}

/// The rows of one statement.
pub(crate) fn rows(
    sqlite: &Connection,
    sql: &str,
    parameters: &[SqlValue],
) -> rusqlite::Result<SqlRows> {
    let mut statement = sqlite.prepare_cached(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(parameters.iter().map(Bound)))?;
    let mut found = SqlRows::new();
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get_ref(column).map(value));
        found.push(values.collect::<rusqlite::Result<_>>()?);
    }
    Ok(found)
}

/// A parameter.
struct Bound<'v>(&'v SqlValue);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            SqlValue::Null => ToSqlOutput::Owned(Value::Null),
            SqlValue::Integer(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            SqlValue::Real(value) => ToSqlOutput::Owned(Value::Real(*value)),
            SqlValue::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            SqlValue::Blob(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
        })
    }
}

/// A value of a row. A text that is no UTF-8, which SQLite does not refuse, is answered as its bytes.
fn value(value: ValueRef) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(value) => SqlValue::Integer(value),
        ValueRef::Real(value) => SqlValue::Real(value),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => SqlValue::Text(text.to_owned()),
            Err(_) => SqlValue::Blob(bytes.to_vec()),
        },
        ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
    }
}
