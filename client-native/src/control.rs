//! The control connection: a WebSocket to the coordinator, one JSON text frame per message.

use futures_util::stream::BoxStream;
use futures_util::{SinkExt, StreamExt, future::BoxFuture};
use squall_protocol::contract::{FromClient, LogLevel, ToClient};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::error::Error;

/// An open control connection.
pub(crate) struct ControlConnection {
    /// Ends when the connection does.
    pub(crate) incoming: BoxStream<'static, ToClient>,
    pub(crate) outgoing: UnboundedSender<FromClient>,
    /// Sends what is put into `outgoing`; resolves when that is dropped and everything is sent, or
    /// the connection is lost.
    pub(crate) writer: BoxFuture<'static, ()>,
}

/// Connects to the coordinator at that address.
pub(crate) async fn connect(url: &str) -> Result<ControlConnection, Error> {
    let failed = |reason: String| Error::Control {
        url: url.to_owned(),
        reason,
    };
    let request = url
        .into_client_request()
        .map_err(|error| failed(error.to_string()))?;
    let (socket, _) = tokio_tungstenite::connect_async_with_config(request, None, true)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let (sink, frames) = socket.split();
    let (outgoing, queue) = unbounded_channel();
    let complain = outgoing.downgrade();
    let incoming = frames
        .take_while(|frame| futures_util::future::ready(frame.is_ok()))
        .filter_map(move |frame| {
            let message = match frame {
                Ok(Message::Text(text)) => match serde_json::from_str(&text) {
                    Ok(message) => Some(message),
                    Err(error) => {
                        let line = format!("not a message of the coordinator: {error}: {text}");
                        if let Some(complain) = complain.upgrade() {
                            let _ = complain.send(FromClient::Log {
                                level: LogLevel::Error,
                                line,
                            });
                        }
                        None
                    }
                },
                _ => None,
            };
            futures_util::future::ready(message)
        });
    Ok(ControlConnection {
        incoming: incoming.boxed(),
        outgoing,
        writer: Box::pin(write(sink, queue)),
    })
}

async fn write(
    mut sink: impl futures_util::Sink<Message> + Unpin,
    mut queue: UnboundedReceiver<FromClient>,
) {
    while let Some(message) = queue.recv().await {
        let text = serde_json::to_string(&message).expect("messages have only text keys");
        if sink.send(Message::text(text)).await.is_err() {
            return;
        }
    }
    // Says goodbye; the coordinator may be gone already.
    let _ = sink.close().await;
}
