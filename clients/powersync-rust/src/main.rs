//! A client on PowerSync's SDK for Rust, the crate `powersync`, which is used as an application uses it.
//!
//! Here is its end of the client contract (`docs/clients.md`); `client.rs` is its life, `database.rs` the
//! transactions on the SDK's database, `connector.rs` the application's part of an SDK.

mod client;
mod connector;
mod database;
mod logger;

use std::env;
use std::error::Error;
use std::path::PathBuf;

use futures_util::{SinkExt, StreamExt};
use squall_protocol::contract::{
    CONTRACT_VERSION, Capabilities, Engine, FromClient, Hello, ToClient,
};
use squall_protocol::sql::Dialect;
use tokio::sync::mpsc::unbounded_channel;
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let name = env::var("SQUALL_CLIENT")?;
    let file = PathBuf::from(env::var("SQUALL_DATABASE")?);
    let (socket, _) = tokio_tungstenite::connect_async(env::var("SQUALL_CONTROL_URL")?).await?;
    let (mut sink, mut frames) = socket.split();
    let (outgoing, mut queue) = unbounded_channel::<FromClient>();
    let writer = tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            let text = serde_json::to_string(&message).expect("messages have only text keys");
            if sink.send(Message::text(text)).await.is_err() {
                return;
            }
        }
        // The coordinator may be gone already.
        let _ = sink.close().await;
    });
    logger::install(&outgoing);
    outgoing.send(hello(name))?;
    let mut client: Option<Client> = None;
    // The end of the connection is the end of the run, and without a word it is nobody's wish.
    let mut ended = Err("the connection ended without a word".to_owned());
    while let Some(Ok(frame)) = frames.next().await {
        let Message::Text(text) = frame else {
            continue;
        };
        let message = match serde_json::from_str(&text) {
            Ok(message) => message,
            Err(error) => {
                log::error!("not a message of the coordinator: {error}");
                continue;
            }
        };
        match (message, &client) {
            (ToClient::Stop, _) => {
                ended = Ok(());
                break;
            }
            (ToClient::Configure(config), None) => {
                match Client::open(&file, *config, outgoing.clone()).await {
                    Ok(opened) => client = Some(opened),
                    Err(error) => {
                        let error = format!("the database can not be opened: {error}");
                        outgoing.send(FromClient::Fatal {
                            error: error.clone(),
                        })?;
                        ended = Err(error);
                        break;
                    }
                }
            }
            (message, Some(client)) => client.handle(message).await,
            (message, None) => {
                log::error!("not configured yet, so nothing is done about {message:?}");
            }
        }
    }
    if let Some(client) = client {
        client.close().await;
    }
    drop(outgoing);
    writer.await?;
    Ok(ended?)
}

fn hello(client: String) -> FromClient {
    let lock = include_str!("../Cargo.lock");
    let mut after = lock.split("name = \"powersync\"\nversion = \"").skip(1);
    let version = after.next().and_then(|rest| rest.split('"').next());
    FromClient::Hello(Hello {
        client,
        contract: CONTRACT_VERSION,
        dialect: Dialect::Sqlite,
        engine: Some(Engine {
            name: "powersync (Rust)".to_owned(),
            version: version.map(str::to_owned),
        }),
        runtime: None,
        capabilities: Capabilities {
            syncs: true,
            watches: true,
            disconnects: true,
            checks_integrity: true,
            ..Capabilities::default()
        },
    })
}
