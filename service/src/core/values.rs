//! PostgreSQL's values as PowerSync sends them.
//!
//! The types are those that PowerSync maps to something else than text; all others are texts just as
//! PostgreSQL prints them. Arrays stay in PostgreSQL's notation here.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::source::{Cell, Relation, Row};

/// The object ids of built-in types are fixed (`pg_type.dat`).
mod type_oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT4: u32 = 23;
    pub const OID: u32 = 26;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const DATE: u32 = 1082;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
}

/// A row that cannot be written as JSON.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    #[error("a row of {table} has {cells} values for {columns} columns")]
    Width {
        table: String,
        cells: usize,
        columns: usize,
    },
    #[error("the value of {table}.{column} was not sent, and the row before is not known")]
    Missing { table: String, column: String },
}

/// The row as a JSON object with the columns in their order. Binary columns (`bytea`) are left out.
/// `before` is the row's JSON before an update, for the values that were not sent again.
pub fn row_to_json(
    relation: &Relation,
    row: &Row,
    before: Option<&str>,
) -> Result<String, RowError> {
    if row.len() != relation.columns.len() {
        return Err(RowError::Width {
            table: relation.name.clone(),
            cells: row.len(),
            columns: relation.columns.len(),
        });
    }
    let before: BTreeMap<String, &RawValue> = match before {
        Some(before) if row.contains(&Cell::Unchanged) => {
            serde_json::from_str(before).unwrap_or_default()
        }
        _ => BTreeMap::new(),
    };
    let mut json = String::from("{");
    for (column, cell) in relation.columns.iter().zip(row) {
        if column.type_oid == type_oid::BYTEA {
            continue;
        }
        if json.len() > 1 {
            json.push(',');
        }
        push_string(&mut json, &column.name);
        json.push(':');
        match cell {
            Cell::Null => json.push_str("null"),
            Cell::Text(text) => push_value(&mut json, column.type_oid, text),
            Cell::Unchanged => match before.get(&column.name) {
                Some(value) => json.push_str(value.get()),
                None => {
                    return Err(RowError::Missing {
                        table: relation.name.clone(),
                        column: column.name.clone(),
                    });
                }
            },
        }
    }
    json.push('}');
    Ok(json)
}

/// The row's `id` as text: empty if there is none. `before` is the row's id before an update.
pub fn object_id(relation: &Relation, row: &Row, before: Option<&str>) -> String {
    let position = relation
        .columns
        .iter()
        .position(|column| column.name == "id");
    match position.and_then(|position| row.get(position)) {
        Some(Cell::Text(text)) => text.clone(),
        Some(Cell::Unchanged) => before.unwrap_or_default().to_owned(),
        Some(Cell::Null) | None => String::new(),
    }
}

/// The row's identity: a JSON array of the identifying columns' texts. None if one of them was not
/// sent.
pub fn row_identity(identity: &[usize], row: &Row) -> Option<String> {
    let mut json = String::from("[");
    for (index, column) in identity.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        match row.get(*column)? {
            Cell::Null => json.push_str("null"),
            Cell::Text(text) => push_string(&mut json, text),
            Cell::Unchanged => return None,
        }
    }
    json.push(']');
    Some(json)
}

fn push_string(json: &mut String, text: &str) {
    // Writing a string as JSON into memory cannot fail.
    json.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn push_value(json: &mut String, type_oid: u32, text: &str) {
    match type_oid {
        type_oid::BOOL => json.push(if text == "t" { '1' } else { '0' }),
        type_oid::INT2 | type_oid::INT4 | type_oid::INT8 | type_oid::OID => json.push_str(text),
        type_oid::FLOAT4 | type_oid::FLOAT8 => push_float(json, text),
        type_oid::DATE => push_string(
            json,
            match text {
                "infinity" => "9999-12-31",
                "-infinity" => "0000-01-01",
                date => date,
            },
        ),
        type_oid::TIMESTAMP => push_string(json, &finite_time(text)),
        type_oid::TIMESTAMPTZ => {
            // The session's time zone is UTC.
            let time = finite_time(text);
            push_string(
                json,
                &format!("{}Z", time.strip_suffix("+00").unwrap_or(&time)),
            );
        }
        _ => push_string(json, text),
    }
}

fn finite_time(text: &str) -> String {
    match text {
        "infinity" => "9999-12-31 23:59:59".into(),
        "-infinity" => "0000-01-01 00:00:00".into(),
        time => time.into(),
    }
}

/// PostgreSQL prints floats as JSON would, but for integral ones, which a reader must still take for
/// floats, and for those that JSON does not have, which become null.
fn push_float(json: &mut String, text: &str) {
    if text.parse::<f64>().is_ok_and(f64::is_finite) {
        json.push_str(text);
        if text
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_digit())
        {
            json.push_str(".0");
        }
    } else {
        json.push_str("null");
    }
}
