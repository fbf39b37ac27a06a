//! Leaving out a last line that lacks its end.

use std::io::{self, Read};

use crate::history::Cut;

/// Reads this much at once.
const PIECE: usize = 1 << 18;

/// Passes text on, but for a last line without newline that is not whole.
pub(super) struct WholeLines<R> {
    reader: R,
    is_whole: fn(&[u8]) -> bool,
    buffer: Vec<u8>,
    /// How much of the buffer was passed on, consists of whole lines, and is filled.
    passed: usize,
    whole: usize,
    filled: usize,
    lines: usize,
    ended: bool,
    cut: Option<Cut>,
}

impl<R: Read> WholeLines<R> {
    /// `is_whole` says whether a line, without space at its end, may be a whole one.
    pub fn new(reader: R, is_whole: fn(&[u8]) -> bool) -> Self {
        WholeLines {
            reader,
            is_whole,
            buffer: vec![0; PIECE],
            passed: 0,
            whole: 0,
            filled: 0,
            lines: 0,
            ended: false,
            cut: None,
        }
    }

    /// What was left out, once everything has been read.
    pub fn cut(&self) -> Option<Cut> {
        self.cut
    }

    /// Reads more, up to the end of a line if there is one.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.whole..self.filled, 0);
        self.filled -= self.whole;
        (self.passed, self.whole) = (0, 0);
        if self.filled == self.buffer.len() {
            // A line longer than the buffer.
            self.buffer.resize(2 * self.filled, 0);
        }
        let read = self.reader.read(&mut self.buffer[self.filled..])?;
        let newest = self.filled;
        self.filled += read;
        if read == 0 {
            self.ended = true;
            let line = self.buffer[..self.filled].trim_ascii_end();
            if line.is_empty() || (self.is_whole)(line) {
                self.whole = self.filled;
            } else {
                self.cut = Some(Cut {
                    line: self.lines + 1,
                    bytes: self.filled,
                });
            }
        } else if let Some(end) = self.buffer[newest..self.filled]
            .iter()
            .rposition(|byte| *byte == b'\n')
        {
            self.whole = newest + end + 1;
            let lines = self.buffer[newest..self.whole].iter();
            self.lines += lines.filter(|byte| **byte == b'\n').count();
        }
        Ok(())
    }
}

impl<R: Read> Read for WholeLines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.passed == self.whole && !self.ended {
            self.fill()?;
        }
        let here = &self.buffer[self.passed..self.whole];
        let length = here.len().min(out.len());
        out[..length].copy_from_slice(&here[..length]);
        self.passed += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a few bytes at a time.
    struct Dribble<'t>(&'t [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(out.len());
            let (now, later) = self.0.split_at(length);
            out[..length].copy_from_slice(now);
            self.0 = later;
            Ok(length)
        }
    }

    #[test]
    fn only_a_last_line_without_end_is_left_out() {
        for (text, expected, cut) in [
            ("", "", None),
            ("a)\nbc)\n", "a)\nbc)\n", None),
            ("a)\nbc)", "a)\nbc)", None),
            ("a)\n\nbc", "a)\n\n", Some((3, 2))),
            ("bc\n", "bc\n", None),
            ("b", "", Some((1, 1))),
        ] {
            for step in [1, 2, 100] {
                let mut lines =
                    WholeLines::new(Dribble(text.as_bytes(), step), |l| l.ends_with(b")"));
                let mut read = String::new();
                lines.read_to_string(&mut read).unwrap();
                assert_eq!(read, expected);
                let cut = cut.map(|(line, bytes)| Cut { line, bytes });
                assert_eq!(lines.cut(), cut, "{text:?}");
            }
        }
    }

    #[test]
    fn a_line_may_be_longer_than_the_buffer() {
        let text = format!("{}\n{}", "x".repeat(3 * PIECE), "y".repeat(2 * PIECE));
        let mut lines = WholeLines::new(text.as_bytes(), |line| line.ends_with(b")"));
        let mut read = String::new();
        lines.read_to_string(&mut read).unwrap();
        assert_eq!(read.len(), 3 * PIECE + 1);
        assert_eq!(lines.cut().unwrap().bytes, 2 * PIECE);
    }
}
