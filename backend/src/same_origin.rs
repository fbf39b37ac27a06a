//! Who may speak to the coordinator's web servers and to the backend: squall's own pages and its own clients.
//! Any page that is open in any browser on this machine can send requests to a port of the loopback interface;
//! a browser says from where (`Origin`) and to which name (`Host`).

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses (403) what a page of somebody else's sends.
pub async fn require(request: Request, next: Next) -> Response {
    match check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::FORBIDDEN, why).into_response(),
    }
}

/// As [`require`], where the pages are of another server: that on this port.
pub async fn require_pages_of(
    State(pages): State<Arc<OnceLock<u16>>>,
    request: Request,
    next: Next,
) -> Response {
    let is_own = |origin: &HeaderValue| is_of(&pages, origin);
    match check_as(request.headers(), is_own) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::FORBIDDEN, why).into_response(),
    }
}

/// Whether that is the origin of pages on that port of this machine. As long as there is no port nothing is.
pub fn is_of(pages: &OnceLock<u16>, origin: &HeaderValue) -> bool {
    let host = origin.to_str().ok();
    let host = host.and_then(|origin| origin.strip_prefix("http://"));
    host.and_then(|host| host.rsplit_once(':'))
        .is_some_and(|(name, port)| {
            is_this_machine(name) && pages.get().is_some_and(|pages| port == pages.to_string())
        })
}

/// What comes from a page must come from a page of that very server.
fn check(headers: &HeaderMap) -> Result<(), String> {
    let host = headers.get(header::HOST).cloned();
    check_as(headers, |origin| {
        let host = host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        origin.as_bytes() == [b"http://", host].concat()
    })
}

/// The name that was asked for must be this machine's, since a name of somebody else's may lead here too (DNS
/// rebinding); and what comes from a page must come from one of squall's own. Programs send no `Origin`.
fn check_as(headers: &HeaderMap, is_own: impl FnOnce(&HeaderValue) -> bool) -> Result<(), String> {
    let host = headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or("");
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !is_this_machine(name) {
        return Err(format!(
            "squall answers on localhost alone, not as {host:?}"
        ));
    }
    match headers.get(header::ORIGIN) {
        Some(origin) if !is_own(origin) => Err(format!(
            "squall takes nothing from pages of {origin:?}, which are not its own"
        )),
        _ => Ok(()),
    }
}

fn is_this_machine(name: &str) -> bool {
    matches!(name, "localhost" | "127.0.0.1" | "[::1]") || name.ends_with(".localhost")
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
