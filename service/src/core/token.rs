//! Who may connect: JSON Web Tokens with an HS256 signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};

/// How long after its expiry a token is accepted, for clocks that differ, in seconds.
const CLOCK_TOLERANCE_S: u64 = 60;

/// The longest lifetime of a token, in seconds.
const MAX_LIFETIME_S: u64 = 86_400;

/// Checks tokens.
pub struct Verifier {
    key: DecodingKey,
    key_id: String,
    audience: String,
}

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user: the claim `sub`.
    pub user: String,
    /// When the token expires, in seconds since 1970.
    pub expires_at_s: u64,
}

/// Why a token was refused. The codes and most texts are PowerSync's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("Authentication required")]
    Missing,
    #[error("Token is not a well-formed JWT. Check the token format.")]
    Malformed,
    #[error("signature verification failed")]
    Signature,
    #[error(
        "Could not find an appropriate key in the keystore. The key is missing or no key matched the token KID"
    )]
    UnknownKey,
    #[error("\"alg\" (Algorithm) Header Parameter not allowed")]
    Algorithm,
    #[error("JWT payload is missing a required claim \"{0}\"")]
    MissingClaim(&'static str),
    #[error("\"{0}\" claim must be a number of seconds since 1970")]
    InvalidClaim(&'static str),
    #[error("JWT has expired")]
    Expired,
    #[error("Token must expire in a maximum of {MAX_LIFETIME_S} seconds, got {0}s")]
    LifetimeTooLong(u64),
    #[error("Unexpected \"aud\" claim value: {0}")]
    Audience(String),
}

impl TokenError {
    /// PowerSync's code for this error.
    pub fn code(&self) -> &'static str {
        match self {
            TokenError::Missing => "PSYNC_S2106",
            TokenError::Expired => "PSYNC_S2103",
            TokenError::LifetimeTooLong(_) => "PSYNC_S2104",
            TokenError::Audience(_) => "PSYNC_S2105",
            _ => "PSYNC_S2101",
        }
    }
}

impl Verifier {
    /// A verifier for one key. `key` is the HS256 secret in base64url; an error says why it is none.
    pub fn new(key: &str, key_id: &str, audience: &str) -> Result<Verifier, String> {
        let secret = URL_SAFE_NO_PAD
            .decode(key.trim_end_matches('='))
            .map_err(|error| format!("the key is not base64url: {error}"))?;
        if secret.is_empty() {
            return Err("the key is empty".into());
        }
        Ok(Verifier {
            key: DecodingKey::from_secret(&secret),
            key_id: key_id.into(),
            audience: audience.into(),
        })
    }

    /// Checks the value of an `Authorization` header. `now_s` is the time in seconds since 1970.
    pub fn verify(&self, authorization: Option<&str>, now_s: u64) -> Result<Claims, TokenError> {
        let token = authorization
            .and_then(|header| {
                header
                    .strip_prefix("Token ")
                    .or_else(|| header.strip_prefix("Bearer "))
            })
            .filter(|token| !token.is_empty() && !token.contains(char::is_whitespace))
            .ok_or(TokenError::Missing)?;
        let header = read_header(token).ok_or(TokenError::Malformed)?;
        if header.get("alg").and_then(Value::as_str) != Some("HS256") {
            return Err(TokenError::Algorithm);
        }
        if header.get("kid").and_then(Value::as_str) != Some(&self.key_id) {
            return Err(TokenError::UnknownKey);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // The claims are checked below, with PowerSync's codes and the caller's clock.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims: Map<String, Value> = jsonwebtoken::decode(token, &self.key, &validation)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature => TokenError::Signature,
                _ => TokenError::Malformed,
            })?
            .claims;
        self.check(&claims, now_s)
    }

    fn check(&self, claims: &Map<String, Value>, now_s: u64) -> Result<Claims, TokenError> {
        let seconds = |name| match claims.get(name) {
            None => Err(TokenError::MissingClaim(name)),
            // Whole seconds, whatever the token's maker writes.
            Some(value) => value
                .as_f64()
                .filter(|seconds| (0.0..9e15).contains(seconds))
                .map(|seconds| seconds as u64)
                .ok_or(TokenError::InvalidClaim(name)),
        };
        let (expires_at_s, issued_at_s) = (seconds("exp")?, seconds("iat")?);
        let user = match claims.get("sub") {
            None | Some(Value::Null) => return Err(TokenError::MissingClaim("sub")),
            Some(Value::String(user)) => user.clone(),
            Some(other) => other.to_string(),
        };
        let audience = claims.get("aud").unwrap_or(&Value::Null);
        let intended = match audience {
            Value::String(audience) => *audience == self.audience,
            Value::Array(audiences) => audiences
                .iter()
                .any(|one| one.as_str() == Some(&self.audience)),
            _ => false,
        };
        if !intended {
            return Err(TokenError::Audience(audience.to_string()));
        }
        if now_s > expires_at_s + CLOCK_TOLERANCE_S {
            return Err(TokenError::Expired);
        }
        let lifetime = expires_at_s.saturating_sub(issued_at_s);
        if lifetime > MAX_LIFETIME_S {
            return Err(TokenError::LifetimeTooLong(lifetime));
        }
        Ok(Claims { user, expires_at_s })
    }
}

fn read_header(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let header = parts.next()?;
    if parts.count() != 2 {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}
