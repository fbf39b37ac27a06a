//! Which format a history has: by the ending of its file's name where that says it, else by the structure
//! of its beginning. Comments, byte order marks and strings are told apart, and what is in them does not
//! count; nor does it matter how long they are.

use std::io;

use super::edn::{self, Entry, Value};
use super::input::{Input, UTF_8_MARK};
use super::lines::Cursor;
use super::{Format, FormatError, cobra, dbcop_bincode};

/// How much is read at once to see the format.
const STEP: u64 = 1 << 16;

impl Format {
    /// The format that a whole history looks like. None if it looks like no format. See [`Input::detect`].
    pub fn detect(history: &[u8]) -> Option<Format> {
        match detect(history, "", true) {
            Seen::Format(format) => Some(format),
            Seen::More | Seen::Nothing => None,
        }
    }
}

impl Input<'_> {
    /// The format, by the ending of the file's name if that says it, else by what the stream looks like.
    /// None if it looks like no format.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read.
    pub fn detect(&mut self, name: &str) -> io::Result<Option<Format>> {
        let mut ended = false;
        loop {
            match detect(&self.beginning, name, ended) {
                Seen::Format(format) => return Ok(Some(format)),
                Seen::Nothing => return Ok(None),
                // More each time, so that what is looked at again stays in proportion.
                Seen::More => {
                    let step = STEP.max(self.beginning.len() as u64);
                    ended = !self.look(step)?;
                }
            }
        }
    }
}

/// What is seen in a beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Format(Format),
    /// It could become several formats.
    More,
    /// It is of no format.
    Nothing,
}

/// Looks at the beginning of a history, which is all of it if it has `ended`. The name is that of its
/// file, empty if there is none.
fn detect(beginning: &[u8], name: &str, ended: bool) -> Seen {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let (_, ending) = name.rsplit_once('.').unwrap_or_default();
    match ending {
        "edn" => return Seen::Format(Format::Jepsen),
        "bincode" => return Seen::Format(Format::DbcopBincode),
        _ => {}
    }
    // What is not decided yet once everything was seen is decided by what it could be.
    match (structure(beginning), ended) {
        (Some(seen), _) => seen,
        (None, false) => Seen::More,
        (None, true) => match ending {
            "jsonl" => Seen::Format(Format::Squall),
            "json" => Seen::Format(Format::Jepsen),
            _ => match beginning.trim_ascii_start().first() {
                // A history that ends before it says anything.
                Some(b'[' | b'{' | b'(' | b'#') => Seen::Format(Format::Jepsen),
                _ => Seen::Nothing,
            },
        },
    }
}

/// None if more of it has to be seen.
fn structure(beginning: &[u8]) -> Option<Seen> {
    if cobra::looks_like(beginning) {
        return Some(Seen::Format(Format::Cobra));
    }
    if dbcop_bincode::looks_like(beginning) {
        return Some(Seen::Format(Format::DbcopBincode));
    }
    let mark = UTF_8_MARK;
    if beginning.len() < mark.len() && mark.starts_with(beginning) {
        return None;
    }
    let text = beginning.strip_prefix(mark).unwrap_or(beginning);
    let mut cursor = Cursor::new(text, 1);
    let mut lines_of_dashes = false;
    loop {
        while cursor.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            cursor.next();
        }
        match cursor.peek()? {
            // dbcop's comment.
            b'/' => {
                cursor.next();
                if cursor.peek()? != b'/' {
                    return Some(Seen::Nothing);
                }
                while cursor.peek()? != b'\n' {
                    cursor.next();
                }
            }
            b'=' => return Some(Seen::Format(Format::Awdit)),
            b'-' => {
                lines_of_dashes = true;
                cursor.next();
            }
            b'r' | b'w' => {
                cursor.next();
                return Some(match cursor.peek()? {
                    b'(' if !lines_of_dashes => Seen::Format(Format::Plume),
                    b' ' | b'\t' => Seen::Format(Format::Awdit),
                    _ => Seen::Nothing,
                });
            }
            b'[' => return list(&mut cursor, lines_of_dashes),
            // What cannot be read may only be cut.
            b'{' => return map(&mut cursor).ok().flatten(),
            b'(' | b'#' | b';' | b'^' => return Some(Seen::Format(Format::Jepsen)),
            // Binary formats are seen by their first fifty bytes.
            b'S' if beginning.len() < 10 => return None,
            _ if beginning.len() < 48 && beginning.contains(&0) => return None,
            _ => return Some(Seen::Nothing),
        }
    }
}

/// A bracket begins transactions of dbcop's text, a vector of Jepsen's operations, or dbcop's sessions in
/// JSON.
fn list(cursor: &mut Cursor, lines_of_dashes: bool) -> Option<Seen> {
    cursor.next();
    let dbcop = Some(Seen::Format(Format::DbcopText));
    loop {
        while cursor.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            cursor.next();
        }
        match cursor.peek()? {
            b'/' => {
                while cursor.peek()? != b'\n' {
                    cursor.next();
                }
            }
            b']' => {
                cursor.next();
                while cursor.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
                    cursor.next();
                }
                // An empty transaction; nothing but an empty list is a vector without operations.
                return match cursor.peek() {
                    None if !lines_of_dashes => None,
                    _ => dbcop,
                };
            }
            byte if byte.is_ascii_alphanumeric() || byte == b'_' => return dbcop,
            b'[' => return Some(Seen::Format(Format::DbcopJson)),
            // Whatever else it is, Jepsen's reader says what is wrong with it.
            _ => return Some(Seen::Format(Format::Jepsen)),
        }
    }
}

/// JSON's formats have different keys in their first map. The values of other keys are gone over.
fn map(cursor: &mut Cursor) -> Result<Option<Seen>, FormatError> {
    let mut other = Seen::Format(Format::Jepsen);
    edn::enter_map(cursor);
    while let Entry::Key(key) = edn::entry(cursor)? {
        let Value::Text(key) = key else {
            return Ok(Some(Seen::Format(Format::Jepsen)));
        };
        match key.as_str() {
            "squall_history" => return Ok(Some(Seen::Format(Format::Squall))),
            "type" | "history" => return Ok(Some(Seen::Format(Format::Jepsen))),
            "data" if is_sessions(cursor) => return Ok(Some(Seen::Format(Format::DbcopJson))),
            "data" if cursor.peek() == Some(b'[') => other = Seen::Format(Format::DbcopJson),
            _ => {}
        }
        edn::next(cursor)?;
    }
    Ok(Some(other))
}

/// Whether dbcop's sessions come next: a list of lists of maps with events.
fn is_sessions(cursor: &Cursor) -> bool {
    let mut rest = cursor
        .rest()
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace());
    let mut brackets = 0;
    loop {
        match rest.next() {
            Some(b'[') => brackets += 1,
            Some(b']') => brackets -= 1,
            Some(b',') => {}
            Some(b'{') if brackets == 2 => break,
            _ => return false,
        }
    }
    let key: Vec<u8> = rest.take(10).copied().collect();
    key.starts_with(b"\"events\"") || key.starts_with(b"\"committed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Seen {
        detect(text.as_bytes(), "", true)
    }

    #[test]
    fn by_structure() {
        use Format::*;
        let long = ";== licence := line\n".repeat(1_000);
        let long = format!("{long}{{:type :ok}}");
        let base64 = format!(r#"{{"node":"{}==","type":"ok"}}"#, "A".repeat(100_000));
        let nemesis = format!(
            r#"{{"process":"nemesis","value":{{"events":[{}1]}},"type":"info"}}"#,
            "1,".repeat(50_000)
        );
        for (text, format) in [
            ("w(1,1,0,0)", Plume),
            ("\u{feff}\r\n r(1,1,0,0)", Plume),
            ("w 0 1", Awdit),
            ("---\nr\t0 1", Awdit),
            ("=====\nw 0 1", Awdit),
            ("[x:=1]", DbcopText),
            (
                "// a comment: {:type :ok} \"squall_history\"\n[x==1]",
                DbcopText,
            ),
            ("---\n[x==?]", DbcopText),
            ("[] [x:=1]", DbcopText),
            ("[]!", DbcopText),
            ("[ // a comment\n]\n---\n", DbcopText),
            ("[7==1]", DbcopText),
            (
                r#"{"params":{},"info":"type squall_history","data":[[{"events":[],"committed":true}]]}"#,
                DbcopJson,
            ),
            (r#"{"data": [ [], [ {"committed":true}]]"#, DbcopJson),
            (r#"{"data":[],"params":{}}"#, DbcopJson),
            (r#"[[{"events":[]}]]"#, DbcopJson),
            ("[[]]", DbcopJson),
            (r#"{"squall_history":1,"data":[]}"#, Squall),
            (r#"{"seed":1,"type_of":[],"squall_history":1}"#, Squall),
            ("{:type :ok}", Jepsen),
            ("\u{feff}{:type :ok}", Jepsen),
            ("{:sql \"@v := 1\" :type :ok}", Jepsen),
            ("{:value {\"squall_history\" 1}}", Jepsen),
            ("[{:type :ok}]", Jepsen),
            ("({:type :ok})", Jepsen),
            ("#jepsen.history.Op{:type :ok}", Jepsen),
            ("#_ [x:=1] {:type :ok}", Jepsen),
            ("; x==1\n{:type :ok}", Jepsen),
            ("^{:a 1} [{:type :ok}]", Jepsen),
            ("{:name \"x\" :history [{:type :ok}]}", Jepsen),
            (r#"{"history":[{"type":"ok"}]}"#, Jepsen),
            (r#"{"data":{"node":1},"type":"ok"}"#, Jepsen),
            (
                r#"{"data":[[1]],"events":[],"params":{},"type":"ok"}"#,
                Jepsen,
            ),
            (r#"{"\u0074ype":"ok"}"#, Jepsen),
            (r#"[{"type":"ok"}]"#, Jepsen),
            ("[]", Jepsen),
            (&long, Jepsen),
            (&base64, Jepsen),
            (&nemesis, Jepsen),
        ] {
            assert_eq!(whole(text), Seen::Format(format), "{:.80}", text);
            // What is only a part of it is not taken for something else.
            let bytes = text.as_bytes();
            for end in (0..bytes.len()).step_by(1 + bytes.len() / 50) {
                let seen = detect(&bytes[..end], "", false);
                let fine = [Seen::More, Seen::Format(format)];
                assert!(fine.contains(&seen), "{:.80} {end}: {seen:?}", text);
            }
        }
        for text in [
            "",
            " \n",
            "\u{feff}",
            "hello",
            "what is this",
            "rwx",
            "/x",
            "S",
            "1",
        ] {
            assert_eq!(whole(text), Seen::Nothing, "{text:?}");
        }
    }

    #[test]
    fn by_ending() {
        for (name, text, format) in [
            ("h.edn", "[x:=1]", Format::Jepsen),
            ("h.EDN.gz", "", Format::Jepsen),
            ("h.bincode", "", Format::DbcopBincode),
            ("h.jsonl", "", Format::Squall),
            ("h.jsonl", "{\"type\":\"ok\"}", Format::Jepsen),
            ("h.json", "[]", Format::Jepsen),
            ("h.json", "{\"squall_history\":1}", Format::Squall),
        ] {
            assert_eq!(detect(text.as_bytes(), name, true), Seen::Format(format));
        }
    }
}
