//! Histories of Jepsen and Elle, as EDN or JSON: transactions over registers, over lists, or over
//! grow-only sets.
//!
//! A history is a sequence of maps, or one vector of them. Each tells of an operation that a process
//! invoked (`:type :invoke`) or completed (`:ok`, `:fail`, `:info`); its `:value` is a list of
//! `[:r key value]` and `[:w key value]`, or, over lists, `[:r key [element …]]` and
//! `[:append key element]`, or, over sets, `[:r key #{element …}]` and `[:add key element]`. A process is
//! a session. What has no completion, or is completed by
//! `:info`, may have happened. `nil` is the initial value, and the empty list.
//!
//! The order of the records is that of real time, as it is for Elle: a transaction took effect between
//! the records of its invocation and its completion, if it did, and what was completed by `:info` may
//! still take effect at any time. `:time` says the same in nanoseconds, and could only add ties. Of a
//! history without invocations nothing is known about real time.
//!
//! Of the workload of jepsen-powersync, `[:readAll nil {key value …}]` and `[:writeSome nil {…}]` are
//! read too; there -1 is the initial value.

use std::collections::HashMap;
use std::io::Read;

use super::edn::{self, Value};
use super::lines::Cursor;
use super::{FormatError, Names, Reading};
use crate::registers::{ListBuilder, Outcome, Registers, SetBuilder};

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
    let of_lists = transactions.iter().any(of_lists);
    let registers = if transactions.iter().any(Transaction::adds) {
        build_sets(&transactions)?
    } else {
        build(&transactions, of_lists, values_are_versions)?
    };
    Ok(Reading { registers, cut })
}

/// A transaction as it was recorded.
struct Transaction<'t> {
    session: u64,
    label: u64,
    outcome: Outcome,
    value: Value,
    /// The numbers of the records, where there are such.
    invoked: Option<u64>,
    completed: Option<u64>,
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
        let record = self.count;
        self.count += 1;
        let label = match operation.get("index") {
            Some(Value::Integer(index)) => *index as u64,
            _ => record,
        };
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
            invoked: None,
            completed: Some(record),
            begin: cursor.clone(),
        };
        if kind == "invoke" {
            // What never completed may have happened.
            self.transactions.extend(self.open.insert(
                session,
                Transaction {
                    invoked: Some(record),
                    completed: None,
                    ..transaction
                },
            ));
            return Ok(());
        }
        let mut completed = transaction;
        if let Some(tried) = self.open.remove(&session) {
            completed.invoked = tried.invoked;
            if kind != "ok" {
                // The invocation says what was tried.
                completed.value = tried.value;
            }
        }
        self.transactions.push(completed);
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
                          [:r 1 [5 7]] and [:append 1 7], or [:r 1 #{5 7}] and [:add 1 7]";

/// What an operation does with a key.
enum Access<'v> {
    Append(&'v Value),
    ReadList(&'v [Value]),
    Write(&'v Value),
    Read(&'v Value),
}

impl Transaction<'_> {
    /// What the transaction does with which key, in its order. Over lists `nil` is the empty one, and
    /// there are no registers.
    fn accesses(&self, of_lists: bool) -> Result<Vec<(&Value, Access<'_>)>, FormatError> {
        let operations = match &self.value {
            Value::Nil => &[][..],
            value => value.as_list().ok_or_else(|| self.malformed())?,
        };
        let mut accesses = Vec::with_capacity(operations.len());
        for operation in operations {
            let Some([kind, key, value]) = operation.as_list() else {
                return Err(self.malformed());
            };
            match (kind.as_text(), value) {
                (Some("append"), element) if of_lists => {
                    accesses.push((key, Access::Append(element)));
                }
                (Some("r"), Value::List(list)) if of_lists => {
                    accesses.push((key, Access::ReadList(list)));
                }
                (Some("r"), Value::Nil) if of_lists => accesses.push((key, Access::ReadList(&[]))),
                (Some("r"), value) if !of_lists => accesses.push((key, Access::Read(value))),
                (Some("w"), value) if !of_lists => accesses.push((key, Access::Write(value))),
                (Some("readAll"), Value::Map(rows)) if !of_lists => {
                    accesses.extend(rows.iter().map(|(key, value)| match value {
                        Value::Integer(-1) => (key, Access::Read(&Value::Nil)),
                        value => (key, Access::Read(value)),
                    }));
                }
                (Some("writeSome"), Value::Map(rows)) if !of_lists => {
                    accesses.extend(rows.iter().map(|(key, value)| (key, Access::Write(value))));
                }
                // What was to be read is not known before.
                (Some("readAll" | "writeSome"), Value::Nil) if !of_lists => {}
                _ => return Err(self.malformed()),
            }
        }
        Ok(accesses)
    }

    /// Whether it is a transaction over sets, and adds something.
    fn adds(&self) -> bool {
        let operations = self.value.as_list().unwrap_or_default();
        let mut kinds = operations
            .iter()
            .filter_map(|operation| operation.as_list()?.first());
        kinds.any(|kind| kind.as_text() == Some("add"))
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

fn build(
    transactions: &[Transaction],
    of_lists: bool,
    values_are_versions: bool,
) -> Result<Registers, FormatError> {
    let mut builder = ListBuilder::default();
    let mut names = Names::default();
    if values_are_versions && !of_lists {
        builder.registers().values_are_versions();
    }
    for transaction in transactions {
        let label = Some(transaction.label);
        let number = builder.transaction(transaction.session, label, transaction.outcome);
        if let Some(invoked) = transaction.invoked {
            let registers = builder.registers();
            registers.times(number, invoked, transaction.completed);
        }
        for (key, access) in transaction.accesses(of_lists)? {
            let registers = builder.registers();
            let key = names.key(key, |key, name| registers.name_key(key, name));
            match access {
                Access::Append(element) => {
                    builder.append(number, key, transaction.number(element)?);
                }
                Access::ReadList(list) => {
                    let elements = list.iter().map(|element| transaction.number(element));
                    builder.read(number, key, &elements.collect::<Result<Vec<u64>, _>>()?);
                }
                Access::Write(value) => registers.write(number, key, transaction.number(value)?),
                Access::Read(Value::Nil) => registers.read_initial(number, key),
                Access::Read(value) => registers.read(number, key, transaction.number(value)?),
            }
        }
    }
    Ok(builder.finish()?)
}

fn build_sets(transactions: &[Transaction]) -> Result<Registers, FormatError> {
    let mut builder = SetBuilder::default();
    let mut names = Names::default();
    for transaction in transactions {
        let label = Some(transaction.label);
        let number = builder.transaction(transaction.session, label, transaction.outcome);
        if let Some(invoked) = transaction.invoked {
            builder.times(number, invoked, transaction.completed);
        }
        let operations = match &transaction.value {
            Value::Nil => &[][..],
            value => value.as_list().ok_or_else(|| transaction.malformed())?,
        };
        for operation in operations {
            let Some([kind, key, value]) = operation.as_list() else {
                return Err(transaction.malformed());
            };
            let key = names.key(key, |key, name| builder.name_key(key, name));
            match (kind.as_text(), value) {
                (Some("add"), element) => builder.add(number, key, transaction.number(element)?),
                (Some("r"), Value::Nil) => builder.read(number, key, &[]),
                (Some("r"), Value::List(elements)) => {
                    let elements = elements.iter().map(|element| transaction.number(element));
                    builder.read(number, key, &elements.collect::<Result<Vec<u64>, _>>()?);
                }
                _ => return Err(transaction.malformed()),
            }
        }
    }
    Ok(builder.finish()?)
}
