//! Ports of the loopback interface, which may have two addresses: a browser and its driver use
//! `127.0.0.1` and `::1` alike, so a port is ours only if it is ours on both. A machine or a container
//! without IPv6 has only the first.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

/// How many ports are tried. Somebody may hold half of them.
const ATTEMPTS: usize = 200;

/// A port that nothing listens on at this moment. Whoever takes it must be ready to try another one.
///
/// # Errors
///
/// When none was found.
pub fn free() -> io::Result<u16> {
    bind(0)?[0].local_addr().map(|address| address.port())
}

/// Listens on a port of all loopback addresses; 0 means a free one.
///
/// # Errors
///
/// When the port is taken, or none is free.
pub fn listen(port: u16) -> io::Result<Vec<tokio::net::TcpListener>> {
    let adopt = |listener: TcpListener| {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    };
    bind(port)?.into_iter().map(adopt).collect()
}

fn bind(port: u16) -> io::Result<Vec<TcpListener>> {
    let mut attempts = 1;
    loop {
        match bind_all(port) {
            Err(error)
                if port == 0 && error.kind() == ErrorKind::AddrInUse && attempts < ATTEMPTS =>
            {
                attempts += 1;
            }
            bound => return bound,
        }
    }
}

fn bind_all(port: u16) -> io::Result<Vec<TcpListener>> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let port = first.local_addr()?.port();
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(error),
        // There is no such address here.
        Err(_) => Ok(vec![first]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_on_one_address_is_taken() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let taken = match TcpListener::bind(address) {
                Ok(taken) => taken,
                Err(error) => {
                    assert_eq!(address, "[::1]:0", "{error}");
                    continue;
                }
            };
            let port = taken.local_addr().unwrap().port();
            let error = listen(port).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            assert_ne!(free().unwrap(), port);
        }
    }

    #[tokio::test]
    async fn listeners_of_one_port_share_it() {
        let listeners = listen(0).unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        assert_ne!(port, 0);
        for listener in &listeners {
            assert_eq!(listener.local_addr().unwrap().port(), port);
        }
    }
}
