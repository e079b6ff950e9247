//! Tokens of the virtual machine's managed identity.

use crate::client::attempt::TokenFailure;
use crate::client::odata::percent;
use crate::client::token::Granted;
use crate::client::token::answer::{read_refusal, read_token};
use crate::client::token::entra::TOKEN_BYTES_MAX;
use crate::client::transport::{
    Proxies, TransportRefused, error_text, http_client, is_loopback, read_body_within,
};
use crate::config::job::Environment;
use crate::runtime::clock;
use reqwest::{Client, Url};
use std::time::Duration;

/// The address every Azure machine has.
///
/// Source: `dataverse-web-api.md` §9.2.
const IMDS: &str = "http://169.254.169.254";

const TIMEOUT: Duration = Duration::from_secs(10);
const TRIES: u32 = 5;

/// The machine's identity.
pub(super) struct ManagedIdentity {
    url: String,
    client: Client,
    first_pause: Duration,
}

impl ManagedIdentity {
    /// `elsewhere` replaces the address for tests and must be a loopback one.
    pub(super) fn new(
        environment: &Environment,
        client_id: Option<&str>,
        elsewhere: Option<&str>,
    ) -> Result<Self, TransportRefused> {
        let address = elsewhere.unwrap_or(IMDS);
        let bad = |detail: &str| TransportRefused::BadUrl {
            url: address.to_owned(),
            detail: detail.to_owned(),
        };
        let target = Url::parse(address).map_err(|e| bad(&e.to_string()))?;
        if elsewhere.is_some() && !is_loopback(&target) {
            return Err(bad("the managed-identity address may only be moved to this machine"));
        }
        let mut url = format!(
            "{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={}",
            address.trim_end_matches('/'),
            percent(environment.url.trim_end_matches('/'))
        );
        if let Some(id) = client_id {
            url.push_str("&client_id=");
            url.push_str(&percent(id));
        }
        let client = http_client(&target, None, 1, Proxies::Never)?;
        Ok(Self { url, client, first_pause: Duration::from_millis(800) })
    }

    /// Asks for a token, patiently: the service restarts with the machine.
    ///
    /// Source: `dataverse-web-api.md` §9.2.
    pub(super) async fn fetch(&self) -> Result<Granted, TokenFailure> {
        let mut pause = self.first_pause;
        let mut tried = 1;
        loop {
            match self.ask().await {
                Err(TokenFailure::Unreachable(_)) if tried < TRIES => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    tried += 1;
                }
                settled => return settled,
            }
        }
    }

    async fn ask(&self) -> Result<Granted, TokenFailure> {
        let unreachable = |text: String| {
            TokenFailure::Unreachable(format!(
                "the managed-identity service does not answer: {text}; is this an Azure machine?"
            ))
        };
        let mut response = self
            .client
            .get(&self.url)
            .timeout(TIMEOUT)
            .header("Metadata", "true")
            .send()
            .await
            .map_err(|e| unreachable(error_text(e)))?;
        let status = response.status().as_u16();
        let body = read_body_within(&mut response, TOKEN_BYTES_MAX).await.map_err(unreachable)?;
        let text = String::from_utf8_lossy(&body);
        match status {
            200 => {
                read_token(&text, clock::wall_ms(), &jiff::tz::TimeZone::UTC).map_err(|detail| {
                    TokenFailure::Refused(format!("the managed-identity service: {detail}"))
                })
            }
            404 | 410 | 429 | 500..=599 => Err(unreachable(format!("status {status}"))),
            _ => Err(read_refusal(status, &text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::test_server::{Act, TestServer, answer, token_answer};
    use crate::client::token::tests::environment;

    async fn identity(server: &TestServer) -> ManagedIdentity {
        let environment = environment("https://c.test", "https://a.test");
        let mut managed =
            ManagedIdentity::new(&environment, Some("app 1"), Some(&server.url())).unwrap();
        managed.first_pause = Duration::from_millis(1);
        managed
    }

    #[tokio::test]
    async fn asks_again_while_the_service_wakes_up() {
        let server = TestServer::start(|_, number| {
            Act::Send(match number {
                0 => answer("404 Not Found", "", ""),
                1 => answer("429 Too Many Requests", "", ""),
                _ => token_answer("T", 3599),
            })
        })
        .await;
        let granted = identity(&server).await.fetch().await.unwrap();
        assert_eq!(granted.lifetime.as_secs(), 3599);
        let seen = server.seen.lock();
        assert_eq!(seen.len(), 3);
        assert!(seen[0].starts_with(
            "GET /metadata/identity/oauth2/token?api-version=2018-02-01\
             &resource=https%3A%2F%2Fc.test&client_id=app%201 HTTP/1.1\r\n"
        ));
        assert!(seen[0].to_ascii_lowercase().contains("\r\nmetadata: true\r\n"));
    }

    #[tokio::test]
    async fn gives_up_at_last_and_at_once_when_refused() {
        let down = TestServer::start(|_, _| Act::Send(answer("500 X", "", ""))).await;
        let failure = identity(&down).await.fetch().await.err().unwrap();
        assert!(matches!(failure, TokenFailure::Unreachable(_)), "{failure}");
        assert_eq!(down.count(), 5);
        let refusing = TestServer::start(|_, _| {
            Act::Send(answer(
                "400 X",
                "",
                r#"{"error":"invalid_request","error_description":"Identity not found"}"#,
            ))
        })
        .await;
        let failure = identity(&refusing).await.fetch().await.err().unwrap();
        assert!(failure.to_string().contains("Identity not found"), "{failure}");
        assert_eq!(refusing.count(), 1);
    }

    #[test]
    fn the_address_may_only_be_moved_to_this_machine() {
        let environment = environment("https://c.test", "https://a.test");
        assert!(ManagedIdentity::new(&environment, None, Some("http://10.0.0.1")).is_err());
        assert!(ManagedIdentity::new(&environment, None, Some("x")).is_err());
        let usual = ManagedIdentity::new(&environment, None, None).unwrap();
        assert!(usual.url.starts_with("http://169.254.169.254/metadata/"));
    }
}
