//! What a workload is made of, and what several have in common.

use squall_protocol::backend::{CrudEntry, CrudValue};
use squall_protocol::contract::{ColumnSchema, TableSchema};
use squall_protocol::ledger::LedgerSeen;
use squall_protocol::sql::{Dialect, SqlValue};
use squall_protocol::transaction::{Effects, Key, Reads, Rows, Transaction, Value};

use crate::rows::{Malformed, Results};

/// What a workload is made of.
pub trait Workload: Sync {
    /// Its tables, all of which are synced to every client.
    fn tables(&self) -> &'static [Table];

    /// All statements that [`Workload::first_rows`], [`Workload::new_connection`] and
    /// [`Workload::compile`] use.
    fn statements(&self) -> &'static [&'static Statement];

    /// Fills the empty tables with what they hold at first.
    fn first_rows(&self, _keys: u32) -> Vec<Step> {
        Vec::new()
    }

    /// What that client does first on every connection to PostgreSQL.
    fn new_connection(&self, _client: &str) -> Vec<Step> {
        Vec::new()
    }

    /// The sequence number of the client's last transaction, if [`Workload::compile`] has to know that.
    fn last_seq(&self, _client: &str) -> Option<Step> {
        None
    }

    /// Which rows its transactions and probes use.
    fn shape(&self) -> Shape;

    /// What everybody reads before the first transaction.
    fn initial(&self, keys: u32) -> Effects;

    /// Whether a read shows what a probe has written.
    fn shows(&self, read: &Effects, written: &Rows) -> bool;

    /// What a transaction does.
    fn compile(&self, context: &Context, transaction: &Transaction) -> Vec<Step>;

    /// What a transaction has read and written, out of the results of what [`Workload::compile`] says for
    /// the same dialect.
    ///
    /// # Errors
    ///
    /// When they make no sense. Rows that are missing, or there twice, are no error.
    fn interpret(
        &self,
        context: &Context,
        transaction: &Transaction,
        results: &mut Results,
    ) -> Result<Effects, Malformed>;

    /// What the backend does with a row of an upload.
    ///
    /// # Errors
    ///
    /// Why there can be no such row.
    fn merge(&self, entry: &CrudEntry) -> Result<Merge, String>;
}

/// Which rows the transactions and probes of a workload use, for whoever plans them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Whether what reads reads every row. Where values pile up in a row, transactions read a few, out of
    /// the few that are in use at a time.
    pub reads_all: bool,
    pub probe: Probe,
}

/// Which rows a probe writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Some, as every transaction.
    Any,
    /// One, if possible another for every client.
    OwnIfPossible,
    /// One, and no other probe's: another's would hide it.
    Own,
    /// One that nothing but this probe writes to in the whole run.
    Reserved,
}

/// For whom a transaction is, beside the transaction itself.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub dialect: Dialect,
    /// The client's name.
    pub client: &'a str,
    pub keys: u32,
    /// What of the ledger need not be read.
    pub seen: &'a LedgerSeen,
    /// How many transactions of the client have written, as far as is known: see [`Workload::last_seq`].
    pub last_seq: i64,
    /// Whether rows are wanted in the order in which PostgreSQL inserted them, where that is known.
    pub as_inserted: bool,
}

/// A statement in both dialects.
#[derive(Debug)]
pub struct Statement {
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

impl Statement {
    /// A statement that both understand.
    pub const fn common(sql: &'static str) -> Statement {
        Statement {
            sqlite: sql,
            postgres: sql,
        }
    }

    /// The text in that dialect.
    pub fn sql(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }

    /// The statement with these parameters.
    pub fn with(&'static self, parameters: impl Into<Vec<SqlValue>>) -> Step {
        Step {
            statement: self,
            parameters: parameters.into(),
        }
    }
}

/// A statement with its parameters.
#[derive(Debug)]
pub struct Step {
    pub statement: &'static Statement,
    pub parameters: Vec<SqlValue>,
}

/// A table, as PostgreSQL and as clients have it.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    /// Makes the table in PostgreSQL, with its indexes, if there is none.
    pub postgres: &'static str,
    /// Inserts into PostgreSQL a row of the id `$1` that no transaction could have written. It is there
    /// before the storm only, to see that rows of this table come to clients, and go.
    pub canary: &'static str,
    /// The columns that clients have beside `id`: name and SQLite type.
    pub columns: &'static [(&'static str, &'static str)],
    /// The columns of the clients' index, if they need one.
    pub index: &'static [&'static str],
    /// Whether uploads of changes carry what the columns held before.
    pub track_previous: bool,
}

impl Table {
    /// What clients are told of it.
    pub fn schema(&self) -> TableSchema {
        let column = |(name, kind): &(&str, &str)| ColumnSchema {
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
        };
        TableSchema {
            name: self.name.to_owned(),
            columns: self.columns.iter().map(column).collect(),
            index: self.index.iter().map(|name| (*name).to_owned()).collect(),
            track_previous: self.track_previous,
        }
    }
}

/// A statement for PostgreSQL that merges a row of an upload.
#[derive(Debug, PartialEq, Eq)]
pub struct Merge {
    pub sql: &'static str,
    /// Texts, 64-bit integers and nulls.
    pub parameters: Vec<CrudValue>,
}

/// A statement that fills an empty table of keyed rows with `$1` of them, each with that value.
macro_rules! seed {
    ($table:literal, $value:literal) => {
        crate::workload::Statement {
            sqlite: concat!(
                "WITH RECURSIVE keys (k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM keys WHERE k + 1 < $1)
                INSERT INTO ", $table, " (id, k, v) SELECT CAST(k AS TEXT), k, ", $value, " FROM keys"
            ),
            postgres: concat!(
                "INSERT INTO ", $table, " (id, k, v) SELECT k::text, k, ", $value,
                " FROM generate_series(0, $1::bigint - 1) AS k"
            ),
        }
    };
}
pub(crate) use seed;

/// All keys, each with that value.
pub(crate) fn all_rows(keys: u32, value: Value) -> Rows {
    (0..keys).map(|key| (key, value)).collect()
}

/// Whether rows hold at least the values that were written.
pub(crate) fn rows_reach(read: &Effects, written: &Rows) -> bool {
    written.iter().all(|&(key, value)| {
        let found = read.reads.binary_search_by_key(&key, |row| row.0);
        found.is_ok_and(|found| read.reads[found].1 >= value)
    })
}

/// All keys, each without an element.
pub(crate) fn empty_collections(keys: u32) -> Effects {
    Effects {
        collections: Some((0..keys).map(|key| (key, String::new())).collect()),
        ..Effects::default()
    }
}

/// Whether lists or sets hold the elements that were written.
pub(crate) fn collections_hold(read: &Effects, written: &Rows) -> bool {
    let collections = read.collections.as_deref().unwrap_or_default();
    written.iter().all(|&(key, value)| {
        let found = collections.binary_search_by_key(&key, |collection| collection.0);
        found.is_ok_and(|found| {
            let mut elements = collections[found].1.split(' ');
            elements.any(|element| element == value.to_string())
        })
    })
}

/// Reads what is asked for: everything by the one statement, or chosen keys, in their order, by the other.
pub(crate) fn read(
    all: &'static Statement,
    of_key: &'static Statement,
    reads: &Reads,
) -> Vec<Step> {
    match reads {
        Reads::Nothing => Vec::new(),
        Reads::Keys(keys) => {
            let mut keys = keys.clone();
            keys.sort_unstable();
            let of_key = |key: Key| of_key.with([key.into()]);
            keys.into_iter().map(of_key).collect()
        }
        Reads::All => vec![all.with([])],
    }
}

/// How many calls [`read`] asks for.
pub(crate) fn calls_of(reads: &Reads) -> usize {
    match reads {
        Reads::Nothing => 0,
        Reads::Keys(keys) => keys.len(),
        Reads::All => 1,
    }
}

/// A complaint about a row of an upload.
pub(crate) fn complaint(entry: &CrudEntry, what: &str) -> String {
    format!("row {} of table {}: {what}", entry.id, entry.table)
}
