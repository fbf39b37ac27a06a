//! A whole client, written from docs/clients.md alone and with nothing of squall's: plain SQLite in a file of
//! its own, with a live query. So that `squall conform` can be seen to notice it, each thing that it has to do
//! it can be told not to do ([`Misdeed`]).

use std::env;
use std::process::exit;

use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The environment variable that names what it does wrong.
pub const MISDEED: &str = "SQUALL_TEST_MISDEED";

/// What a client may do wrong, each with the checks that have to notice it.
pub const MISDEEDS: &[(&str, &[&str])] = &[
    ("says another version", &["hello"]),
    ("says it is new every time", &["kept-database"]),
    ("another session every time", &["kept-database"]),
    ("one session for all", &["new-database"]),
    ("leaves the new database empty", &["first-rows"]),
    (
        "forgets the rows of the last call",
        &["write-transaction", "many-calls"],
    ),
    ("writes in read transactions", &["read-transaction"]),
    ("commits after an error", &["rollback", "unknown-statement"]),
    (
        "does nothing for an unknown statement",
        &["unknown-statement"],
    ),
    ("answers 500 calls", &["many-calls"]),
    ("rounds integers to doubles", &["values"]),
    ("makes whole numbers of reals", &["values"]),
    ("answers blobs as texts", &["values"]),
    ("ends texts at a NUL", &["nul"]),
    ("binds each parameter once", &["parameters"]),
    ("answers 50,000 rows", &["big-result"]),
    ("waits for a change", &["live-query", "replaced-query"]),
    ("leaves out each tenth emission", &["last-change"]),
    ("keeps the first live query", &["replaced-query"]),
    ("does not answer the integrity check", &["integrity"]),
    ("takes no unknown fields", &["unknown-fields"]),
    ("ends at an unknown message", &["unknown-messages"]),
    ("commits after its answer", &["kill"]),
    (
        "drops what is not committed at stop",
        &["kept-database", "stop", "kill"],
    ),
    ("outlives its connection", &["control-lost"]),
];

/// Whether it does that wrong.
fn does(misdeed: &str) -> bool {
    debug_assert!(MISDEEDS.iter().any(|(name, _)| *name == misdeed));
    env::var(MISDEED).is_ok_and(|chosen| chosen == misdeed)
}

/// Lives a client's life.
pub fn run() -> Result<()> {
    let (mut socket, _) = tungstenite::connect(env::var("SQUALL_CONTROL_URL")?)?;
    let mut client = Client::default();
    let hello = json!({"hello": {
        "client": env::var("SQUALL_CLIENT")?,
        "contract": if does("says another version") { 99 } else { 1 },
        "dialect": "sqlite",
        "engine": {"name": "SQLite", "version": rusqlite::version()},
        "capabilities": {"watches": true, "checks_integrity": true},
    }});
    socket.send(Message::text(hello.to_string()))?;
    loop {
        let text = match socket.read() {
            Ok(Message::Text(text)) => text,
            Ok(_) => continue,
            Err(_) if does("outlives its connection") => loop {
                std::thread::park();
            },
            Err(error) => return Err(error.into()),
        };
        // What is not understood is ignored.
        let message = serde_json::from_str(&text).unwrap_or(Value::Null);
        if message == "stop" {
            client.close()?;
            socket.close(None)?;
            while socket.read().is_ok() {}
            exit(0);
        }
        if message.get("from-the-future").is_some() && does("ends at an unknown message") {
            return Err("what is that?".into());
        }
        if text.contains("from_the_future") && does("takes no unknown fields") {
            continue;
        }
        for answer in client.answers(&message)? {
            socket.send(Message::text(answer.to_string()))?;
        }
    }
}

#[derive(Default)]
struct Client {
    database: Option<Connection>,
    statements: Value,
    watched: Option<Vec<Value>>,
    emissions: usize,
    /// For the misdeeds that commit late: whether a transaction is open.
    uncommitted: bool,
}

impl Client {
    /// What it says to a message.
    fn answers(&mut self, message: &Value) -> Result<Vec<Value>> {
        let mut answers = Vec::new();
        let mut emit = false;
        self.commit()?;
        if let config @ Value::Object(_) = &message["configure"]
            && self.database.is_none()
        {
            self.statements = config["statements"].clone();
            answers.push(self.open(config)?);
        }
        let Some(database) = &mut self.database else {
            return Ok(answers);
        };
        if message == "check-integrity" && !does("does not answer the integrity check") {
            let report: String =
                database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
            answers.push(json!({"integrity": {"report": [report]}}));
        }
        let execute = &message["execute"];
        if let (Some(operation), Some(calls)) =
            (execute["operation"].as_u64(), execute["calls"].as_array())
        {
            let write = execute["access"] == "write";
            let outcome = self.transact(calls, write);
            emit = write && outcome.get("committed").is_some();
            answers.push(json!({"completed": {"operation": operation, "outcome": outcome}}));
        }
        let watch = &message["watch"];
        if let Some(calls) = watch["calls"].as_array() {
            emit = watch["at_once"] == true && !does("waits for a change");
            if self.watched.is_none() || !does("keeps the first live query") {
                self.watched = Some(calls.clone());
            }
        }
        if let Some(calls) = self.watched.clone().filter(|_| emit) {
            self.emissions += 1;
            if !self.emissions.is_multiple_of(10) || !does("leaves out each tenth emission") {
                self.commit()?;
                let results = self.transact(&calls, false)["committed"].take();
                answers.push(json!({"emission": {"results": results}}));
            }
        }
        Ok(answers)
    }

    /// Opens or makes the database.
    fn open(&mut self, config: &Value) -> Result<Value> {
        let mut database = Connection::open(env::var("SQUALL_DATABASE")?)?;
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "full")?;
        let begun = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let is_new = !begun.table_exists(None, "identity")?;
        if is_new {
            begun.execute_batch("CREATE TABLE identity AS SELECT hex(randomblob(16)) AS id")?;
            for table in config["tables"].as_array().into_iter().flatten() {
                let columns = table["columns"].as_array().into_iter().flatten();
                let columns: String = columns
                    .map(|column| format!(", {} {}", text(&column["name"]), text(&column["type"])))
                    .collect();
                let name = text(&table["name"]);
                let make = format!("CREATE TABLE {name} (id TEXT PRIMARY KEY{columns})");
                begun.execute_batch(&make)?;
            }
            for call in config["new_database"].as_array().into_iter().flatten() {
                if !does("leaves the new database empty") {
                    rows(&begun, &self.statements, call)?;
                }
            }
        }
        let mut session: String = begun.query_row("SELECT id FROM identity", [], |r| r.get(0))?;
        if does("another session every time") {
            session = begun.query_row("SELECT hex(randomblob(16))", [], |row| row.get(0))?;
        }
        if does("one session for all") {
            session = "me".to_owned();
        }
        begun.commit()?;
        self.database = Some(database);
        let is_new = is_new || does("says it is new every time");
        Ok(json!({"ready": {"session": session, "new_session": is_new}}))
    }

    /// Does the calls in one transaction; the outcome.
    fn transact(&mut self, calls: &[Value], write: bool) -> Value {
        let late = write
            && (does("commits after its answer") || does("drops what is not committed at stop"));
        let database = self.database.as_mut().expect("it is open");
        let mut attempt = || -> Result<Value> {
            let query_only = !write && !does("writes in read transactions");
            database.pragma_update(None, "query_only", query_only)?;
            let mut begun = database.transaction_with_behavior(match write {
                true => TransactionBehavior::Immediate,
                false => TransactionBehavior::Deferred,
            })?;
            if does("commits after an error") {
                begun.set_drop_behavior(rusqlite::DropBehavior::Commit);
            }
            let mut done = Vec::new();
            for call in calls {
                done.push(rows(&begun, &self.statements, call)?);
            }
            if done.len() > 2 && does("forgets the rows of the last call") {
                done.last_mut().expect("there are some").clear();
            }
            if does("answers 500 calls") {
                done.truncate(500);
            }
            if late {
                begun.set_drop_behavior(rusqlite::DropBehavior::Ignore);
                self.uncommitted = true;
                return Ok(json!({"committed": done}));
            }
            // An error before this undoes all, as the transaction is dropped.
            Ok(match begun.commit() {
                Ok(()) => json!({"committed": done}),
                Err(error) => json!({"unknown": error.to_string()}),
            })
        };
        attempt().unwrap_or_else(|error| json!({"failed": error.to_string()}))
    }

    fn commit(&mut self) -> Result<()> {
        if std::mem::take(&mut self.uncommitted) {
            let database = self.database.as_ref().expect("something was done on it");
            database.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if !does("drops what is not committed at stop") {
            self.commit()?;
        }
        self.database = None;
        Ok(())
    }
}

/// Does a call; its rows.
fn rows(begun: &Transaction, statements: &Value, call: &Value) -> Result<Vec<Vec<Value>>> {
    let number = call["statement"]
        .as_u64()
        .ok_or("a call without a statement")?;
    let Some(sql) = statements[number as usize].as_str() else {
        return match does("does nothing for an unknown statement") {
            true => Ok(Vec::new()),
            false => Err("there is no such statement".into()),
        };
    };
    let mut sql = sql.to_owned();
    if does("binds each parameter once") {
        sql = sql.replace("$1", "?").replace("$2", "?").replace("$3", "?");
    }
    let mut statement = begun.prepare(&sql)?;
    let columns = statement.column_count();
    let parameters = call["parameters"].as_array().into_iter().flatten();
    let parameters: Vec<Sql> = parameters.map(to_sql).collect::<Result<_>>()?;
    let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if found.len() == 50_000 && does("answers 50,000 rows") {
            break;
        }
        let values = (0..columns).map(|column| Ok(from_sql(row.get_ref(column)?)));
        found.push(values.collect::<Result<_>>()?);
    }
    Ok(found)
}

fn to_sql(value: &Value) -> Result<Sql> {
    Ok(match value {
        Value::Null => Sql::Null,
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Sql::Integer(integer),
            None => Sql::Real(number.as_f64().ok_or("no number")?),
        },
        Value::String(text) => match text.split_once('\0') {
            Some((before, _)) if does("ends texts at a NUL") => Sql::Text(before.to_owned()),
            _ => Sql::Text(text.clone()),
        },
        tagged if tagged["integer"].is_string() => Sql::Integer(text(&tagged["integer"]).parse()?),
        tagged if tagged["real"].is_string() => Sql::Real(text(&tagged["real"]).parse()?),
        tagged => {
            let digits = tagged["blob"].as_str().ok_or("that is no value")?;
            let bytes = (0..digits.len()).step_by(2);
            let bytes = bytes.map(|at| u8::from_str_radix(&digits[at..at + 2], 16));
            Sql::Blob(bytes.collect::<std::result::Result<_, _>>()?)
        }
    })
}

fn from_sql(value: ValueRef) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) if integer.unsigned_abs() < 1 << 53 => json!(integer),
        ValueRef::Integer(integer) if does("rounds integers to doubles") => json!(integer as f64),
        ValueRef::Integer(integer) => json!({"integer": integer.to_string()}),
        ValueRef::Real(real) if does("makes whole numbers of reals") => json!(real as i64),
        ValueRef::Real(real) if real.is_finite() => json!(real),
        ValueRef::Real(real) => json!({"real": real.to_string()}),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if matches!(value, ValueRef::Text(_)) || does("answers blobs as texts") => {
                json!(text)
            }
            _ => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                json!({"blob": digits})
            }
        },
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
