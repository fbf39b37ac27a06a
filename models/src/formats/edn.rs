//! Values of EDN, the notation in which Jepsen writes its histories, and of JSON, which is close
//! enough to be read into the same.
//!
//! Of EDN everything is read that Clojure prints: nil, booleans, numbers of every kind, strings,
//! characters, symbols, keywords, lists, vectors, sets, maps (with a namespace before them too), tagged
//! values and records, regular expressions, comments, discarded values and metadata (which is dropped).
//!
//! A value is displayed in one way, whatever its notation was, and two values are displayed alike if and
//! only if Clojure's `=` holds of them; but for NaN, which equals itself here.

use std::fmt;

use super::FormatError;
use super::lines::Cursor;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Nil,
    Boolean(bool),
    Integer(i64),
    /// An integer of more than 64 bits, a ratio, or a decimal number (with its `M`), as it was written.
    Number(String),
    /// A floating point number, as it is displayed.
    Real(String),
    Text(String),
    /// Without its colon.
    Keyword(String),
    /// A symbol, or anything else that is a word.
    Symbol(String),
    Character(char),
    /// A list or a vector: Clojure takes them for equal.
    List(Vec<Value>),
    Set(Vec<Value>),
    /// Keys and values in their order.
    Map(Vec<(Value, Value)>),
    /// A tag and the value it belongs to; the name of a record and its fields.
    Tagged(String, Box<Value>),
}

impl Value {
    /// The value of a key in a map; the key is a keyword, or a string, as in JSON.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Value::Map(entries) = self.untagged() else {
            return None;
        };
        let mut entries = entries.iter();
        entries.find_map(|(name, value)| (name.as_name() == Some(key)).then_some(value))
    }

    /// The value without its tag.
    pub fn untagged(&self) -> &Value {
        match self {
            Value::Tagged(_, value) => value.untagged(),
            value => value,
        }
    }

    /// The name that a keyword, a string or a symbol is.
    pub fn as_name(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Keyword(text) | Value::Symbol(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_list(&self) -> Option<&[Value]> {
        match self.untagged() {
            Value::List(values) => Some(values),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Sets and maps have no order, so that they get one.
        let sorted = |mut parts: Vec<String>| {
            parts.sort();
            parts.join(" ")
        };
        match self {
            Value::Nil => f.write_str("nil"),
            Value::Boolean(boolean) => write!(f, "{boolean}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Number(word) | Value::Real(word) | Value::Symbol(word) => f.write_str(word),
            // JSON's escapes are EDN's too.
            Value::Text(text) => f.write_str(&serde_json::Value::from(text.as_str()).to_string()),
            Value::Keyword(word) => write!(f, ":{word}"),
            Value::Character(character) => match NAMED.iter().find(|named| named.1 == *character) {
                Some((name, _)) => write!(f, "\\{name}"),
                None => write!(f, "\\{character}"),
            },
            Value::List(values) => {
                let parts: Vec<String> = values.iter().map(Value::to_string).collect();
                write!(f, "[{}]", parts.join(" "))
            }
            Value::Set(values) => {
                let parts = values.iter().map(Value::to_string).collect();
                write!(f, "#{{{}}}", sorted(parts))
            }
            Value::Map(entries) => {
                let parts = entries.iter().map(|(key, value)| format!("{key} {value}"));
                write!(f, "{{{}}}", sorted(parts.collect()))
            }
            Value::Tagged(tag, value) => write!(f, "#{tag} {value}"),
        }
    }
}

/// The names of characters.
const NAMED: [(&str, char); 6] = [
    ("newline", '\n'),
    ("space", ' '),
    ("tab", '\t'),
    ("return", '\r'),
    ("formfeed", '\u{c}'),
    ("backspace", '\u{8}'),
];

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

/// What an entry of a map is about.
pub(super) enum Entry {
    /// A key; its value comes next.
    Key(Value),
    End,
}

/// Begins a map, and with it [`entry`] after [`entry`].
pub(super) fn enter_map(cursor: &mut Cursor) {
    cursor.next();
}

/// The next key of the map that we are in, up to where its value begins; or the end of the map.
pub(super) fn entry(cursor: &mut Cursor) -> Result<Entry, FormatError> {
    key(cursor, DEPTH - 1)
}

/// Drops a tag, if one begins here that does not belong to a set or a word.
pub(super) fn skip_tag(cursor: &mut Cursor) -> Result<(), FormatError> {
    if cursor.peek() == Some(b'#')
        && cursor
            .peek_second()
            .is_some_and(|byte| byte.is_ascii_alphabetic())
    {
        cursor.next();
        word(cursor)?;
        space(cursor)?;
    }
    Ok(())
}

/// Skips space, commas, comments, discarded values and metadata. (JSON's colons are skipped where a value
/// of a map is expected.)
fn skip(cursor: &mut Cursor, depth: u32) -> Result<(), FormatError> {
    loop {
        let dropped = match (cursor.peek(), cursor.peek_second()) {
            (Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | 0x0b | 0x0c), _) => {
                cursor.next();
                continue;
            }
            (Some(b';'), _) => {
                while cursor.peek().is_some_and(|byte| byte != b'\n') {
                    cursor.next();
                }
                continue;
            }
            (Some(b'#'), Some(b'_')) => 2,
            (Some(b'#'), Some(b'^')) => 2,
            (Some(b'^'), _) => 1,
            _ => return Ok(()),
        };
        let Some(depth) = depth.checked_sub(1) else {
            return Err(cursor.malformed(NESTED));
        };
        for _ in 0..dropped {
            cursor.next();
        }
        skip(cursor, depth)?;
        value(cursor, depth)?;
    }
}

fn value(cursor: &mut Cursor, depth: u32) -> Result<Value, FormatError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(cursor.malformed(NESTED));
    };
    match cursor.peek() {
        Some(b'{') => map(cursor, depth),
        Some(b'[') => list(cursor, b']', depth).map(Value::List),
        Some(b'(') => list(cursor, b')', depth).map(Value::List),
        Some(b'#') => {
            cursor.next();
            dispatch(cursor, depth)
        }
        Some(b'"') => string(cursor).map(Value::Text),
        Some(b'\\') => {
            cursor.next();
            character(cursor)
        }
        Some(b':') => {
            cursor.next();
            word(cursor).map(Value::Keyword)
        }
        Some(_) => word(cursor).map(number_or_symbol),
        None => Err(cursor.malformed("a value")),
    }
}

/// What follows a `#`.
fn dispatch(cursor: &mut Cursor, depth: u32) -> Result<Value, FormatError> {
    match cursor.peek() {
        Some(b'{') => list(cursor, b'}', depth).map(Value::Set),
        Some(b'"') => {
            let pattern = string_as_written(cursor)?;
            Ok(Value::Tagged(String::new(), Box::new(Value::Text(pattern))))
        }
        // A number that is none, or infinite.
        Some(b'#') => {
            cursor.next();
            word(cursor).map(|word| Value::Real(format!("##{word}")))
        }
        Some(b'\'') => word(cursor).map(|word| Value::Symbol(format!("#{word}"))),
        // A namespace of the map's keys.
        Some(b':') => {
            cursor.next();
            let namespace = word(cursor)?;
            skip(cursor, depth)?;
            let mut inner = value(cursor, depth)?;
            if let Value::Map(entries) = &mut inner {
                for (key, _) in entries {
                    if let Value::Keyword(name) = key {
                        *name = match name.strip_prefix("_/") {
                            Some(without) => without.to_owned(),
                            None if name.contains('/') => continue,
                            None => format!("{}/{name}", namespace.trim_start_matches(':')),
                        };
                    }
                }
            }
            Ok(inner)
        }
        _ => {
            let tag = word(cursor)?;
            skip(cursor, depth)?;
            Ok(Value::Tagged(tag, Box::new(value(cursor, depth)?)))
        }
    }
}

fn list(cursor: &mut Cursor, end: u8, depth: u32) -> Result<Vec<Value>, FormatError> {
    cursor.next();
    let mut values = Vec::new();
    loop {
        skip(cursor, depth)?;
        if cursor.take(end) {
            return Ok(values);
        }
        if cursor.peek().is_none() {
            return Err(cursor.malformed("the end of a list"));
        }
        values.push(value(cursor, depth)?);
    }
}

fn map(cursor: &mut Cursor, depth: u32) -> Result<Value, FormatError> {
    enter_map(cursor);
    let mut entries = Vec::new();
    while let Entry::Key(key) = key(cursor, depth)? {
        entries.push((key, value(cursor, depth)?));
    }
    Ok(Value::Map(entries))
}

fn key(cursor: &mut Cursor, depth: u32) -> Result<Entry, FormatError> {
    skip(cursor, depth)?;
    if cursor.take(b'}') {
        return Ok(Entry::End);
    }
    if cursor.peek().is_none() {
        return Err(cursor.malformed("the end of a map"));
    }
    let key = value(cursor, depth)?;
    // JSON's keys are strings, with a colon right after them or by itself; a keyword stands apart.
    if let Value::Text(_) = key {
        let adjacent = cursor.take(b':');
        skip(cursor, depth)?;
        let space = |byte: &u8| byte.is_ascii_whitespace() || b"\"[{".contains(byte);
        if !adjacent && cursor.peek() == Some(b':') && cursor.rest()[1..].first().is_some_and(space)
        {
            cursor.next();
        }
    }
    skip(cursor, depth)?;
    Ok(Entry::Key(key))
}

fn string(cursor: &mut Cursor) -> Result<String, FormatError> {
    const ESCAPE: &str = "an escape such as \\n, \\\" or \\u0041 before here";
    cursor.next();
    let mut bytes = Vec::new();
    loop {
        match cursor.next() {
            None => return Err(cursor.malformed("the end of a string")),
            Some(b'"') => break,
            Some(b'\\') => {
                let escaped = match cursor.next() {
                    None => return Err(cursor.malformed("the end of a string")),
                    Some(b'n') => '\n',
                    Some(b't') => '\t',
                    Some(b'r') => '\r',
                    Some(b'b') => '\u{8}',
                    Some(b'f') => '\u{c}',
                    Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
                    Some(b'u') => unicode(cursor)?,
                    Some(first @ b'0'..=b'7') => octal(cursor, first),
                    Some(_) => return Err(cursor.malformed(ESCAPE)),
                };
                let mut utf8 = [0; 4];
                bytes.extend_from_slice(escaped.encode_utf8(&mut utf8).as_bytes());
            }
            Some(byte) => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| cursor.malformed("a string in UTF-8 before here"))
}

/// A string in which a backslash stands for itself, but keeps a quote from being the end.
fn string_as_written(cursor: &mut Cursor) -> Result<String, FormatError> {
    cursor.next();
    let mut bytes = Vec::new();
    loop {
        match cursor.next() {
            None => return Err(cursor.malformed("the end of a string")),
            Some(b'"') => break,
            Some(b'\\') => {
                bytes.push(b'\\');
                bytes.extend(cursor.next());
            }
            Some(byte) => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| cursor.malformed("a string in UTF-8 before here"))
}

/// What `\u` stands for: four hexadecimal digits; characters beyond them are two of these.
fn unicode(cursor: &mut Cursor) -> Result<char, FormatError> {
    const PAIR: &str = "two halves of a character, such as \\ud83d\\ude00, before here";
    let high = hexadecimal(cursor)?;
    if let Some(character) = char::from_u32(high) {
        return Ok(character);
    }
    if !(0xd800..0xdc00).contains(&high) || !cursor.take_text(b"\\u") {
        return Err(cursor.malformed(PAIR));
    }
    let low = hexadecimal(cursor)?;
    if !(0xdc00..0xe000).contains(&low) {
        return Err(cursor.malformed(PAIR));
    }
    let character = char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
    character.ok_or_else(|| cursor.malformed(PAIR))
}

fn hexadecimal(cursor: &mut Cursor) -> Result<u32, FormatError> {
    let mut number = 0;
    for _ in 0..4 {
        let digit = cursor.next().and_then(|byte| char::from(byte).to_digit(16));
        let digit = digit.ok_or_else(|| cursor.malformed("four hexadecimal digits after \\u"))?;
        number = 16 * number + digit;
    }
    Ok(number)
}

/// At most three octal digits, of which the first was read.
fn octal(cursor: &mut Cursor, first: u8) -> char {
    let mut number = u32::from(first - b'0');
    for _ in 0..2 {
        let Some(digit) = cursor.peek().filter(|byte| (b'0'..=b'7').contains(byte)) else {
            break;
        };
        number = 8 * number + u32::from(digit - b'0');
        cursor.next();
    }
    char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// What follows a backslash: any one character, or a name.
fn character(cursor: &mut Cursor) -> Result<Value, FormatError> {
    const EXPECTED: &str = "a character such as \\a, \\newline or \\u0041";
    let first = cursor.peek().ok_or_else(|| cursor.malformed(EXPECTED))?;
    if !first.is_ascii_alphanumeric() {
        let length = match first {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        let bytes = cursor.rest().get(..length);
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let character = text.and_then(|text| text.chars().next());
        let character = character.ok_or_else(|| cursor.malformed(EXPECTED))?;
        (0..length).for_each(|_| {
            cursor.next();
        });
        return Ok(Value::Character(character));
    }
    let begin = cursor.clone();
    let word = word(cursor)?;
    let mut characters = word.chars();
    let named = match (characters.next(), characters.as_str()) {
        (Some(one), "") => Some(one),
        (Some('u'), digits) if digits.len() == 4 => {
            let code = u32::from_str_radix(digits, 16).ok();
            code.and_then(char::from_u32)
        }
        (Some('o'), digits) => {
            let code = u32::from_str_radix(digits, 8).ok();
            code.and_then(char::from_u32)
        }
        _ => None,
    };
    let by_name = || NAMED.iter().find(|named| named.0 == word).map(|n| n.1);
    let character = named.or_else(by_name);
    let character = character.ok_or_else(|| begin.malformed(EXPECTED))?;
    Ok(Value::Character(character))
}

fn number_or_symbol(word: String) -> Value {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(&word);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return match word.as_str() {
            "nil" | "null" => Value::Nil,
            "true" => Value::Boolean(true),
            "false" => Value::Boolean(false),
            _ => Value::Symbol(word),
        };
    }
    let whole = word.strip_suffix('N').unwrap_or(&word);
    if let Ok(number) = whole.parse() {
        return Value::Integer(number);
    }
    let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // One notation for one number: no plus, no zeros before it.
        let sign = if whole.starts_with('-') { "-" } else { "" };
        return Value::Number(format!("{sign}{}", digits.trim_start_matches('0')));
    }
    match word.parse::<f64>() {
        // Zero has no sign.
        Ok(number) if number.is_finite() => Value::Real(format!("{:?}", number + 0.0)),
        _ => Value::Number(word),
    }
}

fn word(cursor: &mut Cursor) -> Result<String, FormatError> {
    let mut bytes = Vec::new();
    while let Some(byte) = cursor.peek()
        && !byte.is_ascii_whitespace()
        && byte != 0x0b
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let mut cursor = Cursor::new(text.as_bytes(), 1);
        space(&mut cursor).map_err(|error| error.to_string())?;
        let value = next(&mut cursor).map_err(|error| error.to_string())?;
        space(&mut cursor).map_err(|error| error.to_string())?;
        assert_eq!(cursor.rest(), b"", "{text}");
        Ok(value.to_string())
    }

    #[test]
    fn what_clojure_prints_is_read() {
        for (text, displayed) in [
            ("##NaN", "##NaN"),
            ("[##Inf ##-Inf]", "[##Inf ##-Inf]"),
            (
                r"[\newline \space \a \( \) \\ \; \u0041 \é \, \[]",
                r"[\newline \space \a \( \) \\ \; \A \é \, \[]",
            ),
            ("(1/2 1e3M 12N -7 +5)", "[1/2 1e3M 12 -7 5]"),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
            (
                "00123456789012345678901234567890N",
                "123456789012345678901234567890",
            ),
            ("[1.0 1.00 1e0 -0.0 0.0]", "[1.0 1.0 1.0 0.0 0.0]"),
            ("#inst \"2026-01-01\"", "#inst \"2026-01-01\""),
            ("#uuid \"a\"", "#uuid \"a\""),
            (
                "#jepsen.history.Op{:type :ok}",
                "#jepsen.history.Op {:type :ok}",
            ),
            (
                "#:jepsen{:a 1, :b/c 2, :_/d 3}",
                "{:b/c 2 :d 3 :jepsen/a 1}",
            ),
            ("^{:line 1} [x]", "[x]"),
            ("^:static ^String x", "x"),
            ("#{3 1 2}", "#{1 2 3}"),
            ("clojure.core/+", "clojure.core/+"),
            (
                "[:a/b #'user/x #\"a\\\"b\" #object[a.B 0x1f \"x\"]]",
                "[:a/b #'user/x # \"a\\\\\\\"b\" #object [a.B 0x1f \"x\"]]",
            ),
            ("#_ #_ 1 2 ; comment\n 3", "3"),
            (
                r#""\n\t\\\"\u00e9\ud83d\ude00\/\101""#,
                "\"\\n\\t\\\\\\\"é😀/A\"",
            ),
            (
                r#"{"a":1,"b" : "c", "d":null}"#,
                "{\"a\" 1 \"b\" \"c\" \"d\" nil}",
            ),
            ("{\"a\" :b, :c :1}", "{\"a\" :b :c :1}"),
            ("{:b 1 :a 2}", "{:a 2 :b 1}"),
            ("{:a :true}", "{:a :true}"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(displayed), "{text}");
        }
        for text in [
            r#""\ud800""#,
            r#""\q""#,
            r"\nosuch",
            "\"",
            "#",
            "\\",
            "^",
            "{:a}",
            "[",
            "#{1",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_displayed_alike_if_and_only_if_they_are_equal() {
        let different = [
            "1",
            "\"1\"",
            ":1",
            "\\1",
            "1.0",
            "1.0M",
            "x",
            "\"x\"",
            ":x",
            "[1]",
            "#{1}",
            "{1 1}",
            "nil",
            "\"nil\"",
            "true",
            "-1",
            "1/2",
            "#inst \"1\"",
        ];
        for (place, one) in different.iter().enumerate() {
            for other in &different[..place] {
                assert_ne!(read(one), read(other));
            }
        }
        for (one, other) in [
            ("1", "1N"),
            ("[1 2]", "(1, 2)"),
            ("#{1 2}", "#{2 1}"),
            ("{:a 1 :b 2}", "{:b 2, :a 1}"),
            ("\"\\u0041\"", "\"A\""),
            ("null", "nil"),
        ] {
            assert_eq!(read(one), read(other));
        }
    }
}
