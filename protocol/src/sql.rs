//! SQL as it travels between coordinator and client: statements are numbered, values are JSON.

use std::fmt;

use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strum::IntoStaticStr;

/// The SQL that a client's database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// Its name, as in messages.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The kind of database transaction that calls are done in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// SQLite's `BEGIN DEFERRED` on a connection that refuses to write, PostgreSQL's `READ ONLY`.
    Read,
    /// SQLite's `BEGIN IMMEDIATE`, PostgreSQL's `READ WRITE`.
    Write,
}

/// A statement of the run with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Call {
    /// The statement's index in [`crate::contract::ClientConfig::statements`].
    pub statement: usize,
    /// The values of `$1`, `$2` and so on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<SqlValue>,
}

/// The rows that a call answered, in the order in which they came; each is the values of its columns.
pub type SqlRows = Vec<Vec<SqlValue>>;

/// A value of SQLite's five types. In JSON: `null`; a number without a fraction or exponent for an integer
/// from -(2^53 - 1) to 2^53 - 1, other integers as `{"integer": "9223372036854775807"}`, since a language
/// may have no other numbers than doubles; a number for a real, so that a whole real may come as an
/// integer; `{"real": "inf"}`, `"-inf"` or `"NaN"` for those that JSON does not have; a string; and
/// `{"blob": "00ff"}` in hexadecimal digits.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// The greatest integer of which every double up to it is exact.
const EXACT: i64 = (1 << 53) - 1;

impl From<i64> for SqlValue {
    fn from(value: i64) -> Self {
        SqlValue::Integer(value)
    }
}

impl From<u32> for SqlValue {
    fn from(value: u32) -> Self {
        SqlValue::Integer(value.into())
    }
}

impl From<&str> for SqlValue {
    fn from(value: &str) -> Self {
        SqlValue::Text(value.to_owned())
    }
}

impl From<String> for SqlValue {
    fn from(value: String) -> Self {
        SqlValue::Text(value)
    }
}

impl<T: Into<SqlValue>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(SqlValue::Null, Into::into)
    }
}

impl fmt::Display for SqlValue {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            SqlValue::Null => out.write_str("null"),
            SqlValue::Integer(value) => write!(out, "{value}"),
            SqlValue::Real(value) => write!(out, "{value:?}"),
            SqlValue::Text(value) => write!(out, "{value:?}"),
            SqlValue::Blob(bytes) => write!(out, "x'{}'", hexadecimal(bytes)),
        }
    }
}

/// Two digits for each byte.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Serialize for SqlValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tagged = |serializer: S, name: &str, text: &str| {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(name, text)?;
            map.end()
        };
        match self {
            SqlValue::Null => serializer.serialize_unit(),
            SqlValue::Integer(value) if value.abs_diff(0) <= EXACT as u64 => {
                serializer.serialize_i64(*value)
            }
            SqlValue::Integer(value) => tagged(serializer, "integer", &value.to_string()),
            SqlValue::Real(value) if value.is_finite() => serializer.serialize_f64(*value),
            SqlValue::Real(value) => tagged(serializer, "real", &value.to_string()),
            SqlValue::Text(value) => serializer.serialize_str(value),
            SqlValue::Blob(bytes) => tagged(serializer, "blob", &hexadecimal(bytes)),
        }
    }
}

impl<'de> Deserialize<'de> for SqlValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for SqlValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SqlValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let tagged = |name: &str, pattern: &str| {
            serde_json::json!({
                "type": "object",
                "properties": { name: { "type": "string", "pattern": pattern } },
                "required": [name],
                "additionalProperties": false,
            })
        };
        schemars::json_schema!({
            "description": "A value of SQLite's five types.",
            "anyOf": [
                { "type": ["null", "number", "string"] },
                tagged("integer", "^-?[0-9]{1,19}$"),
                tagged("real", "^(inf|-inf|NaN)$"),
                tagged("blob", "^([0-9a-fA-F]{2})*$"),
            ],
        })
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = SqlValue;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(
            r#"null, a number, a string, {"integer": "DIGITS"}, {"real": "inf"} or {"blob": "HEXADECIMAL DIGITS"}"#,
        )
    }

    fn visit_unit<E>(self) -> Result<SqlValue, E> {
        Ok(SqlValue::Null)
    }

    fn visit_i64<E>(self, value: i64) -> Result<SqlValue, E> {
        Ok(SqlValue::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<SqlValue, E> {
        let integer = i64::try_from(value);
        let integer = integer.map_err(|_| E::custom(format!("{value} is no 64-bit integer")))?;
        Ok(SqlValue::Integer(integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<SqlValue, E> {
        Ok(SqlValue::Real(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<SqlValue, E> {
        Ok(SqlValue::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<SqlValue, E> {
        Ok(SqlValue::Text(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SqlValue, A::Error> {
        let Some((tag, text)) = map.next_entry::<String, String>()? else {
            return Err(A::Error::invalid_length(0, &self));
        };
        let bad = || A::Error::invalid_value(Unexpected::Other(&format!("{tag} {text:?}")), &self);
        let value = match &tag[..] {
            "integer" => SqlValue::Integer(text.parse().map_err(|_| bad())?),
            "real" => SqlValue::Real(text.parse().map_err(|_| bad())?),
            "blob" => SqlValue::Blob(bytes(&text).ok_or_else(bad)?),
            _ => return Err(bad()),
        };
        match map.next_key::<String>()? {
            None => Ok(value),
            Some(key) => Err(A::Error::custom(format!("{key} beside {tag}"))),
        }
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_travel_as_they_are() {
        for (value, text) in [
            (SqlValue::Null, "null"),
            (SqlValue::Integer(-7), "-7"),
            (SqlValue::Integer(EXACT), "9007199254740991"),
            (
                SqlValue::Integer(EXACT + 1),
                r#"{"integer":"9007199254740992"}"#,
            ),
            (
                SqlValue::Integer(i64::MIN),
                r#"{"integer":"-9223372036854775808"}"#,
            ),
            (SqlValue::Real(2.5), "2.5"),
            (SqlValue::Real(-1e300), "-1e+300"),
            (SqlValue::Real(f64::NEG_INFINITY), r#"{"real":"-inf"}"#),
            (SqlValue::Text("it's\0".to_owned()), r#""it's\u0000""#),
            (SqlValue::Blob(vec![0, 255]), r#"{"blob":"00ff"}"#),
        ] {
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
            assert_eq!(serde_json::from_str::<SqlValue>(text).unwrap(), value);
        }
    }

    #[test]
    fn what_is_no_value_is_an_error() {
        for text in [
            "true",
            "[1]",
            "{}",
            r#"{"integer":7}"#,
            r#"{"integer":"7.5"}"#,
            r#"{"blob":"0"}"#,
            r#"{"blob":"0g"}"#,
            r#"{"blob":"00","integer":"1"}"#,
            "9223372036854775808",
        ] {
            assert!(serde_json::from_str::<SqlValue>(text).is_err(), "{text}");
        }
    }
}
