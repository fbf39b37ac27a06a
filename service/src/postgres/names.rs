//! Names of tables as a user gives them.

use std::fmt;

/// A table's name in the database. Displayed as SQL has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    pub schema: String,
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", quote(&self.schema), quote(&self.name))
    }
}

/// The tables that a user lists, each once.
///
/// A name stands for itself, upper case too; one with a dot in it is in double quotes. Without a
/// schema, `public` is meant.
///
/// # Errors
///
/// When a name cannot be read, or clients could not tell two tables apart: they know a table by its
/// name without the schema, and SQLite does not tell upper case from lower case.
pub fn parse_tables(texts: &[String]) -> Result<Vec<TableName>, String> {
    let mut tables: Vec<TableName> = Vec::new();
    for text in texts {
        let table = parse(text).ok_or_else(|| {
            format!(
                "`{text}` is not the name of a table; write name or schema.name, \
                 and a part with a dot in it in double quotes"
            )
        })?;
        if tables.contains(&table) {
            continue;
        }
        let same = |other: &&TableName| other.name.eq_ignore_ascii_case(&table.name);
        if let Some(other) = tables.iter().find(same) {
            return Err(format!(
                "clients cannot tell {other} and {table} apart, since they know a table by its name alone; \
                 leave out one, or rename it"
            ));
        }
        tables.push(table);
    }
    Ok(tables)
}

fn parse(text: &str) -> Option<TableName> {
    let (first, rest) = part(text.trim())?;
    match rest.strip_prefix('.') {
        None if rest.is_empty() => Some(TableName {
            schema: "public".into(),
            name: first,
        }),
        None => None,
        Some(rest) => match part(rest)? {
            (name, "") => Some(TableName {
                schema: first,
                name,
            }),
            _ => None,
        },
    }
}

/// The part of a name at the beginning, and what follows it.
fn part(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return (!name.is_empty() && !name.contains('"')).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    loop {
        let (inside, after) = rest.split_once('"')?;
        name.push_str(inside);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return (!name.is_empty()).then_some((name, after)),
        }
    }
}

/// A name as an SQL identifier.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(texts: &[&str]) -> Result<Vec<String>, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Ok(parse_tables(&texts)?
            .iter()
            .map(TableName::to_string)
            .collect())
    }

    #[test]
    fn names_stand_for_themselves() {
        let read = tables(&[
            "mww",
            "app.Users",
            "\"a.b\".\"c\"\"d\"",
            " spaced ",
            "public.mww",
        ]);
        let expected = [
            r#""public"."mww""#,
            r#""app"."Users""#,
            r#""a.b"."c""d""#,
            r#""public"."spaced""#,
        ];
        assert_eq!(read, Ok(expected.map(str::to_owned).into()));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "", ".", "a.", ".a", "a.b.c", "\"a", "\"\"", "a\"b", "\"a\"b",
        ] {
            assert!(tables(&[text]).is_err(), "{text}");
        }
    }

    #[test]
    fn tables_that_clients_cannot_tell_apart_are_refused() {
        for pair in [["a.t", "b.t"], ["t", "T"]] {
            let error = tables(&pair).expect_err("refused");
            assert!(error.contains("tell"), "{error}");
        }
    }
}
