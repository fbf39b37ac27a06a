//! Rows as the shell's mode `insert` writes them: `INSERT INTO answer VALUES(1,2.5,'it''s',X'00ff',NULL);`.

use squall_protocol::sql::SqlValue;

/// What the mode is told to name the table.
pub(super) const TABLE: &str = "answer";

/// The values of a row. None for a line that is none.
pub(super) fn row(line: &[u8]) -> Option<Vec<SqlValue>> {
    let beginning = format!("INSERT INTO {TABLE} VALUES(");
    let mut parser = Parser(line.strip_prefix(beginning.as_bytes())?);
    let mut values = vec![parser.value()?];
    while parser.skip(b",").is_some() {
        values.push(parser.value()?);
    }
    (parser.0 == b");").then_some(values)
}

/// What is left of a line.
struct Parser<'l>(&'l [u8]);

impl Parser<'_> {
    fn skip(&mut self, what: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(what)?;
        Some(())
    }

    fn value(&mut self) -> Option<SqlValue> {
        if self.skip(b"NULL").is_some() {
            return Some(SqlValue::Null);
        }
        if self.skip(b"X").is_some() {
            let digits = String::from_utf8(self.quoted()?).ok()?;
            let blob = format!(r#"{{"blob":"{digits}"}}"#);
            return serde_json::from_str(&blob).ok();
        }
        if self.0.first()?.is_ascii_digit() || self.0[0] == b'-' {
            return self.number();
        }
        let text = self.text()?;
        Some(match String::from_utf8(text) {
            Ok(text) => SqlValue::Text(text),
            Err(error) => SqlValue::Blob(error.into_bytes()),
        })
    }

    fn number(&mut self) -> Option<SqlValue> {
        let length = self.0.iter().position(|byte| b",)".contains(byte))?;
        let (number, rest) = self.0.split_at(length);
        self.0 = rest;
        let number = std::str::from_utf8(number).ok()?;
        match number.contains(['.', 'e', 'E']) {
            true => number.parse().ok().map(SqlValue::Real),
            false => number.parse().ok().map(SqlValue::Integer),
        }
    }

    /// A text in quotes. The ends of lines in it are written as something else that is replaced, or, by newer
    /// shells, by their numbers.
    fn text(&mut self) -> Option<Vec<u8>> {
        if self.skip(b"replace(").is_some() {
            let text = self.text()?;
            self.skip(b",")?;
            let placeholder = self.quoted()?;
            self.skip(b",char(")?;
            let length = self.0.iter().position(|byte| *byte == b')')?;
            let (number, rest) = self.0.split_at(length);
            self.0 = rest;
            self.skip(b"))")?;
            let byte: u8 = std::str::from_utf8(number).ok()?.parse().ok()?;
            return Some(replaced(&text, &placeholder, byte));
        }
        if self.skip(b"unistr(").is_some() {
            let text = unescaped(&self.quoted()?)?;
            self.skip(b")")?;
            return Some(text);
        }
        self.quoted()
    }

    /// What is between quotes, of which those inside are doubled.
    fn quoted(&mut self) -> Option<Vec<u8>> {
        self.skip(b"'")?;
        let mut text = Vec::new();
        loop {
            let length = self.0.iter().position(|byte| *byte == b'\'')?;
            text.extend_from_slice(&self.0[..length]);
            self.0 = &self.0[length + 1..];
            if self.skip(b"'").is_none() {
                return Some(text);
            }
            text.push(b'\'');
        }
    }
}

/// The text with a byte in every place of the placeholder.
fn replaced(text: &[u8], placeholder: &[u8], byte: u8) -> Vec<u8> {
    let mut done = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(&first) = rest.first() {
        match rest.strip_prefix(placeholder) {
            Some(after) if !placeholder.is_empty() => {
                done.push(byte);
                rest = after;
            }
            _ => {
                done.push(first);
                rest = &rest[1..];
            }
        }
    }
    done
}

/// What SQLite's `unistr` makes of a text: `\\`, `\XXXX`, `\uXXXX`, `\+XXXXXX` and `\UXXXXXXXX` are characters.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut done = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        if first != b'\\' {
            done.push(first);
            rest = after;
            continue;
        }
        let (skipped, digits) = match after.first()? {
            b'\\' => {
                done.push(b'\\');
                rest = &after[1..];
                continue;
            }
            b'u' => (1, 4),
            b'U' => (1, 8),
            b'+' => (1, 6),
            _ => (0, 4),
        };
        let number = String::from_utf8_lossy(after.get(skipped..skipped + digits)?);
        let character = char::from_u32(u32::from_str_radix(&number, 16).ok()?)?;
        done.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &after[skipped + digits..];
    }
    Some(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_older_and_of_newer_shells_are_understood() {
        let text = |text: &str| SqlValue::Text(text.to_owned());
        for (line, expected) in [
            (
                "-7,1.0,1e999",
                vec![
                    SqlValue::Integer(-7),
                    SqlValue::Real(1.0),
                    SqlValue::Real(f64::INFINITY),
                ],
            ),
            (
                "NULL,X'00ff',''",
                vec![SqlValue::Null, SqlValue::Blob(vec![0, 255]), text("")],
            ),
            ("'it''s,);'", vec![text("it's,);")]),
            (
                r"replace(replace('(\n0)\r\n ','\r',char(13)),'(\n0)',char(10)),'x'",
                vec![text("\n\r\\n "), text("x")],
            ),
            (
                r"unistr('a\u000ab\\u \U0001f600\+00000d')",
                vec![text("a\nb\\u 😀\r")],
            ),
        ] {
            let line = format!("INSERT INTO answer VALUES({line});");
            assert_eq!(row(line.as_bytes()), Some(expected), "{line}");
        }
        for line in [
            "",
            "Parse error near line 3",
            "INSERT INTO answer VALUES();",
            "INSERT INTO answer VALUES(1,);",
            "INSERT INTO answer VALUES('a);",
            "INSERT INTO answer VALUES(1);x",
        ] {
            assert_eq!(row(line.as_bytes()), None, "{line}");
        }
    }
}
