//! Histories of Jepsen and Elle, as EDN or JSON: transactions over registers or over lists.
//!
//! A history is a sequence of maps, or one vector of them. Each tells of an operation that a process
//! invoked (`:type :invoke`) or completed (`:ok`, `:fail`, `:info`); its `:value` is a list of
//! `[:r key value]` and `[:w key value]`, or, over lists, `[:r key [element …]]` and
//! `[:append key element]`. A process is a session. What has no completion, or is completed by
//! `:info`, may have happened. `nil` is the initial value, and the empty list.
//!
//! Of the workload of jepsen-powersync, `[:readAll nil {key value …}]` and `[:writeSome nil {…}]` are
//! read too; there -1 is the initial value.

use std::collections::HashMap;
use std::io::Read;

use super::edn::{self, Value};
use super::lines::Cursor;
use super::{FormatError, Names, Reading};
use crate::registers::{Builder, ListBuilder, Outcome, Registers};

/// Reads a history; `values_are_versions` as for
/// [`Builder::values_are_versions`](crate::registers::Builder::values_are_versions).
pub(super) fn read(
    mut reader: impl Read,
    values_are_versions: bool,
) -> Result<Reading, FormatError> {
    // Maps may span lines, so the text is read as a whole; but one operation at a time is parsed.
    let mut text = Vec::new();
    reader.read_to_end(&mut text)?;
    let mut cursor = Cursor::new(&text, 1);
    let mut history = Transactions::default();
    // How the list ends that we are in.
    let mut end = None;
    let cut = loop {
        edn::space(&mut cursor)?;
        let begin = cursor.clone();
        match cursor.peek() {
            None => break end.map(|_| begin.cut()),
            Some(byte) if Some(byte) == end => {
                cursor.next();
                end = None;
            }
            Some(bracket @ (b'[' | b'(')) if end.is_none() => {
                cursor.next();
                end = Some(if bracket == b'[' { b']' } else { b')' });
            }
            Some(_) => match edn::next(&mut cursor) {
                Ok(operation) => history.operation(&operation, &begin)?,
                // The file ends in the operation.
                Err(_) if cursor.rest().is_empty() => break Some(begin.cut()),
                Err(error) => return Err(error),
            },
        }
    };
    let transactions = history.finish();
    let of_lists = |transaction: &Transaction| {
        let operations = transaction.value.as_list().unwrap_or_default();
        operations
            .iter()
            .any(|operation| match operation.as_list() {
                Some([kind, _, value]) => {
                    kind.as_text() == Some("append") || matches!(value, Value::List(_))
                }
                _ => false,
            })
    };
    let registers = if transactions.iter().any(of_lists) {
        lists(&transactions)?
    } else {
        registers(&transactions, values_are_versions)?
    };
    Ok(Reading { registers, cut })
}

/// A transaction as it was recorded.
struct Transaction<'t> {
    session: u64,
    label: u64,
    outcome: Outcome,
    value: Value,
    /// The beginning of its record.
    begin: Cursor<'t>,
}

/// Puts invocations and completions together.
#[derive(Default)]
struct Transactions<'t> {
    transactions: Vec<Transaction<'t>>,
    /// What each process has invoked and not completed.
    open: HashMap<u64, Transaction<'t>>,
    count: u64,
}

impl<'t> Transactions<'t> {
    fn operation(&mut self, operation: &Value, cursor: &Cursor<'t>) -> Result<(), FormatError> {
        const TYPE: &str = "here an operation with :type :invoke, :ok, :fail or :info";
        const PROCESS: &str = "here an operation with a :process";
        let kind = operation.get("type").and_then(Value::as_text);
        let kind = kind.ok_or_else(|| cursor.malformed(TYPE))?;
        let process = operation.get("process");
        let process = process.ok_or_else(|| cursor.malformed(PROCESS))?;
        // The nemesis is a process too, with a name; its operations are not transactions.
        let Value::Integer(process) = process else {
            return Ok(());
        };
        let session = *process as u64;
        let label = match operation.get("index") {
            Some(Value::Integer(index)) => *index as u64,
            _ => self.count,
        };
        self.count += 1;
        let outcome = match kind {
            "invoke" | "info" => Outcome::Unknown,
            "ok" => Outcome::Committed,
            "fail" => Outcome::Aborted,
            _ => return Err(cursor.malformed(TYPE)),
        };
        let transaction = Transaction {
            session,
            label,
            outcome,
            value: operation.get("value").cloned().unwrap_or(Value::Nil),
            begin: cursor.clone(),
        };
        match kind {
            "invoke" => {
                // What never completed may have happened.
                self.transactions
                    .extend(self.open.insert(session, transaction));
            }
            "ok" => {
                self.open.remove(&session);
                self.transactions.push(transaction);
            }
            _ => {
                // The invocation says what was tried.
                let invoked = self.open.remove(&session);
                let tried = invoked.map(|invoked| invoked.value);
                self.transactions.push(Transaction {
                    value: tried.unwrap_or_else(|| transaction.value.clone()),
                    ..transaction
                });
            }
        }
        Ok(())
    }

    /// What never completed may have happened. In a fixed order, for the same verdict every time.
    fn finish(mut self) -> Vec<Transaction<'t>> {
        let mut open: Vec<Transaction> = self.open.into_values().collect();
        open.sort_by_key(|transaction| transaction.session);
        self.transactions.extend(open);
        self.transactions
    }
}

const OPERATIONS: &str = "here an operation with a :value that is a list of operations such as [:r 1 7] and [:w 1 7], or \
                          [:r 1 [5 7]] and [:append 1 7]";

impl Transaction<'_> {
    /// The operations: kind, key and value.
    fn operations(&self) -> Result<Vec<(&str, &Value, &Value)>, FormatError> {
        let operations = match &self.value {
            Value::Nil => &[][..],
            value => value.as_list().ok_or_else(|| self.malformed())?,
        };
        operations
            .iter()
            .map(|operation| match operation.as_list() {
                Some([kind, key, value]) => match kind.as_text() {
                    Some(kind) => Ok((kind, key, value)),
                    None => Err(self.malformed()),
                },
                _ => Err(self.malformed()),
            })
            .collect()
    }

    fn malformed(&self) -> FormatError {
        self.begin.malformed(OPERATIONS)
    }

    fn number(&self, value: &Value) -> Result<u64, FormatError> {
        match value {
            // Only equality counts, and, for versions, the order of those that are not negative.
            Value::Integer(number) => Ok(*number as u64),
            _ => Err(self.malformed()),
        }
    }
}

fn registers(
    transactions: &[Transaction],
    values_are_versions: bool,
) -> Result<Registers, FormatError> {
    let mut builder = Builder::new(None);
    let mut names = Names::default();
    if values_are_versions {
        builder.values_are_versions();
    }
    for transaction in transactions {
        let Transaction {
            session,
            label,
            outcome,
            ..
        } = *transaction;
        let number = builder.transaction(session, Some(label), outcome);
        for (kind, key, value) in transaction.operations()? {
            let none = Value::Nil;
            let rows: Vec<(bool, &Value, &Value)> = match (kind, value) {
                ("r", value) => vec![(false, key, value)],
                ("w", value) => vec![(true, key, value)],
                ("readAll", Value::Map(rows)) => rows
                    .iter()
                    .map(|(key, value)| match value {
                        Value::Integer(-1) => (false, key, &none),
                        value => (false, key, value),
                    })
                    .collect(),
                ("writeSome", Value::Map(rows)) => {
                    rows.iter().map(|(key, value)| (true, key, value)).collect()
                }
                // What was to be read is not known before.
                ("readAll" | "writeSome", Value::Nil) => Vec::new(),
                _ => return Err(transaction.malformed()),
            };
            for (write, key, value) in rows {
                let key = names.key(key, |key, name| builder.name_key(key, name));
                match value {
                    _ if write => builder.write(number, key, transaction.number(value)?),
                    Value::Nil => builder.read_initial(number, key),
                    value => builder.read(number, key, transaction.number(value)?),
                }
            }
        }
    }
    Ok(builder.finish()?)
}

fn lists(transactions: &[Transaction]) -> Result<Registers, FormatError> {
    let mut builder = ListBuilder::default();
    let mut names = Names::default();
    for transaction in transactions {
        let Transaction {
            session,
            label,
            outcome,
            ..
        } = *transaction;
        let number = builder.transaction(session, Some(label), outcome);
        for (kind, key, value) in transaction.operations()? {
            let key = names.key(key, |key, name| builder.name_key(key, name));
            match (kind, value) {
                ("append", element) => {
                    builder.append(number, key, transaction.number(element)?);
                }
                ("r", Value::Nil) => builder.read(number, key, &[]),
                ("r", Value::List(elements)) => {
                    let elements: Result<Vec<u64>, _> = elements
                        .iter()
                        .map(|element| transaction.number(element))
                        .collect();
                    builder.read(number, key, &elements?);
                }
                _ => return Err(transaction.malformed()),
            }
        }
    }
    Ok(builder.finish()?)
}
