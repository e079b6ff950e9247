//! Pure: form fields and basic credentials as texts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Fields of a form or query text.
#[must_use]
pub fn form(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// `+` and `%xx` decoded; what is not UTF-8 afterwards is replaced.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|h| std::str::from_utf8(h).ok());
        match (byte, hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Client id and secret of an `Authorization: Basic` header.
pub(super) fn basic_credentials(authorization: &str) -> Option<(String, String)> {
    let (kind, value) = authorization.split_once(' ')?;
    if !kind.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((decoded(id), decoded(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        let want = [("a b", "c&d"), ("e", ""), ("f", "%zz")];
        let want = want.map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(form("a+b=c%26d&e&f=%zz&"), want);
    }
}
