//! The frames of the WebSocket transport.

use bytes::Bytes;
use proptest::prelude::*;
use squall_service::core::rsocket::frame::{
    ErrorCode, Frame, Kind, MalformedFrame, Payload, Setup,
};

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn payloads() -> impl Strategy<Value = Payload> {
    (prop::option::of(bytes(300)), bytes(300))
        .prop_map(|(metadata, data)| Payload { metadata, data })
}

/// 31 bits.
fn numbers() -> impl Strategy<Value = u32> {
    any::<u32>().prop_map(|number| number >> 1)
}

fn setups() -> impl Strategy<Value = Setup> {
    let versions = (any::<u16>(), any::<u16>());
    let times = (numbers(), numbers());
    let resume = prop::option::of(bytes(20));
    let types = ("[a-z/]{0,40}", "[a-z/]{0,40}");
    (versions, any::<bool>(), resume, times, types, payloads()).prop_map(
        |((major, minor), lease, resume, times, (metadata_type, data_type), payload)| Setup {
            major,
            minor,
            lease,
            resume,
            keepalive_ms: times.0,
            lifetime_ms: times.1,
            metadata_type,
            data_type,
            payload,
        },
    )
}

fn frames() -> impl Strategy<Value = Frame> {
    let flag = any::<bool>;
    let others = prop::sample::select(vec![0x02, 0x04, 0x05, 0x07, 0x0C, 0x0D, 0x0E, 0x3F]);
    prop_oneof![
        setups().prop_map(Frame::Setup),
        (numbers(), numbers(), flag(), payloads()).prop_map(
            |(stream, credit, follows, payload)| Frame::RequestStream {
                stream,
                credit,
                follows,
                payload
            }
        ),
        (numbers(), numbers()).prop_map(|(stream, credit)| Frame::RequestN { stream, credit }),
        numbers().prop_map(|stream| Frame::Cancel { stream }),
        (flag(), any::<u64>(), bytes(50)).prop_map(|(respond, position, data)| Frame::KeepAlive {
            respond,
            position,
            data
        }),
        (numbers(), any::<u32>(), bytes(50)).prop_map(|(stream, code, message)| Frame::Error {
            stream,
            code: ErrorCode(code),
            message
        }),
        (numbers(), flag(), flag(), flag(), payloads()).prop_map(
            |(stream, follows, complete, next, payload)| Frame::Payload {
                stream,
                follows,
                complete,
                next,
                payload
            }
        ),
        (numbers(), others, flag()).prop_map(|(stream, kind, ignorable)| Frame::Other {
            stream,
            kind: Kind(kind),
            ignorable
        }),
    ]
}

proptest! {
    #[test]
    fn what_was_written_is_read(frame in frames()) {
        prop_assert_eq!(Frame::decode(frame.encode()), Ok(frame));
    }

    /// Whatever comes is a frame or an error, and a frame is the same when it is written again.
    #[test]
    fn any_bytes_are_a_frame_or_an_error(
        kind in 0..64_u16, flags in 0..0x400_u16, stream in numbers(), rest in bytes(60)
    ) {
        let mut message = stream.to_be_bytes().to_vec();
        message.extend((kind << 10 | flags).to_be_bytes());
        message.extend(rest);
        if let Ok(frame) = Frame::decode(message) {
            prop_assert_eq!(Frame::decode(frame.encode()), Ok(frame));
        }
    }

    #[test]
    fn a_frame_that_was_cut_is_no_longer_one(frame in frames(), at in any::<prop::sample::Index>()) {
        let whole = frame.encode();
        let cut = whole.slice(..at.index(whole.len()));
        prop_assert_ne!(Frame::decode(cut), Ok(frame));
    }
}

#[test]
fn a_frame_of_its_head_alone_says_what_is_missing() {
    for (message, missing) in [
        (vec![0, 0, 0], "head"),
        (vec![0, 0, 0, 1, 0x19, 0x00], "credit"),
        (
            vec![0, 0, 0, 1, 0x19, 0x00, 0, 0, 0, 1, 0, 0, 5],
            "metadata",
        ),
        (vec![0, 0, 0, 0, 0x0C, 0x80], "position"),
    ] {
        let error = Frame::decode(message).expect_err("an error");
        assert_eq!(error, MalformedFrame::Short(missing));
    }
}

/// What the library inside the JavaScript SDK writes for the same frames.
#[test]
fn frames_are_those_of_the_sdk() {
    let payload = |metadata: Option<&'static str>, data: &'static [u8]| Payload {
        metadata: metadata.map(|metadata| metadata.into()),
        data: Bytes::from_static(data),
    };
    let part = |next: bool, data| Frame::Payload {
        stream: 1,
        follows: false,
        complete: !next,
        next,
        payload: payload(None, data),
    };
    let setup = Setup {
        major: 1,
        minor: 0,
        lease: false,
        resume: None,
        keepalive_ms: 20_000,
        lifetime_ms: 90_000,
        metadata_type: "application/json".into(),
        data_type: "application/json".into(),
        payload: payload(Some(r#"{"token":"Token t"}"#), b""),
    };
    let (stream, credit) = (1, 1);
    for (frame, written) in [
        (
            Frame::Setup(setup),
            "0000000005000001000000004e2000015f90106170706c69636174696f6e2f6a736f6e106170706c\
             69636174696f6e2f6a736f6e0000137b22746f6b656e223a22546f6b656e2074227d",
        ),
        (
            Frame::RequestStream {
                stream,
                credit: 10,
                follows: false,
                payload: payload(Some(r#"{"path":"/sync/stream"}"#), b"{}"),
            },
            "0000000119000000000a0000177b2270617468223a222f73796e632f73747265616d227d7b7d",
        ),
        (Frame::RequestN { stream, credit }, "00000001200000000001"),
        (Frame::Cancel { stream }, "000000012400"),
        (
            Frame::KeepAlive {
                respond: true,
                position: 5,
                data: "hi".into(),
            },
            "000000000c8000000000000000056869",
        ),
        (
            Frame::Error {
                stream: 0,
                code: ErrorCode::REJECTED_SETUP,
                message: "no".into(),
            },
            "000000002c00000000036e6f",
        ),
        (part(true, &[1, 2]), "0000000128200102"),
        (part(false, &[]), "000000012840"),
    ] {
        let bytes = frame.encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, written);
        assert_eq!(Frame::decode(bytes), Ok(frame));
    }
}
