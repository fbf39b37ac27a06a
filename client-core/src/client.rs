//! A client: its database, its state, and what its owner can ask of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::future::join;
use rusqlite::Connection;
use squall_protocol::backend::Credentials;
use squall_protocol::contract::{Access, ClientConfig, ClientStatus, DownloadProgress, LogLevel};
use squall_protocol::sql::{Call, SqlRows};

use crate::error::ClientError;
use crate::platform::Platform;
use crate::signal::Signal;
use crate::store::Store;

/// Where a client's log lines go.
pub type Log = Rc<dyn Fn(LogLevel, String)>;

/// A syncing client. Cheap to clone: all clones are the same client.
///
/// Nothing is synced unless [`Client::run`] is polled; transactions work regardless.
pub struct Client<P: Platform>(pub(crate) Rc<Inner<P>>);

impl<P: Platform> Clone for Client<P> {
    fn clone(&self) -> Self {
        Client(self.0.clone())
    }
}

pub(crate) struct Inner<P> {
    pub(crate) config: ClientConfig,
    pub(crate) platform: P,
    session: String,
    new_session: bool,
    /// None once the client is closed. SQLite is called synchronously and briefly, so that this is
    /// never borrowed across an await.
    store: RefCell<Option<Store>>,
    pub(crate) state: State,
    /// Notified whenever anything in `state`, or the upload queue, changed.
    pub(crate) changed: Signal,
    log: Log,
}

/// What the loops and the owner tell each other.
#[derive(Default)]
pub(crate) struct State {
    /// Whether the client is to be connected.
    wanted: Cell<bool>,
    /// Grows with every disconnect: what began in an earlier generation is given up.
    generation: Cell<u64>,
    closed: Cell<bool>,
    /// Grows when a pause before a retry makes no sense any more.
    pub(crate) hurries: Cell<u64>,
    /// Grows when there may be something to upload or to be acknowledged.
    pub(crate) upload_work: Cell<u64>,
    /// Set while powersync_core wants the stream to be closed.
    pub(crate) stream_end: Cell<Option<StreamEnd>>,
    /// Whether powersync_core asked for a new token ahead of time.
    pub(crate) prefetch: Cell<bool>,
    pub(crate) credentials: RefCell<Option<Credentials>>,
    pub(crate) connected: Cell<bool>,
    pub(crate) download: Cell<Option<DownloadProgress>>,
    pub(crate) uploading: Cell<bool>,
    pub(crate) download_error: RefCell<Option<String>>,
    pub(crate) upload_error: RefCell<Option<String>>,
    /// The live query, if there is one.
    pub(crate) watched: RefCell<Option<Vec<Call>>>,
    /// Grows when the tables change, if there is a live query.
    pub(crate) changes: Cell<u64>,
    /// Whether the live query is to emit without waiting for a change.
    pub(crate) emit_at_once: Cell<bool>,
}

impl<P: Platform> Client<P> {
    /// Makes a client of a database that is new or was a client's before.
    ///
    /// The connection must be the only one to its database, and must be durable in the way that the
    /// system can offer (natively: WAL and `synchronous=FULL`).
    pub fn open(
        connection: Connection,
        config: ClientConfig,
        platform: P,
        log: Log,
    ) -> Result<Self, ClientError> {
        let store = Store::open(connection, &config, false)?;
        Ok(Self::with(store, config, platform, log))
    }

    /// As [`Client::open`], of a database that is never synced, though it could be: a new one is filled as
    /// the configuration says. Such a client is not to be connected.
    pub fn open_local(
        connection: Connection,
        config: ClientConfig,
        platform: P,
        log: Log,
    ) -> Result<Self, ClientError> {
        let store = Store::open(connection, &config, true)?;
        Ok(Self::with(store, config, platform, log))
    }

    fn with(store: Store, config: ClientConfig, platform: P, log: Log) -> Self {
        Client(Rc::new(Inner {
            session: store.session().to_owned(),
            new_session: store.new_session(),
            store: RefCell::new(Some(store)),
            config,
            platform,
            state: State::default(),
            changed: Signal::default(),
            log,
        }))
    }

    /// The session's identity, which powersync_core made with the database (`powersync_client_id()`).
    pub fn session(&self) -> &str {
        &self.0.session
    }

    /// Whether the database was made by [`Client::open`].
    pub fn new_session(&self) -> bool {
        self.0.new_session
    }

    /// Does the calls in one SQLite transaction; see [`crate::execute`].
    ///
    /// After every error but [`ClientError::CommitUnknown`] nothing of it certainly happened.
    pub fn execute(&self, access: Access, calls: &[Call]) -> Result<Vec<SqlRows>, ClientError> {
        let statements = &self.0.config.statements;
        let results = self.store(|store| store.execute(statements, access, calls));
        self.note_changes();
        // Even after an error: the COMMIT may have happened.
        self.wake_uploads();
        results
    }

    /// The rows of a query, for whoever shows the database to a person.
    pub fn query(&self, sql: &str) -> Result<SqlRows, ClientError> {
        self.store(|store| store.query(sql))
    }

    /// Lets the client sync, from now until [`Client::disconnect`].
    pub fn connect(&self) {
        self.0.state.wanted.set(true);
        self.0.changed.notify();
    }

    /// Ends the stream and any upload under way; the database stays. An upload whose answer is
    /// given up here is repeated under its old identity after the next [`Client::connect`].
    pub fn disconnect(&self) {
        let state = &self.0.state;
        if state.wanted.replace(false) {
            state.generation.set(state.generation.get() + 1);
            self.0.changed.notify();
        }
    }

    /// Says that a failed attempt is worth repeating now, such as when the network is back: ends
    /// all pauses before retries.
    pub fn retry_now(&self) {
        self.0.state.hurries.set(self.0.state.hurries.get() + 1);
        self.0.changed.notify();
    }

    /// Gives up whatever is under way and starts over at once, unless the client is disconnected:
    /// for when connections may be dead without a sign of it, such as after the system slept.
    pub fn reconnect(&self) {
        if self.0.state.wanted.get() {
            self.disconnect();
            self.connect();
        }
    }

    /// The states that a user would look at.
    pub fn status(&self) -> ClientStatus {
        let state = &self.0.state;
        let mut status = ClientStatus {
            connected: state.connected.get(),
            uploading: state.uploading.get(),
            downloading: state.download.get().is_some(),
            download: state.download.get(),
            last_error: state
                .upload_error
                .borrow()
                .clone()
                .or_else(|| state.download_error.borrow().clone()),
            ..ClientStatus::default()
        };
        match self.store(|store| store.queue_state()) {
            Ok(queue) => {
                status.queue = queue.queue;
                status.acknowledged = queue.acknowledged;
                status.last_synced_at_ms = queue.last_synced_at_ms;
            }
            Err(error) => status.last_error = Some(error.to_string()),
        }
        status
    }

    /// Resolves when the status may have changed since this future was first polled.
    pub async fn status_changed(&self) {
        self.0.changed.notified().await
    }

    /// The rows of SQLite's `PRAGMA integrity_check`: the single row `ok` for an intact file.
    pub fn integrity_check(&self) -> Result<Vec<String>, ClientError> {
        self.store(|store| store.integrity_check())
    }

    /// The download and the upload loop; resolves after [`Client::close`]. To be called once.
    pub async fn run(&self) {
        join(self.download_loop(), self.upload_loop()).await;
    }

    /// Ends the loops, aborts their requests, and closes the database. Whatever is asked of the
    /// client afterwards fails with [`ClientError::Closed`].
    pub fn close(&self) -> Result<(), ClientError> {
        self.disconnect();
        self.0.state.closed.set(true);
        self.0.changed.notify();
        match self.0.store.take() {
            Some(store) => store.close(),
            None => Ok(()),
        }
    }

    /// Lends the database.
    pub(crate) fn store<R>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<R, ClientError>,
    ) -> Result<R, ClientError> {
        work(
            self.0
                .store
                .borrow_mut()
                .as_mut()
                .ok_or(ClientError::Closed)?,
        )
    }

    pub(crate) fn log(&self, level: LogLevel, line: impl Into<String>) {
        (self.0.log)(level, line.into());
    }

    /// Tells the upload loop to look at the queue and the gate.
    pub(crate) fn wake_uploads(&self) {
        let work = &self.0.state.upload_work;
        work.set(work.get() + 1);
        self.0.changed.notify();
    }

    pub(crate) fn closed(&self) -> bool {
        self.0.state.closed.get()
    }

    /// The generation to work in; resolves when the client is to be connected. None when it is
    /// closed.
    pub(crate) async fn wanted(&self) -> Option<u64> {
        let state = &self.0.state;
        self.0
            .changed
            .until(|| state.wanted.get() || state.closed.get())
            .await;
        (!state.closed.get()).then(|| state.generation.get())
    }

    /// Resolves when what began in that generation is to be given up.
    pub(crate) async fn given_up(&self, generation: u64) {
        let state = &self.0.state;
        self.0
            .changed
            .until(|| state.generation.get() != generation || state.closed.get())
            .await;
    }
}

/// Why powersync_core wants a stream to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// Only to open the next one at once, such as with a new token.
    Replace,
    /// Something is wrong with it.
    Close,
}
