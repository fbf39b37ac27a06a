//! The JSON Web Tokens that clients show to the sync service and to the backend: HS256, with the
//! claims that PowerSync requires.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

/// How long a token is good for. Longer than most runs: expiry is the business of a fault that does
/// not exist yet, and a short life would mix it into all others.
const LIFETIME: Duration = Duration::from_secs(3600);

/// The shared secret and its names.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The key in base64url, as PowerSync's configuration has it in `k`.
    pub key: String,
    /// The key's name, `kid`.
    pub kid: String,
    /// The audience that the service expects.
    pub audience: String,
}

/// Without the key.
impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Secret")
            .field("kid", &self.kid)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl Secret {
    /// A new random secret for a service of our own.
    pub fn random() -> Secret {
        let bytes: [u8; 32] = rand::random();
        Secret {
            key: BASE64_URL_SAFE_NO_PAD.encode(bytes),
            kid: "squall".to_owned(),
            audience: "squall".to_owned(),
        }
    }
}

/// Makes and verifies tokens.
pub struct Signer {
    secret: Secret,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// A secret whose key is not base64url.
#[derive(Debug, thiserror::Error)]
#[error("the service key is not base64url without padding: {0}")]
pub struct BadKey(#[from] base64::DecodeError);

/// A token that is not ours, or not any more.
#[derive(Debug, thiserror::Error)]
#[error("the token is not valid: {0}; get a new one from /credentials")]
pub struct Invalid(#[from] jsonwebtoken::errors::Error);

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    iat: u64,
    exp: u64,
}

impl Signer {
    /// A signer with that secret.
    ///
    /// # Errors
    ///
    /// When the key is not base64url.
    pub fn new(secret: Secret) -> Result<Signer, BadKey> {
        let key = BASE64_URL_SAFE_NO_PAD.decode(secret.key.trim_end_matches('='))?;
        Ok(Signer {
            encoding: EncodingKey::from_secret(&key),
            decoding: DecodingKey::from_secret(&key),
            secret,
        })
    }

    /// A token for a client as its user, and when it expires in milliseconds since 1970.
    pub fn token(&self, client: &str) -> (String, u64) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("the clock is past 1970")
            .as_secs();
        let exp = now + LIFETIME.as_secs();
        let claims = Claims {
            sub: client.to_owned(),
            aud: self.secret.audience.clone(),
            iat: now,
            exp,
        };
        let header = Header {
            kid: Some(self.secret.kid.clone()),
            ..Header::new(Algorithm::HS256)
        };
        let token = jsonwebtoken::encode(&header, &claims, &self.encoding)
            .expect("an HMAC over plain claims");
        (token, exp * 1000)
    }

    /// Checks a token's signature, audience and expiry.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn verify(&self, token: &str) -> Result<(), Invalid> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[&self.secret.audience]);
        jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifies_its_own_tokens_and_no_others() {
        let signer = Signer::new(Secret::random()).unwrap();
        let (token, _) = signer.token("native-1");
        signer.verify(&token).unwrap();
        let other = Signer::new(Secret::random()).unwrap();
        assert!(other.verify(&token).is_err());
        assert!(signer.verify("no token").is_err());
    }

    #[test]
    fn a_key_that_is_not_base64url_is_refused() {
        let secret = Secret {
            key: "not base64url!".to_owned(),
            ..Secret::random()
        };
        assert!(Signer::new(secret).is_err());
    }
}
