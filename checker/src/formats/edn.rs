//! Values of EDN, the notation in which Jepsen writes its histories, and of JSON, which is close
//! enough to be read into the same.
//!
//! Of EDN everything is read that a history can contain: nil, booleans, integers, other numbers,
//! strings, characters, symbols, keywords, lists, vectors, sets, maps, tagged values (the tag is
//! dropped), comments and discarded values.

use super::FormatError;
use super::lines::Cursor;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Nil,
    Boolean(bool),
    Integer(i64),
    /// A keyword (without its colon), a string, a symbol, a character, or a number that is not an
    /// integer of 64 bits, as it was written.
    Text(String),
    /// A list, a vector or a set.
    List(Vec<Value>),
    /// Keys and values in their order.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// The value of a key in a map.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Value::Map(entries) = self else {
            return None;
        };
        let mut entries = entries.iter();
        entries.find_map(|(name, value)| (name.as_text() == Some(key)).then_some(value))
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(values) => Some(values),
            _ => None,
        }
    }
}

/// Values may be nested this deep.
const DEPTH: u32 = 64;
const NESTED: &str = "values nested at most 64 deep";

/// Skips what has no meaning, before [`next`].
pub(super) fn space(cursor: &mut Cursor) -> Result<(), FormatError> {
    skip(cursor, DEPTH)
}

/// Reads the value that begins here.
pub(super) fn next(cursor: &mut Cursor) -> Result<Value, FormatError> {
    value(cursor, DEPTH)
}

/// Skips space, commas, comments and discarded values. (JSON's colons are skipped where a value of a
/// map is expected.)
fn skip(cursor: &mut Cursor, depth: u32) -> Result<(), FormatError> {
    loop {
        match cursor.peek() {
            Some(b' ' | b'\t' | b'\n' | b'\r' | b',') => {
                cursor.next();
            }
            Some(b';') => {
                while cursor.peek().is_some_and(|byte| byte != b'\n') {
                    cursor.next();
                }
            }
            Some(b'#') if cursor.peek_second() == Some(b'_') => {
                let Some(depth) = depth.checked_sub(1) else {
                    return Err(cursor.malformed(NESTED));
                };
                cursor.next();
                cursor.next();
                skip(cursor, depth)?;
                value(cursor, depth)?;
            }
            _ => return Ok(()),
        }
    }
}

fn value(cursor: &mut Cursor, depth: u32) -> Result<Value, FormatError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(cursor.malformed(NESTED));
    };
    match cursor.peek() {
        Some(b'{') => map(cursor, depth),
        Some(b'[') => list(cursor, b']', depth),
        Some(b'(') => list(cursor, b')', depth),
        Some(b'#') => {
            cursor.next();
            if cursor.peek() == Some(b'{') {
                return list(cursor, b'}', depth);
            }
            // A tag, and the value it belongs to.
            word(cursor)?;
            skip(cursor, depth)?;
            value(cursor, depth)
        }
        Some(b'"') => string(cursor),
        Some(b'\\') => {
            cursor.next();
            word(cursor).map(Value::Text)
        }
        Some(b':') => {
            cursor.next();
            word(cursor).map(Value::Text)
        }
        Some(_) => {
            let word = word(cursor)?;
            Ok(match word.as_str() {
                "nil" | "null" => Value::Nil,
                "true" => Value::Boolean(true),
                "false" => Value::Boolean(false),
                _ => match word.trim_end_matches('N').parse() {
                    Ok(number) => Value::Integer(number),
                    Err(_) => Value::Text(word),
                },
            })
        }
        None => Err(cursor.malformed("a value")),
    }
}

fn list(cursor: &mut Cursor, end: u8, depth: u32) -> Result<Value, FormatError> {
    cursor.next();
    let mut values = Vec::new();
    loop {
        skip(cursor, depth)?;
        if cursor.take(end) {
            return Ok(Value::List(values));
        }
        if cursor.peek().is_none() {
            return Err(cursor.malformed("the end of a list"));
        }
        values.push(value(cursor, depth)?);
    }
}

fn map(cursor: &mut Cursor, depth: u32) -> Result<Value, FormatError> {
    cursor.next();
    let mut entries = Vec::new();
    loop {
        skip(cursor, depth)?;
        if cursor.take(b'}') {
            return Ok(Value::Map(entries));
        }
        if cursor.peek().is_none() {
            return Err(cursor.malformed("the end of a map"));
        }
        let key = value(cursor, depth)?;
        skip(cursor, depth)?;
        if cursor.peek() == Some(b':') && is_separator(cursor) {
            cursor.next();
        }
        skip(cursor, depth)?;
        entries.push((key, value(cursor, depth)?));
    }
}

/// Whether the colon that comes next is JSON's separator, and not the beginning of a keyword. The
/// keywords `:null`, `:true` and `:false` do not occur in histories.
fn is_separator(cursor: &Cursor) -> bool {
    let value = &cursor.rest()[1..];
    let words = [&b"null"[..], b"true", b"false"];
    matches!(
        value.first(),
        Some(b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'[' | b'{' | b'-' | b'0'..=b'9')
    ) || words.iter().any(|word| value.starts_with(word))
}

fn string(cursor: &mut Cursor) -> Result<Value, FormatError> {
    const EXPECTED: &str = "the end of a string";
    cursor.next();
    let mut bytes = Vec::new();
    loop {
        match cursor.next() {
            None => return Err(cursor.malformed(EXPECTED)),
            Some(b'"') => break,
            // As it was written, which is enough to tell strings apart.
            Some(b'\\') => {
                bytes.push(b'\\');
                bytes.extend(cursor.next());
            }
            Some(byte) => bytes.push(byte),
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Value::Text(text)),
        Err(_) => Err(cursor.malformed("a string in UTF-8")),
    }
}

fn word(cursor: &mut Cursor) -> Result<String, FormatError> {
    let mut bytes = Vec::new();
    while let Some(byte) = cursor.peek()
        && !byte.is_ascii_whitespace()
        && !b",;\"()[]{}".contains(&byte)
    {
        bytes.push(byte);
        cursor.next();
    }
    if bytes.is_empty() {
        return Err(cursor.malformed("a value"));
    }
    String::from_utf8(bytes).map_err(|_| cursor.malformed("text in UTF-8"))
}
