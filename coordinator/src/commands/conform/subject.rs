//! The client that a check speaks to: one process or tab after another on one database.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use axum::extract::ws::Message;
use squall_owned_process::OwnedProcess;
use squall_protocol::contract::{
    Access, ClientConfig, ClientStatus, Execution, FromClient, Hello, ToClient,
};
use squall_protocol::sql::{Call, Dialect, SqlRows, SqlValue};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::problem::{Finding, Problem};
use super::surroundings::{Launch, Opened, Surroundings};
use crate::exit::Failure;
use crate::fleet::browser::{Browser, BrowserError, BrowserOptions};
use crate::fleet::program::Situation;
use crate::plan::kinds::manifest;
use crate::system::servers::Proxies;

/// How much of a message is shown.
const LONGEST_SHOWN: usize = 600;
/// How many lines of a client's log are shown.
const LINES_SHOWN: usize = 5;

fn browser_failed(error: BrowserError) -> Problem {
    Failure::unavailable("the browser", error).into()
}

/// A text that fits on some lines.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

enum Running {
    Process(OwnedProcess),
    Tab(Box<Browser>),
}

/// What a client said after it was configured.
pub(super) struct Session {
    pub identity: String,
    pub is_new: bool,
}

pub(super) struct Client<'s> {
    pub surroundings: &'s Surroundings,
    /// Not that of any other client.
    pub number: i64,
    name: String,
    database: PathBuf,
    connections: mpsc::UnboundedReceiver<Opened>,
    connection: Option<Opened>,
    running: Option<Running>,
    proxies: Option<Proxies>,
    operation: u64,
    /// What was sent last.
    sent: String,
    /// What the live query has emitted and nobody has looked at.
    emissions: Vec<Vec<SqlRows>>,
    status: Option<ClientStatus>,
}

impl<'s> Client<'s> {
    /// A client that there has not been, which does not run yet.
    pub(super) fn new(surroundings: &'s Surroundings) -> Client<'s> {
        let number = surroundings.new_number();
        let name = format!("conform-{number}");
        Client {
            connections: surroundings.connections(&name),
            database: surroundings
                .folder("databases")
                .join(format!("{name}.sqlite")),
            surroundings,
            number: number as i64,
            name,
            connection: None,
            running: None,
            proxies: None,
            operation: 0,
            sent: "nothing".to_owned(),
            emissions: Vec::new(),
            status: None,
        }
    }

    /// A new client that is ready for transactions.
    pub(super) async fn ready(surroundings: &'s Surroundings) -> Result<Client<'s>, Problem> {
        let mut client = Client::new(surroundings);
        client.open().await?;
        Ok(client)
    }

    /// Starts it on its database, and waits until it is ready for transactions.
    pub(super) async fn open(&mut self) -> Result<Session, Problem> {
        if self.proxies.is_none() {
            self.proxies = self.surroundings.proxies(&self.name).await?;
        }
        let config = self.config();
        if self.surroundings.hello().capabilities.shares_a_file && !self.database.exists() {
            self.surroundings
                .make_shared_file(&self.database, &config)?;
        }
        self.start().await?;
        self.hello().await?;
        let session = self.configure(config).await?;
        if self.surroundings.hello().capabilities.syncs {
            self.synced().await?;
        }
        Ok(session)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.surroundings.hello().dialect
    }

    pub(super) fn config(&self) -> ClientConfig {
        self.surroundings.config(&self.name, self.proxies.as_ref())
    }

    /// Starts it, and waits for its control connection.
    pub(super) async fn start(&mut self) -> Result<(), Problem> {
        self.sent = format!("nothing yet: {} was started", self.name);
        let running = match &self.surroundings.launch {
            Launch::Process(program) => {
                let introduced = self.surroundings.is_introduced();
                let on_postgres = introduced && self.dialect() == Dialect::Postgres;
                let command = program.command(&Situation {
                    control_url: self.surroundings.pages.control_url(&self.name),
                    client: &self.name,
                    database: self.database.clone(),
                    database_url: self.surroundings.database_url().filter(|_| on_postgres),
                });
                let started = OwnedProcess::spawn_logged(command, &self.log());
                Running::Process(started.map_err(|error| {
                    let program = program.name().display();
                    Failure::unavailable(format!("cannot start the client {program}"), error)
                })?)
            }
            Launch::Tab(kind) => {
                let (browser, page) = manifest(*kind).tab().expect("it is a tab");
                let options = BrowserOptions {
                    browser,
                    profile: self.surroundings.folder("profiles").join(&self.name),
                    headed: false,
                    offline: false,
                    log: self.log(),
                };
                let driver = self.surroundings.driver.as_ref();
                let driver = driver.expect("tabs come with a driver");
                let mut browser = Browser::start(driver, options)
                    .await
                    .map_err(browser_failed)?;
                let number = self.number as usize;
                let url = self.surroundings.pages.client_url(page, number, &self.name);
                browser.open_tab(&url).await.map_err(browser_failed)?;
                Running::Tab(Box::new(browser))
            }
        };
        let ended = exited(&running);
        self.running = Some(running);
        let deadline = self.deadline();
        let connected = async {
            tokio::select! {
                biased;
                opened = self.connections.recv() => Ok(opened),
                status = ended => Err(status),
            }
        };
        let came = match timeout_at(deadline, connected).await {
            Ok(Ok(Some(opened))) => {
                self.connection = Some(opened);
                return Ok(());
            }
            Ok(Err(status)) => format!("its end ({status})"),
            Ok(Ok(None)) | Err(_) => format!("nothing within {:?}", self.surroundings.deadline),
        };
        Err(self.wrong("a control connection at SQUALL_CONTROL_URL", came))
    }

    /// Its first message.
    pub(super) async fn hello(&mut self) -> Result<Hello, Problem> {
        self.wait("hello", |message| match message {
            FromClient::Hello(hello) => Some(Ok(hello)),
            other => Some(Err(other)),
        })
        .await
    }

    /// Configures it, and waits until its database is open.
    pub(super) async fn configure(&mut self, config: ClientConfig) -> Result<Session, Problem> {
        self.send(&ToClient::Configure(Box::new(config))).await?;
        self.sent = "configure".to_owned();
        self.wait("ready", |message| match message {
            FromClient::Ready {
                session,
                new_session,
            } => Some(Ok(Session {
                identity: session,
                is_new: new_session,
            })),
            FromClient::Hello(_) | FromClient::Completed { .. } => Some(Err(message)),
            _ => None,
        })
        .await
    }

    /// Waits for the first complete sync.
    pub(super) async fn synced(&mut self) -> Result<(), Problem> {
        self.status_is("a status that says when the first sync was", |status| {
            status.last_synced_at_ms.is_some()
        })
        .await
    }

    /// Waits until the client's status is so.
    pub(super) async fn status_is(
        &mut self,
        what: &str,
        holds: impl Fn(&ClientStatus) -> bool,
    ) -> Result<(), Problem> {
        let deadline = self.deadline();
        while !self.status.as_ref().is_some_and(&holds) {
            let last = match &self.status {
                Some(status) => format!("{what}; the last was {status:?}"),
                None => format!("{what}; there was none"),
            };
            self.next(&last, deadline).await?;
        }
        Ok(())
    }

    /// Waits for a status that is sent from now on.
    pub(super) async fn next_status(&mut self) -> Result<ClientStatus, Problem> {
        self.status = None;
        self.status_is("a status, at least every second", |_| true)
            .await?;
        Ok(self.status.clone().expect("it has just come"))
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, message: &ToClient) -> Result<(), Problem> {
        let text = serde_json::to_string(message).expect("messages are plain data");
        self.surroundings.note("to", &self.name, &text)?;
        self.send_text(&text).await
    }

    /// Sends whatever.
    pub(super) async fn send_text(&mut self, text: &str) -> Result<(), Problem> {
        self.sent = short(text);
        self.send_frame(Message::Text(text.into())).await
    }

    pub(super) async fn send_frame(&mut self, frame: Message) -> Result<(), Problem> {
        let sent = match &mut self.connection {
            Some(connection) => connection.socket.send(frame).await.is_ok(),
            None => false,
        };
        match sent {
            true => Ok(()),
            false => {
                let came = self.end().await;
                Err(self.wrong("a control connection that goes on", came))
            }
        }
    }

    /// Has it do calls, and waits for the answer.
    pub(super) async fn execute(
        &mut self,
        access: Access,
        calls: Vec<Call>,
    ) -> Result<Execution, Problem> {
        let operation = self.begin(access, calls).await?;
        self.completed(operation).await
    }

    /// Has it do calls.
    pub(super) async fn begin(&mut self, access: Access, calls: Vec<Call>) -> Result<u64, Problem> {
        self.operation += 1;
        let operation = self.operation;
        self.send(&ToClient::Execute {
            operation,
            access,
            calls,
        })
        .await?;
        Ok(operation)
    }

    /// Waits for the answer.
    pub(super) async fn completed(&mut self, operation: u64) -> Result<Execution, Problem> {
        self.wait("completed", |message| match message {
            FromClient::Completed {
                operation: of,
                outcome,
            } if of == operation => Some(Ok(outcome)),
            FromClient::Hello(_) | FromClient::Completed { .. } | FromClient::Ready { .. } => {
                Some(Err(message))
            }
            _ => None,
        })
        .await
    }

    /// Has it do calls that must commit; the rows of each.
    pub(super) async fn committed(
        &mut self,
        access: Access,
        calls: Vec<Call>,
    ) -> Result<Vec<SqlRows>, Problem> {
        let count = calls.len();
        match self.execute(access, calls).await? {
            Execution::Committed(results) if results.len() == count => Ok(results),
            other => {
                let expected = format!("committed, with the rows of each of {count} calls");
                Err(self.wrong(&expected, shown(&other)))
            }
        }
    }

    /// Has it do calls that must fail.
    pub(super) async fn failed(
        &mut self,
        access: Access,
        calls: Vec<Call>,
        why: &str,
    ) -> Result<(), Problem> {
        match self.execute(access, calls).await? {
            Execution::Failed(_) => Ok(()),
            other => Err(self.wrong(&format!("failed, {why}"), shown(&other))),
        }
    }

    /// The ids of the rows that are the client's.
    pub(super) async fn ids(&mut self) -> Result<Vec<String>, Problem> {
        let calls = vec![super::statements::rows_of(self.number)];
        let results = self.committed(Access::Read, calls).await?;
        Ok(results[0].iter().map(|row| first_text(row)).collect())
    }

    /// Whether the ids of the client's rows are these.
    pub(super) async fn has_ids(&mut self, ids: &[&str], why: &str) -> Result<(), Problem> {
        let found = self.ids().await?;
        match found == ids {
            true => Ok(()),
            false => Err(self.wrong(&format!("the rows {ids:?}, {why}"), format!("{found:?}"))),
        }
    }

    /// Waits for an emission that fits.
    pub(super) async fn emission(
        &mut self,
        what: &str,
        fits: impl Fn(&[SqlRows]) -> bool,
    ) -> Result<(), Problem> {
        let deadline = self.deadline();
        let mut last = None;
        loop {
            for emission in self.emissions.drain(..) {
                if fits(&emission) {
                    return Ok(());
                }
                last = Some(emission);
            }
            let last = match &last {
                Some(last) => format!("; the last was {}", short(&format!("{last:?}"))),
                None => "; there was none".to_owned(),
            };
            self.next(&format!("an emission {what}{last}"), deadline)
                .await?;
        }
    }

    /// Forgets what the live query has emitted.
    pub(super) fn forget_emissions(&mut self) {
        self.emissions.clear();
    }

    /// Waits for a message that is the answer. One that cannot come here is an error.
    pub(super) async fn wait<T>(
        &mut self,
        what: &str,
        mut find: impl FnMut(FromClient) -> Option<Result<T, FromClient>>,
    ) -> Result<T, Problem> {
        let deadline = self.deadline();
        loop {
            match find(self.next(what, deadline).await?) {
                Some(Ok(found)) => return Ok(found),
                Some(Err(other)) => {
                    let came = serde_json::to_string(&other).expect("it is plain data");
                    return Err(self.wrong(what, short(&came)));
                }
                None => {}
            }
        }
    }

    /// The next message.
    async fn next(&mut self, expected: &str, deadline: Instant) -> Result<FromClient, Problem> {
        loop {
            let Some(connection) = &mut self.connection else {
                return Err(self.wrong(expected, "there is no connection".to_owned()));
            };
            let frame = timeout_at(deadline, connection.socket.recv()).await;
            let text = match frame {
                Ok(Some(Ok(Message::Text(text)))) => text,
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
                Ok(Some(Ok(Message::Binary(_)))) => {
                    let expected = format!("{expected}, in a text frame");
                    return Err(self.wrong(&expected, "a binary frame".to_owned()));
                }
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => {
                    let came = self.end().await;
                    return Err(self.wrong(expected, came));
                }
                Err(_) => {
                    let came = format!(
                        "nothing of the kind within {:?}",
                        self.surroundings.deadline
                    );
                    return Err(self.wrong(expected, came));
                }
            };
            let message = match serde_json::from_str::<FromClient>(&text) {
                Ok(message) => message,
                Err(error) => {
                    let came = format!("{} ({error})", short(&text));
                    return Err(self.wrong("messages of the contract", came));
                }
            };
            self.surroundings.note("from", &self.name, &text)?;
            match &message {
                FromClient::Emission { results } => self.emissions.push(results.clone()),
                FromClient::Status(status) => self.status = Some(status.clone()),
                FromClient::Fatal { error } => {
                    return Err(self.wrong(expected, format!("fatal: {error}")));
                }
                _ => {}
            }
            return Ok(message);
        }
    }

    /// Kills it with SIGKILL; a browser with all its processes.
    pub(super) async fn kill(&mut self) -> Result<(), Problem> {
        let killed = match self.running.take() {
            Some(Running::Process(process)) => process.kill().await.map_err(|error| {
                Failure::unavailable("the client could not be killed", error).into()
            }),
            Some(Running::Tab(mut browser)) => browser.kill().await.map_err(browser_failed),
            None => Ok(()),
        };
        self.disconnect();
        killed
    }

    /// Waits until it ends by itself, with the exit code 0, and the connection does. Answers what it said
    /// before that, such as the answer to something that it was asked before.
    pub(super) async fn ends(&mut self, expected: &str) -> Result<Vec<FromClient>, Problem> {
        let deadline = self.deadline();
        let mut said = Vec::new();
        let over = async {
            while let Some(connection) = &mut self.connection {
                match connection.socket.recv().await {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => self.connection = None,
                    Some(Ok(Message::Text(text))) => said.extend(serde_json::from_str(&text).ok()),
                    Some(Ok(_)) => {}
                }
            }
        };
        if timeout_at(deadline, over).await.is_err() {
            let came = "a connection that goes on".to_owned();
            return Err(self.wrong(expected, came));
        }
        match self.running.take() {
            Some(Running::Process(process)) => match timeout_at(deadline, process.exited()).await {
                Ok(status) if status.success() => Ok(said),
                Ok(status) => Err(self.wrong(expected, format!("its end ({status})"))),
                Err(_) => Err(self.wrong(expected, "a process that goes on".to_owned())),
            },
            Some(Running::Tab(browser)) => {
                browser.stop().await.map_err(browser_failed)?;
                Ok(said)
            }
            None => Ok(said),
        }
    }

    /// Whether it ends by itself, however it does.
    pub(super) async fn is_gone(&mut self, expected: &str) -> Result<(), Problem> {
        let Some(Running::Process(process)) = &self.running else {
            return Ok(());
        };
        match timeout_at(self.deadline(), process.exited()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.wrong(expected, "a process that goes on".to_owned())),
        }
    }

    /// Ends the connection without a word.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
        self.emissions.clear();
        self.status = None;
    }

    /// Says that something else came.
    pub(super) fn wrong(&self, expected: &str, came: String) -> Problem {
        let mut came = came;
        if let Ok(log) = std::fs::read_to_string(self.log()) {
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            // A browser says a lot that has nothing to do with its page.
            if !last.is_empty() && !self.surroundings.is_tab() {
                came.push_str(&format!(
                    "\nthe client's output ends with:\n{}",
                    last.join("\n")
                ));
            }
        }
        Problem::Wrong(Box::new(Finding {
            sent: self.sent.clone(),
            expected: expected.to_owned(),
            came,
        }))
    }

    /// What there is to say of the end of the connection.
    async fn end(&mut self) -> String {
        self.connection = None;
        let ended = self.running.as_ref().map(exited);
        let ended = match ended {
            // The connection ends a moment before the process does.
            Some(ended) => tokio::time::timeout(Duration::from_secs(2), ended)
                .await
                .ok(),
            None => None,
        };
        match ended {
            Some(status) => format!("the end of the connection and of the client ({status})"),
            None => "the end of the connection".to_owned(),
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.surroundings.deadline
    }

    fn log(&self) -> PathBuf {
        self.surroundings
            .folder("logs")
            .join(format!("{}.log", self.name))
    }
}

fn exited(running: &Running) -> impl Future<Output = ExitStatus> + Send + use<> {
    use futures_util::FutureExt;
    match running {
        Running::Process(process) => process.exited().boxed(),
        Running::Tab(browser) => browser.exited().boxed(),
    }
}

pub(super) fn shown(outcome: &Execution) -> String {
    short(&serde_json::to_string(outcome).expect("it is plain data"))
}

fn first_text(row: &[SqlValue]) -> String {
    match row.first() {
        Some(SqlValue::Text(id)) => id.clone(),
        other => format!("{other:?}"),
    }
}
