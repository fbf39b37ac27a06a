//! Calls on PostgreSQL, in a transaction of the caller's. What SQLite does not have is answered by what it
//! has: a boolean as 0 or 1.
//!
//! What is deliberately not here: connections, BEGIN and COMMIT, retries; what the statements are about.

use bytes::BytesMut;
use squall_protocol::sql::{Call, SqlRows, SqlValue};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{GenericClient, Row, Statement};

/// Why calls were not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL refused, or is not there.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// A call names a statement that the run does not have.
    #[error("there is no statement {statement} among {statements}")]
    UnknownStatement { statement: usize, statements: usize },
    /// A parameter is none that the statement takes.
    #[error("${number} can not be {value}, as it is of the type {kind}, in: {sql}")]
    Parameter {
        number: usize,
        value: SqlValue,
        kind: Type,
        sql: String,
    },
    /// A statement has not as many parameters as the call.
    #[error("{given} parameters for {expected}, in: {sql}")]
    Parameters {
        given: usize,
        expected: usize,
        sql: String,
    },
    /// A column is of a type that SQLite does not have.
    #[error("the column {column} is of the type {kind}: cast it to one that SQLite has, in: {sql}")]
    Column {
        column: String,
        kind: Type,
        sql: String,
    },
}

/// The statements of a run on one connection, each of which is prepared when it is first called.
pub struct Statements {
    sql: Vec<String>,
    prepared: Vec<Option<Statement>>,
}

impl Statements {
    pub fn new(sql: Vec<String>) -> Statements {
        Statements {
            prepared: vec![None; sql.len()],
            sql,
        }
    }

    /// Does the calls one after the other, and answers the rows of each.
    ///
    /// # Errors
    ///
    /// Of the first call that can not be done; then those before it must be undone.
    pub async fn perform(
        &mut self,
        postgres: &impl GenericClient,
        calls: &[Call],
    ) -> Result<Vec<SqlRows>, Error> {
        let mut results = Vec::with_capacity(calls.len());
        for call in calls {
            results.push(self.rows(postgres, call).await?);
        }
        Ok(results)
    }

    async fn rows(&mut self, postgres: &impl GenericClient, call: &Call) -> Result<SqlRows, Error> {
        let unknown = Error::UnknownStatement {
            statement: call.statement,
            statements: self.sql.len(),
        };
        let sql = self.sql.get(call.statement).ok_or(unknown)?;
        let statement = match &self.prepared[call.statement] {
            Some(statement) => statement.clone(),
            None => {
                let statement = postgres.prepare(sql).await?;
                self.prepared[call.statement].insert(statement).clone()
            }
        };
        let parameters = parameters(&statement, sql, &call.parameters)?;
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters
            .iter()
            .map(|parameter| &**parameter as &(dyn ToSql + Sync))
            .collect();
        let rows = postgres.query(&statement, &parameters).await?;
        rows.iter().map(|row| values(row, sql)).collect()
    }
}

/// The null of every type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(
        &self,
        _: &Type,
        _: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

type Parameter<'v> = Box<dyn ToSql + Sync + Send + 'v>;

fn parameters<'v>(
    statement: &Statement,
    sql: &str,
    values: &'v [SqlValue],
) -> Result<Vec<Parameter<'v>>, Error> {
    let kinds = statement.params();
    if kinds.len() != values.len() {
        return Err(Error::Parameters {
            given: values.len(),
            expected: kinds.len(),
            sql: sql.to_owned(),
        });
    }
    let parameters = values.iter().zip(kinds).enumerate();
    parameters
        .map(|(index, (value, kind))| {
            parameter(value, kind).ok_or_else(|| Error::Parameter {
                number: index + 1,
                value: value.clone(),
                kind: kind.clone(),
                sql: sql.to_owned(),
            })
        })
        .collect()
}

/// The value as that type has it.
fn parameter<'v>(value: &'v SqlValue, kind: &Type) -> Option<Parameter<'v>> {
    Some(match (value, kind) {
        (SqlValue::Null, _) => Box::new(Null) as Parameter,
        (SqlValue::Integer(value), &Type::INT8) => Box::new(*value),
        (SqlValue::Integer(value), &Type::INT4) => Box::new(i32::try_from(*value).ok()?),
        (SqlValue::Integer(value), &Type::INT2) => Box::new(i16::try_from(*value).ok()?),
        (SqlValue::Integer(value), &Type::FLOAT8) => Box::new(*value as f64),
        (SqlValue::Integer(value @ 0..=1), &Type::BOOL) => Box::new(*value == 1),
        (SqlValue::Real(value), &Type::FLOAT8) => Box::new(*value),
        (SqlValue::Real(value), &Type::FLOAT4) => Box::new(*value as f32),
        (SqlValue::Text(value), &Type::TEXT | &Type::VARCHAR | &Type::BPCHAR) => {
            Box::new(value.as_str())
        }
        (SqlValue::Blob(value), &Type::BYTEA) => Box::new(value.as_slice()),
        _ => return None,
    })
}

fn values(row: &Row, sql: &str) -> Result<Vec<SqlValue>, Error> {
    (0..row.len())
        .map(|column| value(row, column, sql))
        .collect()
}

fn value(row: &Row, column: usize, sql: &str) -> Result<SqlValue, Error> {
    let of = &row.columns()[column];
    Ok(match *of.type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(column)?.into(),
        Type::INT4 => row.try_get::<_, Option<i32>>(column)?.map(i64::from).into(),
        Type::INT2 => row.try_get::<_, Option<i16>>(column)?.map(i64::from).into(),
        Type::BOOL => row
            .try_get::<_, Option<bool>>(column)?
            .map(i64::from)
            .into(),
        Type::FLOAT8 => real(row.try_get(column)?),
        Type::FLOAT4 => real(row.try_get::<_, Option<f32>>(column)?.map(f64::from)),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => {
            row.try_get::<_, Option<String>>(column)?.into()
        }
        Type::BYTEA => match row.try_get::<_, Option<Vec<u8>>>(column)? {
            Some(bytes) => SqlValue::Blob(bytes),
            None => SqlValue::Null,
        },
        Type::VOID => SqlValue::Null,
        _ => {
            return Err(Error::Column {
                column: of.name().to_owned(),
                kind: of.type_().clone(),
                sql: sql.to_owned(),
            });
        }
    })
}

fn real(value: Option<f64>) -> SqlValue {
    value.map_or(SqlValue::Null, SqlValue::Real)
}
