//! Pure: what token services and token programs answer.

use crate::client::attempt::TokenFailure;
use crate::client::fault::printable;
use crate::client::lenient::Lenient;
use crate::client::token::Granted;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use serde::Deserialize;
use std::time::Duration;

/// Life of a token that does not tell its own.
const UNKNOWN_LIFE: Duration = Duration::from_secs(600);
/// Longest life that is believed.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
struct Answer {
    #[serde(default, alias = "accessToken")]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Lenient,
    #[serde(default)]
    expires_on: Lenient,
    #[serde(default, rename = "expiresOn")]
    expires_on_text: Lenient,
}

/// Reads a token: plain, or JSON with `access_token` or `accessToken` and, in falling order of
/// preference, `expires_in` (seconds), `expires_on` (seconds since 1970), `expiresOn` (RFC 3339,
/// or wall-clock time of `zone`), or the token's own `exp` claim.
///
/// # Errors
/// What is wrong, never quoting the text.
///
/// Source: `dataverse-web-api.md` §9.1, §9.2.
pub(crate) fn read_token(
    text: &str,
    wall_ms: i64,
    zone: &TimeZone,
) -> Result<Granted, &'static str> {
    let text = text.trim();
    let mut life = None;
    let token = if text.starts_with('{') {
        let answer: Answer =
            serde_json::from_str(text).map_err(|_| "the JSON is no token answer")?;
        life = seconds(&answer.expires_in.0)
            .or_else(|| until(seconds(&answer.expires_on.0)?, wall_ms))
            .or_else(|| until(instant(&answer.expires_on_text.0, zone)?, wall_ms));
        answer.access_token.ok_or("the JSON has no access_token")?
    } else {
        text.to_owned()
    };
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("the token is empty or holds blanks or control codes");
    }
    let life = life.or_else(|| until(expiry_claim(&token)?, wall_ms)).unwrap_or(UNKNOWN_LIFE);
    if life.is_zero() {
        return Err("the token has expired already; check this machine's clock");
    }
    Ok(Granted { token: SecretString::from(token), lifetime: life.min(LONGEST_LIFE) })
}

fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Time left until `since_1970`; zero when it has passed.
fn until(since_1970: Duration, wall_ms: i64) -> Option<Duration> {
    let now = Duration::from_millis(u64::try_from(wall_ms).ok()?);
    Some(since_1970.saturating_sub(now))
}

fn instant(text: &str, zone: &TimeZone) -> Option<Duration> {
    let at: jiff::Timestamp = match text.parse() {
        Ok(at) => at,
        Err(_) => {
            let local: jiff::civil::DateTime = text.replacen(' ', "T", 1).parse().ok()?;
            local.to_zoned(zone.clone()).ok()?.timestamp()
        }
    };
    u64::try_from(at.as_second()).ok().map(Duration::from_secs)
}

/// `exp` of a JWT; the signature is the service's affair.
fn expiry_claim(token: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Some(Duration::from_secs(claims.exp))
}

/// What a refusal of Entra ID means, and whether asking again can help.
///
/// Source: `dataverse-web-api.md` §9.1.
pub(crate) fn read_refusal(status: u16, body: &str) -> TokenFailure {
    #[derive(Deserialize, Default)]
    struct Refusal {
        #[serde(default)]
        error: Lenient,
        #[serde(default)]
        error_description: Lenient,
        #[serde(default)]
        error_codes: Vec<u32>,
    }
    let refusal: Refusal = serde_json::from_str(body).unwrap_or_default();
    let described = &refusal.error_description.0;
    let code = refusal.error_codes.first().copied().or_else(|| aadsts(described));
    if matches!(status, 408 | 429 | 500..=599) || code == Some(90_033) {
        let text = format!("the token service answers {status}");
        return TokenFailure::Unreachable(text);
    }
    if let (Some(code), Some(meaning)) = (code, code.and_then(meaning)) {
        return TokenFailure::Refused(format!("AADSTS{code}: {meaning}"));
    }
    let said = if described.is_empty() { &refusal.error.0 } else { described };
    let first_line: String = said.lines().next().unwrap_or("").chars().take(300).collect();
    let said = if first_line.is_empty() { "no reason given".to_owned() } else { first_line };
    TokenFailure::Refused(format!(
        "the token service refuses with status {status}: {}; check authority, tenant and client_id",
        printable(&said)
    ))
}

/// The number after the first `AADSTS`.
fn aadsts(text: &str) -> Option<u32> {
    let rest = &text[text.find("AADSTS")? + "AADSTS".len()..];
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

fn meaning(code: u32) -> Option<&'static str> {
    Some(match code {
        7_000_215 => {
            "the client secret is wrong; give the secret's value, not its id (app registration, \
             Certificates & secrets)"
        }
        7_000_222 => {
            "the client secret has expired; make a new one (app registration, Certificates & \
             secrets)"
        }
        700_016 => {
            "the application is not known in this tenant; check client_id and tenant of the job"
        }
        90_002 => "there is no such tenant; check tenant of the job",
        700_027 => {
            "the certificate is not registered with the application; upload its public part (app \
             registration, Certificates & secrets)"
        }
        7_000_112 => "the application is disabled; have an administrator enable it",
        500_011 => "the environment is not known in this tenant; check url and tenant of the job",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    const NOW: i64 = 1_700_000_000_000;

    fn read(text: &str) -> Result<(String, u64), &'static str> {
        let granted = read_token(text, NOW, &TimeZone::fixed(jiff::tz::offset(2)))?;
        Ok((granted.token.expose_secret().to_owned(), granted.lifetime.as_secs()))
    }

    fn jwt(claims: &str) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn tokens_of_every_shape() {
        for (text, life) in [
            (r#"{"token_type":"Bearer","expires_in":3599,"access_token":"T"}"#.to_owned(), 3599),
            (r#"{"expires_in":"3599","expires_on":"1","access_token":"T"}"#.to_owned(), 3599),
            (r#"{"expires_on":1700000060,"access_token":"T"}"#.to_owned(), 60),
            (r#"{"accessToken":"T","expiresOn":"2023-11-14T22:14:20Z"}"#.to_owned(), 60),
            // 22:14:20 UTC as a wall clock two hours ahead shows it, the way `az` prints it.
            (r#"{"accessToken":"T","expiresOn":"2023-11-15 00:14:20.000000"}"#.to_owned(), 60),
            (r#"{"access_token":"T","expires_in":null}"#.to_owned(), 600),
            (" T\n".to_owned(), 600),
            (r#"{"access_token":"T","expires_in":99999999}"#.to_owned(), 86_400),
        ] {
            assert_eq!(read(&text), Ok(("T".to_owned(), life)), "{text}");
        }
        let own = jwt(r#"{"exp":1700000090}"#);
        assert_eq!(read(&own), Ok((own.clone(), 90)));
        for bad in [
            "",
            "two words",
            "{\"access_token\":\"a b\"}",
            "{}",
            "{\"access_token\":\"\"}",
            "{\"access_token\":1}",
            r#"{"access_token":"T","expires_on":1700000000}"#,
            &jwt(r#"{"exp":1}"#),
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refusals_say_the_way_out_and_whether_to_try_again() {
        let body = |code: u32| {
            format!(
                r#"{{"error":"invalid_client","error_description":"AADSTS{code}: x\r\nTrace","error_codes":[{code}]}}"#
            )
        };
        for (code, word) in [
            (7_000_215, "wrong"),
            (7_000_222, "expired"),
            (700_016, "client_id"),
            (90_002, "tenant"),
        ] {
            let TokenFailure::Refused(text) = read_refusal(401, &body(code)) else {
                panic!("{code} cannot be helped by asking again")
            };
            assert!(text.starts_with(&format!("AADSTS{code}: ")) && text.contains(word), "{text}");
        }
        let described = r#"{"error":"x","error_description":"AADSTS7000222: expired"}"#;
        assert!(
            matches!(read_refusal(400, described), TokenFailure::Refused(t) if t.contains("new one"))
        );
        let TokenFailure::Refused(other) = read_refusal(400, &body(1)) else { panic!() };
        assert!(other.contains("AADSTS1: x") && !other.contains("Trace"), "{other}");
        assert!(matches!(read_refusal(404, "<html>"), TokenFailure::Refused(_)));
        for (status, body) in [(429, body(7_000_215)), (503, String::new()), (400, body(90_033))] {
            let got = read_refusal(status, &body);
            assert!(matches!(got, TokenFailure::Unreachable(_)), "{got:?}");
        }
    }
}
