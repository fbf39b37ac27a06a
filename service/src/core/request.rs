//! The bodies of requests, checked.

use serde_json::{Map, Value};

use super::subscriptions::{LOWEST_PRIORITY, Subscription, Subscriptions};
use super::write_checkpoints::MAX_ID;

/// What a client says when it opens a stream. Keys that we do not use are ignored, as PowerSync does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamRequest {
    /// What the client has: bucket names and the last operation of each.
    pub positions: Vec<(String, u64)>,
    pub client_id: Option<String>,
    /// Rows as strings that hold JSON, not as JSON.
    pub raw_data: bool,
    /// Which sync streams the client wants.
    pub subscriptions: Subscriptions,
}

/// A client asks for a write checkpoint with an id that it counted itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRequest {
    pub client_id: String,
    /// From 1 to [`MAX_ID`].
    pub id: u64,
}

/// Everything that is wrong with a request, each with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Validation failed: {}", problems.join("; "))]
pub struct InvalidRequest {
    pub problems: Vec<String>,
}

impl StreamRequest {
    /// Checks a body.
    pub fn from_json(body: &Value) -> Result<StreamRequest, InvalidRequest> {
        let mut problems = Vec::new();
        let mut request = StreamRequest::default();
        match body {
            Value::Object(body) => request.read(body, &mut problems),
            _ => problems.push(": type must be object".into()),
        }
        if problems.is_empty() {
            Ok(request)
        } else {
            Err(InvalidRequest { problems })
        }
    }

    fn read(&mut self, body: &Map<String, Value>, problems: &mut Vec<String>) {
        match body.get("buckets") {
            None => {}
            Some(Value::Array(buckets)) => {
                for (index, bucket) in buckets.iter().enumerate() {
                    if let Some(position) = read_position(index, bucket, problems) {
                        self.positions.push(position);
                    }
                }
            }
            Some(_) => problems.push("/buckets: type must be array".into()),
        }
        match body.get("client_id") {
            None => {}
            Some(Value::String(client_id)) => self.client_id = Some(client_id.clone()),
            Some(_) => problems.push("/client_id: type must be string".into()),
        }
        for key in ["raw_data", "include_checksum"] {
            if !matches!(body.get(key), None | Some(Value::Bool(_))) {
                problems.push(format!("/{key}: type must be boolean"));
            }
        }
        self.raw_data = body.get("raw_data") == Some(&Value::Bool(true));
        // powersync_core sends null when the application gave no parameters.
        if !matches!(
            body.get("parameters"),
            None | Some(Value::Null | Value::Object(_))
        ) {
            problems.push("/parameters: type must be object".into());
        }
        match body.get("streams") {
            None => {}
            Some(Value::Object(streams)) => {
                self.subscriptions = read_subscriptions(streams, problems);
            }
            Some(_) => problems.push("/streams: type must be object".into()),
        }
    }
}

impl CheckpointRequest {
    /// Checks a body.
    pub fn from_json(body: &Value) -> Result<CheckpointRequest, InvalidRequest> {
        let mut problems = Vec::new();
        let client_id = match body.get("client_id") {
            Some(Value::String(client_id)) => Some(client_id.clone()),
            Some(_) => {
                problems.push("/client_id: type must be string".into());
                None
            }
            None => {
                problems.push(": must have required property client_id".into());
                None
            }
        };
        // A number that JavaScript could have rounded is refused.
        let id = match body.get("checkpoint_request_id") {
            Some(Value::Number(id)) => id.as_u64().filter(|id| *id < 1 << 53),
            Some(Value::String(id)) => id.parse().ok(),
            _ => None,
        };
        let id = id.filter(|id| (1..=MAX_ID).contains(id));
        if id.is_none() {
            problems.push(format!(
                "/checkpoint_request_id: must be a whole number from 1 to {MAX_ID}, from 2^53 on in a string"
            ));
        }
        match (client_id, id) {
            (Some(client_id), Some(id)) => Ok(CheckpointRequest { client_id, id }),
            _ => Err(InvalidRequest { problems }),
        }
    }
}

fn read_subscriptions(streams: &Map<String, Value>, problems: &mut Vec<String>) -> Subscriptions {
    let mut subscriptions = Subscriptions::default();
    match streams.get("include_defaults") {
        None => {}
        Some(Value::Bool(include_defaults)) => {
            subscriptions.include_defaults = *include_defaults;
        }
        Some(_) => problems.push("/streams/include_defaults: type must be boolean".into()),
    }
    match streams.get("subscriptions") {
        Some(Value::Array(explicit)) => {
            for (index, subscription) in explicit.iter().enumerate() {
                let place = format!("/streams/subscriptions/{index}");
                if let Some(subscription) = read_subscription(&place, subscription, problems) {
                    subscriptions.explicit.push(subscription);
                }
            }
        }
        Some(_) => problems.push("/streams/subscriptions: type must be array".into()),
        None => problems.push("/streams: must have required property subscriptions".into()),
    }
    subscriptions
}

fn read_subscription(
    place: &str,
    subscription: &Value,
    problems: &mut Vec<String>,
) -> Option<Subscription> {
    let Value::Object(subscription) = subscription else {
        problems.push(format!("{place}: type must be object"));
        return None;
    };
    let before = problems.len();
    for key in ["stream", "parameters", "override_priority"] {
        if !subscription.contains_key(key) {
            problems.push(format!("{place}: must have required property {key}"));
        }
    }
    let stream = match subscription.get("stream") {
        Some(Value::String(stream)) => stream.clone(),
        None => String::new(),
        Some(_) => {
            problems.push(format!("{place}/stream: type must be string"));
            String::new()
        }
    };
    // Our streams have no parameters, so that those of a subscription change nothing.
    if !matches!(
        subscription.get("parameters"),
        None | Some(Value::Null | Value::Object(_))
    ) {
        problems.push(format!("{place}/parameters: type must be object or null"));
    }
    let priority = match subscription.get("override_priority") {
        None | Some(Value::Null) => None,
        Some(priority) => {
            let priority = priority.as_u64().and_then(|number| number.try_into().ok());
            let priority = priority.filter(|priority| *priority <= LOWEST_PRIORITY);
            if priority.is_none() {
                problems.push(format!(
                    "{place}/override_priority: must be a whole number from 0 to {LOWEST_PRIORITY}, or null"
                ));
            }
            priority
        }
    };
    (problems.len() == before).then_some(Subscription { stream, priority })
}

fn read_position(
    index: usize,
    bucket: &Value,
    problems: &mut Vec<String>,
) -> Option<(String, u64)> {
    let place = format!("/buckets/{index}");
    let Value::Object(bucket) = bucket else {
        problems.push(format!("{place}: type must be object"));
        return None;
    };
    let mut text = |key| match bucket.get(key) {
        Some(Value::String(text)) => Some(text),
        Some(_) => {
            problems.push(format!("{place}/{key}: type must be string"));
            None
        }
        None => {
            problems.push(format!("{place}: must have required property {key}"));
            None
        }
    };
    let (name, after) = (text("name"), text("after"));
    match after?.parse() {
        Ok(after) => Some((name?.clone(), after)),
        Err(_) => {
            problems.push(format!(
                "{place}/after: must be a decimal number of at most 64 bits"
            ));
            None
        }
    }
}
