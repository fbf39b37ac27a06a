//! Frames of RSocket 1.0, to and from bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What ends a connection or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    pub const INVALID_SETUP: ErrorCode = ErrorCode(0x001);
    pub const UNSUPPORTED_SETUP: ErrorCode = ErrorCode(0x002);
    pub const REJECTED_SETUP: ErrorCode = ErrorCode(0x003);
    pub const REJECTED_RESUME: ErrorCode = ErrorCode(0x004);
    pub const CONNECTION_ERROR: ErrorCode = ErrorCode(0x101);
    pub const APPLICATION_ERROR: ErrorCode = ErrorCode(0x201);
    pub const REJECTED: ErrorCode = ErrorCode(0x202);
    pub const INVALID: ErrorCode = ErrorCode(0x204);
}

/// What an application sends: data, and something about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    pub metadata: Option<Bytes>,
    pub data: Bytes,
}

/// A frame. Stream 0 is the connection itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first frame of a client.
    Setup(Setup),
    /// The client wants a stream, and has room for that many payloads.
    RequestStream {
        stream: u32,
        credit: u32,
        /// The payload goes on in the next frame.
        follows: bool,
        payload: Payload,
    },
    /// The client has room for that many payloads more.
    RequestN { stream: u32, credit: u32 },
    /// The client wants no more of a stream.
    Cancel { stream: u32 },
    /// The other side is there.
    KeepAlive {
        /// It wants to know whether we are.
        respond: bool,
        /// How much it has received, for resumption.
        position: u64,
        data: Bytes,
    },
    /// A stream, or the connection, ends with an error.
    Error {
        stream: u32,
        code: ErrorCode,
        message: Bytes,
    },
    /// A part of a stream.
    Payload {
        stream: u32,
        follows: bool,
        /// The stream ends after it.
        complete: bool,
        /// There is a payload, which may be empty.
        next: bool,
        payload: Payload,
    },
    /// A frame of a kind that only its head is read of.
    Other {
        stream: u32,
        kind: Kind,
        /// A receiver that does not know the kind ignores it.
        ignorable: bool,
    },
}

/// How a client sets a connection up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    pub major: u16,
    pub minor: u16,
    pub lease: bool,
    /// A token for resumption.
    pub resume: Option<Bytes>,
    /// The client sends a keepalive frame every so many milliseconds, at most 2^31 - 1,
    pub keepalive_ms: u32,
    /// and is gone if nothing came for so many.
    pub lifetime_ms: u32,
    /// Of the type of all metadata, and of all data: ASCII, at most 255 bytes.
    pub metadata_type: String,
    pub data_type: String,
    pub payload: Payload,
}

/// The number of a kind of frames, of 6 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    pub const SETUP: Kind = Kind(0x01);
    pub const LEASE: Kind = Kind(0x02);
    pub const KEEPALIVE: Kind = Kind(0x03);
    pub const REQUEST_RESPONSE: Kind = Kind(0x04);
    pub const REQUEST_FNF: Kind = Kind(0x05);
    pub const REQUEST_STREAM: Kind = Kind(0x06);
    pub const REQUEST_CHANNEL: Kind = Kind(0x07);
    pub const REQUEST_N: Kind = Kind(0x08);
    pub const CANCEL: Kind = Kind(0x09);
    pub const PAYLOAD: Kind = Kind(0x0A);
    pub const ERROR: Kind = Kind(0x0B);
    pub const METADATA_PUSH: Kind = Kind(0x0C);
    pub const RESUME: Kind = Kind(0x0D);
}

/// The bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedFrame {
    #[error("the frame ends within its {0}")]
    Short(&'static str),
    #[error("the {0} is not ASCII")]
    NotAscii(&'static str),
}

const IGNORE: u16 = 0x200;
const METADATA: u16 = 0x100;
/// FOLLOWS; in a keepalive RESPOND, in a setup RESUME.
const FIRST: u16 = 0x080;
/// COMPLETE; in a setup LEASE.
const SECOND: u16 = 0x040;
const NEXT: u16 = 0x020;

const MAX_31_BITS: u32 = 0x7FFF_FFFF;

impl Frame {
    /// Reads the frame of one message.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Frame, MalformedFrame> {
        let mut bytes = bytes.into();
        let stream = number(&mut bytes, "head")?;
        let head = take(&mut bytes, 2, "head")?.get_u16();
        let (kind, has) = (Kind((head >> 10) as u8), |flag| head & flag != 0);
        Ok(match kind {
            Kind::SETUP => Frame::Setup(Setup::decode(bytes, head)?),
            Kind::REQUEST_STREAM => Frame::RequestStream {
                stream,
                credit: number(&mut bytes, "credit")?,
                follows: has(FIRST),
                payload: Payload::decode(bytes, has(METADATA))?,
            },
            Kind::REQUEST_N => Frame::RequestN {
                stream,
                credit: number(&mut bytes, "credit")?,
            },
            Kind::CANCEL => Frame::Cancel { stream },
            Kind::KEEPALIVE => Frame::KeepAlive {
                respond: has(FIRST),
                position: take(&mut bytes, 8, "position")?.get_u64(),
                data: bytes,
            },
            Kind::ERROR => Frame::Error {
                stream,
                code: ErrorCode(take(&mut bytes, 4, "code")?.get_u32()),
                message: bytes,
            },
            Kind::PAYLOAD => Frame::Payload {
                stream,
                follows: has(FIRST),
                complete: has(SECOND),
                next: has(NEXT),
                payload: Payload::decode(bytes, has(METADATA))?,
            },
            kind => Frame::Other {
                stream,
                kind,
                ignorable: has(IGNORE),
            },
        })
    }

    /// Writes the frame as one message.
    pub fn encode(&self) -> Bytes {
        let flag = |flag, is_set| if is_set { flag } else { 0 };
        let with_metadata = |payload: &Payload| flag(METADATA, payload.metadata.is_some());
        let mut bytes = BytesMut::new();
        let mut head = |stream: u32, kind: Kind, flags: u16| {
            bytes.put_u32(stream & MAX_31_BITS);
            bytes.put_u16(u16::from(kind.0) << 10 | flags);
        };
        match self {
            Frame::Setup(setup) => {
                let flags = flag(FIRST, setup.resume.is_some())
                    | flag(SECOND, setup.lease)
                    | with_metadata(&setup.payload);
                head(0, Kind::SETUP, flags);
                setup.encode(&mut bytes);
            }
            Frame::RequestStream {
                stream,
                credit,
                follows,
                payload,
            } => {
                let flags = flag(FIRST, *follows) | with_metadata(payload);
                head(*stream, Kind::REQUEST_STREAM, flags);
                bytes.put_u32(credit & MAX_31_BITS);
                payload.encode(&mut bytes);
            }
            Frame::RequestN { stream, credit } => {
                head(*stream, Kind::REQUEST_N, 0);
                bytes.put_u32(credit & MAX_31_BITS);
            }
            Frame::Cancel { stream } => head(*stream, Kind::CANCEL, 0),
            Frame::KeepAlive {
                respond,
                position,
                data,
            } => {
                head(0, Kind::KEEPALIVE, flag(FIRST, *respond));
                bytes.put_u64(*position);
                bytes.put_slice(data);
            }
            Frame::Error {
                stream,
                code,
                message,
            } => {
                head(*stream, Kind::ERROR, 0);
                bytes.put_u32(code.0);
                bytes.put_slice(message);
            }
            Frame::Payload {
                stream,
                follows,
                complete,
                next,
                payload,
            } => {
                let flags = flag(FIRST, *follows)
                    | flag(SECOND, *complete)
                    | flag(NEXT, *next)
                    | with_metadata(payload);
                head(*stream, Kind::PAYLOAD, flags);
                payload.encode(&mut bytes);
            }
            Frame::Other {
                stream,
                kind,
                ignorable,
            } => head(*stream, *kind, flag(IGNORE, *ignorable)),
        }
        bytes.freeze()
    }
}

impl Payload {
    fn decode(mut bytes: Bytes, with_metadata: bool) -> Result<Payload, MalformedFrame> {
        let metadata = if with_metadata {
            let length = take(&mut bytes, 3, "metadata")?.get_uint(3);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            Some(take(&mut bytes, length, "metadata")?)
        } else {
            None
        };
        Ok(Payload {
            metadata,
            data: bytes,
        })
    }

    /// Metadata may have 2^24 - 1 bytes.
    fn encode(&self, bytes: &mut BytesMut) {
        if let Some(metadata) = &self.metadata {
            bytes.put_uint(metadata.len() as u64, 3);
            bytes.put_slice(metadata);
        }
        bytes.put_slice(&self.data);
    }
}

impl Setup {
    fn decode(mut bytes: Bytes, flags: u16) -> Result<Setup, MalformedFrame> {
        let mut version = take(&mut bytes, 4, "version")?;
        let (major, minor) = (version.get_u16(), version.get_u16());
        let keepalive_ms = number(&mut bytes, "keepalive interval")?;
        let lifetime_ms = number(&mut bytes, "lifetime")?;
        let resume = if flags & FIRST == 0 {
            None
        } else {
            let length = take(&mut bytes, 2, "resume token")?.get_u16();
            Some(take(&mut bytes, length.into(), "resume token")?)
        };
        Ok(Setup {
            major,
            minor,
            lease: flags & SECOND != 0,
            resume,
            keepalive_ms,
            lifetime_ms,
            metadata_type: media_type(&mut bytes, "type of metadata")?,
            data_type: media_type(&mut bytes, "type of data")?,
            payload: Payload::decode(bytes, flags & METADATA != 0)?,
        })
    }

    fn encode(&self, bytes: &mut BytesMut) {
        bytes.put_u16(self.major);
        bytes.put_u16(self.minor);
        bytes.put_u32(self.keepalive_ms & MAX_31_BITS);
        bytes.put_u32(self.lifetime_ms & MAX_31_BITS);
        if let Some(resume) = &self.resume {
            bytes.put_u16(resume.len() as u16);
            bytes.put_slice(resume);
        }
        for media_type in [&self.metadata_type, &self.data_type] {
            bytes.put_u8(media_type.len() as u8);
            bytes.put_slice(media_type.as_bytes());
        }
        self.payload.encode(bytes);
    }
}

fn take(bytes: &mut Bytes, length: usize, what: &'static str) -> Result<Bytes, MalformedFrame> {
    if bytes.len() < length {
        return Err(MalformedFrame::Short(what));
    }
    Ok(bytes.split_to(length))
}

/// A number of 31 bits.
fn number(bytes: &mut Bytes, what: &'static str) -> Result<u32, MalformedFrame> {
    Ok(take(bytes, 4, what)?.get_u32() & MAX_31_BITS)
}

fn media_type(bytes: &mut Bytes, what: &'static str) -> Result<String, MalformedFrame> {
    let length = take(bytes, 1, what)?.get_u8();
    let text = take(bytes, length.into(), what)?;
    match std::str::from_utf8(&text) {
        Ok(text) if text.is_ascii() => Ok(text.into()),
        _ => Err(MalformedFrame::NotAscii(what)),
    }
}
