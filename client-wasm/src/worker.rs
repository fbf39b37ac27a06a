//! The worker: a client's life from its start to its stop.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use gloo_timers::future::sleep;
use squall_client_core::agent::{AgentEnd, Mode, run_agent};
use squall_client_core::{Client, ClientError};
use squall_protocol::contract::{ClientConfig, FromClient, LogLevel, TableSchema};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::spawn_local;

use crate::control::{Control, Outgoing, Watcher};
use crate::page::{self, FromPage, PageEvent, ToPage};
use crate::platform::Browser;
use crate::storage::Storage;

/// How long a worker waits for its database to be released by the previous tab.
const OPEN_DEADLINE: Duration = Duration::from_secs(15);
/// The shortest time between two messages with rows to the page.
const ROWS_AT_MOST_EVERY: Duration = Duration::from_millis(200);

thread_local! {
    /// The worker's connection to the coordinator. Global so that a panic can be reported on it.
    static OUTGOING: Outgoing = Outgoing::default();
}

/// Starts the client of that name in this worker, for the run of that token, and returns; it ends with the worker, or when the
/// coordinator stops it.
#[wasm_bindgen]
pub fn start(client: String, token: String) {
    report_panics();
    let worker = Worker(Rc::new(Inner {
        name: client,
        token,
        outgoing: OUTGOING.with(Outgoing::clone),
        client: RefCell::default(),
        shown: RefCell::default(),
        introduced: Cell::default(),
    }));
    let listener = worker.clone();
    page::listen(move |message| listener.obey_page(message));
    spawn_local(async move { worker.live().await });
}

/// Tells page and coordinator about a panic, after which this worker does nothing any more.
fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        let error = format!("the client panicked: {info}; reload the tab");
        OUTGOING.with(|outgoing| {
            outgoing.send(&FromClient::Fatal {
                error: error.clone(),
            })
        });
        page::tell(&ToPage::Fatal { error });
    }));
}

#[derive(Clone)]
struct Worker(Rc<Inner>);

struct Inner {
    name: String,
    /// The run's, without which the coordinator takes no client.
    token: String,
    outgoing: Outgoing,
    /// The client while its database is open.
    client: RefCell<Option<Client<Browser>>>,
    /// What the page shows of the database.
    shown: RefCell<String>,
    /// Whether the coordinator has been told on this connection that the client is ready.
    introduced: Cell<bool>,
}

impl Worker {
    /// Lives one life after the other: each configuration that the coordinator brings is one.
    async fn live(&self) {
        let mut control = Control::new(
            control_url(&self.0.name, &self.0.token),
            self.0.name.clone(),
            self.0.outgoing.clone(),
            self.clone(),
        );
        loop {
            let storage = Rc::new(RefCell::new(None));
            let opened = self.clone();
            let speaker = self.clone();
            let end = run_agent(
                &self.0.name,
                Mode::Syncing,
                Browser,
                async |config: &ClientConfig| self.open(config, &storage).await,
                move |client| opened.opened(client),
                control.messages(),
                move |message| speaker.say(message),
            )
            .await;
            self.0.client.replace(None);
            let released = match storage.take() {
                Some(storage) => Storage::release(storage),
                None => Ok(()),
            };
            match (end, released) {
                (Ok(AgentEnd::Disconnected), Ok(())) => {}
                (Ok(AgentEnd::Stopped), Ok(())) => {
                    page::tell(&ToPage::Stopped);
                    page::worker().close();
                    return;
                }
                (Err(error), _) => return page::tell(&ToPage::Fatal { error }),
                (Ok(_), Err(error)) => {
                    let error = error.to_string();
                    self.0.outgoing.send(&FromClient::Fatal {
                        error: error.clone(),
                    });
                    return page::tell(&ToPage::Fatal { error });
                }
            }
        }
    }

    async fn open(
        &self,
        config: &ClientConfig,
        storage: &RefCell<Option<Storage>>,
    ) -> Result<squall_client_core::rusqlite::Connection, String> {
        let first = config.tables.first();
        self.0
            .shown
            .replace(first.map_or_else(String::new, rows_shown));
        let acquired = Storage::acquire(&self.0.name, OPEN_DEADLINE)
            .await
            .map_err(|error| error.to_string())?;
        let connection = acquired.open().map_err(|error| error.to_string())?;
        storage.replace(Some(acquired));
        Ok(connection)
    }

    fn opened(&self, client: Client<Browser>) {
        self.0.client.replace(Some(client.clone()));
        let worker = self.clone();
        spawn_local(async move { worker.show_rows(client).await });
    }

    /// Passes what the client says on to the coordinator, and to the page what a person may want to
    /// see of it.
    fn say(&self, message: FromClient) {
        match &message {
            // Every connection begins with one; see `Control`.
            FromClient::Hello(_) => return,
            FromClient::Ready {
                session,
                new_session,
            } => {
                self.0.introduced.set(true);
                page::tell(&ToPage::Ready {
                    session: session.clone(),
                    new_session: *new_session,
                });
            }
            FromClient::Status(status) => page::tell(&ToPage::Status {
                status: status.clone(),
            }),
            FromClient::Log { level, line } => to_page_log(*level, line),
            // Not between two connections: the next one begins with everything.
            FromClient::Emission { .. } if !self.0.introduced.get() => return,
            FromClient::Completed { .. }
            | FromClient::Emission { .. }
            | FromClient::Integrity { .. }
            | FromClient::TransactionWanted
            | FromClient::Fatal { .. } => {}
        }
        self.0.outgoing.send(&message);
    }

    /// Shows the rows to the page whenever they changed, until the client is closed.
    async fn show_rows(&self, client: Client<Browser>) {
        let mut shown = None;
        loop {
            let rows = match client.query(&self.0.shown.borrow()) {
                Ok(rows) => Some(rows),
                Err(ClientError::Closed) => return,
                // Not complete yet, or an error that the status and the operations show too.
                Err(_) => None,
            };
            if rows.is_none() || rows == shown {
                client.status_changed().await;
            } else {
                page::tell(&ToPage::Rows {
                    rows: rows.clone().unwrap_or_default(),
                });
                shown = rows;
                // What changes meanwhile is seen by the next look.
                sleep(ROWS_AT_MOST_EVERY).await;
            }
        }
    }

    fn obey_page(&self, message: FromPage) {
        let Some(client) = self.0.client.borrow().clone() else {
            return;
        };
        match message {
            FromPage::Write => {
                let text = match self.0.introduced.get() {
                    true => "Asked for a write",
                    false => "Not asked for: there is no connection to the coordinator",
                };
                self.say(FromClient::TransactionWanted);
                page::tell(&ToPage::Written {
                    text: text.to_owned(),
                });
            }
            FromPage::Connect => client.connect(),
            FromPage::Disconnect => client.disconnect(),
            FromPage::PageEvent { event } => self.take_page_event(&client, event),
        }
    }

    fn take_page_event(&self, client: &Client<Browser>, event: PageEvent) {
        self.log(LogLevel::Debug, format!("page event: {event:?}"));
        match event {
            // Streams that were open when the browser froze the page may never deliver again,
            // without an error.
            PageEvent::Resume => client.reconnect(),
            PageEvent::Online | PageEvent::Visible => client.retry_now(),
            // Requests will fail by themselves; nothing is gained by failing them early.
            PageEvent::Offline | PageEvent::Freeze | PageEvent::Hidden => {}
        }
    }
}

impl Watcher for Worker {
    fn connected(&self, connected: bool) {
        self.0.introduced.set(false);
        page::tell(&ToPage::Control { connected });
    }

    fn introduction(&self) -> Option<FromClient> {
        let client = self.0.client.borrow();
        let client = client.as_ref()?;
        self.0.introduced.set(true);
        Some(FromClient::Ready {
            session: client.session().to_owned(),
            new_session: client.new_session(),
        })
    }

    fn log(&self, level: LogLevel, line: String) {
        self.say(FromClient::Log { level, line });
    }
}

/// The query for what the page shows of a table: the first two columns of every row.
fn rows_shown(table: &TableSchema) -> String {
    let columns: Vec<&str> = table
        .columns
        .iter()
        .take(2)
        .map(|column| &column.name[..])
        .collect();
    let columns = columns.join(", ");
    format!("SELECT {columns} FROM {} ORDER BY {columns}", table.name)
}

/// A log line, for the page and for whoever reads the browser's console. Not what is only for
/// debugging: dozens of lines a second, for each of which a browser under WebDriver keeps more than
/// 100 KB.
fn to_page_log(level: LogLevel, line: &str) {
    let text = line.into();
    match level {
        LogLevel::Error => web_sys::console::error_1(&text),
        LogLevel::Warn => web_sys::console::warn_1(&text),
        LogLevel::Info => web_sys::console::info_1(&text),
        LogLevel::Debug => return,
    }
    page::tell(&ToPage::Log {
        level,
        line: line.to_owned(),
    });
}

/// The coordinator serves the page too, so its address is the worker's own.
fn control_url(client: &str, token: &str) -> String {
    let location = page::worker().location();
    let scheme = match location.protocol().as_str() {
        "https:" => "wss",
        _ => "ws",
    };
    let name = String::from(js_sys::encode_uri_component(client));
    let token = String::from(js_sys::encode_uri_component(token));
    format!(
        "{scheme}://{}/control/{token}?client={name}",
        location.host()
    )
}
