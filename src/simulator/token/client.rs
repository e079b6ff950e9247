//! Pure: how an application proves who it is: by a secret or a signed assertion.
//!
//! Source: `dataverse-web-api.md` §9.

use super::Asked;
use super::answer::{TokenRefused, refused};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

/// An application and what it proves itself by.
pub(super) struct Client {
    pub(super) name: String,
    pub(super) client_id: String,
    pub(super) secret: Option<String>,
    pub(super) secret_expired: bool,
    pub(super) key: Option<DecodingKey>,
    pub(super) thumbprint: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: i64,
    jti: String,
}

impl Client {
    pub(super) fn check_secret(&self, secret: &str) -> Result<(), TokenRefused> {
        if self.secret.as_deref() != Some(secret) {
            return Err(refused(
                401,
                "invalid_client",
                7_000_215,
                format!("Invalid client secret provided for app '{}'.", self.client_id),
            ));
        }
        if self.secret_expired {
            return Err(refused(
                401,
                "invalid_client",
                7_000_222,
                format!(
                    "The provided client secret keys for app '{}' are expired.",
                    self.client_id
                ),
            ));
        }
        Ok(())
    }

    pub(super) fn check_assertion(
        &self,
        assertion: &str,
        asked: &Asked<'_>,
    ) -> Result<(), TokenRefused> {
        let bad = |number, text: &str| refused(401, "invalid_client", number, text.to_owned());
        if self.key.is_none() && self.thumbprint.is_none() {
            return Err(bad(700_027, "The application has no certificate registered."));
        }
        let header = jsonwebtoken::decode_header(assertion)
            .map_err(|_| bad(50_027, "The client assertion is not a JWT."))?;
        if let Some(thumbprint) = &self.thumbprint {
            let shown = header.x5t_s256.as_ref().or(header.x5t.as_ref());
            if shown != Some(thumbprint) {
                return Err(bad(
                    700_027,
                    "The certificate with this thumbprint is not registered.",
                ));
            }
        }
        let claims = match &self.key {
            Some(key) => {
                let mut rules = Validation::new(Algorithm::PS256);
                rules.algorithms = vec![Algorithm::PS256, Algorithm::RS256];
                rules.required_spec_claims.clear();
                rules.validate_exp = false;
                rules.validate_aud = false;
                jsonwebtoken::decode::<Claims>(assertion, key, &rules)
                    .map_err(|e| {
                        bad(
                            700_027,
                            &format!("The client assertion failed signature validation: {e}."),
                        )
                    })?
                    .claims
            }
            None => {
                jsonwebtoken::dangerous::insecure_decode::<Claims>(assertion)
                    .map_err(|_| bad(50_027, "The client assertion lacks claims."))?
                    .claims
            }
        };
        let now = asked.now_ms / 1000;
        if claims.exp <= now || claims.nbf > now + 300 {
            return Err(bad(700_024, "The client assertion is not within its valid time range."));
        }
        let same = |text: &str| text.eq_ignore_ascii_case(&self.client_id);
        if !same(&claims.iss) || !same(&claims.sub) || claims.jti.is_empty() {
            return Err(bad(700_021, "The client assertion's issuer, subject or id do not match."));
        }
        let endpoint = format!("/{}/oauth2/v2.0/token", asked.tenant);
        if !claims.aud.ends_with(&endpoint) {
            return Err(bad(700_023, "The client assertion's audience is not the token endpoint."));
        }
        Ok(())
    }
}
