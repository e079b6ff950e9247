//! Tokens: one cell per identity. Whoever needs a token first fetches it, everybody else waits for
//! that one answer; it is renewed ahead of its end while the old one goes on being used.

mod answer;
mod command;
mod entra;
mod managed;
mod private_file;

use crate::client::attempt::TokenFailure;
use crate::client::token::entra::EntraApp;
use crate::client::token::managed::ManagedIdentity;
use crate::client::transport::TransportRefused;
use crate::config::job::{Auth, Environment, Identity};
use crate::runtime::clock;
use crate::units::MonoTime;
use parking_lot::Mutex;
use reqwest::Client;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;
use std::time::Duration;

/// Moves the managed-identity address to a loopback address, for tests.
pub const TEST_IMDS_VARIABLE: &str = "DVBULK_TEST_IMDS";

/// A token is renewed this long before its end, or at 80 % of its life if that is later.
const RENEW_AHEAD: Duration = Duration::from_secs(300);
/// After a renewal failed though the old token still works, the next try waits this long.
const RENEW_PAUSE: Duration = Duration::from_secs(15);
/// A token is not used for its last moments, so that it does not end on the way.
const USE_MARGIN: Duration = Duration::from_secs(10);
/// A 401 that comes this soon after a token was had was earned by the one before it.
const FORGET_GRACE: Duration = Duration::from_secs(1);

/// A token as a source grants it.
pub(crate) struct Granted {
    token: SecretString,
    lifetime: Duration,
}

enum TokenSource {
    Entra(EntraApp),
    Managed(ManagedIdentity),
    Command(Vec<String>),
}

/// The token of one identity.
pub struct TokenCell {
    name: String,
    source: TokenSource,
    state: Mutex<State>,
    /// Held by the one task that is fetching.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    failed: Option<(MonoTime, TokenFailure)>,
}

struct Held {
    header: HeaderValue,
    obtained: MonoTime,
    renew_at: MonoTime,
    usable_until: MonoTime,
}

enum Look {
    Fresh(HeaderValue),
    Aging(HeaderValue),
    Missing,
}

impl TokenCell {
    /// A cell without a token yet. `to_authority` makes the requests to the token endpoint,
    /// `imds` replaces the managed-identity address and must be a loopback one.
    ///
    /// # Errors
    /// [`TransportRefused`] when an address is none.
    pub(crate) fn new(
        environment: &Environment,
        identity: &Identity,
        to_authority: Client,
        imds: Option<&str>,
    ) -> Result<Self, TransportRefused> {
        let source = match &identity.auth {
            Auth::ClientSecret { tenant, client_id, secret } => TokenSource::Entra(
                EntraApp::with_secret(environment, tenant, client_id, secret, to_authority),
            ),
            Auth::Certificate { tenant, client_id, pem } => TokenSource::Entra(
                EntraApp::with_certificate(environment, tenant, client_id, pem, to_authority),
            ),
            Auth::ManagedIdentity { client_id } => {
                TokenSource::Managed(ManagedIdentity::new(environment, client_id.as_deref(), imds)?)
            }
            Auth::Command { argv } => TokenSource::Command(argv.clone()),
        };
        Ok(Self {
            name: identity.name.clone(),
            source,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// The `Authorization` header, fetched or renewed when it is time.
    ///
    /// # Errors
    /// [`TokenFailure`] when there is no usable token and none can be had. All who wait for the
    /// same fetch get the same failure: a wrong secret is tried once, not once per request.
    pub async fn bearer(&self) -> Result<HeaderValue, TokenFailure> {
        let asked = clock::now();
        let aging = match self.look(asked) {
            Look::Fresh(header) => return Ok(header),
            Look::Aging(header) => Some(header),
            Look::Missing => None,
        };
        let _turn = match aging {
            // Someone renews it already; the old one will do.
            Some(header) => match self.fetching.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(header),
            },
            None => self.fetching.lock().await,
        };
        if let Some(outcome) = self.settled_since(asked) {
            return outcome;
        }
        let started = clock::now();
        let fetched = match &self.source {
            TokenSource::Entra(app) => app.fetch().await,
            TokenSource::Managed(managed) => managed.fetch().await,
            TokenSource::Command(argv) => command::fetch(argv).await,
        };
        self.keep(started, fetched.map_err(|failure| self.named(failure)))
    }

    /// Forgets the token after a 401.
    pub fn forget(&self) {
        let now = clock::now();
        let mut state = self.state.lock();
        if state.held.as_ref().is_some_and(|h| now.saturating_since(h.obtained) >= FORGET_GRACE) {
            state.held = None;
        }
    }

    fn look(&self, now: MonoTime) -> Look {
        match &self.state.lock().held {
            Some(held) if now < held.renew_at => Look::Fresh(held.header.clone()),
            Some(held) if now < held.usable_until => Look::Aging(held.header.clone()),
            _ => Look::Missing,
        }
    }

    /// What another task's fetch has brought since `asked`.
    fn settled_since(&self, asked: MonoTime) -> Option<Result<HeaderValue, TokenFailure>> {
        let look = self.look(clock::now());
        if let Look::Fresh(header) = look {
            return Some(Ok(header));
        }
        let failed = self.state.lock().failed.clone();
        let (_, failure) = failed.filter(|(at, _)| *at >= asked)?;
        Some(match look {
            Look::Aging(header) | Look::Fresh(header) => Ok(header),
            Look::Missing => Err(failure),
        })
    }

    fn keep(
        &self,
        started: MonoTime,
        fetched: Result<Granted, TokenFailure>,
    ) -> Result<HeaderValue, TokenFailure> {
        let fetched = fetched.and_then(|granted| {
            let text = SecretString::from(format!("Bearer {}", granted.token.expose_secret()));
            let mut header = HeaderValue::from_str(text.expose_secret()).map_err(|_| {
                self.named(TokenFailure::Refused("the token holds blanks or control codes".into()))
            })?;
            header.set_sensitive(true);
            Ok((header, granted.lifetime))
        });
        let now = clock::now();
        let mut state = self.state.lock();
        match fetched {
            Ok((header, life)) => {
                let held = Held {
                    header: header.clone(),
                    obtained: now,
                    renew_at: started + life.saturating_sub(RENEW_AHEAD.min(life / 5)),
                    usable_until: started + life.saturating_sub(USE_MARGIN.min(life / 10)),
                };
                *state = State { held: Some(held), failed: None };
                Ok(header)
            }
            Err(failure) => {
                state.failed = Some((now, failure.clone()));
                match &mut state.held {
                    Some(held) if now < held.usable_until => {
                        held.renew_at = (now + RENEW_PAUSE).min(held.usable_until);
                        Ok(held.header.clone())
                    }
                    _ => Err(failure),
                }
            }
        }
    }

    fn named(&self, failure: TokenFailure) -> TokenFailure {
        let name = &self.name;
        match failure {
            TokenFailure::Refused(text) => {
                TokenFailure::Refused(format!("identity {name:?}: {text}"))
            }
            TokenFailure::Unreachable(text) => {
                TokenFailure::Unreachable(format!("identity {name:?}: {text}"))
            }
        }
    }
}

impl fmt::Debug for TokenCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCell").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
