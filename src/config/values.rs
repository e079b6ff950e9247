//! Pure: sizes, durations, GUIDs, addresses and names as people write them.

use core::net::IpAddr;
use std::time::Duration;

/// `512 MiB`, `2GB`, `1_000_000` → bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace() && *c != '_').collect();
    let digits = compact.find(|c: char| !c.is_ascii_digit()).unwrap_or(compact.len());
    let (number, unit) = compact.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "kib" | "k" => 1 << 10,
        "mb" => 1_000_000,
        "mib" | "m" => 1 << 20,
        "gb" => 1_000_000_000,
        "gib" | "g" => 1 << 30,
        _ => return Err(format!("`{text}` is not a size")),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .ok_or_else(|| format!("`{text}` is not a size"))
}

/// `90s`, `2min`, `1h 30m` → duration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("`{text}` is not a duration: {e}"))
}

/// Checks an origin: `https://host[:port]`, or `http` to loopback. Gives it in lower case without
/// trailing slash.
pub(super) fn origin(text: &str) -> Result<String, (String, String)> {
    let refuse = |why: &str, hint: &str| Err((why.to_owned(), hint.to_owned()));
    let example = "write the environment's address, e.g. \"https://contoso.crm4.dynamics.com\"";
    let Some((scheme, rest)) = text.split_once("://") else {
        return refuse(&format!("`{text}` has no scheme"), example);
    };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, path),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return refuse(
            "a user name or password must not stand in a URL",
            "credentials belong into [[identity]]",
        );
    }
    if !path.is_empty() || authority.contains(['?', '#']) {
        return refuse(
            &format!("`{text}` has more than scheme and host"),
            "leave out the path: `/api/data/v9.2` is added by dvbulk",
        );
    }
    let host = host_of(authority);
    let well_formed = !host.is_empty()
        && authority.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    if !well_formed {
        return refuse(&format!("`{authority}` is not a host name"), example);
    }
    match scheme.to_ascii_lowercase().as_str() {
        "https" => {}
        "http" if is_loopback(host) => {}
        "http" => {
            return refuse(
                "plain http would show tokens and records to the network",
                "use https; http is for loopback addresses only (the simulator)",
            );
        }
        other => return refuse(&format!("`{other}` is not a scheme for Dataverse"), example),
    }
    Ok(format!("{scheme}://{authority}").to_ascii_lowercase())
}

fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether `text` can be a logical name of a table or column.
pub(super) fn is_logical_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && text.len() <= 128
}

/// Whether `text` can name a file, a metric label and a command's argument alike.
pub(super) fn is_plain_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && text.len() <= 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("512 MiB"), Ok(512 << 20));
        assert_eq!(size("2GB"), Ok(2_000_000_000));
        assert_eq!(size("1_000"), Ok(1000));
        assert!(size("lots").is_err() && size("").is_err() && size("99999999999 GiB").is_err());
    }

    #[test]
    fn origins() {
        let ok = |t: &str| origin(t).ok();
        assert_eq!(
            ok("https://Contoso.crm4.dynamics.com/").as_deref(),
            Some("https://contoso.crm4.dynamics.com")
        );
        assert_eq!(ok("http://127.0.0.1:8080").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(ok("http://[::1]:8080").as_deref(), Some("http://[::1]:8080"));
        assert_eq!(ok("http://localhost").as_deref(), Some("http://localhost"));
        for bad in [
            "contoso.crm4.dynamics.com",
            "http://contoso.crm4.dynamics.com",
            "http://127.0.0.1.evil.example",
            "https://a:b@c.example",
            "https://c.example/api",
            "ftp://127.0.0.1",
            "https://",
            "https://c.example?x=1",
            "https://a b",
        ] {
            assert!(ok(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn names() {
        assert!(is_logical_name("new_meter2") && !is_logical_name("new_Meter"));
        assert!(!is_logical_name("") && !is_logical_name("2x"));
        assert!(is_plain_name("contact-people.1"));
        assert!(!is_plain_name("../x") && !is_plain_name(".x") && !is_plain_name("a b"));
    }
}
