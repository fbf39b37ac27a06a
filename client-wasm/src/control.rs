//! The worker's control connection: a WebSocket that is opened again whenever it is lost.
//!
//! The client outlives its connection: it goes on syncing with its database open, and says hello
//! again on the next one. client-core's agent sees one uninterrupted stream of messages.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, Stream, StreamExt, stream};
use gloo_net::websocket::{Message, State, futures::WebSocket};
use gloo_timers::future::sleep;
use squall_client_core::agent::{Mode, hello};
use squall_protocol::contract::{ClientConfig, FromClient, LogLevel, ToClient};

/// The pause before a lost connection is tried again.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// What the owner of a connection is told about it.
pub trait Watcher {
    /// There is a connection now, or there is none any more.
    fn connected(&self, connected: bool);

    /// What to say to a coordinator that has just configured this client as it was configured
    /// before; nothing as long as the database is not open.
    fn introduction(&self) -> Option<FromClient>;

    /// Something for the client's log.
    fn log(&self, level: LogLevel, line: String);
}

/// The sending end. Cheap to clone: all clones are the same connection.
#[derive(Clone, Default)]
pub struct Outgoing(Rc<RefCell<Option<SplitSink<WebSocket, Message>>>>);

impl Outgoing {
    /// Sends a message, if there is a connection. What can not be sent is dropped: the coordinator
    /// knows that the connection was lost, and takes what was under way for uncertain.
    pub fn send(&self, message: &FromClient) {
        let text = serde_json::to_string(message).expect("a message has only text keys");
        // Already borrowed only if sending itself panicked and the panic is being reported.
        let Ok(mut sink) = self.0.try_borrow_mut() else {
            return;
        };
        if let Some(sink) = sink.as_mut() {
            // An open WebSocket takes a message at once; an error also shows at the receiving end.
            let _ = sink.send(Message::Text(text)).now_or_never();
        }
    }
}

/// The receiving end, and what keeps the connection.
pub struct Control<W> {
    url: String,
    client: String,
    watcher: W,
    outgoing: Outgoing,
    incoming: Option<SplitStream<WebSocket>>,
    /// What the client was configured with.
    config: Option<Box<ClientConfig>>,
    /// A different configuration, for the next life of the client.
    next_config: Option<Box<ClientConfig>>,
}

impl<W: Watcher> Control<W> {
    /// The connection of that client to the coordinator at `url`; it is opened by reading from it.
    pub fn new(url: String, client: String, outgoing: Outgoing, watcher: W) -> Self {
        Control {
            url,
            client,
            watcher,
            outgoing,
            incoming: None,
            config: None,
            next_config: None,
        }
    }

    /// The messages for one life of the client. They end when the coordinator brings a different
    /// configuration, with which the next life's messages begin.
    pub fn messages(&mut self) -> impl Stream<Item = ToClient> {
        self.config = None;
        stream::unfold(self, async |control| {
            let message = control.next().await?;
            Some((message, control))
        })
    }

    async fn next(&mut self) -> Option<ToClient> {
        if let Some(config) = self.next_config.take() {
            self.config = Some(config.clone());
            return Some(ToClient::Configure(config));
        }
        loop {
            match self.receive().await {
                ToClient::Configure(config) => match &self.config {
                    None => {
                        self.config = Some(config.clone());
                        return Some(ToClient::Configure(config));
                    }
                    Some(known) if *known == config => {
                        if let Some(introduction) = self.watcher.introduction() {
                            self.outgoing.send(&introduction);
                        }
                    }
                    Some(_) => {
                        self.next_config = Some(config);
                        return None;
                    }
                },
                message => return Some(message),
            }
        }
    }

    /// The next message on this or a later connection.
    async fn receive(&mut self) -> ToClient {
        loop {
            let Some(incoming) = &mut self.incoming else {
                self.connect().await;
                continue;
            };
            let text = match incoming.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Bytes(_))) => continue,
                Some(Err(_)) | None => {
                    self.incoming = None;
                    self.outgoing.0.replace(None);
                    self.watcher.connected(false);
                    sleep(RECONNECT_AFTER).await;
                    continue;
                }
            };
            match serde_json::from_str(&text) {
                Ok(message) => return message,
                Err(error) => self.watcher.log(
                    LogLevel::Error,
                    format!("the coordinator sent a message that is not understood: {error}"),
                ),
            }
        }
    }

    /// Opens a connection and says hello, however often that has to be tried.
    async fn connect(&mut self) {
        loop {
            if let Ok(mut socket) = WebSocket::open(&self.url) {
                let hello = hello(&self.client, Mode::Syncing);
                let text = serde_json::to_string(&hello).expect("a message has only text keys");
                // Resolves when the WebSocket is open or could not be opened; in the latter case, a
                // browser drops the message without an error.
                let sent = socket.send(Message::Text(text)).await;
                if sent.is_ok() && matches!(socket.state(), State::Open) {
                    let (sink, stream) = socket.split();
                    self.incoming = Some(stream);
                    self.outgoing.0.replace(Some(sink));
                    self.watcher.connected(true);
                    return;
                }
            }
            sleep(RECONNECT_AFTER).await;
        }
    }
}
