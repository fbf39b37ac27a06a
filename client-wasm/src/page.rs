//! The messages between the worker and the page that shows the client to a person.
//!
//! Each is a JSON text with its kind under `type`; `www/client/client.js` is the other end.

use js_sys::JsString;
use serde::{Deserialize, Serialize};
use squall_protocol::contract::{ClientStatus, LogLevel};
use squall_protocol::sql::SqlRows;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

/// From the worker to the page.
#[derive(Clone, Debug, Serialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum ToPage {
    /// Whether there is a connection to the coordinator.
    Control {
        connected: bool,
    },
    /// The database is open.
    Ready {
        session: String,
        new_session: bool,
    },
    Status {
        status: ClientStatus,
    },
    /// Of every row of the first table its first two columns, when they changed.
    Rows {
        rows: SqlRows,
    },
    /// What came of [`FromPage::Write`], in a sentence.
    Written {
        text: String,
    },
    Log {
        level: LogLevel,
        line: String,
    },
    /// The client can not go on.
    Fatal {
        error: String,
    },
    /// The coordinator ended the client, and the database is closed.
    Stopped,
}

/// From the page to the worker.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromPage {
    /// Have the coordinator choose a transaction, and do it.
    Write,
    Connect,
    Disconnect,
    /// Something that a browser tells its pages but not their workers.
    PageEvent {
        event: PageEvent,
    },
}

/// The events of a page that matter to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageEvent {
    /// The browser has a network again, or has lost it.
    Online,
    Offline,
    /// The browser is about to freeze the page and its worker, or has thawed them.
    Freeze,
    Resume,
    /// The page came to be seen, or is not seen any more.
    Visible,
    Hidden,
}

/// The global scope, which is the worker's end of the connection to the page.
pub fn worker() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Sends a message to the page.
pub fn tell(message: &ToPage) {
    let text = serde_json::to_string(message).expect("a message to the page has only text keys");
    // Texts can always be posted.
    let _ = worker().post_message(&text.into());
}

/// Calls `receive` with every message of the page from now on.
pub fn listen(receive: impl Fn(FromPage) + 'static) {
    let listener = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        let text: Option<JsString> = event.data().dyn_into().ok();
        let parsed = serde_json::from_str(&text.map(String::from).unwrap_or_default());
        match parsed {
            Ok(message) => receive(message),
            Err(error) => tell(&ToPage::Log {
                level: LogLevel::Error,
                line: format!("the page sent a message that is not understood: {error}"),
            }),
        }
    });
    worker().set_onmessage(Some(listener.as_ref().unchecked_ref()));
    // It listens as long as the worker lives.
    listener.forget();
}
