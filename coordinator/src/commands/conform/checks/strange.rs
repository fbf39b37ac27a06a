//! What is rarely asked, and what is no message of this version of the contract.

use axum::extract::ws::Message;
use futures_util::FutureExt;
use serde_json::json;
use squall_protocol::contract::{Access, FromClient, ToClient};

use super::check::{Check, never};
use crate::commands::conform::problem::Problem;
use crate::commands::conform::statements::insert;
use crate::commands::conform::subject::{Client, shown};

pub(super) const INTEGRITY: Check = Check {
    name: "integrity",
    what: "it checks its database file",
    skipped: |surroundings| {
        let checks = surroundings.hello().capabilities.checks_integrity;
        (!checks).then_some("it says that it cannot check its database")
    },
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            client.send(&ToClient::CheckIntegrity).await?;
            let report = client
                .wait("integrity", |message| match message {
                    FromClient::Integrity { report } => Some(Ok(report)),
                    FromClient::Completed { .. } => Some(Err(message)),
                    _ => None,
                })
                .await?;
            match report == ["ok"] {
                true => Ok(()),
                false => Err(client.wrong("the one row `ok`", format!("{report:?}"))),
            }
        }
        .boxed_local()
    },
};

pub(super) const UNKNOWN_FIELDS: Check = Check {
    name: "unknown-fields",
    what: "fields that it does not know are ignored",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let call = serde_json::to_value(insert("field", client.number, "x"));
            let mut call = call.expect("it is plain data");
            call["from_the_future"] = json!({"a": [1, null]});
            let execute = json!({"execute": {
                "operation": 4_000_000_000_u64,
                "access": "write",
                "calls": [call],
                "from_the_future": [true],
            }});
            client.send_text(&execute.to_string()).await?;
            let outcome = client.completed(4_000_000_000).await?;
            if !matches!(outcome, squall_protocol::contract::Execution::Committed(_)) {
                return Err(client.wrong("committed", shown(&outcome)));
            }
            client.has_ids(&["field"], "which was inserted").await
        }
        .boxed_local()
    },
};

pub(super) const UNKNOWN_MESSAGES: Check = Check {
    name: "unknown-messages",
    what: "what it does not understand is ignored, and it goes on",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let frames = [
                "\"from-the-future\"",
                r#"{"from-the-future": {"operation": 7}}"#,
                r#"{"from-the-future": {}, "nor-this": 1}"#,
                r#"{"execute": {"operation": 99}}"#,
                r#"{"execute": null}"#,
                r#"{"watch": {"calls": "none"}}"#,
                "[]",
                "{}",
                "null",
                "7",
                "",
                "{",
                "garbage \u{0} 🌀",
            ];
            for (number, frame) in frames.into_iter().enumerate() {
                client.send_text(frame).await?;
                goes_on(&mut client, number).await?;
            }
            client
                .send_frame(Message::Binary(vec![0, 255].into()))
                .await?;
            goes_on(&mut client, frames.len()).await
        }
        .boxed_local()
    },
};

/// Whether the client does transactions as before.
async fn goes_on(client: &mut Client<'_>, number: usize) -> Result<(), Problem> {
    let id = format!("strange-{number:02}");
    let calls = vec![insert(&id, client.number, "x")];
    client.committed(Access::Write, calls).await?;
    let found = client.ids().await?;
    match found.len() == number + 1 {
        true => Ok(()),
        false => Err(client.wrong(
            &format!("{} rows, one after each such message", number + 1),
            format!("{found:?}"),
        )),
    }
}
