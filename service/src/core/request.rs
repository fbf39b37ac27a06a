//! The body of a request for a stream, checked.

use serde_json::{Map, Value};

/// What a client says when it opens a stream. Keys that we do not use are ignored, as PowerSync does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamRequest {
    /// What the client has: bucket names and the last operation of each.
    pub positions: Vec<(String, u64)>,
    pub client_id: Option<String>,
    /// Rows as strings that hold JSON, not as JSON.
    pub raw_data: bool,
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
    }
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
