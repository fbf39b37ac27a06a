//! Reading the rows that a client answered. What is not what it should be is an error with its place;
//! which rows there are is never one: whether one is missing or there twice is for the checker to say.

use std::vec::IntoIter;

use squall_protocol::sql::{SqlRows, SqlValue};
use squall_protocol::transaction::{Key, Rows, Transaction};

/// An answer that makes no sense as what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// The results of the calls of a transaction, in their order.
pub struct Results(IntoIter<SqlRows>);

impl Results {
    pub fn new(results: Vec<SqlRows>) -> Results {
        Results(results.into_iter())
    }

    /// # Errors
    ///
    /// When there are more than the calls that were made sense of.
    pub fn end(self) -> Result<(), Malformed> {
        match self.0.len() {
            0 => Ok(()),
            more => Err(Malformed(format!("there are {more} results too many"))),
        }
    }

    /// The rows of the next call.
    ///
    /// # Errors
    ///
    /// When they do not have that many columns.
    pub fn rows(&mut self, columns: usize) -> Result<IntoIter<Row>, Malformed> {
        let rows = self.0.next();
        let rows = rows.ok_or_else(|| Malformed("there are too few results".to_owned()))?;
        if let Some(row) = rows.iter().find(|row| row.len() != columns) {
            let found = row.len();
            return Err(Malformed(format!(
                "a row has {found} columns instead of {columns}"
            )));
        }
        let rows: Vec<Row> = rows.into_iter().map(Row).collect();
        Ok(rows.into_iter())
    }

    /// The keys and integers of so many calls.
    ///
    /// # Errors
    ///
    /// When they answer something else.
    pub fn keys_and_integers(&mut self, calls: usize) -> Result<Rows, Malformed> {
        let mut found = Rows::new();
        for _ in 0..calls {
            for row in self.rows(2)? {
                found.push((row.key(0)?, row.integer(1)?));
            }
        }
        Ok(found)
    }

    /// What the transaction has written: its calls that write answer the keys of their rows.
    ///
    /// # Errors
    ///
    /// When they do not.
    pub fn written(&mut self, transaction: &Transaction) -> Result<Rows, Malformed> {
        let mut written = Rows::new();
        for _ in &transaction.keys {
            for row in self.rows(1)? {
                written.push((row.key(0)?, transaction.value));
            }
        }
        Ok(written)
    }
}

/// A row with as many columns as were asked for.
pub struct Row(Vec<SqlValue>);

impl Row {
    /// The integer in that column.
    pub fn integer(&self, column: usize) -> Result<i64, Malformed> {
        match self.0[column] {
            SqlValue::Integer(value) => Ok(value),
            _ => Err(self.unexpected(column, "an integer")),
        }
    }

    /// The key in that column.
    pub fn key(&self, column: usize) -> Result<Key, Malformed> {
        let key = self.integer(column).ok();
        key.and_then(|key| Key::try_from(key).ok())
            .ok_or_else(|| self.unexpected(column, "a key"))
    }

    /// The text in that column, which is taken out.
    pub fn text(&mut self, column: usize) -> Result<String, Malformed> {
        match &mut self.0[column] {
            SqlValue::Text(text) => Ok(std::mem::take(text)),
            _ => Err(self.unexpected(column, "a text")),
        }
    }

    /// The text in that column, which is taken out, or none if it is null.
    pub fn text_or_null(&mut self, column: usize) -> Result<Option<String>, Malformed> {
        match self.0[column] {
            SqlValue::Null => Ok(None),
            _ => self.text(column).map(Some),
        }
    }

    fn unexpected(&self, column: usize, expected: &str) -> Malformed {
        let values: Vec<String> = self.0.iter().map(SqlValue::to_string).collect();
        let number = column + 1;
        Malformed(format!(
            "the row ({}) should have {expected} in column {number}",
            values.join(", ")
        ))
    }
}
