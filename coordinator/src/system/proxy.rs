//! The fault proxy: a TCP listener in front of a server, for one client. It passes bytes on, holds
//! them back, or resets connections. Of what the bytes mean it knows but one thing, by way of
//! [`acknowledgement`](super::acknowledgement): that an upload is committed.
//!
//! Holding back is how a partition that drops packets looks to TCP: nothing arrives, nobody is told,
//! and when the partition heals in time, retransmission delivers everything that was sent.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::acknowledgement::Exchange;

/// What a proxy does to the traffic of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkCondition {
    /// Hold back what the server sends.
    pub hold_inbound: bool,
    /// Hold back what the client sends.
    pub hold_outbound: bool,
    /// Reset open connections and refuse new ones.
    pub reset: bool,
}

impl NetworkCondition {
    /// Everything passes.
    pub const OPEN: NetworkCondition = NetworkCondition {
        hold_inbound: false,
        hold_outbound: false,
        reset: false,
    };
    /// Every connection is reset.
    pub const CUT: NetworkCondition = NetworkCondition {
        hold_inbound: false,
        hold_outbound: false,
        reset: true,
    };
}

/// A proxy in front of one server, for one client. Dropping it closes the listener and every
/// connection.
pub struct Proxy {
    address: SocketAddr,
    condition: watch::Sender<NetworkCondition>,
    /// Whether connections are reset instead of passing on that an upload is committed.
    dropping: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of the loopback interface, and lets everything pass. `server` is `host:port`.
    ///
    /// # Errors
    ///
    /// When no port could be had.
    pub async fn start(server: String) -> io::Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (condition, watching) = watch::channel(NetworkCondition::OPEN);
        let (dropping, drops) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, server, watching, drops));
        Ok(Proxy {
            address,
            condition,
            dropping,
            accepting,
        })
    }

    /// Where clients connect to, as a URL without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on, this goes for open and for new connections.
    pub fn set(&self, condition: NetworkCondition) {
        self.condition.send_replace(condition);
    }

    /// Whether a connection is reset, from now on, when the backend says on it that an upload is committed, so
    /// that this does not reach the client.
    pub fn drop_acknowledgements(&self, drops: bool) {
        self.dropping.send_replace(drops);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    server: String,
    watching: watch::Receiver<NetworkCondition>,
    drops: watch::Receiver<bool>,
) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let (watching, drops) = (watching.clone(), drops.clone());
                tokio::spawn(serve(client, server.clone(), watching, drops));
            }
            // Out of file descriptors, say: others may be freed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Joins a client's connection with one of its own to the server, until either ends or is reset.
async fn serve(
    mut client: TcpStream,
    server: String,
    mut watching: watch::Receiver<NetworkCondition>,
    drops: watch::Receiver<bool>,
) {
    let outcome = if watching.borrow().reset {
        Err(())
    } else {
        tokio::select! {
            outcome = join(&mut client, &server, watching.clone(), drops) => outcome,
            // A closed channel means that the proxy was dropped.
            _ = watching.wait_for(|condition| condition.reset) => Err(()),
        }
    };
    if outcome.is_err() {
        // An abortive close sends RST instead of an orderly end.
        let _ = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
    }
}

async fn join(
    client: &mut TcpStream,
    server: &str,
    watching: watch::Receiver<NetworkCondition>,
    drops: watch::Receiver<bool>,
) -> Result<(), ()> {
    let mut server = TcpStream::connect(server).await.map_err(drop)?;
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let exchange = Mutex::new(Exchange::default());
    let exchange = || exchange.lock().expect("no one panics here");
    let outbound = pump(
        client_read,
        server_write,
        watching.clone(),
        |condition| condition.hold_outbound,
        |bytes| {
            exchange().sent(bytes);
            true
        },
    );
    let inbound = pump(
        server_read,
        client_write,
        watching,
        |condition| condition.hold_inbound,
        |bytes| !(exchange().acknowledges(bytes) && *drops.borrow()),
    );
    tokio::try_join!(outbound, inbound).map(drop).map_err(drop)
}

/// Passes one direction on while it is not held, until its end, which is passed on as well, or something that
/// may not pass, which ends the connection.
async fn pump(
    mut from: tcp::ReadHalf<'_>,
    mut to: tcp::WriteHalf<'_>,
    mut watching: watch::Receiver<NetworkCondition>,
    held: impl Fn(&NetworkCondition) -> bool,
    may_pass: impl Fn(&[u8]) -> bool,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let outcome = from.read(&mut buffer).await;
        // An end or an error travels no faster than the bytes.
        if watching
            .wait_for(|condition| !held(condition))
            .await
            .is_err()
        {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let length = outcome?;
        if length == 0 {
            return to.shutdown().await;
        }
        if !may_pass(&buffer[..length]) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        to.write_all(&buffer[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo_server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address.to_string()
    }

    async fn echoes(stream: &mut TcpStream, byte: u8) -> io::Result<bool> {
        stream.write_all(&[byte]).await?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await?;
        Ok(answer[0] == byte)
    }

    const PATIENCE: Duration = Duration::from_secs(10);
    /// How long silence must last to count; the test cannot fail by being slow, only by hearing.
    const SILENCE: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn holds_back_silently_and_delivers_after_the_heal() {
        for condition in [
            NetworkCondition {
                hold_inbound: true,
                ..NetworkCondition::OPEN
            },
            NetworkCondition {
                hold_outbound: true,
                ..NetworkCondition::OPEN
            },
        ] {
            let proxy = Proxy::start(echo_server().await).await.unwrap();
            let mut stream = TcpStream::connect(proxy.address).await.unwrap();
            assert!(echoes(&mut stream, 1).await.unwrap());
            proxy.set(condition);
            let held = tokio::time::timeout(SILENCE, echoes(&mut stream, 2)).await;
            assert!(held.is_err(), "{condition:?} let a byte through");
            proxy.set(NetworkCondition::OPEN);
            let mut answer = [0];
            tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer))
                .await
                .expect("the held byte did not arrive after the heal")
                .unwrap();
            assert_eq!(answer[0], 2);
        }
    }

    #[tokio::test]
    async fn resets_open_connections_and_refuses_new_ones() {
        let proxy = Proxy::start(echo_server().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert!(echoes(&mut stream, 1).await.unwrap());
        proxy.set(NetworkCondition::CUT);
        let error = tokio::time::timeout(PATIENCE, stream.read(&mut [0]))
            .await
            .expect("the connection was not reset")
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        if let Ok(mut stream) = TcpStream::connect(proxy.address).await {
            let answer = tokio::time::timeout(PATIENCE, echoes(&mut stream, 2))
                .await
                .expect("a new connection was neither served nor reset");
            assert!(answer.is_err());
        }
        proxy.set(NetworkCondition::OPEN);
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert!(echoes(&mut stream, 3).await.unwrap());
    }
}
