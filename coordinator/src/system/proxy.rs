//! The fault proxy: a TCP listener in front of a server, for one client. It passes bytes on, holds
//! them back, or resets connections. It knows nothing of what the bytes mean.
//!
//! Holding back is how a partition that drops packets looks to TCP: nothing arrives, nobody is told,
//! and when the partition heals in time, retransmission delivers everything that was sent.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a proxy does to the traffic of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Hold back what the server sends.
    pub hold_inbound: bool,
    /// Hold back what the client sends.
    pub hold_outbound: bool,
    /// Reset open connections and refuse new ones.
    pub reset: bool,
}

impl Weather {
    /// Everything passes.
    pub const FAIR: Weather = Weather {
        hold_inbound: false,
        hold_outbound: false,
        reset: false,
    };
    /// Every connection is reset.
    pub const CUT: Weather = Weather {
        hold_inbound: false,
        hold_outbound: false,
        reset: true,
    };
}

/// A proxy in front of one server, for one client. Dropping it closes the listener and every
/// connection.
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of the loopback interface, in fair weather. `server` is `host:port`.
    ///
    /// # Errors
    ///
    /// When no port could be had.
    pub async fn start(server: String) -> io::Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (weather, watching) = watch::channel(Weather::FAIR);
        let accepting = tokio::spawn(accept(listener, server, watching));
        Ok(Proxy {
            address,
            weather,
            accepting,
        })
    }

    /// Where clients connect to, as a URL without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the weather for open and for new connections.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: String, watching: watch::Receiver<Weather>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                tokio::spawn(serve(client, server.clone(), watching.clone()));
            }
            // Out of file descriptors, say: others may be freed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Joins a client's connection with one of its own to the server, until either ends or is reset.
async fn serve(mut client: TcpStream, server: String, mut watching: watch::Receiver<Weather>) {
    let outcome = if watching.borrow().reset {
        Err(())
    } else {
        tokio::select! {
            outcome = join(&mut client, &server, watching.clone()) => outcome,
            // A closed channel means that the proxy was dropped.
            _ = watching.wait_for(|weather| weather.reset) => Err(()),
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
    watching: watch::Receiver<Weather>,
) -> Result<(), ()> {
    let mut server = TcpStream::connect(server).await.map_err(drop)?;
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let outbound = pump(client_read, server_write, watching.clone(), |weather| {
        weather.hold_outbound
    });
    let inbound = pump(server_read, client_write, watching, |weather| {
        weather.hold_inbound
    });
    tokio::try_join!(outbound, inbound).map(drop).map_err(drop)
}

/// Passes one direction on while it is not held, until its end, which is passed on as well.
async fn pump(
    mut from: tcp::ReadHalf<'_>,
    mut to: tcp::WriteHalf<'_>,
    mut watching: watch::Receiver<Weather>,
    held: impl Fn(&Weather) -> bool,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let outcome = from.read(&mut buffer).await;
        // An end or an error travels no faster than the bytes.
        if watching.wait_for(|weather| !held(weather)).await.is_err() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let length = outcome?;
        if length == 0 {
            return to.shutdown().await;
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
        for weather in [
            Weather {
                hold_inbound: true,
                ..Weather::FAIR
            },
            Weather {
                hold_outbound: true,
                ..Weather::FAIR
            },
        ] {
            let proxy = Proxy::start(echo_server().await).await.unwrap();
            let mut stream = TcpStream::connect(proxy.address).await.unwrap();
            assert!(echoes(&mut stream, 1).await.unwrap());
            proxy.set(weather);
            let held = tokio::time::timeout(SILENCE, echoes(&mut stream, 2)).await;
            assert!(held.is_err(), "{weather:?} let a byte through");
            proxy.set(Weather::FAIR);
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
        proxy.set(Weather::CUT);
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
        proxy.set(Weather::FAIR);
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert!(echoes(&mut stream, 3).await.unwrap());
    }
}
