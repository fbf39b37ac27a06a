//! The web server of a run: it serves the pages and the WebAssembly bundle to browsers, and takes
//! the control connections of all clients. It is not part of what is being tested, and no fault
//! touches it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tower_http::services::ServeDir;

use crate::environment_variable;
use crate::exit::Failure;
use crate::link::Link;
use crate::port;

/// Control messages carry all rows; a hundred thousand of them fit.
const LARGEST_MESSAGE: usize = 16 * 1024 * 1024;

/// The running web server.
pub struct Pages {
    address: SocketAddr,
    bundle: PathBuf,
}

type Links = Arc<BTreeMap<String, Link>>;

/// Where the pages and the WebAssembly bundle are: the launcher says so, and next to a binary that
/// cargo built they are in `target/bundle`.
pub fn bundle() -> PathBuf {
    if let Some(folder) = environment_variable("SQUALL_BUNDLE") {
        return folder.into();
    }
    let built = std::env::current_exe().ok();
    let target = built.as_deref().and_then(|exe| exe.parent()?.parent());
    target.unwrap_or(".".as_ref()).join("bundle")
}

impl Pages {
    /// Starts the server on a free port of the loopback interface (of both its addresses: a browser
    /// takes either for `localhost`), with nothing but the control
    /// connections and the bundle.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn start(links: BTreeMap<String, Link>, bundle: PathBuf) -> Result<Pages, Failure> {
        let starting = "cannot start the web server";
        let unavailable = |error| Failure::unavailable(starting, error);
        let listeners = port::listen(0).map_err(unavailable)?;
        let address = listeners[0].local_addr().map_err(unavailable)?;
        let router = router(links, &bundle);
        for listener in listeners {
            tokio::spawn(axum::serve(listener, router.clone()).into_future());
        }
        Ok(Pages { address, bundle })
    }

    /// Where clients open their control connections.
    pub fn control_url(&self) -> String {
        format!("ws://{}/control", self.address)
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

    /// The address of the client tab.
    pub fn client_url(&self, number: usize, client: &str) -> String {
        format!("{}/client/?client={client}", self.origin(number))
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
fn router(links: BTreeMap<String, Link>, bundle: &std::path::Path) -> Router {
    let links: Links = Arc::new(links);
    Router::new()
        .route("/control", get(control))
        .with_state(links)
        .fallback_service(ServeDir::new(bundle))
}

#[derive(Deserialize)]
struct ControlQuery {
    client: String,
}

async fn control(
    State(links): State<Links>,
    Query(query): Query<ControlQuery>,
    upgrade: WebSocketUpgrade,
) -> Response {
    match links.get(&query.client) {
        Some(link) => {
            let link = link.clone();
            upgrade
                .max_message_size(LARGEST_MESSAGE)
                .on_upgrade(move |socket| async move { link.converse(socket).await })
        }
        None => (
            StatusCode::NOT_FOUND,
            format!("there is no client {} in this run", query.client),
        )
            .into_response(),
    }
}
