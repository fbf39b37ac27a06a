//! The WebSocket shell: what [`http`][crate::http] does for streams, by RSocket.
//!
//! As over HTTP a line is made when there is room for it; here the client says for how many it has.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::SplitStream;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use crate::core::encoding::Encoding;
use crate::core::request::StreamRequest;
use crate::core::rsocket::frame::{ErrorCode, Frame, Payload};
use crate::core::rsocket::responder::{Received, Refusal, Responder};
use crate::core::token::{Claims, TokenError};
use crate::failure::Failure;
use crate::open_stream::OpenStream;
use crate::shared::{MAX_REQUEST, Shared};

/// How long a client may take to set the connection up, and to read its last frames.
const DEADLINE: Duration = Duration::from_secs(10);

/// How many streams a connection may have; the SDKs have one.
const MAX_STREAMS: usize = 10;

/// Where a WebSocket begins.
pub async fn upgrade(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade
            .max_message_size(MAX_REQUEST)
            .on_upgrade(move |socket| serve(shared, socket)),
        Err(_) => Failure::not_found(&method, uri.path()).into_response(),
    }
}

/// Serves one client until one of both goes.
async fn serve(shared: Arc<Shared>, socket: WebSocket) {
    let (mut sink, messages) = socket.split();
    let (frames, mut outgoing) = mpsc::channel::<Frame>(1);
    let mut write = pin!(async move {
        while let Some(frame) = outgoing.recv().await {
            if sink.send(Message::Binary(frame.encode())).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    });
    let mut ended = shared.published.clone();
    let connection = Connection {
        shared,
        messages,
        responder: Responder::default(),
        client: None,
        streams: HashMap::new(),
        tasks: JoinSet::new(),
        frames,
    };
    tokio::select! {
        () = &mut write => return,
        () = connection.run() => {}
        // Nothing is published any more when the service ends.
        () = async { while ended.changed().await.is_ok() {} } => {}
    }
    let _ = tokio::time::timeout(DEADLINE, write).await;
}

/// The client's side of a connection. Its streams end with it.
struct Connection {
    shared: Arc<Shared>,
    messages: SplitStream<WebSocket>,
    responder: Responder,
    /// None until the client has said who it is.
    client: Option<Client>,
    streams: HashMap<u32, Stream>,
    /// One for each stream.
    tasks: JoinSet<()>,
    frames: mpsc::Sender<Frame>,
}

struct Client {
    claims: Claims,
    lifetime: Duration,
}

/// A stream that is open.
struct Stream {
    /// How many lines the client has room for.
    credit: Arc<Semaphore>,
    task: AbortHandle,
}

impl Connection {
    async fn run(mut self) {
        loop {
            let patience = self
                .client
                .as_ref()
                .map_or(DEADLINE, |client| client.lifetime);
            let message = tokio::select! {
                message = tokio::time::timeout(patience, self.messages.next()) => message,
                Some(_) = self.tasks.join_next() => {
                    self.streams.retain(|_, stream| !stream.task.is_finished());
                    continue;
                }
            };
            // A client that is silent for longer than it said is gone.
            let Ok(Some(Ok(message))) = message else {
                return;
            };
            let answer = match message {
                Message::Binary(message) => self.receive(message),
                Message::Text(_) => {
                    let message = "frames are binary messages";
                    Err(Refusal::new(ErrorCode::CONNECTION_ERROR, message))
                }
                Message::Close(_) => return,
                Message::Ping(_) | Message::Pong(_) => Ok(None),
            };
            let is_last = answer.is_err();
            if let Some(frame) = answer.unwrap_or_else(|refusal| Some(refusal.frame(0)))
                && self.frames.send(frame).await.is_err()
            {
                return;
            }
            if is_last {
                return;
            }
        }
    }

    /// Does what the client says, and gives the answer if there is one at once. An error ends the
    /// connection.
    fn receive(&mut self, message: Bytes) -> Result<Option<Frame>, Refusal> {
        match self.responder.receive(message)? {
            Received::Setup { token, lifetime } => {
                let claims = self.shared.authorize(token.as_deref()).map_err(|refusal| {
                    Refusal::new(ErrorCode::REJECTED_SETUP, Failure::from(refusal).message())
                })?;
                self.client = Some(Client { claims, lifetime });
            }
            Received::Open {
                stream,
                credit,
                path,
                request,
            } => {
                if self.streams.contains_key(&stream) {
                    let message = format!("stream {stream} is open already");
                    return Err(Refusal::new(ErrorCode::CONNECTION_ERROR, message));
                }
                if self.streams.len() >= MAX_STREAMS {
                    let message = format!("at most {MAX_STREAMS} streams are open at once");
                    let refusal = Refusal::new(ErrorCode::REJECTED, message);
                    return Ok(Some(refusal.frame(stream)));
                }
                match self.open(&path, &request) {
                    Ok(open) => self.start(stream, credit, open),
                    Err(failure) => {
                        let refusal = Refusal::new(ErrorCode::APPLICATION_ERROR, failure.message());
                        return Ok(Some(refusal.frame(stream)));
                    }
                }
            }
            Received::Credit { stream, credit } => {
                if let Some(stream) = self.streams.get(&stream) {
                    let more = credit as usize;
                    let room = Semaphore::MAX_PERMITS - stream.credit.available_permits();
                    stream.credit.add_permits(more.min(room));
                }
            }
            Received::Cancel { stream } => {
                if let Some(stream) = self.streams.remove(&stream) {
                    stream.task.abort();
                }
            }
            Received::Answer(frame) => return Ok(Some(frame)),
            Received::Nothing => {}
        }
        Ok(None)
    }

    fn open(&self, path: &str, request: &serde_json::Value) -> Result<OpenStream, Failure> {
        if path != "/sync/stream" {
            return Err(Failure::not_found(&Method::GET, path));
        }
        let request = StreamRequest::from_json(request)?;
        let client = self.client.as_ref().ok_or(TokenError::Missing)?;
        let (shared, encoding) = (self.shared.clone(), Encoding::Bson);
        OpenStream::open(shared, &request, &client.claims, encoding, false)
    }

    fn start(&mut self, number: u32, credit: u32, mut stream: OpenStream) {
        let credit = Arc::new(Semaphore::new(credit as usize));
        let (room, frames) = (credit.clone(), self.frames.clone());
        let task = self.tasks.spawn(async move {
            loop {
                // Nobody closes it.
                if let Ok(permit) = room.acquire().await {
                    permit.forget();
                }
                let line = stream.next_line().await;
                let is_last = !matches!(line, Some(Ok(_)));
                let frame = match line {
                    Some(Err(problem)) => {
                        let message = format!("[PSYNC_S2001] {problem}");
                        Refusal::new(ErrorCode::APPLICATION_ERROR, message).frame(number)
                    }
                    line => Frame::Payload {
                        stream: number,
                        follows: false,
                        complete: is_last,
                        next: !is_last,
                        payload: Payload {
                            metadata: None,
                            data: line.and_then(Result::ok).unwrap_or_default(),
                        },
                    },
                };
                if frames.send(frame).await.is_err() || is_last {
                    return;
                }
            }
        });
        self.streams.insert(number, Stream { credit, task });
    }
}
