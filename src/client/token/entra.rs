//! Tokens of app registrations from Entra ID, by secret or by certificate.

use crate::client::attempt::TokenFailure;
use crate::client::odata::percent;
use crate::client::token::Granted;
use crate::client::token::answer::{read_refusal, read_token};
use crate::client::token::private_file::read_private_file;
use crate::client::transport::{error_text, read_body_within};
use crate::config::job::Environment;
use crate::config::secret::SecretSource;
use crate::runtime::clock;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;

const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer of a token service that is read, bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 64 << 10;
/// Life of a signed statement about ourselves, seconds.
const ASSERTION_SECONDS: i64 = 600;

/// One app registration.
pub(super) struct EntraApp {
    endpoint: String,
    client_id: String,
    scope: String,
    proof: Proof,
    client: Client,
}

enum Proof {
    Secret(SecretSource),
    Certificate(PathBuf),
}

impl EntraApp {
    pub(super) fn with_secret(
        environment: &Environment,
        tenant: &str,
        client_id: &str,
        secret: &SecretSource,
        client: Client,
    ) -> Self {
        Self::new(environment, tenant, client_id, Proof::Secret(secret.clone()), client)
    }

    pub(super) fn with_certificate(
        environment: &Environment,
        tenant: &str,
        client_id: &str,
        pem: &Path,
        client: Client,
    ) -> Self {
        Self::new(environment, tenant, client_id, Proof::Certificate(pem.to_owned()), client)
    }

    fn new(
        environment: &Environment,
        tenant: &str,
        client_id: &str,
        proof: Proof,
        client: Client,
    ) -> Self {
        Self {
            endpoint: format!(
                "{}/{}/oauth2/v2.0/token",
                environment.authority.trim_end_matches('/'),
                percent(tenant)
            ),
            client_id: client_id.to_owned(),
            scope: format!("{}/.default", environment.url.trim_end_matches('/')),
            proof,
            client,
        }
    }

    /// Asks for a token once.
    ///
    /// Source: `dataverse-web-api.md` §9.1.
    pub(super) async fn fetch(&self) -> Result<Granted, TokenFailure> {
        let mut form = format!(
            "grant_type=client_credentials&client_id={}&scope={}",
            percent(&self.client_id),
            percent(&self.scope)
        );
        // Read each time, so that a renewed secret takes effect without a restart.
        match &self.proof {
            Proof::Secret(source) => {
                let secret = read_secret(source).await?;
                form.push_str("&client_secret=");
                form.push_str(&percent(secret.expose_secret()));
            }
            Proof::Certificate(path) => {
                let pem = read_private_file(path).await?;
                let now = clock::wall_ms() / 1000;
                let jti = uuid::Uuid::new_v4().to_string();
                let assertion = assertion(&pem, &self.endpoint, &self.client_id, &jti, now)
                    .map_err(|detail| {
                        TokenFailure::Refused(format!("certificate {}: {detail}", path.display()))
                    })?;
                form.push_str(
                    "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A\
                     client-assertion-type%3Ajwt-bearer&client_assertion=",
                );
                form.push_str(&assertion);
            }
        }
        let unreachable = |text: String| {
            TokenFailure::Unreachable(format!("{} does not answer: {text}", self.endpoint))
        };
        let mut response = self
            .client
            .post(&self.endpoint)
            .timeout(TOKEN_TIMEOUT)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .map_err(|e| unreachable(error_text(e)))?;
        let status = response.status().as_u16();
        let body = read_body_within(&mut response, TOKEN_BYTES_MAX).await.map_err(unreachable)?;
        let text = String::from_utf8_lossy(&body);
        if status != 200 {
            return Err(read_refusal(status, &text));
        }
        read_token(&text, clock::wall_ms(), &jiff::tz::TimeZone::UTC)
            .map_err(|detail| TokenFailure::Refused(format!("the token service: {detail}")))
    }
}

async fn read_secret(source: &SecretSource) -> Result<SecretString, TokenFailure> {
    let secret = match source {
        SecretSource::Env(name) => std::env::var(name).map(SecretString::from).map_err(|_| {
            TokenFailure::Refused(format!("environment variable {name} with the secret is not set"))
        })?,
        SecretSource::File(path) => read_private_file(path).await?,
    };
    let trimmed = secret.expose_secret().trim();
    if trimmed.is_empty() {
        return Err(TokenFailure::Refused(format!("the client secret in {source:?} is empty")));
    }
    Ok(SecretString::from(trimmed))
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: &'a str,
    nbf: i64,
    exp: i64,
}

/// A statement about ourselves, signed with the certificate's key; `now` in seconds since 1970.
///
/// Source: `dataverse-web-api.md` §9.1.
fn assertion(
    pem: &SecretString,
    endpoint: &str,
    client_id: &str,
    jti: &str,
    now: i64,
) -> Result<String, String> {
    let text = pem.expose_secret();
    let certificate = pem_block(text, &["CERTIFICATE"]).ok_or(
        "there is no CERTIFICATE block; put certificate and private key into one PEM file",
    )?;
    let body: String = certificate
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
        .collect();
    let der = STANDARD.decode(body).map_err(|_| "the CERTIFICATE block is not base64")?;
    if pem_block(text, &["ENCRYPTED PRIVATE KEY"]).is_some() || text.contains("Proc-Type: 4,ENC") {
        return Err(
            "the private key is encrypted; store it decrypted in a file of mode 0600, for \
                    instance with `openssl pkey`"
                .to_owned(),
        );
    }
    let key = pem_block(text, &["PRIVATE KEY", "RSA PRIVATE KEY"]).ok_or(
        "there is no PRIVATE KEY block; put certificate and private key into one PEM file",
    )?;
    let key = EncodingKey::from_rsa_pem(key.as_bytes())
        .map_err(|_| "the private key is no RSA key in PKCS#8 or PKCS#1 form")?;
    let mut header = Header::new(Algorithm::PS256);
    header.x5t_s256 = Some(URL_SAFE_NO_PAD.encode(Sha256::digest(&der)));
    let claims = Claims {
        aud: endpoint,
        iss: client_id,
        sub: client_id,
        jti,
        nbf: now,
        exp: now + ASSERTION_SECONDS,
    };
    jsonwebtoken::encode(&header, &claims, &key).map_err(|e| format!("signing failed: {e}"))
}

/// The first block with one of `labels`, with its lines.
fn pem_block<'a>(text: &'a str, labels: &[&str]) -> Option<&'a str> {
    labels.iter().find_map(|label| {
        let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
        let start = text.find(&begin)?;
        let length = text[start..].find(&end)? + end.len();
        Some(&text[start..start + length])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Seen {
        aud: String,
        iss: String,
        sub: String,
        jti: String,
        exp: i64,
        nbf: i64,
    }

    #[test]
    fn the_assertion_is_signed_by_the_key_and_names_the_certificate() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["dvbulk".to_owned()]).unwrap().self_signed(&key);
        let certificate = certificate.unwrap();
        let (key_pem, certificate_pem) = (key.serialize_pem(), certificate.pem());
        let now = clock::wall_ms() / 1000;
        for pem in [format!("{key_pem}\n{certificate_pem}"), format!("{certificate_pem}{key_pem}")]
        {
            let got =
                assertion(&SecretString::from(pem), "https://e/token", "app", "j1", now).unwrap();
            let mut rules = Validation::new(Algorithm::PS256);
            rules.set_audience(&["https://e/token"]);
            let public = DecodingKey::from_rsa_pem(key.public_key_pem().as_bytes()).unwrap();
            let seen = jsonwebtoken::decode::<Seen>(&got, &public, &rules).unwrap();
            assert_eq!(
                seen.header.x5t_s256.unwrap(),
                URL_SAFE_NO_PAD.encode(Sha256::digest(certificate.der()))
            );
            let claims = seen.claims;
            assert_eq!((claims.iss.as_str(), claims.sub.as_str()), ("app", "app"));
            assert_eq!((claims.aud.as_str(), claims.jti.as_str()), ("https://e/token", "j1"));
            assert_eq!((claims.nbf, claims.exp), (now, now + 600));
        }
        for (pem, word) in [
            (key_pem.clone(), "CERTIFICATE"),
            (certificate_pem.clone(), "PRIVATE KEY"),
            (
                format!("{certificate_pem}{}", key_pem.replace("PRIVATE", "ENCRYPTED PRIVATE")),
                "openssl pkey",
            ),
            (format!("{certificate_pem}{}", key_pem.replace("MII", "AAA")), "RSA"),
        ] {
            let refused = assertion(&SecretString::from(pem), "e", "app", "j", now).unwrap_err();
            assert!(refused.contains(word), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_missing_or_empty_secret_is_named() {
        let unset = SecretSource::Env("DVBULK_NO_SUCH_VARIABLE".to_owned());
        let refused = read_secret(&unset).await.unwrap_err().to_string();
        assert!(refused.contains("DVBULK_NO_SUCH_VARIABLE"), "{refused}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let empty = SecretSource::File(file.path().to_owned());
        assert!(read_secret(&empty).await.unwrap_err().to_string().contains("empty"));
    }
}
