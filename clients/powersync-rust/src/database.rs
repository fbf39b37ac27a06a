//! The SDK's database: its schema, and transactions on its connections.

use std::path::Path;

use powersync::env::PowerSyncEnvironment;
use powersync::error::PowerSyncError;
use powersync::schema::{Column, Index, IndexedColumn, Schema, Table, TrackPreviousValues};
use powersync::{ConnectionPool, PowerSyncDatabase};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql, TransactionBehavior};
use squall_protocol::contract::{Execution, TableSchema};
use squall_protocol::sql::{Access, Call, SqlRows, SqlValue};

/// Whether the queue is uploaded and its write checkpoint reached, which no call of the SDK says.
const UPLOADS: &str = "
    SELECT (SELECT count(*) FROM ps_crud), NOT EXISTS (
      SELECT 1 FROM ps_kv target LEFT JOIN ps_kv applied ON applied.key = 'last_applied_checkpoint_request_id'
      WHERE target.key = 'target_checkpoint_request_id'
        AND ifnull(CAST(applied.value AS INTEGER) < CAST(target.value AS INTEGER), 1)
    )";

/// Opens the SDK's database, or makes it. Its requests have no deadlines of ours.
pub async fn open(
    file: &Path,
    tables: &[TableSchema],
) -> Result<PowerSyncDatabase, PowerSyncError> {
    PowerSyncEnvironment::powersync_auto_extension()?;
    let pool = ConnectionPool::open(file)?;
    let runtime = PowerSyncEnvironment::tokio();
    let environment = PowerSyncEnvironment::custom(reqwest::Client::new(), pool, runtime);
    let schema = Schema {
        tables: tables.iter().map(table).collect(),
        raw_tables: Vec::new(),
    };
    let database = PowerSyncDatabase::new(environment, schema);
    // The first connection that is asked for makes the tables.
    drop(database.writer().await?);
    Ok(database)
}

fn table(schema: &TableSchema) -> Table {
    let columns = schema.columns.iter();
    let column = |name: &str, kind: &str| match kind {
        "INTEGER" => Column::integer(name.to_owned()),
        "REAL" => Column::real(name.to_owned()),
        _ => Column::text(name.to_owned()),
    };
    let columns = columns.map(|it| column(&it.name, &it.kind)).collect();
    let kind = |name: &str| {
        let mut columns = schema.columns.iter();
        columns
            .find(|column| column.name == name)
            .map_or("TEXT", |column| &column.kind)
    };
    Table::create(schema.name.clone(), columns, |table| {
        if !schema.index.is_empty() {
            let indexed = schema.index.iter().map(|name| IndexedColumn {
                name: name.clone().into(),
                ascending: true,
                type_name: kind(name).to_owned().into(),
            });
            table.indexes = vec![Index {
                name: "squall".into(),
                columns: indexed.collect(),
            }];
        }
        table.options.track_previous_values = schema.track_previous.then(TrackPreviousValues::all);
    })
}

/// The client id of the database.
pub async fn client_id(database: &PowerSyncDatabase) -> Result<String, PowerSyncError> {
    let reader = database.reader().await?;
    Ok(reader.query_row("SELECT powersync_client_id()", [], |row| row.get(0))?)
}

/// The rows of the upload queue, and whether the write checkpoint of the last upload was reached.
pub async fn uploads(database: &PowerSyncDatabase) -> Result<(u64, bool), PowerSyncError> {
    let reader = database.reader().await?;
    let read = |row: &rusqlite::Row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?));
    Ok(reader.query_row(UPLOADS, [], read)?)
}

/// The rows of `PRAGMA integrity_check`.
pub async fn integrity(database: &PowerSyncDatabase) -> Result<Vec<String>, PowerSyncError> {
    let reader = database.reader().await?;
    let mut statement = reader.prepare("PRAGMA integrity_check")?;
    let report = statement.query_map([], |row| row.get(0))?;
    Ok(report.collect::<rusqlite::Result<_>>()?)
}

/// Does the calls in one transaction: on the SDK's writer, or on one of its readers, which refuse to write.
pub async fn execute(
    database: &PowerSyncDatabase,
    statements: &[String],
    access: Access,
    calls: &[Call],
) -> Execution {
    let (connection, behavior) = match access {
        Access::Write => (database.writer().await, TransactionBehavior::Immediate),
        Access::Read => (database.reader().await, TransactionBehavior::Deferred),
    };
    let mut connection = match connection {
        Ok(connection) => connection,
        Err(error) => return Execution::Failed(error.to_string()),
    };
    let transaction = match connection.transaction_with_behavior(behavior) {
        Ok(transaction) => transaction,
        Err(error) => return Execution::Failed(error.to_string()),
    };
    // What is dropped is rolled back.
    let results = match perform(&transaction, statements, calls) {
        Ok(results) => results,
        Err(error) => return Execution::Failed(error),
    };
    match transaction.commit() {
        Ok(()) => Execution::Committed(results),
        Err(error) if access == Access::Read => Execution::Failed(error.to_string()),
        Err(error) => Execution::Unknown(error.to_string()),
    }
}

fn perform(
    connection: &Connection,
    statements: &[String],
    calls: &[Call],
) -> Result<Vec<SqlRows>, String> {
    let perform = |call: &Call| {
        let sql = statements.get(call.statement);
        let sql = sql.ok_or_else(|| format!("there is no statement {}", call.statement))?;
        rows(connection, sql, &call.parameters).map_err(|error| format!("{sql}: {error}"))
    };
    calls.iter().map(perform).collect()
}

fn rows(connection: &Connection, sql: &str, parameters: &[SqlValue]) -> rusqlite::Result<SqlRows> {
    let mut statement = connection.prepare_cached(sql)?;
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
