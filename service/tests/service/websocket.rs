//! The WebSocket transport.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use squall_service::core::encoding::Encoding;
use squall_service::core::rsocket::frame::{ErrorCode, Frame, Kind, Payload, Setup};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::harness::{
    Client, Fixture, KEY_ID, Lines, OTHER_KEY, Service, claims, expiring_token, sign, token, within,
};

const JSON: &str = "application/json";

/// A client's WebSocket.
pub struct Socket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    media_type: &'static str,
}

impl Socket {
    async fn open(service: &Service) -> Socket {
        let url = format!("{}/sync/stream", service.url.replace("http:", "ws:"));
        let opening = tokio_tungstenite::connect_async(url);
        let (socket, _) = within("a WebSocket", opening).await.expect("opened");
        Socket {
            socket,
            media_type: JSON,
        }
    }

    /// A connection that the service has accepted, or is about to refuse.
    pub async fn set_up(service: &Service, token: &str, media_type: &'static str) -> Socket {
        let mut socket = Socket::open(service).await;
        socket.media_type = media_type;
        let metadata = json!({ "token": format!("Token {token}"), "user_agent": "test" });
        let metadata = socket.encode(&metadata);
        socket.send(&setup(media_type, Some(metadata))).await;
        socket
    }

    fn encode(&self, value: &Value) -> Bytes {
        match self.media_type {
            "application/bson" => bson::serialize_to_vec(value).expect("BSON").into(),
            _ => value.to_string().into(),
        }
    }

    async fn send(&mut self, frame: &Frame) {
        let message = Message::Binary(frame.encode());
        within("room for a frame", self.socket.send(message))
            .await
            .expect("sent");
    }

    /// The next frame; none when the service has closed the socket.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            match within("a frame", self.socket.next()).await?.ok()? {
                Message::Binary(message) => {
                    return Some(Frame::decode(message).expect("a frame"));
                }
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    async fn request(&mut self, stream: u32, credit: u32, request: &Value) {
        let payload = Payload {
            metadata: Some(self.encode(&json!({ "path": "/sync/stream" }))),
            data: self.encode(request),
        };
        self.send(&Frame::RequestStream {
            stream,
            credit,
            follows: false,
            payload,
        })
        .await;
    }

    /// The next line of a stream, its number before it.
    async fn next_line(&mut self) -> (u32, Value) {
        match self.next().await.expect("a frame") {
            Frame::Payload {
                stream,
                follows: false,
                complete: false,
                next: true,
                payload,
            } => {
                let line = bson::deserialize_from_slice(&payload.data).expect("BSON");
                (stream, line)
            }
            frame => panic!("{frame:?} instead of a line"),
        }
    }

    /// That nothing else is under way.
    async fn expect_silence(&mut self) {
        let data = Bytes::from_static(b"are you there?");
        self.send(&Frame::KeepAlive {
            respond: true,
            position: 5,
            data: data.clone(),
        })
        .await;
        let answer = Frame::KeepAlive {
            respond: false,
            position: 0,
            data,
        };
        assert_eq!(self.next().await, Some(answer));
    }

    /// Requests a stream and gives its lines, as an SDK does: with room for ten, and for one more with
    /// each.
    pub async fn lines(mut self, request: &Value) -> Lines {
        self.request(1, 10, request).await;
        let lines = futures_util::stream::unfold(self, |mut socket| async {
            match socket.next().await? {
                Frame::Payload {
                    next: true,
                    payload,
                    ..
                } => {
                    let more = Frame::RequestN {
                        stream: 1,
                        credit: 1,
                    };
                    socket.send(&more).await;
                    Some((payload.data, socket))
                }
                _ => None,
            }
        });
        Lines::new(Encoding::Bson, lines.boxed())
    }
}

fn setup(media_type: &str, metadata: Option<Bytes>) -> Frame {
    Frame::Setup(Setup {
        major: 1,
        minor: 0,
        lease: false,
        resume: None,
        keepalive_ms: 20_000,
        lifetime_ms: 90_000,
        metadata_type: media_type.into(),
        data_type: media_type.into(),
        payload: Payload {
            metadata,
            data: Bytes::new(),
        },
    })
}

#[tokio::test]
async fn lines_come_as_there_is_room_for_them() {
    let fixture = Fixture::new(2500).await;
    let service = fixture.serve().await;
    let mut socket = Socket::set_up(&service, &token("user"), JSON).await;
    socket.request(1, 1, &json!({})).await;
    let (_, line) = socket.next_line().await;
    assert!(line["checkpoint"]["buckets"].is_array(), "{line}");
    for operations in [1000, 1000, 500] {
        socket.expect_silence().await;
        socket
            .send(&Frame::RequestN {
                stream: 1,
                credit: 1,
            })
            .await;
        let (_, line) = socket.next_line().await;
        let data = line["data"]["data"].as_array().expect("operations");
        assert_eq!(data.len(), operations);
        // A string although the request does not say so.
        assert!(data[0]["data"].is_string(), "{}", data[0]);
    }
    // Two lines at a time, and then what happens later.
    socket
        .send(&Frame::RequestN {
            stream: 1,
            credit: 2,
        })
        .await;
    let (_, line) = socket.next_line().await;
    assert!(line["checkpoint_complete"].is_object(), "{line}");
    fixture.execute("UPDATE mww SET v = 1 WHERE k = 1").await;
    let (_, line) = socket.next_line().await;
    assert!(line["checkpoint_diff"].is_object(), "{line}");
    socket.expect_silence().await;
}

#[tokio::test]
async fn a_connection_has_several_streams_and_each_can_be_cancelled() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    service.settle(&fixture.http).await;
    let mut socket = Socket::set_up(&service, &token("user"), JSON).await;
    for stream in [1, 3] {
        socket.request(stream, 100, &json!({})).await;
        for key in ["checkpoint", "data", "checkpoint_complete"] {
            let (of_stream, line) = socket.next_line().await;
            assert!(of_stream == stream && line[key].is_object(), "{line}");
        }
    }
    socket.send(&Frame::Cancel { stream: 1 }).await;
    // By the answer the service has read the frame before.
    socket.expect_silence().await;
    fixture.execute("UPDATE mww SET v = 1").await;
    for key in ["checkpoint_diff", "data", "checkpoint_complete"] {
        let (of_stream, line) = socket.next_line().await;
        assert!(of_stream == 3 && line[key].is_object(), "{line}");
    }
    socket.expect_silence().await;
    // The number is free again.
    socket.request(1, 1, &json!({})).await;
    assert_eq!(socket.next_line().await.0, 1);
}

#[tokio::test]
async fn clients_that_sync_over_a_websocket_see_what_others_see() {
    let fixture = Fixture::new(1200).await;
    let service = fixture.serve().await;
    let mut client = Client::new("user", "a");
    let socket = Socket::set_up(&service, &token("user"), JSON).await;
    let lines = socket.lines(&client.books.request("a")).await;
    client.connect_with(lines);
    client.sync_with(&fixture).await;
    fixture
        .execute("BEGIN; DELETE FROM mww WHERE k < 10; UPDATE mww SET v = 5; COMMIT")
        .await;
    client.sync_with(&fixture).await;
    let id = client.write_checkpoint(&fixture.http, &service.url).await;
    client.sync_to(id).await;
    // Only what it misses, when it comes back.
    let before = client.books.operations;
    let socket = Socket::set_up(&service, &token("user"), JSON).await;
    let lines = socket.lines(&client.books.request("a")).await;
    client.connect_with(lines);
    fixture.execute("UPDATE mww SET v = 6 WHERE k = 10").await;
    client.sync_with(&fixture).await;
    assert_eq!(client.books.operations, before + 1);
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    let mut socket = Socket::set_up(&service, &expiring_token(2), JSON).await;
    socket.request(1, 100, &json!({})).await;
    let mut last = Value::Null;
    let end = loop {
        match socket.next().await.expect("a frame") {
            Frame::Payload {
                next: true,
                payload,
                ..
            } => last = bson::deserialize_from_slice(&payload.data).expect("BSON"),
            frame => break frame,
        }
    };
    assert_eq!(last, json!({ "token_expires_in": 0 }));
    let complete = Frame::Payload {
        stream: 1,
        follows: false,
        complete: true,
        next: false,
        payload: Payload::default(),
    };
    assert_eq!(end, complete);
    socket.expect_silence().await;
}

#[tokio::test]
async fn the_end_of_the_service_and_silence_close_the_socket() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    // A client that said that it would be heard of more often.
    let mut silent = Socket::open(&service).await;
    let metadata = json!({ "token": format!("Token {}", token("user")) }).to_string();
    let mut frame = setup(JSON, Some(metadata.into()));
    if let Frame::Setup(setup) = &mut frame {
        setup.lifetime_ms = 200;
    }
    silent.send(&frame).await;
    assert_eq!(silent.next().await, None);

    let mut idle = Socket::set_up(&service, &token("user"), JSON).await;
    idle.expect_silence().await;
    service.stop().await;
    assert_eq!(idle.next().await, None);
}

/// The first frames of connections that are refused, and the error: with its stream, code and text.
#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    service.settle(&fixture.http).await;
    let metadata = |value: Value| Some(Bytes::from(value.to_string()));
    let with_token = |token: &str| setup(JSON, metadata(json!({ "token": token })));
    let good = with_token(&format!("Token {}", token("user")));
    let altered = |alter: fn(&mut Setup)| {
        let mut frame = good.clone();
        if let Frame::Setup(setup) = &mut frame {
            alter(setup);
        }
        frame
    };
    let request = |path: Value, data: &str| Frame::RequestStream {
        stream: 1,
        credit: 5,
        follows: false,
        payload: Payload {
            metadata: metadata(path),
            data: data.to_owned().into(),
        },
    };
    let stream = json!({ "path": "/sync/stream" });
    let other = |kind| Frame::Other {
        stream: 1,
        kind,
        ignorable: false,
    };
    let forged = sign(&claims("user"), OTHER_KEY, Some(KEY_ID));
    let rejected = ErrorCode::REJECTED_SETUP;
    let unsupported = ErrorCode::UNSUPPORTED_SETUP;
    let (connection, invalid) = (ErrorCode::CONNECTION_ERROR, ErrorCode::INVALID);
    let application = ErrorCode::APPLICATION_ERROR;
    let setups = [
        (
            with_token("nonsense"),
            rejected,
            "[PSYNC_S2106] Authentication required",
        ),
        (setup(JSON, metadata(json!({}))), rejected, "[PSYNC_S2106]"),
        (
            with_token(&format!("Token {forged}")),
            rejected,
            "[PSYNC_S2101] signature",
        ),
        (
            with_token(&format!("Token {}", expiring_token(-90))),
            rejected,
            "[PSYNC_S2103]",
        ),
        (setup(JSON, None), ErrorCode::INVALID_SETUP, "[PSYNC_S2001]"),
        (setup("text/plain", None), unsupported, "[PSYNC_S2004]"),
        (
            altered(|setup| setup.minor = 1),
            unsupported,
            "only version 1.0",
        ),
        (altered(|setup| setup.lease = true), unsupported, "leases"),
        (
            altered(|setup| setup.resume = Some(Bytes::new())),
            unsupported,
            "leases",
        ),
        (
            other(Kind::RESUME),
            ErrorCode::REJECTED_RESUME,
            "resumption",
        ),
        (
            request(stream.clone(), "{}"),
            ErrorCode::INVALID_SETUP,
            "the first frame",
        ),
    ];
    for (frame, code, message) in setups {
        let mut socket = Socket::open(&service).await;
        socket.send(&frame).await;
        expect_error(&mut socket, 0, code, message).await;
        assert_eq!(socket.next().await, None, "{message}");
    }
    let requests = [
        (
            request(json!({ "path": "/x" }), "{}"),
            application,
            "[PSYNC_S2002] The path does",
        ),
        (request(json!({}), "{}"), invalid, "[PSYNC_S2001]"),
        (request(stream.clone(), "{"), invalid, "[PSYNC_S2001]"),
        (
            request(stream.clone(), r#"{"buckets":5}"#),
            application,
            "[PSYNC_S2001] Validation failed\n  [\"/buckets: type must be array\"]",
        ),
        (
            other(Kind::REQUEST_RESPONSE),
            ErrorCode::REJECTED,
            "only requests for streams",
        ),
    ];
    // One connection for all: a stream's error ends nothing else.
    let mut socket = Socket::open(&service).await;
    socket.send(&good).await;
    for (frame, code, message) in requests {
        socket.send(&frame).await;
        expect_error(&mut socket, 1, code, message).await;
    }
    socket.send(&other(Kind::REQUEST_FNF)).await;
    socket.send(&Frame::Cancel { stream: 9 }).await;
    socket.send(&request(stream.clone(), "{}")).await;
    assert_eq!(socket.next_line().await.0, 1);
    // A second one of the same number.
    for _ in 0..2 {
        socket.next_line().await;
    }
    socket.send(&request(stream, "{}")).await;
    expect_error(&mut socket, 0, connection, "stream 1 is open").await;
    assert_eq!(socket.next().await, None);

    for message in [
        Message::Binary(Bytes::from_static(b"short")),
        Message::text("{}"),
    ] {
        let mut socket = Socket::open(&service).await;
        socket.socket.send(message).await.expect("sent");
        expect_error(&mut socket, 0, connection, "").await;
        assert_eq!(socket.next().await, None);
    }
}

async fn expect_error(socket: &mut Socket, stream: u32, code: ErrorCode, message: &str) {
    match socket.next().await {
        Some(Frame::Error {
            stream: of,
            code: with,
            message: text,
        }) => {
            let text = String::from_utf8(text.to_vec()).expect("text");
            assert!(
                (of, with) == (stream, code) && text.starts_with(message),
                "{text} ({with:?}) on {of} instead of {message} ({code:?}) on {stream}"
            );
        }
        other => panic!("{other:?} instead of {message}"),
    }
}
