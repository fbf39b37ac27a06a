//! Writing recorded transactions in the formats of other checkers, so that others can check them too.
//!
//! Jepsen's and Elle's formats hold everything. Plume's and dbcop's have no word for a transaction that
//! may have happened: [`Recording::without_unknown`] says what becomes of it there. They know registers
//! alone: [`Recording::into_registers`] says what becomes of lists, and sets are refused.

use std::collections::HashSet;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;
use strum::{IntoStaticStr, VariantArray};

use super::plume;
use crate::recording::{Datatype, Moment, NO_ELEMENT, Operation, Recording, Transaction};
use crate::registers::Outcome;

/// A format to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Target {
    Plume,
    DbcopJson,
    ElleEdn,
    JepsenJson,
}

impl Target {
    pub const ALL: &'static [Target] = Target::VARIANTS;

    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether the format has words for what the keys of the recording hold.
    ///
    /// # Errors
    ///
    /// When it has none.
    pub fn can_hold(self, recording: &Recording) -> Result<(), NoSets> {
        match self {
            Target::Plume | Target::DbcopJson if recording.datatype == Datatype::Sets => {
                Err(NoSets(self.name()))
            }
            _ => Ok(()),
        }
    }

    /// Writes a recording, and answers with what the format could not hold, in sentences.
    ///
    /// # Errors
    ///
    /// When it can not be written, or the format [can not hold](Target::can_hold) it.
    pub fn write(self, recording: &Recording, mut out: impl Write) -> io::Result<Vec<String>> {
        self.can_hold(recording)
            .map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
        match self {
            Target::Plume => write_plume(recording, &mut out),
            Target::DbcopJson => write_dbcop(recording, &mut out),
            Target::ElleEdn => write_jepsen(recording, &mut out, edn),
            Target::JepsenJson => write_jepsen(recording, &mut out, json_line),
        }
    }
}

/// The format knows registers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} has no word for sets; export to elle-edn or jepsen-json")]
pub struct NoSets(&'static str);

impl Recording {
    /// The recording for formats in which a transaction has committed or not. One that may have
    /// happened is left out if nobody has read from it. If somebody has, it is a transaction that
    /// committed, in a session of its own, since it may have taken effect late; so its place in its
    /// own session is lost. Also answers with what is lost, in sentences.
    pub fn without_unknown(&self) -> (Recording, Vec<String>) {
        let committed = |t: &&Transaction| t.outcome == Outcome::Committed;
        let operations = self.transactions.iter().filter(committed);
        let read: HashSet<(u64, u64)> = operations
            .flat_map(|transaction| &transaction.operations)
            .filter_map(|operation| match *operation {
                Operation::Read { key, value } => value.map(|value| (key, value)),
                Operation::Write { .. } => None,
            })
            .collect();
        let is_read = |operation: &Operation| match operation {
            Operation::Write { key, value } => read.contains(&(*key, *value)),
            Operation::Read { .. } => false,
        };
        let mut known = Recording {
            transactions: Vec::new(),
            ..self.clone()
        };
        let (mut left_out, mut moved) = (0, 0);
        for transaction in &self.transactions {
            let mut transaction = transaction.clone();
            if transaction.outcome == Outcome::Unknown {
                if !transaction.operations.iter().any(is_read) {
                    left_out += u64::from(!transaction.operations.is_empty());
                    continue;
                }
                moved += 1;
                transaction.outcome = Outcome::Committed;
                let client = self.sessions[transaction.session as usize].clone();
                transaction.session = known.sessions.len() as u64;
                known.sessions.push(client);
            }
            known.transactions.push(transaction);
        }
        let mut losses = Vec::new();
        if moved > 0 {
            losses.push(format!(
                "{moved} transactions of unknown outcome were read from; they are written as \
                 committed, each in a session of its own, so that what their sessions had done before \
                 no longer counts as their past"
            ));
        }
        if left_out > 0 {
            losses.push(format!(
                "{left_out} transactions of unknown outcome were read by nobody; they are left out"
            ));
        }
        (known, losses)
    }
}

/// A recording for formats that know only registers and transactions that have happened or not.
fn for_registers(recording: &Recording) -> (Recording, Vec<String>) {
    let (known, mut losses) = recording.clone().into_registers().without_unknown();
    if recording.datatype == Datatype::Lists {
        losses.push("a list is written as a register that holds its last element".to_owned());
    }
    (known, losses)
}

/// What to add to all values, so that none is 0, which stands for the initial one.
fn shift(recording: &Recording, losses: &mut Vec<String>) -> u64 {
    let operations = recording.transactions.iter().flat_map(|t| &t.operations);
    let mut values = operations.filter_map(|operation| match *operation {
        Operation::Read { value, .. } => value,
        Operation::Write { value, .. } => Some(value),
    });
    let shift = u64::from(values.any(|value| value == 0));
    if shift > 0 {
        losses.push("all values are greater by 1, because 0 is the initial value there".to_owned());
    }
    shift
}

fn write_plume(recording: &Recording, out: &mut impl Write) -> io::Result<Vec<String>> {
    let (recording, mut losses) = for_registers(recording);
    let shift = shift(&recording, &mut losses);
    let mut empty = 0;
    for transaction in &recording.transactions {
        let aborted = transaction.outcome == Outcome::Aborted;
        empty += u64::from(!aborted && transaction.operations.is_empty());
        for operation in &transaction.operations {
            let (write, key, value) = match *operation {
                Operation::Read { key, value } => (
                    false,
                    key,
                    value.map_or(plume::INITIAL_VALUE, |value| value.saturating_add(shift)),
                ),
                Operation::Write { key, value } => (true, key, value.saturating_add(shift)),
            };
            let line = plume::Line {
                write,
                key,
                value,
                session: transaction.session,
                transaction: (!aborted).then_some(transaction.label),
            };
            plume::write(&mut *out, line)?;
        }
    }
    if empty > 0 {
        losses.push(format!(
            "{empty} transactions read and wrote nothing; they are left out"
        ));
    }
    losses.push("times and the names of clients are left out".to_owned());
    Ok(losses)
}

fn write_dbcop(recording: &Recording, out: &mut impl Write) -> io::Result<Vec<String>> {
    let (recording, mut losses) = for_registers(recording);
    let mut sessions: Vec<Vec<serde_json::Value>> = vec![Vec::new(); recording.sessions.len()];
    let mut keys = HashSet::new();
    let (mut longest_session, mut longest_transaction) = (0, 0);
    let mut last_time = 0;
    let shift = shift(&recording, &mut losses);
    for transaction in &recording.transactions {
        let events = transaction.operations.iter().map(|operation| {
            let (Operation::Read { key, .. } | Operation::Write { key, .. }) = operation;
            keys.insert(*key);
            match operation {
                Operation::Read { key, value } => {
                    let value = value.map(|value| value.saturating_add(shift));
                    json!({"Read": {"variable": key, "version": value}})
                }
                Operation::Write { key, value } => {
                    let value = value.saturating_add(shift);
                    json!({"Write": {"variable": key, "version": value}})
                }
            }
        });
        let events: Vec<serde_json::Value> = events.collect();
        let committed = transaction.outcome == Outcome::Committed;
        longest_transaction = longest_transaction.max(events.len());
        let session = &mut sessions[transaction.session as usize];
        session.push(json!({"events": events, "committed": committed}));
        longest_session = longest_session.max(session.len());
        last_time = last_time.max(transaction.completed.unwrap_or(transaction.invoked).time);
    }
    let document = json!({
        "params": {
            "id": 0,
            "n_node": sessions.len(),
            "n_variable": keys.len(),
            "n_transaction": longest_session,
            "n_event": longest_transaction,
        },
        "info": "squall",
        "start": date(Duration::from_millis(recording.started_at_ms)),
        "end": date(Duration::from_millis(recording.started_at_ms) + Duration::from_micros(last_time)),
        "data": sessions,
    });
    serde_json::to_writer(&mut *out, &document)?;
    writeln!(out)?;
    losses.push(
        "the time of each operation and the names of clients and operations are left out"
            .to_owned(),
    );
    Ok(losses)
}

/// In the notation of RFC 3339. The history may claim any time.
fn date(since_1970: Duration) -> String {
    const YEAR_9999: Duration = Duration::from_secs(253_370_764_800);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since_1970.min(YEAR_9999)).to_string()
}

/// What a process did at a moment.
struct Step<'r> {
    at: Moment,
    kind: &'static str,
    transaction: &'r Transaction,
}

/// The steps of all processes in real time. A process does one transaction after the other, as Jepsen
/// demands: where a history says that two overlapped, the later one begins when the earlier one ended.
fn steps(recording: &Recording) -> Vec<Step<'_>> {
    let mut steps: Vec<Step> = Vec::with_capacity(2 * recording.transactions.len());
    // The latest step of each session.
    let mut latest: Vec<Option<usize>> = vec![None; recording.sessions.len()];
    for transaction in &recording.transactions {
        let latest = &mut latest[transaction.session as usize];
        let mut begin = transaction.began;
        if let Some(latest) = *latest {
            begin = begin.max(steps[latest].at);
            if steps[latest].kind == "invoke" {
                // It never completed.
                let open = steps[latest].transaction;
                steps.push(Step {
                    at: begin,
                    kind: "info",
                    transaction: open,
                });
            }
        }
        *latest = Some(steps.len());
        steps.push(Step {
            at: begin,
            kind: "invoke",
            transaction,
        });
        if let Some(completed) = transaction.completed {
            *latest = Some(steps.len());
            steps.push(Step {
                at: completed.max(begin),
                kind: match transaction.outcome {
                    Outcome::Committed => "ok",
                    Outcome::Aborted => "fail",
                    Outcome::Unknown => "info",
                },
                transaction,
            });
        }
    }
    // Stable: the steps of a session are in order already.
    steps.sort_by_key(|step| step.at.record);
    steps
}

/// An operation as Jepsen tells it: what it does, with which key.
struct MicroOperation<'s> {
    function: &'static str,
    key: u64,
    value: MicroValue<'s>,
}

enum MicroValue<'s> {
    /// Not known yet, or the initial value.
    Nil,
    One(u64),
    List(&'s [u64]),
    /// Each element once, as EDN demands of a set.
    Set(Vec<u64>),
}

impl Step<'_> {
    /// The operations as they are written. What a transaction will read is not known when it begins.
    fn micro_operations(&self, datatype: Datatype) -> Vec<MicroOperation<'_>> {
        let known = self.kind == "ok";
        let read = |key, value| MicroOperation {
            function: "r",
            key,
            value: if known { value } else { MicroValue::Nil },
        };
        let collections = self.transaction.collections.iter();
        let collections = collections.map(|(key, elements)| {
            let value = match datatype {
                Datatype::Sets => MicroValue::Set(each_once(elements)),
                _ => MicroValue::List(elements),
            };
            read(*key, value)
        });
        let operations = self.transaction.operations.iter();
        let operations = operations.map(|operation| match *operation {
            Operation::Read { key, value } => {
                read(key, value.map_or(MicroValue::Nil, MicroValue::One))
            }
            Operation::Write { key, value } => MicroOperation {
                function: match datatype {
                    Datatype::Registers => "w",
                    Datatype::Lists => "append",
                    Datatype::Sets => "add",
                },
                key,
                value: MicroValue::One(value),
            },
        });
        collections.chain(operations).collect()
    }
}

fn each_once(elements: &[u64]) -> Vec<u64> {
    let mut set = elements.to_vec();
    set.sort_unstable();
    set.dedup();
    set
}

fn write_jepsen<W: Write>(
    recording: &Recording,
    out: &mut W,
    line: fn(&mut W, usize, &Step, &str, &[MicroOperation]) -> io::Result<()>,
) -> io::Result<Vec<String>> {
    for (index, step) in steps(recording).iter().enumerate() {
        let client = &recording.sessions[step.transaction.session as usize];
        line(
            out,
            index,
            step,
            client,
            &step.micro_operations(recording.datatype),
        )?;
    }
    let mut losses = Vec::new();
    let (mut garbled, mut repeated) = (0, 0);
    let collections = recording.transactions.iter().flat_map(|t| &t.collections);
    for (_, elements) in collections {
        garbled += elements.iter().filter(|e| **e == NO_ELEMENT).count();
        if recording.datatype == Datatype::Sets {
            repeated += elements.len() - each_once(elements).len();
        }
    }
    if garbled > 0 {
        losses.push(format!(
            "{garbled} texts that were read are no elements; each is written as the element -1, which nobody wrote"
        ));
    }
    if repeated > 0 {
        losses.push(format!(
            "{repeated} elements were read from a set that showed them already; they are written once"
        ));
    }
    Ok(losses)
}

fn edn(
    out: &mut impl Write,
    index: usize,
    step: &Step,
    client: &str,
    operations: &[MicroOperation],
) -> io::Result<()> {
    let Step {
        at,
        kind,
        transaction,
    } = step;
    write!(
        out,
        "{{:index {index}, :time {}, :type :{kind}, :process {}, :client {}, :f :txn, :value [",
        u128::from(at.time) * 1000,
        transaction.session,
        serde_json::Value::from(client),
    )?;
    for (place, operation) in operations.iter().enumerate() {
        let space = if place > 0 { " " } else { "" };
        write!(out, "{space}[:{} {} ", operation.function, operation.key)?;
        match &operation.value {
            MicroValue::Nil => write!(out, "nil]")?,
            // Negative values are written as such.
            MicroValue::One(value) => write!(out, "{}]", *value as i64)?,
            MicroValue::List(list) => write!(out, "[{}]]", spaced(list))?,
            MicroValue::Set(set) => write!(out, "#{{{}}}]", spaced(set))?,
        }
    }
    let final_read = if transaction.is_final_read {
        ", :final-read? true"
    } else {
        ""
    };
    writeln!(out, "]{final_read}}}")
}

fn spaced(elements: &[u64]) -> String {
    let elements: Vec<String> = elements.iter().map(|e| (*e as i64).to_string()).collect();
    elements.join(" ")
}

fn json_line(
    out: &mut impl Write,
    index: usize,
    step: &Step,
    client: &str,
    operations: &[MicroOperation],
) -> io::Result<()> {
    let signed = |elements: &[u64]| -> serde_json::Value {
        elements.iter().map(|element| *element as i64).collect()
    };
    let value = |operation: &MicroOperation| {
        let value = match &operation.value {
            MicroValue::Nil => json!(null),
            MicroValue::One(value) => json!(*value as i64),
            MicroValue::List(list) => signed(list),
            MicroValue::Set(set) => signed(set),
        };
        json!([operation.function, operation.key, value])
    };
    let value: Vec<serde_json::Value> = operations.iter().map(value).collect();
    let mut line = json!({
        "index": index,
        "time": step.at.time.saturating_mul(1000),
        "type": step.kind,
        "process": step.transaction.session,
        "client": client,
        "f": "txn",
        "value": value,
    });
    if step.transaction.is_final_read {
        line["final-read?"] = json!(true);
    }
    serde_json::to_writer(&mut *out, &line)?;
    writeln!(out)
}
