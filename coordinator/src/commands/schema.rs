//! `squall schema`: what squall speaks, as JSON Schema.

use schemars::generate::SchemaSettings;
use squall_protocol::contract::{CONTRACT_VERSION, FromClient, ToClient};

use crate::cli::{SchemaArgs, SchemaOf};
use crate::exit::Exit;
use crate::output;

/// Prints the schema.
pub fn run(args: &SchemaArgs) -> Exit {
    let schema = match args.of {
        SchemaOf::Contract => contract(),
    };
    let text = serde_json::to_string_pretty(&schema).expect("a schema is plain data");
    output::println(text);
    Exit::Ok
}

/// The client contract: a message is one of `$defs/ToClient` or of `$defs/FromClient`.
fn contract() -> serde_json::Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let to_client = generator.subschema_for::<ToClient>();
    let from_client = generator.subschema_for::<FromClient>();
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("squall's client contract, version {CONTRACT_VERSION}"),
        "description": "Each message of a control connection is a text frame with one of these. Fields that are not named here may come, and are ignored.",
        "anyOf": [to_client, from_client],
        "$defs": generator.take_definitions(true),
    })
}
