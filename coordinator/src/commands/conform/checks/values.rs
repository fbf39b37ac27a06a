//! Values on their way to the database and back.

use futures_util::FutureExt;
use squall_protocol::contract::{Access, Execution};
use squall_protocol::sql::{Dialect, SqlValue};

use super::check::{Check, never};
use crate::commands::conform::problem::Problem;
use crate::commands::conform::statements::{echo, insert, numbers, one_twice, rows_of};
use crate::commands::conform::subject::{Client, short, shown};

/// The bytes of a text that is long.
const LONG: usize = 5 << 20;
/// The rows of [`numbers`].
const NUMBERS: i64 = 100_000;

const UNICODE: &[&str] = &[
    "",
    " ",
    "it's \"quoted\" \\ $1 ? %s",
    "two\nlines\r\nand\ttabs",
    "\u{1}\u{1f}\u{7f}\u{85}\u{2028}",
    "Ελληνικά עברית 日本語 e\u{301}",
    "👩‍👩‍👧‍👦 𝒳 \u{10ffff} \u{feff}\u{fffd}\u{fffe}",
    "null",
    "9007199254740993",
];

pub(super) const VALUES: Check = Check {
    name: "values",
    what: "integers of 64 bits, reals, texts, blobs and null come back as they went",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let integers = [
                0,
                -1,
                i64::MAX,
                i64::MIN,
                1 << 53,
                (1 << 53) + 1,
                -(1 << 53) - 1,
            ];
            let reals = [
                0.1,
                1.0,
                -2.0,
                1e17,
                1e300,
                5e-324,
                f64::MAX,
                f64::INFINITY,
                f64::NEG_INFINITY,
            ];
            let blobs: [&[u8]; 4] = [b"", b"\x00\xff", b"text", b"'\n"];
            let values = integers.map(SqlValue::Integer).into_iter();
            let values = values
                .chain(reals.map(SqlValue::Real))
                .chain(UNICODE.iter().map(|text| SqlValue::from(*text)))
                .chain(blobs.map(|bytes| SqlValue::Blob(bytes.to_vec())))
                .chain([SqlValue::Null]);
            for value in values {
                let calls = vec![echo(value.clone())];
                let found = client.committed(Access::Read, calls).await?;
                let same =
                    matches!(&found[0][..], [row] if matches!(&row[..], [one] if is(one, &value)));
                if !same {
                    let expected = format!("one row with the value {}", in_json(&value));
                    return Err(client.wrong(&expected, format!("{:?}", found[0])));
                }
            }
            // SQLite makes a null of what is no number.
            let calls = vec![echo(SqlValue::Real(f64::NAN))];
            let found = client.committed(Access::Read, calls).await?;
            let right = match (client.dialect(), &found[0][..]) {
                (Dialect::Sqlite, rows) => rows == [[SqlValue::Null]],
                (Dialect::Postgres, [row]) => matches!(row[..], [SqlValue::Real(x)] if x.is_nan()),
                (Dialect::Postgres, _) => false,
            };
            match right {
                true => Ok(()),
                false => Err(client.wrong("NaN, or null from SQLite", format!("{:?}", found[0]))),
            }
        }
        .boxed_local()
    },
};

/// Whether that is the value; a whole real may come as an integer.
fn is(found: &SqlValue, value: &SqlValue) -> bool {
    match (found, value) {
        (SqlValue::Integer(found), SqlValue::Real(value)) => {
            *found as f64 == *value && *found as f64 as i64 == *found
        }
        _ => found == value,
    }
}

fn in_json(value: &SqlValue) -> String {
    short(&serde_json::to_string(value).expect("it is plain data"))
}

pub(super) const TEXTS: Check = Check {
    name: "texts",
    what: "texts with any Unicode are kept in a table",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let n = client.number;
            let ids: Vec<String> = (0..UNICODE.len()).map(|i| format!("text-{i:02}")).collect();
            let texts = ids.iter().zip(UNICODE);
            let inserts = texts.clone().map(|(id, text)| insert(id, n, *text));
            client.committed(Access::Write, inserts.collect()).await?;
            let found = client.committed(Access::Read, vec![rows_of(n)]).await?;
            let row = |(id, text): (&String, &&str)| [SqlValue::from(&id[..]), (*text).into()];
            let expected: Vec<_> = texts.map(row).collect();
            match found[0] == expected {
                true => Ok(()),
                false => {
                    Err(client.wrong(&format!("the rows {expected:?}"), format!("{:?}", found[0])))
                }
            }
        }
        .boxed_local()
    },
};

pub(super) const NUL: Check = Check {
    name: "nul",
    what: "a text with a NUL is kept whole, or refused",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let n = client.number;
            let text = "a\0b";
            let calls = vec![insert("nul", n, text), rows_of(n)];
            let outcome = client.execute(Access::Write, calls).await?;
            let whole = [vec![], vec![vec![SqlValue::from("nul"), text.into()]]];
            match outcome {
                Execution::Failed(_) => client.has_ids(&[], "as it was refused").await,
                Execution::Committed(found) if found == whole => Ok(()),
                other => {
                    let expected = "failed, or committed with the whole text";
                    Err(client.wrong(expected, shown(&other)))
                }
            }
        }
        .boxed_local()
    },
};

pub(super) const PARAMETERS: Check = Check {
    name: "parameters",
    what: "a parameter may occur more than once in a statement",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let calls = vec![one_twice("a", "b")];
            let found = client.committed(Access::Read, calls).await?;
            let expected = [["a", "b", "a"].map(SqlValue::from)];
            match found[0] == expected {
                true => Ok(()),
                false => Err(client.wrong(&format!("{expected:?}"), format!("{:?}", found[0]))),
            }
        }
        .boxed_local()
    },
};

pub(super) const BIG_RESULT: Check = Check {
    name: "big-result",
    what: "100,000 rows come in one answer, and a text of 5 MB",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let found = client.committed(Access::Read, vec![numbers()]).await?;
            let expected = (1..=NUMBERS).map(|number| [SqlValue::Integer(number)]);
            if !expected.eq(found[0]
                .iter()
                .map(|row| <[_; 1]>::try_from(row.clone()).unwrap_or([SqlValue::Null])))
            {
                let came = format!(
                    "{} rows: {}",
                    found[0].len(),
                    short(&format!("{:?}", found[0]))
                );
                return Err(client.wrong("the numbers from 1 to 100,000, a row each", came));
            }
            let long = "squall 🌀 ".repeat(LONG / 12);
            long_text(&mut client, long).await
        }
        .boxed_local()
    },
};

async fn long_text(client: &mut Client<'_>, text: String) -> Result<(), Problem> {
    let text = SqlValue::Text(text);
    let found = client
        .committed(Access::Read, vec![echo(text.clone())])
        .await?;
    match found[0] == [[text]] {
        true => Ok(()),
        false => Err(client.wrong("the very text", short(&format!("{:?}", found[0])))),
    }
}
