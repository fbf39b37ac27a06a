//! Where browsers have their temporary files: in a folder that goes with the driver, or, if squall was
//! killed, with the next driver that starts. Chromium leaves a folder with a socket behind whenever it
//! is killed, and killing is what is done to it here.

use std::io;
use std::path::{Path, PathBuf};

use squall_throwaway_postgres::Temporary;

const PREFIX: &str = "squall-browser-";
/// What comes after the parent folder in the path of Chromium's socket.
const SOCKET: &str = "/squall-browser-XXXXXX/org.chromium.Chromium.XXXXXX/SingletonSocket";
/// The longest path of a socket (unix(7), `sun_path` without its NUL).
const LONGEST: usize = 107;

/// Makes the folder where temporary files belong on this system, or in /tmp if a socket there would
/// have too long a path.
///
/// # Errors
///
/// What the operating system said.
pub fn make() -> io::Result<Temporary> {
    Temporary::make(&parent(&std::path::absolute(std::env::temp_dir())?), PREFIX)
}

fn parent(wanted: &Path) -> PathBuf {
    match wanted.as_os_str().len() + SOCKET.len() <= LONGEST {
        true => wanted.to_owned(),
        false => PathBuf::from("/tmp"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_have_room() {
        assert!(SOCKET.starts_with(&format!("/{PREFIX}")));
        assert_eq!(parent(Path::new("/var/tmp")), Path::new("/var/tmp"));
        let long = format!("/{}", "a".repeat(60));
        assert_eq!(parent(Path::new(&long)), Path::new("/tmp"));
    }
}
