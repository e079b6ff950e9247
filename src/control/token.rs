//! Who may steer over TCP: whoever can read `control.token` in the ledger's folder.
//!
//! A token in a header is nothing a foreign web page could send along unasked, as it could a
//! cookie. It is made anew for every run and lives as long as the run.

use crate::runtime::clock;
use crate::units::MonoTime;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN};
use parking_lot::Mutex;
use std::fs;
use std::hint::black_box;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Name of the token's file in the ledger's folder.
pub const TOKEN_NAME: &str = "control.token";
/// Wrong tokens looked at in one go; then one a second.
const ATTEMPTS_MAX: f64 = 5.0;
/// Wrong tokens looked at a second.
const ATTEMPTS_PER_SECOND: f64 = 1.0;

/// The token of a run.
#[derive(Debug)]
pub struct ControlToken {
    token: String,
    attempts: Mutex<Attempts>,
}

/// What a request says about who sent it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// Nothing.
    Stranger,
    /// The token.
    Owner,
    /// Something else than the token.
    Wrong,
    /// Something, after too many wrong ones: not looked at.
    TooMany,
}

/// How many wrong tokens are still looked at.
#[derive(Debug)]
struct Attempts {
    left: f64,
    counted: MonoTime,
}

impl Attempts {
    fn refill(&mut self, now: MonoTime) {
        let secs = now.saturating_since(self.counted).as_secs_f64();
        self.left = (self.left + secs * ATTEMPTS_PER_SECOND).min(ATTEMPTS_MAX);
        self.counted = now;
    }
}

impl ControlToken {
    /// Makes a token of 256 random bits and writes it where only the owner of the ledger can read
    /// it. The ledger's lock is held, so a file that is there is a dead run's.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn make(ledger_folder: &Path) -> io::Result<Self> {
        let bits: [u8; 32] = rand::random();
        let token: String = bits.iter().map(|byte| format!("{byte:02x}")).collect();
        forget(ledger_folder)?;
        let path = ledger_folder.join(TOKEN_NAME);
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(format!("{token}\n").as_bytes())?;
        Ok(Self {
            token,
            attempts: Mutex::new(Attempts { left: ATTEMPTS_MAX, counted: clock::now() }),
        })
    }

    /// Who sent a request with these headers.
    #[must_use]
    pub fn claim(&self, headers: &HeaderMap, now: MonoTime) -> Claim {
        let Some(value) = headers.get(AUTHORIZATION) else { return Claim::Stranger };
        let mut attempts = self.attempts.lock();
        attempts.refill(now);
        if attempts.left < 1.0 {
            return Claim::TooMany;
        }
        let is_right = bearer(value).is_some_and(|token| is_same(token, &self.token));
        if is_right {
            return Claim::Owner;
        }
        attempts.left -= 1.0;
        Claim::Wrong
    }
}

/// Takes the token of an ended run away.
///
/// # Errors
/// When there is a file that cannot be removed.
pub fn forget(ledger_folder: &Path) -> io::Result<()> {
    match fs::remove_file(ledger_folder.join(TOKEN_NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares in a time that does not depend on where the two differ.
fn is_same(claimed: &str, token: &str) -> bool {
    claimed.len() == token.len()
        && claimed.bytes().zip(token.bytes()).fold(0, |d, (a, b)| black_box(d | (a ^ b))) == 0
}

/// A web page that made a name of its own point to this machine must not read the status: only
/// addresses and `localhost` are answered.
#[must_use]
pub fn host_is_ours(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|h| h.to_str().ok()) else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host }
    });
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// Whether a request comes of no web page, or of our own.
#[must_use]
pub fn origin_is_ours(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), headers.get(HOST).map(|h| h.to_str()))
    else {
        return false;
    };
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

/// Whether a body, if any, is of a kind we read. What a form of a web page sends is not.
#[must_use]
pub fn body_is_plain(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.eq_ignore_ascii_case("text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    fn headers(pairs: &[(hyper::header::HeaderName, &str)]) -> HeaderMap {
        let value = |v: &str| HeaderValue::from_str(v).expect("a header");
        pairs.iter().map(|(name, v)| (name.clone(), value(v))).collect()
    }

    #[test]
    fn names_other_than_localhost_are_strangers() {
        let ours = |host: &str| host_is_ours(&headers(&[(HOST, host)]));
        assert!(
            ours("127.0.0.1:9470") && ours("localhost") && ours("[::1]:80") && ours("10.0.0.4")
        );
        assert!(!ours("evil.example:9470") && !ours("") && !host_is_ours(&HeaderMap::new()));
    }

    #[test]
    fn pages_of_others_are_strangers() {
        let ours = |origin| origin_is_ours(&headers(&[(HOST, "127.0.0.1:9470"), (ORIGIN, origin)]));
        assert!(ours("http://127.0.0.1:9470") && ours("https://127.0.0.1:9470"));
        for origin in ["null", "http://evil.example", "http://127.0.0.1", "http://127.0.0.1:1", ""]
        {
            assert!(!ours(origin), "{origin}");
        }
        assert!(origin_is_ours(&headers(&[(HOST, "localhost")])), "curl sends none");
        assert!(!origin_is_ours(&headers(&[(ORIGIN, "http://localhost")])), "no host to compare");
    }

    #[test]
    fn forms_are_not_read() {
        let plain = |kind| body_is_plain(&headers(&[(CONTENT_TYPE, kind)]));
        assert!(plain("application/json; charset=utf-8") && plain("text/plain"));
        assert!(!plain("application/x-www-form-urlencoded") && !plain("multipart/form-data; b=1"));
        assert!(body_is_plain(&HeaderMap::new()));
    }

    #[test]
    fn the_token_is_for_the_owner_of_the_folder_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(TOKEN_NAME);
        fs::write(&path, "left by a dead run").expect("written");
        let token = ControlToken::make(folder.path()).expect("made");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let written = fs::read_to_string(&path).expect("readable");
        assert_eq!(written.trim().len(), 64);
        let other = tempfile::tempdir().expect("a folder");
        let second = ControlToken::make(other.path()).expect("made");
        assert_ne!(token.token, second.token);
        let now = clock::now();
        let says = |text: &str| token.claim(&headers(&[(AUTHORIZATION, text)]), now);
        assert_eq!(says(&format!("Bearer {}", written.trim())), Claim::Owner);
        assert_eq!(says(&format!("bearer  {}", written.trim())), Claim::Owner);
        assert_eq!(says(&format!("Basic {}", written.trim())), Claim::Wrong);
        assert_eq!(says(&format!("Bearer {}", second.token)), Claim::Wrong);
        assert_eq!(says("Bearer "), Claim::Wrong);
        assert_eq!(token.claim(&HeaderMap::new(), now), Claim::Stranger);
        forget(folder.path()).expect("removed");
        assert!(!path.exists());
        forget(folder.path()).expect("nothing to do");
    }

    #[test]
    fn wrong_tokens_are_looked_at_once_a_second_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let token = ControlToken::make(folder.path()).expect("made");
        let begin = clock::now();
        let says = |text: &str, ms| {
            let now = begin + Duration::from_millis(ms);
            token.claim(&headers(&[(AUTHORIZATION, text)]), now)
        };
        let right = format!("Bearer {}", token.token);
        let guesses: Vec<Claim> = (0..7).map(|_| says("Bearer guess", 0)).collect();
        assert_eq!(guesses[..5], [Claim::Wrong; 5]);
        assert_eq!(guesses[5..], [Claim::TooMany; 2]);
        assert_eq!(says(&right, 500), Claim::TooMany, "not even the right one is looked at");
        assert_eq!(says(&right, 1100), Claim::Owner, "the owner does not use the attempts up");
        assert_eq!(says(&right, 1100), Claim::Owner);
        assert_eq!(says("Bearer guess", 1100), Claim::Wrong);
        assert_eq!(says("Bearer guess", 1100), Claim::TooMany);
    }
}
