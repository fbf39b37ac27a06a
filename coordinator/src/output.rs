//! What squall says on its standard output and error. Nothing else in squall prints.
//!
//! Somebody may have closed these streams (`| head -1`, a terminal that was shut) or directed them to
//! a disk that is full. That says nothing about a run, so it never ends one: a stream that cannot be
//! written is given up, and [`failure`] tells the commands whose output is all they have to show.

#![expect(clippy::disallowed_methods, reason = "this is the allowed place")]

use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use crate::environment_variable::environment_variable;

/// The pause before a stream that takes nothing at the moment is tried again. Only one that somebody
/// else made non-blocking says so.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

static STDOUT: Mutex<State> = Mutex::new(State::Unopened);
static STDERR: Mutex<State> = Mutex::new(State::Unopened);

enum State {
    Unopened,
    /// Without a buffer: what was said is out, and an error belongs to what was said last.
    Open(File),
    /// Given up: the kind of the error, and what the operating system called it.
    Lost(ErrorKind, String),
}

/// A line for the standard output.
pub fn println(line: impl Display) {
    print(format_args!("{line}\n"));
}

/// A line for the standard output that ends with a path, byte for byte: it need not be text.
pub fn println_path(what: &str, path: &Path) {
    let line = [what.as_bytes(), b" ", path.as_os_str().as_bytes(), b"\n"].concat();
    let _ = Stdout.write_all(&line);
}

/// A text for the standard output, which is there at once.
pub fn print(text: impl Display) {
    // `failure` keeps the error.
    let _ = Stdout.write_all(text.to_string().as_bytes());
}

/// A line for the standard error.
pub fn eprintln(line: impl Display) {
    // There is nobody left who could be told of an error.
    let _ = Stderr.write_all(format!("{line}\n").as_bytes());
}

/// Why something could not be written to the standard output. A reader that went away because it had
/// read enough, as `head` does, is no failure.
pub fn failure() -> Option<io::Error> {
    lost().filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

/// Whether nobody hears any more what is said on the standard output, for whatever reason.
pub fn is_lost() -> bool {
    lost().is_some()
}

fn lost() -> Option<io::Error> {
    match &*STDOUT.lock().expect("no one panics here") {
        State::Lost(kind, what) => Some(io::Error::new(*kind, what.clone())),
        _ => None,
    }
}

/// Whether a person watches the standard error.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// The standard output. After an error, every write fails with it.
pub struct Stdout;

/// The standard error. After an error, every write fails with it.
pub struct Stderr;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&STDOUT, &io::stdout(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&STDERR, &io::stderr(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(state: &Mutex<State>, stream: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let mut state = state.lock().expect("no one panics here");
    let written = loop {
        let written = match &mut *state {
            State::Open(file) => file.write(bytes),
            State::Unopened => match stream.as_fd().try_clone_to_owned() {
                Ok(descriptor) => {
                    *state = State::Open(descriptor.into());
                    continue;
                }
                Err(error) => Err(error),
            },
            State::Lost(kind, what) => return Err(io::Error::new(*kind, what.clone())),
        };
        match written {
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY_PAUSE),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            written => break written,
        }
    };
    if let Err(error) = &written {
        *state = State::Lost(error.kind(), error.to_string());
    }
    written
}

/// Whether colours may go to the standard error. A process that writes into a log of another one asks
/// for `forced` to be ignored: such logs are read by programs.
pub fn colours(forced: bool) -> bool {
    if environment_variable("NO_COLOR").is_some() {
        return false;
    }
    let force = environment_variable("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    (forced && force) || stderr_is_terminal()
}
