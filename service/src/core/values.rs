//! PostgreSQL's values as PowerSync sends them (in the form of its first edition, with a blank
//! between date and time).
//!
//! The types are those that PowerSync maps to something else than text; all others are texts just as
//! PostgreSQL prints them: domains, enums, composites, ranges and arrays of those too.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::source::{Cell, Relation, Row};

/// The object ids of built-in types are fixed (`pg_type.dat`).
pub mod type_oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT4: u32 = 23;
    pub const OID: u32 = 26;
    pub const JSON: u32 = 114;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const DATE: u32 = 1082;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const PG_LSN: u32 = 3220;
    pub const JSONB: u32 = 3802;
}

/// The element type of the arrays that PowerSync sends as JSON; none for other types. Text stands
/// for every element type that is sent as text.
fn element_type(array: u32) -> Option<u32> {
    const TEXT: u32 = 25;
    Some(match array {
        1000 => type_oid::BOOL,
        1001 => type_oid::BYTEA,
        1005 => type_oid::INT2,
        1007 => type_oid::INT4,
        1016 => type_oid::INT8,
        1028 => type_oid::OID,
        199 => type_oid::JSON,
        3807 => type_oid::JSONB,
        1021 => type_oid::FLOAT4,
        1022 => type_oid::FLOAT8,
        1182 => type_oid::DATE,
        1115 => type_oid::TIMESTAMP,
        1185 => type_oid::TIMESTAMPTZ,
        3221 => type_oid::PG_LSN,
        // char, name, text, xid, xml, geometric types (a box has another delimiter), money,
        // addresses, bpchar, varchar, times, intervals, bits, numeric, uuid, and for searching.
        1002 | 1003 | 1009 | 1010 | 1011 | 1012 | 271 | 143 | 1017 | 1018 | 1019 | 1027 | 629
        | 719 | 791 | 1040 | 1041 | 651 | 775 | 1034 | 1014 | 1015 | 1183 | 1187 | 1270 | 1561
        | 1563 | 1231 | 2951 | 3643 | 3645 | 4073 => TEXT,
        _ => return None,
    })
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
    #[error("a value of {table}.{column} is not UTF-8")]
    NotText { table: String, column: String },
}

/// Whether all values of the row are text.
pub fn check_text(relation: &Relation, row: &Row) -> Result<(), RowError> {
    let mut cells = relation.columns.iter().zip(row);
    match cells.find(|(_, cell)| **cell == Cell::NotText) {
        Some((column, _)) => Err(RowError::NotText {
            table: relation.name.clone(),
            column: column.name.clone(),
        }),
        None => Ok(()),
    }
}

/// The row as a JSON object with the columns in their order. Binary values (`bytea`) are left out.
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
        if column.type_oid == type_oid::BYTEA && *cell != Cell::Null {
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
            Cell::NotText => {
                return Err(RowError::NotText {
                    table: relation.name.clone(),
                    column: column.name.clone(),
                });
            }
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

/// The row's `id` as clients know it, as text: empty if there is none. `before` is the row's id
/// before an update.
pub fn object_id(relation: &Relation, row: &Row, before: Option<&str>) -> String {
    let mut cells = relation.columns.iter().zip(row);
    match cells.find(|(column, _)| column.name == "id") {
        Some((column, Cell::Text(text))) => {
            let mut json = String::new();
            push_value(&mut json, column.type_oid, text);
            match serde_json::from_str(&json) {
                Ok(serde_json::Value::String(text)) => text,
                Ok(serde_json::Value::Null) => String::new(),
                // A number as it was printed: its text is all that clients get to see.
                _ => json,
            }
        }
        Some((_, Cell::Unchanged)) => before.unwrap_or_default().to_owned(),
        Some((_, Cell::Null | Cell::NotText)) | None => String::new(),
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
            Cell::Unchanged | Cell::NotText => return None,
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
        type_oid::TIMESTAMP => push_or_null(json, timestamp(text)),
        type_oid::TIMESTAMPTZ => push_or_null(json, timestamptz(text).as_deref()),
        type_oid::PG_LSN => match text.split_once('/') {
            // Padded, so that they can be compared as text.
            Some((high, low)) => push_string(json, &format!("{high:0>8}/{low:0>8}")),
            None => push_string(json, text),
        },
        _ => match element_type(type_oid) {
            Some(element) => push_array(json, element, text),
            None => push_string(json, text),
        },
    }
}

fn push_or_null(json: &mut String, text: Option<&str>) {
    match text {
        Some(text) => push_string(json, text),
        None => json.push_str("null"),
    }
}

/// A time without a zone; none before year 1, which PowerSync has no text for.
fn timestamp(text: &str) -> Option<&str> {
    match text {
        "infinity" => Some("9999-12-31 23:59:59"),
        "-infinity" => Some("0000-01-01 00:00:00"),
        time => (!time.ends_with(" BC")).then_some(time),
    }
}

/// A time in UTC, which the session's time zone is; none outside the years 1 to 9999, which
/// PowerSync has no text for.
fn timestamptz(text: &str) -> Option<String> {
    let time = timestamp(text)?;
    let year_has_four_digits = time.as_bytes().get(4) == Some(&b'-');
    year_has_four_digits.then(|| format!("{}Z", time.strip_suffix("+00").unwrap_or(time)))
}

/// An array as a JSON array inside a JSON string.
fn push_array(json: &mut String, element: u32, text: &str) {
    match array_to_json(element, text) {
        Some(array) => push_string(json, &array),
        None => push_string(json, text),
    }
}

/// PostgreSQL's `{1,NULL,"a b"}`, with `[0:2]=` before it if the indexes begin elsewhere than at 1;
/// none for what is no array in that notation.
fn array_to_json(element: u32, text: &str) -> Option<String> {
    let text = match text.strip_prefix('[') {
        Some(rest) => rest.split_once('=')?.1,
        None => text,
    };
    let mut json = String::with_capacity(text.len() + 2);
    let mut characters = text.chars().peekable();
    let mut depth = 0_usize;
    while let Some(character) = characters.next() {
        match character {
            '{' => {
                depth += 1;
                json.push('[');
            }
            '}' => {
                depth = depth.checked_sub(1)?;
                json.push(']');
            }
            ',' => json.push(','),
            '"' => {
                let mut value = String::new();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => value.push(characters.next()?),
                        character => value.push(character),
                    }
                }
                push_element(&mut json, element, &value);
            }
            first => {
                let mut value = String::from(first);
                while let Some(next) = characters.next_if(|next| !matches!(next, ',' | '}')) {
                    value.push(next);
                }
                match value.as_str() {
                    "NULL" => json.push_str("null"),
                    value => push_element(&mut json, element, value),
                }
            }
        }
    }
    (depth == 0).then_some(json)
}

fn push_element(json: &mut String, element: u32, text: &str) {
    match element {
        // JSON inside JSON stays what it is; binary values have no text.
        type_oid::JSON | type_oid::JSONB => json.push_str(text),
        type_oid::BYTEA => json.push_str("null"),
        _ => push_value(json, element, text),
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
