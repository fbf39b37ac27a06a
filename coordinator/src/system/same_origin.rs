//! Who may speak to the coordinator's web servers: its own pages and its own clients. Any page that is open
//! in any browser on this machine can send requests to a port of the loopback interface; a browser says from
//! where (`Origin`) and to which name (`Host`).

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses (403) what a page of somebody else's sends.
pub async fn require(request: Request, next: Next) -> Response {
    match check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::FORBIDDEN, why).into_response(),
    }
}

/// The name that was asked for must be this machine's, since a name of somebody else's may lead here too (DNS
/// rebinding); and what comes from a page must come from a page of that very server. Programs send no
/// `Origin`.
fn check(headers: &HeaderMap) -> Result<(), String> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let host = text(header::HOST).unwrap_or("");
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_ours =
        matches!(name, "localhost" | "127.0.0.1" | "[::1]") || name.ends_with(".localhost");
    if !is_ours {
        return Err(format!(
            "squall answers on localhost alone, not as {host:?}"
        ));
    }
    match text(header::ORIGIN) {
        Some(origin) if origin != format!("http://{host}") => Err(format!(
            "squall takes nothing from pages of {origin:?}, which are not its own"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        check(&headers).is_ok()
    }

    #[test]
    fn only_own_pages_and_programs_are_let_in() {
        for (host, origin) in [
            ("127.0.0.1:4000", None),
            ("[::1]:4000", None),
            ("localhost:4000", Some("http://localhost:4000")),
            ("c1.localhost:4000", Some("http://c1.localhost:4000")),
        ] {
            assert!(checked(host, origin), "{host} {origin:?}");
        }
        for (host, origin) in [
            ("localhost:4000", Some("http://localhost:4001")),
            ("localhost:4000", Some("https://localhost:4000")),
            ("localhost:4000", Some("http://evil.example")),
            ("localhost:4000", Some("null")),
            ("c1.localhost:4000", Some("http://c2.localhost:4000")),
            ("evil.example:4000", Some("http://evil.example:4000")),
            ("evil.example:4000", None),
            ("notlocalhost", None),
            ("", None),
        ] {
            assert!(!checked(host, origin), "{host} {origin:?}");
        }
        assert!(check(&HeaderMap::new()).is_err());
    }
}
