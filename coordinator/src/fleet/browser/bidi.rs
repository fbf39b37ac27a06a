//! A small WebDriver BiDi client: commands with answers, and no events.
//!
//! Only what the driver needs; the protocol is <https://w3c.github.io/webdriver-bidi/>.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::BrowserError;

const DEADLINE: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

struct Command {
    method: &'static str,
    params: Value,
    answer: oneshot::Sender<Result<Value, String>>,
}

/// The BiDi side of a WebDriver session. The socket closes when this is dropped.
#[derive(Debug)]
pub struct Bidi {
    commands: mpsc::UnboundedSender<Command>,
}

impl Bidi {
    /// Connects to the `webSocketUrl` of a session.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn connect(url: &str) -> Result<Self, BrowserError> {
        let failed = |message: String| BrowserError::Bidi {
            method: "connect",
            message,
        };
        let (socket, _) = tokio::time::timeout(DEADLINE, tokio_tungstenite::connect_async(url))
            .await
            .map_err(|_| failed(format!("{url} did not answer within {DEADLINE:?}")))?
            .map_err(|error| failed(format!("{url}: {error}")))?;
        let (commands, receiver) = mpsc::unbounded_channel();
        tokio::spawn(pump(socket, receiver));
        Ok(Self { commands })
    }

    /// Sends a command and waits for its result.
    ///
    /// # Errors
    /// [`BrowserError::Bidi`]: the browser refused, the socket is closed, or ten seconds passed.
    pub async fn call(&self, method: &'static str, params: Value) -> Result<Value, BrowserError> {
        let (answer, result) = oneshot::channel();
        let closed = || "the BiDi socket is closed".to_owned();
        let outcome = if self
            .commands
            .send(Command {
                method,
                params,
                answer,
            })
            .is_err()
        {
            Err(closed())
        } else {
            match tokio::time::timeout(DEADLINE, result).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(closed()),
                Err(_) => Err(format!("no answer within {DEADLINE:?}")),
            }
        };
        outcome.map_err(|message| BrowserError::Bidi { method, message })
    }
}

/// Owns the socket until either side closes it. Waiting calls learn of the end by their sender
/// being dropped with the map.
async fn pump(mut socket: Socket, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut next_id = 0_u64;
    let mut waiting = HashMap::new();
    loop {
        tokio::select! {
            command = commands.recv() => {
                let Some(command) = command else { break };
                next_id += 1;
                let text = json!({"id": next_id, "method": command.method, "params": command.params});
                waiting.insert(next_id, command.answer);
                if socket.send(Message::text(text.to_string())).await.is_err() {
                    break;
                }
            }
            message = socket.next() => {
                let Some(Ok(message)) = message else { break };
                let Message::Text(text) = message else { continue };
                let Ok(message) = serde_json::from_str::<Value>(&text) else { continue };
                if let Some(answer) = message["id"].as_u64().and_then(|id| waiting.remove(&id)) {
                    let _ = answer.send(outcome(&message));
                }
            }
        }
    }
    let _ = socket.close(None).await;
}

fn outcome(message: &Value) -> Result<Value, String> {
    if message["type"] == "error" {
        let part = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        Err(format!("{}: {}", part("error"), part("message")))
    } else {
        Ok(message["result"].clone())
    }
}
