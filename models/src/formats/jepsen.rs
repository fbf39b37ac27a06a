//! Histories of Jepsen and Elle, as EDN or JSON: transactions over registers, over lists, or over
//! grow-only sets.
//!
//! A history is a sequence of maps, or one vector of them, which may be the `:history` of a map. Each tells
//! of an operation that a process invoked (`:type :invoke`) or completed (`:ok`, `:fail`, `:info`); its
//! `:value` is a list of `[:r key value]` and `[:w key value]`, or, over lists, `[:r key [element …]]` and
//! `[:append key element]`, or, over sets, `[:r key #{element …}]` and `[:add key element]`. What has no
//! completion, or is completed by `:info`, may have happened. `nil` is the initial value, and the empty
//! list. Of what did not end well the reads do not matter, and may lack their value.
//!
//! Keys, values and processes are values of any kind, and equal or not; the process `:nemesis` is no client.
//! A process is a session, and what has no `:process` is a session of its own. Elements that are read as
//! sets have no order, so that a history of appends in which every read is one is a history of sets.
//!
//! The order of the records is that of real time, as it is for Elle: a transaction took effect between
//! the records of its invocation and its completion, if it did, and what was completed by `:info` may
//! still take effect at any time. `:time` says the same in nanoseconds, and could only add ties. Of a
//! history without invocations nothing is known about real time.
//!
//! Of the workload of jepsen-powersync, `[:readAll nil {key value …}]` and `[:writeSome nil {…}]` are
//! read too; there -1 is the initial value.
//!
//! An operation that holds anything else is left out as a whole, and counted. It may have had any effect;
//! so where there is one, a read of `nil` may be one of something that was deleted, and says nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

use super::edn::{self, Entry, Value};
use super::lines::Cursor;
use super::names::Names;
use super::skipped::{Skipped, skip};
use super::{FormatError, Reading};
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
    // How what we are in ends: a list, perhaps in a map.
    let mut ends: Vec<u8> = Vec::new();
    let mut is_first = true;
    let cut = loop {
        edn::space(&mut cursor)?;
        let begin = cursor.clone();
        let in_list = ends.last().is_some_and(|end| *end != b'}');
        match cursor.peek() {
            None => break ends.first().map(|_| begin.cut()),
            Some(byte) if Some(&byte) == ends.last() => {
                cursor.next();
                ends.pop();
            }
            // The other entries of the map do not matter.
            Some(_) if !ends.is_empty() && !in_list => {
                let rest = edn::entry(&mut cursor).and_then(|_| edn::next(&mut cursor));
                match rest {
                    Ok(_) => {}
                    Err(_) if cursor.rest().is_empty() => break Some(begin.cut()),
                    Err(error) => return Err(error),
                }
            }
            Some(bracket @ (b'[' | b'(')) if !in_list => {
                cursor.next();
                ends.push(if bracket == b'[' { b']' } else { b')' });
            }
            Some(_) => match operation_or_history(&mut cursor, !in_list, is_first) {
                Ok(Found::Operation(operation)) => {
                    is_first = false;
                    history.operation(&operation, &begin)?;
                }
                Ok(Found::History) => {
                    ends.push(b'}');
                    let bracket = cursor.next();
                    ends.push(if bracket == Some(b'[') { b']' } else { b')' });
                }
                Ok(Found::Tag) => {}
                // The file ends in the operation.
                Err(_) if cursor.rest().is_empty() => break Some(begin.cut()),
                Err(error) => return Err(error),
            },
        }
    };
    let session_names = std::mem::take(&mut history.session_names);
    let mut build = Build {
        transactions: history.finish(),
        skipped: Vec::new(),
        values_are_versions,
    };
    let registers = build.build()?;
    Ok(Reading {
        skipped: build.skipped,
        session_names,
        ..Reading::new(registers, cut)
    })
}

enum Found {
    Operation(Value),
    /// The list that is the value of a map's key `:history` begins here.
    History,
    /// What is here had a tag, which was dropped.
    Tag,
}

fn operation_or_history(
    cursor: &mut Cursor,
    outermost: bool,
    is_first: bool,
) -> Result<Found, FormatError> {
    let begin = cursor.clone();
    edn::skip_tag(cursor)?;
    if cursor.peek() != Some(b'{') {
        return match cursor.peek() {
            Some(b'[' | b'(') if outermost => Ok(Found::Tag),
            _ => {
                *cursor = begin;
                edn::next(cursor).map(Found::Operation)
            }
        };
    }
    let is = |key: &Value, name| key.as_name() == Some(name);
    let mut entries: Vec<(Value, Value)> = Vec::new();
    edn::enter_map(cursor);
    while let Entry::Key(key) = edn::entry(cursor)? {
        let is_operation = entries.iter().any(|(key, _)| is(key, "type"));
        if outermost && is_first && !is_operation && is(&key, "history") {
            edn::skip_tag(cursor)?;
            if let Some(b'[' | b'(') = cursor.peek() {
                return Ok(Found::History);
            }
        }
        entries.push((key, edn::next(cursor)?));
    }
    Ok(Found::Operation(Value::Map(entries)))
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
    sessions: Names,
    session_names: BTreeMap<u64, String>,
    count: u64,
}

impl<'t> Transactions<'t> {
    fn operation(&mut self, operation: &Value, cursor: &Cursor<'t>) -> Result<(), FormatError> {
        const TYPE: &str = "here an operation with :type :invoke, :ok, :fail or :info";
        const PROCESS: &str = "here an operation with a :process: without one it is not known which completion \
                               belongs to an invocation";
        let kind = operation.get("type").and_then(Value::as_name);
        let kind = kind.ok_or_else(|| cursor.malformed(TYPE))?;
        let outcome = match kind {
            "invoke" | "info" => Outcome::Unknown,
            "ok" => Outcome::Committed,
            "fail" => Outcome::Aborted,
            _ => return Err(cursor.malformed(TYPE)),
        };
        let session = match operation.get("process") {
            // Its operations are not transactions.
            Some(process) if process.as_name() == Some("nemesis") => return Ok(()),
            Some(process) => {
                let names = &mut self.session_names;
                self.sessions.number(process, |number, name| {
                    names.insert(number, format!("session {name}"));
                })
            }
            None if kind == "invoke" => return Err(cursor.malformed(PROCESS)),
            None => {
                let session = self.sessions.new_number();
                let name = "a session of its own".to_owned();
                self.session_names.insert(session, name);
                session
            }
        };
        let record = self.count;
        self.count += 1;
        let label = match operation.get("index") {
            Some(Value::Integer(index)) if *index >= 0 => *index as u64,
            _ => record,
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
#[derive(Clone, Copy)]
enum Access<'v> {
    Append(&'v Value),
    Add(&'v Value),
    Write(&'v Value),
    Read(&'v Value),
}

/// What the keys of a history hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Datatype {
    Registers,
    Lists,
    Sets,
}

/// What a transaction does with which key, in its order.
type Accesses<'v> = Vec<(&'v Value, Access<'v>)>;

impl Transaction<'_> {
    /// What the transaction does; or what of it is not understood.
    fn accesses(&self) -> Result<Accesses<'_>, &'static str> {
        const NO_LIST: &str = "operations with a :value that is no list of reads and writes";
        const NO_ACCESS: &str = "transactions with something else than reads and writes";
        const NO_VALUE: &str = "transactions with reads that lack their value";
        let committed = self.outcome == Outcome::Committed;
        let operations = self.value.as_list().ok_or(NO_LIST)?;
        let mut accesses = Vec::with_capacity(operations.len());
        for operation in operations {
            let (kind, key, value) = match operation.as_list().ok_or(NO_LIST)? {
                [kind, key] => (kind, key, None),
                [kind, key, value] => (kind, key, Some(value)),
                _ => return Err(NO_ACCESS),
            };
            match (kind.as_name(), value) {
                (Some("r" | "readAll"), _) if !committed => {}
                (Some("r"), Some(value)) => accesses.push((key, Access::Read(value))),
                (Some("r"), None) => return Err(NO_VALUE),
                (Some("append"), Some(element)) => accesses.push((key, Access::Append(element))),
                (Some("add"), Some(element)) => accesses.push((key, Access::Add(element))),
                (Some("w"), Some(value)) => accesses.push((key, Access::Write(value))),
                (Some("readAll"), Some(Value::Map(rows))) => {
                    accesses.extend(rows.iter().map(|(key, value)| match value {
                        Value::Integer(-1) => (key, Access::Read(&Value::Nil)),
                        value => (key, Access::Read(value)),
                    }));
                }
                (Some("writeSome"), Some(Value::Map(rows))) => {
                    accesses.extend(rows.iter().map(|(key, value)| (key, Access::Write(value))));
                }
                // What was to be read or written is not known before.
                (Some("readAll" | "writeSome"), Some(Value::Nil)) => {}
                _ => return Err(NO_ACCESS),
            }
        }
        Ok(accesses)
    }

    /// A number for a version, of which the higher one wins.
    fn version(&self, value: &Value) -> Result<u64, FormatError> {
        const VERSION: &str = "here values that are integers, not negative and below 2^64, since the higher value of a \
                               key is to win";
        let number = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Number(digits) => digits.parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| self.begin.malformed(VERSION))
    }

    fn place(&self) -> String {
        let (line, column) = self.begin.place();
        format!("line {line}, column {column}")
    }
}

/// The datatype of a history, by what is written, or else by what is read.
fn datatype(accesses: &[(usize, Accesses)], all: &[Transaction]) -> Result<Datatype, FormatError> {
    const MIXED: &str = "here a list such as [5 7], as other reads of this history: a set such as #{5 7} has no order";
    let mut written = None;
    // Who read a set, and a list, first.
    let (mut set, mut list) = (None, None);
    for (place, accesses) in accesses {
        for (_, access) in accesses {
            let datatype = match access {
                Access::Append(_) => Datatype::Lists,
                Access::Add(_) => Datatype::Sets,
                Access::Write(_) => Datatype::Registers,
                Access::Read(value) => {
                    match value.untagged() {
                        Value::Set(_) => set = set.or(Some(*place)),
                        Value::List(_) => list = list.or(Some(*place)),
                        _ => {}
                    }
                    continue;
                }
            };
            if *written.get_or_insert(datatype) != datatype {
                return Err(all[*place].begin.malformed(OPERATIONS));
            }
        }
    }
    match (written, set, list) {
        (Some(Datatype::Lists), Some(set), Some(_)) => Err(all[set].begin.malformed(MIXED)),
        (Some(Datatype::Lists) | None, Some(_), None) => Ok(Datatype::Sets),
        (None, None, Some(_)) => Ok(Datatype::Lists),
        (None, Some(set), Some(_)) => Err(all[set].begin.malformed(MIXED)),
        (written, ..) => Ok(written.unwrap_or(Datatype::Registers)),
    }
}

/// Whether a read of a collection has a value that is one.
fn is_collection(value: &Value) -> bool {
    matches!(
        value.untagged(),
        Value::Nil | Value::List(_) | Value::Set(_)
    )
}

struct Build<'t> {
    transactions: Vec<Transaction<'t>>,
    skipped: Vec<Skipped>,
    values_are_versions: bool,
}

impl Build<'_> {
    fn build(&mut self) -> Result<Registers, FormatError> {
        const NO_COLLECTION: &str = "transactions with reads of a list or set that are none";
        let transactions = std::mem::take(&mut self.transactions);
        let mut understood: Vec<(usize, Accesses)> = Vec::with_capacity(transactions.len());
        for (place, transaction) in transactions.iter().enumerate() {
            match transaction.accesses() {
                Ok(accesses) => understood.push((place, accesses)),
                Err(what) => self.skip(what, transaction),
            }
        }
        let datatype = datatype(&understood, &transactions)?;
        if datatype != Datatype::Registers {
            understood.retain(|(place, accesses)| {
                let mut accesses = accesses.iter();
                let fine = accesses.all(|(_, access)| match access {
                    Access::Read(value) => is_collection(value),
                    _ => true,
                });
                if !fine {
                    self.skip(NO_COLLECTION, &transactions[*place]);
                }
                fine
            });
        }
        match datatype {
            Datatype::Registers => self.registers(&transactions, &understood),
            Datatype::Lists => lists(&transactions, &understood),
            Datatype::Sets => sets(&transactions, &understood),
        }
    }

    /// What did not happen cannot matter.
    fn skip(&mut self, what: &'static str, transaction: &Transaction) {
        let harmless = transaction.outcome == Outcome::Aborted;
        skip(&mut self.skipped, what, harmless, || transaction.place());
    }

    fn registers(
        &mut self,
        transactions: &[Transaction],
        understood: &[(usize, Accesses)],
    ) -> Result<Registers, FormatError> {
        const NIL: &str = "reads of nil, of keys to which nil was written too: it is not known whether they read that";
        let mut builder = ListBuilder::default();
        let (mut keys, mut values) = (Names::default(), Names::default());
        if self.values_are_versions {
            builder.registers().values_are_versions();
        }
        let anything = self.skipped.iter().any(|skipped| !skipped.harmless);
        let mut nil: HashSet<u64> = HashSet::new();
        for (place, accesses) in understood {
            for (key, access) in accesses {
                if matches!(access, Access::Write(Value::Nil))
                    && transactions[*place].outcome != Outcome::Aborted
                {
                    nil.insert(keys.number(key, |key, name| {
                        builder.registers().name_key(key, name);
                    }));
                }
            }
        }
        for (place, accesses) in understood {
            let transaction = &transactions[*place];
            let number = begin(&mut builder, transaction);
            let registers = builder.registers();
            for (key, access) in accesses {
                let key = keys.number(key, |key, name| registers.name_key(key, name));
                let (Access::Write(value) | Access::Read(value)) = access else {
                    unreachable!("nothing but registers is in this history");
                };
                if let Access::Read(Value::Nil) = access {
                    if nil.contains(&key) {
                        skip(&mut self.skipped, NIL, false, || transaction.place());
                    } else if !anything {
                        registers.read_initial(number, key);
                    }
                    continue;
                }
                let value = match self.values_are_versions {
                    true => transaction.version(value)?,
                    false => values.number(value, |value, name| registers.name_value(value, name)),
                };
                match access {
                    Access::Write(_) => registers.write(number, key, value),
                    _ => registers.read(number, key, value),
                }
            }
        }
        Ok(builder.finish()?)
    }
}

/// Begins a transaction.
fn begin(builder: &mut ListBuilder, transaction: &Transaction) -> u32 {
    let label = Some(transaction.label);
    let number = builder.transaction(transaction.session, label, transaction.outcome);
    if let Some(invoked) = transaction.invoked {
        let registers = builder.registers();
        registers.times(number, invoked, transaction.completed);
    }
    number
}

/// The elements of a collection; `nil` is the empty one.
fn elements(value: &Value) -> &[Value] {
    match value.untagged() {
        Value::List(elements) | Value::Set(elements) => elements,
        _ => &[],
    }
}

fn lists(
    transactions: &[Transaction],
    understood: &[(usize, Accesses)],
) -> Result<Registers, FormatError> {
    let mut builder = ListBuilder::default();
    let (mut keys, mut values) = (Names::default(), Names::default());
    for (place, accesses) in understood {
        let number = begin(&mut builder, &transactions[*place]);
        for (key, access) in accesses {
            let registers = builder.registers();
            let key = keys.number(key, |key, name| registers.name_key(key, name));
            let mut value = |value: &Value| {
                values.number(value, |value, name| registers.name_value(value, name))
            };
            match access {
                Access::Read(list) => {
                    let list: Vec<u64> = elements(list).iter().map(value).collect();
                    builder.read(number, key, &list);
                }
                Access::Append(element) | Access::Add(element) | Access::Write(element) => {
                    let element = value(element);
                    builder.append(number, key, element);
                }
            }
        }
    }
    Ok(builder.finish()?)
}

fn sets(
    transactions: &[Transaction],
    understood: &[(usize, Accesses)],
) -> Result<Registers, FormatError> {
    let mut builder = SetBuilder::default();
    let (mut keys, mut values) = (Names::default(), Names::default());
    for (place, accesses) in understood {
        let transaction = &transactions[*place];
        let label = Some(transaction.label);
        let number = builder.transaction(transaction.session, label, transaction.outcome);
        if let Some(invoked) = transaction.invoked {
            builder.times(number, invoked, transaction.completed);
        }
        for (key, access) in accesses {
            let key = keys.number(key, |key, name| builder.name_key(key, name));
            let mut value =
                |value: &Value| values.number(value, |value, name| builder.name_value(value, name));
            match access {
                Access::Read(set) => {
                    let set: Vec<u64> = elements(set).iter().map(value).collect();
                    builder.read(number, key, &set);
                }
                Access::Append(element) | Access::Add(element) | Access::Write(element) => {
                    let element = value(element);
                    builder.add(number, key, element);
                }
            }
        }
    }
    Ok(builder.finish()?)
}
