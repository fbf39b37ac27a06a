//! Tells the answer that an upload is committed from everything else on a connection to the backend, by the
//! API of [`squall_protocol::backend`]. Without IO: it is told what passes.

/// How a request that uploads begins.
const UPLOAD: &[u8] = b"POST /upload";
/// How the answer begins that says that it is committed.
const COMMITTED: &[u8] = b"HTTP/1.1 200";

/// One connection, on which a request is sent when the one before it was answered (HTTP/1.1 without
/// pipelining, as all clients do it).
#[derive(Default)]
pub struct Exchange {
    /// The beginning of the newest request.
    request: Vec<u8>,
    /// The beginning of its answer.
    answer: Vec<u8>,
}

impl Exchange {
    /// The client sends something.
    pub fn sent(&mut self, bytes: &[u8]) {
        if !self.answer.is_empty() {
            *self = Exchange::default();
        }
        keep(&mut self.request, bytes, UPLOAD.len());
    }

    /// The server sends something. Answers whether that acknowledges an upload.
    pub fn acknowledges(&mut self, bytes: &[u8]) -> bool {
        keep(&mut self.answer, bytes, COMMITTED.len());
        self.request == UPLOAD && self.answer == COMMITTED
    }
}

/// Adds bytes up to a length.
fn keep(beginning: &mut Vec<u8>, bytes: &[u8], length: usize) {
    let missing = length.saturating_sub(beginning.len());
    beginning.extend_from_slice(&bytes[..missing.min(bytes.len())]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes: the client's bytes with `>`, the server's with `<`; the latter with what they must be.
    fn follow(passes: &[(&str, bool)]) {
        let mut exchange = Exchange::default();
        for (bytes, acknowledges) in passes {
            let (direction, bytes) = bytes.split_at(1);
            let found = match direction {
                ">" => {
                    exchange.sent(bytes.as_bytes());
                    false
                }
                _ => exchange.acknowledges(bytes.as_bytes()),
            };
            assert_eq!(found, *acknowledges, "{bytes} in {passes:?}");
        }
    }

    #[test]
    fn only_the_answer_that_an_upload_is_committed_acknowledges_it() {
        let request = "HTTP/1.1\r\ncontent-length: 2\r\n\r\n";
        let upload = format!(">POST /upload {request}");
        let credentials = format!(">GET /credentials?client=native-1 {request}");
        let preflight = format!(">OPTIONS /upload {request}");
        let committed = "<HTTP/1.1 200 OK\r\n\r\n{}";
        let later = "<HTTP/1.1 503 Service Unavailable\r\n\r\n{}";
        follow(&[(&upload, false), (">{}", false), (committed, true)]);
        follow(&[
            (&upload, false),
            (later, false),
            (&upload, false),
            (committed, true),
        ]);
        follow(&[(&credentials, false), (committed, false), (">x", false)]);
        follow(&[
            (&preflight, false),
            (committed, false),
            (&upload, false),
            (committed, true),
        ]);
        follow(&[
            (&upload, false),
            (committed, true),
            (&credentials, false),
            (committed, false),
        ]);
        // In pieces.
        let (first, last) = (">POST /up", ">load HTTP/1.1\r\n\r\n{}");
        follow(&[
            (first, false),
            (last, false),
            ("<HTTP/1.1", false),
            ("< 200 OK\r\n", true),
        ]);
    }
}
