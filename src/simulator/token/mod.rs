//! Pure: who gets a token, and whom a token stands for.
//!
//! Source: `dataverse-web-api.md` §9.

pub mod answer;
mod client;
pub mod form;

use super::settings::Settings;
use answer::{Granted, TokenRefused, missing, refused};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::Client;
use form::basic_credentials;
use jsonwebtoken::DecodingKey;
use std::collections::{HashMap, VecDeque};
use thiserror::Error;

/// Most tokens remembered; the oldest are forgotten, their holders are answered 401.
const TOKENS_MAX: usize = 10_000;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A certificate or public key that cannot be used.
#[derive(Debug, Error)]
#[error("users.certificate_file of {user}: not an RSA certificate or public key in PEM: {why}")]
pub struct CertificateRefused {
    /// Name of the user.
    pub user: String,
    /// Why.
    pub why: String,
}

/// A token request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Tenant in the path.
    pub tenant: &'a str,
    /// Form fields.
    pub form: &'a [(String, String)],
    /// `Authorization` header.
    pub authorization: Option<&'a str>,
    /// Origin the client used.
    pub origin: &'a str,
    /// Now, milliseconds since 1970.
    pub now_ms: i64,
    /// A fresh unique text.
    pub unique: &'a str,
}

/// Why a bearer token is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BearerRefused {
    /// No `Authorization: Bearer`.
    #[error("no bearer token")]
    Missing,
    /// Never issued here, or forgotten.
    #[error("the bearer token is unknown")]
    Unknown,
    /// Too old.
    #[error("the bearer token has expired")]
    Expired,
    /// Issued for another resource.
    #[error("the bearer token is meant for another resource")]
    Audience,
}

struct Issued {
    user: usize,
    resource: String,
    expires_ms: i64,
}

/// Issues tokens and recognizes them.
pub struct TokenService {
    tenant: String,
    clients: Vec<Client>,
    managed: usize,
    audiences: Vec<String>,
    foreign: Vec<String>,
    life_ms: i64,
    issued: HashMap<String, Issued>,
    order: VecDeque<String>,
}

impl TokenService {
    /// A service for the users of `settings`; `certificates` holds PEM texts by user name.
    ///
    /// # Errors
    /// A certificate cannot be read.
    pub fn new(
        settings: &Settings,
        certificates: &HashMap<String, String>,
    ) -> Result<Self, CertificateRefused> {
        let clients = settings.users.iter().map(|u| {
            let key = certificates.get(&u.name).map(|pem| {
                DecodingKey::from_rsa_pem(pem.as_bytes())
                    .map_err(|e| CertificateRefused { user: u.name.clone(), why: e.to_string() })
            });
            Ok(Client {
                name: u.name.clone(),
                client_id: u.client_id.to_string(),
                secret: u.secret.clone(),
                secret_expired: u.secret_expired,
                key: key.transpose()?,
                thumbprint: u.certificate_thumbprint.clone(),
            })
        });
        let clients = clients.collect::<Result<Vec<_>, _>>()?;
        let named = |n: &String| clients.iter().position(|c| c.name == *n);
        let managed = settings.managed_identity.as_ref().and_then(named).unwrap_or(0);
        #[expect(clippy::cast_possible_truncation, reason = "a float converts by saturation")]
        let life_ms = (settings.token_secs as f64 * 1000.0 / settings.speed) as i64;
        let plain = |list: &[String]| list.iter().map(|a| resource_of(a)).collect();
        Ok(Self {
            tenant: settings.tenant.clone(),
            clients,
            managed,
            audiences: plain(&settings.audiences),
            foreign: plain(&settings.foreign_audiences),
            life_ms,
            issued: HashMap::new(),
            order: VecDeque::new(),
        })
    }

    /// Answers a client-credentials request.
    ///
    /// # Errors
    /// The refusal Entra ID is documented to give.
    pub fn grant(&mut self, asked: &Asked<'_>) -> Result<Granted, TokenRefused> {
        if !asked.tenant.eq_ignore_ascii_case(&self.tenant) {
            return Err(refused(
                400,
                "invalid_request",
                90002,
                format!("Tenant '{}' not found.", asked.tenant),
            ));
        }
        let field =
            |name: &str| asked.form.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        match field("grant_type") {
            Some("client_credentials") => {}
            None => return Err(missing("grant_type")),
            Some(other) => {
                return Err(refused(
                    400,
                    "unsupported_grant_type",
                    70003,
                    format!("The app requested an unsupported grant type '{other}'."),
                ));
            }
        }
        let basic = asked.authorization.and_then(basic_credentials);
        let client_id = field("client_id")
            .or_else(|| basic.as_ref().map(|(id, _)| id.as_str()))
            .ok_or_else(|| missing("client_id"))?;
        let wanted = client_id.to_ascii_lowercase();
        let user = self.clients.iter().position(|c| c.client_id == wanted).ok_or_else(|| {
            refused(
                400,
                "unauthorized_client",
                700_016,
                format!(
                    "Application with identifier '{client_id}' was not found in the directory."
                ),
            )
        })?;
        let client = &self.clients[user];
        let secret = field("client_secret").or_else(|| basic.as_ref().map(|(_, s)| s.as_str()));
        match (secret, field("client_assertion")) {
            (Some(secret), _) => client.check_secret(secret)?,
            (None, Some(assertion)) => {
                if field("client_assertion_type") != Some(ASSERTION_TYPE) {
                    return Err(missing("client_assertion_type"));
                }
                client.check_assertion(assertion, asked)?;
            }
            (None, None) => {
                return Err(refused(
                    401,
                    "invalid_client",
                    7_000_218,
                    "The request body must contain the following parameter: 'client_assertion' \
                     or 'client_secret'."
                        .to_owned(),
                ));
            }
        }
        let resource = match (field("scope"), field("resource")) {
            (Some(scope), _) => {
                scope.strip_suffix("/.default").filter(|r| !r.contains(' ')).ok_or_else(|| {
                    refused(
                        400,
                        "invalid_scope",
                        1_002_012,
                        format!(
                            "The provided value for scope {scope} is not valid. Client credential \
                             flows must have a scope value with /.default suffixed to the \
                             resource identifier."
                        ),
                    )
                })?
            }
            (None, Some(resource)) => resource,
            (None, None) => return Err(missing("scope")),
        };
        self.issue(user, resource, asked)
    }

    /// Answers a managed-identity request for `resource`.
    ///
    /// # Errors
    /// No such identity or resource.
    pub fn managed(
        &mut self,
        resource: &str,
        client_id: Option<&str>,
        asked: &Asked<'_>,
    ) -> Result<Granted, TokenRefused> {
        let user = match client_id {
            None => self.managed,
            Some(id) => {
                let wanted = id.to_ascii_lowercase();
                self.clients.iter().position(|c| c.client_id == wanted).ok_or_else(|| {
                    refused(400, "invalid_request", 0, "Identity not found".to_owned())
                })?
            }
        };
        self.issue(user, resource, asked)
    }

    fn issue(
        &mut self,
        user: usize,
        resource: &str,
        asked: &Asked<'_>,
    ) -> Result<Granted, TokenRefused> {
        let resource = resource_of(resource);
        if !self.accepted(&resource, asked.origin) && !self.foreign.contains(&resource) {
            return Err(refused(
                400,
                "invalid_resource",
                500_011,
                format!("The resource principal named {resource} was not found in the tenant."),
            ));
        }
        let expires_ms = asked.now_ms.saturating_add(self.life_ms);
        let payload = format!(
            "{{\"aud\":\"{resource}\",\"appid\":\"{}\",\"exp\":{}}}",
            self.clients[user].client_id,
            expires_ms / 1000
        );
        let token = format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode("{\"typ\":\"JWT\",\"alg\":\"none\"}"),
            URL_SAFE_NO_PAD.encode(payload),
            asked.unique
        );
        self.issued.retain(|_, i| i.expires_ms + 60_000 > asked.now_ms);
        self.order.retain(|t| self.issued.contains_key(t));
        while self.order.len() >= TOKENS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.issued.remove(&oldest);
            }
        }
        self.order.push_back(token.clone());
        self.issued.insert(token.clone(), Issued { user, resource: resource.clone(), expires_ms });
        Ok(Granted { token, expires_in: self.life_ms / 1000, expires_ms, user, resource })
    }

    /// Whom an `Authorization` header stands for.
    ///
    /// # Errors
    /// The token is missing, unknown, too old or meant for another resource.
    pub fn recognize(
        &self,
        authorization: Option<&str>,
        origin: &str,
        now_ms: i64,
    ) -> Result<usize, BearerRefused> {
        let token = authorization
            .and_then(|a| a.split_once(' '))
            .filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or(BearerRefused::Missing)?;
        let issued = self.issued.get(token).ok_or(BearerRefused::Unknown)?;
        if issued.expires_ms <= now_ms {
            return Err(BearerRefused::Expired);
        }
        if !self.accepted(&issued.resource, origin) {
            return Err(BearerRefused::Audience);
        }
        Ok(issued.user)
    }

    fn accepted(&self, resource: &str, origin: &str) -> bool {
        let origin = resource_of(origin);
        resource == origin
            || self.audiences.iter().any(|a| a == resource)
            || matches!((loopback_port(resource), loopback_port(&origin)), (Some(a), Some(b)) if a == b)
    }
}

/// Lower case, without slashes at the end.
fn resource_of(text: &str) -> String {
    text.trim_end_matches('/').to_ascii_lowercase()
}

/// Scheme and port of an address of this machine.
fn loopback_port(origin: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = origin.split_once("://")?;
    ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .find_map(|host| rest.strip_prefix(host))
        .filter(|port| port.is_empty() || port.starts_with(':'))
        .map(|port| (scheme, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use form::form;
    use jsonwebtoken::{Algorithm, EncodingKey, Header};

    const C1: &str = "c1000000-0000-4000-8000-000000000001";
    const ORIGIN: &str = "http://127.0.0.1:4711";
    const TENANT: &str = "11111111-2222-3333-4444-555555555555";

    fn service(text: &str) -> TokenService {
        let settings = Settings::parse(text).expect("settings");
        TokenService::new(&settings, &HashMap::new()).expect("no certificates")
    }

    fn ask(service: &mut TokenService, tenant: &str, text: &str) -> Result<Granted, TokenRefused> {
        let form = form(text);
        service.grant(&Asked {
            tenant,
            form: &form,
            authorization: None,
            origin: ORIGIN,
            now_ms: 1_000_000,
            unique: "u1",
        })
    }

    fn request(change: (&str, &str)) -> String {
        "grant_type=client_credentials&client_id=A0000000-0000-4000-8000-000000000002\
         &client_secret=pretended-secret-2&scope=http%3A%2F%2F127.0.0.1%3A4711%2F.default"
            .replace(change.0, change.1)
    }

    #[test]
    fn a_secret_buys_a_token_that_is_recognized_until_it_expires() {
        let mut service = service("token_secs = 10");
        let granted = ask(&mut service, TENANT, &request(("", ""))).expect("granted");
        assert_eq!((granted.user, granted.expires_in), (1, 10));
        let bearer = format!("Bearer {}", granted.token);
        let check = |now_ms| service.recognize(Some(&bearer), ORIGIN, now_ms);
        assert_eq!(check(1_009_999), Ok(1));
        assert_eq!(check(1_010_000), Err(BearerRefused::Expired));
        assert_eq!(service.recognize(None, ORIGIN, 0), Err(BearerRefused::Missing));
        assert_eq!(service.recognize(Some("Bearer x"), ORIGIN, 0), Err(BearerRefused::Unknown));
    }

    #[test]
    fn refusals_carry_the_documented_numbers() {
        let mut service = service("");
        let mut check = |tenant, change, status, number| {
            let refusal = ask(&mut service, tenant, &request(change)).expect_err("refused");
            assert_eq!((refusal.status, refusal.number), (status, number));
        };
        check("other", ("", ""), 400, 90_002);
        check(TENANT, ("pretended-secret-2", "wrong"), 401, 7_000_215);
        check(TENANT, ("0002", "0009"), 400, 700_016);
        check(TENANT, ("client_credentials", "password"), 400, 70_003);
        check(TENANT, ("grant_type", "x"), 400, 900_144);
        check(TENANT, ("%2F.default", ""), 400, 1_002_012);
        check(TENANT, ("127.0.0.1%3A4711", "other.test"), 400, 500_011);
        check(TENANT, ("client_secret", "x"), 401, 7_000_218);
    }

    #[test]
    fn a_token_for_another_resource_is_not_accepted() {
        let mut service = service("foreign_audiences = ['https://graph.test/']");
        let text = request(("http%3A%2F%2F127.0.0.1%3A4711", "https%3A%2F%2Fgraph.test"));
        let granted = ask(&mut service, TENANT, &text).expect("granted");
        assert_eq!(
            service.recognize(Some(&format!("Bearer {}", granted.token)), ORIGIN, 0),
            Err(BearerRefused::Audience)
        );
    }

    #[test]
    fn names_of_this_machine_are_one_resource() {
        let mut service = service("");
        assert!(ask(&mut service, TENANT, &request(("127.0.0.1", "localhost"))).is_ok());
        assert!(ask(&mut service, TENANT, &request(("4711", "4712"))).is_err());
    }

    #[test]
    fn basic_credentials_are_accepted() {
        let mut service = service("");
        let form = form("grant_type=client_credentials&resource=http://localhost:4711");
        let basic = STANDARD.encode("a0000000-0000-4000-8000-000000000001:pretended-secret-1");
        let header = format!("Basic {basic}");
        let asked = Asked {
            tenant: TENANT,
            form: &form,
            authorization: Some(&header),
            origin: ORIGIN,
            now_ms: 0,
            unique: "u",
        };
        assert_eq!(service.grant(&asked).expect("granted").user, 0);
    }

    #[test]
    fn a_signed_assertion_is_checked_down_to_its_claims() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("key");
        let certificate = rcgen::CertificateParams::new(vec!["app.test".to_owned()])
            .and_then(|p| p.self_signed(&key))
            .expect("certificate");
        let settings = Settings::parse(
            "[[users]]\nname='c'\nclient_id='c1000000-0000-4000-8000-000000000001'\ncertificate_thumbprint='print'\n\
             system_user_id='5e000000-0000-4000-8000-000000000001'",
        )
        .expect("settings");
        let pems = HashMap::from([("c".to_owned(), certificate.pem())]);
        let mut service = TokenService::new(&settings, &pems).expect("certificate");
        let signer = EncodingKey::from_rsa_pem(key.serialize_pem().as_bytes()).expect("pem");
        let mut ask_with = |claims: serde_json::Value, thumbprint: &str, spoil: bool| {
            let mut header = Header::new(Algorithm::PS256);
            header.x5t_s256 = Some(thumbprint.to_owned());
            let mut jwt = jsonwebtoken::encode(&header, &claims, &signer).expect("signed");
            if spoil {
                jwt.truncate(jwt.len() - 8);
                jwt.push_str("AAAAAAAA");
            }
            let text = format!(
                "grant_type=client_credentials&client_id={C1}&client_assertion={jwt}\
                 &client_assertion_type={ASSERTION_TYPE}&scope={ORIGIN}/.default"
            );
            ask(&mut service, TENANT, &text).map_err(|e| e.number)
        };
        let aud = format!("https://login.test/{TENANT}/oauth2/v2.0/token");
        let claims = |exp: i64, sub: &str, aud: &str| serde_json::json!({"aud": aud, "iss": C1, "sub": sub, "exp": exp, "nbf": 900, "jti": "j"});
        assert!(ask_with(claims(1100, C1, &aud), "print", false).is_ok());
        assert_eq!(ask_with(claims(1100, C1, &aud), "print", true), Err(700_027));
        assert_eq!(ask_with(claims(1100, C1, &aud), "other", false), Err(700_027));
        assert_eq!(ask_with(claims(1000, C1, &aud), "print", false), Err(700_024));
        assert_eq!(ask_with(claims(1100, "c-2", &aud), "print", false), Err(700_021));
        assert_eq!(ask_with(claims(1100, C1, "https://x"), "print", false), Err(700_023));
    }
}
