//! The command line as one types it, for the line that repeats a run.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::system::database;

/// The command line that does the same again; with the seed, if that was not on it.
pub fn again(seed: Option<u64>) -> String {
    command_line(std::env::args_os().skip(1), seed)
}

/// The words as one types them. Secrets among them are not shown: in their place is the variable of
/// the environment that holds them for those who follow the documentation.
fn command_line(arguments: impl Iterator<Item = OsString>, seed: Option<u64>) -> String {
    let mut words = vec!["./squall".to_owned()];
    let mut option = String::new();
    for word in arguments {
        let Some(word) = word.to_str() else {
            words.push(quoted(&word));
            option.clear();
            continue;
        };
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), value),
            _ => (std::mem::take(&mut option), word),
        };
        let hidden = match name.as_str() {
            "--service-key" => Some("SQUALL_SERVICE_KEY"),
            "--database-url" if database::has_password(value) => Some("SQUALL_DATABASE_URL"),
            _ => None,
        };
        words.push(match hidden {
            Some(variable) if word.starts_with("--") => format!("{name}=\"${variable}\""),
            Some(variable) => format!("\"${variable}\""),
            None => quoted(OsStr::new(word)),
        });
        option = word.to_owned();
    }
    if let Some(seed) = seed {
        words.push(format!("--seed {seed}"));
    }
    words.join(" ")
}

/// A word as a shell takes it; what is no UTF-8 as bash, zsh and ksh do.
fn quoted(word: &OsStr) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,/:".contains(c);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Some(text) => format!("'{}'", text.replace('\'', r"'\''")),
        None => {
            let bytes = word.as_bytes().iter();
            let escaped = bytes.map(|&byte| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                byte => format!("\\x{byte:02x}"),
            });
            format!("$'{}'", escaped.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_repeat_a_run_has_no_secrets() {
        let line = |words: &[&str]| command_line(words.iter().map(OsString::from), None);
        let url = "postgres://me:s3cret@localhost/db";
        for words in [
            ["run", "--database-url", url, "--service-key", "s3cret"].as_slice(),
            &[
                "run",
                &format!("--database-url={url}"),
                "--service-key=s3cret",
            ],
            &["run", "--database-url", "host=localhost password=s3cret"],
            &[
                "run",
                "--database-url",
                "postgres://localhost/db?password=s3cret",
            ],
            &[
                "run",
                "--database-url",
                "postgres://me:s3cret@host:nonsense/db",
            ],
        ] {
            let line = line(words);
            assert!(!line.contains("s3cret"), "{line}");
            assert!(line.contains("\"$SQUALL_DATABASE_URL\""), "{line}");
        }
        assert_eq!(
            line(&[
                "run",
                "--seed",
                "1",
                "--database-url",
                "postgres://me@localhost/db"
            ]),
            "./squall run --seed 1 --database-url 'postgres://me@localhost/db'"
        );
    }
}
