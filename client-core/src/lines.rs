//! Cuts a body that arrives in pieces into lines.

use bytes::BytesMut;

/// The longest line that is accepted: twice the longest row that a PowerSync service replicates
/// (15 MB), so that a server gone wrong can not fill the memory.
const LONGEST_LINE: usize = 32 << 20;

/// A body that can not be cut into lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    #[error("the service sent a line that is not UTF-8")]
    NotUtf8,
    #[error("the service sent a line longer than {LONGEST_LINE} bytes")]
    TooLong,
}

/// The bytes that arrived and are not handed out yet.
#[derive(Default)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line's end.
    searched: usize,
}

impl Lines {
    /// Takes the next bytes.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next complete line, without its end. Blank lines are left out; a line whose end has not
    /// arrived is never handed out.
    pub(crate) fn next(&mut self) -> Result<Option<String>, LineError> {
        while let Some(at) = self.buffer[self.searched..]
            .iter()
            .position(|b| *b == b'\n')
        {
            // Neither what is before nor what is after is copied by this.
            let line = self.buffer.split_to(self.searched + at + 1);
            self.searched = 0;
            let line = std::str::from_utf8(&line).map_err(|_| LineError::NotUtf8)?;
            let line = line.trim_ascii_end();
            if !line.is_empty() {
                return Ok(Some(line.to_owned()));
            }
        }
        self.searched = self.buffer.len();
        if self.buffer.len() > LONGEST_LINE {
            return Err(LineError::TooLong);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines) -> Vec<String> {
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    #[test]
    fn lines_come_whole_however_the_body_is_cut() {
        let body = "{\"a\":1}\n\n{\"b\":\"ä\"}\r\n{\"cut".as_bytes();
        for size in 1..body.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for chunk in body.chunks(size) {
                lines.push(chunk);
                seen.extend(all(&mut lines));
            }
            assert_eq!(seen, ["{\"a\":1}", "{\"b\":\"ä\"}"], "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_not_text_is_an_error() {
        let mut lines = Lines::default();
        lines.push(b"\xff\n");
        assert_eq!(lines.next(), Err(LineError::NotUtf8));
    }

    #[test]
    fn a_line_without_end_is_an_error() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; LONGEST_LINE + 1]);
        assert_eq!(lines.next(), Err(LineError::TooLong));
    }
}
