//! Pure: `$1` references between the parts of a change set.
//!
//! Source: `dataverse-web-api.md` §3.2.

use std::collections::HashMap;

/// Paths of the rows earlier parts of the change set made, by `Content-ID`.
pub type Made = HashMap<String, String>;

/// A reference to a part that does not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownReference(
    /// As written, e.g. `$1`.
    pub String,
);

/// Replaces `$id` at the start of a URL by the path of the row.
///
/// # Errors
/// No earlier part of the change set has this id.
pub fn in_url(url: &str, made: &Made) -> Result<String, UnknownReference> {
    let below = url.strip_prefix('/').unwrap_or(url);
    let Some(rest) = below.strip_prefix('$') else {
        return Ok(url.to_owned());
    };
    let end = rest.find(['/', '?', '(']).unwrap_or(rest.len());
    let (id, tail) = rest.split_at(end);
    if !reference_like(id) {
        return Ok(url.to_owned());
    }
    match made.get(id) {
        Some(path) => Ok(format!("{path}{tail}")),
        None => Err(UnknownReference(format!("${id}"))),
    }
}

/// `$metadata` and the like are no references.
fn reference_like(id: &str) -> bool {
    !id.is_empty() && !matches!(id, "metadata" | "batch" | "count" | "ref" | "value")
}

/// Replaces `"$id"` as the value of `…@odata.bind` and `@odata.id` in a JSON body; all else stays
/// byte for byte. `None`: nothing to replace.
///
/// # Errors
/// No earlier part of the change set has this id.
pub fn in_body(
    body: &[u8],
    made: &Made,
    origin: &str,
) -> Result<Option<Vec<u8>>, UnknownReference> {
    if memchr::memmem::find(body, b"\"$").is_none() {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(body.len() + 64);
    let (mut at, mut copied, mut key) = (0, 0, Key::Other);
    while let Some(open) = memchr::memchr(b'"', &body[at..]).map(|n| at + n) {
        let Some(close) = string_end(body, open + 1) else { break };
        let text = &body[open + 1..close];
        let next = body[close + 1..].iter().find(|b| !b.is_ascii_whitespace());
        if next == Some(&b':') {
            key = Key::of(text);
        } else if let Some(id) = text.strip_prefix(b"$")
            && key != Key::Other
        {
            let id = String::from_utf8_lossy(id).into_owned();
            let path = made.get(&id).ok_or_else(|| UnknownReference(format!("${id}")))?;
            out.extend_from_slice(&body[copied..=open]);
            if key == Key::Id {
                out.extend_from_slice(origin.as_bytes());
                out.extend_from_slice(b"/api/data/v9.2");
            }
            out.push(b'/');
            out.extend_from_slice(path.as_bytes());
            copied = close;
        }
        at = close + 1;
    }
    if copied == 0 {
        return Ok(None);
    }
    out.extend_from_slice(&body[copied..]);
    Ok(Some(out))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Bind,
    Id,
    Other,
}

impl Key {
    fn of(text: &[u8]) -> Self {
        if text.ends_with(b"@odata.bind") {
            Self::Bind
        } else if text == b"@odata.id" {
            Self::Id
        } else {
            Self::Other
        }
    }
}

/// Place of the quote that ends the string starting at `at`.
fn string_end(body: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', body.get(at..)?)?;
        if body[found] == b'"' {
            return Some(found);
        }
        at = found + 2;
    }
}

/// Path of a row from its `OData-EntityId`, which is absolute.
#[must_use]
pub fn path_of(entity_id: &str) -> Option<&str> {
    super::batch::below_root(entity_id).map(|(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made() -> Made {
        HashMap::from([("1".to_owned(), "accounts(2f)".to_owned())])
    }

    #[test]
    fn urls_are_replaced() {
        let check = |url: &str, want: &str| assert_eq!(in_url(url, &made()), Ok(want.to_owned()));
        check("$1", "accounts(2f)");
        check("/$1/name", "accounts(2f)/name");
        check("$1/primarycontactid/$ref", "accounts(2f)/primarycontactid/$ref");
        check("accounts?$top=1", "accounts?$top=1");
        check("$metadata", "$metadata");
        assert_eq!(in_url("$2", &made()), Err(UnknownReference("$2".to_owned())));
    }

    #[test]
    fn bodies_are_replaced_where_references_belong() {
        let check = |body: &str, want: Option<&str>| {
            let got = in_body(body.as_bytes(), &made(), "http://x").expect("known");
            assert_eq!(got.map(|b| String::from_utf8(b).expect("text")).as_deref(), want);
        };
        check(
            r#"{"price":1.10,"parent@odata.bind" : "$1","name":"$1"}"#,
            Some(r#"{"price":1.10,"parent@odata.bind" : "/accounts(2f)","name":"$1"}"#),
        );
        check(
            r#"{"@odata.id":"$1"}"#,
            Some(r#"{"@odata.id":"http://x/api/data/v9.2/accounts(2f)"}"#),
        );
        check(r#"{"name":"\"$1","b":"$5"}"#, None);
        assert_eq!(
            in_body(br#"{"a@odata.bind":"$7"}"#, &made(), ""),
            Err(UnknownReference("$7".to_owned()))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_pass(body in prop::collection::vec(prop::sample::select(
            b"\"$1\\:{}@odata.bind ,x".to_vec()), 0..80)) {
            let _ = in_body(&body, &made(), "");
        }
    }
}
