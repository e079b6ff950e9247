//! Pure: reads the answer headers the loader looks at. Whatever is absurd counts as absent, so a
//! broken gateway can neither stop the loader for a year nor let it send at once.

use crate::client::attempt::ReplyHeaders;
use std::time::Duration;

/// Longest `Retry-After` that is believed.
///
/// Source: `dataverse-web-api.md` §1.2: computed from the preceding five minutes; a day is far
/// beyond anything a service-protection limit gives.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// Largest parallelism hint that is believed.
const DOP_HINT_MAX: f64 = 10_000.0;

/// Largest number in a rate header that is believed.
const RATE_MAX: f64 = 1e9;

/// Longest header text kept, bytes.
const TEXT_BYTES_MAX: usize = 2048;

/// Reads the headers the loader looks at; `get` finds a header by its lower-case name and
/// `wall_ms` is the wall clock (milliseconds since 1970, UTC) at which the answer came.
///
/// Source: `dataverse-web-api.md` §0.4, §13.
#[must_use]
pub fn reply_headers<'a>(get: impl Fn(&str) -> Option<&'a str>, wall_ms: i64) -> ReplyHeaders {
    let text = |name: &str| get(name).filter(|v| v.len() <= TEXT_BYTES_MAX).map(str::to_owned);
    ReplyHeaders {
        retry_after: get("retry-after").and_then(|v| retry_after(v, wall_ms)),
        requests_remaining: get("x-ms-ratelimit-burst-remaining-xrm-requests").and_then(number),
        time_remaining_secs: get("x-ms-ratelimit-time-remaining-xrm-requests").and_then(number),
        dop_hint: get("x-ms-dop-hint").and_then(dop_hint),
        service_request_id: text("x-ms-service-request-id").or_else(|| text("req_id")),
        content_type: text("content-type"),
        entity_id: text("odata-entityid"),
        source: text("x-source").and_then(|v| {
            let last = v.rsplit(',').next()?.trim().to_owned();
            (!last.is_empty()).then_some(last)
        }),
        affinity: None,
    }
}

/// The affinity cookies among `Set-Cookie` headers, as the value of a `Cookie` header. Only those
/// that name a web server: no session of any other kind is ever kept.
///
/// Source: `dataverse-web-api.md` §0.4 (`ARRAffinity`).
#[must_use]
pub fn affinity<'a>(set_cookies: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut kept = String::new();
    for cookie in set_cookies {
        let pair = cookie.split(';').next().unwrap_or_default().trim();
        let Some((name, value)) = pair.split_once('=') else { continue };
        let names_a_server = name.get(..11).is_some_and(|n| n.eq_ignore_ascii_case("ARRAffinity"));
        let fits = kept.len() + pair.len() + 2 <= TEXT_BYTES_MAX;
        if names_a_server && !value.is_empty() && fits {
            if !kept.is_empty() {
                kept.push_str("; ");
            }
            kept.push_str(pair);
        }
    }
    (!kept.is_empty()).then_some(kept)
}

/// Reads `Retry-After`: seconds, with fractions, or an HTTP date. A date that has passed means no
/// wait; more than [`RETRY_AFTER_MAX`] or garbage means `None`.
///
/// Source: `dataverse-web-api.md` §1.2 (whole seconds); the date form is HTTP's own.
#[must_use]
pub fn retry_after(text: &str, wall_ms: i64) -> Option<Duration> {
    let text = text.trim();
    let wait = if let Some(seconds) = number(text) {
        Duration::try_from_secs_f64(seconds).ok()?
    } else {
        let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
        Duration::from_millis(u64::try_from(at.saturating_sub(wall_ms)).unwrap_or(0))
    };
    (wait <= RETRY_AFTER_MAX).then_some(wait)
}

/// Reads a number that may carry thousands commas: `5999`, `1,200.00`.
///
/// Source: `dataverse-web-api.md` §13, rate headers.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.len() > 32 || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut groups = whole.split(',');
    let first = groups.next()?;
    let grouped = whole.contains(',');
    if !first.bytes().all(|b| b.is_ascii_digit()) || (grouped && first.len() > 3) {
        return None;
    }
    let mut digits = first.to_owned();
    for group in groups {
        if group.len() != 3 || !group.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.push_str(group);
    }
    let value: f64 = format!("{digits}.{fraction}").parse().ok()?;
    (value <= RATE_MAX).then_some(value)
}

fn dop_hint(text: &str) -> Option<u32> {
    let value = number(text)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and DOP_HINT_MAX by the check"
    )]
    ((1.0..=DOP_HINT_MAX).contains(&value)).then_some(value as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOV_1994: i64 = 784_111_777_000;

    #[test]
    fn retry_after_forms() {
        for (text, want) in [
            ("41", Some(41_000)),
            (" 0 ", Some(0)),
            ("1.5", Some(1_500)),
            ("1,200", Some(1_200_000)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60_000)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 2094 08:00:00 GMT", None),
            ("-5", None),
            ("1e9", None),
            ("NaN", None),
            ("inf", None),
            ("99999999999", None),
            ("", None),
            ("soon", None),
            ("1.", None),
            ("1,20", None),
        ] {
            let want = want.map(Duration::from_millis);
            assert_eq!(retry_after(text, NOV_1994), want, "{text}");
        }
    }

    #[test]
    fn numbers_with_thousands_commas() {
        for (text, want) in [
            ("5999", Some(5999.0)),
            ("1,200.00", Some(1200.0)),
            ("1,234,567.5", Some(1_234_567.5)),
            ("1234,567", None),
            ("1.200,00", None),
            (",100", None),
            ("١٢", None),
            ("10000000000", None),
        ] {
            assert_eq!(number(text), want, "{text}");
        }
    }

    #[test]
    fn headers_are_found_by_lower_case_name_and_absurd_ones_dropped() {
        let get = |name: &str| match name {
            "retry-after" => Some("12"),
            "x-ms-ratelimit-burst-remaining-xrm-requests" => Some("7999"),
            "x-ms-ratelimit-time-remaining-xrm-requests" => Some("1,200.00"),
            "x-ms-dop-hint" => Some("0"),
            "req_id" => Some("abc"),
            "content-type" => Some("application/json"),
            _ => None,
        };
        let got = reply_headers(get, 0);
        assert_eq!(got.retry_after, Some(Duration::from_secs(12)));
        assert_eq!(got.requests_remaining, Some(7999.0));
        assert_eq!(got.time_remaining_secs, Some(1200.0));
        assert_eq!(got.dop_hint, None);
        assert_eq!(got.service_request_id.as_deref(), Some("abc"));
        assert_eq!(got.entity_id, None);
        assert_eq!(reply_headers(|n| (n == "x-ms-dop-hint").then_some("8"), 0).dop_hint, Some(8));
    }

    #[test]
    fn only_affinity_cookies_are_kept() {
        let set = [
            "ARRAffinity=0a1b; Path=/; HttpOnly; Secure",
            "ARRAffinitySameSite=0a1b; SameSite=None",
            "session=secret; Path=/",
            "ReqClientId=x",
            "ARRAffinity=; expires=now",
        ];
        let kept = affinity(set.into_iter());
        assert_eq!(kept.as_deref(), Some("ARRAffinity=0a1b; ARRAffinitySameSite=0a1b"));
        assert_eq!(affinity(["session=1"].into_iter()), None);
        assert_eq!(affinity(["ARR=1", "", "=", "é=1; ARRAffinity=2"].into_iter()), None);
    }

    #[test]
    fn the_server_is_the_last_part_of_its_header() {
        let get = |name: &str| (name == "x-source").then_some("0, 1f, node-7");
        assert_eq!(reply_headers(get, 0).source.as_deref(), Some("node-7"));
    }

    proptest! {
        #[test]
        fn never_panics_and_never_waits_beyond_the_bound(text in ".{0,40}", now in any::<i64>()) {
            if let Some(wait) = retry_after(&text, now) {
                prop_assert!(wait <= RETRY_AFTER_MAX);
            }
        }

        #[test]
        fn whole_seconds_are_kept(seconds in 0_u64..86_400) {
            prop_assert_eq!(retry_after(&seconds.to_string(), 0), Some(Duration::from_secs(seconds)));
        }
    }
}
