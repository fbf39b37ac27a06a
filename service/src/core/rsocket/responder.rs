//! What the server's side of a connection makes of the client's frames.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::frame::{ErrorCode, Frame, Kind, Payload, Setup};

/// One connection.
#[derive(Debug, Default)]
pub struct Responder {
    /// None until the client has set the connection up.
    encodings: Option<Encodings>,
}

/// What the client says.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// First of all, who it is.
    Setup {
        /// The value of an `Authorization` header.
        token: Option<String>,
        /// It is gone if nothing comes from it for so long.
        lifetime: Duration,
    },
    /// It requests a stream.
    Open {
        stream: u32,
        /// How many lines it has room for.
        credit: u32,
        path: String,
        request: Value,
    },
    /// It has room for more lines of a stream.
    Credit { stream: u32, credit: u32 },
    /// It wants no more of a stream.
    Cancel { stream: u32 },
    /// It is to get this frame.
    Answer(Frame),
    /// Nothing is to be done.
    Nothing,
}

/// Why a stream, or the whole connection, ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
}

impl Refusal {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal {
            code,
            message: message.into(),
        }
    }

    /// The last frame of that stream; of the connection, if it is 0.
    pub fn frame(self, stream: u32) -> Frame {
        Frame::Error {
            stream,
            code: self.code,
            message: self.message.into(),
        }
    }
}

/// The types that the client has chosen for everything it sends.
#[derive(Clone, Copy, Debug)]
struct Encodings {
    metadata: MediaType,
    data: MediaType,
}

#[derive(Clone, Copy, Debug)]
enum MediaType {
    Json,
    Bson,
}

#[derive(Deserialize)]
struct SetupMetadata {
    token: Option<String>,
}

#[derive(Deserialize)]
struct RequestMetadata {
    path: String,
}

impl Responder {
    /// Takes a message of the WebSocket.
    ///
    /// # Errors
    ///
    /// What ends the connection.
    pub fn receive(&mut self, message: Bytes) -> Result<Received, Refusal> {
        let frame = Frame::decode(message)
            .map_err(|error| Refusal::new(ErrorCode::CONNECTION_ERROR, error.to_string()))?;
        let Some(encodings) = self.encodings else {
            return self.set_up(frame);
        };
        Ok(match frame {
            Frame::RequestStream {
                stream,
                credit,
                follows,
                payload,
            } => {
                // Clients' streams have odd numbers.
                if stream % 2 == 0 {
                    let message = format!("{stream} is no number for a client's stream");
                    return Err(Refusal::new(ErrorCode::CONNECTION_ERROR, message));
                }
                let refuse =
                    |message: &str| Refusal::new(ErrorCode::INVALID, message).frame(stream);
                if follows {
                    return Ok(Received::Answer(refuse("fragments are not supported")));
                }
                if credit == 0 {
                    return Ok(Received::Answer(refuse("a request must have room")));
                }
                open(stream, credit, encodings, &payload)
                    .unwrap_or_else(|message| Received::Answer(refuse(&message)))
            }
            Frame::RequestN { stream, credit } => Received::Credit { stream, credit },
            Frame::Cancel { stream }
            // A client that has had enough of a stream because of an error of its own.
            | Frame::Error { stream, .. } if stream != 0 => Received::Cancel { stream },
            Frame::KeepAlive {
                respond: true,
                data,
                ..
            } => Received::Answer(Frame::KeepAlive {
                respond: false,
                position: 0,
                data,
            }),
            Frame::KeepAlive { .. } => Received::Nothing,
            Frame::Other {
                stream,
                kind: Kind::REQUEST_RESPONSE | Kind::REQUEST_CHANNEL,
                ..
            } => {
                let message = "only requests for streams are supported";
                Received::Answer(Refusal::new(ErrorCode::REJECTED, message).frame(stream))
            }
            // These have no answer.
            Frame::Other {
                kind: Kind::REQUEST_FNF | Kind::METADATA_PUSH,
                ..
            }
            | Frame::Other {
                ignorable: true, ..
            } => Received::Nothing,
            _ => {
                let message = "a client may not send such a frame now";
                return Err(Refusal::new(ErrorCode::CONNECTION_ERROR, message));
            }
        })
    }

    fn set_up(&mut self, frame: Frame) -> Result<Received, Refusal> {
        let setup = match frame {
            Frame::Setup(setup) => setup,
            Frame::Other {
                kind: Kind::RESUME, ..
            } => {
                let message = "resumption is not supported";
                return Err(Refusal::new(ErrorCode::REJECTED_RESUME, message));
            }
            _ => {
                let message = "the first frame must be SETUP";
                return Err(Refusal::new(ErrorCode::INVALID_SETUP, message));
            }
        };
        let unsupported = |message: &str| Refusal::new(ErrorCode::UNSUPPORTED_SETUP, message);
        let Setup {
            major,
            minor,
            lease,
            resume,
            keepalive_ms: _,
            lifetime_ms,
            metadata_type,
            data_type,
            payload,
        } = setup;
        if (major, minor) != (1, 0) {
            return Err(unsupported(&format!(
                "only version 1.0 is supported, not {major}.{minor}"
            )));
        }
        if lease || resume.is_some() {
            return Err(unsupported("leases and resumption are not supported"));
        }
        let encodings = Encodings {
            metadata: MediaType::of(&metadata_type).map_err(|message| unsupported(&message))?,
            data: MediaType::of(&data_type).map_err(|message| unsupported(&message))?,
        };
        let metadata = payload.metadata.unwrap_or_default();
        let SetupMetadata { token } = encodings
            .metadata
            .decode(&metadata)
            .map_err(|message| Refusal::new(ErrorCode::INVALID_SETUP, message))?;
        self.encodings = Some(encodings);
        Ok(Received::Setup {
            token,
            lifetime: Duration::from_millis(lifetime_ms.into()),
        })
    }
}

fn open(
    stream: u32,
    credit: u32,
    encodings: Encodings,
    payload: &Payload,
) -> Result<Received, String> {
    let metadata = payload.metadata.as_deref().unwrap_or_default();
    let RequestMetadata { path } = encodings.metadata.decode(metadata)?;
    Ok(Received::Open {
        stream,
        credit,
        path,
        request: encodings.data.decode(&payload.data)?,
    })
}

impl MediaType {
    fn of(name: &str) -> Result<MediaType, String> {
        match name {
            "application/json" => Ok(MediaType::Json),
            "application/bson" => Ok(MediaType::Bson),
            _ => Err(format!(
                "[PSYNC_S2004] Unsupported Media Type\n  Expected JSON or BSON request, got {name}"
            )),
        }
    }

    fn decode<'a, T: Deserialize<'a>>(self, bytes: &'a [u8]) -> Result<T, String> {
        match self {
            MediaType::Json => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
            MediaType::Bson => {
                bson::deserialize_from_slice(bytes).map_err(|error| error.to_string())
            }
        }
        .map_err(|error| format!("[PSYNC_S2001] Validation failed\n  {error}"))
    }
}
