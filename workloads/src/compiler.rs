//! From transactions to calls for one client, and from its answers to effects.

use squall_protocol::contract::Access;
use squall_protocol::ledger::LedgerSeen;
use squall_protocol::plan;
use squall_protocol::sql::{Call, Dialect, SqlRows, SqlValue};
use squall_protocol::transaction::{Effects, Transaction};

use crate::known::Known;
use crate::registry::workload;
use crate::rows::{Malformed, Results};
use crate::workload::{Context, Step, Table, Workload};

/// Speaks of a workload with one client.
#[derive(Clone)]
pub struct Compiler {
    workload: &'static dyn Workload,
    dialect: Dialect,
    client: String,
    keys: u32,
}

impl Compiler {
    pub fn new(
        name: plan::Workload,
        payload: bool,
        keys: u32,
        client: &str,
        dialect: Dialect,
    ) -> Compiler {
        Compiler {
            workload: workload(name, payload),
            dialect,
            client: client.to_owned(),
            keys,
        }
    }

    /// What the client's database speaks.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The workload's tables.
    pub fn tables(&self) -> &'static [Table] {
        self.workload.tables()
    }

    /// The texts of the statements that calls name by their index: the workload's, then for every table the
    /// one that looks for a row.
    pub fn statements(&self) -> Vec<String> {
        let statements = self.workload.statements().iter();
        let of_workload = statements.map(|statement| statement.sql(self.dialect).to_owned());
        let find = |table: &Table| format!("SELECT 1 FROM {} WHERE id = $1", table.name);
        of_workload.chain(self.tables().iter().map(find)).collect()
    }

    /// Fills the empty tables with what they hold at first.
    pub fn first_rows(&self) -> Vec<Call> {
        self.calls(self.workload.first_rows(self.keys))
    }

    /// What the client does first on every connection.
    pub fn new_connection(&self) -> Vec<Call> {
        match self.dialect {
            Dialect::Sqlite => Vec::new(),
            Dialect::Postgres => self.calls(self.workload.new_connection(&self.client)),
        }
    }

    /// What has to be asked in a transaction before one that writes, if [`Known::last_seq`] is needed and
    /// not known: one call that answers one integer.
    pub fn last_seq(&self) -> Option<Vec<Call>> {
        let step = self.workload.last_seq(&self.client)?;
        Some(self.calls(vec![step]))
    }

    /// What a transaction does.
    pub fn compile(&self, transaction: &Transaction, known: &Known) -> Vec<Call> {
        let seen = known.seen(transaction.through);
        let context = self.context(&seen, known.last_seq.unwrap_or_default(), false);
        self.calls(self.workload.compile(&context, transaction))
    }

    /// What a transaction has read and written.
    ///
    /// # Errors
    ///
    /// When the results make no sense as those of [`Compiler::compile`].
    pub fn interpret(
        &self,
        transaction: &Transaction,
        results: Vec<SqlRows>,
    ) -> Result<Effects, Malformed> {
        self.interpret_as(transaction, results, false)
    }

    /// Does a transaction by whatever does calls. For tests of clients; the coordinator speaks with its
    /// clients by messages.
    ///
    /// # Errors
    ///
    /// Those of the calls.
    ///
    /// # Panics
    ///
    /// When what comes back makes no sense.
    pub fn transact<E>(
        &self,
        transaction: &Transaction,
        mut execute: impl FnMut(Access, &[Call]) -> Result<Vec<SqlRows>, E>,
    ) -> Result<Effects, E> {
        let mut known = Known::default();
        if let Some(calls) = self.last_seq() {
            let results = execute(Access::Read, &calls)?;
            known.last_seq = Some(self.seq(&results).expect("it makes sense"));
        }
        let calls = self.compile(transaction, &known);
        let results = execute(transaction.through.access(), &calls)?;
        Ok(self
            .interpret(transaction, results)
            .expect("it makes sense"))
    }

    /// Reads everything: rows in the order in which PostgreSQL inserted them, where that is known.
    pub fn read_everything(&self) -> Vec<Call> {
        let seen = LedgerSeen::nothing();
        let context = self.context(&seen, 0, true);
        self.calls(self.workload.compile(&context, &Transaction::read_all()))
    }

    /// What [`Compiler::read_everything`] has read.
    ///
    /// # Errors
    ///
    /// When the results make no sense.
    pub fn everything(&self, results: Vec<SqlRows>) -> Result<Effects, Malformed> {
        self.interpret_as(&Transaction::read_all(), results, true)
    }

    fn interpret_as(
        &self,
        transaction: &Transaction,
        results: Vec<SqlRows>,
        as_inserted: bool,
    ) -> Result<Effects, Malformed> {
        let seen = LedgerSeen::nothing();
        let context = self.context(&seen, 0, as_inserted);
        let mut results = Results::new(results);
        let effects = self
            .workload
            .interpret(&context, transaction, &mut results)?;
        results.end()?;
        Ok(effects)
    }

    /// Whether that is what everybody reads before the first transaction.
    pub fn is_initial(&self, effects: &Effects) -> bool {
        *effects == self.workload.initial(self.keys)
    }

    /// Looks for the row of that id in every table.
    pub fn find_row(&self, id: &str) -> Vec<Call> {
        let first = self.workload.statements().len();
        let find = |statement| Call {
            statement,
            parameters: vec![id.into()],
        };
        (first..first + self.tables().len()).map(find).collect()
    }

    /// The tables that have the row of [`Compiler::find_row`].
    pub fn tables_with_row(&self, results: &[SqlRows]) -> Vec<String> {
        let tables = self.tables().iter().zip(results);
        tables
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(table, _)| table.name.to_owned())
            .collect()
    }

    /// The integer that [`Compiler::last_seq`] asks for.
    ///
    /// # Errors
    ///
    /// When that is not what came.
    pub fn seq(&self, results: &[SqlRows]) -> Result<i64, Malformed> {
        if let [rows] = results
            && let [row] = &rows[..]
            && let [SqlValue::Integer(seq)] = row[..]
        {
            return Ok(seq);
        }
        Err(Malformed(format!("{results:?} is no sequence number")))
    }

    fn context<'a>(
        &'a self,
        seen: &'a LedgerSeen,
        last_seq: i64,
        as_inserted: bool,
    ) -> Context<'a> {
        Context {
            dialect: self.dialect,
            client: &self.client,
            keys: self.keys,
            seen,
            last_seq,
            as_inserted,
        }
    }

    fn calls(&self, steps: Vec<Step>) -> Vec<Call> {
        let statements = self.workload.statements();
        let call = |step: Step| Call {
            statement: statements
                .iter()
                .position(|statement| std::ptr::eq(*statement, step.statement))
                .expect("a workload lists its statements"),
            parameters: step.parameters,
        };
        steps.into_iter().map(call).collect()
    }
}
