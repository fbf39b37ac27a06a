//! The web server of a run: it serves the pages and the WebAssembly bundle to browsers, and takes
//! the control connections of all clients. It is not part of what is being tested, and no fault
//! touches it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocket;
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use squall_backend::same_origin;
use tower_http::services::ServeDir;

use crate::environment_variable::environment_variable;
use crate::exit::Failure;
use crate::fleet::link::Link;
use crate::system::port;

/// Control messages carry all rows; a hundred thousand of them fit.
const LARGEST_MESSAGE: usize = 16 * 1024 * 1024;

/// The running web server.
pub struct Pages {
    address: SocketAddr,
    /// Known to the clients of this run alone: nobody else may pose as one.
    token: String,
    bundle: PathBuf,
}

/// Speaks with a client over a control connection that it has just opened, until that ends.
pub type Conversation = Box<dyn FnOnce(WebSocket) -> BoxFuture<'static, ()> + Send>;

/// Who speaks with the client of that name; none if there is no such client.
pub type Switchboard = Arc<dyn Fn(&str) -> Option<Conversation> + Send + Sync>;

/// Lets every link speak with its client.
pub fn switchboard(links: BTreeMap<String, Link>) -> Switchboard {
    Arc::new(move |client| {
        let link = links.get(client)?.clone();
        let converse = move |socket| async move { link.converse(socket).await }.boxed();
        Some(Box::new(converse))
    })
}

/// Where the pages and the WebAssembly bundle are: the launcher says so, and next to a binary that
/// cargo built they are in `target/bundle`.
pub fn bundle() -> PathBuf {
    bundle_beside(&std::env::current_exe().unwrap_or_default())
}

/// As [`bundle`], next to that program.
pub fn bundle_beside(program: &Path) -> PathBuf {
    if let Some(folder) = environment_variable("SQUALL_BUNDLE") {
        return folder.into();
    }
    let target = program.parent().and_then(Path::parent);
    target.unwrap_or(".".as_ref()).join("bundle")
}

impl Pages {
    /// Starts the server on a free port of the loopback interface (of both its addresses: a browser
    /// takes either for `localhost`), with nothing but the control
    /// connections, the bundle, and the page of the clients in JavaScript.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn start(
        clients: Switchboard,
        bundle: PathBuf,
        javascript: PathBuf,
    ) -> Result<Pages, Failure> {
        let starting = "cannot start the web server";
        let unavailable = |error| Failure::unavailable(starting, error);
        let listeners = port::listen(0).map_err(unavailable)?;
        let address = listeners[0].local_addr().map_err(unavailable)?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        let router = router(clients, &token, &bundle, &javascript);
        for listener in listeners {
            tokio::spawn(axum::serve(listener, router.clone()).into_future());
        }
        Ok(Pages {
            address,
            token,
            bundle,
        })
    }

    /// Where that client opens its control connections.
    pub fn control_url(&self, client: &str) -> String {
        let (address, token) = (self.address, &self.token);
        format!("ws://{address}/control/{token}?client={client}")
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The origin of the browser client with that number; every client has one of its own, and with
    /// it storage and a connection pool of its own.
    pub fn origin(&self, number: usize) -> String {
        format!("http://c{number}.localhost:{}", self.port())
    }

    /// The address of a client tab with the page of that path.
    pub fn client_url(&self, page: &str, number: usize, client: &str) -> String {
        let (origin, token) = (self.origin(number), &self.token);
        format!("{origin}/{page}/?client={client}&token={token}")
    }

    /// Checks that browser clients have something to load.
    ///
    /// # Errors
    ///
    /// When the bundle is missing.
    pub fn check_bundle(&self) -> Result<(), Failure> {
        let page = self.bundle.join("client/index.html");
        if page.is_file() {
            return Ok(());
        }
        Err(Failure::Unavailable(format!(
            "the browser client is not built: {} is missing; start squall through ./squall, which builds it",
            page.display()
        )))
    }
}

/// The routes that every run has.
fn router(clients: Switchboard, token: &str, bundle: &Path, javascript: &Path) -> Router {
    let powersync_web = javascript.join("powersync-web/page");
    Router::new()
        .route(&format!("/control/{token}"), get(control))
        .with_state(clients)
        .nest_service("/clients/powersync-web", ServeDir::new(powersync_web))
        .fallback_service(ServeDir::new(bundle))
        .layer(from_fn(same_origin::require))
}

#[derive(Deserialize)]
struct ControlQuery {
    client: String,
}

async fn control(
    State(clients): State<Switchboard>,
    Query(query): Query<ControlQuery>,
    upgrade: WebSocketUpgrade,
) -> Response {
    match clients(&query.client) {
        Some(converse) => upgrade
            .max_message_size(LARGEST_MESSAGE)
            .on_upgrade(converse),
        None => (
            StatusCode::NOT_FOUND,
            format!("there is no client {} in this run", query.client),
        )
            .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of a request for that path, sent with those headers.
    async fn status(pages: &Pages, path: &str, headers: &[(&str, &str)]) -> u16 {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = http.get(format!("http://{}{path}", pages.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn only_who_knows_the_token_and_no_page_of_others_gets_a_control_connection() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().to_owned();
        let pages = Pages::start(switchboard(BTreeMap::new()), bundle.clone(), bundle)
            .await
            .unwrap();
        let upgrade = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let right = format!("/control/{}?client=nobody", pages.token);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = http.get(format!("http://{}{right}", pages.address));
        for (name, value) in upgrade {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 404);
        assert!(answer.text().await.unwrap().contains("no client nobody"));
        for wrong in ["/control?client=nobody", "/control/wrong?client=nobody"] {
            assert_eq!(status(&pages, wrong, &upgrade).await, 404, "{wrong}");
        }
        for foreign in [("origin", "http://evil.example"), ("host", "evil.example")] {
            let headers = [&upgrade[..], &[foreign]].concat();
            assert_eq!(status(&pages, &right, &headers).await, 403, "{foreign:?}");
        }
    }
}
