//! The client's end of the control connection: what the coordinator says is done, what the client
//! does is told.
//!
//! A shell (native or browser) brings the connection and a way to open the database; frames are the
//! JSON texts of [`ToClient`] and [`FromClient`].

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt};
use rusqlite::Connection;
use squall_protocol::contract::{
    CONTRACT_VERSION, Capabilities, ClientConfig, Engine, FromClient, Hello, LogLevel, ToClient,
};
use squall_protocol::sql::Dialect;

use crate::client::Client;
use crate::error::execution;
use crate::platform::Platform;
use crate::store;

/// The shortest time between two status messages.
const STATUS_AT_MOST_EVERY: Duration = Duration::from_millis(100);
/// The longest time between two status messages.
const STATUS_AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// How a client's life ended, if it ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentEnd {
    /// The coordinator said [`ToClient::Stop`], and the database is closed.
    Stopped,
    /// The control connection ended; the database is closed.
    Disconnected,
}

/// Whether a client syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It connects by itself, as soon as it is ready.
    Syncing,
    /// It never connects, whatever it is told, and a new database is filled by itself.
    Local,
}

/// Lives a client's life: says hello, opens the database when configured, connects, and does what
/// it is told until it is stopped or `incoming` ends.
///
/// `outgoing` sends a message and must not block. `open` opens the connection to the database, whose
/// error's text ends up in [`FromClient::Fatal`]; the same error is what this function returns.
/// Shells that have something to say to the client themselves (a page that knows that the network
/// is back, a person who presses a button) get a clone of it through `opened`.
pub async fn run_agent<P: Platform>(
    name: &str,
    mode: Mode,
    platform: P,
    open: impl AsyncFnOnce(&ClientConfig) -> Result<Connection, String>,
    opened: impl FnOnce(Client<P>),
    incoming: impl Stream<Item = ToClient>,
    outgoing: impl Fn(FromClient) + 'static,
) -> Result<AgentEnd, String> {
    let outgoing: Rc<dyn Fn(FromClient)> = Rc::new(outgoing);
    let mut incoming = pin!(incoming);
    outgoing(hello(name, mode));
    let config = loop {
        match incoming.next().await {
            Some(ToClient::Configure(config)) => break *config,
            Some(ToClient::Stop) => return Ok(AgentEnd::Stopped),
            Some(other) => outgoing(FromClient::Log {
                level: LogLevel::Error,
                line: format!("not configured yet, so nothing is done about {other:?}"),
            }),
            None => return Ok(AgentEnd::Disconnected),
        }
    };
    let log = {
        let outgoing = outgoing.clone();
        Rc::new(move |level, line| outgoing(FromClient::Log { level, line }))
    };
    let client = match open(&config).await {
        Ok(connection) => match mode {
            Mode::Syncing => Client::open(connection, config, platform, log),
            Mode::Local => Client::open_local(connection, config, platform, log),
        }
        .map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            let error = format!("the database can not be opened: {error}");
            outgoing(FromClient::Fatal {
                error: error.clone(),
            });
            return Err(error);
        }
    };
    opened(client.clone());
    outgoing(FromClient::Ready {
        session: client.session().to_owned(),
        new_session: client.new_session(),
    });
    if mode == Mode::Syncing {
        client.connect();
    }
    let background = async {
        let emit = |results| outgoing(FromClient::Emission { results });
        let status = report_status(&client, &*outgoing);
        futures_util::future::join3(client.run(), status, client.watch(emit)).await;
    };
    let end = match select(
        pin!(handle_messages(&client, mode, incoming, &*outgoing)),
        pin!(background),
    )
    .await
    {
        Either::Left((end, _)) => end,
        // Someone else who holds the client has closed it.
        Either::Right(_) => AgentEnd::Stopped,
    };
    client.close().map_err(|error| error.to_string())?;
    Ok(end)
}

/// The first message of an incarnation with powersync_core.
pub fn hello(client: &str, mode: Mode) -> FromClient {
    let syncs = mode == Mode::Syncing;
    FromClient::Hello(Hello {
        client: client.to_owned(),
        contract: CONTRACT_VERSION,
        dialect: Dialect::Sqlite,
        engine: Some(Engine {
            name: "powersync_core".to_owned(),
            version: store::versions().ok(),
        }),
        runtime: None,
        capabilities: Capabilities {
            syncs,
            watches: true,
            disconnects: syncs,
            checks_integrity: true,
            ..Capabilities::default()
        },
    })
}

/// Does what the coordinator says until it says stop.
async fn handle_messages<P: Platform>(
    client: &Client<P>,
    mode: Mode,
    mut incoming: impl Stream<Item = ToClient> + Unpin,
    outgoing: &dyn Fn(FromClient),
) -> AgentEnd {
    while let Some(message) = incoming.next().await {
        match message {
            ToClient::Execute {
                operation,
                access,
                calls,
            } => outgoing(FromClient::Completed {
                operation,
                outcome: execution(client.execute(access, &calls)),
            }),
            ToClient::Watch { calls, at_once } => {
                if let Err(error) = client.set_watch(calls, at_once) {
                    client.log(LogLevel::Error, format!("live query: {error}"));
                }
            }
            ToClient::Connect if mode == Mode::Syncing => client.connect(),
            ToClient::Disconnect => client.disconnect(),
            ToClient::CheckIntegrity => outgoing(FromClient::Integrity {
                report: client
                    .integrity_check()
                    .unwrap_or_else(|error| vec![format!("the check could not be done: {error}")]),
            }),
            ToClient::Stop => return AgentEnd::Stopped,
            ToClient::Connect => client.log(LogLevel::Error, "a local client does not connect"),
            ToClient::Configure(_) => client.log(
                LogLevel::Error,
                "configured already: a client takes its configuration once",
            ),
        }
    }
    AgentEnd::Disconnected
}

/// Sends the status when it changed and at least every second, until the client is closed.
async fn report_status<P: Platform>(client: &Client<P>, outgoing: &dyn Fn(FromClient)) {
    while !client.closed() {
        let status = client.status();
        outgoing(FromClient::Status(status.clone()));
        client.0.platform.sleep(STATUS_AT_MOST_EVERY).await;
        let changed = async {
            while !client.closed() && client.status() == status {
                client.status_changed().await;
            }
        };
        let late = client
            .0
            .platform
            .sleep(STATUS_AT_LEAST_EVERY - STATUS_AT_MOST_EVERY);
        select(pin!(changed), pin!(late)).await;
    }
}
