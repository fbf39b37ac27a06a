//! What the machine offers: the server's programs, the user to run them as, a folder that user can
//! reach, a free port.

use std::ffi::CString;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Error;

/// The folder that holds `initdb` and `postgres`: the newest of Debian's, else the first in PATH.
pub(crate) fn find_programs() -> Result<PathBuf, Error> {
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    debian.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian
        .into_iter()
        .map(|(_, folder)| folder)
        .chain(std::env::split_paths(&path))
        .find(|folder| {
            ["initdb", "postgres"]
                .iter()
                .all(|name| folder.join(name).is_file())
        })
        .ok_or(Error::NotInstalled)
}

/// A user and its primary group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub uid: u32,
    pub gid: u32,
}

/// The user that the server must run as: none if we may run it ourselves, `postgres` if we are root.
pub(crate) fn server_user() -> Result<Option<User>, Error> {
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(None);
    }
    let name = CString::new("postgres").expect("no NUL in a literal");
    let mut buffer = vec![0; 16 * 1024];
    let mut found = std::ptr::null_mut();
    // SAFETY: all-zero is a valid `passwd` (numbers and null pointers).
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    // SAFETY: every pointer is valid for the call, and the length is the buffer's.
    let code = unsafe {
        libc::getpwnam_r(
            name.as_ptr(),
            &mut entry,
            buffer.as_mut_ptr(),
            buffer.len(),
            &mut found,
        )
    };
    if code != 0 || found.is_null() {
        return Err(Error::NoUser);
    }
    Ok(Some(User {
        uid: entry.pw_uid,
        gid: entry.pw_gid,
    }))
}

/// Whether the user may pass through the folder and all folders above it.
pub(crate) fn can_traverse(user: User, folder: &Path) -> bool {
    folder.ancestors().all(|ancestor| {
        let Ok(data) = fs::metadata(if ancestor.as_os_str().is_empty() {
            Path::new(".")
        } else {
            ancestor
        }) else {
            return false;
        };
        let bit = if data.uid() == user.uid {
            0o100
        } else if data.gid() == user.gid {
            0o010
        } else {
            0o001
        };
        data.mode() & bit != 0
    })
}

/// A port on 127.0.0.1 that nothing listens on at this moment.
pub(crate) fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::NoPort)
}
