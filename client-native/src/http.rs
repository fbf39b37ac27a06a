//! The platform of a native client: reqwest, tokio's timer and the system's clock.

use std::error::Error;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use squall_client_core::platform::{Body, HttpError, HttpRequest, HttpResponse, Method, Platform};

/// HTTP over connections of one request each: a kept connection that died unnoticed (which is what
/// this program's faults do) would only fail the next request.
pub struct NativePlatform {
    http: reqwest::Client,
}

impl NativePlatform {
    pub fn new() -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("no HTTP client could be made: {}", chain(&error)))?;
        Ok(NativePlatform { http })
    }
}

impl Platform for NativePlatform {
    type Body = NativeBody;

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<NativeBody>, HttpError> {
        let mut builder = match request.method {
            Method::Get => self.http.get(&request.url),
            Method::Post => self.http.post(&request.url),
        };
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let response = builder.send().await.map_err(http_error)?;
        Ok(HttpResponse {
            status: response.status().as_u16(),
            body: NativeBody(response),
        })
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await
    }

    fn now_ms(&self) -> u64 {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The body of a response.
pub struct NativeBody(reqwest::Response);

impl Body for NativeBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        let chunk = self.0.chunk().await.map_err(http_error)?;
        Ok(chunk.map(|bytes| bytes.into()))
    }
}

fn http_error(error: reqwest::Error) -> HttpError {
    HttpError(NoAnswer::from(error).to_string())
}

/// Why a request got no answer, or not all of one. reqwest's own text names none of the causes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    #[error("connection refused: nothing listens there")]
    Refused,
    #[error("the host's name cannot be resolved ({0})")]
    UnknownHost(String),
    #[error("no answer in time")]
    Late,
    #[error("the connection was reset")]
    Reset,
    #[error("the connection was closed before the answer was complete")]
    Closed,
    #[error("what answers there does not speak HTTP ({0})")]
    NotHttp(String),
    /// Anything else, with its causes.
    #[error("{0}")]
    Other(String),
}

impl From<reqwest::Error> for NoAnswer {
    fn from(error: reqwest::Error) -> NoAnswer {
        if error.is_timeout() {
            return NoAnswer::Late;
        }
        for cause in causes(&error) {
            // hyper-util's, which has no type of its own.
            if cause.to_string() == "dns error" {
                return NoAnswer::UnknownHost(cause.source().map_or_else(String::new, chain));
            }
            if let Some(error) = cause.downcast_ref::<hyper::Error>() {
                if error.is_parse() {
                    return NoAnswer::NotHttp(error.to_string());
                }
                if error.is_incomplete_message() {
                    return NoAnswer::Closed;
                }
            }
            match cause.downcast_ref().map(std::io::Error::kind) {
                Some(ErrorKind::ConnectionRefused) => return NoAnswer::Refused,
                Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => return NoAnswer::Reset,
                Some(ErrorKind::UnexpectedEof) => return NoAnswer::Closed,
                Some(ErrorKind::TimedOut) => return NoAnswer::Late,
                _ => {}
            }
        }
        NoAnswer::Other(chain(&error))
    }
}

fn causes<'e>(error: &'e dyn Error) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        text.push_str(&format!(": {cause}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// What comes of a request to a server that takes it and then sends those bytes.
    async fn answered(bytes: &'static [u8]) -> NoAnswer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _ = connection.read(&mut [0; 1024]).await.unwrap();
            connection.write_all(bytes).await.unwrap();
        };
        tokio::join!(asked(format!("http://{address}/")), server).0
    }

    async fn asked(url: String) -> NoAnswer {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = async { client.get(url).send().await?.text().await };
        answer.await.unwrap_err().into()
    }

    #[tokio::test]
    async fn the_cause_at_the_bottom_is_what_is_told() {
        // Bound but not listening: refused, and nobody else can be given the port meanwhile.
        let held = TcpSocket::new_v4().unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = held.local_addr().unwrap();
        assert_eq!(asked(format!("http://{address}/")).await, NoAnswer::Refused);

        let unknown = asked("http://no-such-host.invalid/".to_owned()).await;
        assert!(matches!(unknown, NoAnswer::UnknownHost(_)), "{unknown:?}");

        let ssh = answered(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        assert!(matches!(ssh, NoAnswer::NotHttp(_)), "{ssh:?}");

        assert_eq!(answered(b"").await, NoAnswer::Closed);
        let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
        assert_eq!(answered(cut).await, NoAnswer::Closed);
    }
}
