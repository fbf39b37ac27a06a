//! Histories of Jepsen and Elle, as EDN or JSON: transactions over registers.
//!
//! A history is a sequence of maps, or one vector of them. Each tells of an operation that a process
//! invoked (`:type :invoke`) or completed (`:ok`, `:fail`, `:info`); its `:value` is a list of
//! `[:r key value]` and `[:w key value]`. A process is a session. What has no completion, or is
//! completed by `:info`, may have happened. `nil` is the initial value.
//!
//! Of the workload of jepsen-powersync, `[:readAll nil {key value …}]` and `[:writeSome nil {…}]` are
//! read too; there -1 is the initial value.

use std::collections::HashMap;
use std::io::Read;

use super::edn::{self, Value};
use super::lines::Cursor;
use super::{FormatError, Names};
use crate::registers::{Builder, Outcome, Registers};

/// Reads a history; `values_are_versions` as for
/// [`Builder::values_are_versions`](crate::registers::Builder::values_are_versions).
pub fn read(mut reader: impl Read, values_are_versions: bool) -> Result<Registers, FormatError> {
    // Maps may span lines, so the text is read as a whole.
    let mut text = Vec::new();
    reader.read_to_end(&mut text)?;
    let mut cursor = Cursor::new(&text, 1);
    let mut parser = Parser::new(values_are_versions);
    while let Some(value) = edn::next(&mut cursor)? {
        match &value {
            Value::List(operations) => {
                for operation in operations {
                    parser.operation(operation, &cursor)?;
                }
            }
            operation => parser.operation(operation, &cursor)?,
        }
    }
    Ok(parser.finish()?)
}

struct Parser {
    builder: Builder,
    names: Names,
    /// What each process has invoked and not completed.
    open: HashMap<u64, Value>,
    label: u64,
}

impl Parser {
    fn new(values_are_versions: bool) -> Self {
        let mut builder = Builder::new(None);
        if values_are_versions {
            builder.values_are_versions();
        }
        Parser {
            builder,
            names: Names::default(),
            open: HashMap::new(),
            label: 0,
        }
    }

    fn operation(&mut self, operation: &Value, cursor: &Cursor) -> Result<(), FormatError> {
        const TYPE: &str = "an operation with :type :invoke, :ok, :fail or :info";
        const PROCESS: &str = "an operation with a :process";
        let kind = operation.get("type").and_then(Value::as_text);
        let kind = kind.ok_or_else(|| cursor.malformed(TYPE))?;
        let process = operation
            .get("process")
            .ok_or_else(|| cursor.malformed(PROCESS))?;
        // The nemesis is a process too, with a name; its operations are not transactions.
        let Value::Integer(process) = process else {
            return Ok(());
        };
        let session = *process as u64;
        let value = operation.get("value").cloned().unwrap_or(Value::Nil);
        let label = match operation.get("index") {
            Some(Value::Integer(index)) => *index as u64,
            _ => self.label,
        };
        self.label += 1;
        match kind {
            "invoke" => {
                self.open.insert(session, value);
            }
            "ok" => {
                self.open.remove(&session);
                self.transaction(session, label, Outcome::Committed, &value, cursor)?;
            }
            "fail" | "info" => {
                let outcome = match kind {
                    "fail" => Outcome::Aborted,
                    _ => Outcome::Unknown,
                };
                let value = self.open.remove(&session).unwrap_or(value);
                self.transaction(session, label, outcome, &value, cursor)?;
            }
            _ => return Err(cursor.malformed(TYPE)),
        }
        Ok(())
    }

    fn transaction(
        &mut self,
        session: u64,
        label: u64,
        outcome: Outcome,
        value: &Value,
        cursor: &Cursor,
    ) -> Result<(), FormatError> {
        const OPERATIONS: &str =
            "a :value that is a list of operations such as [:r 1 7] or [:w 1 7]";
        let malformed = || cursor.malformed(OPERATIONS);
        let operations = match value {
            Value::Nil => &[][..],
            value => value.as_list().ok_or_else(malformed)?,
        };
        let transaction = self.builder.transaction(session, Some(label), outcome);
        for operation in operations {
            let [kind, key, value] = operation.as_list().ok_or_else(malformed)? else {
                return Err(malformed());
            };
            match (kind.as_text(), value) {
                (Some("r"), value) => self.read(transaction, key, value, cursor)?,
                (Some("w"), value) => self.write(transaction, key, value, cursor)?,
                (Some("readAll"), Value::Map(rows)) => {
                    for (key, value) in rows {
                        match value {
                            Value::Integer(-1) => {
                                self.read(transaction, key, &Value::Nil, cursor)?
                            }
                            value => self.read(transaction, key, value, cursor)?,
                        }
                    }
                }
                (Some("writeSome"), Value::Map(rows)) => {
                    for (key, value) in rows {
                        self.write(transaction, key, value, cursor)?;
                    }
                }
                _ => return Err(malformed()),
            }
        }
        Ok(())
    }

    fn read(
        &mut self,
        transaction: u32,
        key: &Value,
        value: &Value,
        cursor: &Cursor,
    ) -> Result<(), FormatError> {
        let key = self.names.key(key, &mut self.builder);
        match value {
            Value::Nil => self.builder.read_initial(transaction, key),
            value => self.builder.read(transaction, key, number(value, cursor)?),
        }
        Ok(())
    }

    fn write(
        &mut self,
        transaction: u32,
        key: &Value,
        value: &Value,
        cursor: &Cursor,
    ) -> Result<(), FormatError> {
        let key = self.names.key(key, &mut self.builder);
        self.builder.write(transaction, key, number(value, cursor)?);
        Ok(())
    }

    fn finish(mut self) -> Result<Registers, crate::registers::BuildError> {
        // What never completed may have happened. In a fixed order, for the same verdict every time.
        let mut open: Vec<(u64, Value)> = self.open.drain().collect();
        open.sort_by_key(|(session, _)| *session);
        let nowhere = Cursor::new(&[], 1);
        for (session, value) in open {
            let label = self.label;
            self.label += 1;
            // A malformed invocation without completion proves nothing either way.
            let _ = self.transaction(session, label, Outcome::Unknown, &value, &nowhere);
        }
        self.builder.finish()
    }
}

/// Values are numbers; negative ones come after all others, which is fine where only equality counts.
fn number(value: &Value, cursor: &Cursor) -> Result<u64, FormatError> {
    match value {
        Value::Integer(number) => Ok(*number as u64),
        _ => Err(cursor.malformed("a value that is an integer (lists are not registers)")),
    }
}
