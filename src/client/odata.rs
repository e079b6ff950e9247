//! Pure: the one place where data becomes part of a URL.

use std::fmt::Write as _;
use uuid::Uuid;

/// A value in a URL: in a key, a filter or a function parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Literal<'a> {
    /// Text; put in single quotes.
    Text(&'a str),
    /// GUID; bare.
    Guid(Uuid),
    /// Whole number, choice; bare.
    Whole(i64),
    /// Decimal as text (`-1.50`); bare.
    Decimal(&'a str),
    /// Instant `yyyy-MM-ddTHH:mm:ssZ` or day `yyyy-MM-dd`; bare.
    Instant(&'a str),
}

/// A text that is no number or instant and so must not stand bare in a URL.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is no {wanted} and cannot stand in a URL without quotes")]
pub struct NotBare {
    /// The text.
    pub text: String,
    /// What it should have been.
    pub wanted: &'static str,
}

impl Literal<'_> {
    /// The literal as it stands in a URL, percent-encoded.
    ///
    /// # Errors
    /// [`NotBare`] when a decimal or instant holds anything but its own characters.
    ///
    /// Source: `dataverse-web-api.md` §4.4.
    pub fn encode(&self) -> Result<String, NotBare> {
        Ok(match *self {
            Self::Text(text) => text_literal(text),
            Self::Guid(id) => id.hyphenated().to_string(),
            Self::Whole(number) => number.to_string(),
            Self::Decimal(text) => {
                let body = text.strip_prefix('-').unwrap_or(text);
                let (whole, fraction) = body.split_once('.').unwrap_or((body, "0"));
                if ![whole, fraction].iter().all(|p| is_digits(p)) {
                    return Err(NotBare { text: text.to_owned(), wanted: "decimal number" });
                }
                text.to_owned()
            }
            Self::Instant(text) => {
                let ok = text.len() >= 10
                    && text.len() <= 40
                    && text.starts_with(|c: char| c.is_ascii_digit())
                    && text.bytes().all(|b| b.is_ascii_digit() || b"-:.TZ".contains(&b));
                if !ok {
                    return Err(NotBare { text: text.to_owned(), wanted: "date or instant" });
                }
                percent(text)
            }
        })
    }
}

/// Text as an OData literal: in single quotes, quotes within doubled, percent-encoded.
#[must_use]
pub fn text_literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for (i, piece) in text.split('\'').enumerate() {
        if i > 0 {
            out.push_str("%27%27");
        }
        push_percent(&mut out, piece);
    }
    out.push('\'');
    out
}

/// Percent-encodes everything but letters, digits, `-`, `.`, `_` and `~`.
#[must_use]
pub fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_percent(&mut out, text);
    out
}

fn push_percent(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a text value can address a row by alternate key in a URL; others do not work there
/// and must be looked up by a query first.
///
/// Source: `dataverse-web-api.md` §4.4.
#[must_use]
pub fn key_text_is_addressable(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '<', '>', '*', '%', '&', ':', '\\', '?', '+'])
}

/// `accounts(2d2f…)`: a row by its GUID.
#[must_use]
pub fn row_by_id(entity_set: &str, id: Uuid) -> String {
    format!("{}({})", percent(entity_set), id.hyphenated())
}

/// `set(name='x',other=1)`: a row by alternate key, from its already encoded predicate.
#[must_use]
pub fn row_by_key(entity_set: &str, predicate: &str) -> String {
    format!("{}({predicate})", percent(entity_set))
}

/// `name='x',other=1`: the predicate of an alternate key. For a lookup column name
/// `_<column>_value`.
///
/// # Errors
/// [`NotBare`] from the literals.
///
/// Source: `dataverse-web-api.md` §4.4.
pub fn key_predicate(parts: &[(&str, Literal<'_>)]) -> Result<String, NotBare> {
    let mut out = String::new();
    for (column, literal) in parts {
        if !out.is_empty() {
            out.push(',');
        }
        push_percent(&mut out, column);
        out.push('=');
        out.push_str(&literal.encode()?);
    }
    Ok(out)
}

/// The text of a predicate of one text column, `name='x'`: what [`key_predicate`] encoded. `None`
/// for other predicates.
#[must_use]
pub fn text_of_predicate(predicate: &str) -> Option<(&str, String)> {
    let (column, literal) = predicate.split_once('=')?;
    let mut bytes = Vec::with_capacity(literal.len());
    let mut rest = literal.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    // A single quote inside means that a second column follows.
    let plain = inner.replace("''", "\u{0}");
    (!plain.contains('\'')).then(|| (column, plain.replace('\u{0}', "'")))
}

/// `set(pk=guid,partitionid='P')`: a row of an elastic table.
///
/// Source: `dataverse-web-api.md` §6.
#[must_use]
pub fn elastic_row(entity_set: &str, primary_id: &str, id: Uuid, partition: &str) -> String {
    format!(
        "{}({}={},partitionid={})",
        percent(entity_set),
        percent(primary_id),
        id.hyphenated(),
        text_literal(partition)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_one_column_predicate_comes_back() {
        for text in ["A-1", "O'Neill", "ä b", "''", "x='y'"] {
            let predicate = key_predicate(&[("new_serial", Literal::Text(text))]).unwrap();
            assert_eq!(text_of_predicate(&predicate), Some(("new_serial", text.to_owned())));
        }
        let two = [("a", Literal::Text("1")), ("b", Literal::Text("2"))];
        assert_eq!(text_of_predicate(&key_predicate(&two).unwrap()), None);
        assert_eq!(text_of_predicate("new_number=5"), None);
    }
    use proptest::prelude::*;

    /// What a server does: undo percent-encoding, then read the quoted literal.
    fn decode(encoded: &str) -> String {
        let bytes = encoded.as_bytes();
        let mut plain = Vec::new();
        let mut i = 0;
        while i < bytes.len() {
            if bytes[i] == b'%' {
                plain.push(u8::from_str_radix(&encoded[i + 1..i + 3], 16).unwrap());
                i += 3;
            } else {
                plain.push(bytes[i]);
                i += 1;
            }
        }
        let plain = String::from_utf8(plain).unwrap();
        let inner = plain.strip_prefix('\'').unwrap().strip_suffix('\'').unwrap();
        assert!(!inner.replace("''", "").contains('\''), "a lone quote would end the literal");
        inner.replace("''", "'")
    }

    #[test]
    fn literals() {
        let id = Uuid::from_u128(0x2d2f);
        for (literal, want) in [
            (Literal::Text("O'Neil & Söhne/1"), "'O%27%27Neil%20%26%20S%C3%B6hne%2F1'"),
            (Literal::Text(""), "''"),
            (Literal::Guid(id), "00000000-0000-0000-0000-000000002d2f"),
            (Literal::Whole(-7), "-7"),
            (Literal::Decimal("-1.50"), "-1.50"),
            (Literal::Instant("2025-03-01T09:30:00Z"), "2025-03-01T09%3A30%3A00Z"),
        ] {
            assert_eq!(literal.encode().unwrap(), want);
        }
        for bad in [
            Literal::Decimal("1) or (1"),
            Literal::Decimal("."),
            Literal::Decimal("1."),
            Literal::Decimal("--1"),
            Literal::Instant("2025-03-01 or 1"),
            Literal::Instant(""),
        ] {
            assert!(bad.encode().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses() {
        let id = Uuid::from_u128(1);
        assert_eq!(row_by_id("accounts", id), "accounts(00000000-0000-0000-0000-000000000001)");
        let key =
            key_predicate(&[("name", Literal::Text("a,b")), ("n", Literal::Whole(2))]).unwrap();
        assert_eq!(row_by_key("xs", &key), "xs(name='a%2Cb',n=2)");
        assert_eq!(
            elastic_row("es", "eid", id, "p'1"),
            "es(eid=00000000-0000-0000-0000-000000000001,partitionid='p%27%271')"
        );
        assert!(key_text_is_addressable("ABC 1"));
        assert!(!key_text_is_addressable("a/b"));
        assert!(!key_text_is_addressable(""));
    }

    proptest! {
        #[test]
        fn text_survives(text in any::<String>()) {
            let encoded = text_literal(&text);
            prop_assert_eq!(decode(&encoded), text);
            prop_assert!(encoded.is_ascii());
            // Nothing in it can end a path segment, a query parameter or the request line.
            let inner = &encoded[1..encoded.len() - 1];
            prop_assert!(inner.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        }

        #[test]
        fn bare_literals_hold_no_syntax(text in ".{0,24}") {
            for literal in [Literal::Decimal(&text), Literal::Instant(&text)] {
                if let Ok(encoded) = literal.encode() {
                    prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.%".contains(&b)));
                }
            }
        }
    }
}
