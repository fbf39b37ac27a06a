//! Answers that are errors, in PowerSync's shape.

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::core::request::InvalidRequest;
use crate::core::token::TokenError;

/// An answer that is an error.
#[derive(Debug)]
pub struct Failure {
    pub status: StatusCode,
    pub code: &'static str,
    pub name: &'static str,
    pub description: String,
    pub details: Option<String>,
}

impl Failure {
    /// The error as a text, where there is no other form for it.
    pub fn message(&self) -> String {
        let mut message = format!("[{}] {}", self.code, self.description);
        if let Some(details) = &self.details {
            message.push_str("\n  ");
            message.push_str(details);
        }
        message
    }

    /// There is nothing at that path, or not with that method.
    pub fn not_found(method: &Method, path: &str) -> Failure {
        Failure {
            status: StatusCode::NOT_FOUND,
            code: "PSYNC_S2002",
            name: "RouteNotFound",
            description: "The path does not exist on this server".into(),
            details: Some(format!(
                "The path {method} \"{path}\" does not exist on this server"
            )),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut error = json!({
            "name": self.name,
            "code": self.code,
            "status": self.status.as_u16(),
            "description": self.description,
        });
        if let Some(details) = self.details {
            error["details"] = Value::String(details);
        }
        (self.status, axum::Json(json!({ "error": error }))).into_response()
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Failure {
            status: StatusCode::UNAUTHORIZED,
            code: error.code(),
            name: "AuthorizationError",
            description: error.to_string(),
            details: None,
        }
    }
}

impl From<InvalidRequest> for Failure {
    fn from(error: InvalidRequest) -> Self {
        Failure {
            status: StatusCode::BAD_REQUEST,
            code: "PSYNC_S2001",
            name: "ValidationError",
            description: "Validation failed".into(),
            details: Some(json!(error.problems).to_string()),
        }
    }
}
