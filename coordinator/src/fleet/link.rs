//! A client as the coordinator sees it: the control connection that the client opens, the operation
//! that it is doing, and the state that it reports. One [`Link`] lives as long as the session: it
//! outlasts every process and tab of the client.
//!
//! What is deliberately not here: how a client is started or broken (see [`crate::fleet`]).

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::{SinkExt, StreamExt};
use squall_protocol::contract::{
    Access, CONTRACT_VERSION, Capabilities, ClientConfig, ClientStatus, Engine, Execution,
    FromClient, LogLevel, ToClient,
};
use squall_protocol::history::Event;
use squall_protocol::sql::{Call, SqlRows};
use squall_protocol::transaction::{Effects, Outcome, Transaction, TransactionMode};
use squall_workloads::{Compiler, Emitted, Known};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use crate::recorder::Recorder;

/// An operation without an answer for this long is given up as `info`: the client is alive but does
/// not do what it is told. Longer than any pause that a plan contains.
const OPERATION_DEADLINE: Duration = Duration::from_secs(60);

/// The coordinator's end of a client's control connections.
#[derive(Clone)]
pub struct Link {
    config: Arc<ClientConfig>,
    compiler: Arc<Compiler>,
    /// Whether the client keeps a live query.
    watches: bool,
    recorder: Recorder,
    state: Arc<Mutex<State>>,
    /// Notified whenever the state changed.
    changed: Arc<Notify>,
    /// Held by whoever waits for an answer: a client does one thing at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Notified when a person asks for a transaction.
    wanted: Arc<Notify>,
}

#[derive(Default)]
struct State {
    incarnation: u32,
    /// What the latest incarnation says that it can do.
    capabilities: Capabilities,
    engine: Option<Engine>,
    /// What it says that runs it.
    runtime: Option<Engine>,
    /// The browser that its tab is in.
    browser: Option<Engine>,
    connection: Option<Connection>,
    status: Option<ClientStatus>,
    fatal: Option<String>,
    /// The identity of the client's database.
    session: Option<String>,
    /// What has been shown by that database.
    known: Known,
    emitted: Emitted,
    /// Whether what a live query emits belongs in the history.
    begun: bool,
    /// Why the next end of a connection is no surprise.
    expected_end: Option<&'static str>,
}

struct Connection {
    to_client: mpsc::UnboundedSender<ToClient>,
    ready: bool,
    pending: Option<Pending>,
    integrity: Option<oneshot::Sender<Vec<String>>>,
}

/// Calls that have not been answered.
struct Pending {
    operation: u64,
    /// The operation of the history that they are, if they are one.
    recorded: Option<Transaction>,
    answer: oneshot::Sender<Answer>,
}

/// What came of calls.
enum Answer {
    /// Of an operation of the history, which has been recorded.
    Outcome(Outcome),
    Execution(Execution),
}

impl Link {
    /// A link for the client of that configuration, which may connect at any time.
    pub fn new(
        config: ClientConfig,
        compiler: Compiler,
        watches: bool,
        recorder: Recorder,
    ) -> Link {
        Link {
            config: Arc::new(config),
            compiler: Arc::new(compiler),
            watches,
            recorder,
            state: Arc::default(),
            changed: Arc::default(),
            turn: Arc::default(),
            wanted: Arc::default(),
        }
    }

    /// The client's name.
    pub fn name(&self) -> &str {
        &self.config.client
    }

    /// The client's last reported state.
    pub fn status(&self) -> Option<ClientStatus> {
        self.lock().status.clone()
    }

    /// Its tabs are in that browser from now on.
    pub fn set_browser(&self, browser: Option<Engine>) {
        self.lock().browser = browser;
    }

    /// Forgets the last reported state, so that the next one is known to be newer than now.
    pub fn forget_status(&self) {
        self.lock().status = None;
    }

    /// Whether an incarnation is ready for transactions.
    pub fn is_ready(&self) -> bool {
        self.lock().connection.as_ref().is_some_and(|c| c.ready)
    }

    /// What the client said when it gave up, if it did.
    pub fn fatal(&self) -> Option<String> {
        self.lock().fatal.clone()
    }

    /// The identity of the client's database, once that is known.
    pub fn session(&self) -> Option<String> {
        self.lock().session.clone()
    }

    /// What the client says that it can do.
    pub fn capabilities(&self) -> Capabilities {
        self.lock().capabilities
    }

    /// How many incarnations there were.
    pub fn incarnation(&self) -> u32 {
        self.lock().incarnation
    }

    /// Says why the present incarnation is about to end, for the history.
    pub fn expect_end(&self, reason: &'static str) {
        self.lock().expected_end = Some(reason);
    }

    /// Sends a message, if the client is connected.
    pub fn send(&self, message: ToClient) {
        if let Some(connection) = &self.lock().connection {
            let _ = connection.to_client.send(message);
        }
    }

    /// Waits until the condition holds.
    pub async fn wait(&self, mut condition: impl FnMut(&Link) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }

    /// Does a transaction as an operation of the history. Answers what it did, if it committed.
    pub async fn operate(&self, transaction: Transaction) -> Option<Effects> {
        let operation = self.recorder.new_operation();
        let client = self.name().to_owned();
        self.recorder.record(Event::Invoke {
            client: client.clone(),
            operation,
            transaction: transaction.clone(),
        });
        match self.transact(operation, transaction).await {
            Ok(Outcome::Ok(effects)) => Some(effects),
            Ok(_) => None,
            Err(outcome) => {
                self.record(&mut self.lock(), operation, *outcome);
                None
            }
        }
    }

    /// What a client's answer means for the transaction.
    fn outcome(&self, transaction: &Transaction, execution: Execution) -> Outcome {
        match execution {
            Execution::Committed(results) => match self.compiler.interpret(transaction, results) {
                Ok(effects) => Outcome::Ok(effects),
                Err(malformed) => Outcome::Malformed(malformed.to_string()),
            },
            Execution::Failed(reason) => Outcome::Fail(reason),
            Execution::Unknown(reason) => Outcome::Info(reason),
        }
    }

    /// Records how an operation ended.
    fn record(&self, state: &mut State, operation: u64, outcome: Outcome) {
        if !matches!(outcome, Outcome::Ok(_) | Outcome::Fail(_)) {
            state.known.last_seq = None;
        }
        let client = self.name().to_owned();
        self.recorder.record(match outcome {
            Outcome::Ok(effects) => {
                state.known.see(&effects);
                Event::Ok {
                    client,
                    operation,
                    effects,
                }
            }
            Outcome::Malformed(error) => Event::Malformed {
                client,
                operation,
                error,
            },
            Outcome::Fail(error) => Event::Fail {
                client,
                operation,
                error,
            },
            Outcome::Info(error) => Event::Info {
                client,
                operation,
                error,
            },
        });
    }

    /// Reads every row, and all of the ledger, as an operation of the history.
    pub async fn read_everything(&self) -> Option<Effects> {
        self.lock().known.forget_rows();
        self.operate(Transaction::read_all()).await
    }

    /// Reads every row without leaving a trace in the history.
    pub async fn peek(&self) -> Option<Effects> {
        let read = Transaction::read_all();
        let calls = self.compiler.compile(&read, &Known::default());
        let results = self.ask(calls).await?;
        self.compiler.interpret(&read, results).ok()
    }

    /// Whether that is what everybody reads before the first transaction.
    pub fn is_initial(&self, effects: &Effects) -> bool {
        self.compiler.is_initial(effects)
    }

    /// Has the client look for the row of that id: the tables of the workload that have it. None if no
    /// answer came by the deadline.
    pub async fn find_row(&self, id: &str, deadline: Instant) -> Option<Vec<String>> {
        let asked = self.ask(self.compiler.find_row(id));
        let results = tokio::time::timeout_at(deadline, asked).await.ok()??;
        Some(self.compiler.tables_with_row(&results))
    }

    /// Does calls that only read and leave no trace in the history.
    async fn ask(&self, calls: Vec<Call>) -> Option<Vec<SqlRows>> {
        let operation = self.recorder.new_operation();
        match self.execute(operation, None, Access::Read, calls).await {
            Ok(Answer::Execution(Execution::Committed(results))) => Some(results),
            _ => None,
        }
    }

    /// Does a transaction of the history. What the client answers is recorded already: at the moment when the
    /// answer came, so that nothing that the client says later comes before it. What is known without an
    /// answer is not: that is the error.
    async fn transact(
        &self,
        operation: u64,
        transaction: Transaction,
    ) -> Result<Outcome, Box<Outcome>> {
        let mut known = self.lock().known.clone();
        if !transaction.is_read_only()
            && known.last_seq.is_none()
            && let Some(calls) = self.compiler.last_seq()
        {
            let last_seq = self.last_seq(calls).await;
            known.last_seq = Some(last_seq.map_err(|reason| Box::new(Outcome::Fail(reason)))?);
        }
        let calls = self.compiler.compile(&transaction, &known);
        let access = transaction.through.access();
        let recorded = Some(transaction);
        match self.execute(operation, recorded, access, calls).await? {
            Answer::Outcome(outcome) => Ok(outcome),
            Answer::Execution(_) => unreachable!("what is recorded has an outcome"),
        }
    }

    /// The sequence number of the client's last transaction that wrote, by its own database. An error is
    /// why it did not say.
    async fn last_seq(&self, calls: Vec<Call>) -> Result<i64, String> {
        let operation = self.recorder.new_operation();
        let answer = self.execute(operation, None, Access::Read, calls).await;
        match answer.map_err(|outcome| *outcome) {
            Ok(Answer::Execution(Execution::Committed(results))) => {
                let seq = self.compiler.seq(&results);
                seq.map_err(|malformed| malformed.to_string())
            }
            Ok(Answer::Execution(Execution::Failed(reason) | Execution::Unknown(reason)))
            | Err(Outcome::Fail(reason) | Outcome::Info(reason)) => Err(reason),
            Ok(Answer::Outcome(_)) | Err(_) => unreachable!("it is not recorded"),
        }
    }

    async fn execute(
        &self,
        operation: u64,
        recorded: Option<Transaction>,
        access: Access,
        calls: Vec<Call>,
    ) -> Result<Answer, Box<Outcome>> {
        let _turn = self.turn.lock().await;
        let failed = |reason: &str| Box::new(Outcome::Fail(reason.to_owned()));
        let answer = {
            let mut state = self.lock();
            let Some(connection) = state.connection.as_mut().filter(|c| c.ready) else {
                return Err(failed("the client is down"));
            };
            // Nobody waits any more for an answer that was given up.
            if connection
                .pending
                .as_ref()
                .is_some_and(|p| p.recorded.is_some() || !p.answer.is_closed())
            {
                return Err(failed("the client still owes an earlier answer"));
            }
            let (sender, answer) = oneshot::channel();
            connection.pending = Some(Pending {
                operation,
                recorded,
                answer: sender,
            });
            let _ = connection.to_client.send(ToClient::Execute {
                operation,
                access,
                calls,
            });
            answer
        };
        let unknown = |reason: String| Box::new(Outcome::Info(reason));
        match tokio::time::timeout(OPERATION_DEADLINE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(unknown(
                "the incarnation ended before it answered".to_owned(),
            )),
            Err(_) => {
                let seconds = OPERATION_DEADLINE.as_secs();
                Err(unknown(format!("no answer within {seconds} s")))
            }
        }
    }

    /// Has the client check its database file. None if it cannot, or no answer came by the deadline.
    pub async fn check_integrity(&self, deadline: Duration) -> Option<Vec<String>> {
        if !self.capabilities().checks_integrity {
            return None;
        }
        let (sender, answer) = oneshot::channel();
        self.lock().connection.as_mut()?.integrity = Some(sender);
        self.send(ToClient::CheckIntegrity);
        tokio::time::timeout(deadline, answer).await.ok()?.ok()
    }

    /// Waits until a person at the client asks for a transaction.
    pub async fn transaction_wanted(&self) {
        self.wanted.notified().await
    }

    /// From now on, what a live query emits belongs in the history.
    pub fn begin(&self) {
        self.lock().begun = true;
    }

    /// Speaks with a client over a control connection that it has just opened, until it ends. A new
    /// connection takes the place of one that is still there: a client has one incarnation at most.
    pub async fn converse(&self, socket: WebSocket) {
        let (mut sink, mut stream) = socket.split();
        let (to_client, mut outgoing) = mpsc::unbounded_channel::<ToClient>();
        let send = async move {
            while let Some(message) = outgoing.recv().await {
                let text = serde_json::to_string(&message).expect("messages are plain data");
                if sink.send(Message::Text(text.into())).await.is_err() {
                    break;
                }
            }
            let _ = sink.close().await;
        };
        let receive = async {
            let mut incarnation = None;
            while let Some(Ok(message)) = stream.next().await {
                let Message::Text(text) = message else {
                    continue;
                };
                match serde_json::from_str::<FromClient>(&text) {
                    Ok(message) => self.on_message(message, &to_client, &mut incarnation),
                    Err(error) => {
                        self.recorder.trouble(format!(
                            "{} sent a message that is not understood ({error}): {text}",
                            self.name()
                        ));
                        break;
                    }
                }
            }
            incarnation
        };
        let incarnation = tokio::select! {
            incarnation = receive => incarnation,
            () = send => None,
        };
        self.end(incarnation, &to_client);
    }

    fn on_message(
        &self,
        message: FromClient,
        to_client: &mpsc::UnboundedSender<ToClient>,
        incarnation: &mut Option<u32>,
    ) {
        let mut state = self.lock();
        match message {
            FromClient::Hello(hello) => {
                let (contract, dialect) = (hello.contract, hello.dialect);
                let expected = self.compiler.dialect();
                if contract != CONTRACT_VERSION || dialect != expected {
                    self.recorder.trouble(format!(
                        "{} speaks version {contract} of the client contract and {dialect:?}; \
                         version {CONTRACT_VERSION} and {expected:?} are needed",
                        self.name()
                    ));
                    return;
                }
                state.capabilities = hello.capabilities;
                state.engine = hello.engine;
                state.runtime = hello.runtime;
                let config = Box::new(self.config.as_ref().clone());
                let _ = to_client.send(ToClient::Configure(config));
                state.fatal = None;
                if state.connection.as_ref().is_some_and(|c| c.ready) {
                    self.record_end(state.incarnation, "another incarnation took its place");
                }
                state.connection = Some(Connection {
                    to_client: to_client.clone(),
                    ready: false,
                    pending: None,
                    integrity: None,
                });
            }
            FromClient::Ready { session, .. } => {
                if state.session.as_ref() != Some(&session) {
                    // Another database: nothing of it has been read.
                    state.session = Some(session.clone());
                    state.known = Known::default();
                    state.emitted = Emitted::default();
                }
                // An answer may have been lost.
                state.known.last_seq = None;
                let watches = self.watches && state.capabilities.watches;
                if self.watches && !watches {
                    tracing::warn!(
                        "{} cannot watch: there are no live queries of its to check",
                        self.name()
                    );
                }
                let watch = watches.then(|| self.watch(&state, true));
                let current = state.connection.as_mut();
                if let Some(connection) = current.filter(|c| c.to_client.same_channel(to_client)) {
                    connection.ready = true;
                    if let Some(watch) = watch {
                        let _ = to_client.send(watch);
                    }
                    state.incarnation += 1;
                    state.expected_end = None;
                    *incarnation = Some(state.incarnation);
                    self.recorder.record(Event::IncarnationStart {
                        client: self.name().to_owned(),
                        incarnation: state.incarnation,
                        session,
                        engine: state.engine.clone(),
                        runtime: state.browser.clone().or_else(|| state.runtime.clone()),
                    });
                }
            }
            FromClient::Completed { operation, outcome } => {
                let current = state.connection.as_mut();
                let pending = current.and_then(|c| c.pending.take_if(|p| p.operation == operation));
                if let Some(pending) = pending {
                    let answer = match &pending.recorded {
                        None => Answer::Execution(outcome),
                        Some(transaction) => {
                            let outcome = self.outcome(transaction, outcome);
                            // Someone who has given up waiting has recorded that.
                            if !pending.answer.is_closed() {
                                self.record(&mut state, operation, outcome.clone());
                            }
                            Answer::Outcome(outcome)
                        }
                    };
                    let _ = pending.answer.send(answer);
                }
            }
            // Before that, it shows what is no part of the run.
            FromClient::Emission { results: _ } if !state.begun => {}
            FromClient::Emission { results } => {
                self.emission(&mut state, results);
                let watch = self.watch(&state, false);
                let _ = to_client.send(watch);
            }
            FromClient::TransactionWanted => {
                self.wanted.notify_one();
            }
            FromClient::Status(status) => {
                self.recorder.record(Event::Status {
                    client: self.name().to_owned(),
                    status: status.clone(),
                });
                state.status = Some(status);
            }
            FromClient::Integrity { report } => {
                if let Some(connection) = &mut state.connection
                    && let Some(answer) = connection.integrity.take()
                {
                    let _ = answer.send(report);
                }
            }
            FromClient::Log { level, line } => match level {
                LogLevel::Error => tracing::error!(client = self.name(), "{line}"),
                LogLevel::Warn => tracing::warn!(client = self.name(), "{line}"),
                LogLevel::Info => tracing::info!(client = self.name(), "{line}"),
                LogLevel::Debug => tracing::debug!(client = self.name(), "{line}"),
            },
            FromClient::Fatal { error } => {
                // Whoever waits for a client to be ready tells why it is not.
                if state.connection.as_ref().is_none_or(|c| c.ready) {
                    self.recorder
                        .trouble(format!("{} gave up: {error}", self.name()));
                }
                state.fatal = Some(error);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Records an emission of the live query, if it says anything that the one before did not.
    fn emission(&self, state: &mut State, results: Vec<SqlRows>) {
        let transaction = live_query();
        let outcome = self.outcome(&transaction, Execution::Committed(results));
        if let Outcome::Ok(effects) = &outcome
            && !state.emitted.is_news(effects)
        {
            return;
        }
        let operation = self.recorder.new_operation();
        self.recorder.record(Event::Invoke {
            client: self.name().to_owned(),
            operation,
            transaction,
        });
        self.record(state, operation, outcome);
    }

    /// The live query from now on: everything but what the history holds already.
    fn watch(&self, state: &State, at_once: bool) -> ToClient {
        ToClient::Watch {
            calls: self.compiler.compile(&live_query(), &state.known),
            at_once,
        }
    }

    /// The connection is over: nothing that was asked over it will be answered.
    fn end(&self, incarnation: Option<u32>, to_client: &mpsc::UnboundedSender<ToClient>) {
        let mut state = self.lock();
        let current = &mut state.connection;
        if current
            .take_if(|c| c.to_client.same_channel(to_client))
            .is_some()
        {
            if let Some(incarnation) = incarnation {
                let reason = state.expected_end.take();
                self.record_end(
                    incarnation,
                    reason.unwrap_or("the control connection ended"),
                );
            }
            drop(state);
            self.changed.notify_waiters();
        }
    }

    fn record_end(&self, incarnation: u32, reason: &str) {
        self.recorder.record(Event::IncarnationEnd {
            client: self.name().to_owned(),
            incarnation,
            reason: reason.to_owned(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no one panics with this lock")
    }
}

/// The transaction that an emission of a live query is.
fn live_query() -> Transaction {
    Transaction {
        through: TransactionMode::Watch,
        ..Transaction::read_all()
    }
}

#[cfg(test)]
mod tests {
    use squall_protocol::contract::Hello;
    use squall_protocol::plan::{Isolation, Uploader, Workload};
    use squall_protocol::sql::{Dialect, SqlValue};

    use super::*;

    fn link(folder: &std::path::Path) -> Link {
        let recorder = Recorder::of_nobody(folder, Workload::Ledger);
        let compiler = Compiler::new(Workload::Ledger, false, 1, "native-1", Dialect::Sqlite);
        let config = ClientConfig {
            client: "native-1".to_owned(),
            tables: Vec::new(),
            statements: compiler.statements(),
            new_database: Vec::new(),
            new_connection: Vec::new(),
            isolation: Isolation::default(),
            uploader: Uploader::Transaction,
            sdk: Default::default(),
            backend_url: String::new(),
            retry_delay_ms: 0,
            request_deadline_ms: 0,
            stream_idle_deadline_ms: 0,
        };
        Link::new(config, compiler, true, recorder)
    }

    /// An emission when the client "a" has done so many transactions, of which the rows after the first
    /// `seen` are told.
    fn emission(done: i64, seen: i64) -> Vec<SqlRows> {
        let row = |seq: i64| -> Vec<SqlValue> {
            vec![
                "a".into(),
                seq.into(),
                seq.to_string().into(),
                "[0]".into(),
                1_i64.into(),
            ]
        };
        vec![
            vec![vec!["a".into(), done.into(), 0_i64.into(), done.into()]],
            (seen + 1..=done).map(row).collect(),
            vec![vec![0_i64.into(), done.into()]],
        ]
    }

    #[tokio::test]
    async fn an_emission_that_says_nothing_new_is_not_recorded_and_rows_are_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let link = link(folder.path());
        let recorded = || {
            let history = std::fs::read_to_string(folder.path().join("history.jsonl")).unwrap();
            history.matches("{\"ok\":").count()
        };
        let mut state = State::default();
        for (results, expected) in [
            (emission(2, 0), 1),
            // What comes back from the service is known already.
            (emission(2, 2), 1),
            (emission(2, 2), 1),
            (emission(3, 2), 2),
            (emission(3, 3), 2),
            // It was read before the client was told that the row is seen.
            (emission(3, 2), 3),
        ] {
            link.emission(&mut state, results);
            assert_eq!(recorded(), expected);
        }
        // The next ones need not tell them again.
        let ToClient::Watch { calls, at_once } = link.watch(&state, false) else {
            panic!("it is a live query");
        };
        let seen = SqlValue::Text(r#"{"a":3}"#.to_owned());
        assert!(calls.iter().any(|call| call.parameters == [seen.clone()]));
        assert!(!at_once);
    }

    #[tokio::test]
    async fn a_client_is_not_asked_for_what_it_cannot_do() {
        let folder = tempfile::tempdir().unwrap();
        for watches in [false, true] {
            let link = link(folder.path());
            let (to_client, mut sent) = mpsc::unbounded_channel();
            let hello = FromClient::Hello(Hello {
                client: "native-1".to_owned(),
                contract: CONTRACT_VERSION,
                dialect: Dialect::Sqlite,
                engine: None,
                runtime: None,
                capabilities: Capabilities {
                    watches,
                    ..Capabilities::default()
                },
            });
            let ready = FromClient::Ready {
                session: "1".to_owned(),
                new_session: true,
            };
            for message in [hello, ready] {
                link.on_message(message, &to_client, &mut None);
            }
            assert!(matches!(sent.try_recv(), Ok(ToClient::Configure(_))));
            let asked = matches!(sent.try_recv(), Ok(ToClient::Watch { .. }));
            assert_eq!(asked, watches);
            assert_eq!(link.check_integrity(Duration::ZERO).await, None);
            assert!(
                sent.try_recv().is_err(),
                "it was asked to check its database"
            );
        }
    }
}
